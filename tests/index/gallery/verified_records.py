"""The dictionaries of `memory_backend`, as a verification reads them."""

from collections.abc import Sequence

from index.gallery.record import Record
from index.gallery.verification import RowDescription
from tests.index.gallery.memory_backend import DictImages, DictStore
from tests.index.records import image, record


class VerifiedDictStore(DictStore):
    def num_records(self) -> int:
        return len(self.rows)

    def seqs_after(self, seq: int, limit: int) -> list[int]:
        return sorted(key for key in self.rows if key > seq)[:limit]

    def describe(self, seqs: Sequence[int]) -> dict[int, RowDescription]:
        return {seq: self._description(seq, self.rows[seq]) for seq in seqs if seq in self.rows}

    def _description(self, seq: int, one: Record) -> RowDescription:
        problem = "it is broken" if seq in self.broken else None
        return RowDescription(one.id, one.content, str(one.box), one.fields.source, problem)


def stored(num_records: int) -> tuple[VerifiedDictStore, DictImages]:
    """Records 1, 2, .. (their seqs, too), each with an image of its own."""
    store, files = VerifiedDictStore(), DictImages()
    records = [record(seed, source=f"{seed}.jpg") for seed in range(1, num_records + 1)]
    files.put((one.content, image(seed)) for seed, one in enumerate(records, start=1))
    with store.transaction() as writer:
        for one in records:
            writer.insert(one)
    return store, files
