"""``match``: the nearest records of every vehicle of a manifest, a folder, or the gallery itself, as one CSV."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, Field, Strict, model_validator

from index.datasets.manifest import Entry, ManifestError
from index.gallery.answers import Match as Found
from index.gallery.bulk_intake import CHUNK_SIZE, Remark, embed_in_chunks
from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from index.gallery.record import Record
from index.gallery.search_others import search_others
from index.gallery.shared_search import MOST_TOGETHER
from index.gallery.timestamp import rfc3339
from model.preprocessing import Preprocessing
from service.decision import Decisions, Judgement
from service.jobs.background import Background
from service.jobs.import_root import ImportRoot
from service.jobs.kind import JobParameters, Kind
from service.jobs.kinds.growing_file import GrowingFile
from service.jobs.kinds.record_conditions import RecordConditions
from service.jobs.kinds.same_model import require_same_model
from service.jobs.kinds.vehicle_lines import LinesCursor, VehicleLines, check_path, require_root
from service.jobs.results_csv import Cell, csv_bytes
from service.jobs.running_job import JobInterrupted, RunningJob

RESULT: Final = "matches.csv"
COLUMNS: Final = (
    "query", "query_box", "query_identity", "rank", "id", "distance", "probability", "decision", "identity", "camera",
    "captured_at", "source",
)  # fmt: skip

# Records read at once, 12 kB each.
_MOST_READ: Final = 16_384


class MatchParameters(JobParameters):
    """``POST /jobs``: what `POST /query` finds, for thousands of vehicles."""

    kind: Literal["match"]
    path: str | None = Field(
        None,
        min_length=1,
        max_length=4096,
        description="whose vehicles are looked for: a manifest (all lines but junk), a folder with a manifest.csv or "
        "of images, or an image: relative to SANET_IMPORT_ROOT, or absolute and below it",
    )
    records: RecordConditions | None = Field(
        None, description="instead of path: the gallery's records that pass these conditions are looked for; {} for all"
    )
    where: RecordConditions = Field(RecordConditions(), description="the records that are searched")
    top_k: Annotated[int, Strict()] = Field(10, ge=1, le=1000, description="how many matches of each query")
    group_by: Literal["identity"] | None = Field(None, description="the nearest record of each identity only")
    identity_from_folder: bool = Field(
        False, strict=True, description="of images without a manifest: the folder that each lies in is its identity"
    )

    @model_validator(mode="after")
    def _path_or_records(self) -> Self:
        if (self.path is None) == (self.records is None):
            raise ValueError("give path or records, and not both: they say which vehicles are looked for")
        if self.identity_from_folder and self.path is None:
            raise ValueError("identity_from_folder goes with path: records have their identities")
        return self


class _Cursor(LinesCursor):
    """Where the job stands.

    Attributes:
        model: by which the job began.
        seq: of records, the last one that was looked for.
        last_seq: of the records that were there when the job began; None of a path, and at the beginning.
        num_bytes: of the CSV.
    """

    model: str
    seq: int = 0
    last_seq: int | None = None
    num_bytes: int = 0


class _Report(BaseModel):
    """What came of the queries so far.

    Attributes:
        with_matches: queries that found anything.
        rank1_of: queries whose identity is known and is that of a record which they could have found; of these
            `rank1_correct` have it at rank 1.
        left_out: records that pass the conditions, but are damaged or of another model.
    """

    queries: int = 0
    with_matches: int = 0
    rejected: int = 0
    rank1_correct: int = 0
    rank1_of: int = 0
    left_out: int = 0
    data_warnings: list[str] = []


class _Query(NamedTuple):
    """A vehicle that is looked for: what the CSV calls it, and as a record."""

    name: str
    record: Record


class _Chunk(NamedTuple):
    """Queries, and how many entries or records they were before some of them were rejected."""

    queries: list[_Query]
    num_taken: int


class _Answer(NamedTuple):
    """The lines of the CSV of one query; whether rank 1 has its identity, None where this says nothing."""

    rows: list[list[Cell]]
    has_matches: bool
    rank1_is_correct: bool | None


class Match(Kind[MatchParameters]):
    """Looks for vehicles chunk by chunk: embeds those that the gallery does not know, searches, and adds to the CSV.

    A query finds neither its own record nor, if it is a record, those of the same image file.
    """

    name: ClassVar[str] = "match"
    parameters = MatchParameters

    def __init__(
        self,
        root: ImportRoot | None,
        gallery: Gallery,
        preprocessing: Preprocessing,
        background: Background,
        max_file_bytes: int,
        decisions: Decisions,
    ) -> None:
        self._decisions = decisions
        self._root, self._gallery, self._preprocessing = root, gallery, preprocessing
        self._background, self._max_file_bytes = background, max_file_bytes

    def check(self, parameters: MatchParameters) -> None:
        """A path lies below the root, and a manifest there begins as one."""
        if parameters.path is not None:
            check_path(require_root(self._root), parameters.path, identity_from_folder=parameters.identity_from_folder)

    def run(self, job: RunningJob, parameters: MatchParameters) -> dict[str, Any]:
        """Writes the matches of chunk after chunk; the report counts them."""
        model = str(self._gallery.model)
        cursor = _Cursor(model=model) if job.cursor is None else _Cursor.model_validate(job.cursor)
        require_same_model(cursor.model, model)
        report = _Report() if job.report is None else _Report.model_validate(job.report)
        num_threads = max(1, min(MOST_TOGETHER, _MOST_READ // self._decisions.num_needed(parameters.top_k)))
        with (
            GrowingFile(job.results / RESULT, cursor.num_bytes) as file,
            ThreadPoolExecutor(num_threads, "match") as pool,  # whose searches share passes
        ):
            if file.num_bytes == 0:
                file.write(csv_bytes([COLUMNS]))
            for chunk in self._queries(job, parameters, cursor, report):
                self._background.give_way()
                for answer in pool.map(partial(self._answer, parameters), chunk.queries):
                    file.write(csv_bytes(answer.rows))
                    report.queries += 1
                    report.with_matches += answer.has_matches
                    report.rank1_of += answer.rank1_is_correct is not None
                    report.rank1_correct += answer.rank1_is_correct is True
                file.sync()
                cursor.num_bytes = file.num_bytes
                job.advance(job.num_done + chunk.num_taken, cursor=cursor.model_dump(), report=report.model_dump())
                job.raise_if_interrupted()
        return report.model_dump()

    def _queries(
        self, job: RunningJob, parameters: MatchParameters, cursor: _Cursor, report: _Report
    ) -> Iterator[_Chunk]:
        """What is looked for from the cursor on; cursor and report keep step."""
        if parameters.path is None:
            conditions = parameters.records or RecordConditions()
            return self._of_records(job, conditions.to_filter(), cursor, report)
        vehicles = VehicleLines.open(
            job,
            require_root(self._root),
            parameters.path,
            _is_query,
            identity_from_folder=parameters.identity_from_folder,
        )
        return self._of_path(job, vehicles, cursor, report)

    def _of_path(self, job: RunningJob, vehicles: VehicleLines, cursor: _Cursor, report: _Report) -> Iterator[_Chunk]:
        cursor.data = cursor.data or vehicles.state
        if cursor.data != vehicles.state:
            raise ManifestError(f"{vehicles.name} was changed while its vehicles were looked for: start the job again")
        if not cursor.is_checked:
            _check(job, vehicles, cursor, report)

        def read_image(entry: Entry) -> bytes:
            self._background.give_way()
            return vehicles.read(entry, self._max_file_bytes)

        chunks = embed_in_chunks(
            vehicles.entries(),
            read_image,
            self._gallery,
            self._gallery.model,
            self._preprocessing,
            lambda images: self._background.embed(job, images),
            skip=cursor.num_entries,
            stop_asked=lambda: job.is_interrupted,
        )
        for chunk in chunks:
            if chunk.stopped:
                raise JobInterrupted
            queries = []
            for vehicle in chunk.vehicles:
                if isinstance(vehicle, Remark):
                    _reject(job, report, vehicle)
                elif vehicle.located.id in chunk.refused:
                    _reject(job, report, Remark(vehicle.entry, chunk.refused[vehicle.located.id]))
                else:
                    record = replace(chunk.records[vehicle.located.id], fields=vehicle.located.fields)
                    queries.append(_Query(vehicle.entry.path, record))
            cursor.num_entries += len(chunk.vehicles)
            yield _Chunk(queries, len(chunk.vehicles))

    def _of_records(self, job: RunningJob, where: Filter, cursor: _Cursor, report: _Report) -> Iterator[_Chunk]:
        """In the order of enrolment."""
        seqs = self._gallery.seqs(where)
        if cursor.last_seq is None:
            report.left_out = max(0, self._gallery.page(where, 1, None).total - len(seqs))
            cursor.last_seq = max(seqs.tolist(), default=0)
        # Not those that were enrolled, or deleted and brought back, since the job began.
        seqs = seqs[: np.searchsorted(seqs, cursor.last_seq, "right")]
        seqs = seqs[np.searchsorted(seqs, cursor.seq, "right") :]
        job.advance(cursor=cursor.model_dump(), report=report.model_dump(), num_total=job.num_done + len(seqs))
        for start in range(0, len(seqs), CHUNK_SIZE):
            chunk = seqs[start : start + CHUNK_SIZE].tolist()
            records = self._gallery.records_at(chunk)
            report.left_out += len(chunk) - len(records)
            passing = [records[seq] for seq in chunk if seq in records and where.matches(records[seq])]
            cursor.seq = chunk[-1]
            yield _Chunk([_Query(record.id, record) for record in passing], len(chunk))

    def _answer(self, parameters: MatchParameters, query: _Query) -> _Answer:
        where = parameters.where.to_filter()
        search = partial(search_others, self._gallery, query.record, of_other_images=parameters.path is None)
        found = search(self._decisions.num_needed(parameters.top_k), where, parameters.group_by)
        judgement = self._decisions.judge(found)
        matches = found.matches[: parameters.top_k]
        identity = query.record.fields.identity
        rank1_is_correct = None
        if identity is not None and where.identity in (None, identity):
            is_found = any(match.record.fields.identity == identity for match in matches)
            if is_found or search(1, replace(where, identity=identity)).matches:
                rank1_is_correct = bool(matches) and matches[0].record.fields.identity == identity
        return _Answer(_rows(query, matches, judgement), bool(matches), rank1_is_correct)


def _is_query(entry: Entry) -> bool:
    return entry.role != "junk"


def _check(job: RunningJob, vehicles: VehicleLines, cursor: _Cursor, report: _Report) -> None:
    """Rejects the lines that are no entries, and counts all others."""
    num_total = vehicles.check(job, cursor).num_total
    if num_total == 0:
        raise ManifestError(f"{vehicles.lines.path.name} has junk only: nothing is left to look for")
    cursor.is_checked = True
    report.rejected = cursor.num_unusable
    report.data_warnings = [*vehicles.warnings, *vehicles.lines.warnings]
    job.advance(cursor=cursor.model_dump(), report=report.model_dump(), num_total=num_total)


def _reject(job: RunningJob, report: _Report, remark: Remark) -> None:
    entry = remark.entry
    job.reject(entry.line, entry.path, remark.detail, None if entry.box is None else str(entry.box))
    report.rejected += 1


def _rows(query: _Query, matches: list[Found], judgement: Judgement) -> list[list[Cell]]:
    """The lines of the CSV of one query: one for each match, or one that says that there is none."""
    record = query.record
    asked: list[Cell] = [query.name, str(record.box), record.fields.identity]
    decision, probabilities = judgement
    if not matches:
        return [[*asked, None, None, None, None, decision, None, None, None, None]]
    return [
        [*asked, rank, match.record.id, match.distance, probability, decision, *_fields(match.record)]
        for rank, (match, probability) in enumerate(zip(matches, probabilities, strict=False), start=1)
    ]


def _fields(record: Record) -> list[Cell]:
    fields = record.fields
    captured_at = None if fields.captured_at is None else rfc3339(fields.captured_at)
    return [fields.identity, fields.camera, captured_at, fields.source]
