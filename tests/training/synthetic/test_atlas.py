import numpy as np
import pytest
from PIL import Image

from tests.training.synthetic.solids import BLUE, GREEN, GREY, RED, as_vehicle, colours_of
from training.synthetic.scenes.rasterizer import Rasterizer
from training.synthetic.scenes.viewpoint import Viewpoint
from training.synthetic.vehicles.atlas import SIDES, Atlas, Colour, Side
from training.synthetic.vehicles.mesh import Material, box

LENGTH, WIDTH, HEIGHT = 4.0, 2.0, 1.5
YELLOW: Colour = (220, 210, 20)
BODY = box((-LENGTH / 2, -WIDTH / 2, 0), (LENGTH / 2, WIDTH / 2, HEIGHT), Material.MATT)
# Where on the vehicle a chart's two coordinates point, and which of the box's faces it is: axis and sign.
AXES: dict[Side, tuple[int, int]] = {"top": (0, 1), "left": (0, 2), "right": (0, 2), "front": (1, 2), "rear": (1, 2)}
FACE: dict[Side, tuple[int, float]] = {"top": (2, HEIGHT), "left": (1, 1), "right": (1, -1), "front": (0, 2),
                                       "rear": (0, -2)}  # fmt: skip


def make() -> Atlas:
    return Atlas(LENGTH, WIDTH, HEIGHT, GREY)


def sampled(atlas: Atlas) -> tuple[np.ndarray, np.ndarray]:
    """Many places on the box, and the atlas's colours there."""
    mesh = atlas.projected(BODY)
    weights = np.random.default_rng(0).dirichlet((1, 1, 1), 400)
    found = [colours_of(mesh, atlas.image, (a, b, c)) for a, b, c in weights]
    return np.concatenate([places for places, _ in found]), np.concatenate([colours for _, colours in found])


@pytest.mark.parametrize("side", SIDES)
def test_a_rectangle_on_a_chart_colours_that_part_of_that_side_alone(side: Side) -> None:
    atlas = make()
    low, high = ((0.2, 0.3), (0.7, 0.8)) if side != "top" else ((0.2, 0.1), (1.7, 0.8))
    atlas.rectangle(side, low, high, RED)
    places, colours = sampled(atlas)
    a, b = places[:, AXES[side]].T
    axis, at = FACE[side]
    on_face = np.abs(places[:, axis] - at) < 1e-6
    edge = 1.5 / atlas.scale
    inside = on_face & (a > low[0] + edge) & (a < high[0] - edge) & (b > low[1] + edge) & (b < high[1] - edge)
    outside = ~on_face | (a < low[0] - edge) | (a > high[0] + edge) | (b < low[1] - edge) | (b > high[1] + edge)
    assert inside.sum() > 10
    np.testing.assert_array_equal(colours[inside], np.tile(RED, (inside.sum(), 1)))
    np.testing.assert_array_equal(colours[outside], np.tile(GREY, (outside.sum(), 1)))


@pytest.mark.parametrize(
    ("side", "depression", "azimuth"),
    # The left is seen by who looks to the right, −y.
    [("top", 90, 90), ("left", 6, -90), ("right", 6, 90), ("front", 6, 180), ("rear", 6, 0)],
)
def test_a_picture_reads_unmirrored_from_its_side(
    rasterizer: Rasterizer, side: Side, depression: float, azimuth: float
) -> None:
    atlas = make()
    quarters = np.zeros((40, 60, 4), np.uint8)
    quarters[..., 3] = 255
    for rows, columns, colour in (
        (slice(0, 20), slice(0, 30), RED), (slice(0, 20), slice(30, 60), GREEN),
        (slice(20, 40), slice(0, 30), BLUE), (slice(20, 40), slice(30, 60), YELLOW),
    ):  # fmt: skip
        quarters[rows, columns, :3] = colour
    atlas.paste(side, (0.0, 0.0 if side == "top" else HEIGHT / 2), Image.fromarray(quarters))
    vehicle = as_vehicle(atlas.projected(BODY), atlas.image, (LENGTH, WIDTH, HEIGHT))
    altitude = 20 if side == "top" else 3
    viewpoint = Viewpoint(altitude, depression, azimuth, 0, 60, (0.0, 0.0, HEIGHT / 2))
    seen = rasterizer.draw([vehicle], viewpoint, (200, 160)).albedo.astype(int)
    middles = {}
    for colour in (RED, GREEN, BLUE, YELLOW):
        there = np.argwhere(np.abs(seen - colour).max(-1) < 40)
        assert len(there) > 50, f"{side}: {colour} is not seen"
        middles[colour] = there.mean(0)
    for left, right in ((RED, GREEN), (BLUE, YELLOW)):
        assert middles[left][1] + 10 < middles[right][1]
    for upper, lower in ((RED, BLUE), (GREEN, YELLOW)):
        assert middles[upper][0] + 5 < middles[lower][0]


def test_charts_do_not_overlap() -> None:
    for side in SIDES:
        atlas = make()
        a = LENGTH / 2 if AXES[side][0] == 0 else WIDTH / 2
        low, high = ((-a, -WIDTH / 2), (a, WIDTH / 2)) if side == "top" else ((-a, 0.0), (a, HEIGHT))
        atlas.rectangle(side, low, high, RED)
        places, colours = sampled(atlas)
        axis, at = FACE[side]
        on_face = np.abs(places[:, axis] - at) < 1e-6
        red = (colours == RED).all(1)
        assert red[on_face].all()
        assert not red[~on_face].any()


def test_a_line_is_as_wide_as_asked_and_a_disc_as_large() -> None:
    atlas = make()
    atlas.line("left", [(-2, 1.0), (2, 1.0)], RED, 0.2)
    atlas.disc("top", (1.0, 0.5), 0.3, GREEN)
    atlas.polygon("right", [(0, 0.2), (1, 0.2), (1, 0.8)], BLUE)
    places, colours = sampled(atlas)
    x, y, z = places.T
    red, green, blue = ((colours == colour).all(1) for colour in (RED, GREEN, BLUE))
    px = 1.5 / atlas.scale
    on_left, on_top, on_right = y > 1 - 1e-6, z > HEIGHT - 1e-6, y < -1 + 1e-6
    assert red[on_left & (np.abs(z - 1) < 0.1 - px)].all()
    assert not red[~on_left | (np.abs(z - 1) > 0.1 + px)].any()
    reach = np.hypot(x - 1, y - 0.5)
    assert green[on_top & (reach < 0.3 - px)].all()
    assert not green[~on_top | (reach > 0.3 + px)].any()
    assert red.any()
    assert green.any()
    triangle = on_right & (x > 0) & (x < 1) & (z > 0.2) & (z < 0.2 + 0.6 * x)
    deep = triangle & (x > 0.1) & (x < 1 - px) & (z > 0.2 + px) & (z < 0.2 + 0.6 * x - 1.5 * px)
    assert deep.sum() > 10
    assert blue[deep].all()
    assert not blue[on_right & ((x < -px) | (x > 1 + px) | (z < 0.2 - px) | (z > 0.2 + 0.6 * x + 1.5 * px))].any()


@pytest.mark.parametrize("side", SIDES)
def test_shading_multiplies_one_chart_and_no_other(side: Side) -> None:
    atlas = make()
    atlas.shade(side, np.full((8, 8), 0.5))
    places, colours = sampled(atlas)
    axis, at = FACE[side]
    on_face = np.abs(places[:, axis] - at) < 1e-6
    assert (colours[on_face] == 64).all()
    assert (colours[~on_face] == 128).all()


def test_shading_runs_along_the_chart_from_its_upper_left_corner() -> None:
    atlas = make()
    atlas.shade("top", np.array([[0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]), GREEN)
    places, colours = sampled(atlas)
    x, y, z = places.T
    top = z > HEIGHT - 1e-6
    plain = top & (x < -1) & (y > 0.5)  # the top chart's upper left: rear, on the left
    painted = top & (((x > 1.2) & (np.abs(y) > 0.1)) | (y < -0.7))
    assert plain.sum() > 5
    assert painted.sum() > 5
    assert np.abs(colours[plain] - GREY).max() < 20
    assert np.abs(colours[painted] - GREEN).max() < 20


def test_flat_meshes_have_one_colour_each_and_share_equal_ones() -> None:
    atlas = make()
    colours: list[Colour] = [(number * 5, 255 - number * 5, 7) for number in range(40)]
    meshes = [atlas.flat(BODY, colour) for colour in colours]
    size = atlas.image.size
    for mesh, colour in zip(meshes, colours, strict=True):
        places = np.floor(mesh.uv * size).astype(int)
        assert len(np.unique(places, axis=0)) == 1
        # The neighbouring pixels too, between which a renderer interpolates.
        column, row = places[0]
        around = np.asarray(atlas.image)[row - 1 : row + 2, column - 1 : column + 2]
        assert (around == colour).all()
    np.testing.assert_array_equal(atlas.flat(BODY, colours[3]).uv, meshes[3].uv)


def test_flat_colours_leave_the_charts_alone() -> None:
    atlas = make()
    for number in range(40):
        atlas.flat(BODY, (number, 0, 0))
    _, colours = sampled(atlas)
    assert (colours == 128).all()


def test_projecting_keeps_the_surface_and_its_materials() -> None:
    atlas = make()
    mesh = atlas.projected(BODY)

    def triangles(points: np.ndarray, indices: np.ndarray) -> set[tuple[tuple[float, ...], ...]]:
        return {tuple(sorted(map(tuple, corners))) for corners in points[indices].tolist()}

    assert triangles(mesh.points, mesh.triangles) == triangles(BODY.points, BODY.triangles)
    assert (mesh.material == Material.MATT).all()
    assert mesh.uv.min() > 0
    assert mesh.uv.max() < 1


def test_long_vehicles_have_coarser_charts() -> None:
    assert Atlas(4, 2, 1.5, GREY).scale == 90
    long = Atlas(12, 2.5, 3, GREY)
    assert long.scale < 50
    assert max(long.image.size) < 700


def test_a_graded_mesh_changes_colour_with_its_height() -> None:
    atlas = make()
    mesh = atlas.graded(BODY, RED, BLUE, (0.5, 1.0))
    atlas.flat(BODY, GREEN)
    places, colours = (np.concatenate(found) for found in zip(*(
        colours_of(mesh, atlas.image, (a, b, c)) for a, b, c in np.random.default_rng(1).dirichlet((1, 1, 1), 50)
    ), strict=True))  # fmt: skip
    height = mesh.points[:, 2]
    uv = np.floor(mesh.uv * atlas.image.size).astype(int)
    found = np.asarray(atlas.image)[uv[:, 1], uv[:, 0]]
    assert (found[height == 0] == RED).all()
    assert (found[height == HEIGHT] == BLUE).all()
    # Neither the charts nor the next colour's cell shows anywhere.
    assert colours[:, 1].max() <= 20
    assert len(places) == len(colours)
