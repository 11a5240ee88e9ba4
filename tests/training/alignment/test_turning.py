import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from index.datasets.manifest import Entry, Manifest
from index.datasets.protocol import Protocol
from model.box import Box
from model.image import read_image
from training.alignment import turning
from training.alignment.turning import circle_around, circle_fits, turnable, turned_views

FILL = (0.5, 0.25, 0.75)


def pointer(angle_deg: float, size: int = 201) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A white bar from the middle outwards, on black; painted here, not by the code under test."""
    down, across = np.mgrid[0:size, 0:size] - (size - 1) / 2
    along = across * math.cos(math.radians(angle_deg)) - down * math.sin(math.radians(angle_deg))
    aside = across * math.sin(math.radians(angle_deg)) + down * math.cos(math.radians(angle_deg))
    bar = (along > 0) & (along < 55) & (np.abs(aside) < 7)
    return np.repeat((bar * 255).astype(np.uint8)[..., None], 3, axis=2)


def points_to(view: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> float:
    rows, columns = np.nonzero(view.min(2) > 128)
    middle = (len(view) - 1) / 2
    return math.degrees(math.atan2(middle - rows.mean(), columns.mean() - middle))


@pytest.mark.parametrize("start", [0.0, 37.0, -120.0])
@pytest.mark.parametrize("size_px", [64, 160, 256])
def test_the_content_turns_counter_clockwise_by_the_angle(start: float, size_px: int) -> None:
    turns = [0.0, 15.0, 90.0, 180.0, 271.0]
    views = turned_views(pointer(start), Box(50, 50, 101, 101), turns, size_px, FILL)
    assert views.shape == (5, size_px, size_px, 3)
    for turn, view in zip(turns, views, strict=True):
        off = points_to(view) - (start + turn)
        assert abs((off + 180) % 360 - 180) < 1.5


def test_the_box_decides_what_is_in_the_middle_and_how_large() -> None:
    frame = np.zeros((200, 300, 3), np.uint8)
    frame[90:110, 210:250] = 255
    (view,) = turned_views(frame, Box(210, 90, 40, 20), [0.0], 100, FILL)
    rows, columns = np.nonzero(view.min(2) > 128)
    scale = 100 / math.hypot(40, 20)
    assert columns.max() - columns.min() + 1 == pytest.approx(40 * scale, abs=2)
    assert rows.max() - rows.min() + 1 == pytest.approx(20 * scale, abs=2)
    assert columns.mean() == pytest.approx(49.5, abs=0.6)
    assert rows.mean() == pytest.approx(49.5, abs=0.6)


def test_outside_the_circle_there_is_only_the_fill_whatever_the_turn() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (120, 120, 3), np.uint8)
    views = turned_views(frame, Box(40, 40, 40, 40), [0.0, 45.0, 90.0], 64, FILL)
    offset = (np.arange(64) + 0.5) / 32 - 1
    outside = offset[None] ** 2 + offset[:, None] ** 2 > 1
    assert (views[:, outside] == [128, 64, 191]).all()
    assert not (views[:, ~outside] == [128, 64, 191]).all(-1).any(0).all()


def test_a_half_turn_is_the_picture_upside_down() -> None:
    frame = np.array(Image.effect_noise((150, 150), 60).convert("RGB"))
    plain, turned = turned_views(frame, Box(50, 50, 50, 50), [0.0, 180.0], 96, FILL)
    assert np.abs(plain.astype(int) - turned[::-1, ::-1].astype(int)).max() <= 1


def test_a_large_vehicle_is_averaged_down_not_sampled() -> None:
    """Black and white pixels in turn are grey from afar."""
    frame = np.zeros((1200, 1200, 3), np.uint8)
    frame[(np.indices((1200, 1200)).sum(0) % 2) == 0] = 255
    (view,) = turned_views(frame, Box(300, 300, 600, 600), [0.0], 64, FILL)
    middle = view[20:44, 20:44].astype(float)
    assert middle.mean() == pytest.approx(127, abs=4)
    assert middle.std() < 6


def test_what_fits() -> None:
    box = Box(10, 10, 30, 40)
    assert circle_around(box) == (25, 30, 25)
    assert circle_fits(box, 50, 55)
    assert not circle_fits(box, 49, 55)
    assert not circle_fits(box, 50, 54)
    assert not circle_fits(Box(9, 10, 30, 40), 50, 55)
    assert not circle_fits(Box(10, 4, 30, 40), 50, 55)


def test_vehicles_come_frame_by_frame_whatever_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate("ab"):
        Image.new("RGB", (60, 60), (100 * number, 0, 0)).save(tmp_path / f"{name}.png")
    boxes = {"b.png": Box(20, 20, 20, 20), "a.png": Box(20, 20, 10, 30)}
    entries = [
        Entry("b.png", "1", box=boxes["b.png"]),
        Entry("a.png", "2", box=boxes["a.png"]),
        Entry("b.png", "3", box=Box(0, 0, 20, 20)),  # its circle leaves the frame
        Entry("a.png", "4"),
        Entry("b.png", "5", box=boxes["b.png"]),
    ]
    decoded: list[str] = []

    def noted(path: Path) -> NDArray[np.uint8]:
        decoded.append(path.name)
        return read_image(path)

    monkeypatch.setattr(turning, "read_image", noted)
    found = list(turnable(Manifest(tmp_path, tuple(entries), Protocol()), entries))
    assert [one.position for one in found] == [1, 0, 4]
    assert [one.box for one in found] == [boxes["a.png"], boxes["b.png"], boxes["b.png"]]
    assert [one.frame[0, 0, 0] for one in found] == [0, 100, 100]
    assert decoded == ["a.png", "b.png"]
