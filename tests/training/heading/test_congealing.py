import torch
from torch import Tensor

from model.polar import FEATURE_DIM, NUM_HEADINGS
from training.heading.congealing import congeal


def circles_of_one_thing(turns: Tensor, noise: float) -> Tensor:
    random = torch.Generator().manual_seed(0)
    thing = torch.randn(FEATURE_DIM, NUM_HEADINGS, generator=random)
    turned = torch.stack([thing.roll(int(turn), -1) for turn in turns])
    noisy = turned + noise * torch.randn(turned.shape, generator=random)
    return noisy / noisy.square().sum((1, 2), keepdim=True).sqrt()


def test_noisy_copies_are_turned_until_they_agree() -> None:
    turns = torch.randint(NUM_HEADINGS, (40,), generator=torch.Generator().manual_seed(1))
    found, mean = congeal(circles_of_one_thing(turns, noise=2.0), torch.Generator().manual_seed(2))
    assert len(set((found - turns).remainder(NUM_HEADINGS).tolist())) == 1
    assert mean.shape == (FEATURE_DIM, NUM_HEADINGS)


def test_the_mean_is_that_of_the_turned_circles() -> None:
    turns = torch.tensor([0, 5, 9])
    circles = circles_of_one_thing(turns, noise=0.0)
    found, mean = congeal(circles, torch.Generator().manual_seed(0))
    back = torch.stack([circle.roll(-int(turn), -1) for circle, turn in zip(circles, found, strict=True)])
    assert torch.allclose(mean, back.mean(0), atol=1e-6)
    assert float(mean.norm()) > 0.999


def test_the_same_generator_gives_the_same_answer() -> None:
    circles = circles_of_one_thing(torch.arange(0, 60, 2), noise=3.0)
    first, second = (congeal(circles, torch.Generator().manual_seed(3)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_one_circle_agrees_with_itself() -> None:
    found, mean = congeal(circles_of_one_thing(torch.tensor([7]), noise=0.0), torch.Generator())
    assert found.tolist() == [0]
    assert float(mean.norm()) > 0.999
