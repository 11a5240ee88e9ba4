import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from index.calibration.logistic_regression import fit_logistic_regression

PENALTY = 1e-3


def drawn(seed: int, num: int, num_terms: int, num_outcomes: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Terms (F, N), the first of them 1, and outcomes (N,) that depend on them."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([np.ones((1, num)), rng.standard_normal((num_terms - 1, num))])
    true_weights = np.concatenate([rng.standard_normal((num_outcomes - 1, num_terms)), np.zeros((1, num_terms))])
    return x, np.argmax(true_weights @ x + rng.gumbel(size=(num_outcomes, num)), axis=0)


def naive_loss(
    x: NDArray[np.float64], outcome: NDArray[np.int64], weight: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    """Case by case."""
    loss = PENALTY * sum(value**2 for value in weights.ravel().tolist()) / 2
    for case, right in enumerate(outcome.tolist()):
        logits = [float(of_outcome @ x[:, case]) for of_outcome in weights] + [0.0]
        loss -= float(weight[case]) * (logits[right] - math.log(sum(map(math.exp, logits))))
    return loss


@settings(derandomize=True, max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 4), st.integers(2, 4))
def test_no_other_weights_have_less_loss(seed: int, num: int, num_terms: int, num_outcomes: int) -> None:
    x, outcome = drawn(seed, num, num_terms, num_outcomes)
    weight = np.random.default_rng(seed).random(num) + 0.01
    weight /= weight.sum()
    weights = fit_logistic_regression(x, outcome, weight, num_outcomes, PENALTY)
    assert weights.shape == (num_outcomes - 1, num_terms)
    least = naive_loss(x, outcome, weight, weights)
    for place, change in product(np.ndindex(weights.shape), (-1e-3, 1e-3)):
        other = weights.copy()
        other[place] += change
        # The loss is convex, and the penalty alone makes it larger by so much.
        assert naive_loss(x, outcome, weight, other) > least + 0.4 * PENALTY * change**2


def test_one_term_gives_the_shares_of_the_outcomes() -> None:
    outcome = np.repeat([0, 1, 2], [50, 30, 20])
    weights = fit_logistic_regression(np.ones((1, 100)), outcome, np.full(100, 0.01), 3, 1e-12)
    np.testing.assert_allclose(weights[:, 0], np.log([50 / 20, 30 / 20]), rtol=1e-9)


def test_a_case_of_twice_the_weight_counts_as_two() -> None:
    x, outcome = drawn(1, 60, 3, 3)
    once = fit_logistic_regression(x, outcome, np.where(np.arange(60) < 20, 2, 1) / 80, 3, PENALTY)
    twice = np.concatenate([np.arange(20), np.arange(60)])
    np.testing.assert_allclose(
        once, fit_logistic_regression(x[:, twice], outcome[twice], np.full(80, 1 / 80), 3, PENALTY), rtol=1e-9
    )


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e3])
def test_outcomes_that_the_terms_tell_apart_have_finite_weights(scale: float) -> None:
    """Without the penalty they would have none; the first steps are too long here."""
    x = scale * np.linspace(-1, 1, 50)[np.newaxis]
    weights = fit_logistic_regression(x, (x[0] < 0).astype(np.int64), np.full(50, 0.02), 2, 1e-5)
    assert np.isfinite(weights).all()
    assert weights[0, 0] > 0


def test_an_outcome_that_never_comes_is_unlikely() -> None:
    weights = fit_logistic_regression(np.ones((1, 10)), np.zeros(10, np.int64), np.full(10, 0.1), 3, 1e-5)
    assert weights[0, 0] > 5
    assert weights[1, 0] < weights[0, 0] - 5


def test_it_goes_step_by_step_and_ends_where_a_step_says_so() -> None:
    x, outcome = drawn(0, 100, 3, 3)
    steps: list[None] = []

    def third_fails() -> None:
        steps.append(None)
        if len(steps) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_logistic_regression(x, outcome, np.full(100, 0.01), 3, PENALTY, third_fails)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_terms_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="a term of the regression is not finite"):
        fit_logistic_regression(np.array([[1.0, bad]]), np.array([0, 1]), np.full(2, 0.5), 2, PENALTY)
