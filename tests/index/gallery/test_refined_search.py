from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index.embedded.opening import open_gallery
from index.gallery.answers import SearchResult
from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from index.gallery.refined_search import refined_search
from index.ranking.reranking import Refinement, Reranking, expand_queries, rerank
from tests.index.records import DIM, MODEL, enrolment, vector

_QUERY = vector(10_000)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    gallery = open_gallery(tmp_path_factory.mktemp("gallery"), MODEL, DIM)
    gallery.enrol([enrolment(seed, camera="north" if seed % 2 else "south") for seed in range(60)])
    return gallery


def refined(gallery: Gallery, query: NDArray[np.float32], top_k: int, where: Filter, how: Refinement) -> SearchResult:
    return next(refined_search(gallery, query[None], top_k, where, how))


def test_reranking_orders_the_candidates_as_the_algorithm_does(gallery: Gallery) -> None:
    plain = gallery.search(_QUERY, 60, Filter(), None).matches
    embeddings = np.stack([match.record.embedding for match in plain])
    (expected,) = rerank(_QUERY[None], embeddings, Reranking())
    found = refined(gallery, _QUERY, 10, Filter(), Refinement(reranking=Reranking())).matches
    assert [m.record.id for m in found] == [plain[i].record.id for i in np.argsort(expected[0], kind="stable")[:10]]
    assert [m.ranked_by for m in found] == pytest.approx(sorted(expected[0])[:10])
    assert [m.record.id for m in found] != [m.record.id for m in plain[:10]]


def test_a_match_keeps_its_distance_from_the_query_as_it_came(gallery: Gallery) -> None:
    for match in refined(gallery, _QUERY, 5, Filter(), Refinement(3, Reranking())).matches:
        assert match.distance == pytest.approx(float(np.linalg.norm(match.record.embedding - _QUERY)))


def test_expansion_searches_with_the_mean(gallery: Gallery) -> None:
    nearest = np.stack([m.record.embedding for m in gallery.search(_QUERY, 4, Filter(), None).matches])
    expected = gallery.search(expand_queries(_QUERY[None], nearest, 4)[0], 5, Filter(), None).matches
    found = refined(gallery, _QUERY, 5, Filter(), Refinement(4)).matches
    assert [m.record.id for m in found] == [m.record.id for m in expected]
    assert [m.ranked_by for m in found] == [m.distance for m in expected]


def test_conditions_hold_for_every_step(gallery: Gallery) -> None:
    north = Filter(cameras=("north",))
    result = refined(gallery, _QUERY, 60, north, Refinement(2, Reranking()))
    assert {match.record.fields.camera for match in result.matches} == {"north"}
    assert (len(result.matches), result.searched) == (30, 30)


def test_an_empty_gallery_has_no_matches(tmp_path: Path) -> None:
    result = refined(open_gallery(tmp_path, MODEL, DIM), _QUERY, 5, Filter(), Refinement(2, Reranking()))
    assert (result.matches, result.searched) == ([], 0)
