import pytest
import torch
from torch import Tensor

from model.polar import FEATURE_DIM, NUM_HEADINGS
from training.heading.ends import find_ends

HALF = NUM_HEADINGS // 2


def vehicles(num: int, noise: float, odd: float = 1.0) -> tuple[Tensor, Tensor]:
    """Circles that have an axis and a smaller difference of its ends in common, turned by chance; and the turns."""
    random = torch.Generator().manual_seed(0)
    pattern = torch.randn(FEATURE_DIM, NUM_HEADINGS, generator=random)
    even, uneven = pattern + pattern.roll(HALF, -1), pattern - pattern.roll(HALF, -1)
    turns = torch.randint(NUM_HEADINGS, (num,), generator=random)
    circles = torch.stack([(even + odd * uneven).roll(int(turn), -1) for turn in turns])
    return circles + noise * torch.randn(circles.shape, generator=random), turns


def likeness_of(ends: Tensor) -> Tensor:
    """Sure of the axis, less of the end."""
    likeness = torch.zeros(len(ends), NUM_HEADINGS)
    likeness[torch.arange(len(ends)), (ends + HALF) % NUM_HEADINGS] = 0.9
    likeness[torch.arange(len(ends)), ends] = 1.0
    return likeness


@pytest.mark.parametrize("noise", [0.0, 4.0])
def test_vehicles_seen_the_wrong_way_round_are_found(noise: float) -> None:
    circles, turns = vehicles(60, noise, odd=0.5)
    wrong = torch.arange(60) % 3 == 0
    found = find_ends(circles, likeness_of((turns + HALF * wrong) % NUM_HEADINGS))
    assert found.tolist() == wrong.tolist()


def test_most_keep_their_end() -> None:
    circles, turns = vehicles(60, 1.0)
    wrong = torch.arange(60) % 3 != 0  # two thirds are the other way round: then these are right
    found = find_ends(circles, likeness_of((turns + HALF * wrong) % NUM_HEADINGS))
    assert found.tolist() == (~wrong).tolist()


def test_the_answer_is_the_same_every_time() -> None:
    circles, turns = vehicles(40, 6.0, odd=0.2)
    likeness = likeness_of(turns)
    torch.manual_seed(1)
    first = find_ends(circles, likeness)
    torch.manual_seed(2)
    assert torch.equal(find_ends(circles, likeness), first)


def test_a_handful_of_vehicles_will_do() -> None:
    circles, turns = vehicles(2, 0.0)
    assert find_ends(circles, likeness_of(turns)).tolist() == [False, False]
