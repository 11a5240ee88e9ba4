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
    found = find_ends(circles, likeness_of((turns + HALF * wrong) % NUM_HEADINGS), torch.arange(60))
    assert found.tolist() == wrong.tolist()


def test_most_keep_their_end() -> None:
    circles, turns = vehicles(60, 1.0)
    wrong = torch.arange(60) % 3 != 0  # two thirds are the other way round: then these are right
    found = find_ends(circles, likeness_of((turns + HALF * wrong) % NUM_HEADINGS), torch.arange(60))
    assert found.tolist() == (~wrong).tolist()


def test_the_answer_is_the_same_every_time() -> None:
    circles, turns = vehicles(40, 6.0, odd=0.2)
    likeness = likeness_of(turns)
    torch.manual_seed(1)
    first = find_ends(circles, likeness, torch.arange(40) // 4)
    torch.manual_seed(2)
    assert torch.equal(find_ends(circles, likeness, torch.arange(40) // 4), first)


def test_a_handful_of_vehicles_will_do() -> None:
    circles, turns = vehicles(2, 0.0)
    assert find_ends(circles, likeness_of(turns), torch.arange(2)).tolist() == [False, False]


def test_an_identitys_views_are_judged_together() -> None:
    # What all have in common is weak, what an identity's views have in common is not.
    random = torch.Generator().manual_seed(3)
    num, views = 100, 8
    circles, turns = vehicles(num * views, 12.0, odd=0.4)
    own = torch.randn(num, FEATURE_DIM, NUM_HEADINGS, generator=random)
    own = (own - own.roll(HALF, -1)).repeat_interleave(views, 0)
    circles += 4 * torch.stack([mark.roll(int(turn), -1) for mark, turn in zip(own, turns, strict=True)])
    wrong = torch.rand(num * views, generator=random) < 0.3
    likeness = likeness_of((turns + HALF * wrong) % NUM_HEADINGS)
    identities = torch.arange(num).repeat_interleave(views)

    def share_right(of: torch.Tensor) -> float:
        return float((find_ends(circles, likeness, of) == wrong).float().mean())

    together, alone = share_right(identities), share_right(torch.arange(num * views))
    assert together > 0.98
    assert 1 - together < (1 - alone) / 2
    # No order is expected.
    shuffled = torch.randperm(num * views, generator=random)
    found = find_ends(circles[shuffled], likeness[shuffled], identities[shuffled])
    assert (found == find_ends(circles, likeness, identities)[shuffled]).float().mean() > 0.95
