"""What lies below every figure of the service, in a process of its own: the network alone, and the decoding alone."""

import statistics
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.service.crops import crops
from model.checkpoint import load_checkpoint
from model.embedder import Embedder, pick_device
from model.image import decode_image
from model.precision import Precision

_BATCH: Final = 16
_NUM_DECODED: Final = 200


def bare_images_per_s(checkpoint: Path, precision: Precision, seconds: float) -> float:
    """What the network embeds in whole batches of decoded crops, one after the other."""
    embedder = _embedder(checkpoint, precision)
    batch = np.stack([_prepared(embedder, file) for file in crops()[:_BATCH]])
    embedder.embed_prepared(batch)
    start, num_images = time.perf_counter(), 0
    while num_images == 0 or time.perf_counter() < start + seconds:
        embedder.embed_prepared(batch)
        num_images += len(batch)
    return num_images / (time.perf_counter() - start)


def decode_ms(checkpoint: Path, precision: Precision) -> float:
    """The median for decoding one crop and resizing it as the network takes it."""
    embedder = _embedder(checkpoint, precision)
    times = []
    for number in range(_NUM_DECODED):
        start = time.perf_counter()
        _prepared(embedder, crops()[number % len(crops())])
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def import_torch_s(num_times: int) -> float:
    """The median from the start of a process that imports torch to its end."""
    times = []
    for _ in range(num_times):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch"], check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


@cache
def _embedder(checkpoint: Path, precision: Precision) -> Embedder:
    return Embedder(load_checkpoint(checkpoint), pick_device("auto"), precision)


def _prepared(embedder: Embedder, file: bytes) -> NDArray[np.uint8]:
    return embedder.card.preprocessing(decode_image(file).pixels)
