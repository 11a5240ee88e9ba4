import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.annotation_loss import annotation_loss


def naive_loss(logits: NDArray[np.float64], classes: list[int]) -> float:
    losses = []
    for row, of_row in zip(logits, classes, strict=True):
        if of_row != -1:
            losses.append(math.log(sum(math.exp(one) for one in row)) - row[of_row])
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize("classes", [[0, 2, 1, 2], [-1, 2, -1, 0], [-1, -1, -1, 1], [-1, -1, -1, -1]])
def test_it_is_the_mean_over_what_is_known(classes: list[int]) -> None:
    logits = np.random.default_rng(0).normal(scale=3, size=(4, 3))
    leaf = torch.from_numpy(logits).requires_grad_()
    loss = annotation_loss(leaf, torch.tensor(classes))
    assert loss.item() == pytest.approx(naive_loss(logits, classes), rel=1e-12)
    (gradient,) = torch.autograd.grad(loss, leaf)
    # What is unknown teaches nothing, but its gradient is there: parallel processes wait for it.
    assert gradient.isfinite().all()
    assert gradient.any(dim=1).tolist() == [one != -1 for one in classes]
