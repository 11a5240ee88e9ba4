"""What comes in: the form of a query, the metadata of an enrolment, and the conditions both share with the listing."""

import dataclasses
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from fastapi import UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)

from index.gallery.fields import (
    MAX_ATTRIBUTES,
    MAX_NAME,
    MAX_SOURCE,
    MAX_TAGS,
    Fields,
    check_tags,
    read_attributes,
    read_name,
    read_source,
    read_time,
    shorten,
)
from index.gallery.filters import Filter, Near
from index.gallery.intake import Vehicle
from index.ranking.reranking import Refinement, Reranking
from model.box import Box, BoxError
from model.image import ACCEPTED
from model.number import NumberError, decimal_number, whole_number

MAX_FILES = 256
MAX_BOXES = 1024
MAX_QUERY_BOXES = 256
MAX_IDS = 1000
MAX_MATCHES = 50_000


def _from_text(read: Callable[[str], Any], expected: str) -> BeforeValidator:
    """Reads texts with `read`; what is no text, such as a number of seconds for a time, is refused."""

    def validate(value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError(expected)
        return read(value)

    return BeforeValidator(validate)


def _near(text: str) -> Near:
    try:
        near = Near(*(decimal_number(number.strip(" ")) for number in text.split(",")))
    except (TypeError, NumberError):
        raise ValueError("near is lat,lon,radius_m") from None
    if not (-90 <= near.latitude <= 90 and -180 <= near.longitude <= 180 and 0 < near.radius_m <= 1e8):
        raise ValueError("near needs -90 <= lat <= 90, -180 <= lon <= 180 and 0 < radius_m <= 1e8")
    return near


def _attribute(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise ValueError("attribute is name:value")
    return read_name(name), read_name(value)


def _id(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{32}", text):
        raise ValueError(f"an id has 32 digits of 0-9 and a-f, not {shorten(text)}")
    return text


def _raw_box(value: Any) -> Any:
    """A text or a list of numbers: what it says is read later, so that a wrong box rejects its vehicle alone."""
    if isinstance(value, str) and len(value) <= 100:
        return value
    if isinstance(value, list) and len(value) <= 4 and all(type(number) in (int, float) for number in value):
        return value
    raise ValueError('a box is four numbers in pixels, "x,y,w,h" or [x, y, w, h]')


def _as_object(value: Any) -> Any:
    """A box alone is short for an object that has nothing but its box."""
    return value if isinstance(value, dict) else {"box": value}


def _schema(description: str, **schema: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "description": description, **schema})


Name = Annotated[
    str, Strict(), AfterValidator(read_name), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_NAME})
]
Source = Annotated[
    str,
    Strict(),
    AfterValidator(read_source),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_SOURCE}),
]
Tags = Annotated[list[Name], AfterValidator(check_tags), Field(json_schema_extra={"maxItems": MAX_TAGS})]
Attributes = Annotated[
    dict[Annotated[str, Strict()], Annotated[str, Strict()]],
    AfterValidator(read_attributes),
    Field(json_schema_extra={"maxProperties": MAX_ATTRIBUTES}),
]
_TIME = "a time is RFC 3339 with its zone, such as 2026-05-01T12:00:00Z"
Time = Annotated[Any, _from_text(read_time, _TIME), _schema("RFC 3339 with its zone", format="date-time")]
WholeNumber = Annotated[int, BeforeValidator(lambda value: whole_number(value) if isinstance(value, str) else value)]
Degrees = Annotated[float, Strict(), Field(allow_inf_nan=False)]
_BOX = "x,y,w,h in pixels of the upright image"
BoxText = Annotated[str, Strict(), _schema(_BOX)]
Id = Annotated[str, _from_text(_id, "an id is a text"), _schema("of a record", pattern="^[0-9a-f]{32}$")]
NearText = Annotated[Near, _from_text(_near, "near is lat,lon,radius_m"), _schema("lat,lon,radius_m")]
AttributeText = Annotated[tuple[str, str], _from_text(_attribute, "attribute is name:value"), _schema("name:value")]
RawBox = Annotated[
    Any,
    BeforeValidator(_raw_box),
    WithJsonSchema(
        {
            "description": _BOX,
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
            ],
        }
    ),
]
File = Annotated[UploadFile, WithJsonSchema({"type": "string", "format": "binary"})]


class Conditions(BaseModel):
    """Which records are meant: all given conditions together."""

    model_config = ConfigDict(extra="forbid")

    camera: list[Name] = Field([], max_length=1000, description="any of these cameras; repeat the field for more")
    tag: list[Name] = Field([], max_length=MAX_TAGS, description="every one of these tags; repeat the field for more")
    identity: Name | None = Field(None, description="only this vehicle")
    captured_after: Time | None = Field(None, description="captured at this time or later (RFC 3339)")
    captured_before: Time | None = Field(None, description="captured before this time (RFC 3339)")
    near: NearText | None = Field(None, description="captured within radius_m metres: lat,lon,radius_m")
    source: Source | None = Field(None, description="only what was enrolled from this file name or path")
    attribute: list[AttributeText] = Field(
        [], max_length=MAX_ATTRIBUTES, description="name:value, every one of them; repeat the field for more"
    )
    id: list[Id] = Field([], max_length=MAX_IDS, description="any of these records; repeat the field for more")

    def to_filter(self) -> Filter:
        """The same conditions as the gallery takes them."""
        return Filter(
            identity=self.identity,
            cameras=tuple(self.camera),
            tags=tuple(self.tag),
            captured_after=self.captured_after,
            captured_before=self.captured_before,
            near=self.near,
            source=self.source,
            attributes=tuple(self.attribute),
            ids=tuple(self.id),
        )


class QueryForm(Conditions):
    """``POST /query``."""

    image: File | None = Field(None, description=f"a {ACCEPTED} file: the crop, or a frame together with box")
    record: str | None = Field(
        None, description="in place of an image: the id of a record, which is not among its own matches"
    )
    box: list[BoxText] = Field(
        [],
        max_length=MAX_QUERY_BOXES,
        description="the vehicle in the image; without it the whole image is the crop; repeat the field for more "
        "vehicles, each of which is answered",
    )
    top_k: WholeNumber = Field(10, ge=1, le=1000, description="how many matches")
    group_by: Literal["identity"] | None = Field(None, description="the nearest record of each identity only")
    rerank: Literal["k_reciprocal"] | None = Field(
        None, description="re-ranks the 200 nearest records (or top_k, if more) by the neighbours they share"
    )
    expand: WholeNumber = Field(
        0, ge=0, le=50, description="searches with the mean of the query and this many nearest records"
    )

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.image is None) == (self.record is None):
            came = "neither came" if self.image is None else "both came"
            raise ValueError(f"give an image (curl: -F image=@FILE) or the id of a record (-F record=ID): {came}")
        if self.record is not None and self.box:
            raise ValueError("box goes with image: a record has its own box; leave out box")
        if len(self.box) * self.top_k > MAX_MATCHES:
            raise ValueError(
                f"{len(self.box)} boxes with top_k={self.top_k} may have more than {MAX_MATCHES:,} matches: "
                "lower top_k, or split the boxes among several queries"
            )
        if self.group_by and (self.rerank or self.expand):
            raise ValueError("group_by goes with plain distances only: leave out rerank and expand, or group_by")
        return self

    @property
    def single_box(self) -> Box | None:
        """The box of a query with one vehicle; None for the whole image.

        Raises:
            RequestValidationError: it is none.
        """
        if not self.box:
            return None
        try:
            return Box.parse(self.box[0])
        except BoxError as error:
            entry = {"type": "value_error", "loc": ("body", "box"), "msg": str(error), "input": self.box[0]}
            raise RequestValidationError([entry]) from None

    def to_refinement(self) -> Refinement | None:
        """What is done besides ranking by distance; None for nothing."""
        if not (self.rerank or self.expand):
            return None
        return Refinement(self.expand, Reranking() if self.rerank else None)


class GalleryForm(BaseModel):
    """``POST /gallery``."""

    model_config = ConfigDict(extra="forbid")

    images: list[File] = Field(min_length=1, max_length=MAX_FILES, description=f"{ACCEPTED} files")
    metadata: str | None = Field(
        None,
        description="JSON array, one object per file in order: identity, camera, captured_at, latitude, longitude, "
        "tags, source, attributes, and box or boxes",
    )


class ListParameters(Conditions):
    """``GET /gallery``."""

    limit: WholeNumber = Field(50, ge=1, le=1000, description="records on one page")
    cursor: str | None = Field(None, max_length=100, description="next_cursor of the page before")


class StatsParameters(BaseModel):
    """``GET /gallery/stats``."""

    model_config = ConfigDict(extra="forbid")

    limit: WholeNumber = Field(1000, ge=0, le=10_000, description="at most so many cameras and identities")


class ManyParameters(Conditions):
    """``PATCH /gallery`` and ``DELETE /gallery``: which records, and how many of them there must be."""

    expected: WholeNumber | None = Field(None, ge=0, description="how many records pass; else nothing is done")

    @model_validator(mode="after")
    def _not_everything(self) -> Self:
        if self.to_filter() == Filter():
            raise ValueError("give at least one condition, such as identity or id: nothing changes all records at once")
        return self

    @property
    def only_identity(self) -> bool:
        """Whether the identity is the only condition."""
        return self.to_filter() == Filter(identity=self.identity)


class DeletionsParameters(BaseModel):
    """``GET /gallery/deletions``."""

    model_config = ConfigDict(extra="forbid")

    limit: WholeNumber = Field(100, ge=1, le=1000, description="at most so many, the newest")


class VehicleFields(BaseModel):
    """The user's fields of one vehicle, and the body of ``PATCH``, where null clears a field."""

    model_config = ConfigDict(extra="forbid")

    identity: Name | None = None
    camera: Name | None = None
    captured_at: Time | None = None
    latitude: Degrees | None = Field(None, ge=-90, le=90)
    longitude: Degrees | None = Field(None, ge=-180, le=180)
    tags: Tags | None = None
    source: Source | None = None
    attributes: Attributes | None = None

    def given(self) -> dict[str, Any]:
        """The fields that were sent, by name, as `Fields` takes them."""
        names = self.model_fields_set & {field.name for field in dataclasses.fields(Fields)}
        values = {name: getattr(self, name) for name in names}
        for name, empty in (("tags", ()), ("attributes", {})):
            if name in values and values[name] is None:
                values[name] = empty
        return values


class BoxMetadata(VehicleFields):
    """One vehicle in a frame with fields of its own, which go before the frame's."""

    box: RawBox


class ImageMetadata(VehicleFields):
    """What is known about one file: its fields hold for every vehicle in it."""

    box: RawBox | None = None
    boxes: list[Annotated[BoxMetadata, BeforeValidator(_as_object)]] | None = Field(None, max_length=MAX_BOXES)

    @model_validator(mode="after")
    def _one_of_box_and_boxes(self) -> Self:
        if self.box is not None and self.boxes is not None:
            raise ValueError("give box or boxes, not both")
        return self

    def vehicles(self, filename: str | None) -> list[Vehicle]:
        """One per box, or the whole image; the file's name is their source if they name none.

        Raises:
            FieldsError: fields that contradict each other, or a file name that is none.
        """
        of_frame = self.given()
        if of_frame.get("source") is None:
            of_frame["source"] = read_source(filename) if filename else None
        if self.boxes is None:
            return [Vehicle(self.box, Fields(**of_frame))]
        return [Vehicle(item.box, Fields(**(of_frame | item.given()))) for item in self.boxes]


METADATA = TypeAdapter(list[ImageMetadata])
