"""Teaches `PolarHeading` one heading for all vehicles, from crops and identities alone.

Three phases, one optimiser:

1. matching (`matching_loss`): vehicles are recognised at some heading or other, so the features learn to tell turns;
2. axis: the features of all vehicles are congealed, and the pattern learns the axis they agree on, front or rear alike;
3. ends: which end of its axis a vehicle's heading is, is read off what all have in common (`find_ends`), and learned;
   the better the features, the better the next reading.
"""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.polar import NUM_HEADINGS, PolarHeading, peak_rad, polar_views, thumbnails
from training.heading.congealing import congeal
from training.heading.ends import find_ends
from training.heading.examples import Examples, augmented_views
from training.heading.losses import HEADING_SHARPNESS, heading_loss, located_matching_loss, matching_loss
from training.heading.templates import Templates
from training.heading.upright import upright_turn_rad

_MOST_IDENTITIES: Final = 2000
_MOST_CONGEALED: Final = 6000
_SHARES: Final = {"matching": 0.45, "axis": 0.1}  # of the steps; the rest is for the ends
_STEPS_PER_READING: Final = 80
_LEARNING_RATE: Final = 2e-3
_WEIGHT_DECAY: Final = 1e-3
_WARMUP_STEPS: Final = 50


def learn_heading_from_identities(
    heading: PolarHeading, examples: Examples, on_step: Callable[[int, dict[str, Tensor]], None]
) -> None:
    """Trains the heading in place; it is in evaluation mode then.

    Args:
        heading: with fresh weights.
        examples: identities with at least two images each teach something; at most `_MOST_IDENTITIES` are looked at.
        on_step: called after each step with its number, from 1, and its losses; what it raises ends the training.

    Raises:
        ImageError, BoxError, OSError: the images cannot be had.
    """
    positions, labels = _chosen(examples)
    generator = torch.Generator().manual_seed(examples.seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(examples.seed)
        templates = Templates(int(labels.max()) + 1).to(examples.device)
    optimizer = torch.optim.AdamW(
        [
            {"params": list(heading.parameters()), "weight_decay": _WEIGHT_DECAY},
            {"params": list(templates.parameters()), "weight_decay": 0.0},
        ]
    )
    first_axis = round(_SHARES["matching"] * examples.num_steps)
    first_end = first_axis + round(_SHARES["axis"] * examples.num_steps)
    places = torch.zeros(len(positions))
    order = examples.batch_order(len(labels))
    for step, (chosen, images) in enumerate(zip(order, examples.batches(positions[b] for b in order), strict=True)):
        if step == first_axis:
            places = _congealed(heading, examples, positions, generator)
        if step >= first_end and (step - first_end) % _STEPS_PER_READING == 0:
            places = _read_headings(heading, examples, positions, labels)
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(step, first_axis, examples.num_steps)
        heading.train()
        views, turn_rad = augmented_views(examples.normalized(images), generator)
        circle = heading.circle(views)
        log_heading = torch.log_softmax(HEADING_SHARPNESS * heading.likeness(circle), -1)
        log_p = templates(circle, torch.from_numpy(labels[chosen]).to(examples.device))
        turned = places[chosen].to(examples.device) + turn_rad * (NUM_HEADINGS / (2 * math.pi))
        if step < first_axis:
            losses = {"matching": matching_loss(log_p)}
        elif step < first_end:
            losses = {"matching": matching_loss(log_p), "axis": heading_loss(log_heading, turned, NUM_HEADINGS // 2)}
        else:
            losses = {"matching": located_matching_loss(log_p, log_heading), "ends": heading_loss(log_heading, turned)}
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(list(losses.values()))
        optimizer.step()
        on_step(step + 1, {name: loss.detach() for name, loss in losses.items()})
    heading.eval()
    _set_upright(heading, examples, positions)


def _chosen(examples: Examples) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The positions that are learned from, and their identities, numbered anew."""
    labels = np.asarray(examples.labels)
    identities, counts = np.unique(labels, return_counts=True)
    identities = identities[counts > 1] if (counts > 1).sum() > 1 else identities
    picked = np.sort(np.random.default_rng(examples.seed).permutation(identities)[:_MOST_IDENTITIES])
    positions = np.flatnonzero(np.isin(labels, picked))
    return positions, np.searchsorted(picked, labels[positions])


def _learning_rate(step: int, num_matching: int, num_steps: int) -> float:
    """Up, and down as half a cosine, once for matching and once at half the height for what follows."""
    first = step < num_matching
    done, total = (step, num_matching) if first else (step - num_matching, num_steps - num_matching)
    highest = _LEARNING_RATE if first else _LEARNING_RATE / 2
    return highest * min(1.0, (done + 1) / _WARMUP_STEPS) * 0.5 * (1 + math.cos(math.pi * done / max(total, 1)))


def _circles(heading: PolarHeading, examples: Examples, positions: NDArray[np.int64]) -> Tensor:
    """The features of all positions (P, F, K), as they are seen without augmentation."""
    heading.eval()
    return torch.cat([heading.circle(polar_views(thumbnails(images))) for images in examples.in_order(positions)])


@torch.no_grad()
def _congealed(
    heading: PolarHeading, examples: Examples, positions: NDArray[np.int64], generator: torch.Generator
) -> Tensor:
    """Each position's axis in steps (P,), and the heading's pattern set to what the vehicles have in common."""
    circles = _circles(heading, examples, positions)
    some = torch.randperm(len(circles), generator=generator)[:_MOST_CONGEALED]
    _, mean = congeal(circles[some.to(circles.device)], generator)
    heading.pattern.copy_(mean)
    return heading.likeness(circles).argmax(-1).float().cpu()


@torch.no_grad()
def _read_headings(
    heading: PolarHeading, examples: Examples, positions: NDArray[np.int64], labels: NDArray[np.int64]
) -> Tensor:
    """Each position's heading in steps (P,): the axis as the network sees it, the end as all vehicles have it."""
    circles = _circles(heading, examples, positions)
    likeness = heading.likeness(circles)
    seen = peak_rad(likeness) * (NUM_HEADINGS / (2 * math.pi))
    return (seen + (NUM_HEADINGS // 2) * find_ends(circles, likeness, torch.from_numpy(labels))).cpu()


@torch.no_grad()
def _set_upright(heading: PolarHeading, examples: Examples, positions: NDArray[np.int64]) -> None:
    few = positions[:: max(1, len(positions) // 512)]
    images = torch.cat([thumbnails(images) for images in examples.in_order(few)])
    heading.zero_rad.fill_(upright_turn_rad(images.cpu(), heading(images).cpu()))
