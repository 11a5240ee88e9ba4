"""Brings an index up to the records that it is derived from."""

from itertools import islice
from typing import Final

from index.gallery.record import ModelKey
from index.gallery.record_store import RecordStore
from index.gallery.vector_index import VectorIndex

# Records brought into the index at once: 40 MB of embeddings.
_CHUNK: Final = 4096


def catch_up(index: VectorIndex, store: RecordStore, model: ModelKey) -> None:
    """Adds every record of a model that the store has behind the last one of the index.

    Raises:
        GalleryError: the store cannot be read.
    """
    records = store.records_after(index.last_seq, model)
    while chunk := list(islice(records, _CHUNK)):
        index.add(chunk)
