"""From the bytes of an upload to vehicles on their way through the network."""

import dataclasses
from collections.abc import Sequence
from concurrent.futures import Future
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from index.record import Fields, Record, box_within, content_hash, record_id
from model.box import Box, BoxError
from model.image import ImageError, decode_image
from service.engine import Engine
from service.forms import RawBox, Vehicle
from service.worker import Admission, Embedded


@dataclasses.dataclass(frozen=True)
class Crop:
    """A vehicle that was found in its image.

    Attributes:
        source: the record that this content and box have already, or what the network will make of them.
    """

    id: str
    box: Box
    whole_image: bool
    fields: Fields
    source: Record | Future[Embedded]


@dataclasses.dataclass(frozen=True)
class Rejected:
    """A vehicle that cannot be embedded, and why."""

    detail: str
    box: str | None


@dataclasses.dataclass(frozen=True)
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


def take_in_query(engine: Engine, file: BinaryIO, box: Box | None) -> NDArray[np.uint8]:
    """The query's vehicle, preprocessed (S, S, 3).

    Raises:
        ImageError, BoxError: the image or the box cannot be used.
    """
    pixels = decode_image(_read(engine, file)).pixels
    return engine.card.preprocessing(box_within(box, pixels).cut(pixels))


def take_in_file(engine: Engine, admission: Admission, file: BinaryIO, vehicles: Sequence[Vehicle]) -> Intake:
    """Decodes a file once and sends its vehicles to the network, but for those the gallery knows.

    What is wrong rejects what it is wrong with: an image all its vehicles, a box its own.
    """
    try:
        data = _read(engine, file)
        image = decode_image(data)
    except ImageError as error:
        return Intake(file, "", "", [Rejected(str(error), _text(vehicle.box)) for vehicle in vehicles])
    content = content_hash(data)
    boxes: list[Box | Rejected] = []
    for vehicle in vehicles:
        try:
            boxes.append(box_within(None if vehicle.box is None else Box.parse(vehicle.box), image.pixels))
        except BoxError as error:
            boxes.append(Rejected(str(error), _text(vehicle.box)))
    known = engine.gallery.known([record_id(content, box) for box in boxes if isinstance(box, Box)])
    taken: list[Crop | Rejected] = []
    for vehicle, box in zip(vehicles, boxes, strict=True):
        if isinstance(box, Rejected):
            taken.append(box)
            continue
        id_ = record_id(content, box)
        pixels = box.cut(image.pixels)
        source = known.get(id_) or admission.submit(engine.card.preprocessing(pixels))
        whole_image = pixels.shape == image.pixels.shape
        taken.append(Crop(id_, box, whole_image, vehicle.fields, source))
    return Intake(file, content, image.media_type, taken)


def _read(engine: Engine, file: BinaryIO) -> bytes:
    data = file.read(engine.max_file_bytes + 1)
    if len(data) > engine.max_file_bytes:
        raise ImageError(f"the file is larger than {engine.max_file_bytes:,} bytes: send a smaller image or cut it")
    return data


def _text(box: RawBox | None) -> str | None:
    return box if box is None or isinstance(box, str) else ",".join(map(str, box))
