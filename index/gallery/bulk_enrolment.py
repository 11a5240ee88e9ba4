"""Whole data sets into a gallery, for the command and the service alike: file by file, 64 records in a transaction."""

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.datasets.bulk_embedding import BATCH_SIZE, EmbedBatch
from index.datasets.manifest import Entry, Manifest
from index.datasets.prefetch import prefetch
from index.gallery.answers import Enrolled
from index.gallery.enrolment import Enrolment
from index.gallery.entry_fields import fields_of
from index.gallery.fields import FieldsError
from index.gallery.gallery import Gallery
from index.gallery.intake import Located, Vehicle, take_in
from index.gallery.record import ModelKey, Record
from model.box import BoxError
from model.cores import usable_cores
from model.embedder import EmbeddingError
from model.preprocessing import Preprocessing

COMMIT_SIZE: Final = 8 * BATCH_SIZE
"""Records in one transaction: what is lost at most when the program is killed."""

_WINDOW: Final = 64 * COMMIT_SIZE
"""Entries among which those of one file are brought together, so that it is decoded once."""

ReadImage = Callable[[Entry], bytes]
"""The bytes of an entry's image file.

Raises:
    OSError, ValueError: it cannot be read; the message says why.
"""

Enrol = Callable[[Sequence[Enrolment]], list[Enrolled]]
"""Such as `Gallery.enrol`."""


class Remark(NamedTuple):
    """An entry, and why it cannot be enrolled or what is suspicious about it."""

    entry: Entry
    detail: str


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


@dataclass(frozen=True, eq=False)
class _Found:
    """An entry's vehicle in its image file: the record that the gallery has of it, or its image for the network."""

    entry: Entry
    content: str
    media_type: str
    located: Located
    known: Record | None
    image: NDArray[np.uint8] | None


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
    a second time goes on. However many entries there are, only a few thousand are held at a time.

    Args:
        entries: which are enrolled; those of one file together, files in the order of their first appearance (among
            `_WINDOW` entries). The same entries come in the same order and chunks each time.
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
    network = _Network(embed_batch, model)
    with closing(_find_vehicles(_by_file(entries, skip), read_image, gallery, preprocessing)) as vehicles:
        while chunk := list(islice(vehicles, COMMIT_SIZE)):
            outcome = Outcome(len(chunk))
            outcome.rejected += [vehicle for vehicle in chunk if isinstance(vehicle, Remark)]
            found = [vehicle for vehicle in chunk if isinstance(vehicle, _Found)]
            fresh: dict[str, _Found] = {}
            for vehicle in found:
                if vehicle.known is None:  # the same content and box on another line is not embedded again
                    fresh.setdefault(vehicle.located.id, vehicle)
            records = {vehicle.located.id: vehicle.known for vehicle in found if vehicle.known is not None}
            progress(len(chunk) - len(fresh))
            waiting = list(fresh.values())
            for start in range(0, len(waiting), BATCH_SIZE):
                if stop_asked():
                    outcome.stopped = True
                    break
                batch = waiting[start : start + BATCH_SIZE]
                records |= network.embed(batch)
                progress(len(batch))
            enrolments: list[Enrolment] = []
            for vehicle in found:
                record = records.get(vehicle.located.id)
                if record is not None:
                    record = replace(record, fields=vehicle.located.fields)
                    enrolments.append(Enrolment(record, partial(read_image, vehicle.entry)))
                    outcome.warnings += [Remark(vehicle.entry, warning) for warning in vehicle.located.warnings]
                elif vehicle.located.id in network.refused:
                    outcome.rejected.append(Remark(vehicle.entry, network.refused[vehicle.located.id]))
            for enrolled in enrol(enrolments) if enrolments else ():
                outcome.duplicates += enrolled.duplicate
                outcome.enrolled += not enrolled.duplicate
                outcome.differing += bool(enrolled.differing)
            # Asked during a chunk of duplicates alone, or during the last batch of one that is not the last.
            if not outcome.stopped and stop_asked():
                outcome.stopped = next(vehicles, None) is not None
            yield outcome
            if outcome.stopped:
                return


class _Network:
    """Makes records of vehicles. An image without a finite embedding fails alone, if the network embeds others.

    Attributes:
        refused: by id, why vehicles of the last batches cannot be embedded.
    """

    def __init__(self, embed_batch: EmbedBatch, model: ModelKey) -> None:
        self._embed_batch = embed_batch
        self._model = model
        self._has_embedded = False
        self.refused: dict[str, str] = {}

    def embed(self, batch: Sequence[_Found]) -> dict[str, Record]:
        """The records of a batch, by id.

        Raises:
            EmbeddingError: the network has embedded nothing so far.
        """
        images = np.stack([vehicle.image for vehicle in batch if vehicle.image is not None])
        try:
            embeddings = self._embed_batch(images)
        except EmbeddingError as error:
            if len(batch) > 1:
                return self._embed_one_by_one(batch)
            if not self._has_embedded:
                raise
            self.refused[batch[0].located.id] = f"the network could not embed it: {error}"
            return {}
        self._has_embedded = True
        return {
            vehicle.located.id: _record(vehicle, embedding, theta, self._model)
            for vehicle, embedding, theta in zip(batch, embeddings.embedding, embeddings.theta, strict=True)
        }

    def _embed_one_by_one(self, batch: Sequence[_Found]) -> dict[str, Record]:
        records: dict[str, Record] = {}
        failed: list[_Found] = []
        for vehicle in batch:
            try:
                records |= self.embed([vehicle])
            except EmbeddingError:
                failed.append(vehicle)
        if len(failed) == len(batch):
            self.embed(failed[:1])  # which raises
        for vehicle in failed:  # before the first that could be embedded
            records |= self.embed([vehicle])
        return records


def _by_file(entries: Iterable[Entry], skip: int) -> Iterator[list[Entry]]:
    """The entries of one file together, at most `COMMIT_SIZE`, but for the first `skip` in this order."""
    remaining = iter(entries)
    while window := list(islice(remaining, _WINDOW)):
        of_files: dict[str, list[Entry]] = defaultdict(list)
        for entry in window:
            of_files[entry.path].append(entry)
        for of_file in of_files.values():
            wanted = of_file[skip:]
            skip = max(0, skip - len(of_file))
            for start in range(0, len(wanted), COMMIT_SIZE):
                yield wanted[start : start + COMMIT_SIZE]


def _find_vehicles(
    files: Iterable[list[Entry]], read_image: ReadImage, gallery: Gallery, preprocessing: Preprocessing
) -> Generator[_Found | Remark, None, None]:
    """Decodes files ahead in threads. A file that cannot be used rejects all its entries, a field its own."""

    def find(of_file: list[Entry]) -> list[_Found | Remark]:
        vehicles: list[Vehicle | Remark] = [_vehicle(entry) for entry in of_file]
        try:
            file = take_in(read_image(of_file[0]), [vehicle for vehicle in vehicles if isinstance(vehicle, Vehicle)])
        except (OSError, ValueError) as error:  # an ImageError, or a ManifestError: a path that no file can have
            return [
                Remark(entry, str(error)) if isinstance(vehicle, Vehicle) else vehicle
                for entry, vehicle in zip(of_file, vehicles, strict=True)
            ]
        known = gallery.known([located.id for located in file.vehicles if isinstance(located, Located)])
        results = iter(file.vehicles)
        found: list[_Found | Remark] = []
        for entry, vehicle in zip(of_file, vehicles, strict=True):
            if isinstance(vehicle, Remark):
                found.append(vehicle)
                continue
            located = next(results)
            if isinstance(located, BoxError):
                found.append(Remark(entry, str(located)))
                continue
            record = known.get(located.id)
            image = preprocessing(located.pixels) if record is None else None
            found.append(_Found(entry, file.content, file.media_type, located, record, image))
        return found

    with ThreadPoolExecutor(usable_cores(), "take-in") as pool:
        for found in prefetch(pool, find, files, ahead=2 * usable_cores()):
            yield from found


def _vehicle(entry: Entry) -> Vehicle | Remark:
    try:
        return Vehicle(entry.box, fields_of(entry))
    except FieldsError as error:
        return Remark(entry, str(error))


def _record(vehicle: _Found, embedding: NDArray[np.float32], theta: NDArray[np.float32], model: ModelKey) -> Record:
    located = vehicle.located
    return Record(
        id=located.id,
        content=vehicle.content,
        media_type=vehicle.media_type,
        box=located.box,
        whole_image=located.whole_image,
        fields=located.fields,
        embedding=embedding,
        theta=theta,
        model=model,
        enrolled_at=datetime.now(UTC),
    )
