import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.synthetic.solids import RED, block, light_from
from training.synthetic.scenes import illumination, shadows
from training.synthetic.scenes.illumination import light_up
from training.synthetic.scenes.plan import Plan
from training.synthetic.scenes.rasterizer import Rasterizer, Surfaces
from training.synthetic.scenes.viewpoint import Viewpoint

DOWN = Viewpoint(30, 80, 60, 0, 16, (0.0, 0.0, 0.75))
LOW_SUN = light_from((1, 0, 1))


@pytest.fixture
def seen(rasterizer: Rasterizer, monkeypatch: pytest.MonkeyPatch) -> tuple[Surfaces, NDArray[np.float32]]:
    """A red block on ground that is white where x > 0 and y > 0 and black elsewhere; nothing far off casts shadows."""

    def quarter(
        lower: NDArray[np.floating], upper: NDArray[np.floating], px_per_m: float, *_: object
    ) -> tuple[Plan, NDArray[np.float32]]:
        plan = Plan(lower, upper, px_per_m, "RGB", (0, 0, 0))
        plan.polygon(np.array([[0, 0], [99, 0], [99, 99], [0, 99]]), (255, 255, 255))
        return plan, np.asarray(plan.image, np.float32)

    def none(shadow: Plan, random: np.random.Generator) -> Plan:
        return shadow

    monkeypatch.setattr(illumination, "make_ground", quarter)
    monkeypatch.setattr(shadows, "_draw_far", none)
    surfaces = rasterizer.draw([block(RED)], DOWN, (200, 180))
    return surfaces, light_up(surfaces, DOWN, block(RED), [], LOW_SUN, np.random.default_rng(0))


def test_the_ground_has_its_colours_where_they_lie(seen: tuple[Surfaces, NDArray[np.float32]]) -> None:
    surfaces, linear = seen
    assert linear.shape == (180, 200, 3)
    assert linear.dtype == np.float32
    x, y, _ = np.moveaxis(surfaces.position, -1, 0)
    away = ~surfaces.hit & ((np.abs(x) > 4) | (np.abs(y) > 3))
    white = away & (x > 0.2) & (y > 0.2)
    black = away & ((x < -0.2) | (y < -0.2))
    assert white.sum() > 300
    assert black.sum() > 300
    # The sun's 2 from 45 degrees, and the sky's 0.3.
    np.testing.assert_allclose(linear[white], 2 * np.sqrt(0.5) + 0.3, rtol=0.02)
    np.testing.assert_allclose(linear[black], 0, atol=1e-3)


def test_the_vehicle_is_red_and_lit_by_the_sun(seen: tuple[Surfaces, NDArray[np.float32]]) -> None:
    surfaces, linear = seen
    roof = surfaces.hit & (surfaces.position[..., 2] > 1.48) & (np.abs(surfaces.position[..., 0]) < 1.9)
    assert roof.sum() > 300
    red, green, blue = linear[roof].T
    albedo = (230 / 255) ** 2.2
    assert red.mean() == pytest.approx(albedo * (2 * np.sqrt(0.5) + 0.3), rel=0.1)
    assert (red > 5 * np.maximum(green, blue)).all()


def test_the_grounds_shadow_is_lit_by_the_sky_alone(rasterizer: Rasterizer, monkeypatch: pytest.MonkeyPatch) -> None:
    def white(
        lower: NDArray[np.floating], upper: NDArray[np.floating], px_per_m: float, *_: object
    ) -> tuple[Plan, NDArray[np.float32]]:
        plan = Plan(lower, upper, px_per_m, "RGB", (255, 255, 255))
        return plan, np.asarray(plan.image, np.float32)

    def none(shadow: Plan, random: np.random.Generator) -> Plan:
        return shadow

    monkeypatch.setattr(illumination, "make_ground", white)
    monkeypatch.setattr(shadows, "_draw_far", none)
    neighbour = block().moved(0, 4, 0)
    surfaces = rasterizer.draw([block(RED), neighbour], DOWN, (200, 180))
    linear = light_up(surfaces, DOWN, block(RED), [neighbour], LOW_SUN, np.random.default_rng(0))
    x, y, _ = np.moveaxis(surfaces.position, -1, 0)
    for middle in (0, 4):
        shade = ~surfaces.hit & (np.abs(x + 3) < 0.2) & (np.abs(y - middle) < 0.5)
        assert shade.sum() > 5
        np.testing.assert_allclose(linear[shade], 0.3, atol=0.03)


def test_light_follows_from_its_generator(rasterizer: Rasterizer) -> None:
    surfaces = rasterizer.draw([block(RED)], DOWN, (60, 50))
    first, again, other = (
        light_up(surfaces, DOWN, block(RED), [], LOW_SUN, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[~surfaces.hit], other[~surfaces.hit])
