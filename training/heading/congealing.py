"""Congealing: many pictures of like things, turned until they agree (Learned-Miller 2006), on circles of features."""

import torch
from torch import Tensor

from model.polar import NUM_HEADINGS, correlate

_NUM_STARTS = 3
_NUM_ROUNDS = 15


def congeal(circles: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Turns every circle so that it is most like the mean of all, from several starts, of which the most alike wins.

    Args:
        circles: (N, F, K) of unit length.
        generator: picks the starts, on the CPU.

    Returns:
        Each circle's turn in steps (N,), 0 to K - 1, and the mean of the turned circles (F, K).
    """
    found: list[tuple[float, Tensor, Tensor]] = []
    for start in torch.randperm(len(circles), generator=generator)[:_NUM_STARTS].tolist():
        mean = circles[start]
        for _ in range(_NUM_ROUNDS):
            turns = correlate(circles, mean[None])[:, 0].argmax(-1)
            mean = _turned_back(circles, turns).mean(0)
        found.append((float(mean.norm()), turns, mean))
    _, turns, mean = max(found, key=lambda one: one[0])
    return turns, mean


def _turned_back(circles: Tensor, turns: Tensor) -> Tensor:
    """Each circle (N, F, K) shifted by its turn (N,), so that step `turn` comes to 0."""
    steps = (torch.arange(NUM_HEADINGS, device=circles.device) + turns[:, None]) % NUM_HEADINGS
    return circles.gather(2, steps[:, None].expand_as(circles))
