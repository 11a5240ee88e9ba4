import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.consensus_loss import consensus_loss


def naive_loss(logits: list[NDArray[np.float64]]) -> float:
    """Image by image the mean over the views of KL(p of the view || mean of all p)."""
    divergences = []
    for image in range(len(logits[0])):
        p = []
        for view in logits:
            exps = [math.exp(one) for one in view[image]]
            p.append([one / sum(exps) for one in exps])
        mean = [sum(of_class) / len(p) for of_class in zip(*p, strict=True)]
        kl = [sum(a * math.log(a / b) for a, b in zip(of_view, mean, strict=True)) for of_view in p]
        divergences.append(sum(kl) / len(kl))
    return sum(divergences) / len(divergences)


@pytest.mark.parametrize("num_views", [1, 2, 3])
@pytest.mark.parametrize("scale", [0.1, 5.0])
def test_it_is_the_divergence_by_hand(num_views: int, scale: float) -> None:
    rng = np.random.default_rng(num_views)
    logits = [rng.normal(scale=scale, size=(4, 6)) for _ in range(num_views)]
    loss = consensus_loss([torch.from_numpy(view) for view in logits])
    assert loss.item() == pytest.approx(naive_loss(logits), rel=1e-10, abs=1e-14)
    assert -1e-12 < loss.item() < math.log(num_views) + 1e-12


def test_who_agrees_pays_nothing_and_who_does_not_pays_log_2() -> None:
    sure = torch.tensor([[100.0, 0.0, 0.0]])
    assert consensus_loss([sure, sure]).item() == pytest.approx(0, abs=1e-6)
    assert consensus_loss([sure, sure.roll(1, 1)]).item() == pytest.approx(math.log(2), rel=1e-5)


def test_its_gradient_is_that_of_finite_differences() -> None:
    rng = np.random.default_rng(0)
    views = [torch.from_numpy(rng.normal(size=(3, 4))).requires_grad_() for _ in range(2)]
    assert torch.autograd.gradcheck(lambda *logits: consensus_loss(logits), views)
