import numpy as np
import pytest

from tests.training.synthetic.solids import faces
from training.synthetic.vehicles.mesh import Material, box, ellipsoid, grid, join, turn_about_z, wheel

PLATE = np.array([[(x, 0, z) for x in (0.0, 1.0, 2.0)] for z in (0.0, 1.0, 2.0)])  # up, then right


def test_a_grids_outside_faces_who_sees_its_indices_go_up_and_right() -> None:
    mesh = grid(PLATE)
    np.testing.assert_array_equal(mesh.normals, np.tile([0, -1, 0], (9, 1)))
    np.testing.assert_allclose(faces(mesh)[1], np.tile([0, -1, 0], (8, 1)), atol=1e-7)
    assert mesh.points.dtype == mesh.normals.dtype == mesh.uv.dtype == np.float32


def test_a_grid_covers_its_area_once() -> None:
    mesh = grid(PLATE)
    corners = mesh.points[mesh.triangles]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    assert areas.sum() == pytest.approx(4)


def test_degenerate_grids_have_unit_normals() -> None:
    mesh = grid(np.zeros((3, 3, 3)))
    np.testing.assert_array_equal(np.linalg.norm(mesh.normals, axis=1), 1)


def test_cells_of_different_material_share_no_point() -> None:
    materials = np.array([[Material.PAINT, Material.GLASS], [Material.GLASS, Material.PAINT]], np.uint8)
    mesh = grid(PLATE, materials)
    of_triangle = mesh.material[mesh.triangles]
    assert (of_triangle == of_triangle[:, :1]).all()
    glass = mesh.points[mesh.triangles[of_triangle[:, 0] == Material.GLASS]].mean(1)
    # Lower right and upper left.
    assert {(x > 1, z > 1) for x, _, z in glass} == {(True, False), (False, True)}
    assert len(glass) == 4


def test_a_box_has_five_faces_that_look_outwards() -> None:
    lower, upper = (1.0, -2.0, 0.5), (3.0, 1.0, 2.0)
    mesh = box(lower, upper, Material.CHROME)
    centre = np.array([2, -0.5, 1.25])
    middles, normals, _ = faces(mesh)
    assert ((middles - centre) * normals).sum(1).min() > 0.7
    assert ((mesh.points - centre) * mesh.normals).sum(1).min() > 0.7
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1)
    assert {tuple(normal) for normal in np.round(normals).astype(int).tolist()} == {
        (0, 0, 1), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0),
    }  # fmt: skip
    np.testing.assert_array_equal(mesh.points.min(0), lower)
    np.testing.assert_array_equal(mesh.points.max(0), upper)
    assert (mesh.material == Material.CHROME).all()


@pytest.mark.parametrize("squareness", [2, 3, 5])
def test_an_ellipsoids_points_lie_on_it_and_its_normals_point_outwards(squareness: float) -> None:
    centre, radii = np.array([1.0, -2.0, 3.0]), np.array([1.0, 0.5, 2.0])
    mesh = ellipsoid((1, -2, 3), (1, 0.5, 2), squareness, Material.PAINT)
    np.testing.assert_allclose((np.abs((mesh.points - centre) / radii) ** squareness).sum(1), 1, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-6)
    middles, normals, _ = faces(mesh)
    assert ((middles - centre) * normals).sum(1).min() > 0
    above = mesh.points[:, 2] > 1.001  # its lowest point has no area around it
    assert ((mesh.points - centre) * mesh.normals).sum(1)[above].min() > 0
    assert above.mean() > 0.85


def test_an_ellipsoid_of_squareness_two_is_smooth() -> None:
    mesh = ellipsoid((0, 0, 0), (1, 1, 1), 2, Material.PAINT)
    inner = np.abs(mesh.points[:, 2]) < 0.95
    off_seam = np.abs(np.arctan2(mesh.points[:, 1], mesh.points[:, 0])) < 3
    agreement = (mesh.points * mesh.normals).sum(1)[inner & off_seam]
    assert agreement.min() > 0.99


def test_a_wheel_is_a_tyre_with_a_rim_on_both_sides() -> None:
    tyre, rim = wheel((1, 2, 0.3), 0.3, 0.2)
    np.testing.assert_allclose(tyre.points.min(0), [0.7, 1.9, 0], atol=1e-6)
    np.testing.assert_allclose(tyre.points.max(0), [1.3, 2.1, 0.6], atol=1e-6)
    reach = np.hypot(rim.points[:, 0] - 1, rim.points[:, 2] - 0.3)
    assert reach.max() == pytest.approx(0.3 * 0.62, abs=1e-6)
    assert (np.abs(rim.points[:, 1] - 2) < 0.1).all()
    assert {np.sign(y - 2) for y in rim.points[:, 1]} == {-1, 1}
    assert (tyre.material == Material.MATT).all()
    assert (rim.material == Material.CHROME).all()
    for mesh in (tyre, rim):
        np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-6)


def test_a_wheels_normals_point_outwards() -> None:
    tyre, rim = wheel((1, 2, 0.3), 0.3, 0.2)
    middles, normals, _ = faces(tyre)
    for places, outwards in ((tyre.points, tyre.normals), (middles, normals)):
        # Away from the ring in the middle of the tyre's rubber.
        spoke = (places - np.array([1, 2, 0.3])) * np.array([1, 0, 1])
        ring = np.array([1, 2, 0.3]) + 0.8 * 0.3 * spoke / np.linalg.norm(spoke, axis=1, keepdims=True)
        assert ((places - ring) * outwards).sum(1).min() > 0.01
    middles, normals, _ = faces(rim)
    for places, outwards in ((rim.points, rim.normals), (middles, normals)):
        np.testing.assert_allclose(outwards[:, 1], np.sign(places[:, 1] - 2), atol=1e-6)


def test_a_joined_mesh_is_its_parts_one_after_the_other() -> None:
    parts = [
        box((0, 0, 0), (1, 1, 1), Material.MATT),
        ellipsoid((5, 0, 0), (1, 1, 1), 3, Material.GLASS),
        box((2, 0, 0), (3, 1, 1), Material.CHROME),
    ]
    whole = join(parts)
    corners = np.concatenate([part.points[part.triangles] for part in parts])
    np.testing.assert_array_equal(whole.points[whole.triangles], corners)
    normals = np.concatenate([part.normals[part.triangles] for part in parts])
    np.testing.assert_array_equal(whole.normals[whole.triangles], normals)
    materials = np.concatenate([part.material[part.triangles] for part in parts])
    np.testing.assert_array_equal(whole.material[whole.triangles], materials)


def test_moving_turns_counter_clockwise_and_then_shifts() -> None:
    mesh = box((0, 0, 0), (2, 1, 1), Material.MATT)
    moved = mesh.moved((10, 20, 0), 90)
    expected = np.stack([10 - mesh.points[:, 1], 20 + mesh.points[:, 0], mesh.points[:, 2]], 1)
    np.testing.assert_allclose(moved.points, expected, atol=1e-5)
    turned = np.stack([-mesh.normals[:, 1], mesh.normals[:, 0], mesh.normals[:, 2]], 1)
    np.testing.assert_allclose(moved.normals, turned, atol=1e-6)
    assert moved.points.dtype == np.float32
    np.testing.assert_array_equal(moved.triangles, mesh.triangles)


@pytest.mark.parametrize("angle", [-170, -30, 0, 45, 120])
def test_turn_about_z_adds_to_the_angle(angle: float) -> None:
    for start in (0, 50):
        point = np.array([[np.cos(np.deg2rad(start)), np.sin(np.deg2rad(start)), 7.0]])
        x, y, z = (point @ turn_about_z(angle))[0]
        assert z == 7
        assert np.hypot(x, y) == pytest.approx(1, abs=1e-6)
        assert (np.rad2deg(np.arctan2(y, x)) - start - angle + 180) % 360 == pytest.approx(180, abs=1e-3)


def test_a_part_is_the_chosen_triangles_and_only_their_points() -> None:
    mesh = join([box((0, 0, 0), (1, 1, 1), Material.MATT), box((5, 5, 5), (6, 6, 6), Material.GLASS)])
    chosen = mesh.material[mesh.triangles[:, 0]] == Material.GLASS
    part = mesh.part(chosen)
    np.testing.assert_array_equal(part.points[part.triangles], mesh.points[mesh.triangles[chosen]])
    np.testing.assert_array_equal(part.normals[part.triangles], mesh.normals[mesh.triangles[chosen]])
    assert (part.material == Material.GLASS).all()
    assert part.points.min() == 5
    assert len(part.points) == len(part.normals) == len(part.uv) == len(np.unique(part.triangles))
