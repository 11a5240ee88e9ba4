import math

import pytest
import torch
from torch import Tensor

from model.alignment import InputAlignment, theta_of_turn, warp
from model.config import SANetConfig
from model.polar import (
    FEATURE_DIM,
    NUM_HEADINGS,
    PolarHeading,
    correlate,
    peak_rad,
    polar_views,
    thumbnails,
)
from model.theta import turn_of

STEP_RAD = 2 * math.pi / NUM_HEADINGS


@pytest.fixture
def heading() -> PolarHeading:
    torch.manual_seed(0)
    network = PolarHeading().eval()
    with torch.no_grad():  # as if trained: the pattern is one that some picture has
        network.pattern.copy_(network.circle(polar_views(blobs(1, seed=7)))[0])
    return network


def blobs(num: int, *, seed: int, side: int = 64) -> Tensor:
    """Smooth pictures, of mean 0 at the border."""
    random = torch.Generator().manual_seed(seed)
    noise = torch.rand(num, 3, 8, 8, generator=random) * 2 - 1
    smooth = torch.nn.functional.interpolate(noise, size=side, mode="bicubic")
    x = (torch.arange(side) + 0.5) / side * 2 - 1
    return smooth * (1 - (x**2 + x[:, None] ** 2)).clamp_min(0)


def difference_deg(a: Tensor, b: Tensor) -> Tensor:
    return torch.rad2deg((a - b + math.pi) % (2 * math.pi) - math.pi)


def test_a_polar_view_reads_the_angles_counter_clockwise_from_the_right() -> None:
    image = torch.zeros(1, 3, 64, 64)
    image[:, 0, 30:34, 48:] = 1  # red on the right
    image[:, 1, :16, 30:34] = 1  # green on top
    view = polar_views(image)[0]
    num_angles = view.shape[2]
    assert view[0, -3, 0] == pytest.approx(1)
    assert view[1, -3, num_angles // 4] == pytest.approx(1)
    assert view[:2, -3, num_angles // 2].max() == 0
    assert view[3, :, 5].tolist() == sorted(view[3, :, 5].tolist())


def test_turning_the_content_shifts_the_angles() -> None:
    images = blobs(2, seed=1)
    turned = polar_views(images, torch.tensor([STEP_RAD, 2 * STEP_RAD]))
    plain = polar_views(images)
    steps = plain.shape[3] // NUM_HEADINGS
    assert torch.allclose(turned[0], plain[0].roll(steps, -1), atol=1e-4)
    assert torch.allclose(turned[1], plain[1].roll(2 * steps, -1), atol=1e-4)


def test_scale_and_shift_move_the_disc() -> None:
    image = torch.zeros(1, 3, 64, 64)
    image[:, :, 30:34, 44:48] = 1  # at x = 0.4375
    radius = (torch.arange(24) + 0.5) / 24
    near = polar_views(image)[0, 0, :, 0]
    assert radius[near.argmax()] == pytest.approx(0.4375, abs=0.05)
    smaller = polar_views(image, scale=torch.tensor([2.0]))[0, 0, :, 0]
    assert radius[smaller.argmax()] == pytest.approx(0.4375 / 2, abs=0.05)
    moved = polar_views(image, shift=torch.tensor([[-0.4, 0.0]]))[0, 0, :, 0]
    assert radius[moved.argmax()] == pytest.approx(0.8375, abs=0.05)


def test_features_turn_exactly_with_the_vehicle(heading: PolarHeading) -> None:
    images = blobs(3, seed=2)
    plain = heading.circle(polar_views(images))
    turned = heading.circle(polar_views(images, torch.full((3,), 5 * STEP_RAD)))
    assert plain.shape == (3, FEATURE_DIM, NUM_HEADINGS)
    assert torch.allclose(turned, plain.roll(5, -1), atol=1e-4)
    assert not torch.allclose(turned, plain, atol=1e-2)


def test_features_have_unit_length_and_no_mean_over_the_circle(heading: PolarHeading) -> None:
    circle = heading.circle(polar_views(blobs(3, seed=3)))
    assert torch.allclose(circle.square().sum((1, 2)), torch.ones(3), atol=1e-2)
    assert circle.mean(-1).abs().max() < 1e-6


@pytest.mark.parametrize("turn_deg", [10.0, 73.0, 180.0, -121.0])
def test_the_heading_turns_with_the_picture(heading: PolarHeading, turn_deg: float) -> None:
    images = blobs(16, seed=4, side=128)
    turn_rad = torch.full((16,), math.radians(turn_deg))
    turned = warp(images, theta_of_turn(turn_rad), "zeros")
    off = difference_deg(heading(turned), heading(images) + turn_rad).abs()
    assert off.median() < 1.5


def test_the_heading_does_not_depend_on_autocast(heading: PolarHeading) -> None:
    images = blobs(4, seed=5)
    with torch.autocast("cpu", torch.bfloat16):
        half = heading(images)
    assert difference_deg(half, heading(images)).abs().max() < 0.01  # float32, computed twice


def test_aligned_pictures_are_alike_however_they_were_turned(heading: PolarHeading) -> None:
    alignment = InputAlignment(SANetConfig(transform="rotation", aligned="input")).eval()
    alignment.heading = heading
    images = blobs(8, seed=6, side=128)
    turned = warp(images, theta_of_turn(torch.full((8,), math.radians(50))), "zeros")
    one, theta = alignment(images)
    other, turned_theta = alignment(turned)
    assert (one - other).abs().mean() < 0.2 * (images - turned).abs().mean()
    turns = [turn_of(a).rotation_deg - turn_of(b).rotation_deg for a, b in zip(theta, turned_theta, strict=True)]
    assert float(torch.tensor([(turn - 50 + 180) % 360 - 180 for turn in turns]).abs().median()) < 1.5


def test_the_aligned_view_shows_the_heading_upwards(heading: PolarHeading) -> None:
    alignment = InputAlignment(SANetConfig(transform="rotation", aligned="input")).eval()
    alignment.heading = heading
    images = blobs(8, seed=8, side=128)
    _, theta = alignment(images)
    upright = heading(warp(images, theta, "zeros"))  # all of it, not only the middle columns
    assert difference_deg(upright, torch.tensor(math.pi / 2)).abs().median() < 2


def test_the_learned_zero_turns_what_counts_as_up(heading: PolarHeading) -> None:
    images = blobs(4, seed=8)
    before = heading(images)
    with torch.no_grad():
        heading.zero_rad.fill_(0.5)
    assert torch.allclose(heading(images), before + 0.5)


def test_theta_of_turn_is_the_turn_that_theta_tells() -> None:
    thetas = theta_of_turn(torch.deg2rad(torch.tensor([30.0, -100.0])))
    assert [turn_of(theta).rotation_deg for theta in thetas] == pytest.approx([30, -100], abs=1e-4)


def test_correlation_is_the_naive_sum() -> None:
    random = torch.Generator().manual_seed(0)
    circle, patterns = torch.randn(2, 3, 8, generator=random), torch.randn(4, 3, 8, generator=random)
    expected = torch.stack(
        [torch.stack([torch.stack([(c * p.roll(k, -1)).sum() for k in range(8)]) for p in patterns]) for c in circle]
    )
    assert torch.allclose(correlate(circle, patterns), expected, atol=1e-5)


@pytest.mark.parametrize("peak", [0.0, 3.2, 7.9, 63.6])
def test_the_peak_is_found_between_the_steps(peak: float) -> None:
    off = (torch.arange(NUM_HEADINGS) - peak + NUM_HEADINGS / 2) % NUM_HEADINGS - NUM_HEADINGS / 2
    found = peak_rad(-(off[None].square())) / STEP_RAD
    assert float((found - peak + 1) % NUM_HEADINGS) == pytest.approx(1, abs=0.01)


def test_a_circle_without_any_peak_has_a_heading_all_the_same() -> None:
    assert peak_rad(torch.zeros(2, NUM_HEADINGS)).tolist() == [0, 0]


def test_thumbnails_average_and_never_enlarge() -> None:
    image = torch.arange(4.0).view(1, 1, 2, 2).repeat_interleave(64, 2).repeat_interleave(64, 3)
    assert thumbnails(image).shape == (1, 1, 64, 64)
    assert thumbnails(image)[0, 0, ::63, ::63].tolist() == [[0, 1], [2, 3]]
    assert thumbnails(image[..., :32, :32]).shape == (1, 1, 32, 32)
