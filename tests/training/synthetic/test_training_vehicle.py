import numpy as np
import pytest

from training.synthetic.vehicles.training_vehicle import build_training_vehicle
from training.synthetic.vehicles.types import COLOURS, TYPES
from training.synthetic.vehicles.vehicle import Vehicle, build_vehicle

NUM = 160


@pytest.fixture(scope="module")
def drawn() -> list[Vehicle]:
    return [build_training_vehicle(5, number, 0.5) for number in range(NUM)]


def test_a_vehicle_follows_from_its_numbers(drawn: list[Vehicle]) -> None:
    again = build_training_vehicle(5, 3, 0.5)
    np.testing.assert_array_equal(again.mesh.points, drawn[3].mesh.points)
    assert again.picture.tobytes() == drawn[3].picture.tobytes()
    assert again.details == drawn[3].details


def test_each_has_a_body_of_its_own(drawn: list[Vehicle]) -> None:
    assert len({vehicle.shape for vehicle in drawn}) == NUM
    assert len({vehicle.picture.tobytes() for vehicle in drawn}) == NUM


def test_it_is_none_of_edition_1_nor_a_bystander() -> None:
    for number in range(5):
        one = build_training_vehicle(5, number, 0.5)
        assert one.shape != build_vehicle(5, number).shape
        assert one.shape != build_training_vehicle(5, number, 0.5, stream=1).shape
        assert one.shape != build_training_vehicle(6, number, 0.5).shape


def test_half_of_them_are_plain(drawn: list[Vehicle]) -> None:
    plain = [vehicle for vehicle in drawn if "plain" in vehicle.details]
    assert len(plain) / NUM == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / NUM))
    striking = ("stripes", "sticker", "odd ", "coloured roof", "faded", "rust", "dent", "stripe on", "roof sign")
    for vehicle in plain:
        assert not any(word in detail for detail in vehicle.details for word in striking), vehicle.details
    others = [vehicle for vehicle in drawn if "plain" not in vehicle.details]
    assert np.mean([len(vehicle.details) for vehicle in others]) > 1 + np.mean([len(v.details) - 1 for v in plain])


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_share_of_plain_ones_is_what_is_asked_for(share: float) -> None:
    assert all(("plain" in build_training_vehicle(5, n, share).details) == bool(share) for n in range(12))


def test_they_stand_on_the_ground_within_their_size_and_are_sound(drawn: list[Vehicle]) -> None:
    for vehicle in drawn:
        assert vehicle.kind in TYPES
        assert vehicle.colour in COLOURS
        points = vehicle.mesh.points
        assert np.isfinite(points).all()
        assert -0.12 < points[:, 2].min() < 0.1
        assert points[:, 2].max() < vehicle.shape.height + 1.2
        assert np.abs(points[:, 0]).max() < vehicle.shape.length / 2 + 0.4
        assert np.abs(points[:, 1]).max() < vehicle.shape.width / 2 + 0.35
        assert vehicle.mesh.triangles.max() < len(points)
        assert 0 <= vehicle.mesh.uv.min() <= vehicle.mesh.uv.max() <= 1
