import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytorch_metric_learning.losses import SupConLoss  # type: ignore[import-untyped]
from torch import Tensor

from training.contrastive_loss import contrastive_loss


def features_of(num: int, dim: int = 5, seed: int = 0) -> Tensor:
    """Of unit length, in float64."""
    values = np.random.default_rng(seed).normal(size=(num, dim))
    return torch.from_numpy(values / np.linalg.norm(values, axis=1, keepdims=True))


def naive_loss(features: NDArray[np.float64], labels: list[int], temperature: float) -> float:
    """Anchor by anchor: the mean over its positives of -log softmax among all others."""
    of_anchors = []
    for anchor, row in enumerate(features):
        others = [other for other in range(len(labels)) if other != anchor]
        positives = [other for other in others if labels[other] == labels[anchor]]
        if not positives:
            continue
        total = sum(math.exp(float(row @ features[other]) / temperature) for other in others)
        losses = [-math.log(math.exp(float(row @ features[other]) / temperature) / total) for other in positives]
        of_anchors.append(sum(losses) / len(losses))
    return sum(of_anchors) / len(of_anchors) if of_anchors else 0.0


BATCHES = {
    "p x k": [0, 0, 0, 1, 1, 1, 2, 2, 2],
    "mixed": [3, 0, 3, 1, 0, 3, 3, 1],
    "one without a positive": [0, 1, 1, 7],
    "one identity": [4, 4, 4],
    "a pair": [0, 0],
}


@pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
@pytest.mark.parametrize("labels", BATCHES.values(), ids=BATCHES)
def test_it_is_the_loss_by_hand_and_the_published_one(labels: list[int], temperature: float) -> None:
    features = features_of(len(labels))
    loss = contrastive_loss(features, torch.tensor(labels), temperature)
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(naive_loss(features.numpy(), labels, temperature), rel=1e-9, abs=1e-12)
    published = SupConLoss(temperature=temperature)(features, torch.tensor(labels))
    if len(set(labels)) > 1:  # the published one gives up without a negative
        assert loss.item() == pytest.approx(published.item(), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("labels", [[0, 1, 2], [5]])
def test_where_nobody_has_a_positive_nothing_is_lost(labels: list[int]) -> None:
    features = features_of(len(labels)).requires_grad_()
    loss = contrastive_loss(features, torch.tensor(labels), 0.1)
    assert loss.item() == 0
    loss.backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    assert torch.equal(features.grad, torch.zeros_like(features))


@pytest.mark.parametrize("labels", BATCHES.values(), ids=BATCHES)
def test_its_gradient_is_that_of_small_differences(labels: list[int]) -> None:
    features = features_of(len(labels), seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: contrastive_loss(x, torch.tensor(labels), 0.3), features)


def test_the_order_of_the_batch_is_indifferent() -> None:
    features, labels = features_of(9), torch.tensor(BATCHES["p x k"])
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    again = contrastive_loss(features[order], labels[order], 0.07)
    assert again.item() == pytest.approx(contrastive_loss(features, labels, 0.07).item(), rel=1e-12)


def test_alike_vehicles_that_are_one_cost_little_and_that_are_two_a_lot() -> None:
    features = features_of(2).repeat_interleave(2, 0)
    right = contrastive_loss(features, torch.tensor([0, 0, 1, 1]), 0.05)
    wrong = contrastive_loss(features, torch.tensor([0, 1, 0, 1]), 0.05)
    assert right < 0.05 < 5 < wrong


def test_it_computes_in_float32_whatever_the_autocast() -> None:
    features, labels = features_of(6).float(), torch.tensor([0, 0, 1, 1, 2, 2])
    expected = contrastive_loss(features, labels, 0.07)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(contrastive_loss(features, labels, 0.07), expected)
    assert expected.dtype == torch.float32
    assert contrastive_loss(features.bfloat16(), labels, 0.07).dtype == torch.float32
