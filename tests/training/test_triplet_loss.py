import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytorch_metric_learning.distances import LpDistance  # type: ignore[import-untyped]
from pytorch_metric_learning.losses import TripletMarginLoss  # type: ignore[import-untyped]
from pytorch_metric_learning.miners import BatchHardMiner  # type: ignore[import-untyped]
from pytorch_metric_learning.reducers import MeanReducer  # type: ignore[import-untyped]
from torch import Tensor

from training.triplet_loss import batch_hard_triplet_loss

# What each anchor of a batch may miss.
LABELS = {
    "p x k": [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3],
    "mixed": [3, 1, 3, 0, 1, 1, 0, 3, 3, 0],
    "two": [0, 1, 1, 0],
    "some without a positive": [0, 1, 1, 2, 3, 3, 4],
    "numbers far apart": [10**12, -5, 10**12, 7, 7, -5],
}


def naive_margins(features: NDArray[np.float64], labels: list[int], margin: float) -> list[float]:
    """margin + farthest positive - nearest negative of each anchor that has both."""
    margins = []
    for anchor, label in enumerate(labels):
        positives, negatives = [], []
        for other, other_label in enumerate(labels):
            distance = math.dist(features[anchor], features[other])
            if other_label != label:
                negatives.append(distance)
            elif other != anchor:
                positives.append(distance)
        if positives and negatives:
            margins.append(margin + max(positives) - min(negatives))
    return margins


def naive_loss(features: NDArray[np.float64], labels: list[int], margin: float) -> float:
    margins = naive_margins(features, labels, margin)
    return sum(max(0.0, one) for one in margins) / len(margins) if margins else 0.0


def published_loss(features: Tensor, labels: Tensor, margin: float) -> Tensor:
    distance = LpDistance(normalize_embeddings=False)
    triplets = BatchHardMiner(distance=distance)(features, labels)
    loss: Tensor = TripletMarginLoss(margin, distance=distance, reducer=MeanReducer())(features, labels, triplets)
    return loss


def random_features(num: int, seed: int, width: int = 5) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(num, width))


def loss_and_gradient(features: NDArray[np.float64], labels: list[int], margin: float) -> tuple[float, Tensor]:
    leaf = torch.from_numpy(features).requires_grad_()
    loss = batch_hard_triplet_loss(leaf, torch.tensor(labels), margin)
    (gradient,) = torch.autograd.grad(loss, leaf)
    return loss.item(), gradient


@pytest.mark.parametrize("margin", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_it_is_the_loss_of_a_triple_loop(labels: list[int], margin: float) -> None:
    kinds = set()
    for seed in range(10):
        # Some batches are easy: their identities lie apart.
        features = random_features(len(labels), seed) + seed % 4 * np.array(labels)[:, None] % 11
        loss, _ = loss_and_gradient(features, labels, margin)
        assert loss == pytest.approx(naive_loss(features, labels, margin), rel=1e-12, abs=1e-12)
        kinds |= {one > 0 for one in naive_margins(features, labels, margin)}
    assert kinds == {True, False}


@pytest.mark.parametrize("seed", range(10))
def test_ties_are_the_loss_of_a_triple_loop(seed: int) -> None:
    """Features on a coarse grid: many equal ones, and many equal distances."""
    labels = LABELS["p x k"]
    features = np.random.default_rng(seed).integers(0, 2, (len(labels), 3)).astype(np.float64)
    loss, gradient = loss_and_gradient(features, labels, 0.3)
    assert loss == pytest.approx(naive_loss(features, labels, 0.3), rel=1e-12)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("margin", [0.1, 0.3, 2.0])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_it_is_the_loss_of_a_published_package(labels: list[int], margin: float) -> None:
    for seed in range(5):
        features = random_features(len(labels), seed) + seed % 3 * np.array(labels)[:, None] % 11
        loss, gradient = loss_and_gradient(features, labels, margin)
        leaf = torch.from_numpy(features).requires_grad_()
        published = published_loss(leaf, torch.tensor(labels), margin)
        assert loss == pytest.approx(published.item(), rel=1e-10, abs=1e-12)
        torch.testing.assert_close(gradient, torch.autograd.grad(published, leaf)[0], rtol=1e-8, atol=1e-10)


def test_an_anchor_that_is_right_by_the_margin_counts_as_0_in_the_mean() -> None:
    # On a line: 0 and 1 are one identity, 1.5 and 9 the other.
    features = np.array([[0.0], [1.0], [1.5], [9.0]])
    # 0.3 + 1 - 1.5 < 0;  0.3 + 1 - 0.5;  0.3 + 7.5 - 0.5;  0.3 + 7.5 - 8 < 0
    loss, gradient = loss_and_gradient(features, [0, 0, 1, 1], 0.3)
    assert loss == pytest.approx((0 + 0.8 + 7.3 + 0) / 4)
    # The second pulls the first and pushes the third, the third pulls the fourth and pushes the second.
    assert gradient.ravel().tolist() == pytest.approx([-0.25, 0.25 + 0.25 + 0.25, -0.25 - 0.25 - 0.25, 0.25])


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [5, 5, 5, 5], [1]])
def test_without_a_triplet_it_is_0_and_teaches_nothing(labels: list[int]) -> None:
    loss, gradient = loss_and_gradient(random_features(len(labels), 0), labels, 0.3)
    assert loss == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_anchors_without_a_positive_do_not_count_but_repel() -> None:
    features = np.array([[0.0], [0.2], [0.5]])
    loss, gradient = loss_and_gradient(features, [0, 0, 1], 0.3)
    assert loss == pytest.approx((0 + 0.2) / 2)
    assert gradient.ravel().tolist() == pytest.approx([-0.5, 1.0, -0.5])


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_its_gradient_is_that_of_finite_differences(labels: list[int]) -> None:
    features, margin = random_features(len(labels), 3), 1.0
    margins = naive_margins(features, labels, margin)
    assert min(abs(one) for one in margins) > 1e-3  # away from the kink
    leaf = torch.from_numpy(features).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: batch_hard_triplet_loss(x, torch.tensor(labels), margin), leaf)


def test_at_distance_0_its_gradient_is_finite() -> None:
    same = np.ones((6, 4))
    loss, gradient = loss_and_gradient(same, [0, 0, 1, 1, 2, 2], 0.3)
    assert loss == pytest.approx(0.3)
    assert torch.equal(gradient, torch.zeros_like(gradient))
    features = random_features(6, 1) / 100
    features[1], features[4] = features[0], features[2]  # a positive and a negative upon an anchor
    loss, gradient = loss_and_gradient(features, [0, 0, 1, 1, 2, 2], 0.3)
    assert loss == pytest.approx(naive_loss(features, [0, 0, 1, 1, 2, 2], 0.3))
    assert gradient.isfinite().all()
    assert gradient.any()


def test_small_distances_far_from_0_are_not_lost() -> None:
    rng = np.random.default_rng(0)
    labels = LABELS["p x k"] * 4
    features = (1000 + rng.normal(scale=0.01, size=(len(labels), 64))).astype(np.float32)
    loss = batch_hard_triplet_loss(torch.from_numpy(features), torch.tensor(labels), 0.0)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(naive_loss(features.astype(np.float64), labels, 0.0), rel=1e-4)


def test_autocast_changes_nothing() -> None:
    labels = torch.tensor(LABELS["p x k"])
    features = torch.from_numpy(random_features(len(labels), 4)).float().requires_grad_()
    plain = batch_hard_triplet_loss(features, labels, 0.3)
    with torch.autocast("cpu", torch.bfloat16):
        cast = batch_hard_triplet_loss(features, labels, 0.3)
    assert cast.dtype == torch.float32
    # Float32, computed twice; bfloat16 would be off by up to 2^-8.
    torch.testing.assert_close(cast, plain, rtol=1e-5, atol=1e-6)
    gradients = [torch.autograd.grad(loss, features)[0] for loss in (cast, plain)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_features_are_compared_in_float32(dtype: torch.dtype) -> None:
    labels = torch.tensor(LABELS["p x k"])
    features = torch.from_numpy(random_features(len(labels), 4)).to(dtype)
    loss = batch_hard_triplet_loss(features, labels, 0.3)
    assert loss.dtype == torch.float32
    # Float32, computed twice; bfloat16 would be off by up to 2^-8, float16 by 2^-11.
    torch.testing.assert_close(loss, batch_hard_triplet_loss(features.float(), labels, 0.3), rtol=1e-5, atol=1e-6)


def test_what_is_not_a_number_is_not_hidden() -> None:
    features = torch.from_numpy(random_features(4, 0))
    features[1, 2] = torch.nan
    assert batch_hard_triplet_loss(features, torch.tensor([0, 0, 1, 1]), 0.3).isnan()
