"""What a gallery answers: to an enrolment, a search, a listing, and to the question of how much it holds."""

from dataclasses import dataclass

from index.gallery.record import Record


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
        index_problems: what of the index was found damaged when it was opened and made anew from the records, in words.
        cameras, identities, models: records per value, the most frequent first; None counts those without one.
        num_cameras, num_identities: how many values there are, also where the list was cut.
    """

    total: int
    searchable: int
    damaged: int
    damaged_images: int
    stray_images: int
    index_problems: tuple[str, ...]
    num_images: int
    num_cameras: int
    num_identities: int
    cameras: list[tuple[str | None, int]]
    identities: list[tuple[str | None, int]]
    models: list[tuple[str, str, int]]
