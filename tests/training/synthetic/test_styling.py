import numpy as np
import pytest

from training.synthetic.vehicles.atlas import Atlas, Colour
from training.synthetic.vehicles.styling import style_body
from training.synthetic.vehicles.types import TYPES

PAINT: Colour = (60, 90, 150)


def styled(kind: str, number: int) -> tuple[Atlas, np.ndarray]:
    """The atlas and its picture; shapes are the same for all numbers."""
    shape = TYPES[kind].shape(np.random.default_rng(1))
    atlas = Atlas(shape.length, shape.width, shape.height + 0.1, PAINT)
    style_body(atlas, shape, kind, PAINT, np.random.default_rng([3, number]))
    return atlas, np.asarray(atlas.image).astype(int)


@pytest.mark.parametrize("kind", ["sedan", "van", "bus", "truck"])
def test_the_same_body_has_many_designs_and_each_follows_from_its_generator(kind: str) -> None:
    pictures = [styled(kind, number)[1] for number in range(20)]
    assert len({picture.tobytes() for picture in pictures}) == 20
    np.testing.assert_array_equal(styled(kind, 4)[1], pictures[4])


@pytest.mark.parametrize("kind", ["sedan", "suv", "van"])
def test_most_of_a_body_keeps_its_paint(kind: str) -> None:
    for number in range(12):
        atlas, picture = styled(kind, number)
        shape = TYPES[kind].shape(np.random.default_rng(1))
        (left, upper), (right, lower) = atlas.pixels(
            "top", [(-shape.length / 2, shape.width / 2), (shape.length / 2, -shape.width / 2)]
        )
        top = picture[round(upper) : round(lower), round(left) : round(right)]
        assert (np.abs(top - PAINT).max(-1) < 45).mean() > 0.7


def test_tail_lamps_are_red_and_behind() -> None:
    for number in range(12):
        atlas, picture = styled("sedan", number)
        red = (picture[..., 0] > picture[..., 2] + 30) & (picture[..., 0] > picture[..., 1] + 30)
        rows, columns = np.nonzero(red)
        half = TYPES["sedan"].shape(np.random.default_rng(1)).length / 2
        (middle, _), (_, below) = atlas.pixels("top", [(0, 0), (half, -1.0)])
        top = rows < below
        assert top.any()
        assert (columns[top] < middle).all()
