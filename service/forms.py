"""What comes in: the form of a query, the metadata of an enrolment, and the conditions both share with the listing."""

import dataclasses
import re
from typing import Annotated, Any, Literal, Self

from fastapi import UploadFile
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)

from index.filters import Filter, Near
from index.record import Fields
from index.reranking import Refinement, Reranking
from model.box import Box

MAX_FILES = 256
MAX_BOXES = 1024

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")


def _time(value: Any) -> Any:
    # pydantic alone would also take a number of seconds, whose zone and unit nobody can see.
    if isinstance(value, str) and not _RFC3339.fullmatch(value):
        raise ValueError("a time is RFC 3339 with its zone, such as 2026-05-01T12:00:00Z")
    return value


def _near(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        near = Near(*map(float, value.split(",")))
    except (TypeError, ValueError):
        raise ValueError("near is lat,lon,radius_m") from None
    # Written so that NaN fails every comparison.
    if not (-90 <= near.latitude <= 90 and -180 <= near.longitude <= 180 and 0 < near.radius_m <= 1e8):
        raise ValueError("near needs -90 <= lat <= 90, -180 <= lon <= 180 and 0 < radius_m <= 1e8")
    return near


def _box(value: Any) -> Any:
    return Box.parse(value) if isinstance(value, str) else value


Name = Annotated[str, Field(min_length=1, max_length=200)]
Tags = Annotated[list[Name], Field(max_length=64)]
Time = Annotated[AwareDatetime, BeforeValidator(_time)]
BoxText = Annotated[
    Box,
    BeforeValidator(_box),
    WithJsonSchema({"type": "string", "description": "x,y,w,h in pixels of the upright image"}),
]
NearText = Annotated[
    Near, BeforeValidator(_near), WithJsonSchema({"type": "string", "description": "lat,lon,radius_m"})
]


class Conditions(BaseModel):
    """Which records are meant: all given conditions together."""

    model_config = ConfigDict(extra="forbid")

    camera: list[Name] = Field([], max_length=1000, description="any of these cameras; repeat the field for more")
    tag: list[Name] = Field([], max_length=64, description="every one of these tags; repeat the field for more")
    identity: Name | None = Field(None, description="only this vehicle")
    captured_after: Time | None = Field(None, description="captured at this time or later (RFC 3339)")
    captured_before: Time | None = Field(None, description="captured before this time (RFC 3339)")
    near: NearText | None = Field(None, description="captured within radius_m metres of lat,lon")

    def to_filter(self) -> Filter:
        """The same conditions as the gallery takes them."""
        return Filter(
            self.identity,
            tuple(self.camera),
            tuple(self.tag),
            self.captured_after,
            self.captured_before,
            self.near,
        )


class QueryForm(Conditions):
    """``POST /query``."""

    image: UploadFile = Field(description="a JPEG, PNG or WebP file: the crop, or a frame together with box")
    box: BoxText | None = Field(None, description="the vehicle in the image; without it the whole image is the crop")
    top_k: int = Field(10, ge=1, le=1000, description="how many matches")
    group_by: Literal["identity"] | None = Field(None, description="the nearest record of each identity only")
    rerank: Literal["k_reciprocal"] | None = Field(
        None, description="re-ranks the 200 nearest records (or top_k, if more) by the neighbours they share"
    )
    expand: int = Field(0, ge=0, le=50, description="searches with the mean of the query and this many nearest records")

    @model_validator(mode="after")
    def _group_or_refine(self) -> Self:
        if self.group_by and (self.rerank or self.expand):
            raise ValueError("group_by goes with plain distances only: leave out rerank and expand, or group_by")
        return self

    def to_refinement(self) -> Refinement | None:
        """What is done besides ranking by distance; None for nothing."""
        if not (self.rerank or self.expand):
            return None
        return Refinement(self.expand, Reranking() if self.rerank else None)


class GalleryForm(BaseModel):
    """``POST /gallery``."""

    model_config = ConfigDict(extra="forbid")

    images: list[UploadFile] = Field(min_length=1, max_length=MAX_FILES, description="JPEG, PNG or WebP files")
    metadata: str | None = Field(
        None,
        description="JSON array, one object per file in order: identity, camera, captured_at, latitude, longitude, "
        "tags, and box or boxes",
    )


class ListParameters(Conditions):
    """``GET /gallery``."""

    limit: int = Field(50, ge=1, le=1000, description="records on one page")
    cursor: str | None = Field(None, max_length=100, description="next_cursor of the page before")


class StatsParameters(BaseModel):
    """``GET /gallery/stats``."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(1000, ge=0, le=10_000, description="at most so many cameras and identities")


class DeleteParameters(BaseModel):
    """``DELETE /gallery``: no other condition, so that none is overlooked."""

    model_config = ConfigDict(extra="forbid")

    identity: Name


class VehicleFields(BaseModel):
    """The user's fields of one vehicle, and the body of ``PATCH /gallery/{id}``, where null clears a field."""

    model_config = ConfigDict(extra="forbid")

    identity: Name | None = None
    camera: Name | None = None
    captured_at: Time | None = None
    latitude: float | None = Field(None, ge=-90, le=90, allow_inf_nan=False)
    longitude: float | None = Field(None, ge=-180, le=180, allow_inf_nan=False)
    tags: Tags | None = None

    def given(self) -> dict[str, Any]:
        """The fields that were sent, by name, as `Fields` takes them."""
        names = self.model_fields_set & {field.name for field in dataclasses.fields(Fields)}
        values = {name: getattr(self, name) for name in names}
        if "tags" in values:
            values["tags"] = tuple(values["tags"] or ())
        return values


RawBox = Annotated[str, Field(max_length=100)] | Annotated[list[float], Field(max_length=4)]


class BoxMetadata(VehicleFields):
    """One vehicle in a frame with fields of its own, which go before the frame's."""

    box: RawBox


class ImageMetadata(VehicleFields):
    """What is known about one file: its fields hold for every vehicle in it."""

    box: RawBox | None = None
    boxes: list[RawBox | BoxMetadata] | None = Field(None, min_length=1, max_length=MAX_BOXES)

    @model_validator(mode="after")
    def _one_of_box_and_boxes(self) -> Self:
        if self.box is not None and self.boxes is not None:
            raise ValueError("give box or boxes, not both")
        return self

    def vehicles(self) -> list["Vehicle"]:
        """One per box, or the whole image.

        Raises:
            FieldsError: fields that contradict each other.
        """
        frame = self.given()
        if self.boxes is None:
            return [Vehicle(self.box, Fields(**frame))]
        return [
            Vehicle(item.box, Fields(**(frame | item.given())))
            if isinstance(item, BoxMetadata)
            else Vehicle(item, Fields(**frame))
            for item in self.boxes
        ]


@dataclasses.dataclass(frozen=True)
class Vehicle:
    """A vehicle to be enrolled; its box is read later, so that a wrong one rejects this vehicle alone."""

    box: RawBox | None
    fields: Fields

    @classmethod
    def whole_image(cls) -> Self:
        """All of an image about which nothing is known."""
        return cls(None, Fields())


METADATA = TypeAdapter(list[ImageMetadata])
