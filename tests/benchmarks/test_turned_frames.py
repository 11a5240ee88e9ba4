import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.turned_frames import cut_circles
from index.manifest import Entry, Manifest
from index.protocol import Protocol
from index.task import plan_task
from model.box import Box
from model.image import read_image
from tests.training.alignment.test_turning import pointer, points_to


@pytest.fixture
def frames(tmp_path: Path) -> Manifest:
    Image.fromarray(pointer(20)).save(tmp_path / "a.png")
    entries = (
        Entry("a.png", "v", role="gallery", box=Box(50, 50, 101, 101)),
        Entry("a.png", "v", role="query", box=Box(48, 48, 105, 105)),
        Entry("a.png", "border", role="gallery", box=Box(0, 0, 60, 60)),
        Entry("a.png", "", box=Box(50, 50, 101, 101)),
    )
    return Manifest(tmp_path, entries, Protocol())


def test_vehicles_at_the_border_and_unknown_ones_are_left_out(frames: Manifest, tmp_path: Path) -> None:
    cut = cut_circles(frames, tmp_path / "out", turn_queries=False)
    assert [(entry.identity, entry.role, entry.box) for entry in cut.entries] == [
        ("v", "gallery", None),
        ("v", "query", None),
    ]
    assert [points_to(read_image(cut.path_of(entry))) for entry in cut.entries] == pytest.approx([20, 20], abs=1.5)
    assert len(plan_task(cut).queries) == 1


def test_only_queries_are_turned_and_alike_for_the_same_seed(frames: Manifest, tmp_path: Path) -> None:
    first, again, other = (
        cut_circles(frames, tmp_path / name, turn_queries=True, seed=seed)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    seen = [[read_image(cut.path_of(entry)) for entry in cut.entries] for cut in (first, again, other)]
    assert points_to(seen[0][0]) == pytest.approx(20, abs=1.5)
    turn = float(np.random.default_rng([0, 1]).uniform(0, 360))
    off = points_to(seen[0][1]) - 20 - turn
    assert abs((off + 180) % 360 - 180) < 1.5
    assert np.array_equal(seen[0][1], seen[1][1])
    assert not np.array_equal(seen[0][1], seen[2][1])


def test_a_circle_is_as_large_as_in_the_frame(frames: Manifest, tmp_path: Path) -> None:
    cut = cut_circles(frames, tmp_path / "out", turn_queries=False)
    assert read_image(cut.path_of(cut.entries[0])).shape[0] == round(math.hypot(101, 101))
