from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from index.ranking.query_matches import NO_MATCH, NO_ROW, QueryMatches, query_matches

NUM_QUERIES, NUM_GALLERY = 11, 29


def blocks(distances: NDArray[np.float32], num: int = 4) -> Iterator[NDArray[np.float32]]:
    return (distances[start : start + num] for start in range(0, len(distances), num))


def naive_matches(
    distances: list[float], label: int, labels: list[int], camera: int | None, cameras: list[int] | None
) -> tuple[list[tuple[int, int, float]], tuple[int, float]]:
    """(row, rank, distance) of each true match, and row and distance of the nearest wrong image, by sorting it all."""
    ranked = []
    for row, distance in enumerate(distances):
        true = labels[row] == label and label != NO_MATCH
        if true and cameras is not None and cameras[row] == camera:
            continue
        ranked.append((distance, true, row))
    ranked.sort()
    matches = [(row, rank, distance) for rank, (distance, true, row) in enumerate(ranked, 1) if true]
    wrong = [(row, distance) for distance, true, row in ranked if not true]
    return matches, wrong[0] if wrong else (NO_ROW, float("inf"))


def in_tuples(matches: QueryMatches) -> list[tuple[int, int, float]]:
    return list(zip(matches.row.tolist(), matches.rank.tolist(), matches.distance.tolist(), strict=True))


@pytest.mark.parametrize("values", ["scattered", "few", "one"])
@pytest.mark.parametrize("seed", range(12))
def test_ranks_and_neighbours_are_those_of_a_naive_sort(seed: int, values: str) -> None:
    rng = np.random.default_rng(seed)
    shape = (NUM_QUERIES, NUM_GALLERY)
    drawn: dict[str, Any] = {"scattered": rng.random(shape), "few": rng.integers(3, size=shape), "one": np.ones(shape)}
    distances = drawn[values].astype(np.float32)
    labels, gallery_labels = rng.integers(-1, 7, NUM_QUERIES), rng.integers(-1, 5, NUM_GALLERY)
    cameras = (None, None) if seed % 2 else (rng.integers(3, size=NUM_QUERIES), rng.integers(3, size=NUM_GALLERY))
    found = list(query_matches(blocks(distances), labels, gallery_labels, *cameras))
    assert len(found) == NUM_QUERIES
    for query, of_query in enumerate(found):
        matches, wrong = naive_matches(
            distances[query].tolist(),
            int(labels[query]),
            gallery_labels.tolist(),
            None if cameras[0] is None else int(cameras[0][query]),
            None if cameras[1] is None else cameras[1].tolist(),
        )
        assert in_tuples(of_query) == matches
        assert (of_query.wrong_row, of_query.wrong_distance) == wrong
        assert [part.dtype for part in of_query[:3]] == [np.int64, np.int64, np.float32]


def test_of_equally_distant_images_the_wrong_one_comes_first() -> None:
    distances = np.array([[1, 1, 0.5]], np.float32)
    (found,) = query_matches([distances], np.array([4]), np.array([4, 9, 9]))
    assert in_tuples(found) == [(0, 3, 1.0)]
    assert (found.wrong_row, found.wrong_distance) == (2, 0.5)


def test_where_all_are_matches_there_is_no_wrong_one() -> None:
    (found,) = query_matches([np.array([[3, 2]], np.float32)], np.array([1]), np.array([1, 1]))
    assert in_tuples(found) == [(1, 1, 2.0), (0, 2, 3.0)]
    assert (found.wrong_row, found.wrong_distance) == (NO_ROW, float("inf"))


def test_a_view_by_the_querys_own_camera_is_neither_match_nor_wrong() -> None:
    distances = np.array([[0, 5, 7]], np.float32)
    (found,) = query_matches([distances], np.array([1]), np.array([1, 1, 2]), np.array([3]), np.array([3, 4, 3]))
    assert in_tuples(found) == [(1, 1, 5.0)]
    assert found.wrong_row == 2


def test_no_query_has_no_matches() -> None:
    assert list(query_matches([], np.empty(0, np.int64), np.array([1, 2]))) == []


def test_rows_and_queries_have_to_go_together() -> None:
    with pytest.raises(ValueError, match="query_cameras and gallery_cameras come together"):
        list(query_matches([], np.array([1]), np.array([1]), np.array([1]), None))
    with pytest.raises(ValueError, match="shorter"):
        list(query_matches([np.zeros((1, 2), np.float32)], np.array([1, 2]), np.array([1, 2])))
