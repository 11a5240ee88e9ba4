import json
import shutil
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import build
from index.embedded_gallery import EmbeddedGallery
from index.filters import Filter
from index.manifest import Entry, Role, write_manifest
from index.protocol import Protocol
from index.record import ModelKey, Record
from model.checkpoint import load_checkpoint, read_card
from model.embedder import Embedder
from tests.conftest import picture, png

Run = Callable[..., tuple[int, Any]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Gallery images 0 to 4, a distractor, queries and junk."""
    roles: list[Role] = ["gallery", "gallery", "gallery", "gallery", "gallery", "distractor", "query", "query", "junk"]
    entries = [Entry(f"{i}.png", f"v{i}", "north", role, "test") for i, role in enumerate(roles)]
    for i in range(len(roles)):
        (tmp_path / f"{i}.png").write_bytes(png(i))
    write_manifest(tmp_path / "manifest.csv", entries, Protocol("ours"))
    return tmp_path / "manifest.csv"


@pytest.fixture
def run(data: Path, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command; its exit code and JSON (or its error, if it fails)."""

    def run(*further: object) -> tuple[int, Any]:
        arguments = ["--checkpoint", small_checkpoint, "--data", data, "--data-dir", data.parent / "gallery"]
        monkeypatch.setattr(sys, "argv", ["build", *map(str, [*arguments, "--device", "cpu", "--json", *further])])
        code = build.main()
        captured = capsys.readouterr()
        return code, json.loads(captured.out.splitlines()[-1]) if captured.out else captured.err

    return run


def stored(data_dir: Path, checkpoint: Path, precision: str = "float32") -> list[Record]:
    card = read_card(checkpoint)
    model = ModelKey(card.fingerprint, precision)
    with closing(EmbeddedGallery(data_dir, model, card.config.embedding_dim)) as gallery:
        assert gallery.num_stale == 0
        return gallery.page(Filter(), 1000, None).records


def test_a_manifest_becomes_a_gallery_and_a_second_time_nothing_changes(
    run: Run, tmp_path: Path, small_checkpoint: Path
) -> None:
    card = read_card(small_checkpoint)
    expected = {
        "data_dir": str(tmp_path / "gallery"), "model": card.fingerprint, "precision": "float32", "enrolled": 6,
        "duplicates": 0, "differing": 0, "rejected": 0, "rejections": [], "searchable": 6,
    }  # fmt: skip
    assert run() == (0, expected)
    before = stored(tmp_path / "gallery", small_checkpoint)
    assert [record.fields.identity for record in before] == [f"v{i}" for i in range(6)]
    embedder = Embedder(load_checkpoint(small_checkpoint), "cpu")
    by_hand = embedder.embed([picture(i) for i in range(6)], batch_size=6)
    assert np.array_equal(np.stack([record.embedding for record in before]), by_hand.embedding)
    assert run() == (0, expected | {"enrolled": 0, "duplicates": 6})
    after = stored(tmp_path / "gallery", small_checkpoint)
    assert [(r.id, r.enrolled_at) for r in after] == [(r.id, r.enrolled_at) for r in before]


def test_one_bad_image_is_named_and_the_others_are_there(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (data.parent / "2.png").write_bytes(b"no image")
    code, result = run()
    assert code == 1
    assert (result["enrolled"], result["rejected"], result["searchable"]) == (5, 1, 5)
    detail = "the file is not a JPEG, PNG or WebP image"
    assert result["rejections"] == [{"path": "2.png", "box": None, "detail": detail}]
    monkeypatch.setattr(sys, "argv", [argument for argument in sys.argv if argument != "--json"] + ["--quiet"])
    assert build.main() == 1
    said = capsys.readouterr()
    assert said.err == f"index.build: 2.png: {detail}\n"
    assert said.out == f"{data.parent / 'gallery'}: 0 enrolled, 5 there already, 1 rejected; 5 can be found\n"


def test_conditions_and_the_precision_are_the_users(run: Run, tmp_path: Path, small_checkpoint: Path) -> None:
    code, result = run("--where", "role=distractor", "--precision", "bf16")
    assert (code, result["enrolled"], result["precision"]) == (0, 1, "bf16")
    assert [record.fields.identity for record in stored(tmp_path / "gallery", small_checkpoint, "bf16")] == ["v5"]


def test_a_manifest_of_queries_alone_is_refused(run: Run, tmp_path: Path) -> None:
    code, error = run("--where", "role=query")
    assert (code, "has queries and junk only" in error) == (1, True)
    assert not (tmp_path / "gallery").exists()


@pytest.mark.parametrize(
    ("flag", "value", "reason"),
    [
        ("--data", "none.csv", "there is no manifest at none.csv"),
        ("--checkpoint", "none", "there is no checkpoint at none"),
        ("--where", "role=seeker", "no line fulfils 'role=seeker'"),
    ],
)
def test_what_cannot_be_read_is_exit_code_1(run: Run, tmp_path: Path, flag: str, value: str, reason: str) -> None:
    code, error = run(flag, value)
    assert code == 1
    assert error.startswith("index.build: ")
    assert reason in error
    assert not (tmp_path / "gallery").exists()


def test_a_gallery_in_use_is_left_alone(run: Run, tmp_path: Path) -> None:
    with closing(EmbeddedGallery(tmp_path / "gallery", ModelKey("a" * 64, "float32"), 4)):
        code, error = run()
    assert (code, "another process has the gallery" in error) == (1, True)


def test_an_interruption_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(build, "enrol_entries", interrupt)
        assert run("--quiet") == (1, "index.build: stopped; the same command goes on\n")
    assert run()[1]["enrolled"] == 6  # the folder was released


@pytest.mark.parametrize("wrong", [["--device", "tpu!"], ["--precision", "int8"], ["--colour", "red"]])
def test_wrong_arguments_are_exit_code_2(run: Run, wrong: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as raised:
        run(*wrong)
    assert raised.value.code == 2
    assert not (tmp_path / "gallery").exists()


def test_a_damaged_checkpoint_builds_nothing(run: Run, small_checkpoint: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copy(small_checkpoint, tmp_path / "damaged"))
    with damaged.open("r+b") as file:
        file.seek(-1, 2)
        (last,) = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
    code, error = run("--checkpoint", damaged)
    assert (code, "is damaged" in error) == (1, True)
    assert not (tmp_path / "gallery").exists()
