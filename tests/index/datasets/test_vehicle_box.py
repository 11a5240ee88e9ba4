import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.datasets.bulk_embedding import cut_entry
from index.datasets.manifest import Entry
from index.datasets.vehicle_box import locate_box
from index.gallery.fields import Fields
from index.gallery.intake import Located, Vehicle, take_in
from model.box import Box, BoxError
from model.image import encode_image

FRAME = np.zeros((1080, 1920, 3), np.uint8)


@pytest.mark.parametrize(
    ("box", "said"),
    [
        (None, "the whole image of 1920 x 1080 pixels was taken for one vehicle"),
        (Box(0, 0, 19, 12), "the vehicle has only 19 x 12 pixels"),
        (Box(-10, 100, 40, 40), "25% of the box -10,100,40,40 lie outside"),
        (Box(1900, 1060, 40, 20), "50% of the box 1900,1060,40,20 lie outside"),
        (Box(0, 0, 20, 10), None),
        (Box(-9, 100, 40, 40), None),
        (Box(0, 0, 1920, 1080), None),
    ],
)
def test_what_is_suspicious_gets_a_word(box: Box | None, said: str | None) -> None:
    _, warnings = locate_box(box, FRAME)
    assert len(warnings) == (said is not None)
    assert said is None or warnings[0].startswith(said)


def test_a_small_crop_without_a_box_is_a_crop() -> None:
    assert locate_box(None, FRAME[:600, :800])[1] == ()
    assert len(locate_box(None, FRAME[:600, :801])[1]) == 1
    assert "only 12 x 8 pixels" in locate_box(None, FRAME[:8, :12])[1][0]


def test_a_box_of_several_faults_has_several_warnings() -> None:
    assert len(locate_box(Box(-4, 0, 12, 12), FRAME)[1]) == 2


@settings(derandomize=True, max_examples=300, deadline=None)
@given(
    size=st.tuples(st.integers(4, 70), st.integers(4, 70)),
    box=st.none() | st.builds(Box, st.integers(-40, 80), st.integers(-40, 80), st.integers(1, 90), st.integers(1, 90)),
)
def test_a_gallery_and_an_evaluation_take_the_same_boxes_and_cut_the_same_pixels(
    size: tuple[int, int], box: Box | None
) -> None:
    pixels = np.random.default_rng(size).integers(0, 256, (*size, 3), np.uint8)
    (vehicle,) = take_in(encode_image(pixels, "PNG"), [Vehicle(box, Fields())]).vehicles
    if isinstance(vehicle, Located):
        x, y, w, h = (vehicle.box.x, vehicle.box.y, vehicle.box.w, vehicle.box.h)
        np.testing.assert_array_equal(vehicle.pixels, pixels[y : y + h, x : x + w])
        np.testing.assert_array_equal(cut_entry(Entry("a.png", box=box), pixels), vehicle.pixels)
    else:
        with pytest.raises(BoxError) as refused:
            cut_entry(Entry("a.png", box=box), pixels)
        assert str(refused.value) == str(vehicle)
    assert isinstance(vehicle, Located) == _lies_on(box, *size)


def _lies_on(box: Box | None, height: int, width: int) -> bool:
    """By counting pixels: at least half of the box is on the image, and at least 4 x 4 of it."""
    if box is None:
        return True
    columns = [x for x in range(box.x, box.x + box.w) if 0 <= x < width]
    rows = [y for y in range(box.y, box.y + box.h) if 0 <= y < height]
    return 2 * len(columns) * len(rows) >= box.w * box.h and len(columns) >= 4 and len(rows) >= 4
