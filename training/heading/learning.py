"""Teaches `PolarHeading` one heading for all vehicles, from crops and identities alone.

Three phases, one optimiser:

1. matching (`matching_loss`): vehicles are recognised at some heading or other, so the features learn to tell turns;
2. axis: the features of all vehicles are congealed, and the pattern learns the axis they agree on, front or rear alike;
3. ends: which end of its axis a vehicle's heading is, is read off what all have in common (`find_ends`), and learned;
   the better the features, the better the next reading.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.normalization import Normalization
from model.polar import NUM_HEADINGS, PolarHeading, peak_rad, polar_views, thumbnails
from training.heading.congealing import congeal
from training.heading.ends import find_ends
from training.heading.losses import bump_loss, located_matching_loss, matching_loss
from training.heading.templates import Templates
from training.heading.upright import upright_turn_rad

BATCH_SIZE: Final = 64
_MOST_IDENTITIES: Final = 2000
_MOST_CONGEALED: Final = 6000
_SHARES: Final = {"matching": 0.45, "axis": 0.1}  # of the steps; the rest is for the ends
_STEPS_PER_READING: Final = 80
_LEARNING_RATE: Final = 2e-3
_WEIGHT_DECAY: Final = 1e-3
_WARMUP_STEPS: Final = 50
_HEADING_SHARPNESS: Final = 20.0

Batches = Callable[[Iterable[NDArray[np.int64]]], Iterator[Tensor]]
"""Positions (N,), batch by batch -> images (N, 3, S, S) uint8; such as `Crops.batches`."""


@dataclass(frozen=True)
class Task:
    """What is learned from.

    Attributes:
        batches: gives the images of positions.
        labels: the identity of each position.
        normalization: of the network that the heading belongs to.
        num_steps: of all phases together.
    """

    batches: Batches
    labels: Sequence[int]
    normalization: Normalization
    num_steps: int
    seed: int
    device: torch.device


def learn_heading(heading: PolarHeading, task: Task, on_step: Callable[[int, dict[str, float]], None]) -> None:
    """Trains the heading in place; it is in evaluation mode then.

    Args:
        heading: with fresh weights.
        task: identities with at least two images each teach something; at most `_MOST_IDENTITIES` are looked at.
        on_step: called after each step with its number, from 1, and its losses; what it raises ends the training.

    Raises:
        ImageError, BoxError, OSError: the images cannot be had.
    """
    positions, labels = _chosen(task)
    generator = torch.Generator().manual_seed(task.seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(task.seed)
        templates = Templates(int(labels.max()) + 1).to(task.device)
    optimizer = torch.optim.AdamW(
        [
            {"params": list(heading.parameters()), "weight_decay": _WEIGHT_DECAY},
            {"params": list(templates.parameters()), "weight_decay": 0.0},
        ]
    )
    first_axis = round(_SHARES["matching"] * task.num_steps)
    first_end = first_axis + round(_SHARES["axis"] * task.num_steps)
    at_steps = torch.zeros(len(positions))
    order = _batch_order(len(labels), task)
    for step, (chosen, images) in enumerate(zip(order, task.batches(positions[b] for b in order), strict=True)):
        if step == first_axis:
            at_steps = _congealed(heading, task, positions, generator)
        if step >= first_end and (step - first_end) % _STEPS_PER_READING == 0:
            at_steps = _read_headings(heading, task, positions, labels)
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(step, first_axis, task.num_steps)
        heading.train()
        views, turn_rad = _augmented(task.normalization(images.to(task.device)), generator)
        circle = heading.circle(views)
        log_heading = torch.log_softmax(_HEADING_SHARPNESS * heading.likeness(circle), -1)
        own = templates(circle, torch.from_numpy(labels[chosen]).to(task.device))
        turned = at_steps[chosen].to(task.device) + turn_rad * (NUM_HEADINGS / (2 * math.pi))
        if step < first_axis:
            losses = {"matching": matching_loss(own)}
        elif step < first_end:
            losses = {"matching": matching_loss(own), "axis": bump_loss(log_heading, turned, NUM_HEADINGS // 2)}
        else:
            losses = {"matching": located_matching_loss(own, log_heading), "ends": bump_loss(log_heading, turned)}
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(list(losses.values()))
        optimizer.step()
        on_step(step + 1, {name: float(loss.detach()) for name, loss in losses.items()})
    heading.eval()
    _set_upright(heading, task, positions)


def _chosen(task: Task) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The positions that are learned from, and their identities, numbered anew."""
    labels = np.asarray(task.labels)
    identities, counts = np.unique(labels, return_counts=True)
    identities = identities[counts > 1] if (counts > 1).sum() > 1 else identities
    picked = np.sort(np.random.default_rng(task.seed).permutation(identities)[:_MOST_IDENTITIES])
    positions = np.flatnonzero(np.isin(labels, picked))
    return positions, np.searchsorted(picked, labels[positions])


def _batch_order(num: int, task: Task) -> list[NDArray[np.int64]]:
    """Which of `num` images are in each step's batch: all in turn, in an order of chance.

    Not p x k: the more identities in a batch, the more often every template is taught.
    """
    random = np.random.default_rng([2, task.seed])
    batches: list[NDArray[np.int64]] = []
    while len(batches) < task.num_steps:
        shuffled = random.permutation(num)
        batches += [shuffled[i : i + BATCH_SIZE] for i in range(0, max(num - BATCH_SIZE, 0) + 1, BATCH_SIZE)]
    return batches[: task.num_steps]


def _learning_rate(step: int, num_matching: int, num_steps: int) -> float:
    """Up, and down as half a cosine, once for matching and once at half the height for what follows."""
    first = step < num_matching
    done, total = (step, num_matching) if first else (step - num_matching, num_steps - num_matching)
    highest = _LEARNING_RATE if first else _LEARNING_RATE / 2
    return highest * min(1.0, (done + 1) / _WARMUP_STEPS) * 0.5 * (1 + math.cos(math.pi * done / max(total, 1)))


def _augmented(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Polar views of differently lit, turned, scaled and shifted vehicles, and how far each was turned."""
    num, device = len(images), images.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return (torch.rand(num, *shape, generator=generator) * (high - low) + low).to(device)

    # Of normalised images: a colour cast each, and some without colour, so that paint and light say nothing.
    images = thumbnails(images) * uniform(0.6, 1.4, 1, 1, 1) * uniform(0.8, 1.2, 3, 1, 1) + uniform(-0.5, 0.5, 3, 1, 1)
    images = torch.where(uniform(0, 1, 1, 1, 1) < 0.3, images.mean(1, keepdim=True), images)
    turn_rad = uniform(0, 2 * math.pi)
    # Crops are cut tight here and wide there.
    return polar_views(images, turn_rad, uniform(0.85, 1.35), uniform(-0.1, 0.1, 2)), turn_rad


def _circles(heading: PolarHeading, task: Task, positions: NDArray[np.int64]) -> Tensor:
    """The features of all positions (P, F, K), as they are seen without augmentation."""
    heading.eval()
    return torch.cat([heading.circle(polar_views(thumbnails(images))) for images in _in_order(task, positions)])


@torch.no_grad()
def _congealed(heading: PolarHeading, task: Task, positions: NDArray[np.int64], generator: torch.Generator) -> Tensor:
    """Each position's axis in steps (P,), and the heading's pattern set to what the vehicles have in common."""
    circles = _circles(heading, task, positions)
    some = torch.randperm(len(circles), generator=generator)[:_MOST_CONGEALED]
    _, mean = congeal(circles[some.to(circles.device)], generator)
    heading.pattern.copy_(mean)
    return heading.likeness(circles).argmax(-1).float().cpu()


@torch.no_grad()
def _read_headings(
    heading: PolarHeading, task: Task, positions: NDArray[np.int64], labels: NDArray[np.int64]
) -> Tensor:
    """Each position's heading in steps (P,): the axis as the network sees it, the end as all vehicles have it."""
    circles = _circles(heading, task, positions)
    likeness = heading.likeness(circles)
    seen = peak_rad(likeness) * (NUM_HEADINGS / (2 * math.pi))
    return (seen + (NUM_HEADINGS // 2) * find_ends(circles, likeness, torch.from_numpy(labels))).cpu()


@torch.no_grad()
def _set_upright(heading: PolarHeading, task: Task, positions: NDArray[np.int64]) -> None:
    few = positions[:: max(1, len(positions) // 512)]
    images = torch.cat([thumbnails(images) for images in _in_order(task, few)])
    heading.zero_rad.fill_(upright_turn_rad(images.cpu(), heading(images).cpu()))


def _in_order(task: Task, positions: NDArray[np.int64]) -> Iterator[Tensor]:
    """The images of the positions, normalised, on the device, batch by batch."""
    for images in task.batches(positions[i : i + 256] for i in range(0, len(positions), 256)):
        yield task.normalization(images.to(task.device))
