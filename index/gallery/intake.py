"""From the bytes of an image file to located vehicles: the one way into a gallery, by HTTP or in bulk."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.datasets.vehicle_box import locate_box
from index.gallery.fields import Fields
from index.gallery.record import content_hash, record_id
from model.box import Box, BoxError
from model.image import decode_image


@dataclass(frozen=True)
class Vehicle:
    """A vehicle to be taken in: where it is in its image, and what its user says about it.

    Attributes:
        box: a `Box`, or what `Box.parse` reads; None for the whole image.
    """

    box: Box | str | Sequence[float] | None
    fields: Fields


@dataclass(frozen=True, eq=False)
class Located:
    """A vehicle found in its image.

    Attributes:
        id: its record's.
        fields: what the user says, filled with what the image's EXIF says of time and place.
        pixels: (h, w, 3) uint8, a view into the image.
        warnings: what makes it less than it seems.
    """

    id: str
    box: Box
    whole_image: bool
    fields: Fields
    pixels: NDArray[np.uint8]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class FileIntake:
    """One file: the SHA-256 of its bytes, its media type, and each of its vehicles in order, or why it is none."""

    content: str
    media_type: str
    vehicles: list[Located | BoxError]


def take_in(data: bytes, vehicles: Sequence[Vehicle]) -> FileIntake:
    """Decodes a file once and locates its vehicles.

    Raises:
        ImageError: the image cannot be used, and so none of its vehicles.
    """
    image = decode_image(data)
    exif = image.exif
    content = content_hash(data)

    def locate(vehicle: Vehicle) -> Located | BoxError:
        try:
            box, warnings = locate_box(vehicle.box, image.pixels)
        except BoxError as error:
            return error
        fields = vehicle.fields.filled(exif.captured_at, exif.latitude, exif.longitude)
        if fields.captured_at is None and exif.time_note:
            warnings = (*warnings, exif.time_note)
        if fields.latitude is None and exif.place_note:
            warnings = (*warnings, exif.place_note)
        pixels = box.cut(image.pixels)
        return Located(record_id(content, box), box, pixels.shape == image.pixels.shape, fields, pixels, warnings)

    return FileIntake(content, image.media_type, [locate(vehicle) for vehicle in vehicles])
