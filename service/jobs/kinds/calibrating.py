"""``calibrate``: finds out on the gallery's own vehicles what the model's distances mean."""

import hashlib
import json
from typing import Any, ClassVar, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from index.calibration.calibrating import NUM_QUERIES, calibrate
from index.calibration.trials import Vehicles
from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from index.gallery.record import Record
from service.decision import Decisions
from service.jobs.background import Background
from service.jobs.errors import UnusableDataError
from service.jobs.kind import JobParameters, Kind
from service.jobs.kinds.record_conditions import RecordConditions
from service.jobs.running_job import RunningJob

MAX_RECORDS: Final = 20_000
"""Records that take part: 200 MB of embeddings. Of a larger gallery, vehicles are left out by chance."""

_READ_AT_ONCE: Final = 256


class CalibrateParameters(JobParameters):
    """``POST /jobs``: the probabilities and decisions of answers follow the gallery's own vehicles from then on."""

    kind: Literal["calibrate"]
    records: RecordConditions = Field(
        default_factory=RecordConditions,
        description="the records that take part, as far as their identity is known; {} or left out: all",
    )
    adopt: bool = Field(True, strict=True, description="false: only measure, and change nothing")


class _Known(NamedTuple):
    """A record whose identity is known."""

    identity: str
    content: str
    seq: int


class Calibrate(Kind[CalibrateParameters]):
    """Asks the gallery for its own vehicles; what comes of it judges answers as soon as the job is done.

    It is a matter of a minute: after a restart it begins again, and the same records give the same calibration.
    """

    name: ClassVar[str] = "calibrate"
    parameters = CalibrateParameters

    def __init__(self, gallery: Gallery, decisions: Decisions, background: Background) -> None:
        self._gallery, self._decisions, self._background = gallery, decisions, background

    def run(self, job: RunningJob, parameters: CalibrateParameters) -> dict[str, Any]:
        """Reads the records, calibrates, and adopts it; the calibration is a file of the job, too."""
        vehicles, num_left_out = self._read(job, parameters.records.to_filter())
        model = self._gallery.model
        fitted_on = {
            "data": "the records of this gallery",
            "num_images": len(vehicles.identity),
            "num_vehicles": len(np.unique(vehicles.identity)),
            "model": model.fingerprint,
            "precision": model.precision,
        }

        def step() -> None:
            job.raise_if_interrupted()
            self._background.give_way()

        calibration = calibrate(vehicles, fitted_on, num_queries=NUM_QUERIES, step=step)
        (job.results / "calibration.json").write_text(json.dumps(calibration.to_dict()), "utf-8")
        if parameters.adopt:
            self._decisions.adopt(calibration)
        return {
            "adopted": parameters.adopt,
            "records": len(vehicles.identity),
            "vehicles": fitted_on["num_vehicles"],
            "left_out": num_left_out,
            "largest_gallery": calibration.largest_gallery,
            "sizes": list(calibration.sizes),
            "match_distance": list(calibration.match_distance),
            "uncertain_distance": list(calibration.uncertain_distance),
            "measured": calibration.measured,
        }

    def _read(self, job: RunningJob, where: Filter) -> tuple[Vehicles, int]:
        """The records with an identity, and how many of them were left out because there are too many.

        Raises:
            UnusableDataError: there is none.
        """
        seqs = self._gallery.seqs(where)
        job.advance(job.num_done, num_total=len(seqs))
        known: list[_Known] = []
        for start in range(0, len(seqs), _READ_AT_ONCE):
            for seq, record in self._records(job, seqs[start : start + _READ_AT_ONCE].tolist()).items():
                if record.fields.identity is not None and where.matches(record):
                    known.append(_Known(record.fields.identity, record.content, seq))
            # Not less than before a restart: a job that seems to get on is started for ever.
            job.advance(max(job.num_done, min(len(seqs), start + _READ_AT_ONCE)))
        if not known:
            raise UnusableDataError("no record with an identity passes the conditions: nobody knows who is who")
        chosen = _whole_vehicles(known)
        # Only now their embeddings: of all, they might not fit into the memory.
        found: list[tuple[_Known, NDArray[np.float32]]] = []
        for start in range(0, len(chosen), _READ_AT_ONCE):
            chunk = chosen[start : start + _READ_AT_ONCE]
            records = self._records(job, [one.seq for one in chunk])
            found += [(one, records[one.seq].embedding) for one in chunk if one.seq in records]
        vehicles = Vehicles.named(
            np.stack([embedding for _, embedding in found]),
            [one.identity for one, _ in found],
            [one.content for one, _ in found],
        )
        return vehicles, len(known) - len(found)

    def _records(self, job: RunningJob, seqs: list[int]) -> dict[int, Record]:
        job.raise_if_interrupted()
        self._background.give_way()
        return self._gallery.records_at(seqs)


def _whole_vehicles(known: list[_Known]) -> list[_Known]:
    """At most `MAX_RECORDS`, the same ones each time: all records of a vehicle or none."""
    known = sorted(known, key=lambda one: (hashlib.sha256(one.identity.encode()).digest(), one))
    kept = known[:MAX_RECORDS]
    if len(kept) < len(known) and known[len(kept)].identity == kept[-1].identity:
        kept = [one for one in kept if one.identity != kept[-1].identity]
    return kept
