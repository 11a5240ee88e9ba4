import math

import numpy as np
import pytest

from index.gallery.filters import Near, distance_m
from index.milvus.bounding_box import BoundingBox, bounding_box


def holds(box: BoundingBox, latitude: float, longitude: float) -> bool:
    in_longitude = any(west <= longitude <= east for west, east in box.longitudes)
    return box.south <= latitude <= box.north and in_longitude


def beside(near: Near, bearing: float, share: float) -> tuple[float, float]:
    """The place at a share of the radius in a direction."""
    angle = share * near.radius_m / (distance_m(0, 0, 0, 180) / math.pi)
    here, towards = math.radians(near.latitude), math.radians(bearing)
    sine = math.sin(here) * math.cos(angle) + math.cos(here) * math.sin(angle) * math.cos(towards)
    there = math.asin(max(-1, min(1, sine)))
    turn = math.atan2(
        math.sin(towards) * math.sin(angle) * math.cos(here), math.cos(angle) - math.sin(here) * math.sin(there)
    )
    longitude = (near.longitude + math.degrees(turn) + 180) % 360 - 180
    return math.degrees(there), longitude


@pytest.mark.parametrize("latitude", [0, 48, -48, 89, -89.9, 89.999999, 90, -90])
@pytest.mark.parametrize("longitude", [0, 11.5, 179.9999, -179.9999, 180, -180])
def test_every_place_within_the_circle_lies_in_the_box(latitude: float, longitude: float) -> None:
    rng = np.random.default_rng(3)
    num_within = 0
    for radius in (0, 0.5, 20, 3000, 120_000, 5_000_000, 10_000_000, 19_000_000, 25_000_000):
        near = Near(latitude, longitude, radius)
        box = bounding_box(near)
        for bearing in [0, 90, 180, 270, *rng.uniform(0, 360, 20)]:
            for share in (1, float(rng.random())):
                place = beside(near, float(bearing), share)
                if distance_m(*place, latitude, longitude) <= radius:  # or it was rounded away
                    assert holds(box, *place), (near, place)
                    num_within += 1
    assert num_within > 200


def test_a_box_is_not_much_larger_than_its_circle() -> None:
    box = bounding_box(Near(60, 10, 1000))
    assert box.north - box.south == pytest.approx(2 * 1000 / 111_195, rel=0.01)
    ((west, east),) = box.longitudes
    assert east - west == pytest.approx(2 * 1000 / 111_195 / 0.5, rel=0.01)


def test_at_the_date_line_a_box_has_two_parts() -> None:
    ((west, end), (start, east)) = bounding_box(Near(0, 179.999, 500)).longitudes
    assert [west, end, start, east] == pytest.approx([179.9945, 180, -180, -179.9965], abs=1e-4)
    ((start, east), (west, end)) = bounding_box(Near(0, -179.999, 500)).longitudes
    assert [start, east, west, end] == pytest.approx([-180, -179.9945, 179.9965, 180], abs=1e-4)
