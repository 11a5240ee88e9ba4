import sys

import pytest

from service.batch_limit import _MOST_PATIENCE, _PATIENCE, BatchLimit


def limited(*too_many: int) -> BatchLimit:
    limit = BatchLimit()
    for num_images in too_many:
        limit.note_too_many(num_images)
    return limit


def fit(limit: BatchLimit, num_images: int, times: int) -> None:
    for _ in range(times):
        limit.note_fit(num_images)


def test_nothing_is_limited_before_something_was_too_much() -> None:
    limit = BatchLimit()
    fit(limit, 1000, 3)
    assert (limit.num_images, limit.is_limited) == (sys.maxsize, False)


@pytest.mark.parametrize(
    ("too_many", "expected"), [([16], 8), ([16, 8], 4), ([16, 8, 4, 2], 1), ([5], 2), ([3], 1), ([16, 6], 3)]
)
def test_the_half_of_what_did_not_fit_is_the_limit(too_many: list[int], expected: int) -> None:
    limit = limited(*too_many)
    assert (limit.num_images, limit.is_limited) == (expected, True)


def test_only_full_batches_make_it_try_more() -> None:
    limit = limited(16)
    fit(limit, 7, 10 * _PATIENCE)
    assert limit.num_images == 8
    fit(limit, 8, _PATIENCE - 1)
    assert limit.num_images == 8
    fit(limit, 8, 1)
    assert limit.num_images == 16


def test_what_fits_again_is_not_limited_any_more() -> None:
    limit = limited(16, 8)
    fit(limit, 4, _PATIENCE)
    fit(limit, 6, 1)  # more than 4, and fewer than did not fit at first
    assert (limit.num_images, limit.is_limited) == (6, True)
    fit(limit, 6, _PATIENCE)
    fit(limit, 12, 1)
    fit(limit, 12, _PATIENCE)
    fit(limit, 16, 1)
    assert (limit.num_images, limit.is_limited) == (sys.maxsize, False)
    assert limited(16).num_images == 8  # and all begins anew


def test_a_trial_that_fails_costs_nothing_and_the_next_waits_twice_as_long() -> None:
    limit, patience = limited(16), _PATIENCE
    for _ in range(20):
        fit(limit, 8, patience - 1)
        assert limit.num_images == 8
        fit(limit, 8, 1)
        assert limit.num_images == 16
        limit.note_too_many(16)
        assert limit.num_images == 8
        patience = min(2 * patience, _MOST_PATIENCE)
    assert patience == _MOST_PATIENCE


def test_memory_that_shrinks_further_lowers_it_further() -> None:
    limit = limited(16)
    fit(limit, 8, _PATIENCE)
    limit.note_too_many(7)
    assert limit.num_images == 3
    fit(limit, 3, _PATIENCE)
    assert limit.num_images == 6
