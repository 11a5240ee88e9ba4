import numpy as np
import pytest

from index.embedded.search import row_block
from index.embedded.search.bounds import Pairs
from index.embedded.search.folding import Folding
from index.embedded.search.row_block import RowBlock
from tests.index.embedded.naive_neighbours import KINDS, Vectors, fields_of, gallery, ids_of


def block_of(vectors: Vectors, folding: Folding | None = None) -> RowBlock:
    block = RowBlock(vectors.shape[1], len(vectors) + 3, folding)
    seqs = np.arange(1, len(vectors) + 1)
    block.put(0, vectors, seqs, ids_of(seqs.tolist()), fields_of(seqs.tolist()))
    return block


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("dim", [1, 2, 4, 8, 12, 37])  # FAISS has ways of its own for some
def test_distances_are_the_definition_s(kind: str, dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_block, "_CHUNK_OF_PAIRS", 7)
    vectors, queries = gallery(kind, 20, dim, seed=0), gallery(kind, 3, dim, seed=1)
    block = block_of(vectors)
    pairs = Pairs(np.array([2, 0, 1, 0, 0, 2, 1, 1]), np.array([19, 0, 3, 3, 8, 7, 1, 2]))
    expected = np.sqrt(((vectors[pairs.row].astype(np.float64) - queries[pairs.query]) ** 2).sum(axis=1))
    assert np.array_equal(block.distances(queries, pairs), expected)
    squared = block.squared_distances(queries, pairs).astype(np.float64)
    overflown = expected**2 > np.finfo(np.float32).max
    assert (np.isinf(squared) == overflown).all()
    unit, tiny = 2.0**-24, float(np.finfo(np.float32).tiny)
    error = np.abs(squared - expected**2)[~overflown]
    assert (error <= (dim + 2) * unit * expected[~overflown] ** 2 + dim * tiny).all()


def test_a_distance_does_not_depend_on_what_else_is_asked_for() -> None:
    vectors, queries = gallery("noise", 1100, 37, seed=0), gallery("noise", 2, 37, seed=1)
    block = block_of(vectors)
    pairs = Pairs(np.arange(1100) % 2, np.arange(1100))
    alone = [block.distances(queries, Pairs(*(of[[row]] for of in pairs)))[0] for row in range(1100)]
    assert block.distances(queries, pairs).tolist() == alone


def test_no_pairs_have_no_distances() -> None:
    block = block_of(gallery("noise", 3, 4, seed=0))
    none = Pairs(np.empty(0, np.int64), np.empty(0, np.int64))
    assert len(block.distances(block.vectors, none)) == len(block.squared_distances(block.vectors, none)) == 0


def test_rows_are_folded_alike_when_they_come_and_when_they_are_folded_anew() -> None:
    vectors = gallery("noise", 20, 130, seed=0)
    folding = Folding.of_sample(gallery("noise", 20, 130, seed=1))
    put, block = block_of(vectors, folding).folded, block_of(vectors)
    block.refold(folding, 20)
    refolded = block.folded
    assert put is not None
    assert refolded is not None
    coarse, fine = folding.fold(vectors)
    for folded in (put, refolded):
        assert folded.folding is folding
        assert np.array_equal(folded.coarse_vectors[:20], coarse)
        assert np.array_equal(folded.fine_vectors[:20], fine)
    rows = slice(0, 20)
    assert np.array_equal(put.fine.products(fine[:3], rows), refolded.fine.products(fine[:3], rows))
    assert np.array_equal(put.coarse.products(coarse[:3], rows), refolded.coarse.products(coarse[:3], rows))


def test_ids_that_begin_alike_are_told_apart() -> None:
    block = RowBlock(1, 5, None)
    ids = ["a" * 32, "a" * 31 + "b", "a" * 8, "b" * 32]
    block.put(0, np.zeros((4, 1), np.float32), np.arange(1, 5), np.array(ids, "S32"), fields_of([1, 2, 3, 4]))
    for wanted in (["a" * 32], ["a" * 8], ["a" * 33], ["b" * 32, "a" * 31 + "b"], ["a" * 31], []):
        assert block.has_id(wanted, 4).tolist() == [id_ in wanted for id_ in ids]
    assert block.has_id(ids, 2).tolist() == [True, True]
