"""What a device scans is what the CPU finds, to the last bit; here the device is the CPU, by the same code."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from index.embedded.index_sizes import IndexSizes
from index.embedded.search.device_scan import DeviceScan
from index.embedded.search.row_block import RowBlock
from index.embedded.search.row_blocks import RowBlocks
from index.gallery.fields import Fields

DIM = 24
SIZES = IndexSizes(block_rows=300, first_folding=256, sample_rows=256)

Vectors = NDArray[np.float32]


def kinds_of_rows(kind: str, rng: np.random.Generator) -> Vectors:
    rows = rng.standard_normal((1000, DIM)).astype(np.float32)
    match kind:
        case "clustered":
            rows = rng.standard_normal((20, DIM)).astype(np.float32)[rng.integers(20, size=1000)] + rows / np.float32(
                50
            )
        case "duplicates":
            rows = rows[rng.integers(7, size=1000)]
        case "far from the origin":
            rows = rows / np.float32(100) + np.float32(300)
        case "some too large for bounds":
            rows *= np.float32(1e17)
            rows[::97] *= np.float32(1e13)
    return rows


@contextmanager
def filled(rows: Vectors, scan: DeviceScan | None) -> Iterator[RowBlocks]:
    with closing(RowBlocks(rows.shape[1], 2, SIZES, scan=scan)) as blocks:
        for start in range(0, len(rows), 170):
            seqs = range(start + 1, min(start + 170, len(rows)) + 1)
            blocks.add(rows[start : seqs.stop - 1], seqs, [f"{seq:032x}" for seq in seqs], [Fields()] * len(seqs))
        blocks.settle()
        yield blocks


def assert_same_answers(
    one: RowBlocks, other: RowBlocks, queries: Vectors, top_k: int, searched: NDArray[np.int64]
) -> None:
    def passing(block: RowBlock) -> NDArray[np.bool_]:
        return np.isin(block.seqs, searched)

    for found, expected in zip(
        one.search(queries, top_k, passing) + one.search(queries, top_k),
        other.search(queries, top_k, passing) + other.search(queries, top_k),
        strict=True,
    ):
        np.testing.assert_array_equal(found.seq, expected.seq)
        np.testing.assert_array_equal(found.distance, expected.distance)
        assert found.searched == expected.searched


@pytest.mark.parametrize(
    "kind", ["noise", "clustered", "duplicates", "far from the origin", "some too large for bounds"]
)
@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 2**32), top_k=st.sampled_from([1, 3, 10, 400, 2000]), num_queries=st.sampled_from([1, 2, 40])
)
def test_answers_are_those_of_the_cpu(kind: str, seed: int, top_k: int, num_queries: int) -> None:
    rng = np.random.default_rng(seed)
    rows = kinds_of_rows(kind, rng)
    near = rows[rng.integers(len(rows), size=num_queries)]
    queries = near + (rng.standard_normal(near.shape) * rng.choice([0, 0.01, 1])).astype(np.float32)
    with filled(rows, DeviceScan(torch.device("cpu"))) as scanned, filled(rows, None) as blocks:
        gone = rng.permutation(1000)[:100].tolist()
        scanned.remove(gone)
        blocks.remove(gone)
        assert_same_answers(scanned, blocks, queries, top_k, rng.permutation(1000)[: rng.integers(1, 1000)])


def test_rows_too_large_for_bounds_are_all_looked_at() -> None:
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((1000, DIM)).astype(np.float32) * np.float32(1e30)
    queries = rng.standard_normal((5, DIM)).astype(np.float32) * np.float32(1e17)
    with filled(rows, DeviceScan(torch.device("cpu"))) as scanned, filled(rows, None) as blocks:
        assert_same_answers(scanned, blocks, queries, 3, np.arange(500))


def test_rows_that_come_after_a_search_are_found_by_the_next() -> None:
    rows = kinds_of_rows("noise", np.random.default_rng(0))
    with filled(rows, DeviceScan(torch.device("cpu"))) as blocks:
        blocks.search(rows[:1], 1)
        new = rows[:1] + np.float32(5)
        blocks.add(new, [5000], ["f" * 32], [Fields()])
        (found,) = blocks.search(new, 1)
        assert (found.seq.tolist(), found.distance.tolist()) == ([5000], [0.0])


def test_the_device_decides_and_the_cpu_does_not_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = kinds_of_rows("clustered", np.random.default_rng(1))
    monkeypatch.delattr("index.embedded.search.certified_search._StretchSearch")
    with filled(rows, DeviceScan(torch.device("cpu"))) as blocks:
        assert [found.seq[0] for found in blocks.search(rows[:20], 1)] == list(range(1, 21))


def test_what_the_device_has_no_room_for_is_searched_by_the_cpu(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows = kinds_of_rows("noise", np.random.default_rng(2))
    empty, num_blocks = torch.empty, 0

    def little_room(*args: object, **kwargs: object) -> torch.Tensor:
        nonlocal num_blocks
        if args == ((SIZES.block_rows, DIM),) or args == (torch.Size((SIZES.block_rows, DIM)),):
            num_blocks += 1
        if num_blocks > 2:
            raise torch.OutOfMemoryError("no room")
        return empty(*args, **kwargs)  # type: ignore[call-overload, no-any-return]

    with filled(rows, DeviceScan(torch.device("cpu"))) as scanned, filled(rows, None) as blocks:
        monkeypatch.setattr(torch, "empty", little_room)
        with caplog.at_level(logging.WARNING):
            assert_same_answers(scanned, blocks, rows[::100], 10, np.arange(500))
    assert num_blocks == 3
    assert [record.message for record in caplog.records] == [
        "the gallery does not fit onto cpu: the rest of it is searched by the CPU"
    ]


def test_imprecise_products_are_refused() -> None:
    torch.set_float32_matmul_precision("high")
    try:
        with pytest.raises(ValueError, match="imprecisely"):
            DeviceScan(torch.device("cpu"))
    finally:
        torch.set_float32_matmul_precision("highest")
