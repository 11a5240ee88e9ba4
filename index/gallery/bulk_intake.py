"""Vehicles of whole data sets, located and embedded chunk by chunk; files are decoded ahead in threads, each once."""

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.datasets.bulk_embedding import BATCH_SIZE, EmbedBatch
from index.datasets.manifest import Entry
from index.datasets.prefetch import prefetch
from index.gallery.entry_fields import fields_of
from index.gallery.fields import FieldsError
from index.gallery.gallery import Gallery
from index.gallery.intake import Located, Vehicle, take_in
from index.gallery.record import ModelKey, Record
from model.box import BoxError
from model.cores import usable_cores
from model.embeddings import EmbeddingError
from model.preprocessing import Preprocessing

CHUNK_SIZE: Final = 8 * BATCH_SIZE
"""Vehicles in one chunk: what is lost at most when the program is killed."""

_WINDOW: Final = 64 * CHUNK_SIZE
"""Entries among which those of one file are brought together, so that it is decoded once."""

ReadImage = Callable[[Entry], bytes]
"""The bytes of an entry's image file.

Raises:
    OSError, ValueError: it cannot be read; the message says why.
"""


class Remark(NamedTuple):
    """An entry, and why it cannot be enrolled or what is suspicious about it."""

    entry: Entry
    detail: str


@dataclass(frozen=True, eq=False)
class FoundVehicle:
    """An entry's vehicle in its image file: the record that the gallery has of it, or its image for the network."""

    entry: Entry
    content: str
    media_type: str
    located: Located
    known: Record | None
    image: NDArray[np.uint8] | None


@dataclass(frozen=True)
class Chunk:
    """Up to `CHUNK_SIZE` entries.

    Attributes:
        vehicles: of each entry its vehicle, or why it cannot be used; in the order of the data set, file by file.
        records: by id, the embedded vehicles: known ones with the fields that the gallery has of them, new ones with
            those of their first entry.
        refused: by id, why the network could not embed a vehicle.
        stopped: it was stopped before its last vehicle was embedded, or before the next chunk.
    """

    vehicles: list[FoundVehicle | Remark]
    records: Mapping[str, Record]
    refused: Mapping[str, str]
    stopped: bool


def embed_in_chunks(
    entries: Iterable[Entry],
    read_image: ReadImage,
    gallery: Gallery,
    model: ModelKey,
    preprocessing: Preprocessing,
    embed_batch: EmbedBatch,
    *,
    skip: int = 0,
    progress: Callable[[int], object] = lambda _: None,
    stop_asked: Callable[[], bool] = lambda: False,
) -> Iterator[Chunk]:
    """Embeds the vehicles of entries, but for those that the gallery knows.

    However many entries there are, only a few thousand are held at a time.

    Args:
        entries: those of one file go together, files in the order of their first appearance (among `_WINDOW` entries).
            The same entries come in the same order and chunks each time.
        read_image: called from several threads.
        gallery: which may know them.
        model: what embeds; the gallery's own.
        preprocessing: of that model.
        embed_batch: called with up to `BATCH_SIZE` images, in this thread.
        skip: so many entries, in the order of the chunks, are left out: those of whole chunks of an earlier time.
        progress: told how many more entries are done.
        stop_asked: asked before each batch and after each chunk; the last chunk is then `stopped`.

    Raises:
        EmbeddingError: the network is at fault.
    """
    network = _Network(embed_batch, model)
    with closing(_find_vehicles(_by_file(entries, skip), read_image, gallery, preprocessing)) as vehicles:
        while chunk := list(islice(vehicles, CHUNK_SIZE)):
            found = [vehicle for vehicle in chunk if isinstance(vehicle, FoundVehicle)]
            records = {vehicle.located.id: vehicle.known for vehicle in found if vehicle.known is not None}
            fresh: dict[str, FoundVehicle] = {}
            for vehicle in found:
                if vehicle.known is None:  # the same content and box on another line is not embedded again
                    fresh.setdefault(vehicle.located.id, vehicle)
            progress(len(chunk) - len(fresh))
            network.refused = {}
            stopped = False
            waiting = list(fresh.values())
            for start in range(0, len(waiting), BATCH_SIZE):
                if stop_asked():
                    stopped = True
                    break
                batch = waiting[start : start + BATCH_SIZE]
                records |= network.embed(batch)
                progress(len(batch))
            # Asked during a chunk of known vehicles alone, or during the last batch of one that is not the last.
            if not stopped and stop_asked():
                stopped = next(vehicles, None) is not None
            yield Chunk(chunk, records, network.refused, stopped)
            if stopped:
                return


class _Network:
    """Makes records of vehicles. An image without a finite embedding fails alone, if the network embeds others.

    Attributes:
        refused: by id, why vehicles of this chunk cannot be embedded.
    """

    def __init__(self, embed_batch: EmbedBatch, model: ModelKey) -> None:
        self._embed_batch = embed_batch
        self._model = model
        self._has_embedded = False
        self.refused: dict[str, str] = {}

    def embed(self, batch: Sequence[FoundVehicle]) -> dict[str, Record]:
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

    def _embed_one_by_one(self, batch: Sequence[FoundVehicle]) -> dict[str, Record]:
        records: dict[str, Record] = {}
        failed: list[FoundVehicle] = []
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
    """The entries of one file together, at most `CHUNK_SIZE`, but for the first `skip` in this order."""
    remaining = iter(entries)
    while window := list(islice(remaining, _WINDOW)):
        of_files: dict[str, list[Entry]] = defaultdict(list)
        for entry in window:
            of_files[entry.path].append(entry)
        for of_file in of_files.values():
            wanted = of_file[skip:]
            skip = max(0, skip - len(of_file))
            for start in range(0, len(wanted), CHUNK_SIZE):
                yield wanted[start : start + CHUNK_SIZE]


def _find_vehicles(
    files: Iterable[list[Entry]], read_image: ReadImage, gallery: Gallery, preprocessing: Preprocessing
) -> Generator[FoundVehicle | Remark, None, None]:
    """Decodes files ahead in threads. A file that cannot be used rejects all its entries, a field its own."""

    def find(of_file: list[Entry]) -> list[FoundVehicle | Remark]:
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
        found: list[FoundVehicle | Remark] = []
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
            found.append(FoundVehicle(entry, file.content, file.media_type, located, record, image))
        return found

    with ThreadPoolExecutor(usable_cores(), "take-in") as pool:
        for found in prefetch(pool, find, files, ahead=2 * usable_cores()):
            yield from found


def _vehicle(entry: Entry) -> Vehicle | Remark:
    try:
        return Vehicle(entry.box, fields_of(entry))
    except FieldsError as error:
        return Remark(entry, str(error))


def _record(
    vehicle: FoundVehicle, embedding: NDArray[np.float32], theta: NDArray[np.float32], model: ModelKey
) -> Record:
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
