"""One heading for all vehicles? The aligned views' headings, where the true ones are known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.datasets.bulk_embedding import read_entry
from index.datasets.manifest import Entry, Manifest, ManifestError
from model.number import NumberError, decimal_number
from model.preprocessing import Resize
from model.theta import turn_of
from training.alignment.circular import residuals_deg

NEAR_DEG: Final = 15.0
"""A vehicle whose residual is no larger counts as aligned."""
_NUM_RESAMPLES: Final = 1000
COLUMN: Final = "heading_deg"
"""The manifest's column: the rear→front axis in the crop, counter-clockwise from the right."""


@dataclass(frozen=True)
class Residuals:
    """How far headings are from their circular mean.

    Attributes:
        median_deg: of all vehicles; a quarter of the period if there is no common heading.
        median_interval_deg: 95 %, resampling identities, whose images are not independent.
        near_share: of those within `NEAR_DEG`.
    """

    median_deg: float
    median_interval_deg: tuple[float, float]
    near_share: float

    @classmethod
    def of(cls, headings_deg: NDArray[np.floating], identities: Sequence[str], period_deg: float) -> "Residuals":
        """The residuals of headings (N,), modulo 360 or, front and rear alike, modulo 180."""
        residuals = residuals_deg(headings_deg, period_deg)
        names, member = np.unique(np.array(identities), return_inverse=True)
        groups = [residuals[member == index] for index in range(len(names))]
        random = np.random.default_rng(0)
        medians = [
            np.median(np.concatenate([groups[i] for i in random.integers(len(groups), size=len(groups))]))
            for _ in range(_NUM_RESAMPLES)
        ]
        low, high = np.percentile(medians, [2.5, 97.5])
        near = float((residuals <= NEAR_DEG).mean())
        return cls(float(np.median(residuals)), (float(low), float(high)), near)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "median_deg": self.median_deg,
            "median_interval_deg": list(self.median_interval_deg),
            f"share_within_{NEAR_DEG:.0f}_deg": self.near_share,
        }


def input_heading_deg(heading_deg: float, width: int, height: int) -> float:
    """A crop's heading after the crop, (width, height) pixels, is stretched to the network's square."""
    angle = np.deg2rad(heading_deg)
    return float(np.rad2deg(np.arctan2(np.sin(angle) / height, np.cos(angle) / width)))


def known_heading(entry: Entry) -> float:
    """The entry's true heading.

    Raises:
        ManifestError: it has none, or one that is no number.
    """
    try:
        return decimal_number(entry.further.get(COLUMN, "").strip())
    except NumberError as error:
        raise ManifestError(
            f"{entry.path} has no {COLUMN}: {error}; only data with known headings will do, such as UAV-Synth"
        ) from None


def measure_headings(
    manifest: Manifest, entries: Sequence[Entry], thetas: NDArray[np.float32], resize: Resize
) -> dict[str, dict[str, Any]]:
    """The spread of headings before and after the alignment.

    Args:
        manifest: whose images are read for their sizes.
        entries: N, with known headings.
        thetas: (N, 2, 3) what the network made of them.
        resize: how the network's preprocessing fills its square; stretching a crop changes its heading.

    Returns:
        ``before`` and ``after``, each with residuals modulo 360 and modulo 180.

    Raises:
        ManifestError: a heading is not known.
    """
    before = np.array([known_heading(entry) for entry in entries])
    if resize == "stretch":
        sizes = [crop_size(manifest, entry) for entry in entries]
        before = np.array([input_heading_deg(known, *size) for known, size in zip(before, sizes, strict=True)])
    after = before + np.array([turn_of(theta).rotation_deg for theta in thetas])
    identities = [entry.identity for entry in entries]
    return {
        name: {f"modulo_{period}": Residuals.of(headings, identities, float(period)).to_dict() for period in (360, 180)}
        for name, headings in (("before", before), ("after", after))
    }


def crop_size(manifest: Manifest, entry: Entry) -> tuple[int, int]:
    """Width and height of an entry's crop, in pixels of the upright image."""
    height, width, _ = read_entry(manifest, entry).shape
    return width, height
