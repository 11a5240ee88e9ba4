"""From an upload to vehicles on their way through the network."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.datasets.vehicle_box import locate_box
from index.gallery.errors import GalleryError, RecordNotFoundError
from index.gallery.intake import Located, Vehicle, take_in
from index.gallery.record import Record
from model.box import Box, BoxError
from model.image import ImageError, decode_image
from service.engine import Engine
from service.problems import OtherModelError
from service.worker import Admission, Embedded


@dataclass(frozen=True)
class Crop:
    """A located vehicle, and what is known of its embedding.

    Attributes:
        source: the record that this content and box have already, or what the network will make of them.
    """

    located: Located
    source: Record | Future[Embedded]


class Rejected(NamedTuple):
    """A vehicle that cannot be embedded, and why."""

    detail: str
    box: str | None


@dataclass(frozen=True)
class Intake:
    """One file of an enrolment, the hash of its bytes, and what became of each of its vehicles, in order."""

    file: BinaryIO
    content: str
    media_type: str
    vehicles: list[Crop | Rejected]

    def read(self) -> bytes:
        """The file's bytes once more: large ones wait on the disk, not in the memory."""
        self.file.seek(0)
        return self.file.read()


class PreparedQuery(NamedTuple):
    """The query's vehicle, preprocessed (S, S, 3) uint8, and what makes it less than it seems."""

    image: NDArray[np.uint8]
    warnings: tuple[str, ...]


class RecordQuery(NamedTuple):
    """A record that is searched for, and its vehicle, preprocessed (S, S, 3) uint8; None if its image is lost."""

    record: Record
    image: NDArray[np.uint8] | None
    warnings: tuple[str, ...]


def take_in_query(engine: Engine, file: BinaryIO, boxes: Sequence[Box | str | None]) -> list[PreparedQuery | BoxError]:
    """Decodes a query once and cuts its vehicles out, in their order; or says why a box cannot be used.

    Raises:
        ImageError: the image cannot be used.
    """
    pixels = decode_image(_read(engine, file)).pixels

    def prepare(given: Box | str | None) -> PreparedQuery | BoxError:
        try:
            box, warnings = locate_box(given, pixels)
        except BoxError as error:
            return error
        return PreparedQuery(engine.card.preprocessing(box.cut(pixels)), warnings)

    return [prepare(box) for box in boxes]


def take_in_record(engine: Engine, id_: str) -> RecordQuery:
    """A record of the gallery as a query.

    Raises:
        RecordNotFoundError: there is none with this id.
        OtherModelError: its embedding is not comparable with those that are searched.
        GalleryError: the record is damaged.
    """
    record = engine.gallery.get(id_)
    if record.model != engine.model:
        raise OtherModelError(
            f"the record {record.id} was embedded by the model {record.model.fingerprint:.12} in "
            f"{record.model.precision}, and {engine.model.fingerprint:.12} in {engine.model.precision} is searched: "
            "enrol its image again"
        )
    try:
        return RecordQuery(record, engine.card.preprocessing(engine.crop_of(record)), ())
    except RecordNotFoundError:
        raise
    except (GalleryError, ImageError, BoxError) as error:
        return RecordQuery(
            record, None, (f"there is no aligned view, because the image of the record is lost: {error}",)
        )


def take_in_file(engine: Engine, admission: Admission, file: BinaryIO, vehicles: Sequence[Vehicle]) -> Intake:
    """Decodes a file once and sends its vehicles to the network, but for those the gallery knows.

    A file that cannot be used rejects all its vehicles, a box that cannot be used its own.
    """
    try:
        intake = take_in(_read(engine, file), vehicles)
    except ImageError as error:
        return Intake(file, "", "", [Rejected(str(error), _text(vehicle.box)) for vehicle in vehicles])
    known = engine.gallery.known([located.id for located in intake.vehicles if isinstance(located, Located)])

    def embed(located: Located) -> Crop:
        record = known.get(located.id)
        return Crop(located, record or admission.submit(engine.card.preprocessing(located.pixels)))

    return Intake(
        file,
        intake.content,
        intake.media_type,
        [
            embed(located) if isinstance(located, Located) else Rejected(str(located), _text(vehicle.box))
            for located, vehicle in zip(intake.vehicles, vehicles, strict=True)
        ],
    )


def _read(engine: Engine, file: BinaryIO) -> bytes:
    data = file.read(engine.max_file_bytes + 1)
    if len(data) > engine.max_file_bytes:
        raise ImageError(f"the file is larger than {engine.max_file_bytes:,} bytes: send a smaller image or cut it")
    return data


def _text(box: Box | str | Sequence[float] | None) -> str | None:
    if box is None or isinstance(box, str):
        return box
    return str(box) if isinstance(box, Box) else ",".join(map(str, box))
