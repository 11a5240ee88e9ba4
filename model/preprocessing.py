"""The one evaluation transform: an upright RGB crop of any size becomes the square that the network sees."""

import dataclasses
import math
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.normalization import IMAGENET_MEAN, IMAGENET_STD

Resize = Literal["stretch", "pad"]

# How a checkpoint writes it: the interpolation belongs to it.
_WRITTEN: Final[dict[Resize, str]] = {"stretch": "bilinear-antialias", "pad": "bilinear-antialias-pad"}


class PreprocessingError(ValueError):
    """A preprocessing that does not exist; the message says which field is off."""


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Part of the model: it stands in the checkpoint and counts in the fingerprint.

    Attributes:
        size_px: side of the network's square input (paper: 256).
        mean, std: per RGB channel in [0, 1], applied inside the network.
        resize: ``"stretch"`` fills the square without keeping the aspect (the field's habit); ``"pad"`` keeps it,
            centred on the mean colour: only there is a turn of the vehicle a turn of the square.
    """

    size_px: int = 256
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    resize: Resize = "stretch"

    def __post_init__(self) -> None:
        if type(self.size_px) is not int or not 32 <= self.size_px <= 2048 or self.size_px % 16:
            raise PreprocessingError(f"size_px must be a multiple of 16 between 32 and 2048, got {self.size_px}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len([value for value in values if math.isfinite(value)]) != 3:
                raise PreprocessingError(f"{name} must hold three finite numbers, got {values}")
        if min(self.std) <= 0:
            raise PreprocessingError(f"std must be above 0, got {self.std}")
        if self.resize not in get_args(Resize):
            raise PreprocessingError(f"resize must be one of {', '.join(get_args(Resize))}; got {self.resize!r}")

    def __call__(self, crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Crop (H, W, 3) -> (size, size, 3) uint8: bilinear with antialias.

        Pillow's resampling, because it gives the same bytes on every machine and for every batch.
        """
        width, height = self._placed_size(crop.shape[1], crop.shape[0])
        resized = Image.fromarray(crop).resize((width, height), Image.Resampling.BILINEAR)
        if (width, height) == (self.size_px, self.size_px):
            return np.asarray(resized)
        square = Image.new("RGB", (self.size_px, self.size_px), tuple(round(255 * value) for value in self.mean))
        square.paste(resized, ((self.size_px - width) // 2, (self.size_px - height) // 2))
        return np.asarray(square)

    def _placed_size(self, width: int, height: int) -> tuple[int, int]:
        """How large a crop of this size lies in the square."""
        if self.resize == "stretch":
            return self.size_px, self.size_px
        scale = self.size_px / max(width, height)
        return max(1, round(width * scale)), max(1, round(height * scale))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            **dataclasses.asdict(self),
            "mean": list(self.mean),
            "std": list(self.std),
            "resize": _WRITTEN[self.resize],
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Preprocessing":
        """The inverse of `to_dict`.

        Raises:
            PreprocessingError: an unknown field or value.
        """
        written = fields.get("resize")
        resize = next((name for name, text in _WRITTEN.items() if text == written), None)
        if resize is None:
            raise PreprocessingError(f"resize must be one of {', '.join(_WRITTEN.values())}; got {written!r}")
        expected = {field.name for field in dataclasses.fields(cls)}
        if fields.keys() != expected:
            raise PreprocessingError(f"the fields must be {sorted(expected)}, got {sorted(fields)}")
        try:
            return cls(fields["size_px"], tuple(fields["mean"]), tuple(fields["std"]), resize)
        except TypeError as error:
            raise PreprocessingError(f"mean and std must hold three finite numbers: {error}") from None
