"""The nearest records of an embedding: what the index names, read from the store while both may change."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from index.gallery.answers import Match, SearchResult
from index.gallery.filters import Filter
from index.gallery.record import Record
from index.gallery.record_store import RecordStore
from index.gallery.shared_search import SharedSearch
from index.gallery.vector_index import Neighbours, VectorIndex


def search_records(
    shared: SharedSearch,
    index: VectorIndex,
    store: RecordStore,
    embedding: NDArray[np.float32],
    top_k: int,
    where: Filter,
    group_by: Literal["identity"] | None,
    nearest: Neighbours | None = None,
) -> SearchResult:
    """The `top_k` nearest of the index's records of an embedding (D,); with `group_by`, the nearest of each identity.

    Every record of the answer passes the filter as it was read, and no two are of one group. No record is read twice.
    The index may look up identities a moment after it has ranked the rows: what has changed its identity meanwhile may
    be missed, as may whatever comes to pass the filter while it is searched, but the records refuse a wrong group.
    `shared` searches `index`, from which is removed what turns out to have no record any more. If it has done so
    already, `nearest` is what it found.
    """
    read: dict[int, Record] = {}
    # What the index names, but its record does not bear out: deleted, damaged or changed in the meantime.
    refused: set[int] = set()
    while True:
        if nearest is None:
            nearest = shared.search(embedding, top_k + len(refused), where, group_by)
        distances = dict(zip(nearest.seq.tolist(), nearest.distance.tolist(), strict=True))
        chosen = [seq for seq in distances if seq not in refused][:top_k]
        unread = [seq for seq in chosen if seq not in read]
        read |= store.records_at(unread)
        # A seq never comes back: what is not there now, no further search shall find.
        index.remove([seq for seq in unread if seq not in read])
        changed = _not_borne_out(chosen, read, where, group_by)
        if not changed:
            return SearchResult([Match(read[seq], distances[seq]) for seq in chosen], nearest.searched)
        refused |= changed
        nearest = None


def _not_borne_out(
    seqs: Sequence[int], records: Mapping[int, Record], where: Filter, group_by: Literal["identity"] | None
) -> set[int]:
    """Of seqs by rising distance, those without a record that passes, and those whose identity a nearer one has."""
    refused: set[int] = set()
    identities: set[str] = set()
    for seq in seqs:
        record = records.get(seq)
        if record is None or not where.matches(record):
            refused.add(seq)
            continue
        identity = record.fields.identity
        if group_by == "identity" and identity is not None:
            if identity in identities:
                refused.add(seq)
            identities.add(identity)
    return refused
