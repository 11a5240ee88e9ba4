import math
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from index.embedded.bounds import Bounds, query_vectors
from index.embedded.folding import Folding
from tests.index.embedded.naive_neighbours import KINDS, gallery

LARGEST_NORM = 1e18
numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)


def exact_distance(row: NDArray[np.float32], query: NDArray[np.float32]) -> float:
    """The Euclidean distance, at least: the next float64, reckoned without rounding."""
    square = sum(((Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(row, query, strict=True)), Fraction(0))
    distance = math.sqrt(square)
    while Fraction(distance) ** 2 < square:
        distance = math.nextafter(distance, math.inf)
    return distance


def bounds_of(vectors: NDArray[np.float32], relative_error: float = 0.0) -> Bounds:
    bounds = Bounds(vectors, relative_error)
    bounds.put(0, len(vectors))
    return bounds


@contextmanager
def denormals_flushed() -> Iterator[None]:
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU cannot flush denormal numbers")
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def assert_nothing_near_is_beyond(vectors: NDArray[np.float32], queries: NDArray[np.float32], flushed: bool) -> None:
    """No row's product exceeds the limit of its own distance."""
    truth = [[exact_distance(row, query) for row in vectors] for query in queries]
    if flushed:
        with denormals_flushed():
            pairs = reckon(vectors, queries, truth)
    else:
        pairs = reckon(vectors, queries, truth)
    assert all(product <= limit for product, limit in pairs)


def reckon(
    vectors: NDArray[np.float32], queries: NDArray[np.float32], truth: list[list[float]]
) -> list[tuple[float, float]]:
    bounds, asked = bounds_of(vectors), query_vectors(queries)
    products = bounds.products(asked.vectors, slice(0, len(vectors)))
    return [
        (float(products[q, n]), float(bounds.limit(asked.squares[q], truth[q][n])))
        for q in range(len(queries))
        for n in range(len(vectors))
    ]


@settings(derandomize=True, max_examples=300, deadline=None)
@given(arrays(np.float32, st.tuples(st.integers(2, 6), st.integers(1, 9)), elements=numbers), st.booleans())
@example(np.array([[1e18], [9.9e17]], np.float32), False)
@example(np.array([[3.4e38, -3.4e38], [1e10, 1e10]], np.float32), False)
@example(np.array([[1e-19, 1.2e-19], [1.1e-19, 1e-19]], np.float32), True)
@example(np.full((2, 40), 7e-20, np.float32), True)  # each product is lost, their sum would not be
@example(np.full((2, 9), 3e-23, np.float32), False)
@example(np.array([[0.0, -0.0], [-0.0, 1e-45]], np.float32), True)
def test_a_product_does_not_exceed_the_limit_of_the_true_distance(vectors: NDArray[np.float32], flushed: bool) -> None:
    assert_nothing_near_is_beyond(vectors[1:], vectors[:1], flushed)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("flushed", [False, True])
def test_neither_in_galleries_of_all_kinds(kind: str, flushed: bool) -> None:
    vectors = gallery(kind, 24, 40, seed=2)
    # Of the same kind, equal to a row, and of another kind.
    queries = np.concatenate([gallery(kind, 2, 40, seed=3), vectors[:1], gallery("noise", 1, 40, seed=4)])
    assert_nothing_near_is_beyond(vectors, queries, flushed)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("learned_from", ["noise", "low_rank", "far", "outlier", "constant"])
@pytest.mark.parametrize("dim", [1, 70])
def test_nor_do_products_of_folded_vectors_exceed_the_limit_of_the_distance_that_was_not_folded(
    kind: str, learned_from: str, dim: int
) -> None:
    folding = Folding.of_sample(gallery(learned_from, 30, dim, seed=1))
    vectors = gallery(kind, 10, dim, seed=2)
    queries = np.concatenate([gallery(kind, 1, dim, seed=3), vectors[:1]])
    for rows, asked in zip(folding.fold(vectors), folding.fold(queries), strict=True):
        bounds, folded = bounds_of(rows, folding.relative_error), query_vectors(asked)
        products = bounds.products(folded.vectors, slice(0, len(rows)))
        for q, query in enumerate(queries):
            for n, row in enumerate(vectors):
                assert products[q, n] <= bounds.limit(folded.squares[q], exact_distance(row, query))


def test_what_is_farther_exceeds_the_limit() -> None:
    rows = gallery("noise", 500, 20, seed=0)
    queries = query_vectors(gallery("noise", 1, 20, seed=1))
    bounds = bounds_of(rows)
    (products,) = bounds.products(queries.vectors, slice(0, 500))
    distances = np.array([exact_distance(row, queries.vectors[0]) for row in rows])
    limit = bounds.limit(queries.squares[0], float(np.median(distances)))
    # All but those that differ from the median by about float32's rounding.
    assert (products > limit)[distances > np.median(distances) * (1 + 1e-4)].all()
    assert np.count_nonzero(products > limit) >= 248


def test_products_are_differences_of_squares() -> None:
    rows, queries = gallery("grid", 30, 5, seed=0), gallery("grid", 4, 5, seed=1)
    expected = ((rows - queries[:, None]) ** 2).sum(axis=2) - (queries**2).sum(axis=1)[:, None]
    bounds = bounds_of(rows)
    assert np.array_equal(bounds.products(query_vectors(queries).vectors, slice(0, 30)), expected)
    some = np.array([3, 29, 7])
    assert np.array_equal(bounds.products(query_vectors(queries).vectors, some), expected[:, some])


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("size", [1.1e18, 1e30, 3.4e38, np.inf])
def test_a_row_that_is_too_large_is_below_every_limit(size: float, sign: int) -> None:
    rows = np.array([[1, 1], [size, sign * size], [2, 2]], np.float32)
    for query in ([1e10, 1e10], [-1e17, 0], [0, 0]):
        asked = query_vectors(np.array([query], np.float32))
        (products,) = bounds_of(rows).products(asked.vectors, slice(0, 3))
        assert products[1] == -np.inf
        assert np.isfinite(products[[0, 2]]).all()


def test_a_row_that_is_too_large_does_not_spoil_the_limit_for_others() -> None:
    rows = np.array([[1, 1], [1e30, 0], [2, 2]], np.float32)
    without = bounds_of(rows[[0, 2]])
    assert bounds_of(rows).limit(2.0, 0.5) == without.limit(2.0, 0.5)


def test_a_query_that_is_too_large_has_no_limit() -> None:
    asked = query_vectors(np.array([[1.1e18, 0], [3.4e38, 3.4e38], [np.inf, 0], [1, 0]], np.float32))
    assert asked.squares.tolist() == [np.inf, np.inf, np.inf, 1.0]
    assert asked.vectors.tolist() == [[0, 0], [0, 0], [0, 0], [1, 0]]
    bounds = bounds_of(np.array([[1, 1]], np.float32))
    assert bounds.limit(np.inf, 0.0) == bounds.limit(1.0, np.inf) == np.finfo(np.float32).max


def test_rows_that_come_later_raise_the_limit_and_never_lower_it() -> None:
    vectors = np.array([[1, 1], [1e6, 0], [1, 0]], np.float32)
    bounds = Bounds(vectors)
    bounds.put(0, 1)
    before = bounds.limit(2.0, 1.0)
    bounds.put(1, 2)
    after = bounds.limit(2.0, 1.0)
    assert after > before
    bounds.put(2, 3)
    assert bounds.limit(2.0, 1.0) == after


@pytest.mark.parametrize("distance", [0.0, 0.5, 3.0])
def test_vectors_that_are_not_the_true_ones_may_lie_farther_apart(distance: float) -> None:
    error = 0.01
    row, query = np.array([[2 + distance, 0]], np.float32), np.array([[2, 0]], np.float32)
    for row_error in (-error, error):
        asked = query_vectors(query * np.float32(1 - row_error))
        bounds = bounds_of(row * np.float32(1 + row_error), error)
        (product,) = bounds.products(asked.vectors, slice(0, 1))[0]
        # It lies as far as both errors together allow, or nearer.
        assert product <= bounds.limit(asked.squares[0], distance)
        farther = distance + 1.1 * error * (4 + distance)
        assert farther**2 - asked.squares[0] > bounds.limit(asked.squares[0], distance)
