"""TIFF: a copy whose only directory has the tags that make the first picture."""

import io
from typing import Final

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from model.image_file import DamagedError, ImageError, ImageFile
from model.tiff_directory import Entry, TiffDirectories

# Uncompressed files too go through libtiff: Pillow's own reader takes 16-bit samples in separate planes for 8-bit ones.
TiffImagePlugin.READ_LIBTIFF = True

_SUBFILE_TYPE: Final = 254
_WIDTH: Final = 256
_HEIGHT: Final = 257
_BITS: Final = 258
_PHOTOMETRIC: Final = 262
_TILE_WIDTH: Final = 322
_TILE_HEIGHT: Final = 323
_PROFILE: Final = 34675
_SAMPLE_FORMAT: Final = 339
_DNG_VERSION: Final = 50706
# What libtiff needs to know of strips and tiles, their compression and their samples (TIFF 6.0 and its supplements).
_PICTURE_TAGS: Final = frozenset(
    {_WIDTH, _HEIGHT, _BITS, 259, _PHOTOMETRIC, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, _TILE_WIDTH}
    | {_TILE_HEIGHT, 324, 325, 332, 338, _SAMPLE_FORMAT, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521}
    | {529, 530, 531, 532}
)
_REDUCED: Final = 1  # a bit of the subfile type
_WHITE_IS_ZERO: Final = 0
_BLACK_IS_ZERO: Final = 1
_COLOUR_SPACES: Final = frozenset({_WHITE_IS_ZERO, _BLACK_IS_ZERO, 2, 3, 5, 6})  # and RGB, palette, CMYK, YCbCr
_OF_SENSORS: Final = (32803, 34892)  # colour filter array, linear raw
_SAMPLE_FORMATS: Final = {2: "signed integer", 3: "floating-point", 5: "complex", 6: "complex"}
# A tile is decoded whole, however small the picture in it.
_MAX_TILE_PIXELS: Final = 4096 * 4096
_UNSIGNED: Final = (1, 4)  # and untyped, which is read as unsigned


def open_tiff(data: bytes) -> ImageFile:
    """Reads the first directory of a TIFF file: the first picture of several counts, whatever follows it.

    Metadata and further pictures never matter, however odd. Damage is found where the file is cut short or libtiff
    meets what cannot be: TIFF has no checksums, though deflate has one.

    Raises:
        DamagedError: there is no directory, or none with a size.
        ImageError: a camera raw file, samples that are not unsigned integers of up to 16 bits, or huge tiles.
    """
    directories = TiffDirectories(data)
    entries = directories.read(directories.first)

    def number(tag: int, default: int) -> int:
        return next(iter(directories.integers(entries.get(tag))), default)

    photometric = number(_PHOTOMETRIC, 0)
    _check_no_raw(data, entries, photometric, number(_SUBFILE_TYPE, 0))
    bits = directories.integers(entries.get(_BITS)) or (1,)
    _check_samples(bits, directories.integers(entries.get(_SAMPLE_FORMAT)) or (1,), photometric)
    width, height = number(_WIDTH, 0), number(_HEIGHT, 0)
    if not width or not height:
        raise DamagedError("the TIFF file has no directory with the size of its picture")
    tile_width, tile_height = number(_TILE_WIDTH, 0), number(_TILE_HEIGHT, 0)
    if tile_width * tile_height > max(_MAX_TILE_PIXELS, width * height):
        raise ImageError(
            f"the TIFF image of {width} x {height} pixels has tiles of {tile_width} x {tile_height}: save it with "
            "tiles of 256 x 256 or in strips"
        )

    tags = {tag: entry for tag, entry in entries.items() if tag in _PICTURE_TAGS}
    inverted = photometric == _WHITE_IS_ZERO and max(bits) == 16 and _PHOTOMETRIC in tags
    if inverted:  # Pillow turns grey round for up to 8 bits only
        tags[_PHOTOMETRIC] = directories.with_value(tags[_PHOTOMETRIC], _BLACK_IS_ZERO)
    padded = data + b"\0" * (len(data) % 2)
    directory, header = directories.encode(tags, len(padded))
    picture = b"".join([header, padded[len(header) :], directory])
    profile = entries.get(_PROFILE)
    return ImageFile(
        width,
        height,
        lambda: _decode(picture, inverted=inverted),
        exif=data,
        icc_profile=profile.value if profile else b"",
        bytes_per_pixel=12 + sum(bits[:8]) // 8,
    )


def _check_no_raw(data: bytes, entries: dict[int, Entry], photometric: int, subfile_type: int) -> None:
    advice = "develop it and save it as JPEG or TIFF"
    if _DNG_VERSION in entries:
        raise ImageError(f"the file is a camera raw file (DNG), whose first picture is a mere preview: {advice}")
    if data[8:10] == b"CR":
        raise ImageError(f"the file is a camera raw file (CR2), whose first picture is a mere preview: {advice}")
    if photometric in _OF_SENSORS:
        raise ImageError(f"the TIFF file has the raw data of a camera's sensor: {advice}")
    if subfile_type & _REDUCED:
        raise ImageError(
            "the first picture of the TIFF file is a mere preview, as in camera raw files such as NEF and ARW: "
            + advice
        )


def _check_samples(bits: tuple[int, ...], sample_formats: tuple[int, ...], photometric: int) -> None:
    for sample_format in sample_formats:
        if sample_format not in _UNSIGNED:
            name = _SAMPLE_FORMATS.get(sample_format, "unknown")
            raise ImageError(f"the TIFF image has {max(bits)}-bit {name} samples: save it with 8 or 16 bits a sample")
    if not set(bits) <= {1, 2, 4, 8, 16}:
        raise ImageError(f"the TIFF image has {max(bits)} bits a sample: save it with 8 or 16")
    if photometric not in _COLOUR_SPACES:
        raise ImageError(
            f"the TIFF image has the colour space number {photometric}: save it in RGB, grey, CMYK or with a palette"
        )


def _decode(picture: bytes, *, inverted: bool) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(picture), formats=["TIFF"])
    except UnidentifiedImageError:
        raise ImageError(
            "the arrangement of samples in the TIFF image is not read: save it as 8-bit grey, RGB or RGBA"
        ) from None
    try:
        image.load()
    except OSError:  # libtiff's reasons go to stderr; here they are mere numbers
        raise DamagedError("the pixels of the TIFF file are cut short or broken") from None
    if not inverted:
        return image
    return Image.fromarray(np.invert(np.asarray(image).astype(np.uint16)))
