import json
import shutil
import sys
from pathlib import Path

import pytest

from index.calibration.calibration import Calibration
from index.datasets.manifest import Entry, Role, write_manifest
from index.datasets.protocol import Protocol
from model.checkpoint import load_checkpoint, read_card
from tests.training.runs import write_vehicles
from training import calibrate, ship

NUM_VEHICLES = 120


@pytest.fixture(scope="module")
def vehicles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two views of each vehicle; the first is the gallery's, and those of `train` are nobody's business."""
    folder = write_vehicles(tmp_path_factory.mktemp("data") / "vehicles", NUM_VEHICLES, 2)
    entries = []
    for number, path in enumerate(sorted(folder.rglob("*.png"))):
        role: Role = "gallery" if path.stem == "0" else "query"
        name = str(path.relative_to(folder))
        entries.append(Entry(name, path.parent.name, "", role, "test", further={"heading_deg": str(number % 360)}))
    entries += [Entry(entries[0].path, f"trained on {number}", "", None, "train") for number in range(3)]
    write_manifest(folder / "manifest.csv", entries, Protocol("drawn"))
    return folder


@pytest.fixture
def checkpoint(small_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(small_checkpoint, tmp_path / "small.safetensors"))


def run_calibrate(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["training.calibrate", "--quiet", *map(str, arguments)])
    return calibrate.main()


def run_ship(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["training.ship", "--quiet", *map(str, arguments)])
    return ship.main()


def test_a_checkpoint_is_calibrated_and_stays_the_same_model(
    vehicles: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read_card(checkpoint)
    arguments = ["--checkpoint", checkpoint, "--data", vehicles, "--sizes", "20,100", "--queries", "200"]
    assert run_calibrate(monkeypatch, *arguments, "--annotate", "--json") == 0
    printed = Calibration.from_dict(json.loads(capsys.readouterr().out))
    card = load_checkpoint(checkpoint).card
    assert card.calibration is not None
    assert Calibration.from_dict(card.calibration) == printed
    assert card.fingerprint == before.fingerprint
    assert printed.sizes == (20, 100)
    assert printed.fitted_on == {
        "data": "drawn",
        "num_images": 2 * NUM_VEHICLES,  # none of the split train
        "num_vehicles": NUM_VEHICLES,
        "model": before.fingerprint,
        "precision": "float32",
    }
    assert [size["num_unknown"] for size in printed.measured["sizes"]] == [400, 400]


def test_people_get_a_table(
    vehicles: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run_calibrate(monkeypatch, "--checkpoint", checkpoint, "--data", vehicles, "--sizes", 50, "--queries", 200) == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].split()[:4] == ["gallery", "unknown", "known", "ECE"]
    assert "match or uncertain" in lines[2]
    assert read_card(checkpoint).calibration is None  # nobody asked for it


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sizes", "241"], "a gallery of 241 records cannot be drawn from 240 crops"),
        (["--split", "val"], "has no image of a known vehicle in the split val"),
        (["--split", "train"], "there are 3 vehicles with a known identity: a calibration needs at least 100"),
        (["--where", "colour=red"], "a condition is column=value"),
    ],
)
def test_what_cannot_be_calibrated_on_is_refused(
    arguments: list[str],
    said: str,
    vehicles: Path,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = checkpoint.read_bytes()
    assert run_calibrate(monkeypatch, "--checkpoint", checkpoint, "--data", vehicles, "--annotate", *arguments) == 1
    assert said in capsys.readouterr().err
    assert checkpoint.read_bytes() == before


def test_a_calibration_is_measured_on_other_vehicles_and_not_fitted_to_them(
    vehicles: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--checkpoint", checkpoint, "--data", vehicles, "--queries", "200"]
    assert run_calibrate(monkeypatch, *arguments, "--measure") == 1
    assert "has no calibration that could be measured" in capsys.readouterr().err
    assert run_calibrate(monkeypatch, *arguments, "--sizes", "20,100", "--annotate", "--json") == 0
    fitted = Calibration.from_dict(json.loads(capsys.readouterr().out))
    before = checkpoint.read_bytes()
    assert run_calibrate(monkeypatch, *arguments, "--measure", "--seed", "1", "--json") == 0
    measured = Calibration.from_dict(json.loads(capsys.readouterr().out))
    assert (measured.match_distance, measured.weights) == (fitted.match_distance, fitted.weights)
    assert [size["num_records"] for size in measured.measured["sizes"]] == [20, 100]
    assert measured.measured != fitted.measured
    assert checkpoint.read_bytes() == before
    with pytest.raises(SystemExit):
        run_calibrate(monkeypatch, *arguments, "--measure", "--annotate")


@pytest.mark.parametrize("sizes", ["100,10", "0,10", "ten", "10,10", ""])
def test_sizes_rise(sizes: str, vehicles: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit) as raised:
        run_calibrate(monkeypatch, "--checkpoint", checkpoint, "--data", vehicles, "--sizes", sizes)
    assert raised.value.code == 2


def test_a_run_ships_whole_with_its_own_figures(
    vehicles: Path,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("training.ship.NUM_QUERIES", 200)
    run = tmp_path / "run"
    run.mkdir()
    checkpoint.rename(run / "best.safetensors")
    out = tmp_path / "ship" / "new.safetensors"
    assert run_ship(monkeypatch, run, "--out", out, "--data", vehicles, "--calibration-data", vehicles, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    card = load_checkpoint(out).card
    assert result["fingerprint"] == card.fingerprint
    assert card.training["halved_from"] == read_card(run / "best.safetensors").fingerprint
    assert card.evaluation is not None
    assert card.calibration is not None
    assert card.evaluation["model"] == card.fingerprint
    assert card.evaluation["num_queries"] == NUM_VEHICLES
    assert 0 <= card.evaluation["alignment"]["after"]["modulo_180"]["median_deg"] <= 45
    assert card.evaluation["reranked"]["map"] > 0
    assert Calibration.from_dict(card.calibration).fitted_on["model"] == card.fingerprint
    text = out.with_suffix(".md").read_text("utf-8")
    assert card.fingerprint in text
    assert f"CMC-1 {card.evaluation['cmc']['1']:.1%}" in text
    assert sorted(path.name for path in out.parent.iterdir()) == ["new.md", "new.safetensors"]


def test_nothing_ships_if_a_step_fails(
    vehicles: Path,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("training.ship.calibrate_on", fail)
    out = tmp_path / "ship" / "new.safetensors"
    assert run_ship(monkeypatch, checkpoint, "--out", out, "--data", vehicles, "--calibration-data", vehicles) == 1
    assert capsys.readouterr().err == "training.ship: the disk is full\n"
    assert list(out.parent.iterdir()) == []


def test_it_overwrites_nothing(
    vehicles: Path,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    card = tmp_path / "new.md"
    card.write_text("mine")
    out = tmp_path / "new.safetensors"
    assert run_ship(monkeypatch, checkpoint, "--out", out, "--data", vehicles, "--calibration-data", vehicles) == 1
    assert f"{card} is there already" in capsys.readouterr().err
    assert card.read_text() == "mine"
