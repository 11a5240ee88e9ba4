"""What a gallery asks of whatever keeps its records: SQLite in a folder, or a database that replicas share."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import NamedTuple, Protocol

from index.gallery.fields import Fields
from index.gallery.filters import Filter
from index.gallery.record import ModelKey, Record
from index.gallery.retention import Expired, ExpiredRecord


class Tallies(NamedTuple):
    """Counts over all records, damaged ones too.

    Attributes:
        num_images, num_cameras, num_identities: how many different ones they name.
        cameras, identities: (value, number of records), the most frequent first; None counts those without one.
        models: (fingerprint, precision, number of records), likewise.
    """

    num_images: int
    num_cameras: int
    num_identities: int
    cameras: list[tuple[str | None, int]]
    identities: list[tuple[str | None, int]]
    models: list[tuple[str, str, int]]


class Row(NamedTuple):
    """What an index keeps of a record beside the embedding.

    Attributes:
        enrolled_us: `Record.enrolled_at`, in microseconds since 1970: of one id, each embedding has its own.
    """

    seq: int
    id: str
    enrolled_us: int
    fields: Fields


class Deletion(NamedTuple):
    """Records that were deleted together.

    Attributes:
        deleted_at, undo_until: when, and until when they can be brought back, UTC; equal if they never could be.
        undone: they were brought back.
    """

    id: str
    deleted_at: datetime
    undo_until: datetime
    num_records: int
    undone: bool


class Writer(Protocol):
    """The writes of one transaction."""

    def insert(self, record: Record) -> None:
        """Adds a record whose id is not there, with the next seq."""

    def update(self, record: Record) -> int:
        """Overwrites the user's fields of the record with this id; its seq. Raises `RecordNotFoundError`."""

    def update_fields(self, records: Mapping[int, Record], names: Collection[str]) -> None:
        """Overwrites the user's fields of these names in the records at these seqs, which are there."""

    def delete(self, seqs: Sequence[int]) -> None:
        """Removes the records with these seqs; one that is not there is fine."""

    def set_aside(self, seqs: Sequence[int], deletion: Deletion) -> None:
        """Removes records as `delete` does, and keeps them as they are for `restore`."""

    def restore(self, deletion_id: str) -> int:
        """Adds the records that a deletion set aside again, as they were but for the next seqs, in their old order.

        One whose id is there again is dropped. The deletion counts as undone; says how many came back.
        """

    def purge(self, now: datetime) -> None:
        """Forgets every deletion whose time is over, and what it set aside."""


class RecordStore(Protocol):
    """Records, each with a seq: its number in the order of enrolment, never used twice. Safe to use from any thread.

    Seqs rise in the order in which they come to be seen: whoever has seen one will never see a smaller one come.

    A record whose checksum fails is damaged: it is not given out, but it is counted, listed and deleted as what it
    says it is. It is logged once, when it is first read. Only the calls that decide on an image or a deletion are
    sure to have read the records themselves, and no index beside them that may be out of step.

    Every call raises `GalleryError` where it cannot be answered, `GalleryUnavailableError` where it may be later, and
    `GalleryFullError` where there is no room.
    """

    @property
    def num_damaged(self) -> int:
        """Records found damaged so far, and not deleted since. Cheap enough for every request."""

    @property
    def last_seq(self) -> int:
        """The highest seq ever given, 0 if there was none."""

    def transaction(self) -> AbstractContextManager[Writer]:
        """All writes inside are durable when the block is left, or none of them if it raises.

        Where a database is lost in the middle of a commit, `GalleryUnavailableError` says what became of it.
        """

    def get(self, id_: str) -> Record | None:
        """One record, or None; raises `DamagedRecordError`."""

    def records_of(self, ids: Sequence[str]) -> list[Record]:
        """The intact records that have these ids, in no particular order."""

    def records_at(self, seqs: Sequence[int]) -> dict[int, Record]:
        """By seq, the intact records that are there."""

    def records_after(self, seq: int, model: ModelKey) -> Iterator[tuple[int, Record]]:
        """(seq, record) of the intact records of a model behind a seq, rising."""

    def rows_after(self, seq: int, model: ModelKey) -> Iterator[Row]:
        """The records of a model behind a seq, rising, without their embeddings: a million in seconds.

        Their checksums are not computed. Only a record whose fields cannot be read is known to be damaged.
        """

    def unsearched(self, where: Filter, model: ModelKey) -> list[int]:
        """The seqs of the records that pass the filter and that another model made, or that were found damaged."""

    def count(self) -> int:
        """How many records there are."""

    def deletions(self) -> list[Deletion]:
        """All that are not forgotten yet, undone ones too, the newest first."""

    def deleted_contents(self, deletion_id: str | None = None) -> set[str]:
        """Every image content that records which a deletion, or any, has set aside name."""

    def num_of_model(self, model: ModelKey) -> int:
        """How many records this model made."""

    def tallies(self, limit: int) -> Tallies:
        """Counts over all records, at most `limit` cameras and identities listed."""

    def seqs_of(self, ids: Sequence[str]) -> list[int]:
        """The seqs of the records that have these ids, damaged or not."""

    def contents_of(self, id_: str) -> dict[int, str]:
        """Seq and image content of the record with this id, damaged or not; empty if there is none."""

    def contents_passing(self, where: Filter) -> dict[int, str]:
        """By seq, the image content of every record that passes the filter, damaged or not."""

    def expired(self, expired: Expired, after: int, limit: int) -> list[ExpiredRecord]:
        """The records behind a seq that are too old, damaged or not, by rising seq; at most `limit`."""

    def count_expired(self, expired: Expired) -> dict[str | None, int]:
        """By camera, how many records are too old; only cameras that have some."""

    def contents(self) -> set[str]:
        """Every image content that a record names, damaged or not."""

    def doubtful_contents(self) -> set[str]:
        """The image contents that the records found damaged so far name: the damage may have changed them."""

    def named(self, contents: Collection[str]) -> set[str]:
        """Those of the image contents that a record names, damaged or not; by a damaged record's id, too.

        The id is a hash of content and box.
        """
