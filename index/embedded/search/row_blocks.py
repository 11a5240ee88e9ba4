"""All rows of a gallery in memory, in blocks: exact search over them, growth, deletion, compaction."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

from index.embedded.index_sizes import IndexSizes
from index.embedded.logged_step import logged_step
from index.embedded.search.certified_search import Queries, Scan, search_stretch
from index.embedded.search.folding import Folding
from index.embedded.search.record_columns import NO_IDENTITY
from index.embedded.search.row_block import RowBlock
from index.embedded.search.rows import Rows, with_rows
from index.embedded.search.stretch import Stretch
from index.embedded.snapshot.snapshot import Snapshot
from index.gallery.fields import Fields
from index.gallery.record_store import RecordStore
from index.gallery.vector_index import Neighbours

_LOG = logging.getLogger(__name__)

_SIZES: Final = IndexSizes()
# What one thread searches before it looks at what others have found.
_STRETCH_ROWS: Final = 32_768
# More queries would need more memory for their products with a stretch than a processor's cache has.
_QUERIES_TOGETHER: Final = 64
# Blocks are rewritten when this share of what they can hold is dead,
_MOST_DEAD: Final = 0.25
# or, of a gallery with few records that come and go, this share and more than are alive.
_MOST_DEAD_OF_FEW: Final = 1 / 16


Passing = Callable[[RowBlock], NDArray[np.bool_]]
"""Says of a block which of its rows (N,) pass, at least of all that were put when it was asked."""


class RowBlocks:
    """Embeddings (N, D) float32, each with a rising seq, an id and fields. Derived: it can always be rebuilt.

    An answer is the exact one, in float64 and by (distance, id), for every batch size, number of threads, filter and
    machine, of the rows that were there at one moment after the search began. Searches wait for nothing; writes wait
    for each other. Learning a folding and compacting happen in one thread of their own, while all else goes on.
    """

    def __init__(
        self,
        dim: int,
        num_threads: int = 1,
        sizes: IndexSizes = _SIZES,
        snapshot: Snapshot | None = None,
        scan: Scan | None = None,
    ) -> None:
        """`num_threads` search one query's blocks at the same time, or `scan` does. Rows are saved in `snapshot`."""
        self._dim, self._num_threads = dim, num_threads
        self._sizes = sizes
        self._snapshot, self._scan = snapshot, scan
        self._save_at = sizes.first_save
        # Replaced as a whole, by one thread at a time. Only the last block grows.
        self._blocks: tuple[Rows, ...] = ()
        self._writing = threading.Lock()
        # Each computes alone: threads of FAISS's own would wait for each other whenever one of them is interrupted.
        self._searching = ThreadPoolExecutor(num_threads, "search-blocks", faiss.omp_set_num_threads, (1,))
        self._maintaining = ThreadPoolExecutor(1, "maintain-blocks")
        self._folding: Folding | None = None
        self._refold_at = sizes.first_folding
        self._last_seq = 0
        # By seq, what was updated since compaction began, if it is under way.
        self._updated: dict[int, Fields] | None = None
        self._closed = threading.Event()

    def __len__(self) -> int:
        return sum(rows.num_alive for rows in self._blocks)

    @property
    def last_seq(self) -> int:
        """The highest seq ever added, 0 if there was none."""
        return self._last_seq

    @property
    def problems(self) -> Sequence[str]:
        """What of the snapshot was found damaged and made anew, in words."""
        return () if self._snapshot is None else self._snapshot.problems

    def restore(self, store: RecordStore) -> None:
        """Fills the index, which is empty, with the rows of its snapshot that the store has records for."""
        if self._snapshot is None:
            return
        with logged_step("loading the snapshot"):
            loaded = self._snapshot.load(store, self._num_threads)
        if loaded is None:
            return
        with self._writing:
            self._blocks, self._folding = loaded.blocks, loaded.folding
            self._last_seq = max((int(rows.seqs[-1]) for rows in loaded.blocks), default=0)
            if loaded.folding is not None:
                self._refold_at = loaded.refold_at
                if any(rows.block.folded is None for rows in loaded.blocks):
                    self._maintain(self._fold_all)
            if _runs(self._blocks, self._sizes.block_rows):
                self._maintain(self._compact)
            self._save_at = self._next_save() if loaded.is_whole else 0
            self._maintain_growth()

    def add(
        self,
        embeddings: NDArray[np.float32],
        seqs: Sequence[int],
        ids: Sequence[str],
        fields: Sequence[Fields],
        enrolled_at: Sequence[int] | None = None,
    ) -> None:
        """Appends rows (N, D), all of them or, if it raises, none; seqs must rise, also over what was there.

        A snapshot needs the microseconds since 1970 at which each was enrolled.

        Raises:
            ValueError: seqs that do not rise, or embeddings that are not finite, not of D numbers or not one per seq.
        """
        if not len(seqs):
            return
        if embeddings.shape != (len(seqs), self._dim) or not len(ids) == len(fields) == len(seqs):
            raise ValueError(
                f"expected an embedding of {self._dim} numbers, an id and fields for each of {len(seqs)} seqs, "
                f"got embeddings {embeddings.shape}, {len(ids)} ids and {len(fields)} fields"
            )
        if not np.isfinite(embeddings).all():
            raise ValueError("an embedding is not finite")
        new_ids = np.array(ids, "S32")
        with self._writing:
            rising = np.array([self._last_seq, *seqs], np.int64)
            if not (np.diff(rising) > 0).all():
                raise ValueError(f"seqs must rise, got {rising.tolist()[:10]}")
            times = np.zeros(len(seqs), np.int64) if enrolled_at is None else np.array(enrolled_at, np.int64)
            self._blocks = with_rows(self._blocks, self._new_block, embeddings, rising[1:], new_ids, fields, times)
            self._last_seq = int(rising[-1])
            self._maintain_growth()

    def remove(self, seqs: Sequence[int]) -> None:
        """Drops rows; a seq that is not there is fine."""
        wanted = np.unique(np.array(seqs, np.int64))
        with self._writing:
            self._blocks = tuple(rows.minus(wanted) for rows in self._blocks)
            if _runs(self._blocks, self._sizes.block_rows):
                self._maintain(self._compact)

    def update(self, changes: Mapping[int, Fields]) -> None:
        """Replaces the fields of rows, by seq; a seq that is not there is fine."""
        with self._writing:
            for rows in self._blocks:
                rows.update(changes)
            if self._updated is not None:
                self._updated |= changes

    def search(self, queries: NDArray[np.float32], top_k: int, passing: Passing | None = None) -> list[Neighbours]:
        """The `top_k` rows nearest to each query (Q, D), among those that pass (all rows if None).

        Raises:
            ValueError: a query is not finite or of another size, or `top_k` below 1.
        """
        if queries.ndim != 2 or queries.shape[1] != self._dim or not np.isfinite(queries).all():
            raise ValueError(f"a query is not finite, or not {self._dim} numbers")
        if top_k < 1:
            raise ValueError(f"top_k must be 1 or more, got {top_k}")
        blocks = self._blocks
        stretches = list(_stretches(blocks, passing))
        found: list[Neighbours] = []
        for start in range(0, len(queries), _QUERIES_TOGETHER):
            together = np.ascontiguousarray(queries[start : start + _QUERIES_TOGETHER], np.float32)
            asked = Queries(together, top_k, [rows.block for rows in blocks])
            searched = sum(self._searching.map(partial(search_stretch, asked, scan=self._scan), stretches))
            found += asked.nearest.neighbours(searched)
        return found

    def seqs_passing(self, passing: Passing | None = None) -> NDArray[np.int64]:
        """The seqs (N,) of the rows that pass (all rows if None), rising."""
        return np.concatenate([np.empty(0, np.int64), *(rows.seqs[_searched(rows, passing)] for rows in self._blocks)])

    def identities(self, seqs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes (N,) of the identities of some rows, equal where these are; `NO_IDENTITY` for none."""
        codes = np.full(len(seqs), NO_IDENTITY)
        for rows in self._blocks:
            positions = rows.positions(seqs)
            here = positions >= 0
            codes[here] = rows.block.columns.identity[positions[here]]
        return codes

    def num_groups(self, passing: Passing | None = None) -> int:
        """How many identities the rows have that pass (all rows if None); a row without one counts as its own."""
        codes = [rows.block.columns.identity[: rows.num_rows][_searched(rows, passing)] for rows in self._blocks]
        of_all = np.concatenate([np.empty(0, np.int64), *codes])
        named = of_all[of_all != NO_IDENTITY]
        return len(np.unique(named)) + len(of_all) - len(named)

    def refold(self) -> None:
        """Learns the folding anew from a sample of all rows, folds every block by it, and returns when this is done."""
        self._maintain(self._refold).result()

    def compact(self) -> None:
        """Rewrites blocks with many dead rows, full neighbours into one where they fit; returns when this is done."""
        self._maintain(self._compact).result()

    def settle(self) -> None:
        """Waits until nothing is left to be maintained."""
        self._maintain(lambda: None).result()

    def close(self) -> None:
        """Ends its threads, after the block that is maintained."""
        self._closed.set()
        self._maintaining.shutdown(cancel_futures=True)
        self._searching.shutdown()
        if self._snapshot is None or self._snapshot.num_unsaved(self._blocks) < self._sizes.fewest_saved:
            return
        if self._snapshot.is_there or self._num_rows >= self._sizes.first_save:
            self._save()

    @property
    def _num_rows(self) -> int:
        return sum(rows.num_rows for rows in self._blocks)

    def _next_save(self) -> int:
        num_rows = self._num_rows
        return num_rows + max(self._sizes.first_save, num_rows // self._sizes.saved_share)

    def _new_block(self) -> RowBlock:
        return RowBlock(self._dim, self._sizes.block_rows, self._folding)

    def _maintain_growth(self) -> None:
        """Has done what so many rows need."""
        num_rows = self._num_rows
        if num_rows >= self._refold_at:
            self._refold_at = num_rows * self._sizes.folding_growth
            self._maintain(self._refold)
        if self._snapshot is not None and num_rows >= self._save_at:
            self._save_at = self._next_save()
            self._maintain(self._save)

    def _maintain(self, task: Callable[[], None]) -> "Future[None]":
        done = self._maintaining.submit(task)
        done.add_done_callback(_log_failure)
        return done

    def _refold(self) -> None:
        blocks = self._blocks
        num_rows = sum(rows.num_rows for rows in blocks)
        if not num_rows:
            return
        with logged_step("learning a folding"):
            every = max(1, num_rows // self._sizes.sample_rows)
            sample = np.concatenate([rows.block.vectors[: rows.num_rows : every] for rows in blocks])
            self._folding = Folding.of_sample(sample)  # of all blocks that are new from here on
        self._fold_all()

    def _fold_all(self) -> None:
        """Folds every block anew that is not folded by the index's folding."""
        folding = self._folding
        if folding is None:
            return
        with self._writing:
            num_blocks = len(self._blocks)
        with logged_step("folding all blocks"):
            for number in range(num_blocks):
                if self._closed.is_set():
                    return
                rows = self._blocks[number]
                if rows.block.folded is not None and rows.block.folded.folding is folding:
                    continue
                # Takes a second or so, in which nobody waits: the rows that are there do not change.
                folded = rows.block.folded_by(folding, rows.num_rows)
                with self._writing:
                    rows.block.use(folded, rows.num_rows, self._blocks[number].num_rows)
        self._save_anew()

    def _save(self) -> None:
        """Writes to the snapshot what it lacks."""
        if self._snapshot is None:
            return
        with self._writing:
            blocks, refold_at = self._blocks, self._refold_at
            self._save_at = self._next_save()
        try:
            with logged_step("saving the snapshot"):
                self._snapshot.save(blocks, self._folding, refold_at)
        except Exception as error:
            # Whatever it is, nothing is lost: the records are the truth.
            unforeseen = None if isinstance(error, OSError) else error
            _LOG.error(
                "the index's snapshot cannot be saved, the next start may take longer: %s", error, exc_info=unforeseen
            )

    def _save_anew(self) -> None:
        """Saves what has replaced blocks or folded vectors of the snapshot."""
        if self._snapshot is not None and self._snapshot.is_there:
            self._save()

    def _compact(self) -> None:
        self._rewrite_wasteful()
        self._save_anew()  # which takes a while: nobody holds the old blocks any more

    def _rewrite_wasteful(self) -> None:
        for old in _runs(self._blocks, self._sizes.block_rows):
            if self._closed.is_set():
                return
            updated: dict[int, Fields] = {}
            with self._writing:
                self._updated = updated
            try:
                with logged_step("compaction"):
                    self._rewrite(old, updated)
            finally:
                with self._writing:
                    self._updated = None

    def _rewrite(self, old: Sequence[Rows], updated: Mapping[int, Fields]) -> None:
        """Replaces neighbouring blocks by one of their living rows; `updated` grows while these are copied.

        The last block may grow meanwhile, and is therefore rewritten alone: what is alive of it always fits.
        """
        new = Rows.none_yet(self._new_block())
        for rows in old:
            new = new.plus_alive_of(rows)
        with self._writing:
            start = [rows.block for rows in self._blocks].index(old[0].block)
            stop = start + len(old)
            # What came while they were copied.
            for before, rows in zip(old, self._blocks[start:stop], strict=True):
                new = new.minus(rows.seqs[~rows.alive[: rows.num_rows]])
                if rows.num_rows > before.num_rows:
                    new = new.plus_alive_of(rows, start=before.num_rows)
            new.update(updated)
            self._blocks = (*self._blocks[:start], new, *self._blocks[stop:])


def _log_failure(done: "Future[None]") -> None:
    error = None if done.cancelled() else done.exception()
    if error is not None:
        _LOG.error("maintaining the rows failed; searches stay exact, but may be slow", exc_info=error)


def _stretches(blocks: Sequence[Rows], passing: Passing | None) -> Iterator[Stretch]:
    for number, rows in enumerate(blocks):
        searched = _searched(rows, passing)
        for start in range(0, rows.num_rows, _STRETCH_ROWS):
            stop = min(start + _STRETCH_ROWS, rows.num_rows)
            yield Stretch(rows.block, number, start, stop, searched[start:stop])


def _searched(rows: Rows, passing: Passing | None) -> NDArray[np.bool_]:
    """(num_rows,), which rows are alive and pass."""
    alive = rows.alive[: rows.num_rows]
    return alive if passing is None else alive & passing(rows.block)[: rows.num_rows]


def _runs(blocks: Sequence[Rows], capacity: int) -> list[list[Rows]]:
    """Neighbours whose living rows fit into one block, and the last block alone, where that frees enough."""
    runs: list[list[Rows]] = []
    for rows in blocks[:-1]:
        if runs and sum(r.num_alive for r in runs[-1]) + rows.num_alive <= capacity:
            runs[-1].append(rows)
        else:
            runs.append([rows])
    return [run for run in [*runs, list(blocks[-1:])] if _is_wasteful(run, capacity)]


def _is_wasteful(run: Sequence[Rows], capacity: int) -> bool:
    num_dead, num_alive = sum(rows.num_dead for rows in run), sum(rows.num_alive for rows in run)
    return num_dead > min(_MOST_DEAD * capacity, max(num_alive, _MOST_DEAD_OF_FEW * capacity))
