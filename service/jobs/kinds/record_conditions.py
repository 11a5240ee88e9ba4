"""The conditions of ``GET /gallery`` in the JSON of a job."""

from typing import Any

from pydantic import field_serializer, field_validator

from index.gallery.filters import Near
from service.forms import Conditions


class RecordConditions(Conditions):
    """Which records are meant: all given conditions together; `{}` means all records.

    `camera`, `tag` and `attribute` are lists. Written as JSON it is what it was read from, because a job keeps its
    parameters in this form.
    """

    @field_validator("*", mode="before")
    @classmethod
    def _is_given(cls, value: Any) -> Any:
        """Null could be taken for "records without it", which nobody can ask for: it would silently mean all."""
        if value is None:
            raise ValueError("null is no condition: leave the field out")
        return value

    @field_serializer("near")
    def _near_as_text(self, near: Near | None) -> str | None:
        return None if near is None else f"{near.latitude!r},{near.longitude!r},{near.radius_m!r}"

    @field_serializer("attribute")
    def _attributes_as_texts(self, attributes: list[tuple[str, str]]) -> list[str]:
        return [f"{name}:{value}" for name, value in attributes]
