import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import jittered_boxes
from benchmarks.jittered_boxes import jittered
from index.datasets.manifest import read_manifest
from model.box import Box


def data_set(folder: Path) -> Path:
    """Two vehicles with a box, and one that is its whole image."""
    folder.mkdir()
    for name, size in (("a", (100, 80)), ("b", (40, 60))):
        Image.new("RGB", size).save(folder / f"{name}.png")
    (folder / "manifest.csv").write_text(
        'path,identity,box\na.png,car1,"10,20,30,40"\na.png,car2,"60,0,40,20"\nb.png,car3,\n'
    )
    return folder / "manifest.csv"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmarks.jittered_boxes", *map(str, arguments)])
    return jittered_boxes.main()


def test_every_vehicle_is_there_as_often_with_its_own_box_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = data_set(tmp_path / "first"), data_set(tmp_path / "second")
    out = tmp_path / "out" / "crops.csv"
    assert run(monkeypatch, "--data", first, "--data", second, "--out", out, "--rows", 40, "--seed", 1) == 0
    manifest = read_manifest(out)
    num_each = Counter(entry.identity for entry in manifest.entries)
    assert set(num_each) == {f"{number}-car{car}" for number in (1, 2) for car in (1, 2, 3)}
    assert sorted(num_each.values()) == [6, 6, 7, 7, 7, 7]
    boxes = {identity: [e.box for e in manifest.entries if e.identity == identity] for identity in num_each}
    assert [boxes[f"1-car{car}"][0] for car in (1, 2, 3)] == [
        Box(10, 20, 30, 40),
        Box(60, 0, 40, 20),
        Box(0, 0, 40, 60),
    ]
    assert all(len(set(drawn)) > 1 for drawn in boxes.values())
    for entry in manifest.entries:
        with Image.open(manifest.path_of(entry)) as image:
            assert entry.box is not None
            assert entry.box.x + entry.box.w <= image.width
            assert entry.box.y + entry.box.h <= image.height
    again = tmp_path / "out" / "again.csv"
    assert run(monkeypatch, "--data", first, "--data", second, "--out", again, "--rows", 40, "--seed", 1) == 0
    assert again.read_bytes() == out.read_bytes()


def test_a_box_stays_near_its_vehicle() -> None:
    rng, box = np.random.default_rng(0), Box(400, 300, 100, 50)
    drawn = [jittered(box, (1000, 800), rng) for _ in range(300)]
    for one in drawn:
        assert abs(one.x + one.w / 2 - 450) <= 11
        assert abs(one.y + one.h / 2 - 325) <= 6
        assert 100 * np.exp(-0.2) - 2 <= one.w <= 100 * np.exp(0.2) + 1
        assert 50 * np.exp(-0.3) - 2 <= one.h <= 50 * np.exp(0.3) + 1
    assert max(one.w for one in drawn) > 115 > 90 > min(one.w for one in drawn)


def test_data_that_are_not_there_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--data", tmp_path / "none.csv", "--out", tmp_path / "crops.csv") == 1
    assert capsys.readouterr().err.startswith("benchmarks.jittered_boxes: ")
    assert not (tmp_path / "crops.csv").exists()
