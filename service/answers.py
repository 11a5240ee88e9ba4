"""What goes out: the JSON of every answer."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from index.gallery.answers import Match
from index.gallery.record import Record
from index.gallery.record_store import Deletion
from model.theta import turn_of
from service.jobs.job import State

Theta = list[list[float]]


class RecordAnswer(BaseModel):
    """One record of the gallery."""

    id: str
    identity: str | None
    camera: str | None
    captured_at: datetime | None
    latitude: float | None
    longitude: float | None
    tags: list[str]
    source: str | None = Field(description="the name or path of its file, as the client or the manifest gave it")
    attributes: dict[str, str]
    box: str = Field(description="x,y,w,h in pixels of the upright image")
    theta: Theta
    rotation_deg: float
    mirrored: bool
    model: str = Field(description="fingerprint of the model that made the embedding")
    precision: str
    enrolled_at: datetime
    image_url: str
    aligned_url: str
    frame_url: str

    @classmethod
    def of(cls, record: Record) -> Self:
        """The answer for a record."""
        fields = record.fields
        turn = turn_of(record.theta)
        return cls(
            id=record.id,
            identity=fields.identity,
            camera=fields.camera,
            captured_at=fields.captured_at,
            latitude=fields.latitude,
            longitude=fields.longitude,
            tags=list(fields.tags),
            source=fields.source,
            attributes=dict(fields.attributes),
            box=str(record.box),
            theta=record.theta.tolist(),
            rotation_deg=turn.rotation_deg,
            mirrored=turn.mirrored,
            model=record.model.fingerprint,
            precision=record.model.precision,
            enrolled_at=record.enrolled_at,
            image_url=f"/gallery/{record.id}/image",
            aligned_url=f"/gallery/{record.id}/aligned",
            frame_url=f"/gallery/{record.id}/frame",
        )


class QueryImage(BaseModel):
    """What the network made of the query."""

    theta: Theta = Field(description="2 x 3, maps output to input coordinates in [-1, 1]")
    rotation_deg: float = Field(description="counter-clockwise turn of the content, in (-180, 180]")
    mirrored: bool
    aligned_view: str | None = Field(
        description="data:image/jpeg;base64,...; null where the image of a record is lost, which a warning then says"
    )
    model: str = Field(description="fingerprint of the model")


class MatchAnswer(BaseModel):
    """One match; a lower distance is better."""

    rank: int
    id: str
    distance: float = Field(description="Euclidean, not squared")
    ranked_by: float | None = Field(description="what it was ranked by, if not by its distance: rerank and expand")
    probability: float | None = Field(description="that it is the same vehicle; null while uncalibrated")
    identity: str | None
    camera: str | None
    captured_at: datetime | None
    latitude: float | None
    longitude: float | None
    source: str | None
    image_url: str
    aligned_url: str

    @classmethod
    def of(cls, rank: int, match: Match, probability: float | None) -> Self:
        """The answer for a match."""
        record = match.record
        return cls(
            rank=rank,
            id=record.id,
            distance=match.distance,
            ranked_by=match.ranked_by,
            probability=probability,
            identity=record.fields.identity,
            camera=record.fields.camera,
            captured_at=record.fields.captured_at,
            latitude=record.fields.latitude,
            longitude=record.fields.longitude,
            source=record.fields.source,
            image_url=f"/gallery/{record.id}/image",
            aligned_url=f"/gallery/{record.id}/aligned",
        )


class Timing(BaseModel):
    """Where the time went, in milliseconds; embed includes waiting in the queue, decode reading a record."""

    decode: float
    embed: float
    search: float
    total: float


class VehicleMatches(BaseModel):
    """What was found for one vehicle."""

    query: QueryImage
    decision: Literal["match", "uncertain", "no_match", "uncalibrated"]
    matches: list[MatchAnswer]
    searched: int = Field(description="records that passed the conditions")
    warnings: list[str] = Field(description="what makes these matches less than they seem; empty if nothing does")


class QueryAnswer(VehicleMatches):
    """``POST /query`` for one vehicle."""

    timing_ms: Timing


class BoxMatches(VehicleMatches):
    """What was found for one of several boxes."""

    box: str = Field(description="as it came")


class BoxProblem(BaseModel):
    """Why a box cannot be used; the others are not affected."""

    box: str = Field(description="as it came, at most 100 characters of it")
    error: str


class BoxesAnswer(BaseModel):
    """``POST /query`` for several boxes: one answer for each, in their order."""

    answers: list[BoxMatches | BoxProblem]
    timing_ms: Timing = Field(description="of all boxes together")
    warnings: list[str] = Field(description="those that hold for every answer")


class EnrolmentResult(BaseModel):
    """What became of one vehicle; a file with boxes has one result per box, in order."""

    filename: str
    status: Literal["enrolled", "duplicate", "rejected"]
    id: str | None = None
    box: str | None = None
    detail: str | None = None
    warnings: list[str] = Field([], description="what makes this vehicle less than it seems; empty if nothing does")


class GalleryAnswer(BaseModel):
    """``POST /gallery``."""

    results: list[EnrolmentResult]
    enrolled: int
    duplicates: int
    rejected: int
    warnings: list[str]


class PageAnswer(BaseModel):
    """``GET /gallery``."""

    records: list[RecordAnswer]
    next_cursor: str | None
    total: int = Field(description="records that passed the conditions, on all pages")


class Count(BaseModel):
    """How many records have a value; null counts those without one."""

    value: str | None
    count: int


class ModelCount(BaseModel):
    """How many records a model embedded."""

    model: str
    precision: str
    count: int


class StatsAnswer(BaseModel):
    """``GET /gallery/stats``."""

    total: int
    searchable: int = Field(description="embedded by the model that searches")
    damaged: int = Field(description="records that failed their checksum, as far as they were read")
    damaged_images: int = Field(description="image files that are missing or damaged, as far as they were read")
    stray_images: int = Field(description="image files that no record names, when the gallery was opened")
    index_problems: list[str] = Field(
        description="what of the index on disk was found damaged at the start, and made anew from the records"
    )
    num_images: int
    num_cameras: int
    num_identities: int
    cameras: list[Count]
    identities: list[Count]
    models: list[ModelCount]


class ChangedAnswer(BaseModel):
    """``PATCH /gallery``."""

    changed: int


class DeletedAnswer(BaseModel):
    """``DELETE /gallery``."""

    deleted: int
    undo_url: str | None = Field(description="POST to it brings the records back; null if nothing can")
    undo_until: datetime | None

    @classmethod
    def of(cls, deletion: Deletion) -> Self:
        """The answer for a deletion."""
        url = undo_url(deletion)
        return cls(deleted=deletion.num_records, undo_url=url, undo_until=None if url is None else deletion.undo_until)


class DeletionAnswer(BaseModel):
    """A deletion that can be undone."""

    id: str
    deleted_at: datetime
    deleted: int
    undo_url: str | None
    undo_until: datetime

    @classmethod
    def of(cls, deletion: Deletion) -> Self:
        """The answer for a deletion."""
        return cls(
            id=deletion.id,
            deleted_at=deletion.deleted_at,
            deleted=deletion.num_records,
            undo_url=undo_url(deletion),
            undo_until=deletion.undo_until,
        )


class DeletionsAnswer(BaseModel):
    """``GET /gallery/deletions``: the newest first."""

    deletions: list[DeletionAnswer]


class UndoneAnswer(BaseModel):
    """``POST /gallery/deletions/{id}/undo``."""

    restored: int = Field(description="records that are back as they were; in the order of enrolment they come last")
    enrolled_again: int = Field(description="deleted records whose image was enrolled again meanwhile: that one stays")
    lost_images: int = Field(description="images of these records that are missing or damaged: enrol them again")


def undo_url(deletion: Deletion) -> str | None:
    """Where a deletion is undone; None if it cannot be."""
    if deletion.undo_until == deletion.deleted_at:
        return None
    return f"/gallery/deletions/{deletion.id}/undo"


class StatusAnswer(BaseModel):
    """``GET /healthz``."""

    status: Literal["alive", "ready"]


class DamageAnswer(BaseModel):
    """What the disk did to the gallery, as far as it was found out."""

    records: int = Field(description="records that failed their checksum; they are not found: enrol their images again")
    images: int = Field(description="image files that are missing or damaged: enrol them again")
    index: list[str] = Field(
        description="what of the index on disk was found damaged at the start; it was made anew and finds every record"
    )


class NextModelAnswer(BaseModel):
    """The model that the settings name, while another one serves, and the last job that brings the records to it."""

    fingerprint: str
    precision: str
    state: State | None = Field(description="of the job; null if there is none")
    done: int = Field(description="records that are there already")
    total: int | None = Field(description="all of them; null until they are counted")
    job_url: str | None


class ReadyNextModel(BaseModel):
    """What everybody may know of the model that is on its way: neither how large the gallery is nor a job's id."""

    fingerprint: str
    precision: str
    state: State | None = Field(description="of the job; null if there is none")


class ReadyAnswer(StatusAnswer):
    """``GET /readyz``."""

    damage: DamageAnswer | None = Field(None, description="absent if no damage was found")
    next_model: ReadyNextModel | None = Field(None, description="absent if the model serves that the settings name")


class ModelAnswer(BaseModel):
    """``GET /model``: the model card."""

    fingerprint: str
    trained: bool
    config: dict[str, Any]
    preprocessing: dict[str, Any]
    embedding_dim: int
    num_parameters: int
    precision: str
    runtime: str = Field(description="what runs the network, and which version of it")
    device: str
    training: dict[str, Any]
    evaluation: dict[str, Any] | None
    calibration: dict[str, Any] | None = Field(
        description="what decisions and probabilities follow, with its error figures; `source` says whose it is: the "
        "checkpoint's, or made of this gallery's vehicles"
    )
    next_model: NextModelAnswer | None = Field(description="null if this is the model that the settings name")
    warnings: list[str]


class HeldoutAnswer(BaseModel):
    """How far the evaluation on the held-out set is."""

    state: Literal["absent", "running", "done", "failed"]
    num_done: int = Field(description="images embedded so far")
    num_total: int
    error: str | None


class MetricsAnswer(BaseModel):
    """``GET /metrics`` as JSON. Before the first evaluation it has `heldout` alone, and `calibration` if there is one.

    Ratios lie in 0..1.
    """

    heldout: HeldoutAnswer
    calibration: dict[str, Any] | None = Field(
        None, description="what decisions and probabilities follow, with its error curves; absent without one"
    )
    dataset: str | None = None
    dataset_fingerprint: str | None = None
    split: str | None = None
    camera_rule: str | None = None
    cmc: dict[str, float] | None = Field(None, description="by rank")
    map: float | None = None
    minp: float | None = None
    intervals: dict[str, tuple[float, float]] | None = Field(
        None, description="95 % bootstrap intervals of cmc1 and map, (low, high)"
    )
    intervals_over: Literal["identities"] | None = Field(
        None, description="what the bootstrap draws anew: identities, each with all its queries; the gallery is fixed"
    )
    refinement: dict[str, Any] | None = Field(None, description="always null here: plain distances")
    num_draws: int | None = Field(
        None, description="where chance picks images, over how many draws the figures are the mean"
    )
    num_queries: int | None = None
    num_query_identities: int | None = Field(None, description="vehicles that are looked for")
    num_unmatched: int | None = None
    num_gallery: int | None = None
    num_distractors: int | None = None
    num_junk: int | None = None
    evaluated_at: datetime | None = None
    warnings: list[str] | None = None
    cmc_curve: list[float] | None = Field(None, description="CMC at ranks 1, 2, ... until it is 1")
    model: str | None = Field(None, description="fingerprint of the model that was scored")
    precision: str | None = None
    device: str | None = None
    runtime: str | None = Field(None, description="what ran the network; absent from evaluations of before")
