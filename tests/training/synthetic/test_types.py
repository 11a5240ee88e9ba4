from typing import Any

import numpy as np
import pytest

from training.synthetic.vehicles import vehicle
from training.synthetic.vehicles.body import Shape
from training.synthetic.vehicles.types import COLOURS, TYPES

NUM = 3000


@pytest.fixture(scope="module")
def drawn() -> list[tuple[str, str, Shape]]:
    """Kind, colour and model of many vehicles, without building them."""
    found: list[tuple[str, str, Shape]] = []

    def note(kind: str, colour: str, shape: Shape, *_: Any) -> None:
        found.append((kind, colour, shape))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(vehicle, "_assemble", note)
        for number in range(NUM):
            vehicle.build_vehicle(3, number)
    return found


def within(share: float) -> float:
    return 4 * float(np.sqrt(share * (1 - share) / NUM))


@pytest.mark.parametrize("kind", TYPES)
def test_kinds_are_as_common_as_their_shares(drawn: list[tuple[str, str, Shape]], kind: str) -> None:
    share = TYPES[kind].share
    assert np.mean([name == kind for name, _, _ in drawn]) == pytest.approx(share, abs=within(share))


@pytest.mark.parametrize("colour", COLOURS)
def test_colours_are_as_common_as_their_shares(drawn: list[tuple[str, str, Shape]], colour: str) -> None:
    share = COLOURS[colour][0]
    others = [name == colour for kind, name, _ in drawn if kind != "bus"]
    assert np.mean(others) == pytest.approx(share, abs=within(share))


def test_shares_are_parts_of_a_whole() -> None:
    assert sum(kind.share for kind in TYPES.values()) == pytest.approx(1)
    assert sum(share for share, _ in COLOURS.values()) == pytest.approx(1)


def test_no_bus_is_black_or_grey(drawn: list[tuple[str, str, Shape]]) -> None:
    colours = {colour for kind, colour, _ in drawn if kind == "bus"}
    assert "white" in colours
    assert not colours & {"black", "grey"}


def test_each_kind_has_four_models(drawn: list[tuple[str, str, Shape]]) -> None:
    for kind in TYPES:
        assert len({shape for name, _, shape in drawn if name == kind}) == 4


def test_models_are_the_same_for_every_seed(drawn: list[tuple[str, str, Shape]]) -> None:
    models = {shape for _, _, shape in drawn}
    for seed in (0, 8):
        assert vehicle.build_vehicle(seed, 1).shape in models


@pytest.mark.parametrize("kind", TYPES)
def test_proportions_are_those_of_a_vehicle(kind: str) -> None:
    for seed in range(50):
        shape = TYPES[kind].shape(np.random.default_rng(seed))
        low, high = TYPES[kind].length
        assert low <= shape.length <= high
        assert shape.clearance < shape.nose < shape.belt < shape.height
        assert shape.clearance < shape.deck < shape.height
        assert -shape.length / 2 < min(shape.rear_window)
        assert max(shape.rear_window) < shape.windscreen[1] < shape.windscreen[0] < shape.length / 2
        assert all(-1 <= start < end <= 1 for start, end in shape.pillars)
