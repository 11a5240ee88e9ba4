"""A heading is learned from made-up vehicles whose headings are known, in few and small steps."""

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.normalization import Normalization
from model.polar import PolarHeading
from tests.training.heading.vehicles import vehicles
from training.heading import examples as examples_module
from training.heading import labels as labels_module
from training.heading.examples import Examples
from training.heading.labels import learn_heading_from_labels

NUM_STEPS = 40


def ignore(step: int, losses: dict[str, Tensor]) -> None:
    """For who does not want to know how it goes."""


def learnt(
    images: Tensor,
    headings_rad: Tensor,
    num_steps: int,
    seed: int = 0,
    on_step: Callable[[int, dict[str, Tensor]], None] = ignore,
) -> PolarHeading:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        heading = PolarHeading()
    heading.zero_rad.fill_(1.0)  # whatever it is, the truth is known

    def batches(positions: Iterable[NDArray[np.int64]]) -> Iterator[Tensor]:
        for chosen in positions:
            yield images[torch.from_numpy(chosen)]

    given = Examples(batches, [0] * len(images), Normalization(), num_steps, seed, torch.device("cpu"))
    learn_heading_from_labels(heading, given, headings_rad.double().numpy(), on_step)
    return heading


def off_deg(heading: PolarHeading, images: Tensor, known_rad: Tensor) -> Tensor:
    """How far the found headings are from the known ones: no turn is free."""
    with torch.no_grad():
        found = heading(Normalization()(images))
    return torch.rad2deg(torch.angle(torch.polar(torch.ones_like(found), found - known_rad))).abs()


@pytest.fixture(scope="module")
def losses() -> list[float]:
    """Of each step of `learned`."""
    return []


@pytest.fixture(scope="module")
def learned(losses: list[float]) -> PolarHeading:
    images, known, _ = vehicles(16, 4, seed=0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(examples_module, "BATCH_SIZE", 32)
        patched.setattr(labels_module, "_WARMUP_STEPS", 5)
        return learnt(images, known, NUM_STEPS, on_step=lambda _, found: losses.append(float(found["heading"])))


@pytest.mark.parametrize("seed", [0, 99], ids=["known vehicles", "other vehicles"])
def test_the_front_is_found_where_it_is(learned: PolarHeading, seed: int) -> None:
    """By chance the median were 90 degrees; an axis without its ends, or another zero, were as bad."""
    images, known, _ = vehicles(16, 4, seed)
    assert float(off_deg(learned, images, known).median()) < 5
    assert not learned.training
    assert float(learned.zero_rad) == 0


def test_the_loss_falls_from_what_guessing_costs(learned: PolarHeading, losses: list[float]) -> None:
    assert len(losses) == NUM_STEPS
    assert losses[0] == pytest.approx(math.log(64), rel=0.15)
    assert np.mean(losses[-5:]) < 0.75 * losses[0]


@pytest.fixture(scope="module")
def few() -> tuple[Tensor, Tensor]:
    images, known, _ = vehicles(6, 3, seed=1)
    return images, known


def test_the_same_seed_learns_the_same_weights_and_another_does_not(few: tuple[Tensor, Tensor]) -> None:
    before = torch.random.get_rng_state()
    first = learnt(*few, 3)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    again, other = learnt(*few, 3), learnt(*few, 3, seed=1)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in first.state_dict().items())
    assert not any(torch.equal(tensor, other.get_parameter(name)) for name, tensor in first.named_parameters())


def test_other_headings_are_another_lesson(few: tuple[Tensor, Tensor]) -> None:
    images, known = few
    first, other, whole_turn = (learnt(images, known + turn, 2) for turn in (0, 1.0, 2 * math.pi))
    assert not torch.equal(first.pattern, other.pattern)
    torch.testing.assert_close(first.pattern, whole_turn.pattern, rtol=1e-3, atol=1e-4)


def test_the_steps_are_told_in_turn_and_may_end_it(few: tuple[Tensor, Tensor]) -> None:
    told: list[int] = []

    def stop(step: int, losses: dict[str, Tensor]) -> None:
        told.append(step)
        assert all(loss.isfinite() and not loss.requires_grad for loss in losses.values())
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learnt(*few, 4, on_step=stop)
    assert told == [1, 2]


def test_the_rate_rises_and_falls_as_half_a_cosine() -> None:
    found = [labels_module._learning_rate(step, 200) for step in (0, 24, 49, 100, 199)]
    cosine = [0.5 * (1 + math.cos(math.pi * step / 200)) for step in (0, 24, 49, 100, 199)]
    warm = [1 / 50, 25 / 50, 1, 1, 1]
    assert found == pytest.approx([2e-3 * w * c for w, c in zip(warm, cosine, strict=True)])


def test_without_any_step_there_is_a_heading_all_the_same(few: tuple[Tensor, Tensor]) -> None:
    assert off_deg(learnt(*few, 0), *few).isfinite().all()
