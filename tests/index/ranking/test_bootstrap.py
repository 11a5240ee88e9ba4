from collections.abc import Sequence

import numpy as np
import pytest

from index.ranking.bootstrap import NUM_RESAMPLES, interval, resampled_means


def naive_means(values: Sequence[Sequence[float]], identities: Sequence[str], seed: int) -> list[list[float]]:
    """Loop over resamples, identities and their queries."""
    names = list(dict.fromkeys(identities))
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(NUM_RESAMPLES):
        drawn = [
            row
            for name in [names[i] for i in rng.integers(len(names), size=len(names))]
            for row, of in zip(values, identities, strict=True)
            if of == name
        ]
        means.append([sum(column) / len(drawn) for column in zip(*drawn, strict=True)])
    return means


@pytest.mark.parametrize(
    "identities",
    [list("abcde"), list("aabbbcd"), list("zazbz"), ["b", "a"], list("aaaa"), ["", "x", "x", "\u00e9"]],
    ids=str,
)
@pytest.mark.parametrize("seed", [0, 5])
def test_the_means_are_those_of_a_loop(identities: list[str], seed: int) -> None:
    values = np.random.default_rng(9).random((len(identities), 2))
    means = resampled_means(values, identities, seed)
    assert means.shape == (NUM_RESAMPLES, 2)
    np.testing.assert_allclose(means, naive_means(values.tolist(), identities, seed), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(means, resampled_means(values, identities, seed))


def test_the_order_of_an_identitys_queries_does_not_matter() -> None:
    identities = list("aabbbcd")
    values = np.random.default_rng(1).random((7, 1))
    order = [1, 0, 4, 2, 3, 5, 6]
    shuffled = resampled_means(values[order], [identities[i] for i in order])
    np.testing.assert_allclose(shuffled, resampled_means(values, identities), atol=1e-12)


@pytest.mark.parametrize("times", [2, 10])
def test_queries_that_are_there_several_times_do_not_make_the_interval_narrower(times: int) -> None:
    values = (np.random.default_rng(2).random((30, 1)) < 0.4).astype(float)
    identities = [str(number) for number in range(30)]
    once = interval(resampled_means(values, identities)[:, 0])
    again = interval(resampled_means(np.tile(values, (times, 1)), identities * times)[:, 0])
    assert again == pytest.approx(once, abs=1e-12)
    # What is wrong with drawing queries: as vehicles of their own, the same answers seem to be known better.
    low, high = interval(resampled_means(np.tile(values, (times, 1)), [str(i) for i in range(30 * times)])[:, 0])
    assert high - low < 0.85 * (once[1] - once[0])


def test_identities_count_by_their_queries() -> None:
    # Nine queries of one vehicle, all right, and one of another, wrong: only four resamples are possible.
    values = np.array([[1.0]] * 9 + [[0.0]])
    means = resampled_means(values, ["a"] * 9 + ["b"])[:, 0]
    assert {round(float(value), 9) for value in means} == {0.0, 0.9, 1.0}
    assert (means == 0).mean() == pytest.approx(1 / 4, abs=0.05)
    assert interval(means) == (0, 1)


def test_a_difference_of_columns_is_that_of_the_same_resamples() -> None:
    better = np.random.default_rng(3).random(50)
    values = np.stack([better, better - 0.1], axis=1)
    means = resampled_means(values, [str(number // 2) for number in range(50)])
    low, high = interval(means[:, 0] - means[:, 1])
    assert (low, high) == pytest.approx((0.1, 0.1))


def test_an_interval_holds_95_percent() -> None:
    assert interval(np.arange(1001.0)) == (25, 975)


@pytest.mark.parametrize(("num_queries", "identities"), [(0, []), (2, ["a"]), (1, ["a", "b"])])
def test_each_query_needs_its_identity(num_queries: int, identities: list[str]) -> None:
    with pytest.raises(ValueError, match="expected an identity for each of one or more queries"):
        resampled_means(np.zeros((num_queries, 1)), identities)
