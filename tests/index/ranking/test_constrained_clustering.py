from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from index.ranking.constrained_clustering import UNKNOWN, cluster_vehicles, nearest_in_cluster

Groups = set[frozenset[int]]


def distance_units(embeddings: NDArray[np.float32], max_distance: float) -> list[list[int]]:
    """Distances in millionths (2**-20) of the limit, as the docstring promises."""
    rows = embeddings.astype(np.float64)
    return [[round(float(np.sqrt(((a - b) ** 2).sum())) * 2**20 / max_distance) for b in rows] for a in rows]


def textbook(
    embeddings: NDArray[np.float32],
    max_distance: float,
    frames: list[int],
    labels: list[int],
    pairs: list[tuple[int, int]] | None = None,
) -> Groups:
    """Looks at every pair of clusters before every merge, and adds all their distances up: O(n^3) and more."""
    units = distance_units(embeddings, max_distance)
    linked = {frozenset(pair) for pair in pairs} if pairs is not None else None
    clusters: list[list[int]] = []
    for row, label in enumerate(labels):
        same = [cluster for cluster in clusters if label != UNKNOWN and labels[cluster[0]] == label]
        if same:
            same[0].append(row)
        else:
            clusters.append([row])

    def mean(a: list[int], b: list[int]) -> float | None:
        known = {labels[row] for row in a + b} - {UNKNOWN}
        if len(known) > 1 or {frames[row] for row in a} & {frames[row] for row in b}:
            return None
        if linked is not None and not any(frozenset((i, j)) in linked for i in a for j in b):
            return None
        value = sum(units[i][j] for i in a for j in b) / (len(a) * len(b))
        return value if value <= 2**20 else None

    while True:
        clusters.sort()
        candidates = [
            (value, a[0], b[0], a, b) for a, b in combinations(clusters, 2) if (value := mean(a, b)) is not None
        ]
        if not candidates:
            return {frozenset(cluster) for cluster in clusters}
        *_, a, b = min(candidates)
        clusters = [cluster for cluster in clusters if cluster not in (a, b)] + [sorted(a + b)]


def all_pairs(num: int) -> NDArray[np.int64]:
    return np.array(list(combinations(range(num), 2)), np.int64).reshape(-1, 2)


def groups(cluster_of: NDArray[np.int64]) -> Groups:
    found = {frozenset(np.flatnonzero(cluster_of == cluster).tolist()) for cluster in set(cluster_of.tolist())}
    assert all(min(group) == cluster_of[min(group)] for group in found)
    return found


def points(*numbers: float) -> NDArray[np.float32]:
    return np.array(numbers, np.float32)[:, None]


def cluster(
    embeddings: NDArray[np.float32],
    max_distance: float,
    frames: list[int] | None = None,
    labels: list[int] | None = None,
) -> Groups:
    num = len(embeddings)
    frames = list(range(num)) if frames is None else frames
    labels = [UNKNOWN] * num if labels is None else labels
    return groups(cluster_vehicles(embeddings, all_pairs(num), max_distance, frames, labels))


def test_the_mean_distance_decides() -> None:
    # 0 and 1 merge first; 2.4 is 1.9 away from them on average, its nearest 1.4.
    embeddings = points(0, 1, 2.4, 10)
    assert cluster(embeddings, 1.8) == {frozenset({0, 1}), frozenset({2}), frozenset({3})}
    assert cluster(embeddings, 1.95) == {frozenset({0, 1, 2}), frozenset({3})}


def test_a_distance_of_exactly_the_limit_is_near_enough() -> None:
    assert cluster(points(0, 3), 3.0) == {frozenset({0, 1})}
    assert cluster(points(0, 3), 2.999) == {frozenset({0}), frozenset({1})}


def test_of_equally_near_ones_the_first_rows_merge() -> None:
    assert cluster(points(0, 1, 2, 3), 1.0) == {frozenset({0, 1}), frozenset({2, 3})}
    assert cluster(points(1, 0, 2), 1.0) == {frozenset({0, 1}), frozenset({2})}


def test_images_of_one_frame_never_come_together() -> None:
    # 0 and 1 are the nearest pair, but of one frame; 2 goes to the nearer of them, 3 can only go to the other.
    embeddings = points(0, 0.1, 0.3, 0.5)
    found = cluster(embeddings, 5, frames=[7, 7, 8, 8])
    assert found == {frozenset({1, 2}), frozenset({0, 3})}
    # Not by way of a third image either.
    assert cluster(points(0, 1, 2), 5, frames=[7, 8, 7]) == {frozenset({0, 1}), frozenset({2})}


def test_known_vehicles_are_one_cluster_and_never_merge_with_another() -> None:
    embeddings = points(0, 9, 0.1, 0.2)
    found = cluster(embeddings, 5, labels=[4, 4, 3, UNKNOWN])
    assert found == {frozenset({0, 1}), frozenset({2, 3})}
    # Also those that a labelled image has drawn in.
    assert cluster(points(0, 0.1, 0.2, 0.3), 5, labels=[1, UNKNOWN, UNKNOWN, 2]) == {
        frozenset({0, 1}),
        frozenset({2, 3}),
    }


def test_images_with_one_label_stay_together_even_in_one_frame() -> None:
    assert cluster(points(0, 100, 1), 2, frames=[5, 5, 6], labels=[0, 0, UNKNOWN]) == {
        frozenset({0, 1}),
        frozenset({2}),
    }


def test_nothing_and_one_image() -> None:
    assert cluster(np.empty((0, 4), np.float32), 1.0) == set()
    assert cluster(points(3), 1.0) == {frozenset({0})}


def test_what_has_no_pair_is_not_merged() -> None:
    frames, labels = [0, 1, 2, 3], [UNKNOWN] * 4
    pairs = np.array([[3, 2], [2, 3], [1, 1]], np.int64)
    found = cluster_vehicles(points(0, 0, 0, 0), pairs, 1.0, frames, labels)
    assert groups(found) == {frozenset({0}), frozenset({1}), frozenset({2, 3})}


def test_each_merge_is_a_step_and_a_step_may_end_it() -> None:
    steps = iter([None, None])
    with pytest.raises(StopIteration):
        cluster_vehicles(points(0, 0, 0, 0), all_pairs(4), 1.0, [0, 1, 2, 3], [UNKNOWN] * 4, lambda: next(steps))


@given(st.data())
def test_it_is_the_textbooks_clustering(data: st.DataObject) -> None:
    num = data.draw(st.integers(0, 12))
    # Whole numbers: equal distances are frequent, and so are ties.
    coordinate = st.integers(0, 6)
    rows = data.draw(st.lists(st.tuples(coordinate, coordinate), min_size=num, max_size=num))
    embeddings = np.array(rows, np.float32).reshape(num, 2)
    frames = data.draw(st.lists(st.integers(0, 8), min_size=num, max_size=num))
    labels = data.draw(st.lists(st.sampled_from([UNKNOWN] * 4 + [0, 1, 2]), min_size=num, max_size=num))
    max_distance = data.draw(st.sampled_from([0.5, 1.0, 2.0, 3.3, 100.0]))
    pairs = all_pairs(num)
    distances = np.linalg.norm(embeddings[pairs[:, 0]] - embeddings[pairs[:, 1]], axis=1)
    near = pairs[distances <= max_distance]
    near = near[data.draw(st.permutations(range(len(near))))]  # in any order
    found = groups(cluster_vehicles(embeddings, near, max_distance, frames, labels))
    assert found == textbook(embeddings, max_distance, frames, labels)
    # Of fewer pairs as well.
    some = near[: len(near) // 2, ::-1]
    found = groups(cluster_vehicles(embeddings, some, max_distance, frames, labels))
    assert found == textbook(embeddings, max_distance, frames, labels, [tuple(pair) for pair in some.tolist()])


def test_many_blocks_add_up_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    embeddings = rng.normal(size=(60, 5)).astype(np.float32)
    frames, labels = rng.integers(0, 40, 60).tolist(), rng.integers(-1, 2, 60).tolist()
    whole = cluster(embeddings, 2.5, frames, labels)
    nearest = nearest_in_cluster(embeddings, range(60))
    monkeypatch.setattr("index.ranking.constrained_clustering._BLOCK", 7)
    assert cluster(embeddings, 2.5, frames, labels) == whole == textbook(embeddings, 2.5, frames, labels)
    assert nearest_in_cluster(embeddings, range(60)).tolist() == nearest.tolist()
    assert 1 < len(whole) < 60


def test_the_nearest_in_a_cluster() -> None:
    embeddings = points(0, 50, 3, 4)
    assert nearest_in_cluster(embeddings, [0, 2, 3]).tolist() == [3, 1, 1]
    assert nearest_in_cluster(embeddings, [1]).tolist() == [np.inf]
