import math

import pytest
import torch

from model.alignment import theta_of_turn, warp
from training.heading.upright import upright_turn_rad


def bars(num: int) -> torch.Tensor:
    """Bars that point up, alike left and right; the front has a dark window, the rear a small light."""
    image = torch.zeros(3, 64, 64)
    image[:, 8:56, 22:42] = 1.0
    image[:, 16:24, 24:40] = -1.0
    image[0, 52:56, 30:34] = 2.0
    return image.repeat(num, 1, 1, 1)


@pytest.mark.parametrize("off_deg", [0.0, 37.0, 90.0, 150.0, -64.0])
def test_the_long_axis_becomes_vertical_whatever_the_heading_calls_zero(off_deg: float) -> None:
    headings = torch.deg2rad(torch.tensor([10.0, 80.0, -130.0, 200.0]))
    images = warp(bars(4), theta_of_turn(headings - math.pi / 2), "zeros")  # now they point where the headings say
    turn_rad = upright_turn_rad(images, headings - math.radians(off_deg))
    off = (math.degrees(turn_rad) - off_deg + 90) % 180 - 90
    assert abs(off) <= 2.5
