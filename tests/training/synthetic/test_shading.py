import numpy as np
import pytest

from tests.training.synthetic.solids import light_from
from training.synthetic.scenes.light import Light
from training.synthetic.scenes.rasterizer import Surfaces
from training.synthetic.scenes.shading import shade_vehicles, to_linear
from training.synthetic.vehicles.mesh import Material

EYE = np.array([0.0, 0.0, 100.0])
SUN = light_from((1, 0, 1))
NO_GROUND = np.zeros(3, np.float32)


def pixel(
    colour: int = 128,
    material: Material = Material.MATT,
    normal: tuple[float, float, float] = (0, 0, 1),
    position: tuple[float, float, float] = (0, 0, 1.5),
) -> Surfaces:
    return Surfaces(
        np.ones((1, 1), np.bool_),
        np.full((1, 1, 3), colour, np.uint8),
        np.array(normal, np.float32).reshape(1, 1, 3),
        np.full((1, 1), material, np.uint8),
        np.array(position, np.float32).reshape(1, 1, 3),
        np.ones((1, 1), np.bool_),
    )


def shaded(
    surfaces: Surfaces, light: Light = SUN, lit: float = 1.0, eye: np.ndarray = EYE, ground: np.ndarray = NO_GROUND
) -> float:
    out = shade_vehicles(surfaces, eye, light, np.full(1, lit, np.float32), ground)
    assert out.shape == (1, 3)
    assert out.dtype == np.float32
    return float(out.mean())


@pytest.mark.parametrize(("value", "expected"), [(0, 0.0), (255, 1.0), (128, 0.2195), (64, 0.0478), (186, 0.4995)])
def test_srgb_to_linear(value: int, expected: float) -> None:
    assert to_linear(np.array([value], np.uint8))[0] == pytest.approx(expected, abs=1e-3)
    assert to_linear(np.array([value], np.float64)).dtype == np.float32


@pytest.mark.parametrize("material", Material)
def test_shadow_is_darker_than_sun_and_not_black(material: Material) -> None:
    light = light_from((1, 0, 2))
    sunny, half, dark = (shaded(pixel(200, material), light, lit) for lit in (1.0, 0.5, 0.0))
    assert sunny > half > dark > 0
    assert half == pytest.approx((sunny + dark) / 2, rel=1e-4)


@pytest.mark.parametrize("material", Material)
def test_white_is_brighter_than_black(material: Material) -> None:
    assert shaded(pixel(240, material)) > shaded(pixel(20, material)) + 0.3


def test_matt_sunlight_follows_lamberts_law() -> None:
    light = light_from((0, 0, 1), strength=2.0, sky=0.0)
    eye = np.array([0.0, 100.0, 0.0])  # far from the sun's reflection
    up, slanted, away = (
        shaded(pixel(normal=normal), light, eye=eye) for normal in ((0, 0.1, 0.995), (0, 0.866, 0.5), (0, 1, -0.01))
    )
    albedo = (128 / 255) ** 2.2
    assert up == pytest.approx(2 * albedo * 0.995, rel=0.02)
    assert slanted == pytest.approx(albedo, rel=0.02)
    assert away == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("material", [Material.GLASS, Material.PAINT, Material.MATT, Material.CHROME])
def test_surfaces_mirror_more_at_grazing_angles(material: Material) -> None:
    """Black, lit by the sky alone: what is left is the mirrored sky."""
    sky = light_from((0, 1, 0.2), strength=0.0, sky=1.0)

    def at(angle: float) -> float:
        eye = np.array([100 * np.sin(np.deg2rad(angle)), 0, 1.5 + 100 * np.cos(np.deg2rad(angle))])
        return shaded(pixel(0, material), sky, eye=eye)

    mirrored = [at(angle) for angle in (0, 45, 60, 75, 82)]
    assert mirrored == sorted(mirrored)
    assert mirrored[-1] > 1.5 * mirrored[0]


def test_glass_mirrors_more_than_matt_and_chrome_more_than_glass() -> None:
    sky = light_from((0, 1, 0.2), strength=0.0, sky=1.0)
    matt, glass, chrome = (shaded(pixel(0, material), sky) for material in (Material.MATT, Material.GLASS,
                                                                              Material.CHROME))  # fmt: skip
    assert 2 * matt < glass
    assert 2 * glass < chrome


def test_the_sun_glints_where_it_is_mirrored_and_nowhere_else() -> None:
    light = light_from((1, 0, 1))
    mirrored_to = np.array([-100.0, 0, 101.5])
    for material in (Material.PAINT, Material.GLASS, Material.CHROME):
        glint = shaded(pixel(0, material), light, 1.0, mirrored_to) - shaded(
            pixel(0, material), light, 0.0, mirrored_to
        )
        beside = np.array([0.0, 100, 101.5])
        none = shaded(pixel(0, material), light, 1.0, beside) - shaded(pixel(0, material), light, 0.0, beside)
        assert glint > 0.3
        assert abs(none) < 1e-3


def test_a_surface_seen_from_behind_is_shaded_as_its_other_side() -> None:
    for normal in ((0, 0, 1), (0.6, 0, 0.8)):
        back = (-normal[0], -normal[1], -normal[2])
        assert shaded(pixel(normal=back)) == pytest.approx(shaded(pixel(normal=normal)), rel=1e-5)


def test_surfaces_low_down_get_less_of_the_sky() -> None:
    low, high = (shaded(pixel(position=(0, 0, z)), lit=0.0) for z in (0.05, 1.5))
    assert 0.3 * high < low < 0.8 * high


def test_light_from_the_ground_reaches_what_looks_down() -> None:
    ground = np.array([0.0, 0.9, 0.0], np.float32)
    eye = np.array([100.0, 0, 0])

    def green(normal: tuple[float, float, float]) -> float:
        with_ground = shade_vehicles(pixel(normal=normal), eye, SUN, np.zeros(1, np.float32), ground)
        without = shade_vehicles(pixel(normal=normal), eye, SUN, np.zeros(1, np.float32), NO_GROUND)
        return float((with_ground - without)[0, 1])

    assert green((0.6, 0, -0.8)) > green((0.9, 0, 0.44)) > 0


@pytest.mark.parametrize("normal", [(0, 0, 0), (1e-9, 0, 0), (0, 0, -1), (1, 0, 0)])
@pytest.mark.parametrize("material", Material)
def test_no_normal_makes_light_that_is_no_number(normal: tuple[float, float, float], material: Material) -> None:
    light = shade_vehicles(pixel(255, material, normal), EYE, SUN, np.ones(1, np.float32), NO_GROUND)
    assert np.isfinite(light).all()
    assert light.min() >= 0


def test_only_pixels_that_are_hit_are_shaded() -> None:
    one = pixel(200)
    two = Surfaces(*(np.concatenate([getattr(one, name)] * 2) for name in
                     ("hit", "albedo", "normal", "material", "position", "own")))  # fmt: skip
    two.hit[0] = False
    assert shade_vehicles(two, EYE, SUN, np.ones(1, np.float32), NO_GROUND).shape == (1, 3)
