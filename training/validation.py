"""Which epoch is the best: a network scored on a task again and again, whose images are read once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from index.datasets.bulk_embedding import EmbeddedEntries, prepare_entries
from index.datasets.task import Task
from index.ranking.evaluation import evaluate_embedded
from model.build import Network
from model.embedder import embed_prepared
from model.preprocessing import Preprocessing
from training.recipe import Recipe

_BATCH_SIZE: Final = 512  # what fills a GPU
_BATCH_SIZE_ON_CPU: Final = 64  # more would only take memory


@dataclass(frozen=True)
class Figures:
    """What a validation found, by the names of the log."""

    cmc1: float
    cmc5: float
    map: float
    minp: float


class Validation:
    """A task, with its images as the network takes them.

    Args:
        task: what is asked.
        preprocessing: of the network.
        progress: told how many more images have been read.

    Raises:
        ImageError, BoxError, OSError: an image cannot be used: figures without it would be others.
    """

    def __init__(
        self, task: Task, preprocessing: Preprocessing, progress: Callable[[int], object] = lambda _: None
    ) -> None:
        side = preprocessing.size_px
        self._task = task
        self._images: NDArray[np.uint8] = np.empty((len(task.entries), side, side, 3), np.uint8)
        self._content = [""] * len(task.entries)
        for prepared in prepare_entries(task.manifest, task.entries, preprocessing):
            self._images[prepared.position] = prepared.image
            self._content[prepared.position] = prepared.content
            progress(1)

    def __call__(self, network: Network, recipe: Recipe, device: torch.device) -> Figures:
        """Scores a network in evaluation mode.

        Raises:
            EmbeddingError: its numbers are not finite.
        """
        size = _BATCH_SIZE_ON_CPU if device.type == "cpu" else _BATCH_SIZE
        starts = range(0, len(self._images), size)
        # As it is trained; the embedder's own bf16 would have to convert the weights anew for each validation.
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            parts = [embed_prepared(network, self._images[i : i + size], device) for i in starts]
        embedding, theta = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        result = evaluate_embedded(self._task, EmbeddedEntries(embedding, theta, self._content))
        return Figures(result.cmc(1), result.cmc(5), result.map, result.minp)
