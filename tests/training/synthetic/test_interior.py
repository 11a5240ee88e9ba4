import numpy as np
import pytest

from training.synthetic.vehicles.atlas import Atlas
from training.synthetic.vehicles.interior import furnish
from training.synthetic.vehicles.mesh import Material
from training.synthetic.vehicles.types import TYPES
from training.synthetic.vehicles.workshop import Workshop


def furnished(kind: str, number: int) -> Workshop:
    random = np.random.default_rng([2, number])
    shape = TYPES[kind].shape(random)
    workshop = Workshop(kind, (90, 90, 90), shape, Atlas(shape.length, shape.width, shape.height, (90, 90, 90)), random)
    furnish(workshop)
    return workshop


@pytest.mark.parametrize("kind", ["sedan", "suv", "hatchback"])
def test_seats_and_dashboards_lie_in_the_windows_and_mirror_as_glass(kind: str) -> None:
    numbers = set()
    for number in range(30):
        workshop = furnished(kind, number)
        numbers.add(len(workshop.parts))
        for part in workshop.parts:
            assert (part.material == Material.GLASS).all()
            assert (part.points[:, 2] > workshop.shape.belt).all()
            assert (part.points[:, 2] < workshop.shape.height).all()
            assert np.abs(part.points[:, 1]).max() < workshop.shape.width / 2
    assert numbers >= {0, 1, 2, 3, 4}  # a dashboard, two seats, a shelf, each or none


@pytest.mark.parametrize("kind", ["bus", "truck"])
def test_high_vehicles_show_none(kind: str) -> None:
    assert not any(furnished(kind, number).parts for number in range(20))


def test_vans_without_a_rear_window_have_no_shelf() -> None:
    for number in range(20):
        for part in furnished("van", number).parts:
            assert (part.points[:, 0] > 0).all()
