import math

import pytest
import torch
from torch import Tensor

from model.polar import NUM_HEADINGS
from training.heading.losses import agreement_loss, axis_loss, located_matching_loss, matching_loss

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
def test_the_axis_loss_takes_front_and_rear_alike(at: float) -> None:
    log_heading = random_log_p(1, K)
    assert float(axis_loss(log_heading, torch.tensor([at]))) == pytest.approx(
        float(axis_loss(log_heading, torch.tensor([5.0]))), rel=1e-4
    )


def test_the_axis_loss_is_least_where_the_axis_is() -> None:
    log_heading = torch.log((peaked(9).exp() + peaked(9 + K // 2).exp()) / 2)
    losses = [float(axis_loss(log_heading, torch.tensor([float(step)]))) for step in range(K // 2)]
    assert losses.index(min(losses)) == 9


def test_located_matching_looks_at_both_ends_of_the_axis_and_nowhere_else() -> None:
    log_heading = peaked(4)
    for at, likely in ((4, True), (4 + K // 2, True), (20, False)):
        own = torch.full((1, K), -10.0)
        own[0, at] = 0.0
        loss, log_own = located_matching_loss(own, log_heading)
        assert (float(loss) < 1.5) == likely
        if likely:
            assert int(log_own.argmax()) == at
    assert not log_own.requires_grad


def test_located_matching_sends_no_gradient_into_the_heading() -> None:
    logits = torch.randn(3, K, requires_grad=True)
    own = random_log_p(3, K).requires_grad_()
    loss, _ = located_matching_loss(own, torch.log_softmax(logits, -1))
    torch.autograd.backward(loss)
    assert logits.grad is None
    assert own.grad is not None


def naive_agreement(log_heading: Tensor, log_own: Tensor, num_images: int) -> float:
    p, q = log_heading.exp().tolist(), log_own.exp().tolist()
    total = 0.0
    for first in range(0, len(p), num_images):
        likelihood = 0.0
        for turn in range(K):
            product = 1.0
            for i in range(first, first + num_images):
                product *= max(sum(q[i][k] * p[i][(k + turn) % K] for k in range(K)), 1e-6)
            likelihood += product / K
        total -= math.log(likelihood)
    return total / len(p)


def test_agreement_is_the_likelihood_over_all_turns_of_the_own_frame() -> None:
    log_heading, log_own = random_log_p(6, K, seed=1), random_log_p(6, K, seed=2)
    assert float(agreement_loss(log_heading, log_own, 3)) == pytest.approx(
        naive_agreement(log_heading, log_own, 3), rel=1e-3
    )


def test_agreement_does_not_mind_how_the_own_frame_lies() -> None:
    heading = peaked(3, 20, 50)
    here, turned, apart = peaked(3, 20, 50), peaked(3 + 11, 20 + 11, 50 + 11), peaked(3, 20 + 11, 50)
    same = float(agreement_loss(heading, here, 3))
    assert float(agreement_loss(heading, turned, 3)) == pytest.approx(same, rel=1e-4)
    assert float(agreement_loss(heading, apart, 3)) > same + 1


def test_agreement_tells_identities_apart() -> None:
    heading = peaked(3, 20, 50, 60)
    own = peaked(3, 20, 50 + 9, 60 + 9)  # each pair in a frame of its own
    assert float(agreement_loss(heading, own, 2)) < float(agreement_loss(heading, own, 4)) - 1
