import io
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from PIL import Image

from index.gallery.fields import Fields
from index.gallery.intake import Located, Vehicle, take_in
from index.gallery.record import content_hash, record_id
from model.box import Box, BoxError
from model.image import ImageError
from tests.conftest import picture, png


def test_each_vehicle_is_located_and_named_by_content_and_box() -> None:
    data = png(1, 200, 150)
    boxes: list[Any] = ["30,20,60,40", [100, 20, 60, 40], Box(0, 0, 50, 50), None]
    intake = take_in(data, [Vehicle(box, Fields(identity=str(i))) for i, box in enumerate(boxes)])
    assert (intake.content, intake.media_type) == (content_hash(data), "image/png")
    located = [vehicle for vehicle in intake.vehicles if isinstance(vehicle, Located)]
    expected = [Box(30, 20, 60, 40), Box(100, 20, 60, 40), Box(0, 0, 50, 50), Box(0, 0, 200, 150)]
    assert [vehicle.box for vehicle in located] == expected
    assert [vehicle.id for vehicle in located] == [record_id(intake.content, box) for box in expected]
    assert [vehicle.whole_image for vehicle in located] == [False, False, False, True]
    assert [vehicle.fields.identity for vehicle in located] == ["0", "1", "2", "3"]
    for vehicle in located:
        np.testing.assert_array_equal(vehicle.pixels, vehicle.box.cut(picture(1, 200, 150)))
        assert vehicle.warnings == ()


def test_a_wrong_box_is_an_error_in_its_place() -> None:
    intake = take_in(png(1), [Vehicle("0,0,0,9", Fields()), Vehicle(None, Fields()), Vehicle("500,0,9,9", Fields())])
    assert [type(vehicle) for vehicle in intake.vehicles] == [BoxError, Located, BoxError]


def test_a_file_that_is_no_image_has_no_vehicles() -> None:
    with pytest.raises(ImageError):
        take_in(b"no image", [Vehicle(None, Fields())])


def test_a_frame_without_vehicles_has_none() -> None:
    assert take_in(png(1), []).vehicles == []


def located_with(exif: dict[int, Any], gps: dict[int, Any], fields: Fields) -> Located:
    block = Image.Exif()
    block.get_ifd(0x8769).update(exif)
    block.get_ifd(0x8825).update(gps)
    buffer = io.BytesIO()
    Image.fromarray(picture(1)).save(buffer, "JPEG", exif=block)
    (vehicle,) = take_in(buffer.getvalue(), [Vehicle(None, fields)]).vehicles
    assert isinstance(vehicle, Located)
    return vehicle


TAKEN = {0x9003: "2026:05:01 12:30:00", 0x9011: "+02:00"}
PLACE = {1: "N", 2: (50.0, 30.0, 0.0), 3: "W", 4: (8.0, 15.0, 0.0)}


def test_exif_fills_what_the_user_left_empty() -> None:
    located = located_with(TAKEN, PLACE, Fields(identity="a"))
    assert located.fields == Fields(
        identity="a", captured_at=datetime(2026, 5, 1, 10, 30, tzinfo=UTC), latitude=50.5, longitude=-8.25
    )
    assert located.warnings == ()


def test_what_the_user_says_goes_before_exif() -> None:
    said = Fields(captured_at=datetime(2020, 1, 1, tzinfo=UTC), latitude=1.0, longitude=2.0)
    assert located_with(TAKEN, PLACE, said).fields == said
    only_time = Fields(captured_at=datetime(2020, 1, 1, tzinfo=UTC))
    filled = located_with(TAKEN, PLACE, only_time).fields
    assert (filled.captured_at, filled.latitude) == (only_time.captured_at, 50.5)


def test_a_time_without_a_zone_is_not_taken_and_said() -> None:
    located = located_with({0x9003: "2026:05:01 12:30:00"}, {}, Fields())
    assert located.fields.captured_at is None
    (warning,) = located.warnings
    assert "2026:05:01 12:30:00" in warning
    said = Fields(captured_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert located_with({0x9003: "2026:05:01 12:30:00"}, {}, said).warnings == ()
