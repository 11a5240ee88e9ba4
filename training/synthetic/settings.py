"""What the data set's pictures are drawn from: written into the manifest, together with its hash."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

Range = tuple[float, float]


@dataclass(frozen=True)
class Settings:
    """The generator's settings; their defaults are UAV-Synth.

    Attributes:
        version: of the generator's code: raised whenever it draws other pictures from the same settings.
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

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return]

    @property
    def sha256(self) -> str:
        """Of the settings in canonical JSON."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()
