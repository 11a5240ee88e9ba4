"""Whole data sets into a gallery, for the command and the service alike: file by file, 64 records in a transaction."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from index.datasets.bulk_embedding import EmbedBatch
from index.datasets.manifest import Entry, Manifest
from index.gallery.answers import Enrolled
from index.gallery.bulk_intake import CHUNK_SIZE, ReadImage, Remark, embed_in_chunks
from index.gallery.enrolment import Enrolment
from index.gallery.gallery import Gallery
from index.gallery.record import ModelKey
from model.preprocessing import Preprocessing

COMMIT_SIZE: Final = CHUNK_SIZE
"""Records in one transaction: what is lost at most when the program is killed."""

Enrol = Callable[[Sequence[Enrolment]], list[Enrolled]]
"""Such as `Gallery.enrol`."""


@dataclass
class Outcome:
    """What became of entries.

    Attributes:
        num_entries: how many they are: the first of those given, in the order of enrolment.
        enrolled: stored now; those among them that another model had embedded kept their fields.
        duplicates: content and box were there already, and nothing changed; an image file that was lost is back.
        differing: of both, those whose stored fields are not the entry's.
        rejected: those that cannot be enrolled.
        warnings: what makes vehicles less than they seem; they are enrolled, or there already.
        stopped: whether it was stopped before the last entry. Others than the first may then be stored too.
    """

    num_entries: int = field(default=0, compare=False)
    enrolled: int = 0
    duplicates: int = 0
    differing: int = 0
    rejected: list[Remark] = field(default_factory=list)
    warnings: list[Remark] = field(default_factory=list)
    stopped: bool = False

    def add(self, other: "Outcome") -> None:
        """Adds what became of the entries after these."""
        self.num_entries += other.num_entries
        self.enrolled += other.enrolled
        self.duplicates += other.duplicates
        self.differing += other.differing
        self.rejected += other.rejected
        self.warnings += other.warnings
        self.stopped = other.stopped


def is_enrollable(entry: Entry) -> bool:
    """Whether an import takes it: neither what is looked for (query) nor what no protocol counts (junk)."""
    return entry.role not in ("query", "junk")


def enrollable(manifest: Manifest) -> list[Entry]:
    """All entries that an import takes."""
    return [entry for entry in manifest.entries if is_enrollable(entry)]


def enrol_entries(
    manifest: Manifest,
    entries: Sequence[Entry],
    gallery: Gallery,
    model: ModelKey,
    preprocessing: Preprocessing,
    embed_batch: EmbedBatch,
    progress: Callable[[int], object] = lambda _: None,
    stop_asked: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Enrols entries of a manifest, whose folder their paths start from; the rest is as in `enrol_in_chunks`."""

    def read_image(entry: Entry) -> bytes:
        return manifest.path_of(entry).read_bytes()

    outcome = Outcome()
    chunks = enrol_in_chunks(
        entries, read_image, gallery, model, preprocessing, embed_batch, progress=progress, stop_asked=stop_asked
    )
    for chunk in chunks:
        outcome.add(chunk)
    return outcome


def enrol_in_chunks(
    entries: Iterable[Entry],
    read_image: ReadImage,
    gallery: Gallery,
    model: ModelKey,
    preprocessing: Preprocessing,
    embed_batch: EmbedBatch,
    *,
    skip: int = 0,
    enrol: Enrol | None = None,
    progress: Callable[[int], object] = lambda _: None,
    stop_asked: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome]:
    """Enrols entries under the ids that `POST /gallery` gives them, and yields what became of each `COMMIT_SIZE`.

    What is yielded is on disk. What this model has embedded is not embedded again: killed, it leaves whole records, and
    a second time goes on.

    Args:
        entries: which are enrolled, in the order of `embed_in_chunks`.
        read_image: called from several threads, up to twice for an entry.
        gallery: whose records they become.
        model: what embeds; the gallery's own.
        preprocessing: of that model.
        embed_batch: called with up to `BATCH_SIZE` images, in this thread.
        skip: so many entries, in the order of enrolment, are left out: the `num_entries` of an earlier time.
        enrol: by default the gallery's.
        progress: told how many more entries are done.
        stop_asked: asked before each batch; what is embedded by then is stored, and the last outcome is `stopped`.

    Raises:
        EmbeddingError: the network is at fault.
        GalleryError, OSError: the gallery cannot be written, or a file changed meanwhile.
    """
    enrol = enrol or gallery.enrol
    chunks = embed_in_chunks(
        entries,
        read_image,
        gallery,
        model,
        preprocessing,
        embed_batch,
        skip=skip,
        progress=progress,
        stop_asked=stop_asked,
    )
    for chunk in chunks:
        outcome = Outcome(len(chunk.vehicles), stopped=chunk.stopped)
        enrolments: list[Enrolment] = []
        for vehicle in chunk.vehicles:
            if isinstance(vehicle, Remark):
                outcome.rejected.append(vehicle)
                continue
            id_ = vehicle.located.id
            if id_ in chunk.records:
                record = replace(chunk.records[id_], fields=vehicle.located.fields)
                enrolments.append(Enrolment(record, partial(read_image, vehicle.entry)))
                outcome.warnings += [Remark(vehicle.entry, warning) for warning in vehicle.located.warnings]
            elif id_ in chunk.refused:
                outcome.rejected.append(Remark(vehicle.entry, chunk.refused[id_]))
        for enrolled in enrol(enrolments) if enrolments else ():
            outcome.duplicates += enrolled.duplicate
            outcome.enrolled += not enrolled.duplicate
            outcome.differing += bool(enrolled.differing)
        yield outcome
