import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.weighted_triplet_loss import weighted_triplet_loss

LABELS = {
    "p x k": [0, 0, 0, 1, 1, 1, 2, 2, 2],
    "mixed": [3, 1, 3, 0, 1, 1, 0, 3],
    "some without a positive": [0, 1, 1, 2, 3, 3],
    "no positive": [0, 1, 2],
    "no negative": [4, 4, 4],
}


def naive_loss(
    features: NDArray[np.float64], labels: list[int], margin: float, colours: list[int] | None, factor: float
) -> float:
    losses = []
    for anchor, label in enumerate(labels):
        near: list[tuple[float, float]] = []  # weight, distance
        far: list[tuple[float, float]] = []
        for other, other_label in enumerate(labels):
            distance = math.dist(features[anchor], features[other])
            if other_label == label and other != anchor:
                near.append((math.exp(distance), distance))
            elif other_label != label:
                same_colour = colours is not None and colours[anchor] == colours[other] != -1
                far.append(((factor if same_colour else 1) * math.exp(-distance), distance))
        if near and far:
            positive, negative = (sum(w * d for w, d in side) / sum(w for w, _ in side) for side in (near, far))
            losses.append(max(0.0, margin + positive - negative))
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize("factor", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("with_colours", [False, True])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_it_is_the_loss_of_a_loop(labels: list[int], with_colours: bool, factor: float) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        # Some batches are easy: their identities lie apart.
        features = rng.normal(size=(len(labels), 4)) + seed % 3 * np.array(labels)[:, None]
        colours = rng.integers(-1, 2, len(labels)).tolist() if with_colours else None
        leaf = torch.from_numpy(features).requires_grad_()
        of_torch = None if colours is None else torch.tensor(colours)
        loss = weighted_triplet_loss(leaf, torch.tensor(labels), 0.3, of_torch, factor)
        assert loss.item() == pytest.approx(naive_loss(features, labels, 0.3, colours, factor), rel=1e-10, abs=1e-12)
        (gradient,) = torch.autograd.grad(loss, leaf)
        assert gradient.isfinite().all()


def test_vehicles_of_one_colour_count_more() -> None:
    # On a line: the anchor at 0, its positive at 1, a red negative at 2, a blue one at 4; the others do not count much.
    features = torch.tensor([[0.0], [1.0], [2.0], [4.0]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 2])
    as_near, as_far = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 0])
    losses = [weighted_triplet_loss(features, labels, 3.0, colours, 4.0) for colours in (as_near, None, as_far)]
    assert losses[0] > losses[1] > losses[2]


def test_its_gradient_is_that_of_finite_differences() -> None:
    features = torch.from_numpy(np.random.default_rng(3).normal(size=(6, 3))).requires_grad_()
    labels, colours = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, -1, 0, 1, 0, 0])
    assert torch.autograd.gradcheck(lambda x: weighted_triplet_loss(x, labels, 5.0, colours, 2.0), features)


def test_at_distance_0_its_gradient_is_finite() -> None:
    leaf = torch.ones(4, 3, dtype=torch.float64, requires_grad=True)
    loss = weighted_triplet_loss(leaf, torch.tensor([0, 0, 1, 1]), 0.3, None, 2.0)
    assert loss.item() == pytest.approx(0.3)
    (gradient,) = torch.autograd.grad(loss, leaf)
    assert gradient.isfinite().all()


def test_autocast_changes_nothing() -> None:
    features = torch.from_numpy(np.random.default_rng(0).normal(size=(9, 16))).float()
    labels = torch.tensor(LABELS["p x k"])
    plain = weighted_triplet_loss(features, labels, 0.3, labels % 2, 2.0)
    with torch.autocast("cpu", torch.bfloat16):
        cast = weighted_triplet_loss(features, labels, 0.3, labels % 2, 2.0)
    assert cast.dtype == torch.float32
    # Float32, computed twice; bfloat16 would be off by up to 2^-8.
    torch.testing.assert_close(cast, plain, rtol=1e-5, atol=1e-6)
