from collections import Counter
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.sampler import PKSampler, SamplerError


def labels_of(sizes: list[int], seed: int | None = None) -> list[int]:
    """As many labels as each identity has images, one identity after the other, or mixed by a seed."""
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    return labels if seed is None else np.random.default_rng(seed).permutation(labels).tolist()


def num_groups(sizes: list[int], k: int) -> tuple[int, ...]:
    return tuple(sorted(max(size // k, 1) for size in sizes))


@cache
def most_batches_of_all_ways(groups: tuple[int, ...], p: int) -> int:
    """Every way to fill one batch, and then the next."""
    left = [position for position, number in enumerate(groups) if number]
    found = 0
    for chosen in combinations(left, p):
        rest = tuple(sorted(number - (position in chosen) for position, number in enumerate(groups)))
        found = max(found, 1 + most_batches_of_all_ways(rest, p))
    return found


def most_batches_greedily(groups: tuple[int, ...], p: int) -> int:
    """Always the p identities with the most groups left."""
    left, found = sorted(groups, reverse=True), 0
    while left[p - 1] > 0:
        left = sorted([*(number - 1 for number in left[:p]), *left[p:]], reverse=True)
        found += 1
    return found


def check_epoch(batches: NDArray[np.int64], labels: list[int], p: int, k: int) -> None:
    sizes = Counter(labels)
    used: Counter[int] = Counter()
    for batch in batches.tolist():
        assert len(batch) == p
        identities = [labels[group[0]] for group in batch]
        assert len(set(identities)) == p
        for identity, group in zip(identities, batch, strict=True):
            assert [labels[position] for position in group] == [identity] * k
            repeats = Counter(group)
            assert len(repeats) == min(k, sizes[identity])
            assert max(repeats.values()) == -(-k // min(k, sizes[identity]))
            used.update(repeats.keys())
    assert all(number == 1 for number in used.values())


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_batch_holds_p_identities_with_k_images_each(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 20), min_size=1, max_size=12))
    p, k = data.draw(st.integers(1, len(sizes))), data.draw(st.integers(1, 6))
    labels = labels_of(sizes, data.draw(st.sampled_from([None, 1, 2])))
    sampler = PKSampler(labels, p, k, data.draw(st.integers(0, 2**40)))
    assert sampler.num_batches == most_batches_greedily(num_groups(sizes, k), p) >= 1
    batches = sampler.epoch(data.draw(st.integers(0, 1000)))
    assert batches.shape == (sampler.num_batches, p, k)
    assert batches.dtype == np.int64
    check_epoch(batches, labels, p, k)


@settings(max_examples=200, deadline=None)
@given(groups=st.lists(st.integers(1, 4), min_size=2, max_size=6), p=st.integers(1, 4), k=st.integers(1, 3))
def test_no_way_to_fill_batches_gives_more_of_them(groups: list[int], p: int, k: int) -> None:
    sizes = [number * k + number % k for number in groups]
    p = min(p, len(sizes))
    expected = most_batches_of_all_ways(num_groups(sizes, k), p)
    assert PKSampler(labels_of(sizes), p, k, seed=0).num_batches == expected


@pytest.mark.parametrize(
    ("sizes", "p", "k", "expected"),
    [
        ([4] * 8, 8, 4, 1),
        ([4] * 16, 8, 4, 2),
        ([400] + [4] * 7, 8, 4, 1),  # one identity cannot fill a batch alone
        ([400, 400, 4, 4], 2, 4, 101),
        ([7, 8, 9], 3, 4, 1),
        ([8, 8, 8], 3, 4, 2),
        ([1] * 7, 3, 4, 2),
        ([5], 1, 2, 2),
    ],
)
def test_the_number_of_batches(sizes: list[int], p: int, k: int, expected: int) -> None:
    assert PKSampler(labels_of(sizes), p, k, seed=0).num_batches == expected


def test_with_exactly_p_identities_every_batch_holds_them_all() -> None:
    sizes = [9, 12, 40, 11]
    labels = labels_of(sizes, seed=3)
    batches = PKSampler(labels, 4, 3, seed=5).epoch(0)
    assert len(batches) == 3
    check_epoch(batches, labels, 4, 3)
    assert all({labels[group[0]] for group in batch} == {0, 1, 2, 3} for batch in batches.tolist())


def test_a_single_image_fills_its_group() -> None:
    batches = PKSampler(labels_of([1] * 10), 5, 4, seed=5).epoch(0)
    assert sorted(batches[:, :, 0].ravel().tolist()) == list(range(10))
    assert (batches == batches[:, :, :1]).all()


def test_too_few_identities_are_an_error_that_counts_them() -> None:
    with pytest.raises(SamplerError, match=r"images of 8 identities, the training data has 7: .*lower num_identities"):
        PKSampler(labels_of([4] * 7), 8, 4, seed=0)
    with pytest.raises(SamplerError, match=r"the training data has 0"):
        PKSampler([], 2, 4, seed=0)


def test_labels_need_not_be_consecutive() -> None:
    labels = [10**12, 5, -3, 5, 10**12, -3]
    check_epoch(PKSampler(labels, 3, 2, seed=1).epoch(0), labels, 3, 2)


def test_an_epoch_is_a_function_of_seed_and_number() -> None:
    labels = labels_of([8] * 12, seed=0)
    sampler = PKSampler(labels, 4, 4, seed=3)
    third = sampler.epoch(3)
    sampler.epoch(4)
    assert np.array_equal(sampler.epoch(3), third)
    assert np.array_equal(PKSampler(labels, 4, 4, seed=3).epoch(3), third)
    others = [sampler.epoch(2), sampler.epoch(4), PKSampler(labels, 4, 4, seed=4).epoch(3)]
    others.append(PKSampler(labels, 4, 4, seed=2).epoch(3))
    assert not any(np.array_equal(other, third) for other in others)


def uses(labels: list[int], p: int, k: int, num_epochs: int) -> NDArray[np.float64]:
    """How often each image is used in an epoch, on average."""
    sampler = PKSampler(labels, p, k, seed=11)
    positions = np.concatenate([sampler.epoch(epoch).ravel() for epoch in range(num_epochs)])
    return np.bincount(positions, minlength=len(labels)) / num_epochs


@pytest.mark.parametrize("mixed", [None, 1])
def test_images_of_an_identity_are_used_equally_often_however_the_labels_are_ordered(mixed: int | None) -> None:
    # 3, 1, 1, 2 and 1 groups of 4. They fill 2 batches of 3, so that the first identity brings 2 groups at most.
    sizes = [13, 7, 4, 9, 2]
    labels = labels_of(sizes, mixed)
    shares = uses(labels, 3, 4, num_epochs=2000)
    assert shares.min() > 0
    of_identity = [shares[[position for position, label in enumerate(labels) if label == one]] for one in range(5)]
    for size, share in zip(sizes, of_identity, strict=True):
        assert len(share) == size
        assert share.max() - share.min() < 0.12
    # Of these 7 groups 6 are kept, each as likely as the others.
    expected = [2 * 4 / 13, 4 / 7, 4 / 4, 2 * 4 / 9, 4 / 2]
    for share, full in zip(of_identity, expected, strict=True):
        assert share.mean() == pytest.approx(full * 6 / 7, rel=0.04)


def test_images_do_not_always_come_in_the_same_company() -> None:
    sampler = PKSampler(labels_of([8] * 4), 4, 4, seed=2)
    company = {tuple(sorted(group)) for epoch in range(20) for group in sampler.epoch(epoch).reshape(-1, 4).tolist()}
    assert len(company) > 80
    neighbours = {
        frozenset(position // 8 for position in batch[:, 0].tolist())
        for epoch in range(100)
        for batch in PKSampler(labels_of([8] * 6), 3, 4, seed=2).epoch(epoch)
    }
    assert len(neighbours) == 20  # all triples of 6


def test_an_identitys_groups_are_spread_over_the_epoch() -> None:
    labels = labels_of([8] + [4] * 38)
    sampler = PKSampler(labels, 4, 4, seed=2)
    assert sampler.num_batches == 10
    gaps: Counter[int] = Counter()
    for epoch in range(300):
        first, *more = [number for number, batch in enumerate(sampler.epoch(epoch)) if (batch < 8).any()]
        gaps[(more[0] - first) % 10] += 1
    # Of all pairs of 10 batches (45), those at a distance of 1 or 9 around the circle are 10.
    assert gaps[1] + gaps[9] < 110
    assert gaps.keys() == set(range(1, 10))


def test_a_first_batch_is_no_better_than_a_last() -> None:
    labels = labels_of([1] * 40)
    sampler = PKSampler(labels, 4, 1, seed=9)
    first = Counter(position for epoch in range(300) for position in sampler.epoch(epoch)[0].ravel().tolist())
    assert len(first) == 40
    assert max(first.values()) < 3 * 30
