"""What every gallery can do, whatever keeps its records: the protocol, its answers and its errors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from index.gallery.filters import Filter
from index.gallery.record import Record


class GalleryError(Exception):
    """The gallery cannot do what was asked; the message says why and what to do."""


class GalleryFullError(GalleryError):
    """The disk has no room; nothing of the request was stored, not even a half of it."""

    def __init__(self) -> None:
        super().__init__(
            "the disk of the gallery is full: nothing of this request was stored; free space and send it again"
        )


class RecordNotFoundError(GalleryError):
    """No record has this id."""


class CursorError(GalleryError):
    """A cursor that no page of this gallery gave."""


@dataclass(frozen=True)
class Enrolment:
    """A record to be stored, and how to read the bytes of its image file: a batch need not fit into the memory."""

    record: Record
    read_image: Callable[[], bytes]


@dataclass(frozen=True)
class Enrolled:
    """What became of one enrolment.

    Attributes:
        duplicate: the same content and box was there already, and nothing changed; a lost image is back.
        differing: of a duplicate, the fields whose stored value is not the one that came.
    """

    id: str
    duplicate: bool
    differing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Match:
    """A record found, and its Euclidean distance (not squared) from the query.

    Attributes:
        ranked_by: what it was ranked by, if not by its distance; lower is better.
    """

    record: Record
    distance: float
    ranked_by: float | None = None


@dataclass(frozen=True)
class SearchResult:
    """Matches by rising (distance, id), or as a refinement ranked them; and how many records passed the filter."""

    matches: list[Match]
    searched: int


@dataclass(frozen=True)
class Page:
    """Some records in the order of enrolment; `next_cursor` is None on the last page, `total` counts all pages."""

    records: list[Record]
    next_cursor: str | None
    total: int


@dataclass(frozen=True)
class Stats:
    """Counts over the whole gallery.

    Attributes:
        searchable: records made by the model that searches; the others wait to be embedded again.
        damaged: records found so far to fail their checksum; they are not served.
        damaged_images: image files found so far to be missing or damaged; enrolling them again restores them.
        stray_images: image files that no record names. They are kept: a newer database or a damaged record may name
            them. Enrolling one again gives it its record.
        cameras, identities, models: records per value, the most frequent first; None counts those without one.
        num_cameras, num_identities: how many values there are, also where the list was cut.
    """

    total: int
    searchable: int
    damaged: int
    damaged_images: int
    stray_images: int
    num_images: int
    num_cameras: int
    num_identities: int
    cameras: list[tuple[str | None, int]]
    identities: list[tuple[str | None, int]]
    models: list[tuple[str, str, int]]


class Gallery(Protocol):
    """Records that outlive the process, and exact search over those of one model. Safe to call from any thread."""

    @property
    def num_searchable(self) -> int:
        """Records that a search without conditions sees."""

    @property
    def num_stale(self) -> int:
        """Records of other models: kept, not searched. Cheap enough for every request."""

    @property
    def num_damaged(self) -> int:
        """Records found so far to be damaged. Cheap enough for every request."""

    @property
    def num_damaged_images(self) -> int:
        """Image files found so far to be missing or damaged. Cheap enough for every request."""

    def known(self, ids: Sequence[str]) -> dict[str, Record]:
        """Those of the ids that this model has already embedded."""

    def enrol(self, enrolments: Sequence[Enrolment]) -> list[Enrolled]:
        """Stores all of them, or none if it raises; they are on disk when it returns, and found by the next search."""

    def search(
        self,
        embedding: NDArray[np.float32],
        top_k: int,
        where: Filter,
        group_by: Literal["identity"] | None = None,
    ) -> SearchResult:
        """The nearest records of an embedding (D,); with `group_by`, the nearest of each identity."""

    def get(self, id_: str) -> Record:
        """One record; raises RecordNotFoundError."""

    def image(self, record: Record) -> bytes:
        """The bytes of the image file that the record was enrolled with."""

    def page(self, where: Filter, limit: int, cursor: str | None) -> Page:
        """A page of records; raises CursorError."""

    def update(self, id_: str, changes: Mapping[str, Any]) -> Record:
        """Changes some of the user's fields, by name; raises RecordNotFoundError, FieldsError."""

    def delete(self, id_: str) -> None:
        """Forgets a record and, if no other record shows it, its image; raises RecordNotFoundError."""

    def delete_identity(self, identity: str) -> int:
        """Forgets every record of an identity and says how many there were."""

    def stats(self, limit: int) -> Stats:
        """Counts, at most `limit` cameras and identities listed."""

    def close(self) -> None:
        """Releases the data folder."""
