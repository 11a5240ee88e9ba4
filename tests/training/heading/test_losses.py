import math

import pytest
import torch
from torch import Tensor

from model.polar import NUM_HEADINGS
from training.heading.losses import heading_loss, located_matching_loss, matching_loss

K = NUM_HEADINGS


def random_log_p(*shape: int, seed: int = 0) -> Tensor:
    return torch.log_softmax(3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), -1)


def peaked(*steps: int, sharpness: float = 12.0) -> Tensor:
    """log p (len(steps), K), nearly all of it at one step each."""
    logits = torch.zeros(len(steps), K)
    logits[torch.arange(len(steps)), torch.tensor(steps) % K] = sharpness
    return torch.log_softmax(logits, -1)


def test_matching_is_the_mean_likelihood_over_headings() -> None:
    own = random_log_p(5, K)
    naive = -sum(math.log(sum(math.exp(value) for value in row) / K) for row in own.tolist()) / 5
    assert float(matching_loss(own)) == pytest.approx(naive, rel=1e-5)


def test_matching_needs_one_heading_only() -> None:
    nowhere = torch.full((1, K), -8.0)
    somewhere = nowhere.clone()
    somewhere[0, 3] = 0.0
    assert matching_loss(somewhere) < matching_loss(nowhere) - 3


@pytest.mark.parametrize("at", [5.0, 5.0 + K / 2, 5.0 + K, -27.0])
def test_an_axis_takes_front_and_rear_alike(at: float) -> None:
    log_heading = random_log_p(1, K)
    assert float(heading_loss(log_heading, torch.tensor([at]), K // 2)) == pytest.approx(
        float(heading_loss(log_heading, torch.tensor([5.0]), K // 2)), rel=1e-4
    )


def test_an_axis_is_best_where_it_is() -> None:
    log_heading = torch.log((peaked(9).exp() + peaked(9 + K // 2).exp()) / 2)
    losses = [float(heading_loss(log_heading, torch.tensor([float(step)]), K // 2)) for step in range(K // 2)]
    assert losses.index(min(losses)) == 9


@pytest.mark.parametrize("at", [0.0, 17.0, 63.0, 64.0 + 17.0])
def test_a_heading_is_best_where_it_is_and_nowhere_else(at: float) -> None:
    losses = [float(heading_loss(peaked(step), torch.tensor([at]))) for step in range(K)]
    assert losses.index(min(losses)) == at % K
    assert losses[int(at + K / 2) % K] > min(losses) + 3


def test_it_is_the_naive_cross_entropy() -> None:
    log_heading = random_log_p(1, K)
    near = [math.exp(-(min((k - 20.3) % K, (20.3 - k) % K) ** 2) / 2) for k in range(K)]
    naive = -sum(n / sum(near) * value for n, value in zip(near, log_heading[0].tolist(), strict=True))
    assert float(heading_loss(log_heading, torch.tensor([20.3]))) == pytest.approx(naive, rel=1e-4)


def test_located_matching_looks_at_both_ends_of_the_axis_and_nowhere_else() -> None:
    log_heading = peaked(4)
    for at, likely in ((4, True), (4 + K // 2, True), (20, False)):
        own = torch.full((1, K), -10.0)
        own[0, at] = 0.0
        assert (float(located_matching_loss(own, log_heading)) < 1.5) == likely


def test_located_matching_sends_no_gradient_into_the_heading() -> None:
    logits = torch.randn(3, K, requires_grad=True)
    own = random_log_p(3, K).requires_grad_()
    torch.autograd.backward(located_matching_loss(own, torch.log_softmax(logits, -1)))
    assert logits.grad is None
    assert own.grad is not None
