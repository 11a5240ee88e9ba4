"""``group``: which records show the same vehicle, as groups that somebody reviews."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar, Final, Literal

import numpy as np
from pydantic import BaseModel, Field

from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from index.gallery.shared_search import MOST_TOGETHER
from index.ranking.constrained_clustering import UNKNOWN, cluster_vehicles, nearest_in_cluster
from model.whole_file import whole_file
from service.decision import Decisions
from service.jobs.background import Background
from service.jobs.errors import UnusableDataError
from service.jobs.kind import JobParameters, Kind
from service.jobs.kinds.grouped_records import GroupedRecord, GroupedRecords
from service.jobs.kinds.growing_file import GrowingFile
from service.jobs.kinds.record_conditions import RecordConditions
from service.jobs.kinds.same_model import require_same_model
from service.jobs.proposed_group import COLUMNS, RESULT
from service.jobs.results_csv import csv_bytes
from service.jobs.running_job import RunningJob

MAX_RECORDS: Final = 100_000
"""Records in one job: their pairs have to fit into the memory."""

NUM_NEIGHBOURS: Final = 50
"""Of each record, so many nearest ones from other images may be in its group directly."""

_PAIRS: Final = "pairs.i64"


class GroupParameters(JobParameters):
    """``POST /jobs``: proposes which records show the same vehicle."""

    kind: Literal["group"]
    records: RecordConditions = Field(
        default_factory=RecordConditions, description="the records that are grouped; {} or left out: all"
    )
    max_distance: float | None = Field(
        None,
        strict=True,
        ge=1e-9,
        allow_inf_nan=False,
        description="the largest mean Euclidean distance between the records of two groups that are merged; may be "
        "left out where the model is calibrated",
    )


class _Cursor(BaseModel):
    """Where the job stands.

    Attributes:
        model: by which the job began.
        row: so many records have their neighbours in the file of pairs.
        num_bytes: of that file.
    """

    model: str
    row: int = 0
    num_bytes: int = 0


class _Report(BaseModel):
    """What came of the records so far.

    Attributes:
        left_out: records that pass the conditions, but are damaged or of another model.
        groups: with two records or more; `proposed` are those of them that have a record without an identity.
        alone: records in no group.
        crowded: records that have more than `NUM_NEIGHBOURS` within max_distance, of which the nearest were looked at.
    """

    records: int = 0
    left_out: int = 0
    groups: int = 0
    proposed: int = 0
    alone: int = 0
    crowded: int = 0
    max_distance: float = 0


class Group(Kind[GroupParameters]):
    """Finds the neighbours of every record, batch by batch, and then clusters them all at once."""

    name: ClassVar[str] = "group"
    parameters = GroupParameters

    def __init__(self, gallery: Gallery, background: Background, decisions: Decisions) -> None:
        self._gallery, self._background, self._decisions = gallery, background, decisions

    def check(self, parameters: GroupParameters) -> None:
        """It is known how near two records of one vehicle are, and there are not too many records."""
        num_records = len(self._gallery.seqs(parameters.records.to_filter()))
        self._max_distance(parameters, num_records)
        _require_few(num_records)

    def run(self, job: RunningJob, parameters: GroupParameters) -> dict[str, Any]:
        """Writes the groups, the largest first; the report counts them."""
        where = parameters.records.to_filter()
        if job.cursor is None:
            self._begin(job, parameters, where)
        cursor, report = _Cursor.model_validate(job.cursor), _Report.model_validate(job.report)
        max_distance = report.max_distance
        require_same_model(cursor.model, str(self._gallery.model))
        grouped = GroupedRecords.read(job.folder)
        self._find_neighbours(job, grouped, where, max_distance, cursor, report)
        pairs = np.fromfile(job.folder / _PAIRS, np.int64).reshape(-1, 2)
        cluster_of = cluster_vehicles(
            grouped.embeddings,
            pairs,
            max_distance,
            frames=_numbers([record.content for record in grouped.records]),
            labels=_numbers([record.identity for record in grouped.records]),
            step=job.raise_if_interrupted,
        )
        rows_of_cluster: dict[int, list[int]] = defaultdict(list)
        for row, cluster in enumerate(cluster_of.tolist()):
            rows_of_cluster[cluster].append(row)
        groups = sorted(rows_of_cluster.values(), key=lambda rows: (-len(rows), rows[0]))
        _write_groups(job, grouped, groups)
        several = [rows for rows in groups if len(rows) > 1]
        report.groups = len(several)
        report.alone = len(groups) - len(several)
        report.proposed = sum(any(grouped.records[row].identity is None for row in rows) for rows in several)
        return report.model_dump()

    def _begin(self, job: RunningJob, parameters: GroupParameters, where: Filter) -> None:
        seqs = self._gallery.seqs(where)
        _require_few(len(seqs))
        # Noted once: a calibration that changes meanwhile would change it in the middle.
        max_distance = self._max_distance(parameters, len(seqs))
        grouped = GroupedRecords.write(job, self._gallery, where, seqs)
        num_records = len(grouped.records)
        left_out = self._gallery.page(where, 1, None).total - num_records
        report = _Report(records=num_records, left_out=max(0, left_out), max_distance=max_distance)
        job.advance(
            cursor=_Cursor(model=str(self._gallery.model)).model_dump(),
            report=report.model_dump(),
            num_total=num_records,
        )

    def _max_distance(self, parameters: GroupParameters, num_records: int) -> float:
        max_distance = parameters.max_distance or self._decisions.same_vehicle_distance(num_records)
        if max_distance is None:
            raise UnusableDataError(
                f"max_distance is missing: the model is not calibrated for {num_records:,} records, so that nobody "
                "knows from which distance on two of them are different vehicles; send one"
            )
        return max_distance

    def _find_neighbours(
        self,
        job: RunningJob,
        grouped: GroupedRecords,
        where: Filter,
        max_distance: float,
        cursor: _Cursor,
        report: _Report,
    ) -> None:
        """Adds the pairs of rows that are near each other to their file."""
        row_of = {record.seq: row for row, record in enumerate(grouped.records)}
        num_in_frame = Counter(record.content for record in grouped.records)
        with (
            GrowingFile(job.folder / _PAIRS, cursor.num_bytes) as file,
            ThreadPoolExecutor(MOST_TOGETHER, "group") as pool,  # whose searches share passes
        ):

            def neighbours(row: int) -> list[int]:
                content = grouped.records[row].content
                top_k = NUM_NEIGHBOURS + 1 + num_in_frame[content]
                found = self._gallery.neighbours(grouped.embeddings[row], top_k, where)
                near = found.seq[found.distance <= max_distance].tolist()
                others = [row_of[seq] for seq in near if seq in row_of]  # not those that were enrolled meanwhile
                return [other for other in others if grouped.records[other].content != content]

            for start in range(cursor.row, len(grouped.records), MOST_TOGETHER):
                self._background.give_way()
                rows = range(start, min(start + MOST_TOGETHER, len(grouped.records)))
                for row, others in zip(rows, pool.map(neighbours, rows), strict=True):
                    report.crowded += len(others) > NUM_NEIGHBOURS
                    pairs = [(row, other) for other in others[:NUM_NEIGHBOURS]]
                    file.write(np.array(pairs, np.int64).tobytes())
                file.sync()
                cursor.row, cursor.num_bytes = rows.stop, file.num_bytes
                job.advance(rows.stop, cursor=cursor.model_dump(), report=report.model_dump())
                job.raise_if_interrupted()


def _require_few(num_records: int) -> None:
    if num_records > MAX_RECORDS:
        raise UnusableDataError(
            f"{num_records:,} records pass the conditions, at most {MAX_RECORDS:,} are grouped in one job: narrow the "
            "conditions, for example by camera or time"
        )


def _numbers(values: Sequence[str | None]) -> list[int]:
    """The same number for the same text, from 0 on; `UNKNOWN` for none."""
    number_of: dict[str, int] = {}
    return [UNKNOWN if value is None else number_of.setdefault(value, len(number_of)) for value in values]


def _write_groups(job: RunningJob, grouped: GroupedRecords, groups: Sequence[list[int]]) -> None:
    """The CSV: one line for each record, group by group.

    Made beside the results, where a kill may leave a half of it.
    """
    with whole_file(job.folder / RESULT) as temporary, temporary.open("wb") as file:
        file.write(csv_bytes([COLUMNS]))
        for number, rows in enumerate(groups, start=1):
            job.raise_if_interrupted()
            distances = nearest_in_cluster(grouped.embeddings, rows)
            file.write(csv_bytes(map(partial(_line, number), [grouped.records[row] for row in rows], distances)))
    (job.folder / RESULT).replace(job.results / RESULT)


def _line(number: int, record: GroupedRecord, distance: float) -> list[str | float | int | None]:
    nearest = None if np.isinf(distance) else float(distance)
    return [number, record.id, record.identity, nearest, record.camera, record.captured_at, record.source]
