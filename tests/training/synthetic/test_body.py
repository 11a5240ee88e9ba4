import numpy as np
import pytest
from scipy.interpolate import LinearNDInterpolator

from tests.training.synthetic.solids import faces
from training.synthetic.vehicles.body import Shape, cabin, lower_body
from training.synthetic.vehicles.mesh import Material
from training.synthetic.vehicles.types import TYPES


def models(kind: str) -> list[Shape]:
    return [TYPES[kind].shape(np.random.default_rng(seed)) for seed in range(4)]


@pytest.mark.parametrize("kind", TYPES)
def test_the_lower_body_fills_its_shape(kind: str) -> None:
    for shape in models(kind):
        points = lower_body(shape).points
        half = np.array([shape.length, shape.width]) / 2
        np.testing.assert_allclose(points.min(0), [*-half, shape.clearance], atol=1e-4)
        np.testing.assert_allclose(points.max(0)[:2], half, atol=1e-4)
        assert points[:, 2].max() == pytest.approx(max(shape.belt, shape.deck), abs=0.06)
        middle = np.abs(points[:, 1]) < 0.1
        front = points[middle & (points[:, 0] > shape.length * 0.35)]
        assert shape.nose < front[:, 2].max() < shape.belt


@pytest.mark.parametrize("kind", TYPES)
def test_the_lower_bodys_normals_point_outwards(kind: str) -> None:
    for shape in models(kind):
        mesh = lower_body(shape)
        np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-6)
        middles, normals, whole = faces(mesh)
        # Each section across is star-shaped about the middle of its foot.
        outwards = normals[:, 1] * middles[:, 1] + normals[:, 2] * (middles[:, 2] - shape.clearance)
        assert outwards.min() > -1e-4
        assert outwards.mean() > 0.1
        assert (mesh.normals[mesh.triangles].mean(1)[whole] * normals).sum(1).min() > 0
        for sign in (-1, 1):
            end = sign * middles[:, 0] > shape.length / 2 - 0.01
            assert (sign * normals[end, 0]).min() > -0.01
            assert (sign * normals[end, 0]).mean() > 0.3


@pytest.mark.parametrize("kind", TYPES)
def test_the_cabins_normals_point_outwards(kind: str) -> None:
    for shape in models(kind):
        mesh = cabin(shape)
        centre = np.array([shape.roof_outline[0], 0, (shape.belt + shape.height) / 2])
        middles, normals, whole = faces(mesh)
        assert ((middles - centre) * normals).sum(1).min() > 0.1
        np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-6)
        assert (mesh.normals[mesh.triangles].mean(1)[whole] * normals).sum(1).min() > 0.9


@pytest.mark.parametrize("kind", TYPES)
def test_the_cabin_stands_on_the_belt_within_the_body(kind: str) -> None:
    for shape in models(kind):
        points = cabin(shape).points
        assert points[:, 2].max() == pytest.approx(shape.height, abs=1e-4)
        assert shape.belt - 0.05 < points[:, 2].min() < shape.belt
        assert points[:, 0].min() > -shape.length / 2
        assert points[:, 0].max() < shape.length / 2
        assert np.abs(points[:, 1]).max() < shape.width / 2
        foot = points[points[:, 2] < shape.belt]
        assert foot[:, 0].max() == pytest.approx(shape.windscreen[0], abs=0.02)
        assert foot[:, 0].min() == pytest.approx(shape.rear_window[1], abs=0.02)


@pytest.mark.parametrize("kind", TYPES)
def test_windows_are_where_the_type_has_them_and_share_no_point_with_paint(kind: str) -> None:
    shape = models(kind)[0]
    mesh = cabin(shape)
    material = mesh.material[mesh.triangles]
    assert (material == material[:, :1]).all()
    middles, normals, whole = faces(mesh)
    glass = material[whole, 0] == Material.GLASS
    assert {Material.PAINT, Material.GLASS} <= set(np.unique(mesh.material))
    for towards, there in (
        (normals[:, 0] > 0.4, True),
        (normals[:, 0] < -0.3, shape.glazed_rear),
        (normals[:, 1] > 0.6, True),
        (normals[:, 1] < -0.6, True),
        (normals[:, 2] > 0.98, False),
    ):
        assert (glass & towards).any() == there
    assert (middles[glass, 2] > shape.belt).all()
    assert (middles[glass, 2] < shape.height - 0.08).all()


def test_a_post_between_windows_is_paint() -> None:
    shape = models("sedan")[0]
    mesh = cabin(shape)
    middles, normals, whole = faces(mesh)
    glass = mesh.material[mesh.triangles[:, 0]][whole] == Material.GLASS
    # As high as there, the cabin reaches from the rear window to the windscreen.
    up = (middles[:, 2] - shape.belt) / (shape.height - shape.belt)
    low = shape.rear_window[1] + (shape.rear_window[0] - shape.rear_window[1]) * up
    high = shape.windscreen[0] + (shape.windscreen[1] - shape.windscreen[0]) * up
    along = (middles[:, 0] - (low + high) / 2) / ((high - low) / 2)
    middle_up = (np.abs(normals[:, 1]) > 0.8) & (np.abs(up - 0.4) < 0.2)
    start, end = shape.pillars[1]
    post = middle_up & (np.abs(along - (start + end) / 2) < 0.3 * (end - start))
    assert post.any()
    assert not glass[post].any()
    between = middle_up & (along > 0.2) & (along < 0.6)
    assert between.any()
    assert glass[between].all()


@pytest.mark.parametrize("kind", ["sedan", "mpv", "coupe"])
def test_roof_height_follows_the_cabins_roof(kind: str) -> None:
    for shape in models(kind)[:2]:
        points = cabin(shape).points
        roof = points[points[:, 2] > shape.height - 0.1]
        surface = LinearNDInterpolator(roof[:, :2], roof[:, 2])
        centre, half_length, half_width = shape.roof_outline
        along, across = np.meshgrid(np.linspace(-0.75, 0.75, 9), np.linspace(-0.75, 0.75, 9))
        x, y = centre + half_length * along, half_width * across
        # Details lie 15 mm above it.
        assert np.abs(shape.roof_height(x, y) - surface(x, y)).max() < 0.014
