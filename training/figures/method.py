"""A method to be drawn: one checkpoint's embeddings of one task, and its distances."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from index.datasets.bulk_embedding import EmbeddedEntries
from index.datasets.task import Task
from index.ranking.ranking_metrics import squared_distances
from model.checkpoint import ModelCard


@dataclass(frozen=True, eq=False)
class Method:
    """What a figure needs of a checkpoint.

    Attributes:
        label: its name in legends.
        embedded: the task's entries.
    """

    label: str
    card: ModelCard
    task: Task
    embedded: EmbeddedEntries

    @property
    def queries(self) -> NDArray[np.float32]:
        """(Q, D)."""
        return self.embedded.embedding[: len(self.task.queries)]

    @property
    def gallery(self) -> NDArray[np.float32]:
        """(G, D)."""
        start = len(self.task.queries)
        return self.embedded.embedding[start : start + len(self.task.gallery)]

    @cached_property
    def distances(self) -> NDArray[np.float32]:
        """(Q, G) Euclidean; figures are drawn of sets for which that fits into the memory."""
        return np.sqrt(squared_distances(self.queries, self.gallery))

    @cached_property
    def counts(self) -> NDArray[np.bool_]:
        """(Q, G): which pairs the protocol ranks at all."""
        if self.task.camera_rule == "none":
            return np.ones_like(self.same)
        query = np.array([entry.camera for entry in self.task.queries])[:, None]
        counts: NDArray[np.bool_] = ~(self.same & (query == np.array([entry.camera for entry in self.task.gallery])))
        return counts

    @cached_property
    def same(self) -> NDArray[np.bool_]:
        """(Q, G): whether it is the same vehicle; never a distractor."""
        query = np.array([entry.identity for entry in self.task.queries])[:, None]
        gallery = [entry.identity if entry.role == "gallery" else "" for entry in self.task.gallery]
        same: NDArray[np.bool_] = query == np.array(gallery)
        return same
