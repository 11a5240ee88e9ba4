import re

import numpy as np
import pytest

from training.synthetic.vehicles.body import cabin, lower_body
from training.synthetic.vehicles.livery import wheel_places, wheel_radius
from training.synthetic.vehicles.mesh import Material
from training.synthetic.vehicles.types import COLOURS, TYPES
from training.synthetic.vehicles.vehicle import Vehicle, build_vehicle

WEAR = {"clean", "dusty", "dirty"}


def as_bytes(vehicle: Vehicle) -> tuple[bytes, ...]:
    mesh = vehicle.mesh
    arrays = (mesh.points, mesh.normals, mesh.triangles, mesh.uv, mesh.material, *vehicle.hulls)
    return (*(np.ascontiguousarray(array).tobytes() for array in arrays), vehicle.picture.tobytes())


@pytest.mark.parametrize("number", [0, 7])
def test_a_vehicle_follows_from_its_numbers(number: int) -> None:
    first = build_vehicle(5, number)
    build_vehicle(5, 50)
    again = build_vehicle(5, number)
    assert as_bytes(first) == as_bytes(again)
    assert (first.kind, first.colour, first.details, first.shape) == (
        again.kind, again.colour, again.details, again.shape,
    )  # fmt: skip


def test_every_number_of_a_seed_is_another_vehicle(fleet: list[Vehicle]) -> None:
    # Where two are of one model, their paint and its marks differ.
    assert len({vehicle.picture.tobytes() for vehicle in fleet}) == len(fleet)
    assert len({as_bytes(vehicle) for vehicle in fleet}) == len(fleet)


def test_another_seed_has_other_vehicles_and_bystanders_are_no_identities(fleet: list[Vehicle]) -> None:
    identities = {vehicle.picture.tobytes() for vehicle in fleet}
    others = [build_vehicle(6, number) for number in range(10)]
    bystanders = [build_vehicle(5, number, stream=1) for number in range(10)]
    assert len(identities | {other.picture.tobytes() for other in others + bystanders}) == len(fleet) + 20


def test_vehicles_have_names_that_exist_and_at_least_three_details(fleet: list[Vehicle]) -> None:
    for vehicle in fleet:
        assert vehicle.kind in TYPES
        assert vehicle.colour in COLOURS
        assert all(vehicle.details)
        *details, dirt = vehicle.details
        assert dirt in WEAR
        assert len(details) >= 3
    assert len({vehicle.details for vehicle in fleet}) > 190
    assert {vehicle.details[-1] for vehicle in fleet} == WEAR


def test_vehicles_stand_on_the_ground_and_fill_their_shape(fleet: list[Vehicle]) -> None:
    for vehicle in fleet:
        shape, points = vehicle.shape, vehicle.mesh.points
        lower, upper = points.min(0), points.max(0)
        assert lower[2] == pytest.approx(0, abs=1e-4)
        assert upper[0] == pytest.approx(shape.length / 2, abs=0.2)
        # A spare wheel and boards on the roof stick out behind.
        assert -shape.length / 2 - 0.25 < lower[0] < -shape.length / 2 + 1e-3
        # Mirrors stick out on both sides.
        assert 0.05 < upper[1] - shape.width / 2 < 0.25
        assert lower[1] == pytest.approx(-upper[1], abs=1e-4)
        assert shape.height - 1e-3 <= upper[2] < shape.height + 0.9


def test_a_heap_in_a_bed_stays_above_the_ground(fleet: list[Vehicle]) -> None:
    heaped = [number for number, vehicle in enumerate(fleet) if "heap in the bed" in vehicle.details]
    assert len(heaped) > 1
    assert all(fleet[number].mesh.points[:, 2].min() >= -1e-4 for number in heaped)


def test_meshes_are_sound(fleet: list[Vehicle]) -> None:
    for vehicle in fleet:
        mesh = vehicle.mesh
        number = len(mesh.points)
        assert np.isfinite(mesh.points).all()
        np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-5)
        assert mesh.triangles.min() == 0
        assert len(np.unique(mesh.triangles)) == mesh.triangles.max() + 1 == number
        assert mesh.normals.shape == (number, 3)
        assert mesh.uv.shape == (number, 2)
        assert mesh.uv.min() > 0
        assert mesh.uv.max() < 1
        material = mesh.material[mesh.triangles]
        assert (material == material[:, :1]).all()
        assert {Material.PAINT, Material.GLASS, Material.MATT, Material.CHROME} >= set(np.unique(material))
        assert Material.GLASS in material
        assert vehicle.picture.mode == "RGB"


def test_every_wheel_stands_where_the_axles_are(fleet: list[Vehicle]) -> None:
    for vehicle in fleet[:40]:
        radius = wheel_radius(vehicle.kind)
        points = vehicle.mesh.points
        low = points[(points[:, 2] < 0.02 * radius) & (np.abs(points[:, 1]) > vehicle.shape.width / 5)]
        places = wheel_places(vehicle.shape, vehicle.kind)
        for x in places:
            for sign in (-1, 1):
                near = (np.abs(low[:, 0] - x) < 0.1) & (np.sign(low[:, 1]) == sign)
                assert near.any()
        assert all(np.abs(np.array(places) - x).min() < 0.15 for x in low[:, 0])
        assert vehicle.shape.width / 2 - 0.35 < np.abs(low[:, 1]).min()
        assert np.abs(low[:, 1]).max() < vehicle.shape.width / 2 + 0.06


def test_the_paint_is_one_of_its_colours(fleet: list[Vehicle]) -> None:
    """The commonest colour of the sides, where dirt is least: high on a clean vehicle."""
    clean = [vehicle for vehicle in fleet if vehicle.details[-1] == "clean"][:40]
    assert len(clean) > 20
    close = 0
    for vehicle in clean:
        pixels = np.asarray(vehicle.picture).reshape(-1, 3).astype(int)
        tints = COLOURS[vehicle.colour][1]
        # Each vehicle's own tint is a little lighter or darker.
        close += max((np.abs(pixels - tint).max(1) < 12 + 0.12 * max(tint)).mean() for tint in tints) > 0.2
    assert close > 0.9 * len(clean)


def test_hulls_hold_the_whole_body(fleet: list[Vehicle]) -> None:
    for vehicle in fleet[:40]:
        shells = np.concatenate([lower_body(vehicle.shape).points, cabin(vehicle.shape).points])
        for direction in np.random.default_rng(0).normal(size=(20, 3)):
            assert max((hull @ direction).max() for hull in vehicle.hulls) >= (shells @ direction).max() - 1e-5
        corners = np.concatenate(vehicle.hulls)
        for part in corners[::17]:
            assert np.linalg.norm(vehicle.mesh.points - part, axis=1).min() < 1e-5


def test_moving_a_vehicle_moves_its_mesh_and_its_hulls_alike(fleet: list[Vehicle]) -> None:
    vehicle = fleet[0]
    moved = vehicle.moved(3, -2, 90)
    for before, after in zip((vehicle.mesh.points, *vehicle.hulls), (moved.mesh.points, *moved.hulls), strict=True):
        expected = np.stack([3 - before[:, 1], -2 + before[:, 0], before[:, 2]], 1)
        np.testing.assert_allclose(after, expected, atol=1e-4)
    assert moved.picture is vehicle.picture
    assert moved.shape == vehicle.shape


def test_panes_are_tinted_alike_in_front(fleet: list[Vehicle]) -> None:
    """The windscreen is dark, whatever the paint."""
    for vehicle in [one for one in fleet if one.colour == "white"][:20]:
        mesh = vehicle.mesh
        chosen = mesh.material[mesh.triangles[:, 0]] == Material.GLASS
        middles = mesh.points[mesh.triangles].mean(1)
        facing = mesh.normals[mesh.triangles].mean(1)[:, 0] > 0.3
        screen = chosen & facing & (middles[:, 2] > vehicle.shape.belt)
        uv = np.unique(mesh.uv[mesh.triangles[screen]].reshape(-1, 2), axis=0)
        columns, rows = np.floor(uv * vehicle.picture.size).astype(int).T
        colours = np.asarray(vehicle.picture)[rows, columns]
        assert screen.any()
        assert colours.max() < 170
        assert colours.mean() < 150


def test_only_pickups_and_trucks_have_a_bed_or_a_body(fleet: list[Vehicle]) -> None:
    for vehicle in fleet:
        carries = any(re.search(r"\bbed$|\bbody$", word) for word in vehicle.details)
        assert carries == (vehicle.kind in ("pickup", "truck"))
