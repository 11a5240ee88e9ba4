"""The one evaluation transform: an upright RGB crop of any size becomes the square that the network sees."""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.normalization import IMAGENET_MEAN, IMAGENET_STD


class PreprocessingError(ValueError):
    """A preprocessing that does not exist; the message says which field is off."""


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Part of the model: it stands in the checkpoint and counts in the fingerprint.

    Attributes:
        size_px: side of the network's square input (paper: 256).
        mean, std: per RGB channel in [0, 1], applied inside the network.
    """

    size_px: int = 256
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if type(self.size_px) is not int or not 32 <= self.size_px <= 2048 or self.size_px % 16:
            raise PreprocessingError(f"size_px must be a multiple of 16 between 32 and 2048, got {self.size_px}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len([value for value in values if math.isfinite(value)]) != 3:
                raise PreprocessingError(f"{name} must hold three finite numbers, got {values}")
        if min(self.std) <= 0:
            raise PreprocessingError(f"std must be above 0, got {self.std}")

    def __call__(self, crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Crop (H, W, 3) -> (size, size, 3) uint8: resized without keeping the aspect, bilinear with antialias.

        Pillow's resampling, because it gives the same bytes on every machine and for every batch.
        """
        resized = Image.fromarray(crop).resize((self.size_px, self.size_px), Image.Resampling.BILINEAR)
        return np.asarray(resized)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            **dataclasses.asdict(self),
            "mean": list(self.mean),
            "std": list(self.std),
            "resize": "bilinear-antialias",
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Preprocessing":
        """The inverse of `to_dict`.

        Raises:
            PreprocessingError: an unknown field or value.
        """
        resize = fields.get("resize")
        if resize != "bilinear-antialias":
            raise PreprocessingError(f'resize must be "bilinear-antialias", got {resize!r}')
        expected = {"resize", *(field.name for field in dataclasses.fields(cls))}
        if fields.keys() != expected:
            raise PreprocessingError(f"the fields must be {sorted(expected)}, got {sorted(fields)}")
        try:
            return cls(fields["size_px"], tuple(fields["mean"]), tuple(fields["std"]))
        except TypeError as error:
            raise PreprocessingError(f"mean and std must hold three finite numbers: {error}") from None
