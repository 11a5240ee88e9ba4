"""What distances mean to the model that serves: the decision on an answer, and the probability of each match."""

import json
import logging
import threading
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from index.calibration.calibration import Calibration, CalibrationError, Decision
from index.calibration.evidence import DEPTH, evidence_of, group_numbers
from index.embedded.disk import disk_errors
from index.gallery.answers import SearchResult
from index.gallery.record import ModelKey
from model.whole_file import whole_file

_LOG = logging.getLogger(__name__)

_FOLDER: Final = "calibrations"

Source = Literal["gallery", "checkpoint"]


class Judgement(NamedTuple):
    """The decision on an answer, and the probability of each of its matches; None while nobody knows it."""

    decision: Decision
    probabilities: list[float | None]


class Decisions:
    """Judges by the calibration that users made of their own vehicles, else by the checkpoint's. Safe from any thread.

    Attributes:
        unknown_share: of the queries, assumed by the user; None: as the calibration was fitted.
    """

    def __init__(
        self, data_dir: Path, model: ModelKey, of_checkpoint: Calibration | None, unknown_share: float | None
    ) -> None:
        """Reads what users made for this model.

        Raises:
            CalibrationError: it is damaged.
        """
        self._file = data_dir / _FOLDER / f"{model.fingerprint}-{model.precision}.json"
        self._of_checkpoint = of_checkpoint
        self._changing = threading.Lock()
        self._own = _read(self._file)
        self.unknown_share = unknown_share

    @property
    def calibration(self) -> Calibration | None:
        """The one that counts."""
        return self._own or self._of_checkpoint

    @property
    def source(self) -> Source | None:
        """Whose it is."""
        if self._own is not None:
            return "gallery"
        return None if self._of_checkpoint is None else "checkpoint"

    def adopt(self, calibration: Calibration) -> None:
        """Judges by the users' own from now on, also after a restart.

        Raises:
            GalleryError: the disk refuses it.
        """
        with self._changing, disk_errors(self._file.parent):
            self._file.parent.mkdir(exist_ok=True)
            with whole_file(self._file) as temporary:
                temporary.write_text(json.dumps(calibration.to_dict()), "utf-8")
            self._own = calibration

    def forget(self) -> bool:
        """Judges by the checkpoint's again; False if there was none of the users' own.

        Raises:
            GalleryError: the disk refuses it.
        """
        with self._changing, disk_errors(self._file.parent):
            had_own = self._own is not None
            self._file.unlink(missing_ok=True)
            self._own = None
            return had_own

    def to_dict(self) -> dict[str, Any] | None:
        """The calibration that counts, whose it is, and the share that is assumed: JSON values; None without one."""
        calibration = self.calibration
        if calibration is None:
            return None
        share = calibration.unknown_share if self.unknown_share is None else self.unknown_share
        return calibration.to_dict() | {"source": self.source, "unknown_share": share}

    def num_needed(self, top_k: int) -> int:
        """How many matches `judge` has to be given where so many were asked for: what rank 1 means, the others show."""
        return top_k if self.calibration is None else max(top_k, DEPTH)

    def judge(self, result: SearchResult) -> Judgement:
        """What an answer means, with at least as many matches as `num_needed` says, or all there are."""
        calibration, num_matches = self._judging(result.searched), len(result.matches)
        unknown: list[float | None] = [None] * num_matches
        if calibration is None or any(match.ranked_by is not None for match in result.matches):
            return Judgement("uncalibrated", unknown)
        if not num_matches:
            return Judgement("no_match", [])
        nearest = result.matches[0].distance
        decision = calibration.decide(nearest, result.searched)
        if decision == "uncalibrated":
            return Judgement(decision, unknown)
        evidence = evidence_of(
            np.array([match.distance for match in result.matches]),
            group_numbers([match.record.fields.identity for match in result.matches]),
            np.array(float(result.searched)),
        )
        return Judgement(decision, list(calibration.probability(evidence, self.unknown_share).tolist()))

    def _judging(self, num_searched: int) -> Calibration | None:
        """Which judges answers from so many records: the users' own, unless only the checkpoint's reaches so far."""
        own, of_checkpoint = self._own, self._of_checkpoint
        if own is None or own.covers(num_searched) or of_checkpoint is None or not of_checkpoint.covers(num_searched):
            return own or of_checkpoint
        return of_checkpoint

    def warnings(self, num_searched: int) -> list[str]:
        """What makes decisions on answers from so many records less than they promise; empty if nothing does."""
        calibration = self._judging(num_searched)
        if calibration is None:
            return []
        if calibration is self._own:
            if num_searched <= calibration.largest_gallery:
                return []
            return [
                f"the gallery's own calibration reaches galleries of {calibration.largest_gallery:,} records, and "
                f"{num_searched:,} were searched: calibrate again with more identities, or narrow the search"
            ]
        return [
            f"decisions and probabilities were calibrated on {calibration.fitted_on['data']}, not on your vehicles: "
            "POST /jobs with the kind calibrate does it on the records that have an identity"
        ]

    def same_vehicle_distance(self, num_records: int) -> float | None:
        """The distance up to which two of so many records are called the same vehicle; None if nobody knows."""
        calibration = self._judging(num_records)
        if calibration is None or not calibration.covers(num_records):
            return None
        return calibration.distance_at(calibration.uncertain_distance, num_records)


def _read(file: Path) -> Calibration | None:
    try:
        values = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise CalibrationError(f"{file} is no JSON ({error}): remove it, and calibrate again") from None
    try:
        return Calibration.from_dict(values)
    except CalibrationError as error:
        raise CalibrationError(f"{file}: {error}") from None
