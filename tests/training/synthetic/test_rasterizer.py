import numpy as np
import pytest
from scipy.ndimage import binary_erosion
from scipy.spatial import ConvexHull

from tests.training.synthetic.solids import BLUE, GREEN, RED, block
from training.synthetic.scenes.rasterizer import Rasterizer, Surfaces
from training.synthetic.scenes.viewpoint import Viewpoint
from training.synthetic.vehicles.mesh import Material
from training.synthetic.vehicles.vehicle import Vehicle

SIZE = (220, 180)
LOWER, UPPER = np.array([-2.0, -1.0, 0.0]), np.array([2.0, 1.0, 1.5])
VIEWS = [
    Viewpoint(20, 40, 30, 0, 30, (0.0, 0.0, 0.75)),
    Viewpoint(60, 80, -100, 5, 25, (0.0, 0.0, 0.75)),
    Viewpoint(15, 60, 170, -4, 35, (0.5, -0.3, 0.2)),
]


def inside_hull(viewpoint: Viewpoint, grow: float) -> np.ndarray:
    """The pixels whose middle lies in the convex outline of the projected box, grown by some pixels."""
    corners = np.array([[x, y, z] for x in (-2, 2) for y in (-1, 1) for z in (0, 1.5)], float)
    hull = ConvexHull(viewpoint.project(corners))
    columns, rows = np.meshgrid(np.arange(SIZE[0]) + 0.5 - SIZE[0] / 2, np.arange(SIZE[1]) + 0.5 - SIZE[1] / 2)
    pixels = np.stack([columns, rows], -1)
    inside: np.ndarray = (pixels @ hull.equations[:, :2].T + hull.equations[:, 2] <= grow).all(-1)
    return inside


@pytest.fixture(scope="module", params=range(3))
def drawn(rasterizer: Rasterizer, request: pytest.FixtureRequest) -> tuple[Viewpoint, Surfaces]:
    viewpoint = VIEWS[request.param]
    return viewpoint, rasterizer.draw([block(RED, material=Material.CHROME)], viewpoint, SIZE)


def test_pixels_are_hit_where_projection_says(drawn: tuple[Viewpoint, Surfaces]) -> None:
    viewpoint, surfaces = drawn
    assert surfaces.hit.shape == SIZE[::-1]
    assert surfaces.hit[inside_hull(viewpoint, -0.75)].all()
    assert not surfaces.hit[~inside_hull(viewpoint, 0.75)].any()
    assert surfaces.hit.sum() > 1000


def test_colour_and_material_are_exact(drawn: tuple[Viewpoint, Surfaces]) -> None:
    _, surfaces = drawn
    assert surfaces.albedo.dtype == np.uint8
    assert (surfaces.albedo[surfaces.hit] == RED).all()
    assert (surfaces.material[surfaces.hit] == Material.CHROME).all()
    assert (surfaces.material[~surfaces.hit] == 0).all()


def test_positions_lie_on_the_box_and_project_to_their_pixels(drawn: tuple[Viewpoint, Surfaces]) -> None:
    viewpoint, surfaces = drawn
    points = surfaces.position[surfaces.hit]
    outside = np.maximum(LOWER - points, points - UPPER).max(1)  # 0 on its surface, negative within
    assert np.abs(outside).max() < 0.02
    rows, columns = np.nonzero(surfaces.hit)
    expected = np.stack([columns + 0.5 - SIZE[0] / 2, rows + 0.5 - SIZE[1] / 2], 1)
    np.testing.assert_allclose(viewpoint.project(points), expected, atol=0.02)
    # On the side that is seen: nothing of the box lies nearer to the camera.
    eye = viewpoint.position
    towards = (eye - points) / np.linalg.norm(eye - points, axis=1, keepdims=True)
    nearer = points + 0.1 * towards
    assert not ((nearer > LOWER + 0.02) & (nearer < UPPER - 0.02)).all(1).any()


def test_positions_beside_the_box_lie_on_the_ground(drawn: tuple[Viewpoint, Surfaces]) -> None:
    viewpoint, surfaces = drawn
    points = surfaces.position[~surfaces.hit]
    assert np.abs(points[:, 2]).max() < 1e-3
    rows, columns = np.nonzero(~surfaces.hit)
    expected = np.stack([columns + 0.5 - SIZE[0] / 2, rows + 0.5 - SIZE[1] / 2], 1)
    np.testing.assert_allclose(viewpoint.project(points), expected, atol=0.02)


def test_normals_are_those_of_the_face_that_is_seen(drawn: tuple[Viewpoint, Surfaces]) -> None:
    _, surfaces = drawn
    np.testing.assert_allclose(np.linalg.norm(surfaces.normal[surfaces.hit], axis=1), 1, atol=1e-3)
    points, normals = surfaces.position[surfaces.hit], surfaces.normal[surfaces.hit]
    found = set()
    for axis in range(3):
        for sign, at in ((-1, LOWER), (1, UPPER)):
            others = [other for other in range(3) if other != axis]
            clear = (points[:, others] > LOWER[others] + 0.05) & (points[:, others] < UPPER[others] - 0.05)
            on_face = (np.abs(points[:, axis] - at[axis]) < 0.02) & clear.all(1)
            if on_face.any():
                found.add((axis, sign))
                np.testing.assert_allclose(normals[on_face], np.tile(np.eye(3)[axis] * sign, (on_face.sum(), 1)),
                                           atol=0.01)  # fmt: skip
    assert (2, 1) in found
    assert len(found) >= 2
    assert (2, -1) not in found


def test_the_nearer_hides_the_farther(rasterizer: Rasterizer) -> None:
    below, above = block(RED), block(GREEN, (-1, -0.5, 1.6), (1, 0.5, 2))
    viewpoint = Viewpoint(30, 90, 90, 0, 30, (0.0, 0.0, 0.0))
    for order in ([below, above], [above, below]):
        surfaces = rasterizer.draw(order, viewpoint, SIZE)
        x, y, z = np.moveaxis(surfaces.position, -1, 0)
        green = (surfaces.albedo == GREEN).all(-1)
        np.testing.assert_allclose(z[green], 2, atol=0.02)
        assert green[surfaces.hit & (np.abs(x) < 0.95) & (np.abs(y) < 0.45)].all()
        assert not green[(np.abs(x) > 1.05) | (np.abs(y) > 0.55)].any()
        assert (surfaces.albedo[surfaces.hit & ~green] == RED).all()
        assert (surfaces.hit & ~green).sum() > 1000


def test_each_vehicle_keeps_its_own_picture_and_material(rasterizer: Rasterizer) -> None:
    vehicles = [
        block(RED, (-2.5, -1, 0), (-1, 1, 1), Material.PAINT),
        block(GREEN, (-0.7, -1, 0), (0.7, 1, 1), Material.GLASS),
        block(BLUE, (1, -1, 0), (2.5, 1, 1), Material.MATT),
    ]
    surfaces = rasterizer.draw(vehicles, Viewpoint(30, 90, 90, 0, 30, (0.0, 0.0, 0.0)), SIZE)
    for colour, material, low in ((RED, Material.PAINT, -2.5), (GREEN, Material.GLASS, -0.7), (BLUE, Material.MATT, 1)):
        found = (surfaces.albedo == colour).all(-1)
        assert found.sum() > 800
        assert (surfaces.material[found] == material).all()
        assert surfaces.position[found][:, 0].min() == pytest.approx(low, abs=0.06)


def same(first: Surfaces, second: Surfaces) -> bool:
    return all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("hit", "albedo", "normal", "material", "position")
    )


def test_nothing_is_left_of_earlier_drawings(rasterizer: Rasterizer, fleet: list[Vehicle]) -> None:
    viewpoint = VIEWS[0]
    first = rasterizer.draw([block(RED)], viewpoint, SIZE)
    rasterizer.draw([block(GREEN, (-9, -9, 0), (9, 9, 3))], viewpoint, (640, 640))
    rasterizer.draw([fleet[3], fleet[4].moved(3, 0, 10)], VIEWS[1], (33, 20))
    assert same(first, rasterizer.draw([block(RED)], viewpoint, SIZE))


@pytest.mark.parametrize("size", [(640, 640), (20, 44), (640, 30), (7, 5)])
def test_the_middle_is_the_target_at_any_size(rasterizer: Rasterizer, size: tuple[int, int]) -> None:
    scale = min(size) / 6
    viewpoint = Viewpoint(20, 55, 40, 3, scale, (0.0, 0.0, 1.5))
    surfaces = rasterizer.draw([block(BLUE)], viewpoint, size)
    assert surfaces.hit.shape == size[::-1]
    assert surfaces.albedo.shape == (*size[::-1], 3)
    middle = surfaces.position[size[1] // 2, size[0] // 2]
    assert np.linalg.norm(middle - [0, 0, 1.5]) < 1.5 / scale + 0.02
    assert (surfaces.albedo[surfaces.hit] == BLUE).all()
    rows, columns = np.nonzero(surfaces.hit)
    projected = viewpoint.project(surfaces.position[surfaces.hit])
    np.testing.assert_allclose(projected[:, 0], columns + 0.5 - size[0] / 2, atol=0.05)
    np.testing.assert_allclose(projected[:, 1], rows + 0.5 - size[1] / 2, atol=0.05)


def test_a_real_vehicles_positions_are_on_its_surface(rasterizer: Rasterizer, fleet: list[Vehicle]) -> None:
    vehicle = fleet[0]
    surfaces = rasterizer.draw([vehicle], VIEWS[0], SIZE)
    points = surfaces.position[binary_erosion(surfaces.hit, iterations=2)]
    lower, upper = vehicle.mesh.points.min(0), vehicle.mesh.points.max(0)
    assert (points > lower - 0.02).all()
    assert (points < upper + 0.02).all()
    seen = set(np.unique(surfaces.material[surfaces.hit]))
    assert {Material.PAINT, Material.GLASS} <= seen <= set(Material)
    facing = (surfaces.normal * (VIEWS[0].position - surfaces.position)).sum(-1)[surfaces.hit]
    assert (facing > 0).mean() > 0.9


def test_a_picture_larger_than_the_window_is_refused(rasterizer: Rasterizer, fleet: list[Vehicle]) -> None:
    """What lies beyond the window's edge would be whatever the memory holds."""
    viewpoint = Viewpoint(40.0, 60.0, 0.0, 0.0, 20.0, (0.0, 0.0, 0.5))
    for size in ((641, 100), (100, 641)):
        with pytest.raises(ValueError, match="640"):
            rasterizer.draw(fleet[:1], viewpoint, size)
    large = Rasterizer(700).draw(fleet[:1], viewpoint, (700, 700))
    assert np.isfinite(large.position).all()
    assert large.hit[340:360, 340:360].all()


def test_the_first_vehicles_pixels_are_its_own(rasterizer: Rasterizer) -> None:
    first, second = block(RED, (-2, -1, 0), (0, 1, 1.5)), block(BLUE, (0, -1, 0), (2, 1, 1.5))
    for vehicles, colour in (([first, second], RED), ([second, first], BLUE)):
        surfaces = rasterizer.draw(vehicles, VIEWS[1], SIZE)
        np.testing.assert_array_equal(surfaces.own, surfaces.hit & (surfaces.albedo == colour).all(-1))
        assert 0.3 < surfaces.own.sum() / surfaces.hit.sum() < 0.7
