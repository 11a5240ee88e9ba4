"""What a theta says in a person's words: how far it turns the content, and whether it mirrors it."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Turn(NamedTuple):
    """How the content moves from the input to the aligned view.

    Attributes:
        rotation_deg: counter-clockwise turn in degrees, in (-180, 180].
        mirrored: whether the content is also flipped: left and right first, then turned by `rotation_deg`.
    """

    rotation_deg: float
    mirrored: bool


def turn_of(theta: ArrayLike) -> Turn:
    """The turn in theta (2, 3): the orthogonal polar factor of the inverse of its linear part.

    Theta maps output to input coordinates (y pointing down), so the content moves by the inverse. Of a 2 x 2 matrix B
    with det B > 0 the nearest rotation has the angle atan2(b21 - b12, b11 + b22) (Higham 1986); scale and shear
    do not change it. A singular theta squeezes the image onto a line: it turns by the limit's angle, 0 if it is blank.
    """
    (a, b, _), (c, d, _) = np.asarray(theta, dtype=np.float64).tolist()
    determinant = a * d - b * c
    sign = -1.0 if determinant < 0 else 1.0
    # The inverse up to a positive factor, which has no angle.
    b11, b12, b21, b22 = sign * d, -sign * b, -sign * c, sign * a
    if determinant < 0:
        b11, b21 = -b11, -b21  # take the left-right flip, which came first, out again
    clockwise = math.degrees(math.atan2(b21 - b12, b11 + b22))
    rotation_deg = -clockwise + 0.0  # + 0.0: never "-0.0"
    return Turn(180.0 if rotation_deg <= -180.0 else rotation_deg, determinant < 0)
