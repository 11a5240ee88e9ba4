import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks import alignment as benchmark
from benchmarks.alignment import crossing, decoy, read_oriented_boxes, widened
from index.datasets.manifest import Entry, Manifest
from index.datasets.protocol import Protocol
from model.box import Box
from model.embeddings import Embeddings
from model.preprocessing import Preprocessing
from training.alignment.turning import circle_around


def theta_turning_by(degrees: float) -> NDArray[np.float32]:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cos, -sin, 0], [sin, cos, 0]], np.float32)


def direction_of(view: NDArray[np.uint8], channel: int) -> float:
    """Where one colour lies, seen from the middle: a red vehicle points with red, its surroundings with green."""
    rows, columns = np.nonzero((view[..., channel] > 150) & (view[..., 1 - channel] < 100))
    middle = (len(view) - 1) / 2
    return math.degrees(math.atan2(middle - rows.mean(), columns.mean() - middle))


def follower(channel: int) -> Callable[[NDArray[np.uint8]], Embeddings]:
    """Turns what it follows to the right."""

    def embed(views: NDArray[np.uint8]) -> Embeddings:
        thetas = [theta_turning_by(-direction_of(view, channel)) for view in views]
        return Embeddings(np.zeros((len(views), 2), np.float32), np.stack(thetas))

    return embed


@pytest.fixture
def frame(tmp_path: Path) -> Manifest:
    """A red bar that points up inside the circle of its box, and a green patch to the right beyond it."""
    pixels = np.zeros((201, 201, 3), np.uint8)
    pixels[70:100, 97:104, 0] = 255
    pixels[90:111, 146:154, 1] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    entries = (Entry("a.png", "a", box=Box(70, 70, 61, 61)), Entry("a.png", "b", box=Box(0, 0, 40, 40)))
    return Manifest(tmp_path, entries, Protocol())


def test_who_follows_the_vehicle_does_not_notice_its_surroundings(frame: Manifest) -> None:
    found = decoy(frame, frame.entries, Preprocessing(96), follower(0))
    assert found["num_vehicles"] == 1
    assert found["surroundings_turned_median_deg"] < 1
    assert found["vehicle_turned_median_deg"] < 2


def test_who_follows_the_surroundings_is_found_out(frame: Manifest) -> None:
    found = decoy(frame, frame.entries, Preprocessing(96), follower(1))
    assert found["surroundings_turned_median_deg"] > 60
    assert found["vehicle_turned_median_deg"] > 60


@pytest.fixture
def crossroads(tmp_path: Path) -> Manifest:
    """A lying and a standing red bar with green shadows, up to the right; a second frame has a standing one alone."""
    pixels = np.zeros((200, 400, 3), np.uint8)
    pixels[95:105, 70:130, 0] = 255
    pixels[70:130, 295:305, 0] = 255
    pixels[82:88, 112:118, 1] = pixels[82:88, 312:318, 1] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels[:, 200:]).save(tmp_path / "b.png")
    boxes = [("a.png", Box(70, 95, 60, 10)), ("a.png", Box(295, 70, 10, 60)), ("b.png", Box(95, 70, 10, 60))]
    square = Entry("a.png", "s", box=Box(80, 80, 40, 40))
    return Manifest(tmp_path, (*(Entry(path, "v", box=box) for path, box in boxes), square), Protocol())


def test_who_follows_the_vehicle_puts_both_kinds_upright(crossroads: Manifest) -> None:
    def embed(views: NDArray[np.uint8]) -> Embeddings:
        reds = [np.nonzero(view[..., 0] > 150) for view in views]
        lie = [np.ptp(columns) > np.ptp(rows) for rows, columns in reds]
        thetas = [theta_turning_by(90.0 if lies else 0.0) for lies in lie]
        return Embeddings(np.zeros((len(views), 2), np.float32), np.stack(thetas))

    found = crossing(crossroads, crossroads.entries, Preprocessing(96), embed)
    assert found["num_frames"] == 1
    for kind in ("lying", "standing"):
        assert found[kind] == {"num_vehicles": 1, "median_deg": pytest.approx(0, abs=0.1), "share_within_15_deg": 1.0}


def test_who_follows_the_shadow_gets_one_kind_wrong(crossroads: Manifest) -> None:
    def embed(views: NDArray[np.uint8]) -> Embeddings:
        # The second frame has no shadow.
        thetas = [theta_turning_by(45.0 - direction_of(view, 1) if view[..., 1].max() > 150 else 0) for view in views]
        return Embeddings(np.zeros((len(views), 2), np.float32), np.stack(thetas))

    found = crossing(crossroads, crossroads.entries, Preprocessing(96), embed)
    off = sorted(found[kind]["median_deg"] for kind in ("lying", "standing"))
    assert off == pytest.approx([0, 90], abs=5)


def test_a_widened_box_keeps_its_centre() -> None:
    box = Box(10, 20, 40, 30)
    wide = widened(box, 1.5)
    assert circle_around(wide)[:2] == pytest.approx(circle_around(box)[:2], abs=0.5)
    assert circle_around(wide)[2] == pytest.approx(1.5 * circle_around(box)[2], rel=0.02)


def test_oriented_boxes_have_the_axis_of_their_long_side(tmp_path: Path) -> None:
    lines = [
        "imagesource:GoogleEarth",
        "gsd:0.26",
        "10 10 50 10 50 20 10 20 small-vehicle 0",  # along the rows
        "10 10 20 10 20 60 10 60 large-vehicle 1",  # along the columns
        "0 30 30 0 37 7 7 37 small-vehicle 0",  # up to the right
        "0 0 30 30 23 37 -7 7 small-vehicle 0",  # down to the right
        "0 0 9 0 9 9 0 9 harbor 0",
    ]
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(lines), "utf-8")
    boxes, axes = read_oriented_boxes(labels)
    assert boxes == [Box(10, 10, 40, 10), Box(10, 10, 10, 50), Box(0, 0, 37, 37), Box(-7, 0, 37, 37)]
    assert axes == pytest.approx([0, 90, 45, 135])


@pytest.mark.parametrize("flag", ["--data", "--surroundings", "--frames"])
def test_what_cannot_be_measured_says_why_in_one_line(
    flag: str, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for checkpoint, reason in (("nothing", "there is no checkpoint at"), (small_checkpoint, "there is no manifest at")):
        monkeypatch.setattr(sys, "argv", ["benchmarks.alignment", "--checkpoint", str(checkpoint), flag, "nowhere"])
        assert benchmark.main() == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"benchmarks.alignment: {reason} no")
