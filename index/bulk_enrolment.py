"""Whole manifests into a gallery: what an operator enrols by HTTP, file by file, without the detour."""

import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.bulk_embedding import BATCH_SIZE, EmbedBatch
from index.gallery import Enrolment, Gallery
from index.manifest import Entry, Manifest
from index.prefetch import prefetch
from index.record import Fields, FieldsError, ModelKey, Record, box_within, content_hash, record_id
from model.box import Box, BoxError
from model.image import ImageError, decode_image
from model.preprocessing import Preprocessing

COMMIT_SIZE: Final = 8 * BATCH_SIZE
"""Records in one transaction: what is lost at most when the program is interrupted."""


class Rejected(NamedTuple):
    """An entry that cannot be enrolled, and why."""

    entry: Entry
    detail: str


@dataclass
class Outcome:
    """What became of the entries.

    Attributes:
        enrolled: stored now; those among them that another model had embedded kept their fields.
        duplicates: content and box were there already, and nothing changed.
        differing: of both, those whose stored fields are not the manifest's.
    """

    enrolled: int = 0
    duplicates: int = 0
    differing: int = 0
    rejected: list[Rejected] = field(default_factory=list)


@dataclass(frozen=True)
class _Vehicle:
    """An entry whose vehicle was found: the record that the gallery has of it, or the image for the network."""

    id: str
    path: Path
    content: str
    media_type: str
    box: Box
    whole_image: bool
    fields: Fields
    source: Record | NDArray[np.uint8]


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
) -> Outcome:
    """Enrols entries under the ids that `POST /gallery` gives them; what this model has embedded is not embedded again.

    Interrupted, it leaves whole records, and a second time goes on.

    Args:
        manifest: whose folder the entries' paths start from.
        entries: which are enrolled, files in the order of their first appearance.
        gallery: whose records they become.
        model: what embeds; the gallery's own.
        preprocessing: of that model.
        embed_batch: called with up to `BATCH_SIZE` images, in this thread.
        progress: told how many more entries are done.

    Raises:
        EmbeddingError: the network is at fault.
        GalleryError, OSError: the gallery cannot be written, or a file changed meanwhile.
    """
    outcome = Outcome()
    taken = _take_in(manifest, entries, gallery, preprocessing)
    while some := list(islice(taken, COMMIT_SIZE)):
        outcome.rejected += [vehicle for vehicle in some if isinstance(vehicle, Rejected)]
        fresh: list[tuple[_Vehicle, NDArray[np.uint8]]] = []
        for vehicle in some:
            if isinstance(vehicle, Rejected):
                continue
            if isinstance(vehicle.source, Record):
                outcome.duplicates += 1
                outcome.differing += bool(vehicle.source.fields.differing(vehicle.fields))
            else:
                fresh.append((vehicle, vehicle.source))
        progress(len(some) - len(fresh))
        enrolments: list[Enrolment] = []
        for start in range(0, len(fresh), BATCH_SIZE):
            batch = fresh[start : start + BATCH_SIZE]
            embedded = embed_batch(np.stack([image for _, image in batch]))
            for (vehicle, _), embedding, theta in zip(batch, embedded.embedding, embedded.theta, strict=True):
                enrolments.append(Enrolment(_record(vehicle, embedding, theta, model), vehicle.path.read_bytes))
            progress(len(batch))
        for became in gallery.enrol(enrolments) if enrolments else ():
            outcome.duplicates += became.duplicate
            outcome.enrolled += not became.duplicate
            outcome.differing += bool(became.differing)
    return outcome


def _take_in(
    manifest: Manifest, entries: Sequence[Entry], gallery: Gallery, preprocessing: Preprocessing
) -> Iterator[_Vehicle | Rejected]:
    """Decodes each file once, ahead in threads. What is wrong rejects what it is wrong with: a file all its entries."""
    of_files: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        of_files[entry.path].append(entry)

    def take_in(of_file: list[Entry]) -> list[_Vehicle | Rejected]:
        path = manifest.path_of(of_file[0])
        try:
            data = path.read_bytes()
            image = decode_image(data)
        except (ImageError, OSError) as error:
            return [Rejected(entry, str(error)) for entry in of_file]
        content = content_hash(data)

        def locate(entry: Entry) -> _Vehicle | Rejected:
            try:
                box, fields = box_within(entry.box, image.pixels), fields_of(entry)
            except (BoxError, FieldsError) as error:
                return Rejected(entry, str(error))
            id_, pixels = record_id(content, box), box.cut(image.pixels)
            source = gallery.known([id_]).get(id_)
            whole = pixels.shape == image.pixels.shape
            return _Vehicle(
                id_, path, content, image.media_type, box, whole, fields,
                preprocessing(pixels) if source is None else source,
            )  # fmt: skip

        return [locate(entry) for entry in of_file]

    with ThreadPoolExecutor(os.cpu_count(), "take-in") as pool:
        for taken in prefetch(pool, take_in, of_files.values(), ahead=2 * (os.cpu_count() or 1)):
            yield from taken


def fields_of(entry: Entry) -> Fields:
    """What a manifest says about a vehicle: identity, camera, captured_at, and the columns latitude and longitude.

    Raises:
        FieldsError: a value that no record can have.
    """
    try:
        captured_at = datetime.fromisoformat(entry.captured_at) if entry.captured_at else None
    except ValueError:
        raise FieldsError(
            f"captured_at is a time with its zone, such as 2026-05-01T12:00:00Z, not {entry.captured_at!r}"
        ) from None
    latitude, longitude = _degrees(entry, "latitude", 90), _degrees(entry, "longitude", 180)
    return Fields(entry.identity or None, entry.camera or None, captured_at, latitude, longitude)


def _degrees(entry: Entry, column: str, most: int) -> float | None:
    text = entry.column(column)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) <= most:
        raise FieldsError(f"{column} is a number of degrees between -{most} and {most}, not {text!r}")
    return number


def _record(vehicle: _Vehicle, embedding: NDArray[np.float32], theta: NDArray[np.float32], model: ModelKey) -> Record:
    return Record(
        id=vehicle.id,
        content=vehicle.content,
        media_type=vehicle.media_type,
        box=vehicle.box,
        whole_image=vehicle.whole_image,
        fields=vehicle.fields,
        embedding=embedding,
        theta=theta,
        model=model,
        enrolled_at=datetime.now(UTC),
    )
