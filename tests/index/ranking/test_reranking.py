import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index.ranking import reranking
from index.ranking.reranking import Reranking, expand_queries, rerank

Array = NDArray[np.float64]
_ROOT = Path(__file__).resolve().parents[3]


def textbook(queries: Array, gallery: Array, k1: int, k2: int, weight: float) -> Array:
    """The published program's steps, dense and in float64."""
    images = np.concatenate([queries, gallery])
    num, num_queries = len(images), len(queries)
    squared = np.array([[((a - b) ** 2).sum() for b in images] for a in images])
    distances = squared / squared.max(axis=1, keepdims=True)
    order = np.argsort(distances, axis=1, kind="stable")

    def reciprocal(image: int, k: int) -> list[int]:
        return [int(other) for other in order[image, : k + 1] if image in order[other, : k + 1]]

    vectors = np.zeros((num, num))
    for image in range(num):
        own = reciprocal(image, k1)
        expanded = set(own)
        for candidate in own:
            theirs = reciprocal(candidate, int(np.around(k1 / 2)))
            if len(set(theirs) & set(own)) > 2 / 3 * len(theirs):
                expanded |= set(theirs)
        for other in expanded:
            vectors[image, other] = np.exp(-distances[image, other])
        vectors[image] /= vectors[image].sum()
    if k2 > 1:
        vectors = np.array([vectors[order[image, :k2]].mean(axis=0) for image in range(num)])
    jaccard = np.zeros((num_queries, num))
    for query in range(num_queries):
        for image in range(num):
            least = np.minimum(vectors[query], vectors[image]).sum()
            most = np.maximum(vectors[query], vectors[image]).sum()
            jaccard[query, image] = 1 - least / most
    final: Array = ((1 - weight) * jaccard + weight * distances[:num_queries])[:, num_queries:]
    return final


def clustered(seed: int, num_queries: int, num_gallery: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(8, 6))

    def some(num: int) -> NDArray[np.float32]:
        return (centres[rng.integers(8, size=num)] + 0.3 * rng.normal(size=(num, 6))).astype(np.float32)

    return some(num_queries), some(num_gallery)


@pytest.mark.parametrize("seed", range(12))
def test_it_is_the_textbooks_algorithm(seed: int) -> None:
    rng = np.random.default_rng(seed)
    k1, k2, weight = int(rng.integers(1, 25)), int(rng.integers(1, 8)), float(rng.uniform())
    queries, gallery = clustered(seed, 9, 40)
    final = np.concatenate(list(rerank(queries, gallery, Reranking(k1, k2, weight))))
    expected = textbook(queries.astype(np.float64), gallery.astype(np.float64), k1, k2, weight)
    np.testing.assert_allclose(final, expected, atol=2e-7)


def test_duplicates_and_more_neighbours_than_images(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, gallery = clustered(1, 3, 4)
    gallery[2] = gallery[0] = queries[1]
    final = np.concatenate(list(rerank(queries, gallery, Reranking())))
    expected = textbook(queries.astype(np.float64), gallery.astype(np.float64), 20, 6, 0.3)
    np.testing.assert_allclose(final, expected, atol=2e-7)


def test_where_everything_is_one_point_everything_is_equally_far() -> None:
    same = np.ones((3, 4), np.float32)
    (final,) = rerank(same, same, Reranking())
    assert np.isfinite(final).all()


def test_more_equal_images_than_neighbours() -> None:
    queries, gallery = clustered(5, 4, 40)
    gallery[:30] = queries[0]
    final = np.concatenate(list(rerank(queries, gallery, Reranking(5, 3))))
    assert np.isfinite(final).all()
    assert final[0, :30].max() < final[0, 30:].min()
    collapsed = np.concatenate(list(rerank(gallery[:30], gallery[:30], Reranking())))
    assert np.isfinite(collapsed).all()


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, gallery = clustered(2, 11, 30)
    whole = np.concatenate(list(rerank(queries, gallery, Reranking())))
    monkeypatch.setattr(reranking, "_BLOCK", 4)
    blocks = list(rerank(queries, gallery, Reranking()))
    assert [len(block) for block in blocks] == [4, 4, 3]
    np.testing.assert_allclose(np.concatenate(blocks), whole, atol=1e-7)


def test_query_expansion_is_the_mean_with_the_nearest() -> None:
    queries, gallery = clustered(3, 5, 20)
    expanded = expand_queries(queries, gallery, 3)
    for query, result in zip(queries, expanded, strict=True):
        nearest = sorted(gallery, key=lambda image: float(np.linalg.norm(image - query)))[:3]
        np.testing.assert_allclose(result, np.mean([query, *nearest], axis=0), atol=1e-6)


def test_expansion_by_none_or_by_more_than_there_are() -> None:
    queries, gallery = clustered(4, 2, 3)
    np.testing.assert_array_equal(expand_queries(queries, gallery, 0), queries)
    everything = [np.mean([query, *gallery], axis=0) for query in queries]
    np.testing.assert_allclose(expand_queries(queries, gallery, 99), everything, atol=1e-6)


@pytest.mark.parametrize("wrong", [{"k1": 0}, {"k2": 0}, {"weight": -0.1}, {"weight": 1.1}])
def test_parameters_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="re-ranking needs"):
        Reranking(**wrong)  # type: ignore[arg-type]


# Prints the peak of a fresh process, its duration and what came out.
_RERANK_20_000 = """
import json, resource, time
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from index.ranking.ranking_metrics import cmc_curve, score_distances, score_queries
from index.ranking.reranking import Reranking, rerank

rng = np.random.default_rng(0)
identities = rng.standard_normal((2000, 512), dtype=np.float32)
labels = np.arange(20_000) % 2000
queries, gallery = (identities[labels] + 2.5 * rng.standard_normal((20_000, 512), dtype=np.float32) for _ in range(2))
start = time.monotonic()
refined = score_distances(rerank(queries, gallery, Reranking()), labels, labels)
duration_s = time.monotonic() - start
plain = score_queries(queries[:2000], gallery, labels[:2000], labels)
print(json.dumps({
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "duration_s": duration_s,
    "map": plain.average_precision.mean(),
    "map_reranked": refined.average_precision.mean(),
}))
"""


@pytest.mark.trial
def test_20_000_queries_in_a_gallery_of_20_000_are_re_ranked_within_2_gib() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _RERANK_20_000], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    sys.stdout.write(done.stdout)  # pytest -rP shows it
    found = json.loads(done.stdout)
    assert found["peak_mib"] < 2048
    assert found["map_reranked"] > found["map"]
