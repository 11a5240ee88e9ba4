"""Teaches `PolarHeading` the heading that the data itself knows, such as that of drawn vehicles."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.polar import NUM_HEADINGS, PolarHeading
from training.heading.examples import Examples, augmented_views, with_less_detail
from training.heading.losses import HEADING_SHARPNESS, heading_loss

_LEARNING_RATE: Final = 2e-3
_WEIGHT_DECAY: Final = 1e-3
_WARMUP_STEPS: Final = 50


def learn_heading_from_labels(
    heading: PolarHeading,
    examples: Examples,
    headings_rad: NDArray[np.float64],
    on_step: Callable[[int, dict[str, Tensor]], None],
) -> None:
    """Trains the heading in place, so that the aligned view shows the front upwards; it is in evaluation mode then.

    Args:
        heading: with fresh weights.
        examples: with the images.
        headings_rad: (P,) of their vehicles, from rear to front, in the network's square input, counter-clockwise from
            the right.
        on_step: called after each step with its number, from 1, and its losses; what it raises ends the training.

    Raises:
        ImageError, BoxError, OSError: the images cannot be had.
    """
    generator = torch.Generator().manual_seed(examples.seed)
    optimizer = torch.optim.AdamW(heading.parameters(), weight_decay=_WEIGHT_DECAY)
    heading.zero_rad.fill_(0.0)
    heading.train()
    order = examples.batch_order(len(headings_rad))
    for step, (chosen, images) in enumerate(zip(order, examples.batches(order), strict=True)):
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(step, examples.num_steps)
        views, turn_rad = augmented_views(with_less_detail(examples.normalized(images), generator), generator)
        truth_rad = torch.from_numpy(headings_rad[chosen]).float().to(examples.device) + turn_rad
        likeness = heading.likeness(heading.circle(views))
        log_heading = torch.log_softmax(HEADING_SHARPNESS * likeness, -1)
        loss = heading_loss(log_heading, truth_rad * (NUM_HEADINGS / (2 * math.pi)))
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        on_step(step + 1, {"heading": loss.detach()})
    heading.eval()


def _learning_rate(step: int, num_steps: int) -> float:
    """Up, and down as half a cosine."""
    return _LEARNING_RATE * min(1.0, (step + 1) / _WARMUP_STEPS) * 0.5 * (1 + math.cos(math.pi * step / num_steps))
