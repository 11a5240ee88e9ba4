import numpy as np
import pytest

from tests.training.synthetic.solids import faces
from training.synthetic.vehicles.body import Shape, cabin, lower_body
from training.synthetic.vehicles.types import TYPES
from training.synthetic.vehicles.varied_body import varied_shape

NUM = 150


def shapes(kind: str) -> list[Shape]:
    return [varied_shape(kind, np.random.default_rng([7, number])) for number in range(NUM)]


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_no_two_bodies_are_the_same_and_they_vary_more_than_the_models_of_edition_1(kind: str) -> None:
    drawn = shapes(kind)
    models = [TYPES[kind].shape(np.random.default_rng([7, number])) for number in range(NUM)]
    assert len(set(drawn)) == NUM
    for name in ("length", "width", "height", "tumblehome"):
        spread, usual = (np.std([getattr(shape, name) for shape in every]) for every in (drawn, models))
        assert spread > 1.2 * usual, name


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_proportions_stay_those_of_a_vehicle(kind: str) -> None:
    for shape in shapes(kind):
        half = shape.length / 2
        (foot, roof_front), (roof_rear, rear_foot) = shape.windscreen, shape.rear_window
        assert -half <= rear_foot < roof_rear < roof_front < foot < half
        assert 0.1 < shape.clearance < shape.nose < shape.belt
        assert shape.height >= shape.belt + 0.34
        assert 1.5 < shape.width < 2.7
        assert shape.roof_outline[2] > 0.35  # the roof is half as wide as the vehicle, at the least
        assert all(-1 <= low < high <= 1 for low, high in shape.pillars)


def test_cars_have_one_to_three_windows_on_a_side() -> None:
    numbers = {len(shape.pillars) for shape in shapes("hatchback")}
    assert numbers == {3, 4}
    assert {len(shape.pillars) for shape in shapes("van")} >= {2, 5, 6, 7}


def test_some_vans_have_a_rear_window() -> None:
    glazed = np.mean([shape.glazed_rear for shape in shapes("van")])
    assert 0.3 < glazed < 0.7


@pytest.mark.parametrize("kind", ["sedan", "suv", "van", "bus", "truck", "pickup", "coupe"])
def test_meshes_face_outwards(kind: str) -> None:
    for number in range(12):
        shape = varied_shape(kind, np.random.default_rng([8, number]))
        for mesh in (lower_body(shape), cabin(shape)):
            assert np.isfinite(mesh.points).all()
            middles, normals, _ = faces(mesh)
            outwards = middles - [middles[:, 0].mean(), 0, middles[:, 2].mean()]
            assert (outwards[:, 1] * normals[:, 1]).sum() > 0
            assert (normals[:, 2] > -0.6).mean() > 0.7


def test_a_tapered_cabin_is_wider_in_front() -> None:
    shape = next(shape for shape in shapes("sedan") if shape.taper > 0.05)
    points = cabin(shape).points
    centre, half_length, _ = shape.roof_outline
    roof = points[points[:, 2] > shape.height - 0.12]
    front = np.abs(roof[roof[:, 0] > centre + 0.4 * half_length, 1]).max()
    rear = np.abs(roof[roof[:, 0] < centre - 0.4 * half_length, 1]).max()
    assert front > rear + 0.02
