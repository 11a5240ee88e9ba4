import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from index.gallery import circle
from index.gallery.circle import within_circle
from index.gallery.filters import Near, distance_m

HALF_ROUND_M = distance_m(0, 0, 0, 180)


def within(places: list[tuple[float, float]], near: Near) -> list[bool]:
    degrees: NDArray[np.float64] = np.array(places, np.float64).reshape(-1, 2)
    return [bool(one) for one in within_circle(degrees[:, 0], degrees[:, 1], near)]


def naive(places: list[tuple[float, float]], near: Near) -> list[bool]:
    return [distance_m(*place, near.latitude, near.longitude) <= near.radius_m for place in places]


# Poles, the antimeridian from both sides, the equator, and their nearest neighbours.
latitudes = st.floats(-90, 90) | st.sampled_from([-90.0, 90.0, 89.9999999, -89.99999999999999, 0.0, 1e-300, 5e-324])
longitudes = st.floats(-180, 180) | st.sampled_from([-180.0, 180.0, 179.99999999999997, -179.9999999, 0.0, 1e-300])
places = st.tuples(latitudes, longitudes)
# Differences from those of the Earth to less than what float64 can tell apart.
offsets = st.tuples(st.floats(0, 2 * math.pi), st.integers(-17, 2).map(lambda power: 10.0**power))


@settings(derandomize=True, max_examples=400, deadline=None)
@given(seen=st.lists(places, min_size=1, max_size=10), centre=places, radius_m=st.floats(0, 2e7))
@example(seen=[(0.0, -180.0), (0.0, 179.0)], centre=(0.0, 180.0), radius_m=0.001)
@example(seen=[(90.0, -10.0), (90.0, 170.0), (89.0, 0.0)], centre=(90.0, 100.0), radius_m=0.001)
def test_a_circle_holds_what_distance_m_says(
    seen: list[tuple[float, float]], centre: tuple[float, float], radius_m: float
) -> None:
    near = Near(*centre, radius_m)
    assert within(seen, near) == naive(seen, near)


@settings(derandomize=True, max_examples=400, deadline=None)
@given(centre=places, offset=offsets, ulps=st.integers(-2, 2), share=st.sampled_from([0, 1e-9, -1e-9, 1e-6, -1e-6]))
def test_the_bound_is_distance_m_to_the_last_bit(
    centre: tuple[float, float], offset: tuple[float, float], ulps: int, share: float
) -> None:
    angle, degrees = offset
    place = (
        min(max(centre[0] + degrees * math.cos(angle), -90.0), 90.0),
        min(max(centre[1] + degrees * math.sin(angle), -180.0), 180.0),
    )
    radius_m = distance_m(*place, *centre) * (1 + share)
    for _ in range(abs(ulps)):
        radius_m = math.nextafter(radius_m, math.copysign(math.inf, ulps))
    near = Near(*centre, radius_m)
    assert within([place], near) == naive([place], near)


@pytest.mark.parametrize("centre", [(48.1, 11.5), (90.0, 0.0), (-89.9999999, 30.0), (0.0, 180.0), (10.0, -179.99)])
@pytest.mark.parametrize("degrees", [1e-12, 1e-9, 1e-6, 1e-3, 1.0, 90.0])
def test_many_places_around_one_and_every_radius_that_ends_at_one_of_them(
    centre: tuple[float, float], degrees: float
) -> None:
    rng = np.random.default_rng(5)
    latitude = np.clip(centre[0] + rng.uniform(-degrees, degrees, 200), -90, 90)
    longitude = (centre[1] + rng.uniform(-2 * degrees, 2 * degrees, 200) + 180) % 360 - 180
    distances = np.array([distance_m(*place, *centre) for place in zip(latitude, longitude, strict=True)])
    for radius_m in distances[:40].tolist():
        for radius in (radius_m, math.nextafter(radius_m, 0), math.nextafter(radius_m, math.inf)):
            assert (within_circle(latitude, longitude, Near(*centre, radius)) == (distances <= radius)).all()


def test_float32_lies_within_the_bound_that_the_decision_trusts() -> None:
    rng = np.random.default_rng(6)
    scales = 10.0 ** rng.uniform(-7, 2, 20_000)
    latitude = np.clip(80 + scales * rng.uniform(-1, 1, 20_000), -90, 90)
    longitude = np.clip(170 + scales * rng.uniform(-1, 1, 20_000), -180, 180)
    near = Near(80.0, 170.0, 1.0)
    expected = [
        math.sin(distance_m(*place, 80.0, 170.0) / HALF_ROUND_M * math.pi / 2)
        for place in zip(latitude.tolist(), longitude.tolist(), strict=True)
    ]
    half_chords = np.sqrt(circle._squared_half_chords(latitude, longitude, near).astype(np.float64))
    bound = circle._RELATIVE_ERROR * np.array(expected) + circle._ABSOLUTE_ERROR
    assert (np.abs(half_chords - expected) < bound).all()


def test_a_camera_that_does_not_move_is_decided_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, ...]] = []

    def counting(*degrees: float) -> float:
        asked.append(degrees)
        return distance_m(*degrees)

    monkeypatch.setattr(circle, "distance_m", counting)
    seen = [(50.0, 8.0), (50.0, 8.00001), (51.0, 8.0)] * 30_000
    assert within(seen, Near(50.0, 8.0, distance_m(50.0, 8.00001, 50.0, 8.0))) == [True, True, False] * 30_000
    # Once for each of the 11 parts in which the rows are looked at.
    assert set(asked) == {(50.0, 8.00001, 50.0, 8.0)}
    assert len(asked) == 11


def test_nowhere_is_in_no_circle() -> None:
    nowhere = np.array([np.nan, 50.0, np.nan])
    assert within_circle(nowhere, np.array([np.nan, 8.0, np.nan]), Near(50.0, 8.0, 1e8)).tolist() == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("radius_m", [HALF_ROUND_M, 2.1e7, 1e8, math.inf])
def test_half_way_round_the_earth_is_everywhere(radius_m: float) -> None:
    seen = [(48.0, 11.0), (-48.0, -169.0), (-48.0, -168.99), (90.0, 0.0)]
    assert within(seen, Near(48.0, 11.0, radius_m)) == [True] * 4


def test_a_radius_below_zero_holds_nothing() -> None:
    assert within([(48.0, 11.0), (48.1, 11.0)], Near(48.0, 11.0, -0.001)) == [False, False]


@pytest.mark.parametrize("near", [Near(91, 0, 1), Near(0, -181, 1), Near(math.nan, 0, 1), Near(0, 0, math.nan)])
def test_a_circle_around_no_place_is_refused(near: Near) -> None:
    with pytest.raises(ValueError, match="a circle needs a place on Earth"):
        within_circle(np.zeros(1), np.zeros(1), near)
