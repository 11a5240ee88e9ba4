"""Multinomial logistic regression with a ridge penalty, by Newton's method."""

from collections.abc import Callable
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Half of it is what a step would still spare of a loss of about 1: after one more step nothing is left but rounding.
_LEAST_DECREMENT: Final = 1e-12
_MOST_STEPS: Final = 200


def fit_logistic_regression(
    x: NDArray[np.float64],
    outcome: NDArray[np.int64],
    weight: NDArray[np.float64],
    num_outcomes: int,
    penalty: float,
    step: Callable[[], object] = lambda: None,
) -> NDArray[np.float64]:
    """The weights (K - 1, F) with the least loss; those of the last of the K outcomes are 0.

    Newton's method with a backtracking line search (Boyd and Vandenberghe 2004, Alg. 9.5). The loss is strictly convex,
    and a dozen steps find its least value to all digits, whatever the order of summation; quasi-Newton methods take
    hundreds. Sums are einsum's, not BLAS's: for products as flat as these its threads wait for each other.

    Args:
        x: (F, N) terms of each case.
        outcome: (N,) 0 .. K - 1.
        weight: (N,) of each case in the loss; their sum is 1.
        num_outcomes: K.
        penalty: above 0; half of it times the sum of the squared weights is added to the loss.
        step: called before each step; what it raises ends the fit.

    Raises:
        ValueError: a term is not finite, or the least loss is not found.
    """
    if not np.isfinite(x).all():
        raise ValueError("a term of the regression is not finite")
    is_outcome = (outcome == np.arange(num_outcomes - 1)[:, np.newaxis]).astype(np.float64)

    def loss(weights: NDArray[np.float64]) -> float:
        logits, log_total = _logits(x, weights)
        of_case = log_total - np.sum(is_outcome * logits, axis=0)
        return float(np.sum(weight * of_case) + penalty * np.sum(np.square(weights)) / 2)

    weights = np.zeros((num_outcomes - 1, len(x)))
    for _ in range(_MOST_STEPS):
        step()
        gradient, hessian = _derivatives(x, is_outcome, weight, weights)
        gradient += penalty * weights
        hessian += penalty * np.eye(weights.size)
        direction = -np.linalg.solve(hessian, gradient.ravel()).reshape(weights.shape)
        decrement = -float(np.sum(gradient * direction))
        if decrement < _LEAST_DECREMENT:
            return weights + direction
        before, scale = loss(weights), 1.0
        while loss(weights + scale * direction) > before - 0.1 * scale * decrement:
            scale /= 2
        weights = weights + scale * direction
    raise ValueError(f"the regression has not ended after {_MOST_STEPS} steps")


def _derivatives(
    x: NDArray[np.float64], is_outcome: NDArray[np.float64], weight: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The gradient (K - 1, F) and the Hessian of the loss without its penalty."""
    logits, log_total = _logits(x, weights)
    probability = np.exp(logits - log_total)
    gradient = np.einsum("kn,fn->kf", weight * (probability - is_outcome), x)
    num_free, num_terms = weights.shape
    hessian = np.empty((num_free, num_terms, num_free, num_terms))
    for i, j in product(range(num_free), repeat=2):
        curvature = weight * probability[i] * ((i == j) - probability[j])
        for term in range(num_terms):
            hessian[i, term, j] = np.einsum("n,fn->f", curvature * x[term], x)
    return gradient, hessian.reshape(weights.size, weights.size)


def _logits(x: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(K - 1, N), and the logarithm (N,) of the sum of their exponentials and 1, that of the last outcome's 0."""
    logits = np.einsum("kf,fn->kn", weights, x)
    return logits, np.logaddexp(np.logaddexp.reduce(logits, axis=0), 0)
