import dataclasses
import itertools
import math
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.model import naive
from training.augmentation import Augmentation, augment, draw_augmentation
from training.recipe import Recipe

Array = NDArray[np.float64]

SIDE = 9
FILL = (0.485, 0.456, 0.406)
LUMA = np.array([0.299, 0.587, 0.114])
YIQ = np.array([LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def images_of(num: int, seed: int = 0) -> Tensor:
    values = np.random.default_rng(seed).integers(0, 256, (num, 3, SIDE, SIDE), np.uint8)
    return torch.from_numpy(values).contiguous(memory_format=torch.channels_last)


def nothing(num: int, **drawn: Any) -> Augmentation:
    """No change to any of the images but for what is given, per image or the same for all."""
    none = {
        "flip": False, "theta": np.eye(2, 3), "brightness": 1, "contrast": 1, "saturation": 1, "hue": 0,
        "erased": (0, 0, 0, 0),
    }  # fmt: skip
    kinds, shapes = {"flip": np.bool_}, {"theta": (num, 2, 3), "erased": (num, 4)}
    arrays = {}
    for name, value in (none | drawn).items():
        arrays[name] = np.broadcast_to(np.array(value, kinds.get(name, np.float32)), shapes.get(name, (num,))).copy()
    return Augmentation(**arrays)


def naive_pixel(
    pixel: Array, mean_luma: float, brightness: float, contrast: float, saturation: float, hue: float
) -> Array:
    """Brightness, contrast around the mean luma, saturation, hue, clip; the mean is that of the unchanged image."""
    bright = pixel * brightness
    middle = mean_luma * brightness
    contrasted = middle + contrast * (bright - middle)
    grey = LUMA @ contrasted
    saturated = grey + saturation * (contrasted - grey)
    y, i, q = YIQ @ saturated
    cos, sin = math.cos(2 * math.pi * hue), math.sin(2 * math.pi * hue)
    turned: Array = np.linalg.inv(YIQ) @ np.array([y, cos * i - sin * q, sin * i + cos * q])
    return np.minimum(np.maximum(turned, 0), 1)


def naive_augment(images: Tensor, drawn: Augmentation) -> Array:
    """One pixel after the other: flip, turn (with the fill outside), colours, erasing."""
    source = images.numpy().astype(np.float64) / 255
    result = np.zeros_like(source)
    fill = np.array(FILL)[:, None, None]
    for number, unturned in enumerate(source):
        flip, theta, *colours, (left, top, right, bottom) = (values[number] for values in drawn)
        flipped = unturned[:, :, ::-1] if flip else unturned
        image = naive.warp(flipped - fill, theta.astype(np.float64), "zeros") + fill
        mean_luma = float(np.mean([LUMA @ image[:, row, column] for row in range(SIDE) for column in range(SIDE)]))
        for row in range(SIDE):
            for column in range(SIDE):
                x, y = (column + 0.5) / SIDE, (row + 0.5) / SIDE
                changed = naive_pixel(image[:, row, column], mean_luma, *map(float, colours))
                erased = left <= x < right and top <= y < bottom
                result[number, :, row, column] = FILL if erased else changed
    return result


def check(images: Tensor, drawn: Augmentation, atol: float = 2e-6) -> Tensor:
    """The images are augmented as one would do it by hand."""
    result = augment(images, drawn, torch.tensor(FILL))
    assert result.dtype == torch.float32
    np.testing.assert_allclose(result.numpy(), naive_augment(images, drawn), atol=atol)
    return result


def test_nothing_drawn_changes_nothing() -> None:
    images = images_of(5)
    result = augment(images, nothing(5), torch.tensor(FILL))
    np.testing.assert_allclose(result.numpy(), images.numpy() / 255, rtol=0, atol=5e-7)
    assert torch.equal((result * 255).round().to(torch.uint8), images)


@pytest.mark.parametrize(
    "drawn",
    [
        {"flip": [True, False, True]},
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
    ],
    ids=lambda drawn: "-".join(drawn),
)
def test_an_operation_is_that_of_a_pixel_by_hand(drawn: dict[str, list[float]]) -> None:
    images = images_of(3)
    result = check(images, nothing(3, **drawn))
    none = nothing(1)._asdict()
    unchanged = [all(values[n] == none[name][0] for name, values in drawn.items()) for n in range(3)]
    difference = (result - images / 255).abs().amax(dim=(1, 2, 3))
    assert ((difference < 1e-6) == torch.tensor(unchanged)).all()


@pytest.mark.parametrize("seed", range(3))
def test_drawn_together_they_follow_the_documented_order(seed: int) -> None:
    recipe = Recipe(flip_p=0.5, jitter_p=0.8, erasing_p=0.5, brightness=0.5, contrast=0.6, saturation=0.7, hue=0.3)
    drawn = draw_augmentation(recipe, 12, np.random.default_rng(seed))
    check(images_of(12, seed), drawn)
    recipe = dataclasses.replace(recipe, turn_deg=180.0, scale=0.4, shift=0.2)
    check(images_of(12, seed), draw_augmentation(recipe, 12, np.random.default_rng(seed)), TURNED)


# Positions are float32 in the grid: a difference of neighbours times 1e-6 of a pixel.
TURNED = 2e-5


@pytest.mark.parametrize(
    "drawn",
    [{}, {"flip": True}, {"contrast": 0.3, "brightness": 1.2}, {"hue": 0.2, "erased": (0.3, 0.1, 0.7, 0.5)}],
    ids=lambda drawn: "-".join(drawn) or "alone",
)
def test_a_turn_reads_the_positions_that_theta_names_and_the_fill_outside(drawn: dict[str, Any]) -> None:
    theta = np.random.default_rng(4).normal(np.eye(2, 3), 0.5, (4, 2, 3))
    theta[3] = np.eye(2, 3)
    images = images_of(4)
    result = check(images, nothing(4, theta=theta, **drawn), TURNED)
    unturned = augment(images, nothing(4, **drawn), torch.tensor(FILL))
    difference = (result - unturned).abs().amax(dim=(1, 2, 3))
    assert (difference[:3] > 0.1).all()
    assert difference[3] < TURNED


def test_a_quarter_turn_is_that_of_the_array_counter_clockwise() -> None:
    images = images_of(1)
    result = augment(images, nothing(1, theta=[[0, -1, 0], [1, 0, 0]]), torch.tensor(FILL))
    np.testing.assert_allclose(result.numpy(), np.rot90(images.numpy(), axes=(2, 3)) / 255, atol=TURNED)


def test_what_a_shift_brings_in_is_the_fill() -> None:
    images = images_of(1)
    result = augment(images, nothing(1, theta=[[1, 0, 4 / SIDE], [0, 1, 0]]), torch.tensor(FILL))  # by two pixels
    np.testing.assert_allclose(result[..., :-2].numpy(), images[..., 2:].numpy() / 255, atol=TURNED)
    fill = torch.tensor(FILL).view(1, 3, 1, 1).expand(1, 3, SIDE, 2)
    np.testing.assert_allclose(result[..., -2:].numpy(), fill.numpy(), atol=TURNED)


def test_a_flip_swaps_left_and_right_exactly_and_only_that() -> None:
    images = images_of(2)
    result = augment(images, nothing(2, flip=[True, False]), torch.tensor(FILL))
    assert torch.equal((result[0] * 255).round().to(torch.uint8), images[0].flip(2))
    assert torch.equal((result[1] * 255).round().to(torch.uint8), images[1])


def test_contrast_0_leaves_the_mean_luma() -> None:
    images = images_of(2)
    result = augment(images, nothing(2, contrast=0), torch.tensor(FILL))
    means = images.double().mean(dim=(2, 3)).numpy() @ LUMA / 255
    np.testing.assert_allclose(result.numpy(), np.broadcast_to(means[:, None, None, None], result.shape), atol=1e-6)


def test_saturation_0_leaves_the_luma() -> None:
    images = images_of(2)
    result = augment(images, nothing(2, saturation=0), torch.tensor(FILL))
    luma = np.einsum("c,nchw->nhw", LUMA, images.double().numpy() / 255)
    np.testing.assert_allclose(result.numpy(), np.repeat(luma[:, None], 3, axis=1), atol=1e-6)


def test_a_full_turn_of_the_hue_changes_nothing() -> None:
    images = images_of(3)
    result = augment(images, nothing(3, hue=[1, -1, 2]), torch.tensor(FILL))
    np.testing.assert_allclose(result.numpy(), images.numpy() / 255, atol=2e-6)


@pytest.mark.parametrize("drawn", [{"hue": [0.1, 0.37, -0.2]}, {"saturation": [0.2, 1.5, 2.0]}])
def test_greys_stay_as_they_are(drawn: dict[str, list[float]]) -> None:
    greys = images_of(3)[:, :1].expand(3, 3, SIDE, SIDE)
    result = augment(greys, nothing(3, **drawn), torch.tensor(FILL))
    np.testing.assert_allclose(result.numpy(), greys.numpy() / 255, atol=1e-6)


def test_brightness_and_contrast_keep_greys_grey() -> None:
    greys = images_of(2)[:, :1].expand(2, 3, SIDE, SIDE)
    result = augment(greys, nothing(2, brightness=[0.7, 1.2], contrast=[1.4, 0.5], hue=0.2), torch.tensor(FILL))
    np.testing.assert_allclose(result.numpy(), result[:, :1].expand_as(result).numpy(), atol=1e-6)


def test_a_turn_of_the_hue_keeps_the_luma() -> None:
    muted = (images_of(1) // 8 + 112).contiguous(memory_format=torch.channels_last)  # nothing is clipped
    turned = augment(muted, nothing(1, hue=0.2), torch.tensor(FILL))
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
    result = augment(images, nothing(2, erased=[rectangle, (0, 0, 0, 0)]), torch.tensor(FILL))
    is_fill = (result == torch.tensor(FILL).view(1, 3, 1, 1)).all(dim=1)
    expected = [[row in rows and column in columns for column in range(SIDE)] for row in range(SIDE)]
    assert is_fill[0].tolist() == expected
    assert not is_fill[1].any()
    kept = ~is_fill[0]
    assert torch.equal((result[0] * 255).round().to(torch.uint8)[:, kept], images[0][:, kept])


def test_what_is_erased_has_the_fills_colour_whatever_the_jitter() -> None:
    drawn = nothing(1, brightness=0.5, hue=0.3, contrast=0.5, erased=(0, 0, 1, 1))
    result = augment(images_of(1), drawn, torch.tensor((0.1, 0.9, 0.4)))
    assert torch.equal(result, torch.tensor((0.1, 0.9, 0.4)).view(1, 3, 1, 1).expand_as(result))


def test_a_part_of_a_batch_is_augmented_as_within_it() -> None:
    recipe = Recipe(flip_p=0.5, jitter_p=0.8, erasing_p=0.5, turn_deg=90.0, scale=0.2, shift=0.1)
    images, drawn = images_of(12), draw_augmentation(recipe, 12, np.random.default_rng(1))
    whole = augment(images, drawn, torch.tensor(FILL))
    for chosen in (slice(0, 4), slice(4, 12), slice(7, 8)):
        part = drawn.part(chosen)
        assert all(np.array_equal(one, values[chosen]) for one, values in zip(part, drawn, strict=True))
        torch.testing.assert_close(augment(images[chosen], part, torch.tensor(FILL)), whole[chosen], rtol=0, atol=1e-6)


def test_channels_last_stays_and_the_input_too() -> None:
    images = images_of(6)
    before = images.clone()
    plain = Recipe(flip_p=0.5, jitter_p=0.8, erasing_p=0.8)
    for seed, recipe in itertools.product(range(3), (plain, dataclasses.replace(plain, turn_deg=30.0))):
        drawn = draw_augmentation(recipe, 6, np.random.default_rng(seed))
        copy = deepcopy(drawn)
        result = augment(images, drawn, torch.tensor(FILL))
        assert result.is_contiguous(memory_format=torch.channels_last)
        assert not result.is_contiguous()
        assert all(np.array_equal(old, new) for old, new in zip(copy, drawn, strict=True))
    assert torch.equal(images, before)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_a_draw_is_a_function_of_the_generator() -> None:
    recipe = Recipe(flip_p=0.5, turn_deg=30.0)
    first, again, other = (draw_augmentation(recipe, 20, np.random.default_rng(seed)) for seed in (1, 1, 2))
    for name, one, same, different in zip(Augmentation._fields, first, again, other, strict=True):
        assert np.array_equal(one, same), name
        assert not np.array_equal(one, different), name
        assert len(one) == 20
        assert one.dtype == (np.bool_ if name == "flip" else np.float32)


NUM = 20_000


def draw_many(**fields: float) -> Augmentation:
    recipe = Recipe(**({"flip_p": 0.0, "jitter_p": 0.0, "erasing_p": 0.0} | fields))  # type: ignore[arg-type]
    return draw_augmentation(recipe, NUM, np.random.default_rng(0))


def shares(drawn: Augmentation) -> dict[str, float]:
    """How many of the images each operation changes."""
    none = nothing(NUM)
    return {
        name: float((values != unchanged).reshape(NUM, -1).any(axis=1).mean())
        for name, values, unchanged in zip(Augmentation._fields, drawn, none, strict=True)
    }


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 1.0])
def test_an_operation_is_drawn_as_often_as_asked(p: float) -> None:
    jitter = {"brightness", "contrast", "saturation", "hue"}
    for field, changed in (("flip_p", {"flip"}), ("jitter_p", jitter), ("erasing_p", {"erased"})):
        for name, share in shares(draw_many(**{field: p})).items():
            # 0.015 is more than four standard deviations; a factor may happen to be 1.
            tolerance = 0.015 if 0 < p < 1 else 0.001
            assert share == pytest.approx(p if name in changed else 0.0, abs=tolerance), name
            assert p or share == 0


def test_flips_jitter_and_erasing_are_drawn_apart_from_each_other() -> None:
    drawn = draw_many(flip_p=0.5, jitter_p=0.5, erasing_p=0.5)
    events = [drawn.flip, drawn.brightness != 1, drawn.erased.any(axis=1)]
    for first in range(3):
        for second in range(first):
            assert (events[first] & events[second]).mean() == pytest.approx(0.25, abs=0.02)
    # One draw decides on all four colours.
    jittered = np.stack([drawn.brightness != 1, drawn.contrast != 1, drawn.saturation != 1, drawn.hue != 0])
    assert (jittered.all(axis=0) | ~jittered.any(axis=0)).mean() > 0.999


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_a_colours_draw_fills_its_range_evenly(name: str) -> None:
    spread, middle = 0.4, 0.0 if name == "hue" else 1.0
    values = getattr(draw_many(jitter_p=1.0, **{name: spread}), name).astype(np.float64) - middle
    assert np.abs(values).max() <= spread + 1e-6
    counts, _ = np.histogram(values, bins=8, range=(-spread - 1e-6, spread + 1e-6))
    assert counts.min() > 0.9 * NUM / 8
    assert counts.max() < 1.1 * NUM / 8


def test_each_colour_is_drawn_apart_from_the_others() -> None:
    drawn = draw_many(jitter_p=1.0, brightness=0.1, contrast=0.2, saturation=0.3, hue=0.4)
    correlation = np.corrcoef(np.stack(drawn[2:6]))
    assert np.abs(correlation - np.eye(4)).max() < 0.04
    widest = [float(np.abs(values - values.mean()).max()) for values in drawn[2:6]]
    assert widest == pytest.approx([0.1, 0.2, 0.3, 0.4], rel=0.02)


def similarities(**fields: float) -> tuple[Array, Array, Array]:
    """What many thetas do to the content: turned in degrees, scaled (N,), and where they read the centre (N, 2)."""
    theta = draw_many(**fields).theta.astype(np.float64)
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


def test_without_similarities_none_is_drawn_and_all_else_is_as_if_there_were_none() -> None:
    recipe = Recipe(jitter_p=1.0, brightness=0.3)
    drawn = draw_augmentation(recipe, 6, np.random.default_rng(5))
    assert np.array_equal(drawn.theta, np.tile(np.eye(2, 3, dtype=np.float32), (6, 1, 1)))
    rng = np.random.default_rng(5)
    rng.random((2, 6))  # who is jittered, and who is flipped
    np.testing.assert_allclose(drawn.brightness, rng.uniform(0.7, 1.3, 6), rtol=1e-6)
    turned = draw_augmentation(dataclasses.replace(recipe, turn_deg=1.0), 6, np.random.default_rng(5))
    assert not np.array_equal(turned.brightness, drawn.brightness)


def test_a_rectangle_lies_in_the_image_and_has_the_published_size() -> None:
    left, top, right, bottom = draw_many(erasing_p=1.0).erased.astype(np.float64).T
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
    left, top, right, bottom = draw_many(erasing_p=1.0).erased.T
    for start, end in ((left, right), (top, bottom)):
        room = 1 - (end - start)
        place = start[room > 0.01] / room[room > 0.01]
        counts, _ = np.histogram(place, bins=5, range=(0, 1))
        assert counts.min() > 0.17 * len(place)
    assert abs(np.corrcoef(left, top)[0, 1]) < 0.2
