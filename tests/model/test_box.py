import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.box import MIN_SIDE_PX, Box, BoxError
from tests.conftest import picture


@pytest.mark.parametrize("value", ["450,513,38,35", " 450, 513,38.0 ,35", [450, 513, 38, 35], (450.0, "513", 38, 35.2)])
def test_text_and_four_numbers_are_a_box(value: str | list[object]) -> None:
    assert Box.parse(value) == Box(450, 513, 38, 35)


@pytest.mark.parametrize(
    ("value", "box"),
    [
        ("0.6,0.4,10.2,10.1", Box(1, 0, 10, 10)),  # edges 0.6 -> 1 and 10.8 -> 11, 0.4 -> 0 and 10.5 -> 10
        ("0.4,0.6,10.2,10.2", Box(0, 1, 11, 10)),  # edges 0.4 -> 0 and 10.6 -> 11, 0.6 -> 1 and 10.8 -> 11
        ("-0.6,-3.2,5,5", Box(-1, -3, 5, 5)),
    ],
)
def test_fractions_go_to_the_nearest_edges(value: str, box: Box) -> None:
    assert Box.parse(value) == box


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1,2,3",
        "1,2,3,4,5",
        "1,2,3,",
        "a,b,c,d",
        "1;2;3;4",
        "nan,0,10,10",
        "0,inf,10,10",
        [],
        [1, 2, 3],
        [1, 2, 3, 4, 5],
        [1, 2, 3, None],
        [True, 2, 30, 40],
        [1, 2, [30], 40],
        [math.nan, 0, 10, 10],
        [0, -math.inf, 10, 10],
        [0, 0, 2e9, 10],
        [-2e9, 0, 10, 10],
    ],
)
def test_what_is_not_four_finite_numbers_is_refused(value: str | list[object]) -> None:
    with pytest.raises(BoxError, match="a box is four numbers x,y,w,h in pixels, not "):
        Box.parse(value)


@pytest.mark.parametrize("value", ["1,2,0,10", "1,2,10,0", [1, 2, -3, 10], [1, 2, 10, -0.1]])
def test_a_box_without_area_is_refused(value: str | list[object]) -> None:
    with pytest.raises(BoxError, match="width and a height above 0"):
        Box.parse(value)


def test_a_long_value_is_quoted_in_short() -> None:
    with pytest.raises(BoxError) as raised:
        Box.parse("9" * 10_000)
    assert len(str(raised.value)) < 150


def test_the_largest_coordinates_are_read_exactly() -> None:
    assert Box.parse([1e9, -1e9, 1e9, 1]) == Box(10**9, -(10**9), 10**9, 1)


@pytest.mark.parametrize(
    ("box", "width", "height", "clipped"),
    [
        (Box(450, 513, 38, 35), 684, 547, Box(450, 513, 38, 34)),  # one pixel over the lower border
        (Box(0, 0, 60, 40), 60, 40, Box(0, 0, 60, 40)),
        (Box(-3, -2, 20, 10), 60, 40, Box(0, 0, 17, 8)),
        (Box(50, 30, 12, 12), 60, 40, Box(50, 30, 10, 10)),
        (Box(-10, 0, 20, 10), 60, 40, Box(0, 0, 10, 10)),  # exactly half of it
        (Box(56, 36, 4, 4), 60, 40, Box(56, 36, 4, 4)),
    ],
)
def test_the_overshoot_is_cut_off(box: Box, width: int, height: int, clipped: Box) -> None:
    assert box.clip(width, height) == clipped


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        (Box(-11, 0, 20, 10), "mostly outside the image of 60 x 40"),
        (Box(51, 5, 20, 10), "mostly outside"),
        (Box(5, -9, 20, 16), "mostly outside"),
        (Box(50, 30, 20, 20), "mostly outside"),  # half of each side, a quarter of the area
        (Box(60, 0, 10, 10), "lies outside"),
        (Box(-10, 0, 10, 10), "lies outside"),
        (Box(0, 40, 10, 10), "lies outside"),
        (Box(-20, -20, 10, 10), "lies outside"),  # both overlaps negative: their product must not count
        (Box(1_000_000, 0, 10, 10), "lies outside"),
    ],
)
def test_a_box_of_another_image_is_refused(box: Box, reason: str) -> None:
    with pytest.raises(BoxError, match=reason):
        box.clip(60, 40)


@pytest.mark.parametrize("box", [Box(0, 0, 3, 10), Box(0, 0, 10, 3), Box(57, 0, 5, 10), Box(0, 37, 10, 5)])
def test_too_little_of_a_vehicle_is_refused(box: Box) -> None:
    with pytest.raises(BoxError, match=f"less than {MIN_SIDE_PX} x {MIN_SIDE_PX} pixels"):
        box.clip(60, 40)


def test_the_least_that_is_enough_is_four_pixels() -> None:
    assert MIN_SIDE_PX == 4
    assert Box(56, 0, 6, 4).clip(60, 40) == Box(56, 0, 4, 4)


sides = st.integers(1, 60)
corners = st.integers(-70, 70)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(corners, corners, sides, sides, sides, sides)
def test_what_is_clipped_is_what_lies_inside(x: int, y: int, w: int, h: int, width: int, height: int) -> None:
    columns = [column for column in range(x, x + w) if 0 <= column < width]
    rows = [row for row in range(y, y + h) if 0 <= row < height]
    accepted = 2 * len(columns) * len(rows) >= w * h and min(len(columns), len(rows)) >= 4
    box = Box(x, y, w, h)
    if not accepted:
        with pytest.raises(BoxError):
            box.clip(width, height)
        return
    clipped = box.clip(width, height)
    assert clipped == Box(columns[0], rows[0], len(columns), len(rows))
    assert clipped.clip(width, height) == clipped


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(corners, corners, sides, sides)
def test_a_box_is_read_from_its_own_text(x: int, y: int, w: int, h: int) -> None:
    assert Box.parse(str(Box(x, y, w, h))) == Box(x, y, w, h)


def test_the_text_is_x_y_w_h() -> None:
    assert str(Box(1, -2, 30, 40)) == "1,-2,30,40"


def test_the_crop_is_the_boxes_pixels() -> None:
    image = picture(0)
    crop = Box(7, 11, 20, 5).cut(image)
    assert crop.shape == (5, 20, 3)
    for row in range(5):
        for column in range(20):
            assert np.array_equal(crop[row, column], image[11 + row, 7 + column])


@pytest.mark.parametrize("value", [None, [10**400, 0, 10, 10], "1_0,2,30,40", 5])
def test_what_python_alone_calls_a_number_is_refused(value: object) -> None:
    with pytest.raises(BoxError, match="a box is four numbers"):
        Box.parse(value)  # type: ignore[arg-type]
