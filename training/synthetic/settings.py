"""What the data set's pictures are drawn from: written into the manifest, together with its hash."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

Range = tuple[float, float]


@dataclass(frozen=True)
class Settings:
    """The generator's settings; their defaults are UAV-Synth, the first edition.

    Attributes:
        version: the edition: another one draws other pictures from the same numbers.
        altitude_m, depression_deg: of the camera, uniform.
        focal_px: of the lens, log-uniform; with the distance it gives a vehicle's size.
        long_side_px: limits of a crop's longer side.
        roll_spread_deg: standard deviation of the camera's roll.
        box_margin: mean of what a box leaves around the vehicle on each side, as a part of the vehicle's extent.
        box_spread: standard deviation of that.
        neighbour: how often a vehicle stands at each of the two sides; ahead and behind half as often.
        occluded: how often something hangs in front of the vehicle.
        cut_off: how often the frame's edge cuts off a part.
        jpeg_quality: of the files, uniform.
        split: the identities' shares in train, val and test, out of ten.
        surroundings: images show the whole circle around the crop, and the manifest has the crop's box: for turning
            frames first and cutting then.
    """

    version: int = 1
    altitude_m: Range = (15.0, 60.0)
    depression_deg: Range = (40.0, 80.0)
    focal_px: Range = (600.0, 2600.0)
    long_side_px: Range = (20.0, 200.0)
    roll_spread_deg: float = 2.0
    box_margin: float = 0.04
    box_spread: float = 0.05
    neighbour: float = 0.3
    occluded: float = 0.1
    cut_off: float = 0.03
    jpeg_quality: Range = (55.0, 96.0)
    split: tuple[int, int, int] = (5, 1, 4)
    surroundings: bool = False

    @property
    def edition(self) -> int:
        """Which vehicles, scenes and cameras are drawn: 1 is UAV-Synth, 2 is `TrainingSettings`."""
        return self.version

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return]

    @property
    def sha256(self) -> str:
        """Of the settings in canonical JSON."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """UAV-Synth 2, for training only: its vehicles differ in what real ones differ in, and half of them are plain.

    Images always show surroundings, a square around the vehicle's tight box, and have a mask of the vehicle.

    Attributes:
        steep_deg: the usual line of sight, below the horizon; `depression_deg` holds for the other views.
        steep: how often a view is a steep one.
        usual_side_px: the usual longer side of a box, log-uniform; `long_side_px` holds for the others.
        usual: how often a box has a usual size.
        reach: the image's side, as a multiple of the box's longer side.
        plain: the share of vehicles without anything striking.
        crowded: how often the vehicle stands between close neighbours, as in a full car park.
        wet: how often the ground is wet.
    """

    version: int = 2
    altitude_m: Range = (20.0, 140.0)
    depression_deg: Range = (30.0, 90.0)
    long_side_px: Range = (16.0, 180.0)
    roll_spread_deg: float = 3.0
    box_margin: float = 0.0
    box_spread: float = 0.0
    neighbour: float = 0.25
    occluded: float = 0.08
    cut_off: float = 0.0
    jpeg_quality: Range = (30.0, 95.0)
    split: tuple[int, int, int] = (10, 0, 0)
    surroundings: bool = True
    steep_deg: Range = (70.0, 90.0)
    steep: float = 0.6
    usual_side_px: Range = (24.0, 90.0)
    usual: float = 0.7
    reach: float = 1.6
    plain: float = 0.5
    crowded: float = 0.25
    wet: float = 0.08


EDITIONS: Final[dict[int, type[Settings]]] = {1: Settings, 2: TrainingSettings}
