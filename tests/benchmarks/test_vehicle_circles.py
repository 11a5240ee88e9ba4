import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.vehicle_circles import NUM_TURNS, cut_circles, turn_deg
from index.datasets.manifest import Entry, Manifest
from index.datasets.protocol import Protocol
from index.datasets.task import plan_task
from model.box import Box
from model.image import read_image
from tests.training.alignment.test_turning import pointer, points_to

GALLERY = Entry("a.png", "v", role="gallery", box=Box(50, 50, 101, 101))
QUERY = Entry("a.png", "v", role="query", box=Box(48, 48, 105, 105))


@pytest.fixture
def frames(tmp_path: Path) -> Manifest:
    Image.fromarray(pointer(20)).save(tmp_path / "a.png")
    border = Entry("a.png", "border", role="gallery", box=Box(0, 0, 60, 60))
    whole = Entry("a.png", "whole", role="query")
    return Manifest(tmp_path, (GALLERY, QUERY, border, whole), Protocol())


def test_vehicles_at_the_border_and_without_a_box_are_left_out(frames: Manifest, tmp_path: Path) -> None:
    circles = cut_circles(frames, tmp_path / "out")
    assert len(circles.queries_turned) == NUM_TURNS == 3
    for cut in (circles.as_they_are, *circles.queries_turned):
        assert sorted((entry.role or "", entry.identity, entry.box) for entry in cut.entries) == [
            ("gallery", "v", None),
            ("query", "v", None),
        ]
        assert len(plan_task(cut).queries) == 1


def test_only_queries_are_turned(frames: Manifest, tmp_path: Path) -> None:
    circles = cut_circles(frames, tmp_path / "out")
    plain = circles.as_they_are
    assert [points_to(read_image(plain.path_of(entry))) for entry in plain.entries] == pytest.approx([20, 20], abs=1.5)
    for turn, cut in enumerate(circles.queries_turned):
        (query,) = (entry for entry in cut.entries if entry.role == "query")
        (gallery,) = (entry for entry in cut.entries if entry.role == "gallery")
        assert gallery in plain.entries
        off = points_to(read_image(cut.path_of(query))) - 20 - turn_deg(QUERY, turn)
        assert abs((off + 180) % 360 - 180) < 1.5


def test_the_turns_are_the_same_whatever_else_is_measured(frames: Manifest, tmp_path: Path) -> None:
    every = cut_circles(frames, tmp_path / "every")
    fewer = cut_circles(replace(frames, entries=(QUERY, GALLERY)), tmp_path / "fewer")
    for one, other in zip(every.queries_turned, fewer.queries_turned, strict=True):
        first, second = (read_image(cut.path_of(cut.entries[0])) for cut in (one, other))
        assert np.array_equal(first, second)
        assert [cut.entries[0].role for cut in (one, other)] == ["query", "query"]


def test_each_turn_has_its_third_of_the_circle_and_chance_the_rest() -> None:
    queries = [replace(QUERY, path=f"{number}.png") for number in range(300)]
    for turn in range(NUM_TURNS):
        shares = [turn_deg(query, turn) / 360 * NUM_TURNS - turn for query in queries]
        counts, _ = np.histogram(shares, 4, (0, 1))
        assert counts.sum() == 300
        assert counts.min() > 50
    assert turn_deg(QUERY, 0) != turn_deg(replace(QUERY, box=Box(48, 48, 105, 104)), 0)


def test_a_circle_is_as_large_as_in_the_frame(frames: Manifest, tmp_path: Path) -> None:
    cut = cut_circles(frames, tmp_path / "out").as_they_are
    (gallery,) = (entry for entry in cut.entries if entry.role == "gallery")
    assert read_image(cut.path_of(gallery)).shape[0] == round(math.hypot(101, 101))
