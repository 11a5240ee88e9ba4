from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from index.gallery.filters import Near
from service.jobs.kinds.record_conditions import RecordConditions


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"camera": ["n", " s "], "tag": ["t"], "identity": "e\u0301"},
        {"captured_after": "2026-05-01T12:00:00.000001+02:30", "captured_before": "0999-05-01T12:00:00Z"},
        {"attribute": ["a:b:c", "d:-e"], "source": "=x"},
        {"near": "-0.000001,179.9999999,1e8"},
        {"near": "1e-7, -8.25 ,0.1"},
    ],
)
def test_as_json_it_is_what_it_was_read_from(given: dict[str, Any]) -> None:
    conditions = RecordConditions.model_validate(given)
    stored = conditions.model_dump(mode="json", exclude_none=True)
    assert RecordConditions.model_validate(stored) == conditions
    assert RecordConditions.model_validate(stored).to_filter() == conditions.to_filter()


@given(st.floats(-90, 90), st.floats(-180, 180), st.floats(1e-9, 1e8))
def test_every_place_is_kept_to_the_last_digit(latitude: float, longitude: float, radius_m: float) -> None:
    conditions = RecordConditions(near=f"{latitude!r},{longitude!r},{radius_m!r}")
    assert conditions.near == Near(latitude, longitude, radius_m)
    assert RecordConditions.model_validate(conditions.model_dump(mode="json", exclude_none=True)) == conditions


@pytest.mark.parametrize("name", ["identity", "camera", "captured_after", "near", "source"])
def test_null_is_no_condition(name: str) -> None:
    with pytest.raises(ValidationError, match="null is no condition"):
        RecordConditions.model_validate({name: None})
