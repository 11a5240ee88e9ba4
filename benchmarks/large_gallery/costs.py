"""What enrolling, opening and deleting cost in a large gallery."""

import ctypes
import gc
import os
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from tqdm import tqdm

from benchmarks.embedding_model import EmbeddingModel
from benchmarks.large_gallery.drawn_records import BATCH, MODEL, batches, image_of, place_of
from index.embedded.opening import open_gallery
from index.gallery.enrolment import Enrolment
from index.gallery.gallery import Gallery
from index.gallery.record import record_id

_MEASURED: Final = 10_000  # records whose enrolment is timed, at the beginning and at the end
_NUM_DELETIONS: Final = 50


def fill(gallery: Gallery, model: EmbeddingModel, num_rows: int) -> dict[str, Any]:
    """Enrols what is missing of `num_rows`; microseconds a record of the first and the last `_MEASURED`."""
    first = gallery.stats(0).total
    times: list[float] = []
    with tqdm(total=num_rows - first, unit="record", disable=None) as bar:
        for batch in batches(model, first, num_rows - first, 0):
            start = time.perf_counter()
            gallery.enrol(batch)
            times.append((time.perf_counter() - start) / len(batch))
            bar.update(len(batch))
    num = min(_MEASURED // BATCH, len(times) // 2)
    if first or not num:
        return {}
    early, late = (1e6 * statistics.fmean(of) for of in (times[:num], times[-num:]))
    return {"enrol_us_early": early, "enrol_us_late": late, "enrol_late_to_early": late / early}


def read_files(paths: Sequence[Path]) -> float:
    """Seconds to read files once."""
    buffer = bytearray(16 * 2**20)
    start = time.perf_counter()
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return time.perf_counter() - start


def drop_cache(paths: Sequence[Path]) -> None:
    """Asks the system to forget what it holds of files."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def resident_bytes() -> int:
    """Of this process, without what it has mapped of files."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) * 1024


def measure_opening(data_dir: Path, dim: int, num_rounds: int) -> dict[str, Any]:
    """Opens the gallery, and reads its files; medians of the rounds, each from a cold cache."""
    took: dict[str, list[float]] = {"open_s": [], "read_s": [], "read_snapshot_s": []}
    for _ in range(num_rounds):
        files = [path for path in data_dir.rglob("*") if path.is_file() and "images" not in path.parts]
        snapshot = [path for path in files if "snapshot" in path.parts]
        for name, paths in (("read_s", files), ("read_snapshot_s", snapshot)):
            drop_cache(files)
            took[name].append(read_files(paths))
        drop_cache(files)
        start = time.perf_counter()
        with closing(open_gallery(data_dir, MODEL, dim)):
            took["open_s"].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in took.items()} | {
        "file_bytes": sum(path.stat().st_size for path in files),
        "snapshot_bytes": sum(path.stat().st_size for path in snapshot),
    }


def measure_deletions(gallery: Gallery, num_rows: int) -> dict[str, float]:
    """Milliseconds of deletions of one record, all over the gallery; they are enrolled again afterwards."""
    deleted, took = [], []
    for number in np.linspace(0, num_rows - 1, min(_NUM_DELETIONS, num_rows)).astype(int).tolist():
        content, box = place_of(number)
        record = gallery.get(record_id(content, box))
        deleted.append(Enrolment(record, partial(image_of, number)))
        start = time.perf_counter()
        gallery.delete(record.id)
        took.append(1e3 * (time.perf_counter() - start))
    gallery.enrol(deleted)
    return {"delete_ms": statistics.median(took), "delete_longest_ms": max(took)}
