"""The vector index that replicas share: rows in Milvus, searched exactly."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from index.gallery.circle import within_circle
from index.gallery.fields import Fields
from index.gallery.filters import Filter
from index.gallery.record import ModelKey, Record
from index.gallery.vector_index import Neighbours
from index.milvus.collection import Collection
from index.milvus.connection import MAX_ROWS, Connection
from index.milvus.exact_search import ExactSearch
from index.milvus.expression import expression_of
from index.milvus.grouped_search import nearest_groups
from index.milvus.options import MilvusOptions
from index.milvus.schema import LAST_SEQ_ROW, field_columns, last_seq_row, row_of

# What a row needs in a message beside its embedding: numbers of 8 bytes each.
_ROW_BYTES: Final = 128
_CODE_BYTES: Final = 10
# Seqs in one expression.
_SEQS: Final = 8192


class MilvusIndex:
    """Implements `index.gallery.vector_index.VectorIndex` over a collection of a Milvus server.

    What one process has written, every other finds at once: reads ask for strong consistency. Rows are written whole
    and by their seq, so that a write that was cut off is simply done again. Milvus has no transactions: rows of a
    write that fails may be there, which `last_seq` does not count, so that the next catching up writes them again. A
    change or removal that fails leaves rows as they were: it is done again, or `reconcile` finds them.

    Every call but `problems` raises `GalleryUnavailableError` while the server is away, and none does any more when it
    is back. A server that refuses is a `GalleryError`.
    """

    def __init__(self, options: MilvusOptions, model: ModelKey, dim: int) -> None:
        """Asks the server for nothing yet.

        Args:
            options: where it is.
            model: of the rows.
            dim: numbers of an embedding.
        """
        self._options = options
        self._connection = Connection(options)
        self.collection = Collection(self._connection, model, dim)

    def __len__(self) -> int:
        return self._count(Filter())

    @property
    def last_seq(self) -> int:
        """The highest seq ever held, 0 if there was none; what other processes have added counts."""
        rows = self._query(f"seq == {LAST_SEQ_ROW}", ["enrolled_us"])
        return int(rows[0]["enrolled_us"]) if rows else 0

    @property
    def problems(self) -> Sequence[str]:
        """None: what is wrong with Milvus' own files it does not say."""
        return ()

    def add(self, records: Sequence[tuple[int, Record]]) -> None:
        """Writes (seq, record); seqs rise, also over what is there. Rows that are there already are replaced."""
        for batch in self._batches([row_of(seq, record) for seq, record in records]):
            self._upsert(batch)
            # Only now: had a part of the batch been lost, catching up would begin behind it.
            self.note_last_seq(batch[-1]["seq"])

    def note_last_seq(self, seq: int) -> None:
        """Makes a seq the highest that was ever held: catching up begins behind it."""
        self._upsert([last_seq_row(seq, self.collection.dim)])

    def update(self, changes: Mapping[int, Fields]) -> None:
        """Replaces the user's fields of rows, by seq; a seq that is not there is fine."""
        columns = {seq: field_columns(fields) for seq, fields in changes.items()}
        for seqs in _parts(list(columns), _SEQS):
            there = self._query(f"seq in {seqs}", ["seq"])
            rows = [{"seq": row["seq"], **columns[row["seq"]]} for row in there]
            for batch in self._batches(rows):
                self._upsert(batch, partial_update=True)

    def remove(self, seqs: Sequence[int]) -> None:
        """Drops rows; a seq that is not there is fine."""
        for part in _parts(list(seqs), _SEQS):
            self.collection.call("delete", ids=part)

    def search(
        self,
        queries: NDArray[np.float32],
        top_k: int,
        where: Filter,
        group_by: Literal["identity"] | None = None,
    ) -> list[Neighbours]:
        """For each of the queries (Q, D) the `top_k` nearest rows that pass the filter, or the nearest of each group.

        Exact, to the last bit what the rows in memory answer, unless the index is one that may miss rows.

        Raises:
            ValueError: queries that are not finite or of another size, or `top_k` below 1.
            GalleryError: the server cannot be asked.
        """
        if queries.ndim != 2 or queries.shape[1] != self.collection.dim or not np.isfinite(queries).all():
            raise ValueError(f"a query is not finite, or not {self.collection.dim} numbers")
        if top_k < 1:
            raise ValueError(f"top_k must be 1 or more, got {top_k}")
        if not len(queries):
            return []
        queries = np.ascontiguousarray(queries, np.float32)
        expression = expression_of(where)
        search = ExactSearch(self.collection, self._options, where.near)
        find = search.nearest if group_by is None else partial(nearest_groups, search)
        # Both wait for the server's clock, for up to 200 ms.
        with ThreadPoolExecutor(1, "count") as counting:
            counted = counting.submit(self._count, where)
            found = find(queries, top_k, expression)
        searched = counted.result()
        if group_by is None and min(len(rows.seq) for rows in found) < min(top_k, searched):
            # An index that may miss rows did; or they went between the two.
            found = search.by_reading_all(queries, top_k, expression)
        return [Neighbours(rows.seq, rows.distance, searched) for rows in found]

    def passing(self, where: Filter) -> NDArray[np.int64]:
        """The seqs (N,) of the rows that pass the filter, rising."""
        columns = ["seq"] if where.near is None else ["seq", "latitude", "longitude"]
        seqs = [np.empty(0, np.int64)]
        for page in self.collection.pages(expression_of(where), columns, MAX_ROWS):
            of_page = np.array([row["seq"] for row in page], np.int64)
            if where.near is not None:
                latitude = np.array([row["latitude"] for row in page])
                longitude = np.array([row["longitude"] for row in page])
                of_page = of_page[within_circle(latitude, longitude, where.near)]
            seqs.append(of_page)
        return np.concatenate(seqs)

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def _count(self, where: Filter) -> int:
        if where.near is not None:
            return len(self.passing(where))
        return int(self._query(expression_of(where), ["count(*)"])[0]["count(*)"])

    def _query(self, expression: str, columns: list[str]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.collection.call(
            "query", filter=expression, output_fields=columns, consistency_level="Strong"
        )
        return rows

    def _upsert(self, rows: list[dict[str, Any]], **options: Any) -> None:
        self.collection.call("upsert", data=rows, **options)

    def _batches(self, rows: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
        """The rows, in order, as many together as a message holds."""
        batch: list[dict[str, Any]] = []
        num_bytes = 0
        for row in rows:
            row_bytes = _ROW_BYTES + _CODE_BYTES * (len(row["tags"]) + len(row["attributes"]))
            row_bytes += row["embedding"].nbytes if "embedding" in row else 0
            if batch and num_bytes + row_bytes > self._options.request_bytes:
                yield batch
                batch, num_bytes = [], 0
            batch.append(row)
            num_bytes += row_bytes
        if batch:
            yield batch


def _parts(seqs: list[int], num: int) -> Iterator[list[int]]:
    for start in range(0, len(seqs), num):
        yield seqs[start : start + num]
