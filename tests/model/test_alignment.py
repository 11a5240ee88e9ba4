import math
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model.alignment import (
    InputAlignment,
    SelfAlignment,
    identity_theta,
    kept_columns,
    theta_from_parameters,
    theta_of_turn,
    warp,
)
from model.config import ConfigError, Padding, SANetConfig, Transform
from tests.model import naive

ALIGNING: list[tuple[Transform, int]] = [("affine", 6), ("similarity", 4), ("rotation", 2)]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def random_theta(num: int) -> Tensor:
    return identity_theta(num) + 0.6 * noise(num, 2, 3, seed=9)


@pytest.mark.parametrize("padding", get_args(Padding))
def test_warp_samples_as_written_down(padding: Padding) -> None:
    images, theta = noise(4, 3, 7, 10), random_theta(4)
    expected = [
        naive.warp(image.double().numpy(), matrix.double().numpy(), padding)
        for image, matrix in zip(images, theta, strict=True)
    ]
    np.testing.assert_allclose(warp(images, theta, padding).numpy(), np.stack(expected), atol=1e-4)


@pytest.mark.parametrize("padding", get_args(Padding))
def test_the_identity_returns_the_map(padding: Padding) -> None:
    images = noise(2, 5, 16, 16)
    torch.testing.assert_close(warp(images, identity_theta(2), padding), images, atol=1e-5, rtol=0)


def test_a_shift_of_one_pixel_moves_the_map_and_pads_it() -> None:
    images = torch.arange(1.0, 5.0).repeat(1, 1, 4, 1)
    theta = torch.tensor([[[1.0, 0.0, 2 / 4], [0.0, 1.0, 0.0]]])  # output x reads input x + 1
    rows = {padding: warp(images, theta, padding)[0, 0, 0].tolist() for padding in get_args(Padding)}
    assert rows["zeros"] == pytest.approx([2, 3, 4, 0])
    assert rows["border"] == pytest.approx([2, 3, 4, 4])
    theta[0, 0, 2] = 4 / 4
    assert warp(images, theta, "reflection")[0, 0, 0].tolist() == pytest.approx([3, 4, 4, 3])


def test_autocast_does_not_coarsen_the_grid() -> None:
    images, theta = noise(2, 3, 16, 16), random_theta(2)
    expected = warp(images, theta, "zeros")
    with torch.autocast("cpu", torch.bfloat16):
        inside = warp(images, theta, "zeros")
        of_bf16 = warp(images.bfloat16(), theta, "zeros")
    # A grid in bfloat16 would be off by 0.01 pixels and more: by 0.01 in noise of deviation 1.
    torch.testing.assert_close(inside, expected, rtol=0, atol=1e-4)
    assert of_bf16.dtype == torch.bfloat16
    # Rounded to bfloat16 once: by 2^-8 at most.
    of_rounded = warp(images.bfloat16().float(), theta, "zeros")
    torch.testing.assert_close(of_bf16.float(), of_rounded, rtol=2**-8, atol=1e-4)


def test_theta_is_float32_under_autocast() -> None:
    module = SelfAlignment(8, "similarity", "zeros").eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        aligned, theta = module(noise(2, 8, 16, 16).bfloat16())
    assert theta.dtype == torch.float32
    assert aligned.dtype == torch.bfloat16


def test_affine_parameters_are_theta_row_by_row() -> None:
    theta = theta_from_parameters(torch.arange(12.0).view(2, 6), "affine")
    assert theta[1].tolist() == [[6, 7, 8], [9, 10, 11]]


def test_similarity_turns_scales_and_shifts() -> None:
    for scale, angle, x, y in np.random.default_rng(0).uniform([0.1, -4, -1, -1], [3, 4, 1, 1], (20, 4)).tolist():
        cos, sin = math.cos(angle), math.sin(angle)
        parameters = torch.tensor([[scale * cos, scale * sin, x, y]])
        expected = [[scale * cos, -scale * sin, x], [scale * sin, scale * cos, y]]
        np.testing.assert_allclose(theta_from_parameters(parameters, "similarity")[0], expected, rtol=1e-5, atol=1e-6)


def test_rotation_turns_alone() -> None:
    parameters = noise(50, 2) * torch.logspace(-4, 4, 50)[:, None]
    theta = theta_from_parameters(parameters, "rotation")
    angle = torch.atan2(parameters[:, 1], parameters[:, 0])
    assert torch.equal(theta[:, :, 2], torch.zeros(50, 2))
    torch.testing.assert_close(theta[:, 0, :2], torch.stack([angle.cos(), -angle.sin()], dim=1))
    torch.testing.assert_close(theta[:, 1, :2], torch.stack([angle.sin(), angle.cos()], dim=1))


def test_vanished_rotation_parameters_keep_finite_gradients() -> None:
    parameters = torch.zeros(1, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(theta_from_parameters(parameters, "rotation").sum(), parameters)
    assert gradient.isfinite().all()


def test_none_has_no_theta() -> None:
    with pytest.raises(ValueError, match="'none' has no theta"):
        theta_from_parameters(torch.zeros(1, 2), "none")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("transform", "num_parameters"), ALIGNING)
def test_theta_is_float32_whatever_the_parameters(
    transform: Transform, num_parameters: int, dtype: torch.dtype
) -> None:
    parameters = noise(3, num_parameters).to(dtype)
    theta = theta_from_parameters(parameters, transform)
    assert theta.dtype == torch.float32
    torch.testing.assert_close(theta, theta_from_parameters(parameters.float(), transform))


@pytest.mark.parametrize(("transform", "num_parameters"), ALIGNING)
def test_an_untrained_module_gives_the_identity_and_can_learn(transform: Transform, num_parameters: int) -> None:
    module = SelfAlignment(8, transform, "zeros")
    features = noise(4, 8, 16, 16)
    aligned, theta = module(features)
    assert torch.equal(theta, identity_theta(4))
    torch.testing.assert_close(aligned, features, atol=1e-4, rtol=0)
    (aligned * noise(4, 8, 16, 16, seed=1)).sum().backward()
    last = module.localization[-1]
    assert isinstance(last, nn.Linear)
    assert last.bias.shape == (num_parameters,)
    assert last.bias.grad is not None
    assert last.weight.grad is not None
    assert last.weight.grad.abs().max() > 0
    assert last.bias.grad.abs().max() > 0


@pytest.mark.parametrize("padding", get_args(Padding))
@pytest.mark.parametrize(("transform", "num_parameters"), ALIGNING)
def test_the_module_warps_by_its_own_theta_and_padding(
    transform: Transform, num_parameters: int, padding: Padding
) -> None:
    module = SelfAlignment(8, transform, padding).eval()
    last = module.localization[-1]
    assert isinstance(last, nn.Linear)
    assert last.out_features == num_parameters
    nn.init.normal_(last.weight, std=0.5, generator=torch.Generator().manual_seed(3))
    features = noise(2, 8, 16, 16)
    with torch.no_grad():
        aligned, theta = module(features)
        expected_theta = theta_from_parameters(module.localization(features), transform)
    torch.testing.assert_close(theta, expected_theta, rtol=1e-5, atol=1e-5)  # float32, computed twice
    assert (theta - identity_theta(2)).abs().max() > 0.05
    expected = naive.warp(features[1].double().numpy(), theta[1].double().numpy(), padding)
    np.testing.assert_allclose(aligned[1].numpy(), expected, atol=1e-4)


def test_the_localization_net_is_two_convolutions_and_two_linear_layers() -> None:
    module = SelfAlignment(1024, "affine", "zeros")
    layers = [layer for layer in module.localization if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert [tuple(layer.weight.shape) for layer in layers] == [
        (128, 1024, 3, 3),
        (64, 128, 3, 3),
        (64, 1024),
        (6, 64),
    ]


def test_identity_theta_is_one_per_image() -> None:
    assert identity_theta(2).tolist() == [[[1, 0, 0], [0, 1, 0]]] * 2
    assert identity_theta(0).shape == (0, 2, 3)


def input_config(num_columns: int = 0, padding: Padding = "zeros") -> SANetConfig:
    return SANetConfig(transform="rotation", aligned="input", num_columns=num_columns, padding=padding)


@pytest.mark.parametrize(("side", "width"), [(32, 16), (48, 32), (64, 48), (96, 64), (128, 80), (224, 144), (256, 176)])
def test_two_thirds_of_an_aligned_inputs_columns_are_kept_in_whole_cells(side: int, width: int) -> None:
    assert kept_columns(input_config(), side) == width
    assert abs(width - side * 2 / 3) <= 8
    assert (side - width) % 2 == 0  # so that they are the middle ones


@pytest.mark.parametrize("num_columns", [1, 4, 5, 6, 8])
def test_so_many_cells_of_16_pixels_are_kept_as_the_config_says(num_columns: int) -> None:
    for side in (128, 144, 256):
        assert kept_columns(input_config(num_columns), side) == 16 * num_columns


@pytest.mark.parametrize(("num_columns", "side"), [(9, 128), (17, 256), (3, 32)])
def test_no_more_columns_are_kept_than_there_are(num_columns: int, side: int) -> None:
    with pytest.raises(ConfigError, match=rf"num_columns must be at most {side // 16} .* {side} .* got {num_columns}"):
        kept_columns(input_config(num_columns), side)


@pytest.mark.parametrize("padding", get_args(Padding))
def test_an_aligned_input_is_the_middle_of_the_image_turned_until_its_heading_is_up(padding: Padding) -> None:
    module = InputAlignment(input_config(padding=padding)).eval()
    images = noise(3, 3, 32, 32)
    aligned, theta = module(images)
    with torch.no_grad():
        turns = math.pi / 2 - module.heading(images)
    assert turns.abs().min() > 0.01
    torch.testing.assert_close(theta, theta_of_turn(turns), rtol=0, atol=1e-4)  # float32, computed twice
    assert not theta.requires_grad
    expected = naive.warp(images[1].double().numpy(), theta[1].double().numpy(), padding)[:, :, 8:24]
    np.testing.assert_allclose(aligned[1].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize(("num_columns", "kept"), [(1, slice(24, 40)), (2, slice(16, 48)), (4, slice(0, 64))])
def test_the_kept_columns_are_the_middle_ones(num_columns: int, kept: slice) -> None:
    module = InputAlignment(input_config(num_columns)).eval()
    images = noise(2, 3, 64, 64)
    aligned, theta = module(images)
    torch.testing.assert_close(aligned, warp(images, theta, "zeros")[..., kept], rtol=0, atol=1e-4)


def test_an_input_is_aligned_in_float32_under_autocast() -> None:
    module, images = InputAlignment(input_config()).eval(), noise(2, 3, 64, 64)
    expected, theta = module(images)
    with torch.autocast("cpu", torch.bfloat16):
        aligned, inside = module(images)
    # bfloat16 would be off by up to 2^-8 of what it rounds.
    torch.testing.assert_close(inside, theta, rtol=0, atol=1e-4)
    torch.testing.assert_close(aligned, expected, rtol=0, atol=1e-3)
