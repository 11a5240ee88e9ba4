import json
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import fidelity
from index.datasets.task import plan_task
from model.checkpoint import Checkpoint, load_checkpoint
from model.embeddings import Embeddings
from tests.training.runs import write_vehicles
from training.datasets.opening import open_data


@pytest.fixture
def vehicles(tmp_path: Path) -> Path:
    return write_vehicles(tmp_path / "vehicles")


def test_the_network_itself_changes_nothing_and_coarser_numbers_little(
    vehicles: Path, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "benchmarks.fidelity",
        "--data",
        str(vehicles),
        "--checkpoint",
        str(small_checkpoint),
        "--device",
        "cpu",
    ]
    monkeypatch.setattr("benchmarks.fidelity.is_native", lambda device, precision: precision == "float32")
    monkeypatch.setattr(sys, "argv", [*arguments, "--json"])
    assert fidelity.main() == 0
    rows = {row["path"]: row for row in json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]}
    assert set(rows) == {"torch, float32", "rounded to fp16"}
    exact, rounded = rows["torch, float32"], rows["rounded to fp16"]
    assert exact["first_changed"] == exact["right_changed"] == 0
    assert exact["top_10_same"] == 1.0
    assert exact["cmc1"] == exact["cmc1_eager"]
    assert exact["eager_to_second"] < 1e-3 < rounded["eager_to_second"] < 0.5
    assert exact["self_to_second"] < 1e-3
    monkeypatch.setattr(sys, "argv", arguments)
    assert fidelity.main() == 0
    assert "have another first answer" in capsys.readouterr().out


def test_another_network_is_told_apart(vehicles: Path, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = load_checkpoint(small_checkpoint)
    rng = np.random.default_rng(0)

    def at_random(images: NDArray[np.uint8]) -> Embeddings:
        embedding = rng.standard_normal((len(images), 2560)).astype(np.float32)
        return Embeddings(embedding, np.zeros((len(images), 2, 3), np.float32))

    def only_random(_: Checkpoint, __: str) -> list[fidelity.Way]:
        return [("at random", at_random)]

    monkeypatch.setattr(fidelity, "ways", only_random)
    (row,) = fidelity.measure(plan_task(open_data(vehicles)), checkpoint, "cpu")
    assert row["first_changed"] > 0
    assert row["self_to_second"] > 0.5


def test_data_that_are_not_there_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks.fidelity", "--data", str(tmp_path / "none.csv")])
    assert fidelity.main() == 1
    assert capsys.readouterr().err.startswith("benchmarks.fidelity: ")


def test_the_share_of_the_nearest_that_are_the_same() -> None:
    found, expected = np.array([[1, 2, 3], [4, 5, 6]]), np.array([[3, 1, 2], [4, 7, 8]])
    assert fidelity._share_shared(found, expected) == 4 / 6
