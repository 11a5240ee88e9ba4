"""The one evaluation transform: an upright RGB crop of any size becomes the square that the network sees."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.normalization import IMAGENET_MEAN, IMAGENET_STD


class PreprocessingError(ValueError):
    """A preprocessing that does not exist; the message says which field is off."""


@dataclass(frozen=True)
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
        if not 32 <= self.size_px <= 2048 or self.size_px % 16:
            raise PreprocessingError(f"size_px must be a multiple of 16 between 32 and 2048, got {self.size_px}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if not all(math.isfinite(value) for value in values):
                raise PreprocessingError(f"{name} must hold finite numbers, got {values}")
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
            **asdict(self),
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
        fields = dict(fields)
        resize = fields.pop("resize", None)
        if resize != "bilinear-antialias":
            raise PreprocessingError(f'resize must be "bilinear-antialias", got {resize!r}')
        try:
            (mean_r, mean_g, mean_b), (std_r, std_g, std_b) = fields["mean"], fields["std"]
            return cls(fields["size_px"], (mean_r, mean_g, mean_b), (std_r, std_g, std_b))
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, PreprocessingError):
                raise
            raise PreprocessingError(f"the preprocessing is incomplete or malformed: {error!r}") from None
