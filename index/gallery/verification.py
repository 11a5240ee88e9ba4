"""Whether a gallery still is what was enrolled: every record and image file is read and compared with its checksum.

Nothing is changed, and others may enrol and delete meanwhile: what they deleted is no damage.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, NamedTuple, Protocol

from index.datasets.prefetch import prefetch
from index.gallery.errors import GalleryError
from index.gallery.record import Record, record_id
from model.box import Box, BoxError
from model.cores import usable_cores

# Records read at once: 10 MB of embeddings.
_CHUNK: Final = 1024

Progress = Callable[[str, int, int], None]
"""Told what is being read ("images" or "records"), how many of them are done, and how many there are."""


class RowDescription(NamedTuple):
    """What the row of a record says, be it true or not, and what is wrong with it (None: nothing)."""

    id: str
    content: str
    box: str
    source: str | None
    problem: str | None


class VerifiedRecords(Protocol):
    """What a verification asks of the records: of a `RecordStore`, and what its damaged rows say."""

    def seqs_after(self, seq: int, limit: int) -> list[int]:
        """The first `limit` seqs behind a seq, rising, of records damaged or not."""

    def records_at(self, seqs: Sequence[int]) -> dict[int, Record]:
        """As in `RecordStore`: by seq, the intact records that are there."""

    def describe(self, seqs: Sequence[int]) -> dict[int, RowDescription]:
        """By seq, what the rows that are there say, damaged or not."""

    def num_records(self) -> int:
        """How many there are, damaged or not."""


class VerifiedImages(Protocol):
    """What a verification asks of the image files: the reading part of `ImageFiles`."""

    def contents(self) -> set[str]:
        """As in `ImageFiles`: every image that is stored, by its name."""

    def absent(self, contents: Iterable[str]) -> set[str]:
        """As in `ImageFiles`: those of the images that have no file."""

    def get(self, content: str) -> bytes:
        """As in `ImageFiles`: the bytes of an image; raises `GalleryError` if it is missing or damaged."""

    def contents_of_trash(self, older_than: timedelta) -> set[str]:
        """As in `ImageFiles`: the images that came to the trash more than this time ago."""


@dataclass(frozen=True)
class DamagedRecord:
    """A record that is not as it was written.

    Attributes:
        seq, id, source: as its row says.
        problem: what is wrong with it.
        image: the content of its image if its file is there, to be enrolled again; else None.
    """

    seq: int
    id: str
    source: str | None
    problem: str
    image: str | None

    def __str__(self) -> str:
        image = f"; its image is images/{self.image[:2]}/{self.image}" if self.image else ""
        return f"{named_records([(self.id, self.source)])}: {self.problem}{image}"


@dataclass(frozen=True)
class LostImage:
    """An image that records name and whose file is missing or damaged.

    Attributes:
        content: its name, the SHA-256 of the bytes that it had.
        problem: ``"missing"`` or ``"damaged"``.
        records: (id, source) of each intact record that names it.
        in_trash: whether the trash has a file of this name.
    """

    content: str
    problem: str
    records: list[tuple[str, str | None]]
    in_trash: bool

    def __str__(self) -> str:
        return f"{self.content} is {self.problem}: {named_records(self.records)}"


def named_records(records: Sequence[tuple[str, str | None]]) -> str:
    """Records as (id, source), for people."""
    return ", ".join(f"{id_} ({source})" if source else id_ for id_, source in records)


@dataclass
class Findings:
    """What a verification has found.

    Attributes:
        num_records, num_images: how many were read.
        damaged_records, lost_images: what the gallery lacks.
        damaged_strays: damaged image files that no record names.
        strays: intact image files that no record names: no damage, a crash or a deletion may leave them.
        unreadable: why the walk over the records ended before their end; None if it did not.
        stopped: it was asked to stop; what it would have found behind is not known.
    """

    num_records: int = 0
    num_images: int = 0
    damaged_records: list[DamagedRecord] = field(default_factory=list)
    lost_images: list[LostImage] = field(default_factory=list)
    damaged_strays: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    unreadable: str | None = None
    stopped: bool = False

    @property
    def sound(self) -> bool:
        """Whether no damage was found."""
        return not (self.damaged_records or self.lost_images or self.damaged_strays or self.unreadable)


def verify_gallery(
    records: VerifiedRecords,
    files: VerifiedImages,
    progress: Progress = lambda *_: None,
    stop_asked: Callable[[], bool] = lambda: False,
) -> Findings:
    """Reads every image file and every record."""
    return _Verification(records, files, progress, stop_asked).run()


class _Verification:
    """One verification under way.

    The images come first, so that the records, which are read only once, can be told what became of theirs. Whatever
    looks like damage is looked at again at the end: somebody may have deleted or mended it meanwhile.
    """

    def __init__(
        self, records: VerifiedRecords, files: VerifiedImages, progress: Progress, stop_asked: Callable[[], bool]
    ) -> None:
        self._records = records
        self._files = files
        self._progress = progress
        self._stop_asked = stop_asked
        self._findings = Findings()
        self._unnamed: set[str] = set()  # the images that no record read so far names
        self._damaged: set[str] = set()  # the images whose file is damaged
        self._naming: dict[str, list[tuple[int, str, str | None]]] = {}  # by lost image: seq, id, source

    def run(self) -> Findings:
        stored = self._files.contents()
        self._unnamed = set(stored)
        self._read_images(sorted(stored))
        if not self._findings.stopped:
            self._read_records(stored)
        if not self._findings.stopped:
            self._find_images_of_damaged_records()
            self._confirm_lost_images()
            self._sort_unnamed()
        return self._findings

    def _read_images(self, contents: list[str]) -> None:
        with ThreadPoolExecutor(usable_cores(), "verify") as pool:
            intact = prefetch(pool, self._is_intact, contents, ahead=4 * usable_cores())
            for done, (content, is_intact) in enumerate(zip(contents, intact, strict=True), start=1):
                if not is_intact:
                    self._damaged.add(content)
                self._findings.num_images = done
                self._progress("images", done, len(contents))
                if self._stop_asked():
                    self._findings.stopped = True
                    return

    def _read_records(self, stored: set[str]) -> None:
        try:
            total = self._records.num_records()
            for seqs in self._pages():
                self._read_chunk(seqs, stored)
                self._findings.num_records += len(seqs)
                self._progress("records", self._findings.num_records, max(total, self._findings.num_records))
                if self._stop_asked():
                    self._findings.stopped = True
                    return
        except GalleryError as error:
            self._findings.unreadable = str(error)

    def _pages(self) -> Iterator[list[int]]:
        after = -1
        while True:
            seqs = self._records.seqs_after(after, _CHUNK)
            if not seqs:
                return
            if seqs != sorted(set(seqs)) or seqs[0] <= after:
                raise GalleryError("the records are stored out of order")
            yield seqs
            after = seqs[-1]

    def _read_chunk(self, seqs: list[int], stored: set[str]) -> None:
        records = self._records_at(seqs)
        for seq, record in records.items():
            if record.id != record_id(record.content, record.box):
                self._note_damaged(seq, "its id is not that of its content and box")
                continue
            self._unnamed.discard(record.content)
            if record.content not in stored or record.content in self._damaged:
                self._naming.setdefault(record.content, []).append((seq, record.id, record.fields.source))
        for seq in [seq for seq in seqs if seq not in records]:
            self._note_damaged(seq, None)

    def _records_at(self, seqs: list[int]) -> dict[int, Record]:
        with suppress(GalleryError):
            return self._records.records_at(seqs)
        # A place on the disk that cannot be read: those beside it can.
        records: dict[int, Record] = {}
        for seq in seqs:
            with suppress(GalleryError):
                records |= self._records.records_at([seq])
        return records

    def _note_damaged(self, seq: int, problem: str | None) -> None:
        try:
            described = self._records.describe([seq])
        except GalleryError as error:
            self._findings.damaged_records.append(DamagedRecord(seq, "", None, problem or str(error), None))
            return
        if seq not in described:
            return  # deleted meanwhile
        row = described[seq]
        reason = problem or row.problem
        if reason is not None:
            image = row.content if _names(row, row.content) and self._is_intact(row.content) else None
            self._findings.damaged_records.append(DamagedRecord(seq, row.id, row.source, reason, image))
            self._unnamed.discard(row.content)

    def _find_images_of_damaged_records(self) -> None:
        """What a damaged record's content was, its id still tells: it is the hash of an image's name and its box."""
        for i, damaged in enumerate(self._findings.damaged_records):
            if damaged.image is not None or not damaged.id:
                continue
            row = self._records.describe([damaged.seq]).get(damaged.seq)
            matching = [content for content in self._unnamed if row is not None and _names(row, content)]
            if matching and self._is_intact(matching[0]):
                self._findings.damaged_records[i] = DamagedRecord(
                    damaged.seq, damaged.id, damaged.source, damaged.problem, matching[0]
                )
                self._unnamed.discard(matching[0])

    def _confirm_lost_images(self) -> None:
        in_trash = self._files.contents_of_trash(timedelta(0)) if self._naming else set()
        for content, naming in sorted(self._naming.items()):
            if self._is_intact(content):
                continue  # it was enrolled again meanwhile
            present = self._records.describe([seq for seq, _, _ in naming])
            records = [(id_, source) for seq, id_, source in naming if seq in present]
            # Once more: a file goes to the trash after its record is deleted, and comes before one is enrolled.
            if records and not self._is_intact(content):
                problem = "missing" if self._files.absent([content]) else "damaged"
                self._findings.lost_images.append(LostImage(content, problem, records, content in in_trash))

    def _sort_unnamed(self) -> None:
        there = self._unnamed - self._files.absent(self._unnamed)
        if self._findings.unreadable is None:
            self._findings.strays = sorted(there - self._damaged)
        self._findings.damaged_strays = sorted(
            content for content in there & self._damaged if not self._is_intact(content)
        )

    def _is_intact(self, content: str) -> bool:
        try:
            self._files.get(content)
        except GalleryError:
            return False
        return True


def _names(row: RowDescription, content: str) -> bool:
    """Whether the id of a row is that of this content and the row's box."""
    with suppress(BoxError):
        return record_id(content, Box.parse(row.box)) == row.id
    return False
