"""What a checkpoint's network costs: parameters, operations, and images a second on this machine."""

import statistics
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from model.checkpoint import load_checkpoint
from model.embedder import Embedder

_BATCH: Final = 32


def measure_cost(checkpoint: Path, device: str, num_rounds: int) -> dict[str, Any]:
    """Of the network as it is served: what exists only to train it does not count.

    Args:
        checkpoint: of the network.
        device: where images a second are measured.
        num_rounds: batches that are timed, after one that warms up.

    Returns:
        ``num_parameters``, ``embedding_dim``; ``gflop_per_image`` of convolutions and matrix products alone, where a
        multiplication and an addition are two operations; ``images_per_s``, the median, of batches of 32 in float32.
    """
    loaded = load_checkpoint(checkpoint)
    side = loaded.card.preprocessing.size_px
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        loaded.network(torch.zeros(1, 3, side, side))
    embedder = Embedder(loaded, device)
    images = np.random.default_rng(0).integers(0, 256, (_BATCH, side, side, 3), np.uint8)
    rates = []
    for _ in range(num_rounds + 1):
        start = time.perf_counter()
        embedder.embed_prepared(images)  # its answer is on the CPU: a GPU has been waited for
        rates.append(_BATCH / (time.perf_counter() - start))
    return {
        "num_parameters": sum(parameter.numel() for parameter in loaded.network.parameters()),
        "embedding_dim": embedder.embedding_dim,
        "gflop_per_image": counter.get_total_flops() / 1e9,
        "images_per_s": statistics.median(rates[1:]),
    }
