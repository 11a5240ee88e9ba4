from dataclasses import replace

import numpy as np
import pytest

from tests.training.synthetic.solids import light_from
from training.synthetic.scenes.light import Light, draw_light, draw_varied_light


@pytest.fixture(scope="module")
def lights() -> list[Light]:
    return [draw_light(np.random.default_rng([4, seed])) for seed in range(150)]


def test_lights_are_sound(lights: list[Light]) -> None:
    for light in lights:
        assert np.linalg.norm(light.sun) == pytest.approx(1, abs=1e-6)
        assert 17 < np.rad2deg(np.arcsin(light.sun[2])) < 73
        for colour in (light.sun_colour, light.zenith, light.horizon):
            assert colour.shape == (3,)
            assert np.isfinite(colour).all()
            assert colour.min() >= 0
        assert light.zenith.min() > 0.05
        assert light.clouds.min() >= 0
        assert light.clouds.max() <= 1
        assert light.skyline.shape == (90,)
        assert light.softness > 0
        assert {array.dtype for array in (light.sun, light.sun_colour, light.clouds, light.skyline)} == {
            np.dtype(np.float32)
        }


def test_the_sun_comes_from_everywhere(lights: list[Light]) -> None:
    azimuths = np.array([np.arctan2(light.sun[1], light.sun[0]) for light in lights])
    assert abs(np.exp(1j * azimuths).mean()) < np.sqrt(8 / len(lights))


def test_some_skies_are_clear_and_some_hide_the_sun_and_shadows_are_softer_there(lights: list[Light]) -> None:
    strong = [light for light in lights if light.sun_colour.mean() > 1]
    hidden = [light for light in lights if light.sun_colour.mean() < 0.05]
    assert len(strong) > 30
    assert 10 < len(hidden) < 60
    assert max(light.softness for light in strong) < min(light.softness for light in hidden)
    assert np.mean([light.clouds.mean() for light in hidden]) > 2 * np.mean([light.clouds.mean() for light in strong])


def test_light_follows_from_its_generator() -> None:
    first, again, other = (draw_light(np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.clouds, again.clouds)
    np.testing.assert_array_equal(first.sun, again.sun)
    assert first.softness == again.softness
    assert not np.array_equal(first.sun, other.sun)


def directions(*elevations: float, azimuth: float = 0.0) -> np.ndarray:
    up = np.deg2rad(elevations)
    turn = np.deg2rad(azimuth)
    return np.stack([np.cos(up) * np.cos(turn), np.cos(up) * np.sin(turn), np.sin(up)], -1).astype(np.float32)


def test_the_mirrored_sky_runs_from_horizon_to_zenith_above_a_dark_ground() -> None:
    light = replace(
        light_from((0, 0, 1)), zenith=np.array([0.2, 0.3, 0.6], np.float32), skyline=np.zeros(90, np.float32)
    )
    below, low, middle, top = light.mirrored(directions(-30, 10, 45, 90))
    np.testing.assert_allclose(top, 0.6 * light.zenith, rtol=1e-4)
    assert (below < 0.5 * light.horizon).all()
    assert np.abs(low - light.horizon).max() < np.abs(middle - light.horizon).max() < np.abs(top - light.horizon).max()


def test_trees_on_the_skyline_are_dark_in_their_direction() -> None:
    skyline = np.full(90, -1, np.float32)
    skyline[45:68] = 0.5  # from 0 to 88 degrees: the count begins at −180
    light = replace(light_from((0, 0, 1)), skyline=skyline)
    for azimuth, dark in ((45, True), (-45, False), (135, False), (-135, False)):
        seen = light.mirrored(directions(15, azimuth=azimuth))[0]
        assert (seen < 0.5 * light.horizon).all() == dark
    assert (light.mirrored(directions(60, azimuth=45))[0] > 0.5 * light.horizon).all()


def test_clouds_are_white_where_they_are() -> None:
    clouds = np.zeros((128, 128), np.float32)
    clouds[:, 64:] = 1  # where x > 0
    light = replace(light_from((0, 0, 1)), zenith=np.zeros(3, np.float32), clouds=clouds)
    cloudy, clear = light.mirrored(np.array([[0.6, 0, 0.8], [-0.6, 0, 0.8]], np.float32))
    assert (cloudy > light.horizon).all()
    assert (clear < light.horizon).all()


def test_lights_of_edition_2_have_bluer_skies_and_mirror_more_or_less() -> None:
    varied = [draw_varied_light(np.random.default_rng([4, seed])) for seed in range(80)]
    usual = [draw_light(np.random.default_rng([4, seed])) for seed in range(80)]
    assert {light.gloss for light in usual} == {1.0}
    gloss = np.array([light.gloss for light in varied])
    assert 0.4 < gloss.min() < 0.75
    assert 1.3 < gloss.max() < 2
    for light, before in zip(varied, usual, strict=True):
        np.testing.assert_array_equal(light.sun, before.sun)
        assert light.zenith[2] / light.zenith[0] >= before.zenith[2] / before.zenith[0]
        assert light.clouds.dtype == np.float32
        assert light.mirrored(directions(10, 45, 80)).min() >= 0
