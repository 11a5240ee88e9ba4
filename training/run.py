"""What a training run computes, from what, and where to."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from tqdm import tqdm

from index.datasets.task import Task
from training import distributed
from training.annotations import Annotations, annotations_of, names_of_annotations
from training.data import TrainingData
from training.recipe import Recipe
from training.run_folder import RunFolder

BestBy = Literal["validation", "second_validation"]


class TrainingError(RuntimeError):
    """A run that cannot go on; the message says why."""


class StoppedError(Exception):
    """A signal asked the run to stop; its state is saved."""


@dataclass(frozen=True)
class Habits:
    """What does not change what a run computes.

    Attributes:
        log_every: steps between two lines of the log.
        save_every_s: seconds between two saved states; with 0 one is saved after every epoch instead.
        memory_gb: for prepared images, in units of 10⁹ bytes, on the device if all fit.
        show_progress: whether to draw a progress bar.
    """

    log_every: int = 10
    save_every_s: float = 300.0
    memory_gb: float = 4.0
    show_progress: bool = True


@dataclass(frozen=True)
class Run:
    """What a run computes, from what, and where to.

    Attributes:
        folder: an empty one, or that of the run to resume.
        seed: of weights, batches and augmentation. On one CPU, with the same versions and number of threads, the same
            seed gives the same weights to the last bit, whether or not the run was stopped in between.
        origin: what the checkpoints say of the run, besides its recipe and how far it got.
        second_validation: a further task, such as one of real vehicles where the training's are drawn.
        best_by: which of the two picks the best epoch.
        leaves_out_damaged: whether images that cannot be used are left out, instead of ending the run.
    """

    recipe: Recipe
    data: TrainingData
    folder: RunFolder
    seed: int
    device: torch.device
    origin: dict[str, Any]
    habits: Habits = field(default_factory=Habits)
    second_validation: Task | None = None
    best_by: BestBy = "validation"
    leaves_out_damaged: bool = False

    @cached_property
    def annotations(self) -> Annotations:
        """What the method learns besides identities, of all training images: leaving some out changes no class."""
        return annotations_of(self.data.entries, names_of_annotations(self.recipe))

    def facts(self) -> dict[str, Any]:
        """What the folder keeps of it, besides the recipe."""
        return {
            **self.origin,
            **self.annotations.facts(),
            "seed": self.seed,
            "best_by": self.best_by,
            "device": str(self.device),
            "num_processes": distributed.world_size(),
        }

    @property
    def reports(self) -> bool:
        """Whether this process is the one that writes."""
        return distributed.rank() == 0

    def bar(self, total: int, **options: Any) -> "tqdm[Any]":
        """A progress bar over images."""
        return tqdm(total=total, unit="img", disable=not (self.reports and self.habits.show_progress), **options)
