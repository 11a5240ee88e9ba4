"""The records that a job groups, as they were when it began, in files of its own: the same after a restart."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from index.gallery.record import Record
from index.gallery.timestamp import rfc3339
from model.whole_file import whole_file
from service.jobs.errors import UnusableDataError
from service.jobs.running_job import RunningJob

_RECORDS: Final = "records.json"
_EMBEDDINGS: Final = "embeddings.f32"
_READ_AT_ONCE: Final = 256


class GroupedRecord(NamedTuple):
    """What a job keeps of a record: its seq, its fields as JSON has them, and the content of its image file."""

    seq: int
    id: str
    content: str
    identity: str | None
    camera: str | None
    captured_at: str | None
    source: str | None

    @classmethod
    def of(cls, seq: int, record: Record) -> Self:
        """Of a record as it is now."""
        fields = record.fields
        captured_at = None if fields.captured_at is None else rfc3339(fields.captured_at)
        return cls(seq, record.id, record.content, fields.identity, fields.camera, captured_at, fields.source)


@dataclass(frozen=True)
class GroupedRecords:
    """N records by rising id, and their embeddings (N, D) float32, which stay on the disk until they are needed."""

    records: list[GroupedRecord]
    embeddings: NDArray[np.float32]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """As `write` left them."""
        records = [GroupedRecord(*values) for values in json.loads((folder / _RECORDS).read_text("utf-8"))]
        return cls(records, np.memmap(folder / _EMBEDDINGS, np.float32, "r").reshape(len(records), -1))

    @classmethod
    def write(cls, job: RunningJob, gallery: Gallery, where: Filter, seqs: NDArray[np.int64]) -> Self:
        """Reads the records at these seqs (S,) from the gallery, and writes those that pass to the job's folder.

        One that was deleted meanwhile, or changed so that it does not pass, is left out.

        Raises:
            JobInterrupted: the job has to end.
            UnusableDataError: none is left.
        """
        found: list[GroupedRecord] = []
        unordered = job.folder / "unordered.f32"
        with unordered.open("wb") as file:
            for start in range(0, len(seqs), _READ_AT_ONCE):
                job.raise_if_interrupted()
                chunk = seqs[start : start + _READ_AT_ONCE].tolist()
                for seq, record in gallery.records_at(chunk).items():
                    if where.matches(record):
                        found.append(GroupedRecord.of(seq, record))
                        file.write(record.embedding.tobytes())
        if not found:
            raise UnusableDataError("no record that can be searched passes the conditions: there is nothing to group")
        embeddings = np.memmap(unordered, np.float32, "r").reshape(len(found), -1)
        order = sorted(range(len(found)), key=lambda row: found[row].id)
        with whole_file(job.folder / _EMBEDDINGS) as temporary, temporary.open("wb") as file:
            for start in range(0, len(order), _READ_AT_ONCE):
                job.raise_if_interrupted()
                file.write(embeddings[order[start : start + _READ_AT_ONCE]].tobytes())
        unordered.unlink()
        with whole_file(job.folder / _RECORDS) as temporary:
            temporary.write_text(json.dumps([found[row] for row in order]), "utf-8")
        return cls.read(job.folder)
