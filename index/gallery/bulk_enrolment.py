"""Whole manifests into a gallery: what an operator enrols by HTTP, file by file, without the detour."""

from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.datasets.bulk_embedding import BATCH_SIZE, EmbedBatch
from index.datasets.manifest import Entry, Manifest
from index.datasets.prefetch import prefetch
from index.gallery.enrolment import Enrolment
from index.gallery.entry_fields import fields_of
from index.gallery.fields import FieldsError
from index.gallery.gallery import Gallery
from index.gallery.intake import Located, Vehicle, take_in
from index.gallery.record import ModelKey, Record
from model.box import BoxError
from model.cores import usable_cores
from model.preprocessing import Preprocessing

COMMIT_SIZE: Final = 8 * BATCH_SIZE
"""Records in one transaction: what is lost at most when the program is killed."""


class Remark(NamedTuple):
    """An entry, and why it cannot be enrolled or what is suspicious about it."""

    entry: Entry
    detail: str


@dataclass
class Outcome:
    """What became of the entries.

    Attributes:
        enrolled: stored now; those among them that another model had embedded kept their fields.
        duplicates: content and box were there already, and nothing changed; an image file that was lost is back.
        differing: of both, those whose stored fields are not the manifest's.
        rejected: those that cannot be enrolled.
        warnings: what makes vehicles less than they seem; they are enrolled, or there already.
        stopped: whether it was stopped before the last entry.
    """

    enrolled: int = 0
    duplicates: int = 0
    differing: int = 0
    rejected: list[Remark] = field(default_factory=list)
    warnings: list[Remark] = field(default_factory=list)
    stopped: bool = False


@dataclass(frozen=True, eq=False)
class _Found:
    """An entry's vehicle in its image file: the record that the gallery has of it, or its image for the network."""

    entry: Entry
    path: Path
    content: str
    media_type: str
    located: Located
    known: Record | None
    image: NDArray[np.uint8] | None


def enrollable(manifest: Manifest) -> list[Entry]:
    """All entries but those that are looked for (query) and those that no protocol counts (junk)."""
    return [entry for entry in manifest.entries if entry.role not in ("query", "junk")]


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
    """Enrols entries under the ids that `POST /gallery` gives them; what this model has embedded is not embedded again.

    Killed, it leaves whole records, and a second time goes on.

    Args:
        manifest: whose folder the entries' paths start from.
        entries: which are enrolled, files in the order of their first appearance.
        gallery: whose records they become.
        model: what embeds; the gallery's own.
        preprocessing: of that model.
        embed_batch: called with up to `BATCH_SIZE` images, in this thread.
        progress: told how many more entries are done.
        stop_asked: asked before each batch; what is embedded by then is stored.

    Raises:
        EmbeddingError: the network is at fault.
        GalleryError, OSError: the gallery cannot be written, or a file changed meanwhile.
    """
    outcome = Outcome()
    with closing(_find_vehicles(manifest, entries, gallery, preprocessing)) as vehicles:
        while not outcome.stopped and (chunk := list(islice(vehicles, COMMIT_SIZE))):
            fresh: list[_Found] = []
            enrolments: list[Enrolment] = []
            for vehicle in chunk:
                if isinstance(vehicle, Remark):
                    outcome.rejected.append(vehicle)
                elif vehicle.known is None:
                    fresh.append(vehicle)
                else:
                    # A duplicate: the gallery says so again, and mends the image if its file is missing or damaged.
                    known = replace(vehicle.known, fields=vehicle.located.fields)
                    enrolments.append(Enrolment(known, vehicle.path.read_bytes))
                    outcome.warnings += _warnings_of(vehicle)
            progress(len(chunk) - len(fresh))
            for start in range(0, len(fresh), BATCH_SIZE):
                if stop_asked():
                    outcome.stopped = True
                    break
                batch = fresh[start : start + BATCH_SIZE]
                embedded = embed_batch(np.stack([vehicle.image for vehicle in batch if vehicle.image is not None]))
                for vehicle, embedding, theta in zip(batch, embedded.embedding, embedded.theta, strict=True):
                    enrolments.append(Enrolment(_record(vehicle, embedding, theta, model), vehicle.path.read_bytes))
                    outcome.warnings += _warnings_of(vehicle)
                progress(len(batch))
            for enrolled in gallery.enrol(enrolments) if enrolments else ():
                outcome.duplicates += enrolled.duplicate
                outcome.enrolled += not enrolled.duplicate
                outcome.differing += bool(enrolled.differing)
            # Asked during a chunk of duplicates alone, or during the last batch of one that is not the last.
            if not outcome.stopped and stop_asked():
                outcome.stopped = next(vehicles, None) is not None
    return outcome


def _find_vehicles(
    manifest: Manifest, entries: Sequence[Entry], gallery: Gallery, preprocessing: Preprocessing
) -> Generator[_Found | Remark, None, None]:
    """Decodes each file once, ahead in threads. A file that cannot be used rejects all its entries, a field its own."""
    of_files: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        of_files[entry.path].append(entry)

    def find(of_file: list[Entry]) -> list[_Found | Remark]:
        vehicles: list[Vehicle | Remark] = [_vehicle(entry) for entry in of_file]
        try:
            path = manifest.path_of(of_file[0])
            file = take_in(path.read_bytes(), [vehicle for vehicle in vehicles if isinstance(vehicle, Vehicle)])
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
            found.append(_Found(entry, path, file.content, file.media_type, located, record, image))
        return found

    with ThreadPoolExecutor(usable_cores(), "take-in") as pool:
        for found in prefetch(pool, find, of_files.values(), ahead=2 * usable_cores()):
            yield from found


def _vehicle(entry: Entry) -> Vehicle | Remark:
    try:
        return Vehicle(entry.box, fields_of(entry))
    except FieldsError as error:
        return Remark(entry, str(error))


def _warnings_of(vehicle: _Found) -> list[Remark]:
    return [Remark(vehicle.entry, warning) for warning in vehicle.located.warnings]


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
