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

from index.embedded.search.bounds import AskedVectors, Bounds, Pairs
from index.embedded.search.folding import Folding
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


def bounds_of(vectors: NDArray[np.float32]) -> Bounds:
    bounds = Bounds(np.ascontiguousarray(vectors))
    bounds.put(0, len(vectors))
    return bounds


def all_pairs(num_queries: int, num_rows: int) -> Pairs:
    """By rising row; each row with every query."""
    row, query = np.divmod(np.arange(num_rows * num_queries), num_queries)
    return Pairs(query, row)


def limits_of(asked: AskedVectors, distances: list[list[float]]) -> NDArray[np.float32]:
    """(N, Q), of a distance for each query and row (Q, N)."""
    return np.stack([asked.limits(of_row) for of_row in np.array(distances).T])


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
    """Product and limit of every pair: for single pairs, for all together, and from the two halves of the vectors."""
    asked, everything, half = AskedVectors(queries), slice(0, len(vectors)), vectors.shape[1] // 2
    limits = limits_of(asked, truth)
    pairs = all_pairs(len(queries), len(vectors))
    first, second = bounds_of(vectors[:, :half]), bounds_of(vectors[:, half:])
    of_first, of_second = asked.vectors[:, :half], asked.vectors[:, half:]
    ways = [
        bounds_of(vectors).products(asked.vectors, everything),
        bounds_of(vectors).products_of(asked.vectors, pairs).reshape(limits.shape),
        first.products(of_first, everything) + second.products(of_second, everything),
        (first.products_of(of_first, pairs) + second.products_of(of_second, pairs)).reshape(limits.shape),
    ]
    return [pair for products in ways for pair in zip(products.ravel().tolist(), limits.ravel().tolist(), strict=True)]


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
    rows, asked = folding.fold(vectors), folding.fold(queries)
    norms, error = folding.norms(queries), folding.relative_error
    coarse, both = AskedVectors(asked[0], norms, error), AskedVectors(np.concatenate(asked, axis=1), norms, error)
    truth = [[exact_distance(row, query) for row in vectors] for query in queries]
    everything = slice(0, len(vectors))
    products = bounds_of(rows[0]).products(coarse.vectors, everything)
    assert (products <= limits_of(coarse, truth)).all()
    products += bounds_of(rows[1]).products(both.vectors[:, folding.num_coarse :], everything)
    assert (products <= limits_of(both, truth)).all()


def test_what_is_farther_exceeds_the_limit() -> None:
    rows = gallery("noise", 500, 20, seed=0)
    asked = AskedVectors(gallery("noise", 1, 20, seed=1))
    products = bounds_of(rows).products(asked.vectors, slice(0, 500))[:, 0]
    distances = np.array([exact_distance(row, asked.vectors[0]) for row in rows])
    (limit,) = asked.limits(np.array([np.median(distances)]))
    # All but those that differ from the median by about float32's rounding.
    assert (products > limit)[distances > np.median(distances) * (1 + 1e-4)].all()
    assert np.count_nonzero(products > limit) >= 248


@pytest.mark.parametrize("num_queries", [1, 4])
def test_products_are_differences_of_squares(num_queries: int) -> None:
    rows, queries = gallery("grid", 30, 5, seed=0), gallery("grid", num_queries, 5, seed=1)
    expected = ((rows[:, None] - queries) ** 2).sum(axis=2) - (queries**2).sum(axis=1)
    bounds, vectors = bounds_of(rows), AskedVectors(queries).vectors
    assert np.array_equal(bounds.products(vectors, slice(0, 30)), expected)
    assert np.array_equal(bounds.products(vectors, slice(7, 21)), expected[7:21])
    pairs = Pairs(np.array([num_queries - 1, 0, 0]), np.array([29, 3, 7]))
    assert np.array_equal(bounds.products_of(vectors, pairs), expected[pairs.row, pairs.query])
    none = np.empty(0, np.int64)
    assert bounds.products_of(vectors, Pairs(none, none)).shape == (0,)


@pytest.mark.parametrize("num_queries", [1, 2, 20])
@pytest.mark.parametrize("at_once", [1, 7, 2048])
def test_products_of_any_share_of_the_rows(num_queries: int, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.embedded.search.bounds._ROWS_AT_ONCE", at_once)
    rows, queries = gallery("grid", 300, 5, seed=0), gallery("grid", num_queries, 5, seed=1)
    expected = ((rows[:, None] - queries) ** 2).sum(axis=2) - (queries**2).sum(axis=1)
    rows[[40, 41]] = np.float32(1e25)  # too large for a bound
    expected[[40, 41]] = -np.inf
    bounds, vectors = bounds_of(rows), AskedVectors(queries).vectors
    for step in (1, 2, 3, 10, 299):
        for chosen in (np.arange(0, 300, step), np.arange(step % 7, 290, step), np.arange(40, 42)):
            assert np.array_equal(bounds.products(vectors, chosen), expected[chosen])
            without_some = np.setdiff1d(chosen, [0, 41, 150])
            assert np.array_equal(bounds.products(vectors, without_some), expected[without_some])
    assert bounds.products(vectors, np.empty(0, np.int64)).shape == (0, num_queries)


def test_products_of_parts_add_up() -> None:
    rows, queries = gallery("grid", 30, 9, seed=0), gallery("grid", 4, 9, seed=1)
    for num in (0, 2, 9):
        products = [
            bounds_of(part).products(of_part, slice(0, 30))
            for part, of_part in ((rows[:, :num], queries[:, :num]), (rows[:, num:], queries[:, num:]))
        ]
        assert np.array_equal(products[0] + products[1], bounds_of(rows).products(queries, slice(0, 30)))


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("size", [1.1e18, 1e30, 3.4e38, np.inf])
def test_a_row_that_is_too_large_is_below_every_limit(size: float, sign: int) -> None:
    rows = np.array([[1, 1], [size, sign * size], [2, 2]], np.float32)
    for queries in ([[1e10, 1e10]], [[-1e17, 0]], [[0, 0]], [[1e10, 1e10], [-1e17, 0], [0, 0]]):
        asked = AskedVectors(np.array(queries, np.float32))
        products = bounds_of(rows).products(asked.vectors, slice(0, 3))
        assert (products[1] == -np.inf).all()
        assert np.isfinite(products[[0, 2]]).all()
        of_pairs = bounds_of(rows).products_of(asked.vectors, all_pairs(len(queries), 3))
        assert np.array_equal(np.isneginf(of_pairs.reshape(products.shape)), np.isneginf(products))


def test_a_query_that_is_too_large_or_a_distance_that_is_infinite_has_no_limit_but_others_have_theirs() -> None:
    rows = gallery("huge", 50, 3, seed=0)
    too_large = [[3.4e38, -3.4e38, 1], [1.1e18, 0, 0], [np.inf, 0, 0]]
    asked = AskedVectors(np.array([*too_large, [1, 2, 3], [1, 2, 3]], np.float32))
    assert asked.vectors.tolist() == [[0, 0, 0]] * 3 + [[1, 2, 3]] * 2
    limits = asked.limits(np.array([0.0, 1.0, np.inf, np.inf, 1.0]))
    assert limits[:4].tolist() == [np.finfo(np.float32).max] * 4
    assert limits[4] == AskedVectors(asked.vectors[4:]).limits(np.array([1.0]))[0] < 0
    assert (bounds_of(rows).products(asked.vectors, slice(0, 50)) <= limits[0]).all()


@pytest.mark.parametrize("distance", [0.0, 0.5, 3.0])
def test_vectors_that_are_not_the_true_ones_may_lie_farther_apart(distance: float) -> None:
    error = 0.01
    row, query = np.array([[2 + distance, 0]], np.float32), np.array([[2, 0]], np.float32)
    for row_error in (-error, error):
        asked = AskedVectors(query * np.float32(1 - row_error), np.array([2.0]), error)
        product = bounds_of(row * np.float32(1 + row_error)).products(asked.vectors, slice(0, 1))[0, 0]
        # It lies as far as both errors together allow, or nearer.
        (limit,) = asked.limits(np.array([distance]))
        assert product <= limit
        farther = distance + 1.1 * error * (4 + distance)
        assert farther**2 - float(np.square(asked.vectors).sum()) > limit


def test_rows_far_from_a_query_near_the_origin_are_not_beyond_the_limit() -> None:
    """What is rounded away is in proportion to the row, not to the query."""
    rows, asked = gallery("far", 300, 33, seed=0), AskedVectors(np.zeros((1, 33), np.float32))
    truth = [[exact_distance(row, asked.vectors[0]) for row in rows]]
    assert (bounds_of(rows).products(asked.vectors, slice(0, 300)) <= limits_of(asked, truth)).all()


def test_only_numbers_that_count_loosen_a_limit() -> None:
    """A limit depends on its query and the distance: the largest row of a gallery loosens no other's."""
    query = np.array([[1, 2, 3]], np.float32)
    rows = np.array([[1, 2, 3.001], [1, 2, 3.01], [1e15, 1e15, 1e15]], np.float32)
    (limit,) = AskedVectors(query).limits(np.array([0.002]))
    assert (bounds_of(rows).products(query, slice(0, 3))[:, 0] <= limit).tolist() == [True, False, False]
