"""A made-up network that sees the heading exactly, half of it, or nothing."""

import dataclasses
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from index.datasets.manifest import Entry, Manifest, ManifestError, write_manifest
from index.datasets.protocol import Protocol
from model.box import Box
from model.checkpoint import save_checkpoint
from model.embeddings import Embeddings
from model.preprocessing import Preprocessing, Resize
from model.sanet import SANet
from tests.training.alignment.test_turning import pointer, points_to
from training.alignment import __main__ as command
from training.alignment.consistency import TURNS_DEG, measure_consistency
from training.alignment.headings import input_heading_deg, measure_headings


def theta_turning_by(degrees: float) -> NDArray[np.float32]:
    """Output to input, rows pointing down: turns the content counter-clockwise."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cos, -sin, 0], [sin, cos, 0]], np.float32)


def network(rotation_of: Callable[[float], float]) -> Callable[[NDArray[np.uint8]], Embeddings]:
    def embed(images: NDArray[np.uint8]) -> Embeddings:
        thetas = [theta_turning_by(rotation_of(points_to(image))) for image in images]
        return Embeddings(np.zeros((len(images), 2), np.float32), np.stack(thetas))

    return embed


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("frames")
    entries = []
    for number, angle in enumerate((0, 50, 100, -70)):
        Image.fromarray(pointer(angle)).save(folder / f"{number}.png")
        box = Box(50, 50, 101, 101)
        entries.append(Entry(f"{number}.png", f"v{number}", box=box, further={"heading_deg": str(angle)}))
    write_manifest(folder / "manifest.csv", entries, Protocol())
    return Manifest(folder, tuple(entries), Protocol())


@pytest.mark.parametrize(
    ("rotation_of", "median"),
    [(lambda seen: 30 - seen, 0.0), (lambda _: 0.0, 90.0), (lambda seen: -seen + 180 * (seen > 0), 90.0)],
    ids=["always comes back", "never turns", "takes front for rear half of the time"],
)
def test_consistency_of_networks_whose_behaviour_is_known(
    frames: Manifest, rotation_of: Callable[[float], float], median: float
) -> None:
    seen: list[int] = []
    result = measure_consistency(
        frames, frames.entries, Preprocessing(64), network(rotation_of), TURNS_DEG, seen.append
    )
    assert np.median(result.residuals_deg) == pytest.approx(median, abs=2.5)
    assert result.residuals_deg.shape == (4, len(TURNS_DEG))
    assert result.num_skipped == 0
    assert sum(seen) == 4


def test_vehicles_at_the_border_and_without_box_are_skipped(frames: Manifest) -> None:
    entries = [*frames.entries, Entry("0.png", "b", box=Box(0, 0, 60, 60)), Entry("1.png", "c")]
    result = measure_consistency(frames, entries, Preprocessing(64), network(lambda seen: -seen))
    assert result.num_skipped == 2
    assert result.to_dict()["num_vehicles"] == 4
    with pytest.raises(ManifestError, match="corners"):
        measure_consistency(frames, entries[-2:], Preprocessing(64), network(lambda seen: -seen))


def test_headings_of_vehicles_turned_alike(frames: Manifest) -> None:
    known = [0.0, 50.0, 100.0, -70.0]
    thetas = np.stack([theta_turning_by(90 - heading) for heading in known])
    result = measure_headings(frames, frames.entries, thetas, "stretch")
    assert result["after"]["modulo_360"]["median_deg"] == pytest.approx(0, abs=1e-4)
    assert result["after"]["modulo_360"]["share_within_15_deg"] == 1
    assert result["before"]["modulo_360"]["median_deg"] > 40


def test_front_taken_for_rear_shows_modulo_360_only(frames: Manifest) -> None:
    known = [0.0, 50.0, 100.0, -70.0]
    thetas = np.stack([theta_turning_by(90 - h + 180 * (i % 2)) for i, h in enumerate(known)])
    result = measure_headings(frames, frames.entries, thetas, "stretch")["after"]
    assert result["modulo_180"]["median_deg"] == pytest.approx(0, abs=1e-4)
    assert result["modulo_360"]["share_within_15_deg"] <= 0.5


def test_a_padded_crop_keeps_the_heading_that_is_known(frames: Manifest) -> None:
    known = (10.0, 50.0, 100.0, -70.0)
    wide = [
        Entry(f"{number}.png", f"v{number}", box=Box(0, 60, 201, 80), further={"heading_deg": str(heading)})
        for number, heading in enumerate(known)
    ]
    thetas = np.stack([theta_turning_by(90 - heading) for heading in known])
    padded = measure_headings(frames, wide, thetas, "pad")
    assert padded["after"]["modulo_360"]["median_deg"] == pytest.approx(0, abs=1e-4)
    still = np.stack([theta_turning_by(0)] * 4)
    assert measure_headings(frames, wide, still, "pad")["after"] == padded["before"]
    # Stretched, the same crops would have other headings, which these turns do not make alike.
    stretched = measure_headings(frames, wide, thetas, "stretch")
    assert stretched["after"]["modulo_360"]["median_deg"] > 5
    assert stretched["before"] != padded["before"]


def test_stretching_a_crop_to_a_square_moves_its_heading() -> None:
    assert input_heading_deg(45, 100, 100) == pytest.approx(45)
    # Twice as wide as high: across is squeezed.
    assert input_heading_deg(45, 200, 100) == pytest.approx(math.degrees(math.atan(2)))
    assert input_heading_deg(-135, 200, 100) == pytest.approx(math.degrees(math.atan(2)) - 180)
    assert input_heading_deg(90, 200, 100) == pytest.approx(90)


def test_the_interval_is_that_of_identities(frames: Manifest) -> None:
    thetas = np.stack([theta_turning_by(angle) for angle in (0, 0, 0, 0)])
    result = measure_headings(frames, frames.entries, thetas, "stretch")["after"]["modulo_360"]
    low, high = result["median_interval_deg"]
    assert low < result["median_deg"] < high


@pytest.fixture
def checkpoint(small_network: SANet, small_preprocessing: Preprocessing, tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "c.safetensors", small_network, small_preprocessing, {"trained": False})
    return tmp_path / "c.safetensors"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["training.alignment", *map(str, arguments)])
    return command.main()


def test_the_command_measures_a_checkpoint(
    frames: Manifest, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fixture's network turns everything by next to nothing."""
    given = ("--checkpoint", checkpoint, "--data", frames.folder, "--quiet", "--json")
    assert run(monkeypatch, "consistency", *given) == 0
    consistency = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert consistency["median_deg"] == pytest.approx(90, abs=20)
    assert consistency["num_vehicles"] == 4
    assert run(monkeypatch, "headings", *given) == 0
    headings = json.loads(capsys.readouterr().out.splitlines()[-1])
    before, after = headings["before"]["modulo_360"], headings["after"]["modulo_360"]
    assert before["median_deg"] == pytest.approx(after["median_deg"], abs=2)
    assert len(headings["model"]) == 64


def test_the_command_knows_how_the_checkpoint_fills_its_square(
    frames: Manifest,
    small_network: SANet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    entries = [dataclasses.replace(entry, box=Box(0, 60, 201, 80)) for entry in frames.entries]
    write_manifest(frames.folder / "wide.csv", entries, Protocol())
    still = np.stack([theta_turning_by(0)] * 4)
    for resize in get_args(Resize):
        path = tmp_path / f"{resize}.safetensors"
        save_checkpoint(path, small_network, Preprocessing(64, resize=resize), {"trained": False})
        given = ("--checkpoint", path, "--data", frames.folder / "wide.csv", "--quiet", "--json")
        assert run(monkeypatch, "headings", *given) == 0
        found = json.loads(capsys.readouterr().out.splitlines()[-1])["before"]
        assert found == measure_headings(frames, entries, still, resize)["before"]


def test_what_cannot_be_measured_is_said(
    frames: Manifest,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    plain = [Entry(entry.path, entry.identity) for entry in frames.entries]
    manifest = frames.folder / "plain.csv"
    write_manifest(manifest, plain, Protocol())
    given = ("--checkpoint", checkpoint, "--data", manifest, "--quiet")
    assert run(monkeypatch, "headings", *given) == 1
    assert "heading_deg" in capsys.readouterr().err
    assert run(monkeypatch, "consistency", *given) == 1
    assert "corners" in capsys.readouterr().err
    assert run(monkeypatch, "headings", *given, "--split", "test") == 1
    assert "no images" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "headings", *given, "--device", "abacus")
    assert stop.value.code == 2
