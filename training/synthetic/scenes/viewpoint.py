"""The drone's camera: metres to pixels, pixels to rays, and a vehicle's heading in the picture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Viewpoint:
    """A camera that looks at `target`, its horizon level but for the roll.

    Attributes:
        altitude_m: above the ground.
        depression_deg: of the line of sight below the horizon; 90 looks straight down.
        azimuth_deg: the direction of view over the ground, counter-clockwise from the x axis.
        roll_deg: by how much the camera is turned; the picture's content turns counter-clockwise by as much.
        scale_px_per_m: of the picture, at the target.
        target: (3,) metres; lies in the picture's middle.
    """

    altitude_m: float
    depression_deg: float
    azimuth_deg: float
    roll_deg: float
    scale_px_per_m: float
    target: tuple[float, float, float]

    @property
    def axes(self) -> Array:
        """(3, 3): the picture's right, its up, and the way forward, in the world."""
        down, turn, roll = np.deg2rad([self.depression_deg, self.azimuth_deg, self.roll_deg])
        forward = np.array([np.cos(down) * np.cos(turn), np.cos(down) * np.sin(turn), -np.sin(down)])
        right = np.array([np.sin(turn), -np.cos(turn), 0.0])
        up = np.cross(right, forward)
        cos, sin = np.cos(roll), np.sin(roll)
        return np.stack([cos * right - sin * up, sin * right + cos * up, forward])

    @property
    def distance_m(self) -> float:
        """From the camera to the target."""
        return float((self.altitude_m - self.target[2]) / np.sin(np.deg2rad(self.depression_deg)))

    @property
    def position(self) -> Array:
        """The camera, in metres."""
        position: Array = np.array(self.target) - self.distance_m * self.axes[2]
        return position

    def project(self, points: Array) -> Array:
        """(N, 3) metres → (N, 2) pixels to the right of the picture's middle and below it."""
        seen = (np.asarray(points, np.float64) - self.position) @ self.axes.T
        focal = self.scale_px_per_m * self.distance_m
        pixels: Array = np.stack([seen[:, 0], -seen[:, 1]], 1) * (focal / seen[:, 2:3])
        return pixels

    def rays(self, columns: Array, rows: Array) -> Array:
        """Unit directions (..., 3), float32, through pixels counted as in `project`."""
        focal = self.scale_px_per_m * self.distance_m
        right, up, forward = (axis.astype(np.float32) for axis in self.axes)
        across, down = (np.asarray(value, np.float32)[..., None] / np.float32(focal) for value in (columns, rows))
        rays = forward + across * right - down * up
        unit: Array = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
        return unit

    def heading_deg(self, place: tuple[float, float], turn_deg: float, length: float) -> float:
        """The rear→front axis of a vehicle as the picture shows it.

        Args:
            place: the vehicle's middle on the ground.
            turn_deg: its heading on the ground, counter-clockwise from the x axis.
            length: in metres.

        Returns:
            Degrees counter-clockwise from the picture's right, in (−180, 180].
        """
        turn = np.deg2rad(turn_deg)
        half = length / 2 * np.array([np.cos(turn), np.sin(turn), 0])
        middle = np.array([*place, self.target[2]])
        (x0, y0), (x1, y1) = self.project(np.stack([middle - half, middle + half]))
        return wrapped_deg(float(np.rad2deg(np.arctan2(y0 - y1, x1 - x0))))


def azimuth_for(heading_deg: float, depression_deg: float) -> float:
    """The direction of view that shows a vehicle, which points along x, at this heading (far away: orthographic)."""
    heading, down = np.deg2rad([heading_deg, depression_deg])
    # To the right the picture shows sin(azimuth) of it, upwards cos(azimuth) sin(depression).
    return float(np.rad2deg(np.arctan2(np.cos(heading) * np.sin(down), np.sin(heading))))


def wrapped_deg(angle: float) -> float:
    """The same angle in (−180, 180]."""
    wrapped = 180.0 - (180.0 - angle) % 360.0
    return 180.0 if wrapped <= -180.0 else wrapped  # a remainder can be rounded up to 360
