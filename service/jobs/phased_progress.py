"""How far a job is that goes through phases, such as records and then images: one number that only rises."""

import time
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Final

from index.embedded.data_folder import DATABASE
from index.embedded.records.record_reader import RecordReader
from service.jobs.background import Background
from service.jobs.running_job import RunningJob

_STORE_EVERY_S: Final = 0.3
# So long it works before it looks whether a query wants the processor.
_SLICE_S: Final = 0.02


class PhasedProgress:
    """What the index's functions are given as their `Progress`, in the job's own thread.

    Each phase counts for its size, and what is done of it in proportion. Work that is done again after a restart does
    not count a second time: the number stays until it is passed.
    """

    def __init__(self, job: RunningJob, background: Background, sizes: Mapping[str, int]) -> None:
        """Stores the total.

        Args:
            job: whose progress it is.
            background: by which the job gives way to queries.
            sizes: of each phase in its order, in records or images; phases that are not named do not count.
        """
        self._job, self._background = job, background
        self._sizes = dict(sizes)
        self._done_before = dict(zip(sizes, accumulate([0, *sizes.values()]), strict=False))
        self._num_total = sum(sizes.values())
        self._stored_at = self._gave_way_at = time.monotonic()
        job.advance(num_total=self._num_total)

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Notes what is done of a phase, and gives way to queries; stores it if that was a while ago."""
        if time.monotonic() - self._gave_way_at >= _SLICE_S:
            self._background.give_way()
            self._gave_way_at = time.monotonic()
        if phase in self._sizes and time.monotonic() - self._stored_at >= _STORE_EVERY_S:
            num_done = self._done_before[phase] + self._sizes[phase] * min(done, total) // max(total, 1)
            self._job.advance(max(num_done, self._job.num_done))
            self._stored_at = time.monotonic()


def gallery_size(data_dir: Path) -> tuple[int, int]:
    """How many records a gallery has, and how many images they name.

    Raises:
        GalleryError: its database cannot be read.
    """
    with RecordReader(data_dir / DATABASE) as records:
        return records.num_records(), records.num_images()
