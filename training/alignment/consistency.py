"""Rotation consistency: does a vehicle that is turned by a known angle come back to the same aligned view?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.datasets.bulk_embedding import EmbedBatch
from index.datasets.manifest import Entry, Manifest, ManifestError
from model.preprocessing import Preprocessing
from model.theta import turn_of
from training.alignment.circular import residuals_deg
from training.alignment.turning import turnable, turned_views

TURNS_DEG: Final = tuple(float(turn) for turn in range(0, 360, 30))


@dataclass(frozen=True)
class Consistency:
    """How far turn + predicted rotation strays from its mean, vehicle by vehicle.

    Attributes:
        residuals_deg: (N, T) of N vehicles and T turns; 90 is the median without any alignment.
        num_skipped: vehicles too near to the border of their frame, or without a box.
    """

    residuals_deg: NDArray[np.floating]
    num_skipped: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values. The vehicles' medians say whether few are wrong or all a little."""
        per_vehicle = np.median(self.residuals_deg, axis=1)
        return {
            "num_vehicles": len(self.residuals_deg),
            "num_turns": self.residuals_deg.shape[1],
            "num_skipped": self.num_skipped,
            "median_deg": float(np.median(self.residuals_deg)),
            "median_per_vehicle_deg": {
                f"p{quantile}": float(np.percentile(per_vehicle, quantile)) for quantile in (10, 50, 90)
            },
        }


def measure_consistency(
    manifest: Manifest,
    entries: Sequence[Entry],
    preprocessing: Preprocessing,
    embed_batch: EmbedBatch,
    turns_deg: Sequence[float] = TURNS_DEG,
    progress: Callable[[int], object] = lambda _: None,
) -> Consistency:
    """Turns each vehicle's frame, cuts the vehicle out, and compares what the network makes of it.

    Raises:
        ManifestError: no entry has a box with its surroundings: the corners of a crop would betray the turn.
        ImageError, BoxError, OSError: an image cannot be used.
    """
    rows = []
    for _, frame, box in turnable(manifest, entries):
        views = turned_views(frame, box, turns_deg, preprocessing.size_px, preprocessing.mean)
        turned = [turn_of(theta).rotation_deg for theta in embed_batch(views).theta]
        rows.append(residuals_deg(np.array(turns_deg) + np.array(turned)))
        progress(1)
    progress(len(entries) - len(rows))
    if not rows:
        raise ManifestError(
            "no vehicle can be turned: it needs frames with boxes and a vehicle's surroundings, because the corners of "
            "a crop would betray the turn"
        )
    return Consistency(np.stack(rows), len(entries) - len(rows))
