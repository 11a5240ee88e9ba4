"""From the bytes of an image file to located vehicles: the one way into a gallery, by HTTP or in bulk."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.gallery.fields import Fields
from index.gallery.record import content_hash, record_id
from model.box import Box, BoxError
from model.image import decode_image

CROP_SIDE_PX: Final = 800
"""A vehicle crop has no longer side; an image that has, and no box, is likely a frame."""

SMALL_SIDE_PX: Final = 20
"""A vehicle whose longer side is shorter has too few pixels to be told from others reliably."""

_CLIPPED_SHARE: Final = 0.25


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


def locate_box(given: Box | str | Sequence[float] | None, pixels: NDArray[np.uint8]) -> tuple[Box, tuple[str, ...]]:
    """The box of a vehicle on an image (H, W, 3), clipped to it, and what is suspicious about it.

    Raises:
        BoxError: no box, or one that lies on the image by less than half, or too little of it is left.
    """
    height, width, _ = pixels.shape
    warnings = []
    if given is None:
        box = Box(0, 0, width, height)
        if max(width, height) > CROP_SIDE_PX:
            warnings.append(
                f"the whole image of {width} x {height} pixels was taken for one vehicle: if it is a frame, give a box"
            )
    else:
        asked = given if isinstance(given, Box) else Box.parse(given)
        box = asked.clip(width, height)
        share = 1 - box.w * box.h / (asked.w * asked.h)
        if share >= _CLIPPED_SHARE:
            warnings.append(
                f"{share:.0%} of the box {asked} lie outside the image of {width} x {height} pixels and were cut off"
            )
    if max(box.w, box.h) < SMALL_SIDE_PX:
        warnings.append(
            f"the vehicle has only {box.w} x {box.h} pixels: below {SMALL_SIDE_PX} its matches are little more than "
            "guesses"
        )
    return box, tuple(warnings)
