"""The nearest records of an embedding: what the index names, read from the store while both may change."""

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from index.embedded.exact_search import ExactSearch
from index.embedded.record_store import RecordStore
from index.gallery.filters import Filter
from index.gallery.gallery import Match, SearchResult
from index.gallery.record import ModelKey, Record


def search_records(
    index: ExactSearch,
    store: RecordStore,
    model: ModelKey,
    embedding: NDArray[np.float32],
    top_k: int,
    where: Filter,
    group_by: Literal["identity"] | None,
) -> SearchResult:
    """The `top_k` nearest of the index's records of an embedding (D,); with `group_by`, the nearest of each identity.

    Every record of the answer passes the filter as it was read, and no two are of one group. `model` is the one whose
    records the index holds.
    """
    seqs = None if where == Filter() else store.seqs(where)
    num_groups: int | None = None
    # Deleted, found to be damaged, or changed so that they do not pass any more, since the index named them.
    gone: set[int] = set()
    num_asked = top_k
    while True:
        nearest = index.search(embedding, num_asked, seqs)
        distance = dict(zip(nearest.seq.tolist(), nearest.distance.tolist(), strict=True))
        chosen = [seq for seq in distance if seq not in gone]
        num_wanted = top_k
        if group_by == "identity":
            chosen = _nearest_of_each_identity(store, chosen)
            if len(chosen) < top_k:
                if num_groups is None:
                    num_groups = store.num_groups(where, model)
                num_wanted = min(top_k, num_groups)
        if len(chosen) < num_wanted and num_asked < nearest.searched:
            num_asked *= 4
            continue
        chosen = chosen[:top_k]
        records = {seq: record for seq, record in store.find_in("seq", chosen) if where.matches(record)}
        lost = [seq for seq in chosen if seq not in records]
        if not lost and (group_by is None or _are_of_different_identities(records.values())):
            return SearchResult([Match(records[seq], distance[seq]) for seq in chosen], nearest.searched)
        gone.update(lost)
        # No further search shall find what is damaged.
        index.remove([seq for seq in lost if seq in store.damaged])
        num_groups = None


def _nearest_of_each_identity(store: RecordStore, seqs: list[int]) -> list[int]:
    """Of seqs by rising distance, the first of each identity and all without one."""
    identities = store.identities_in(seqs)
    first: dict[tuple[str, object], int] = {}
    for seq in seqs:
        if seq in identities:  # not deleted since
            identity = identities[seq]
            first.setdefault(("seq", seq) if identity is None else ("identity", identity), seq)
    return list(first.values())


def _are_of_different_identities(records: Iterable[Record]) -> bool:
    """Whether no two have the same one; a change since the identities were read may have given them."""
    identities = [record.fields.identity for record in records if record.fields.identity is not None]
    return len(set(identities)) == len(identities)
