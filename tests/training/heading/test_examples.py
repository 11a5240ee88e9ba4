import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.normalization import Normalization
from model.polar import polar_views
from training.heading import examples as examples_module
from training.heading.examples import Examples, augmented_views

NORMALIZATION = Normalization((0.2, 0.4, 0.6), (0.5, 0.25, 0.1))


def images_of(num: int, channels: int = 3, side: int = 16) -> Tensor:
    values = np.random.default_rng(0).integers(0, 256, (num, channels, side, side), np.uint8)
    return torch.from_numpy(values)


def examples_of(images: Tensor, num_steps: int = 10, seed: int = 0) -> Examples:
    def batches(positions: Iterable[NDArray[np.int64]]) -> Iterator[Tensor]:
        for chosen in positions:
            yield images[torch.from_numpy(chosen)]

    return Examples(batches, [0] * len(images), NORMALIZATION, num_steps, seed, torch.device("cpu"))


# --- in which order


@pytest.fixture
def of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples_module, "BATCH_SIZE", 4)


@pytest.mark.usefixtures("of_four")
@pytest.mark.parametrize(("num", "per_pass"), [(12, 3), (13, 3), (15, 3), (4, 1), (3, 1), (1, 1)])
def test_all_images_come_in_turn(num: int, per_pass: int) -> None:
    order = examples_of(images_of(1), num_steps=7).batch_order(num)
    assert len(order) == 7
    for batch in order:
        assert len(batch) == min(4, num)
        assert len(set(batch.tolist())) == len(batch)
    for first in range(0, 7 - per_pass + 1, per_pass):
        seen = np.concatenate(order[first : first + per_pass]).tolist()
        assert len(set(seen)) == len(seen) == min(4, num) * per_pass
        assert set(seen) <= set(range(num))
    if num > 4 and num % 4:  # who sits a pass out is another one each time
        passes = [np.concatenate(order[first : first + per_pass]).tolist() for first in (0, per_pass)]
        assert set(passes[0]) != set(passes[1])


@pytest.mark.usefixtures("of_four")
def test_the_order_is_one_of_chance_and_follows_from_the_seed() -> None:
    first, again, other = (
        np.concatenate(examples_of(images_of(1), seed=seed).batch_order(40)).tolist() for seed in (0, 0, 1)
    )
    assert first == again != other
    assert first[:40] != sorted(first[:40])


def test_no_step_has_no_batch() -> None:
    assert examples_of(images_of(1), num_steps=0).batch_order(5) == []


# --- as the network sees them


@pytest.mark.parametrize("channels", [3, 4])
def test_images_are_normalised_and_their_masks_left_out(channels: int) -> None:
    images = images_of(5, channels)
    examples = examples_of(images)
    expected = (images[:, :3].double().numpy() / 255 - np.array([0.2, 0.4, 0.6])[:, None, None]) / np.array(
        [0.5, 0.25, 0.1]
    )[:, None, None]
    np.testing.assert_allclose(examples.normalized(images).numpy(), expected, atol=1e-5)
    (found,) = examples.in_order(np.array([3, 0, 3]))
    np.testing.assert_allclose(found.numpy(), expected[[3, 0, 3]], atol=1e-5)


def test_many_images_come_batch_by_batch_in_their_order() -> None:
    images = torch.arange(600, dtype=torch.int32).remainder(251).to(torch.uint8).view(-1, 1, 1, 1).expand(600, 3, 2, 2)
    found = list(examples_of(images).in_order(np.arange(600)))
    assert [len(batch) for batch in found] == [256, 256, 88]
    torch.testing.assert_close(torch.cat(found), NORMALIZATION(images))


# --- augmented


class Uniform:
    """Instead of `torch.rand`: the middle of what is drawn, or what is asked for by the order of the draws."""

    def __init__(self, **draws: float) -> None:
        self._names = iter(("gain", "of_channel", "cast", "grey", "turn", "scale", "shift"))
        self._draws = draws

    def __call__(self, *shape: int, **_: Any) -> Tensor:
        return torch.full(shape, self._draws.get(next(self._names), 0.5))


@pytest.mark.parametrize("turn_share", [0.0, 0.125, 0.7])
def test_a_view_is_turned_by_what_it_says(turn_share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    images = NORMALIZATION(images_of(3, side=64))
    # In the middle of their ranges the others change nothing; the scale's is 1.1.
    monkeypatch.setattr(torch, "rand", Uniform(turn=turn_share, scale=(1.0 - 0.85) / 0.5))
    views, turn_rad = augmented_views(images, torch.Generator())
    assert turn_rad.tolist() == pytest.approx([turn_share * 2 * math.pi] * 3)
    expected = polar_views(images, turn_rad)
    torch.testing.assert_close(views, expected, rtol=0, atol=1e-4)


def test_some_views_have_no_colour_and_every_view_another_cast() -> None:
    images = NORMALIZATION(images_of(400, side=16))
    views, turn_rad = augmented_views(images, torch.Generator().manual_seed(0))
    assert views.shape[:2] == (400, 4)
    grey = (views[:, 0] - views[:, 1]).abs().amax(dim=(1, 2)) < 1e-5
    assert float(grey.float().mean()) == pytest.approx(0.3, abs=0.08)
    counts, _ = np.histogram(turn_rad.numpy(), bins=4, range=(0, 2 * math.pi))
    assert counts.min() > 70
    again, _ = augmented_views(images, torch.Generator().manual_seed(0))
    assert torch.equal(views, again)


def test_some_views_lose_detail_and_all_get_their_own_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples_module, "_MOST_NOISE", 0.0)
    images = torch.randn(400, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    coarse = examples_module.with_less_detail(images, torch.Generator().manual_seed(0))
    assert coarse.shape == images.shape
    # How much of white noise is left: all of it, or what averages over 2 x 2 or 4 x 4 pixels leave, spread out again.
    left = coarse.var(dim=(1, 2, 3)) / images.var(dim=(1, 2, 3))
    shares = [
        ((low < left) & (left < high)).float().mean().item() for low, high in ((0.9, 1.1), (0.05, 0.3), (0, 0.05))
    ]
    assert sum(shares) == pytest.approx(1)
    assert shares == pytest.approx([0.4, 0.35, 0.25], abs=0.08)
    untouched = left > 0.9
    assert torch.equal(coarse[untouched], images[untouched])


def test_noise_is_between_none_and_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples_module, "_HALF_FROM", 2.0)
    monkeypatch.setattr(examples_module, "_QUARTER_FROM", 2.0)
    noisy = examples_module.with_less_detail(torch.zeros(200, 3, 64, 64), torch.Generator().manual_seed(0))
    deviations = noisy.std(dim=(1, 2, 3)) / examples_module._MOST_NOISE
    assert 0 <= deviations.min() < 0.05
    assert 0.95 < deviations.max() < 1.05
    assert deviations.mean() == pytest.approx(0.5, abs=0.07)


def test_larger_images_are_averaged_down_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples_module, "_MOST_NOISE", 0.0)
    assert examples_module.with_less_detail(torch.randn(2, 3, 128, 128), torch.Generator()).shape == (2, 3, 64, 64)
