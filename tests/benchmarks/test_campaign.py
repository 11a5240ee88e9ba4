import itertools
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.campaign import __main__ as campaign
from benchmarks.campaign import page as campaign_page
from benchmarks.campaign.arms import ARMS
from benchmarks.campaign.packing import pack, unpack
from benchmarks.campaign.pieces import join_file, split_file
from benchmarks.experiment import RunFailedError
from index.datasets.manifest import Entry, Role, read_manifest, write_manifest
from index.datasets.protocol import Protocol
from model.box import Box
from tests.conftest import picture


def write_data(folder: Path, *, splits: bool, num_identities: int = 40, masks: bool = False) -> Path:
    """Views of 60 x 40 pixels with boxes, headings and, if asked for, masks."""
    entries = []
    (folder / "images").mkdir(parents=True)
    for identity in range(num_identities):
        split = ("train", "val", "test")[identity % 3] if splits else "train"
        for view in range(4):
            name = f"{identity}-{view}"
            # Coarse: WebP keeps half of the colours' resolution.
            coarse = Image.fromarray(picture(identity, 6, 4)).resize((60, 40), Image.Resampling.BICUBIC)
            Image.fromarray(np.roll(np.asarray(coarse), view, axis=1)).save(folder / "images" / f"{name}.png")
            further = {"heading_deg": str(10 * view)}
            if masks:
                mask = np.zeros((40, 60), np.uint8)
                mask[10:30, 15:45] = 255
                Image.fromarray(mask).save(folder / "images" / f"{name}.mask.png")
                further["mask"] = f"{name}.mask.png"
            role: Role = "train" if split == "train" else "query" if view else "gallery"
            box = Box(5, 5, 50, 30)
            entries.append(
                Entry(
                    f"images/{name}.png", f"{folder.name}-{identity}", role=role, split=split, box=box, further=further
                )
            )
    write_manifest(folder / "manifest.csv", entries, Protocol(folder.name))
    return folder / "manifest.csv"


def test_what_is_unpacked_is_what_was_packed_cut_at_its_box(tmp_path: Path) -> None:
    manifest = read_manifest(write_data(tmp_path / "drawn", splits=True, num_identities=3, masks=True))
    pack(manifest, manifest.entries, tmp_path / "a.zip", 32)
    there = read_manifest(unpack(tmp_path / "a.zip", tmp_path / "out"))
    assert there.protocol.dataset == "drawn"
    for before, after in zip(manifest.entries, there.entries, strict=True):
        assert (after.identity, after.role, after.split, after.box) == (
            before.identity,
            before.role,
            before.split,
            None,
        )
        assert after.further["heading_deg"] == before.further["heading_deg"]
        with Image.open(there.path_of(after)) as image, Image.open(manifest.path_of(before)) as original:
            assert image.size == (32, 19)
            expected = original.crop((5, 5, 55, 35)).resize((32, 19), Image.Resampling.BILINEAR)
            assert np.abs(np.asarray(image, float) - np.asarray(expected, float)).mean() < 8
        with Image.open(there.path_of(after).parent / after.further["mask"]) as mask:
            cover = np.asarray(mask.convert("L")) / 255
        assert mask.size == (32, 19)
        assert cover.mean() == pytest.approx(30 * 20 / (50 * 30), abs=0.03)
        assert cover[9, 16] == 1
        assert cover[0, 0] == 0


def test_a_file_comes_back_in_pieces_that_are_small_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.campaign.pieces.PIECE_BYTES", 1000)
    (tmp_path / "a.safetensors").write_bytes(bytes(range(256)) * 10)
    (tmp_path / "out").mkdir()
    pieces = split_file(tmp_path / "a.safetensors", tmp_path / "out")
    assert [piece.stat().st_size for piece in pieces] == [1000, 1000, 560]
    join_file(tmp_path / "out", "a.safetensors", tmp_path / "b.safetensors")
    assert (tmp_path / "b.safetensors").read_bytes() == bytes(range(256)) * 10
    with pytest.raises(FileNotFoundError, match=r"no piece of c\.safetensors"):
        join_file(tmp_path / "out", "c.safetensors", tmp_path / "c.safetensors")
    for missing in (pieces[0], pieces[1]):
        kept = missing.read_bytes()
        missing.unlink()
        with pytest.raises(FileNotFoundError, match=rf"of a\.safetensors {missing.name} did not come"):
            join_file(tmp_path / "out", "a.safetensors", tmp_path / "c.safetensors")
        missing.write_bytes(kept)


def test_the_pieces_of_a_smaller_file_are_no_longer_those_of_a_larger_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.campaign.pieces.PIECE_BYTES", 10)
    (tmp_path / "out").mkdir()
    for size in (35, 15):
        (tmp_path / "a.safetensors").write_bytes(bytes(size))
        split_file(tmp_path / "a.safetensors", tmp_path / "out")
    join_file(tmp_path / "out", "a.safetensors", tmp_path / "b.safetensors")
    assert (tmp_path / "b.safetensors").read_bytes() == bytes(15)


def test_arms_have_names_of_their_own() -> None:
    assert len({arm.name for arm in ARMS}) == len(ARMS)


def test_the_campaign_runs_where_it_is_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["benchmarks.campaign", *map(str, arguments)])
        assert campaign.main() == 0

    drawn = write_data(tmp_path / "drawn", splits=True)
    more, real = (write_data(tmp_path / name, splits=False) for name in ("more", "real"))
    as_task = [
        replace(e, role="gallery" if e.path.endswith("-0.png") else "query", split="")
        for e in read_manifest(real).entries
    ]
    write_manifest(real, as_task, Protocol("real"))
    command("pack", "--drawn", drawn, "--more", more, "--real", real, "--size-px", 32, "--out", tmp_path / "pack")
    assert {file.name for file in (tmp_path / "pack").iterdir()} == {"drawn.zip", "more.zip", "real.zip"}

    arm = replace(
        ARMS[1],
        flags=(
            "--recipe",
            "sanet",
            "--size-px",
            "32",
            "--num-columns",
            "1",
            "--num-identities",
            "4",
            "--precision",
            "float32",
        ),
        keeps=True,
    )
    failing = replace(ARMS[2], flags=("--recipe", "sanet", "--num-identities", "1000"))
    for module in (campaign, campaign_page):
        monkeypatch.setattr(module, "ARMS", (arm, failing, replace(ARMS[3], name="not run")))
    state, page, out = tmp_path / "state.json", tmp_path / "page.md", tmp_path / "work" / "out"
    page.write_text("# The GPU campaign\n\nHow it is run.\n\n## Arms\n\nold\n", "utf-8")
    run = ("run", "--pack", tmp_path / "pack", "--state", state, "--out", out, "--quick", "--minutes", 5)
    command(*run, "--arms", f"{arm.name},{failing.name}")
    # Two steps tell nothing: they are no results. Here they stand for a whole run's.
    monkeypatch.setattr(
        sys, "argv", ["campaign", "report", "--out", str(out), "--state", str(state), "--page", str(page)]
    )
    assert campaign.main() == 1
    assert "results.json is missing" in capsys.readouterr().err
    assert not state.exists()
    (out / "quick.json").rename(out / "results.json")
    command("report", "--out", out, "--state", state, "--page", page)
    found = json.loads(state.read_text("utf-8"))
    assert found[arm.name]["num_steps"] == 2
    assert found[arm.name]["real_development"][0][0] == 2
    assert 0 <= found[arm.name]["test"]["cmc"]["1"] <= 1
    assert "failed" in found[failing.name]
    text = page.read_text("utf-8")
    assert text.startswith("# The GPU campaign\n\nHow it is run.\n\n## Arms\n\n| arm |")
    assert f"| {failing.name} | {failing.question} | failed |" in text
    assert "| not run | " in text
    assert "not run yet" in text
    assert (out / f"{arm.name}.safetensors").stat().st_size > 1e6

    # What the state holds is not run again.
    state.write_text(json.dumps(found | {campaign_page.SPEED: []}), "utf-8")
    shutil.rmtree(out)
    capsys.readouterr()
    monkeypatch.setattr(campaign, "ARMS", (arm, failing))
    command(*run)
    assert capsys.readouterr().out == ""


class FakePrograms:
    """Stands for the project's programs: writes what they leave behind, in no time."""

    def __init__(self) -> None:
        self.trained: list[tuple[str, ...]] = []

    def __call__(self, module: str, *arguments: str) -> dict[str, Any]:
        values = dict(itertools.pairwise(arguments))
        if module == "training.train":
            folder = Path(values["--out"])
            if folder.exists():
                raise RunFailedError(f"{folder} is not empty")
            self.trained.append(arguments)
            folder.mkdir(parents=True)
            (folder / "last.safetensors").write_text(values.get("--heading-steps", "all"), "utf-8")
            line = {"event": "second_validation", "step": 2, "cmc1": 0.5, "cmc5": 0.7}
            (folder / "log.jsonl").write_text(json.dumps(line) + "\n", "utf-8")
            return {"num_steps": 2}
        if module in ("training.halve", "training.datasets"):
            Path(values["--out"]).write_text("x", "utf-8")
        return {"cmc": {"1": 0.5}, "map": 0.5, "intervals": {}, "model": "m", "rows": []}


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> FakePrograms:
    fake = FakePrograms()
    monkeypatch.setattr(campaign, "run", fake)
    return fake


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    manifest = read_manifest(write_data(tmp_path / "source", splits=False, num_identities=2))
    (tmp_path / "pack").mkdir()
    for name in ("drawn", "more", "real"):
        pack(manifest, manifest.entries, tmp_path / "pack" / f"{name}.zip", 16)
    return tmp_path / "pack"


def campaign_main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *arguments: object) -> int:
    state, out = ("--state", tmp_path / "state.json"), ("--out", tmp_path / "on-the-machine" / "out")
    monkeypatch.setattr(sys, "argv", ["campaign", *map(str, (*arguments, *state, *out))])
    return campaign.main()


def test_a_whole_run_after_a_quick_one_learns_its_own_heading_and_all_of_its_arms(
    packed: Path, programs: FakePrograms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ("run", "--pack", packed, "--arms", "resnet18,lite0_drawn")
    for flags in (("--quick",), (), ()):
        programs.trained.clear()
        assert campaign_main(monkeypatch, tmp_path, *run, *flags) == 0
    # The third finds the heading of the second, and trains its arms anew.
    assert len(programs.trained) == 2
    results = json.loads((tmp_path / "on-the-machine" / "out" / "results.json").read_text("utf-8"))
    assert {name: result.get("failed") for name, result in results.items()} == {"resnet18": None, "lite0_drawn": None}
    for arguments in programs.trained:
        assert "2" not in arguments[arguments.index("--heading-weights") :]
        heading = Path(arguments[arguments.index("--heading-weights") + 1])
        assert heading.read_text("utf-8") == "4000"


def test_no_heading_is_learned_for_arms_that_take_none_over(
    packed: Path, programs: FakePrograms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert campaign_main(monkeypatch, tmp_path, "run", "--pack", packed, "--arms", "lite0_baseline") == 0
    assert len(programs.trained) == 1
    assert "--heading-weights" not in programs.trained[0]


def test_what_was_measured_before_the_first_arm_is_kept(
    packed: Path, programs: FakePrograms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "ARMS", ())
    assert campaign_main(monkeypatch, tmp_path, "run", "--pack", packed) == 0
    assert programs.trained == []
    assert json.loads((tmp_path / "on-the-machine" / "out" / "results.json").read_text("utf-8")) == {"speed": []}


def test_an_unpacking_that_was_interrupted_is_begun_anew(
    packed: Path,
    programs: FakePrograms,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = ("run", "--pack", packed, "--arms", "lite0_baseline")
    (packed / "more.zip").rename(packed / "elsewhere")
    assert campaign_main(monkeypatch, tmp_path, *run) == 1
    assert "more.zip" in capsys.readouterr().err
    (packed / "elsewhere").rename(packed / "more.zip")
    (tmp_path / "on-the-machine" / "campaign-work" / "more" / "images").mkdir(parents=True)
    assert campaign_main(monkeypatch, tmp_path, *run) == 0
    assert len(programs.trained) == 1


def test_arms_that_do_not_exist_are_a_wrong_argument(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        campaign_main(monkeypatch, tmp_path, "run", "--pack", packed, "--arms", "lite0,lite00")
    assert "there is no arm lite00: choose of lite0, resnet18" in capsys.readouterr().err
