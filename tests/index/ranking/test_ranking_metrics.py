import importlib
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from index.ranking import ranking_metrics
from index.ranking.query_matches import NO_MATCH
from index.ranking.ranking_metrics import QueryScores, cmc_curve, score_queries, squared_distances
from tests.index import naive

ROOT = Path(__file__).resolve().parents[3]
Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]


class Data(NamedTuple):
    """What `score_queries` takes."""

    queries: Vectors
    gallery: Vectors
    query_labels: Labels
    gallery_labels: Labels
    query_cameras: Labels | None = None
    gallery_cameras: Labels | None = None


def scattered(rng: np.random.Generator, num: int) -> Vectors:
    """Hardly any two of their distances are the same."""
    return rng.standard_normal((num, 6)).astype(np.float32)


def on_a_grid(rng: np.random.Generator, num: int) -> Vectors:
    """Many images at exactly the same distance, which neither float64 nor float32 rounds."""
    return rng.integers(-2, 3, (num, 3)).astype(np.float32)


def duplicates(rng: np.random.Generator, num: int) -> Vectors:
    """Few places, with numbers that no format holds exactly; so images lie on top of each other, and of queries."""
    places = np.random.default_rng(1).standard_normal((8, 40)).astype(np.float32)
    return places[rng.integers(8, size=num)]


def on_one_point(rng: np.random.Generator, num: int) -> Vectors:
    """A network that has collapsed."""
    return np.tile(np.random.default_rng(2).standard_normal((1, 300)).astype(np.float32), (num, 1))


KINDS = [scattered, on_a_grid, duplicates, on_one_point]


def random_data(
    seed: int, kind: Callable[[np.random.Generator, int], Vectors], num_queries: int = 13, num_gallery: int = 37
) -> Data:
    """Identities of the gallery: 0 to 5 and distractors; of the queries: 0 to 7, so that some have no match."""
    rng = np.random.default_rng(seed)
    cameras = (None, None) if seed % 2 else (rng.integers(3, size=num_queries), rng.integers(3, size=num_gallery))
    return Data(
        kind(rng, num_queries),
        kind(rng, num_gallery),
        rng.integers(8, size=num_queries),
        rng.choice([NO_MATCH, 0, 0, 1, 2, 3, 4, 5], num_gallery),
        *cameras,
    )


def naive_scores(data: Data) -> list[naive.Scores]:
    queries, gallery = data.queries.tolist(), data.gallery.tolist()
    labels = data.gallery_labels.tolist()
    cameras = None if data.gallery_cameras is None else data.gallery_cameras.tolist()
    return [
        naive.score_ranking(
            naive.rank_gallery(
                query,
                gallery,
                int(data.query_labels[i]),
                labels,
                None if data.query_cameras is None else int(data.query_cameras[i]),
                cameras,
            )
        )
        for i, query in enumerate(queries)
    ]


def assert_are(scores: QueryScores, expected: list[naive.Scores]) -> None:
    assert scores.num_matches.tolist() == [one.num_matches for one in expected]
    assert scores.first_rank.tolist() == [one.first_rank for one in expected]
    np.testing.assert_allclose(scores.average_precision, [one.average_precision for one in expected], rtol=1e-14)
    np.testing.assert_allclose(
        scores.inverse_negative_penalty, [one.inverse_negative_penalty for one in expected], rtol=1e-14
    )
    assert [array.dtype for array in scores] == [np.int64, np.int64, np.float64, np.float64]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(20))
def test_the_scores_are_those_of_a_naive_loop(kind: Callable[[np.random.Generator, int], Vectors], seed: int) -> None:
    data = random_data(seed, kind)
    assert_are(score_queries(*data), naive_scores(data))


def test_the_random_data_has_what_can_go_wrong() -> None:
    data = [random_data(seed, kind) for kind in KINDS for seed in (0, 1)]
    scores = [score for one in data for score in naive_scores(one)]
    assert sum(score.num_matches == 0 for score in scores) > 10
    assert len({score.num_matches for score in scores}) > 5
    assert any(score.first_rank == 1 for score in scores)
    for one in data:
        assert (one.gallery_labels == NO_MATCH).any()
        distances = ((one.queries[:, None].astype(np.float64) - one.gallery) ** 2).sum(axis=2)
        true = one.query_labels[:, None] == one.gallery_labels
        ties = [set(row[same].tolist()) & set(row[~same].tolist()) for row, same in zip(distances, true, strict=True)]
        assert any(ties) == (one.queries.shape[1] != 6)  # wherever they are not scattered


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("query_block", "gallery_block"), [(1, 1), (1, 1000), (1000, 1), (4, 5), (13, 37), (12, 36)])
def test_blocks_of_any_size_give_the_same_scores(
    kind: Callable[[np.random.Generator, int], Vectors],
    query_block: int,
    gallery_block: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranking_metrics, "_QUERY_BLOCK", query_block)
    monkeypatch.setattr(ranking_metrics, "_GALLERY_BLOCK", gallery_block)
    for seed in range(4):
        data = random_data(seed, kind)
        assert_are(score_queries(*data), naive_scores(data))


def test_real_blocks_have_borders_without_a_gap() -> None:
    # One query and gallery image more than a block has, each at a place of its own: everyone's match is itself.
    num_queries, num_gallery = ranking_metrics._QUERY_BLOCK + 1, ranking_metrics._GALLERY_BLOCK + 1
    gallery = np.stack([np.arange(num_gallery), np.zeros(num_gallery)], axis=1).astype(np.float32)
    labels = np.arange(num_gallery)
    picked = np.linspace(0, num_gallery - 1, num_queries).round().astype(np.int64)
    scores = score_queries(gallery[picked] + np.float32(0.25), gallery, labels[picked], labels)
    assert scores.num_matches.tolist() == scores.first_rank.tolist() == [1] * num_queries


def row(*numbers: float) -> Vectors:
    """One-dimensional embeddings."""
    return np.array(numbers, np.float32)[:, None]


def labelled(*labels: int) -> Labels:
    return np.array(labels, np.int64)


def test_an_example_by_hand() -> None:
    # From query 0 of identity 5: wrong 1, true 2, wrong 3, true 4, true 6. AP = (1/2 + 2/4 + 3/5) / 3, INP = 3/5.
    scores = score_queries(row(0), row(6, -4, 3, 2, 1), labelled(5), labelled(5, 5, 4, 5, NO_MATCH))
    assert scores.num_matches.tolist() == [3]
    assert scores.first_rank.tolist() == [2]
    assert scores.average_precision.tolist() == pytest.approx([(1 / 2 + 2 / 4 + 3 / 5) / 3], rel=1e-15)
    assert scores.inverse_negative_penalty.tolist() == [3 / 5]


@pytest.mark.parametrize("order", [[0, 1, 2], [1, 0, 2], [2, 0, 1], [2, 1, 0]])
def test_of_equally_distant_images_the_wrong_ones_come_first_wherever_they_stand(order: list[int]) -> None:
    scores = score_queries(row(0), row(1, -1, 1)[order], labelled(5), labelled(5, 6, NO_MATCH)[order])
    assert (scores.first_rank.tolist(), scores.average_precision.tolist()) == ([3], [1 / 3])


def test_a_network_that_maps_everything_onto_one_point_scores_next_to_nothing() -> None:
    labels = np.arange(200) % 10
    for seed in range(5):
        point = np.tile(np.random.default_rng(seed).standard_normal((1, 2560)).astype(np.float32), (200, 1))
        scores = score_queries(point, point, labels, labels)
        assert set(scores.first_rank.tolist()) == {181}
        assert set(scores.num_matches.tolist()) == {20}


def test_only_images_of_the_querys_vehicle_and_camera_are_left_out() -> None:
    # 1: own vehicle and camera, left out; 2: another vehicle of the own camera, stays; 3: a distractor of it, stays.
    gallery, labels, cameras = row(1, 2, 3, 4), labelled(5, 6, NO_MATCH, 5), labelled(0, 0, 0, 1)
    scores = score_queries(row(0), gallery, labelled(5), labels, labelled(0), cameras)
    assert (scores.num_matches.tolist(), scores.first_rank.tolist()) == ([1], [3])
    scores = score_queries(row(0), gallery, labelled(5), labels)
    assert (scores.num_matches.tolist(), scores.first_rank.tolist()) == ([2], [1])


def test_an_image_of_another_camera_is_its_own_queries_only() -> None:
    gallery, labels, cameras = row(1, 2), labelled(5, 5), labelled(0, 1)
    scores = score_queries(row(0, 0, 0), gallery, labelled(5, 5, 5), labels, labelled(0, 1, 2), cameras)
    assert scores.num_matches.tolist() == [1, 1, 2]
    assert scores.first_rank.tolist() == [1, 1, 1]


def test_a_query_without_a_match_scores_nothing_and_disturbs_no_other() -> None:
    scores = score_queries(row(0, 0, 0), row(1, 2), labelled(9, 5, 9), labelled(6, 5))
    assert scores.num_matches.tolist() == [0, 1, 0]
    assert scores.first_rank.tolist() == [0, 2, 0]
    assert scores.average_precision.tolist() == scores.inverse_negative_penalty.tolist() == [0, 1 / 2, 0]


def test_a_query_whose_matches_the_camera_rule_removes_has_none() -> None:
    scores = score_queries(row(0), row(1, 2), labelled(5), labelled(5, 6), labelled(3), labelled(3, 3))
    assert (scores.num_matches.tolist(), scores.first_rank.tolist()) == ([0], [0])


def test_the_label_of_distractors_matches_nobody_not_even_itself() -> None:
    scores = score_queries(row(0), row(1, 2), labelled(NO_MATCH), labelled(NO_MATCH, 5))
    assert scores.num_matches.tolist() == [0]


@pytest.mark.parametrize(("label", "expected"), [(5, (1, 1, 1.0, 1.0)), (6, (0, 0, 0.0, 0.0))])
def test_a_gallery_of_one_image_is_enough(label: int, expected: tuple[int, int, float, float]) -> None:
    scores = score_queries(row(0), row(1), labelled(5), labelled(label))
    assert tuple(array.item() for array in scores) == expected


def test_no_queries_and_an_empty_gallery_have_a_shape() -> None:
    nobody = score_queries(row(), row(1), labelled(), labelled(5))
    assert [array.shape for array in nobody] == [(0,)] * 4
    assert score_queries(row(0), row(), labelled(5), labelled()).num_matches.tolist() == [0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_embedding_that_is_not_finite_is_refused_on_either_side(value: float) -> None:
    for queries, gallery in ((row(0, value), row(1)), (row(0, 1), row(value))):
        with pytest.raises(ValueError, match="an embedding is not finite"):
            score_queries(queries, gallery, labelled(1, 2), labelled(1))


def test_cameras_of_one_side_alone_are_refused() -> None:
    for cameras in ((labelled(1), None), (None, labelled(1))):
        with pytest.raises(ValueError, match="come together"):
            score_queries(row(0), row(1), labelled(1), labelled(1), *cameras)


# Small whole numbers: every distance is exact.
rows = st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2), st.integers(-1, 3), st.integers(0, 2)), max_size=12)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(queries=rows, gallery=rows, with_cameras=st.booleans())
def test_any_small_gallery_is_scored_exactly(
    queries: list[tuple[int, int, int, int]], gallery: list[tuple[int, int, int, int]], with_cameras: bool
) -> None:
    q, g = (np.array(rows, np.int64).reshape(len(rows), 4) for rows in (queries, gallery))
    cameras = (q[:, 3], g[:, 3]) if with_cameras else (None, None)
    data = Data(q[:, :2].astype(np.float32), g[:, :2].astype(np.float32), q[:, 2], g[:, 2], *cameras)
    assert_are(score_queries(*data), naive_scores(data))


@pytest.mark.parametrize("dim", [1, 64, 2560])
@pytest.mark.parametrize("shift", [0, 1, 10])
def test_squared_distances_are_those_of_float64_to_the_precision_of_float32(dim: int, shift: int) -> None:
    rng = np.random.default_rng(dim)
    queries, gallery = (rng.normal(shift, 0.1, (num, dim)).astype(np.float32) for num in (5, 9))
    squared = squared_distances(queries, gallery)
    differences = queries.astype(np.float64)[:, None] - gallery
    np.testing.assert_allclose(squared, (differences**2).sum(axis=2), rtol=2e-7)
    assert squared.dtype == np.float32
    assert squared.shape == (5, 9)


def test_the_same_embedding_has_distance_0_and_a_slightly_different_one_has_not() -> None:
    rng = np.random.default_rng(4)
    queries = rng.standard_normal((20, 2560)).astype(np.float32) * np.float32(30)
    gallery = np.concatenate([queries, queries * np.float32(1 + 1e-5)])
    squared = squared_distances(queries, gallery)
    assert squared[:, :20].diagonal().tolist() == [0.0] * 20
    expected = 1e-10 * (queries.astype(np.float64) ** 2).sum(axis=1)
    np.testing.assert_allclose(squared[:, 20:].diagonal(), expected, rtol=0.02)
    assert squared.min() == 0


def test_the_inputs_are_left_as_they_are() -> None:
    data = random_data(2, scattered)
    copies = [None if array is None else array.copy() for array in data]
    score_queries(*data)
    for array, copy in zip(data, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("seed", range(10))
def test_the_cmc_curve_counts_queries_up_to_each_rank(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first_rank = rng.integers(1, 1 + rng.integers(1, 30), rng.integers(1, 60))
    curve = cmc_curve(first_rank)
    assert curve.tolist() == [naive.cmc(first_rank.tolist(), rank) for rank in range(1, int(first_rank.max()) + 1)]
    assert curve[-1] == 1.0
    assert curve.dtype == np.float64


def test_the_cmc_curve_ends_where_it_reaches_1() -> None:
    assert cmc_curve(labelled(1)).tolist() == [1.0]
    assert cmc_curve(labelled(3, 1, 3, 5)).tolist() == [0.25, 0.25, 0.75, 0.75, 1.0]


def well_separated(seed: int) -> Data:
    """Each query's distances differ by enough that float32 cannot mix them up, whoever computes them."""
    rng = np.random.default_rng(seed)
    while True:
        data = Data(scattered(rng, 12), scattered(rng, 30), rng.integers(8, size=12), rng.integers(-1, 6, 30))
        distances = np.sort(np.linalg.norm(data.queries[:, None].astype(np.float64) - data.gallery, axis=2), axis=1)
        if (np.diff(distances) / distances[:, 1:]).min() > 1e-4:
            return data


@pytest.fixture(scope="module")
def published() -> Any:
    """pytorch-metric-learning's calculator, over the whole gallery."""
    package = "pytorch_metric_learning"
    with pytest.MonkeyPatch.context() as patch:
        # With FAISS at hand it would replace FAISS's own methods, for every test that comes after.
        patch.setitem(sys.modules, "faiss", None)
        calculator = importlib.import_module(f"{package}.utils.accuracy_calculator")
        inference = importlib.import_module(f"{package}.utils.inference")
        distances = importlib.import_module(f"{package}.distances")
    return calculator.AccuracyCalculator(
        include=("mean_average_precision", "precision_at_1", "mean_reciprocal_rank"),
        device=torch.device("cpu"),
        knn_func=inference.CustomKNN(distances.LpDistance(normalize_embeddings=False)),
    )


@pytest.mark.parametrize("seed", range(10))
def test_pytorch_metric_learning_has_the_same_figures(seed: int, published: Any) -> None:
    data = well_separated(seed)
    figures = published.get_accuracy(data.queries, data.query_labels, data.gallery, data.gallery_labels)
    scores = score_queries(*data)
    counted = scores.num_matches > 0  # like the field, it leaves out queries without a match
    assert 0 < counted.sum() < len(counted) or seed
    first_rank = scores.first_rank[counted]
    assert cmc_curve(first_rank)[0] == pytest.approx(figures["precision_at_1"], abs=1e-12)
    assert scores.average_precision[counted].mean() == pytest.approx(figures["mean_average_precision"], abs=1e-12)
    assert (1 / first_rank).mean() == pytest.approx(figures["mean_reciprocal_rank"], abs=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_scikit_learn_has_the_same_average_precision_under_the_camera_rule(seed: int) -> None:
    average_precision_score = importlib.import_module("sklearn.metrics").average_precision_score
    rng = np.random.default_rng(seed)
    data = well_separated(seed)._replace(
        query_cameras=rng.integers(3, size=12), gallery_cameras=rng.integers(3, size=30)
    )
    assert data.query_cameras is not None
    scores, num_compared = score_queries(*data), 0
    for i, query in enumerate(data.queries):
        same = data.gallery_labels == data.query_labels[i]
        left = ~(same & (data.gallery_cameras == data.query_cameras[i]))
        if not same[left].any():
            assert scores.average_precision[i] == 0
            continue
        nearness = -np.linalg.norm(data.gallery.astype(np.float64) - query, axis=1)
        expected = average_precision_score(same[left], nearness[left])
        assert scores.average_precision[i] == pytest.approx(expected, abs=1e-12)
        num_compared += 1
    assert num_compared >= 3


def peak_bytes(num_queries: int, num_gallery: int, dim: int = 16) -> int:
    rng = np.random.default_rng(5)
    queries, gallery = (rng.standard_normal((num, dim), dtype=np.float32) for num in (num_queries, num_gallery))
    labels = rng.integers(100, size=num_queries), rng.integers(100, size=num_gallery)
    tracemalloc.start()
    try:
        score_queries(queries, gallery, *labels)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_memory_does_not_grow_with_queries_times_gallery() -> None:
    few, many = peak_bytes(1100, 2500), peak_bytes(2500, 2500)
    # A matrix of all pairs would take 3.5 MB more even if it had single bytes; a query's own scores have some 100.
    assert many - few < 1400 * 200
    assert many < 2500 * 2500 * 8


def test_of_the_gallery_only_distances_to_two_query_blocks_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking_metrics, "_QUERY_BLOCK", 200)
    monkeypatch.setattr(ranking_metrics, "_GALLERY_BLOCK", 500)
    few, many = peak_bytes(400, 2000), peak_bytes(400, 6000)
    # A block in float32 and the one before, and some arrays of one query; all of a block in float64 would be as much.
    assert many - few < 4000 * (2 * 200 * 4 + 200)


def test_of_the_gallery_only_two_blocks_are_widened_at_once() -> None:
    few, many = peak_bytes(100, 2 * 4096, 128), peak_bytes(100, 4 * 4096, 128)
    # Float32 distances, whether a number is finite, some arrays of one query; in float64 a row has 1024 bytes.
    assert many - few < 2 * 4096 * (100 * 4 + 128 + 200)


# Prints the peak of a fresh process, its duration in score_queries and what came out.
SCORE_20_000 = """
import json, resource, time
import numpy as np
from index.ranking.ranking_metrics import cmc_curve, score_queries

rng = np.random.default_rng(0)
identities = rng.standard_normal((2000, 2560), dtype=np.float32)

def embeddings(labels):
    noisy = rng.standard_normal((len(labels), 2560), dtype=np.float32)
    noisy *= 3
    noisy += identities[labels]
    return noisy

labels = np.arange(20_000) % 2000
queries, gallery = embeddings(labels), embeddings(labels)
start = time.monotonic()
scores = score_queries(queries, gallery, labels, labels, labels * 0, np.arange(20_000) // 2000)
print(json.dumps({
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "duration_s": time.monotonic() - start,
    "num_matches": sorted(set(scores.num_matches.tolist())),
    "cmc1": cmc_curve(scores.first_rank)[0],
    "map": scores.average_precision.mean(),
}))
"""


@pytest.mark.trial
def test_20_000_queries_in_a_gallery_of_20_000_stay_within_2_gib() -> None:
    done = subprocess.run([sys.executable, "-c", SCORE_20_000], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sys.stdout.write(done.stdout)  # pytest -rP shows it
    found = json.loads(done.stdout)
    assert found["peak_mib"] < 2048
    assert found["num_matches"] == [9]
    assert 0.5 < found["map"] <= found["cmc1"] < 1
