import itertools
import math
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.alignment import kept_columns
from model.build import build_network
from model.config import SANetConfig
from model.normalization import IMAGENET_MEAN, IMAGENET_STD, Normalization
from model.preprocessing import Preprocessing
from tests.model import naive
from training.augmentation import Augmenter, Drawn, draw
from training.heading.teaching import heading_of
from training.recipe import Recipe

Array = NDArray[np.float64]

SIDE = 9
FILL = IMAGENET_MEAN
LUMA = np.array([0.299, 0.587, 0.114])
YIQ = np.array([LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
FLIP = [[-1, 0, 0], [0, 1, 0]]


def images_of(num: int, seed: int = 0, side: int = SIDE, channels: int = 3) -> Tensor:
    values = np.random.default_rng(seed).integers(0, 256, (num, channels, side, side), np.uint8)
    return torch.from_numpy(values).contiguous(memory_format=torch.channels_last)


def nothing(num: int, **drawn: Any) -> Drawn:
    """No change to any of the images but for what is given, per image or the same for all."""
    none: dict[str, Any] = {
        "theta": np.eye(2, 3), "brightness": 1, "contrast": 1, "saturation": 1, "hue": 0, "cast": (0, 0, 0),
        "coarseness": 1, "noise": 0, "noise_at": (0, 0), "background": False, "erased": (0, 0, 0, 0), "style_share": 0,
        "channel_scale": (),
    }  # fmt: skip
    kinds = {"coarseness": np.int64, "noise_at": np.int64, "background": np.bool_}
    shapes = {
        "theta": (num, 2, 3), "cast": (num, 3), "noise_at": (num, 2), "erased": (num, 4), "channel_scale": (num, 0)
    }  # fmt: skip
    return Drawn(
        **{
            name: torch.from_numpy(
                np.broadcast_to(np.array(value, kinds.get(name, np.float32)), shapes.get(name, (num,))).copy()
            )
            for name, value in (none | drawn).items()
        }
    )


def recipe_of(drawn: Drawn) -> Recipe:
    """One that does what was drawn."""
    return Recipe(
        flip_p=float((drawn.theta != torch.eye(2, 3)).any()),
        blur_p=float((drawn.coarseness > 1).any()),
        noise=float(drawn.noise.max()),
        background_p=float(drawn.background.any()),
    )


def in_colours(normalized: Tensor) -> Tensor:
    """What a network would have to be given to see it: 0 is the mean colour."""
    return normalized * torch.tensor(IMAGENET_STD).view(3, 1, 1) + torch.tensor(IMAGENET_MEAN).view(3, 1, 1)


def augment(images: Tensor, drawn: Drawn, recipe: Recipe | None = None) -> Tensor:
    """The augmented images (N, 3, S, S) as colours in 0..1."""
    side = images.shape[-1]
    return in_colours(Augmenter(recipe or recipe_of(drawn), Normalization(), side)(images, drawn, None))


def naive_pixel(pixel: Array, mean_luma: float, factors: list[float], cast: Array) -> Array:
    """Brightness, contrast around the mean luma, saturation, hue, cast, clip; the mean is that of the given image."""
    brightness, contrast, saturation, hue = factors
    bright = pixel * brightness
    middle = mean_luma * brightness
    contrasted = middle + contrast * (bright - middle)
    grey = LUMA @ contrasted
    saturated = grey + saturation * (contrasted - grey)
    y, i, q = YIQ @ saturated
    cos, sin = math.cos(2 * math.pi * hue), math.sin(2 * math.pi * hue)
    turned: Array = np.linalg.inv(YIQ) @ np.array([y, cos * i - sin * q, sin * i + cos * q])
    return np.minimum(np.maximum(turned + cast, 0), 1)


def naive_coarse(image: Array, side: int) -> Array:
    """Squares of pixels averaged, and in between them straight lines; beyond the outer ones they stay as they are."""
    _, height, width = image.shape
    coarse = image.reshape(3, height // side, side, width // side, side).mean(axis=(2, 4))
    centres = [np.clip((np.arange(size) + 0.5) / side - 0.5, 0, size / side - 1) for size in (height, width)]
    spread = np.zeros_like(image)
    for row, y in enumerate(centres[0]):
        for column, x in enumerate(centres[1]):
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height // side - 1), min(left + 1, width // side - 1)
            upper = coarse[:, top, left] * (1 - x + left) + coarse[:, top, right] * (x - left)
            lower = coarse[:, bottom, left] * (1 - x + left) + coarse[:, bottom, right] * (x - left)
            spread[:, row, column] = upper * (1 - y + top) + lower * (y - top)
    return spread


def naive_augment(images: Tensor, drawn: Drawn, sensor_noise: Array, headings_rad: Array | None, width: int) -> Array:
    """One image after the other: colours, loss of detail, noise, alignment and warp, background, erasing."""
    num, side = len(images), images.shape[-1]
    source = images.numpy().astype(np.float64) / 255
    mean, std = (np.array(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    given = {name: values.numpy() for name, values in drawn._asdict().items()}
    left = (side - width) // 2
    warped, vehicles = np.zeros((num, 3, side, width)), np.zeros((num, 1, side, width))
    for number, image in enumerate(source[:, :3]):
        mean_luma = float(np.mean([LUMA @ image[:, row, column] for row in range(side) for column in range(side)]))
        factors = [float(given[name][number]) for name in ("brightness", "contrast", "saturation", "hue")]
        x = np.zeros_like(image)
        for row in range(side):
            for column in range(side):
                cast = given["cast"][number].astype(np.float64)
                x[:, row, column] = naive_pixel(image[:, row, column], mean_luma, factors, cast)
        if given["coarseness"][number] > 1:
            x = naive_coarse(x, int(given["coarseness"][number]))
        for row in range(side):
            for column in range(side):
                at_row, at_column = (given["noise_at"][number] + (row, column)) % sensor_noise.shape[1]
                x[:, row, column] += given["noise"][number] * sensor_noise[:, at_row, at_column]
        theta = np.vstack([given["theta"][number].astype(np.float64), [0, 0, 1]])
        if headings_rad is not None:
            turn = math.pi / 2 - headings_rad[number]
            cos, sin = math.cos(turn), math.sin(turn)
            theta = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ theta
        columns = slice(left, left + width)
        warped[number] = naive.warp((x - mean) / std, theta[:2], "zeros")[:, :, columns]
        if source.shape[1] == 4:
            vehicles[number] = naive.warp(source[number, 3:], theta[:2], "zeros")[:, :, columns]
    result = warped.copy()
    for number in range(num):
        if given["background"][number]:
            vehicle = vehicles[number]
            result[number] = vehicle * warped[number] + (1 - vehicle) * warped[(number + 1) % num]
        x0, y0, x1, y1 = given["erased"][number]
        for row in range(side):
            for column in range(width):
                if x0 <= (column + 0.5) / width < x1 and y0 <= (row + 0.5) / side < y1:
                    result[number, :, row, column] = 0
    return result


def check(
    images: Tensor,
    drawn: Drawn,
    atol: float = 2e-6,
    *,
    recipe: Recipe | None = None,
    headings_rad: Tensor | None = None,
    width: int | None = None,
) -> Tensor:
    """The images are augmented as one would do it by hand; they come as colours."""
    width = width or images.shape[-1]
    augmenter = Augmenter(recipe or recipe_of(drawn), Normalization(), width)
    result: Tensor = augmenter(images, drawn, headings_rad)
    assert result.dtype == torch.float32
    noise = augmenter.sensor_noise.double().numpy()
    headings = None if headings_rad is None else headings_rad.double().numpy()
    expected = naive_augment(images, drawn, noise, headings, width)
    # In the units of normalised images colours are four to five times as far apart.
    np.testing.assert_allclose(result.numpy(), expected, atol=5 * atol)
    return in_colours(result)


def test_nothing_drawn_changes_nothing() -> None:
    images = images_of(5)
    result = augment(images, nothing(5))
    np.testing.assert_allclose(result.numpy(), images.numpy() / 255, rtol=0, atol=5e-7)
    assert torch.equal((result * 255).round().to(torch.uint8), images)


@pytest.mark.parametrize(
    "drawn",
    [
        {"brightness": [0.6, 1.0, 1.4]},
        {"contrast": [0.3, 1.0, 1.7]},
        {"saturation": [0.0, 1.0, 1.9]},
        {"hue": [-0.3, 0.0, 0.1]},
        {"hue": [0.5, 0.25, 0.75]},
        {
            "brightness": [0.7, 1.3, 1.0],
            "contrast": [0.5, 1.5, 0.0],
            "saturation": [1.5, 0.5, 1.0],
            "hue": [0.1, 0, -0.2],
        },
        {"cast": [(0.1, 0, -0.2), (0, 0, 0), (0.3, 0.3, 0.3)]},
        {"cast": [(0.1, 0, -0.2), (0, 0.5, 0), (0, 0, 0)], "contrast": [0.5, 1.5, 1.0], "saturation": [2.0, 0.5, 1.0]},
        {"noise": [0.1, 0.0, 0.3], "noise_at": [(0, 0), (3, 4), (517, 100)]},
    ],
    ids=lambda drawn: "-".join(drawn),
)
def test_an_operation_is_that_of_a_pixel_by_hand(drawn: dict[str, list[Any]]) -> None:
    images = images_of(3)
    result = check(images, nothing(3, **drawn))
    none = nothing(1)._asdict()
    decides = {name: values for name, values in drawn.items() if name != "noise_at"}
    unchanged = [
        all(torch.equal(torch.tensor(values[n]), none[name][0]) for name, values in decides.items()) for n in range(3)
    ]
    difference = (result - images / 255).abs().amax(dim=(1, 2, 3))
    assert ((difference < 1e-6) == torch.tensor(unchanged)).all()


ALL = Recipe(
    flip_p=0.5, turn_deg=180.0, half_turn_p=0.3, scale=0.4, shift=0.2, jitter_p=0.8, brightness=0.5, contrast=0.6,
    saturation=0.7, hue=0.3, cast=0.1, grey_p=0.2, blur_p=0.6, noise=0.1, background_p=0.5, erasing_p=0.5,
)  # fmt: skip


@pytest.mark.parametrize("seed", range(2))
def test_drawn_together_they_follow_the_documented_order(seed: int) -> None:
    plain = Recipe(jitter_p=0.8, erasing_p=0.5, brightness=0.5, contrast=0.6, saturation=0.7, hue=0.3, cast=0.1)
    check(images_of(12, seed), draw(plain, 12, np.random.default_rng(seed)), recipe=plain)
    images = images_of(10, seed, 8, channels=4)
    drawn = draw(ALL, 10, np.random.default_rng(seed))
    assert drawn.background.any()
    assert set(drawn.coarseness.tolist()) == {1, 2, 4}
    check(images, drawn, TURNED, recipe=ALL)


# Positions are float32 in the grid: a difference of neighbours times 1e-6 of a pixel.
TURNED = 2e-5


@pytest.mark.parametrize(
    "drawn",
    [{}, {"contrast": 0.3, "brightness": 1.2}, {"hue": 0.2, "erased": (0.3, 0.1, 0.7, 0.5)}],
    ids=lambda drawn: "-".join(drawn) or "alone",
)
def test_a_turn_reads_the_positions_that_theta_names_and_the_fill_outside(drawn: dict[str, Any]) -> None:
    theta = np.random.default_rng(4).normal(np.eye(2, 3), 0.5, (4, 2, 3))
    theta[3] = np.eye(2, 3)
    images = images_of(4)
    result = check(images, nothing(4, theta=theta, **drawn), TURNED)
    unturned = augment(images, nothing(4, **drawn))
    difference = (result - unturned).abs().amax(dim=(1, 2, 3))
    assert (difference[:3] > 0.1).all()
    assert difference[3] < TURNED


def test_a_quarter_turn_is_that_of_the_array_counter_clockwise() -> None:
    images = images_of(1)
    result = augment(images, nothing(1, theta=[[0, -1, 0], [1, 0, 0]]))
    np.testing.assert_allclose(result.numpy(), np.rot90(images.numpy(), axes=(2, 3)) / 255, atol=TURNED)


def test_what_a_shift_brings_in_is_the_fill() -> None:
    images = images_of(1)
    result = augment(images, nothing(1, theta=[[1, 0, 4 / SIDE], [0, 1, 0]]))  # by two pixels
    np.testing.assert_allclose(result[..., :-2].numpy(), images[..., 2:].numpy() / 255, atol=TURNED)
    fill = torch.tensor(FILL).view(1, 3, 1, 1).expand(1, 3, SIDE, 2)
    np.testing.assert_allclose(result[..., -2:].numpy(), fill.numpy(), atol=TURNED)


def test_a_flip_swaps_left_and_right_and_only_that() -> None:
    images = images_of(2)
    result = augment(images, nothing(2, theta=[FLIP, np.eye(2, 3)]))
    assert torch.equal((result[0] * 255).round().to(torch.uint8), images[0].flip(2))
    assert torch.equal((result[1] * 255).round().to(torch.uint8), images[1])


def test_contrast_0_leaves_the_mean_luma() -> None:
    images = images_of(2)
    result = augment(images, nothing(2, contrast=0))
    means = images.double().mean(dim=(2, 3)).numpy() @ LUMA / 255
    np.testing.assert_allclose(result.numpy(), np.broadcast_to(means[:, None, None, None], result.shape), atol=1e-6)


def test_saturation_0_leaves_the_luma() -> None:
    images = images_of(2)
    result = augment(images, nothing(2, saturation=0))
    luma = np.einsum("c,nchw->nhw", LUMA, images.double().numpy() / 255)
    np.testing.assert_allclose(result.numpy(), np.repeat(luma[:, None], 3, axis=1), atol=1e-6)


def test_a_full_turn_of_the_hue_changes_nothing() -> None:
    images = images_of(3)
    result = augment(images, nothing(3, hue=[1, -1, 2]))
    np.testing.assert_allclose(result.numpy(), images.numpy() / 255, atol=2e-6)


@pytest.mark.parametrize("drawn", [{"hue": [0.1, 0.37, -0.2]}, {"saturation": [0.2, 1.5, 2.0]}])
def test_greys_stay_as_they_are(drawn: dict[str, list[float]]) -> None:
    greys = images_of(3)[:, :1].expand(3, 3, SIDE, SIDE)
    result = augment(greys, nothing(3, **drawn))
    np.testing.assert_allclose(result.numpy(), greys.numpy() / 255, atol=1e-6)


def test_brightness_and_contrast_keep_greys_grey() -> None:
    greys = images_of(2)[:, :1].expand(2, 3, SIDE, SIDE)
    result = augment(greys, nothing(2, brightness=[0.7, 1.2], contrast=[1.4, 0.5], hue=0.2))
    np.testing.assert_allclose(result.numpy(), result[:, :1].expand_as(result).numpy(), atol=1e-6)


def test_a_turn_of_the_hue_keeps_the_luma() -> None:
    muted = (images_of(1) // 8 + 112).contiguous(memory_format=torch.channels_last)  # nothing is clipped
    turned = augment(muted, nothing(1, hue=0.2))
    luma = np.einsum("c,nchw->nhw", LUMA, muted.double().numpy() / 255)
    np.testing.assert_allclose(np.einsum("c,nchw->nhw", LUMA, turned.numpy()), luma, atol=1e-6)
    assert (turned - muted / 255).abs().max() > 0.02


def test_colours_are_clipped_once_at_the_end() -> None:
    """Twice as bright and half as much contrast: what was clipped in between could not come back."""
    images = images_of(1)
    result = check(images, nothing(1, brightness=2, contrast=0.1))
    assert result.min() > 0
    bright = check(images, nothing(1, brightness=3, saturation=2))
    assert (bright.min().item(), bright.max().item()) == (0, 1)


@pytest.mark.parametrize(
    ("rectangle", "rows", "columns"),
    [
        ((0, 0, 1, 1), range(SIDE), range(SIDE)),
        ((0, 0, 0.5, 1), range(SIDE), range(4)),  # the middle column's centre lies on the right edge
        ((0.5, 0, 1, 1), range(SIDE), range(4, SIDE)),  # and here on the left one
        ((0.2, 0.4, 0.9, 0.6), range(4, 5), range(2, 8)),
        ((0.46, 0.46, 0.54, 0.54), range(4, 5), range(4, 5)),
        ((0.06, 0.06, 0.16, 0.9), range(0), range(0)),  # between two columns' centres
        ((0, 0, 0, 0), range(0), range(0)),
    ],
)
def test_the_erased_pixels_are_those_with_their_centre_inside(
    rectangle: tuple[float, ...], rows: range, columns: range
) -> None:
    images = images_of(2)
    result = augment(images, nothing(2, erased=[rectangle, (0, 0, 0, 0)]))
    is_fill = (result == torch.tensor(FILL).view(1, 3, 1, 1)).all(dim=1)
    expected = [[row in rows and column in columns for column in range(SIDE)] for row in range(SIDE)]
    assert is_fill[0].tolist() == expected
    assert not is_fill[1].any()
    kept = ~is_fill[0]
    assert torch.equal((result[0] * 255).round().to(torch.uint8)[:, kept], images[0][:, kept])


def test_what_is_erased_has_the_fills_colour_whatever_the_jitter() -> None:
    drawn = nothing(1, brightness=0.5, hue=0.3, contrast=0.5, cast=0.2, noise=0.3, erased=(0, 0, 1, 1))
    normalization = Normalization((0.1, 0.9, 0.4), (0.2, 0.3, 0.4))
    result = Augmenter(recipe_of(drawn), normalization, SIDE)(images_of(1), drawn, None)
    assert torch.equal(result, torch.zeros_like(result))  # what the network sees of the mean colour


def test_a_part_of_a_batch_is_augmented_as_within_it() -> None:
    recipe = replace(ALL, background_p=0.0)
    images, drawn = images_of(12, side=8), draw(recipe, 12, np.random.default_rng(1))
    whole = augment(images, drawn, recipe)
    for chosen in (slice(0, 4), slice(4, 12), slice(7, 8)):
        part = drawn.part(chosen)
        assert all(torch.equal(one, values[chosen]) for one, values in zip(part, drawn, strict=True))
        torch.testing.assert_close(augment(images[chosen], part, recipe), whole[chosen], rtol=0, atol=2e-6)


@pytest.mark.parametrize("num", [1, 3])
def test_any_number_of_images_is_augmented(num: int) -> None:
    check(images_of(num, side=8, channels=4), draw(ALL, num, np.random.default_rng(2)), TURNED, recipe=ALL)


def test_channels_last_stays_and_the_input_too() -> None:
    images = images_of(6)
    before = images.clone()
    plain = Recipe(jitter_p=0.8, erasing_p=0.8)
    for seed, recipe in itertools.product(range(3), (plain, replace(plain, turn_deg=30.0))):
        drawn = draw(recipe, 6, np.random.default_rng(seed))
        copy = deepcopy(drawn)
        result = augment(images, drawn, recipe)
        assert result.is_contiguous(memory_format=torch.channels_last)
        assert not result.is_contiguous()
        assert all(torch.equal(old, new) for old, new in zip(copy, drawn, strict=True))
    assert torch.equal(images, before)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_what_a_recipe_never_asks_for_is_left_out() -> None:
    images = images_of(2, side=8, channels=4)
    drawn = nothing(2, coarseness=[2, 4], noise=0.3, background=True, theta=FLIP)
    np.testing.assert_allclose(augment(images, drawn, Recipe()).numpy(), images[:, :3].numpy() / 255, atol=5e-7)


# --- loss of detail and noise


@pytest.mark.parametrize("coarseness", [2, 4])
def test_a_coarse_image_is_that_of_its_pixels_by_hand(coarseness: int) -> None:
    images = images_of(3, side=8)
    result = check(images, nothing(3, coarseness=[coarseness, 1, coarseness]))
    assert (result[0] - images[0] / 255).abs().max() > 0.1
    np.testing.assert_allclose(result[1].numpy(), images[1].numpy() / 255, atol=1e-6)
    means = torch.nn.functional.avg_pool2d(images[0] / 255, coarseness).mean()
    # Bilinear from the squares' means: the whole keeps its mean but for the rim.
    assert result[0].mean() == pytest.approx(float(means), abs=0.05)


def test_noise_has_the_deviation_that_was_drawn_and_differs_from_image_to_image() -> None:
    images = torch.full((3, 3, 64, 64), 128, dtype=torch.uint8)
    drawn = nothing(3, noise=[0.02, 0.1, 0.1], noise_at=[(0, 0), (100, 200), (300, 400)])
    result = augment(images, drawn) - 128 / 255
    assert result.mean().abs() < 0.005
    assert result.std(dim=(1, 2, 3)).tolist() == pytest.approx([0.02, 0.1, 0.1], rel=0.05)
    assert np.abs(np.corrcoef(result.flatten(1)) - np.eye(3)).max() < 0.05
    again = augment(images, drawn) - 128 / 255
    assert torch.equal(result, again)


def test_noise_is_the_same_in_every_process_and_run() -> None:
    first, second = (Augmenter(Recipe(), Normalization(), 9).sensor_noise for _ in range(2))
    assert torch.equal(first, second)


# --- the vehicle's mask


def test_only_what_is_no_vehicle_comes_from_the_next_image() -> None:
    images = images_of(3, side=8, channels=4)
    images[:, 3] = 0
    images[:, 3, 2:6, 3:7] = 255
    result = augment(images, nothing(3, background=[True, False, True]))
    expected = images[:, :3].float() / 255
    outside = torch.ones(8, 8, dtype=torch.bool)
    outside[2:6, 3:7] = False
    for number, other in ((0, 1), (2, 0)):
        expected[number][:, outside] = images[other, :3].float()[:, outside] / 255
    np.testing.assert_allclose(result.numpy(), expected.numpy(), atol=5e-7)


def test_a_mask_that_is_everywhere_keeps_its_background() -> None:
    images = images_of(4, side=8, channels=4)
    images[:, 3] = 255
    result = augment(images, nothing(4, background=True))
    np.testing.assert_allclose(result.numpy(), images[:, :3].numpy() / 255, atol=5e-7)


def test_a_mask_is_warped_with_its_image() -> None:
    images = images_of(3, side=8, channels=4)
    images[:, 3] = 0
    images[:, 3, 2:6, 3:7] = 255
    check(images, nothing(3, background=True, theta=[[0.8, -0.6, 0.1], [0.6, 0.8, -0.2]]), TURNED)


# --- the alignment


ALIGNED = Recipe(transform="rotation", aligned="input", padding="zeros", jitter_p=0.0, erasing_p=0.0)


@pytest.mark.parametrize("width", [8, 4])
def test_alignment_and_augmentation_are_one_warp(width: int) -> None:
    headings = torch.tensor([0.3, 2.0, -1.2, math.pi / 2, 3.0])
    recipe = replace(ALL, transform="rotation", aligned="input")
    drawn = draw(recipe, 5, np.random.default_rng(3))
    images = images_of(5, side=8, channels=4)
    check(images, drawn, TURNED, recipe=recipe, headings_rad=headings, width=width)


def test_a_flip_is_of_the_aligned_view() -> None:
    images, headings = images_of(1, side=8), torch.tensor([0.0])
    augmenter = Augmenter(ALIGNED, Normalization(), 8)
    upright = augmenter(images, nothing(1), headings)
    np.testing.assert_allclose(
        in_colours(upright).numpy(), np.rot90(images.numpy(), axes=(2, 3)) / 255, atol=TURNED
    )  # from the right to upwards
    torch.testing.assert_close(augmenter(images, nothing(1, theta=FLIP), headings), upright.flip(3), atol=1e-4, rtol=0)


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("num_columns", [0, 1, 2])
def test_with_nothing_drawn_the_trunk_sees_what_it_sees_in_evaluation(num_columns: int, padding: Any) -> None:
    recipe = replace(ALIGNED, backbone="resnet18", padding=padding, size_px=48, num_columns=num_columns)
    config = recipe.network_config()
    assert isinstance(config, SANetConfig)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = build_network(config, Preprocessing(48)).eval()
    images = images_of(4, side=48)
    augmenter = Augmenter(recipe, network.normalization, kept_columns(config, 48))
    with torch.no_grad():
        normalized = network.normalization(images)
        expected, theta = network.align_input(normalized)
        heading = heading_of(network)
        assert heading is not None
        headings = heading(normalized)
    assert (theta - torch.eye(2, 3)).abs().max() > 0.1
    torch.testing.assert_close(augmenter(images, nothing(4), headings), expected, atol=1e-4, rtol=0)
    assert expected.shape == (4, 3, 48, 32 if num_columns != 1 else 16)


# --- what is drawn


FIELDS: dict[str, Any] = {
    "flip_p": 0.5, "turn_deg": 30.0, "half_turn_p": 0.5, "scale": 0.3, "shift": 0.2, "jitter_p": 0.5, "cast": 0.1,
    "grey_p": 0.5, "blur_p": 0.5, "noise": 0.1, "background_p": 0.5, "erasing_p": 0.5, "mixstyle_p": 0.5,
    "channel_drop": 0.5,
}  # fmt: skip


def test_a_draw_is_a_function_of_the_generator() -> None:
    recipe = Recipe(**FIELDS)
    first, again, other = (draw(recipe, 20, np.random.default_rng(seed)) for seed in (1, 1, 2))
    kinds = {"coarseness": torch.int64, "noise_at": torch.int64, "background": torch.bool}
    for name, one, same, different in zip(Drawn._fields, first, again, other, strict=True):
        assert torch.equal(one, same), name
        assert not torch.equal(one, different), name
        assert len(one) == 20
        assert one.dtype == kinds.get(name, torch.float32), name
    assert first.channel_scale.shape == (20, 1024)


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_changes_its_own_draw_alone(field: str) -> None:
    changed = {
        **{name: {"theta"} for name in ("flip_p", "turn_deg", "half_turn_p", "scale", "shift")},
        "jitter_p": {"brightness", "contrast", "saturation", "hue"}, "cast": {"cast"}, "grey_p": {"saturation"},
        "blur_p": {"coarseness"}, "noise": {"noise"}, "background_p": {"background"}, "erasing_p": {"erased"},
        "mixstyle_p": {"style_share"}, "channel_drop": {"channel_scale"},
    }  # fmt: skip
    recipe = Recipe(jitter_p=0.0, erasing_p=0.0)
    plain = draw(recipe, 30, np.random.default_rng(5))
    drawn = draw(replace(recipe, **{field: FIELDS[field]}), 30, np.random.default_rng(5))
    different = {n for n, a, b in zip(Drawn._fields, plain, drawn, strict=True) if not torch.equal(a, b)}
    assert different == changed[field]
    none = nothing(30)
    assert all(
        torch.allclose(values.float(), getattr(none, name).float())
        for name, values in plain._asdict().items()
        if name != "noise_at"
    )


NUM = 20_000


def draw_many(**fields: float) -> Drawn:
    recipe = Recipe(**({"jitter_p": 0.0, "erasing_p": 0.0} | fields))  # type: ignore[arg-type]
    return draw(recipe, NUM, np.random.default_rng(0))


def shares(drawn: Drawn) -> dict[str, float]:
    """How many of the images each operation changes."""
    none = nothing(NUM)._asdict()
    return {
        name: float(((values - none[name].to(values.dtype)).abs() > 1e-6).reshape(NUM, -1).any(dim=1).float().mean())
        for name, values in drawn._asdict().items()
        if name not in ("noise_at", "background", "channel_scale")
    } | {"background": float(drawn.background.float().mean())}


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 1.0])
def test_an_operation_is_drawn_as_often_as_asked(p: float) -> None:
    jitter = {"brightness", "contrast", "saturation", "hue"}
    for field, changed in (
        ("flip_p", {"theta"}), ("half_turn_p", {"theta"}), ("jitter_p", jitter), ("grey_p", {"saturation"}),
        ("blur_p", {"coarseness"}), ("background_p", {"background"}), ("erasing_p", {"erased"}),
        ("mixstyle_p", {"style_share"}),
    ):  # fmt: skip
        for name, share in shares(draw_many(**{field: p})).items():
            # 0.015 is more than four standard deviations; a factor may happen to be 1.
            tolerance = 0.015 if 0 < p < 1 else 0.001
            assert share == pytest.approx(p if name in changed else 0.0, abs=tolerance), (field, name)
            assert p or share == 0


def test_flips_jitter_and_erasing_are_drawn_apart_from_each_other() -> None:
    drawn = draw_many(flip_p=0.5, jitter_p=0.5, erasing_p=0.5, blur_p=0.5, mixstyle_p=0.5)
    events = [
        drawn.theta[:, 0, 0] < 0, drawn.brightness != 1, drawn.erased.any(dim=1), drawn.coarseness > 1,
        drawn.style_share > 0,
    ]  # fmt: skip
    for first in range(len(events)):
        for second in range(first):
            assert float((events[first] & events[second]).float().mean()) == pytest.approx(0.25, abs=0.02)
    # One draw decides on all four colours.
    jittered = torch.stack([drawn.brightness != 1, drawn.contrast != 1, drawn.saturation != 1, drawn.hue != 0])
    assert float((jittered.all(dim=0) | ~jittered.any(dim=0)).float().mean()) > 0.999


def test_a_flip_mirrors_left_and_right_of_what_is_seen() -> None:
    theta = draw_many(flip_p=1.0, turn_deg=30.0).theta
    assert (torch.linalg.det(theta[:, :, :2]) < 0).all()
    turned = draw_many(turn_deg=30.0).theta
    torch.testing.assert_close(theta, turned * torch.tensor([-1.0, 1.0, 1.0]))


def test_a_half_turn_shows_the_rear_for_the_front() -> None:
    np.testing.assert_allclose(draw_many(half_turn_p=1.0).theta[0].numpy(), -np.eye(2, 3), atol=1e-6)


def test_grey_takes_all_colour_and_keeps_the_rest_of_the_jitter() -> None:
    drawn, jittered = draw_many(grey_p=0.3, jitter_p=1.0), draw_many(jitter_p=1.0)
    grey = drawn.saturation == 0
    assert float(grey.float().mean()) == pytest.approx(0.3, abs=0.015)
    assert torch.equal(drawn.saturation[~grey], jittered.saturation[~grey])
    assert torch.equal(drawn.brightness, jittered.brightness)


def test_a_third_of_the_blurred_have_a_quarter_of_the_resolution() -> None:
    coarseness = draw_many(blur_p=0.6).coarseness
    found = [float((coarseness == side).float().mean()) for side in (1, 2, 4)]
    assert found == pytest.approx([0.4, 0.4, 0.2], abs=0.015)


def test_a_cast_is_normal_and_drawn_apart_for_each_channel() -> None:
    cast = draw_many(cast=0.05).cast.double().numpy()
    assert cast.mean(axis=0) == pytest.approx([0, 0, 0], abs=0.002)
    assert cast.std(axis=0) == pytest.approx([0.05] * 3, rel=0.02)
    assert np.abs(np.corrcoef(cast.T) - np.eye(3)).max() < 0.03
    assert (np.abs(cast) > 0.1).mean() == pytest.approx(0.0455, abs=0.006)  # beyond two deviations


def test_noise_fills_its_range_evenly_and_begins_anywhere() -> None:
    drawn = draw_many(noise=0.2)
    for values, end in ((drawn.noise, 0.2), (drawn.noise_at[:, 0], 521), (drawn.noise_at[:, 1], 521)):
        counts, _ = np.histogram(values.numpy(), bins=8, range=(0, end))
        assert counts.sum() == NUM
        assert counts.min() > 0.9 * NUM / 8


def test_half_of_another_style_is_taken_over() -> None:
    assert set(draw_many(mixstyle_p=0.4).style_share.tolist()) == {0.0, 0.5}


def test_channels_are_dropped_as_often_as_asked_and_the_others_make_up_for_them() -> None:
    scale = draw(Recipe(backbone="resnet18", channel_drop=0.2), 400, np.random.default_rng(0)).channel_scale
    assert scale.shape == (400, 256)
    assert sorted(set(scale.flatten().tolist())) == pytest.approx([0, 1 / 0.8])
    assert float((scale == 0).float().mean()) == pytest.approx(0.2, abs=0.005)
    assert scale.mean(dim=0).tolist() == pytest.approx([1] * 256, abs=0.12)  # no channel more often than another
    assert scale.mean(dim=1).tolist() == pytest.approx([1] * 400, abs=0.12)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_a_colours_draw_fills_its_range_evenly(name: str) -> None:
    spread, middle = 0.4, 0.0 if name == "hue" else 1.0
    values = getattr(draw_many(jitter_p=1.0, **{name: spread}), name).double().numpy() - middle
    assert np.abs(values).max() <= spread + 1e-6
    counts, _ = np.histogram(values, bins=8, range=(-spread - 1e-6, spread + 1e-6))
    assert counts.min() > 0.9 * NUM / 8
    assert counts.max() < 1.1 * NUM / 8


def test_each_colour_is_drawn_apart_from_the_others() -> None:
    drawn = draw_many(jitter_p=1.0, brightness=0.1, contrast=0.2, saturation=0.3, hue=0.4)
    colours = [values.numpy() for values in (drawn.brightness, drawn.contrast, drawn.saturation, drawn.hue)]
    correlation = np.corrcoef(np.stack(colours))
    assert np.abs(correlation - np.eye(4)).max() < 0.04
    widest = [float(np.abs(values - values.mean()).max()) for values in colours]
    assert widest == pytest.approx([0.1, 0.2, 0.3, 0.4], rel=0.02)


def similarities(**fields: float) -> tuple[Array, Array, Array]:
    """What many thetas do to the content: turned in degrees, scaled (N,), and where they read the centre (N, 2)."""
    theta = draw_many(**fields).theta.double().numpy()
    np.testing.assert_allclose(theta[:, 0, 0], theta[:, 1, 1], atol=1e-6)
    np.testing.assert_allclose(theta[:, 0, 1], -theta[:, 1, 0], atol=1e-6)
    turn = np.rad2deg(np.arctan2(theta[:, 1, 0], theta[:, 0, 0]))
    return turn, 1 / np.hypot(theta[:, 0, 0], theta[:, 1, 0]), theta[:, :, 2]


def test_turn_scale_and_shift_fill_their_ranges_evenly() -> None:
    turn, scale, centre = similarities(turn_deg=70.0, scale=0.3, shift=0.1)
    # The side is 2 long: a tenth of it is 0.2.
    for values, spread in ((turn, 70), (scale - 1, 0.3), (centre[:, 0], 0.2), (centre[:, 1], 0.2)):
        assert np.abs(values).max() <= spread * (1 + 1e-5)
        counts, _ = np.histogram(values, bins=8, range=(-spread * (1 + 1e-5), spread * (1 + 1e-5)))
        assert counts.min() > 0.9 * NUM / 8
        assert counts.max() < 1.1 * NUM / 8
    correlation = np.corrcoef(np.stack([turn, scale, *centre.T]))
    assert np.abs(correlation - np.eye(4)).max() < 0.04


@pytest.mark.parametrize(("field", "spread"), [("turn_deg", 180.0), ("scale", 0.5), ("shift", 1.0)])
def test_a_similarity_changes_only_what_the_recipe_asks_for(field: str, spread: float) -> None:
    turn, scale, centre = similarities(**{field: spread})
    for name, values, unchanged in (("turn_deg", turn, 0), ("scale", scale, 1), ("shift", centre, 0)):
        if name == field:
            assert float(np.abs(values - unchanged).max()) > 0.9 * spread
        else:
            np.testing.assert_allclose(values, unchanged, atol=1e-6)


def test_a_rectangle_lies_in_the_image_and_has_the_published_size() -> None:
    left, top, right, bottom = draw_many(erasing_p=1.0).erased.double().numpy().T
    assert min(left.min(), top.min()) >= 0
    assert max(right.max(), bottom.max()) <= 1 + 1e-6
    width, height = right - left, bottom - top
    whole = (width < 1 - 1e-6) & (height < 1 - 1e-6)  # the others were cut to the image
    assert 0.95 < whole.mean() < 1
    area, aspect = (width * height)[whole], (height / width)[whole]
    assert 0.02 - 1e-5 <= area.min() < 0.03
    assert 0.39 < area.max() <= 0.4 + 1e-5
    assert area.mean() == pytest.approx(0.21, abs=0.01)
    assert 0.3 - 1e-4 <= aspect.min() < 0.31
    assert 3.2 < aspect.max() < 1 / 0.3 + 1e-3
    assert np.log(aspect).mean() == pytest.approx(0, abs=0.02)  # as often upright as lying


def test_a_rectangle_lies_anywhere() -> None:
    left, top, right, bottom = draw_many(erasing_p=1.0).erased.numpy().T
    for start, end in ((left, right), (top, bottom)):
        room = 1 - (end - start)
        place = start[room > 0.01] / room[room > 0.01]
        counts, _ = np.histogram(place, bins=5, range=(0, 1))
        assert counts.min() > 0.17 * len(place)
    assert abs(np.corrcoef(left, top)[0, 1]) < 0.2
