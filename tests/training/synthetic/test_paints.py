from collections import Counter

import numpy as np
import pytest

from training.synthetic.vehicles.atlas import Colour
from training.synthetic.vehicles.paints import draw_paint
from training.synthetic.vehicles.types import COLOURS

NUM = 3000


@pytest.fixture(scope="module")
def paints() -> list[tuple[str, Colour]]:
    random = np.random.default_rng(3)
    return [draw_paint(random, "sedan") for _ in range(NUM)]


def test_three_vehicles_in_four_have_no_hue(paints: list[tuple[str, Colour]]) -> None:
    counts = Counter(name for name, _ in paints)
    assert set(counts) == set(COLOURS)
    neutral = sum(counts[name] for name in ("white", "black", "grey", "silver")) / NUM
    assert neutral == pytest.approx(0.76, abs=4 * np.sqrt(0.76 * 0.24 / NUM))
    assert counts["blue"] > counts["red"] > counts["green"] > counts["orange"]


def test_shades_are_those_of_their_names(paints: list[tuple[str, Colour]]) -> None:
    for name, (red, green, blue) in paints:
        grey, spread = (red + green + blue) / 3, max(red, green, blue) - min(red, green, blue)
        assert min(red, green, blue) >= 6
        if name == "white":
            assert grey > 140
        if name == "black":
            assert grey < 60
        if name in ("white", "black", "grey", "silver"):
            assert spread < 50
        if name == "blue":
            assert blue > red
        if name in ("red", "orange", "yellow"):
            assert red > blue


def test_hardly_two_vehicles_have_the_same_shade(paints: list[tuple[str, Colour]]) -> None:
    assert len({shade for _, shade in paints}) > 0.7 * NUM


def test_most_of_those_that_work_are_white() -> None:
    random = np.random.default_rng(3)
    names = Counter(draw_paint(random, "van")[0] for _ in range(NUM))
    assert names["white"] / NUM == pytest.approx(0.75 / 1.5, abs=0.05)
