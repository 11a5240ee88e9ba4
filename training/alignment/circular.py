"""Means and deviations of angles, which end where they began."""

import numpy as np
from numpy.typing import NDArray

Degrees = NDArray[np.floating]


def circular_mean_deg(angles_deg: Degrees, period_deg: float = 360.0) -> Degrees:
    """The direction of the mean of unit vectors, along the last axis; in ±period / 2.

    With a period of 180 an angle and its opposite are one: the angles are doubled, averaged, and halved again.
    """
    phases = np.exp(1j * np.asarray(angles_deg, np.float64) * (2 * np.pi / period_deg))
    mean: Degrees = np.angle(phases.mean(-1)) * (period_deg / (2 * np.pi))
    return mean


def residuals_deg(angles_deg: Degrees, period_deg: float = 360.0) -> Degrees:
    """How far each angle is from the circular mean along the last axis: 0 to period / 2, same shape.

    Angles spread evenly over the circle have a median of period / 4.
    """
    angles = np.asarray(angles_deg, np.float64)
    off = angles - circular_mean_deg(angles, period_deg)[..., None]
    residuals: Degrees = np.abs((off + period_deg / 2) % period_deg - period_deg / 2)
    return residuals
