"""The training loop: epochs, steps, logs, validation, checkpoints, and going on where a run was stopped."""

import gc
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from index.stop_signal import stop_signal
from model.build import Network
from model.checkpoint import save_checkpoint
from model.polar import PolarHeading
from model.sanet import SANet
from training import distributed
from training.alignment_statistics import alignment_statistics
from training.crops import Crops
from training.data import TrainingData
from training.heading.learning import BATCH_SIZE, Task, learn_heading
from training.learner import Learner, Phase, build_learner
from training.recipe import Recipe
from training.run_folder import RunFolder
from training.run_state import Progress, load_run_state, save_run_state
from training.sampler import PKSampler
from training.schedule import learning_rate_at
from training.validation import validate


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
        cache_gb: memory for prepared images, in units of 10⁹ bytes.
        show_progress: whether to draw a progress bar.
    """

    log_every: int = 10
    save_every_s: float = 300.0
    cache_gb: float = 4.0
    show_progress: bool = True


@dataclass(frozen=True)
class Run:
    """What a run computes, from what, and where to.

    Attributes:
        folder: an empty one, or that of the run to resume.
        seed: of weights, batches and augmentation. On one CPU, with the same versions and number of threads, the same
            seed gives the same weights to the last bit, whether or not the run was stopped in between.
        origin: what the checkpoints say of the run, besides its recipe and how far it got.
    """

    recipe: Recipe
    data: TrainingData
    folder: RunFolder
    seed: int
    device: torch.device
    origin: dict[str, Any]
    habits: Habits = field(default_factory=Habits)

    def facts(self) -> dict[str, Any]:
        """What the folder keeps of it, besides the recipe."""
        return {
            **self.origin,
            "seed": self.seed,
            "device": str(self.device),
            "num_processes": distributed.world_size(),
        }


def train(run: Run, *, resume: bool = False) -> Progress:
    """Trains until the recipe's last epoch; ``best`` and ``last.safetensors`` are in the folder then.

    Raises:
        TrainingError: the loss is not finite any more.
        StoppedError: by SIGINT or SIGTERM.
        SamplerError, PretrainedError, RunStateError, ImageError, BoxError, OSError: before or while training.
    """
    recipe = run.recipe
    sampler = PKSampler(run.data.labels, recipe.num_identities, recipe.num_images, run.seed)
    learner = build_learner(recipe, run.data.num_labels, run.seed, run.device)
    crops = Crops(run.data.manifest, run.data.entries, recipe.preprocessing(), run.habits.cache_gb)
    steps_per_epoch = min(sampler.num_batches, recipe.max_steps_per_epoch or sampler.num_batches)
    progress = Progress(steps_per_epoch)
    if resume and run.folder.has_results():  # else it ended before the first state was saved
        progress = load_run_state(run.folder.state, learner.network, learner.objective, learner.optimizer)
        learner.scaler.load_state_dict(progress.loss_scale or {})
    writes = distributed.rank() == 0
    if writes:
        if not resume:
            run.folder.create(recipe, run.facts())
        # A heading's steps come before step 0.
        run.folder.open_log(progress.steps_done or -recipe.heading_steps, in_epoch=progress.step_in_epoch > 0)
    with stop_signal() as stop_asked:
        heading = _heading_of(learner.network)
        if heading is not None and not progress.steps_done and not learner.held & learner.loaded:
            _learn_heading(run, learner, heading, crops, stop_asked)
    images_per_step = recipe.num_identities * recipe.num_images
    bar = tqdm(
        total=recipe.epochs * steps_per_epoch * images_per_step,
        initial=progress.steps_done * images_per_step,
        unit="img",
        disable=not (writes and run.habits.show_progress),
    )
    phase: Phase | None = None
    timer = _SaveTimer(run.habits.save_every_s)
    with stop_signal() as stop_asked, bar:
        while progress.epoch < recipe.epochs:
            bar.set_description(f"epoch {progress.epoch + 1}/{recipe.epochs}")
            frozen = progress.epoch < recipe.frozen_epochs and bool(learner.loaded)
            if phase is None or phase.frozen != frozen:
                phase = None
                gc.collect()  # the old phase's gradient hooks go before the new one's come
                phase = Phase(learner, frozen=frozen)
            progress = _train_epoch(run, learner, phase, sampler, crops, progress, bar, timer, stop_asked)
            if writes and _is_due(recipe, progress.epoch):
                progress = _validate(run, learner, progress)
            if writes and (not run.habits.save_every_s or progress.epoch == recipe.epochs):
                _save(run, learner, progress)
    if writes:
        if progress.best is None:
            _save_checkpoint(run.folder.best, run, learner, progress)
        run.folder.close()
    return progress


def _heading_of(network: Network) -> PolarHeading | None:
    """What turns the network's input, if anything does."""
    if isinstance(network, SANet) and network.input_alignment is not None:
        return network.input_alignment.heading
    return None


def _learn_heading(
    run: Run, learner: Learner, heading: PolarHeading, crops: Crops, stop_asked: Callable[[], bool]
) -> None:
    """Teaches an aligned input its heading, in one process for all. Stopped, it starts anew."""
    recipe, logs = run.recipe, distributed.rank() == 0
    with tqdm(
        total=recipe.heading_steps * BATCH_SIZE,
        desc="heading",
        unit="img",
        disable=not (logs and run.habits.show_progress),
    ) as bar:

        def on_step(step: int, losses: dict[str, float]) -> None:
            bar.update(BATCH_SIZE)
            if not all(math.isfinite(loss) for loss in losses.values()):
                raise TrainingError(f"the loss of the heading's step {step} is not finite: {losses}")
            if step % run.habits.log_every == 0:
                run.folder.log("heading", step - recipe.heading_steps, losses)
            if stop_asked():
                raise StoppedError

        if logs:
            task = Task(
                crops.batches,
                run.data.labels,
                learner.network.normalization,
                recipe.heading_steps,
                run.seed,
                learner.device,
            )
            learn_heading(heading, task, on_step)
    distributed.copy_from_first(heading)


def _train_epoch(
    run: Run,
    learner: Learner,
    phase: Phase,
    sampler: PKSampler,
    crops: Crops,
    progress: Progress,
    bar: "tqdm[Any]",
    timer: "_SaveTimer",
    stop_asked: Callable[[], bool],
) -> Progress:
    """The steps of an epoch that are left; the progress at the start of the next."""
    recipe, epoch = run.recipe, progress.epoch
    phase.begin_epoch()
    labels = torch.tensor(run.data.labels)
    batches = sampler.epoch(epoch)[progress.step_in_epoch : progress.steps_per_epoch].reshape(
        -1, recipe.num_identities * recipe.num_images
    )
    batches = batches[:, distributed.share(batches.shape[1])]
    for positions, images in zip(batches, crops.batches(batches), strict=True):
        rng = np.random.default_rng([1, run.seed, epoch, progress.step_in_epoch])
        rate = learning_rate_at(
            progress.steps_done,
            recipe.epochs * progress.steps_per_epoch,
            recipe.warmup_epochs * progress.steps_per_epoch,
            recipe.learning_rate,
        )
        terms, theta = phase.step(images, labels[positions], rate, rng)
        progress = replace(progress, step_in_epoch=progress.step_in_epoch + 1)
        bar.update(recipe.num_identities * recipe.num_images)
        if progress.steps_done % run.habits.log_every == 0:
            values = _values(terms, theta, rate, epoch)
            if not math.isfinite(values["total"]):
                raise TrainingError(
                    f"the loss is {values['total']} at step {progress.steps_done}: lower learning_rate or set clip_norm"
                )
            bar.set_postfix(loss=f"{values['total']:.3f}", refresh=False)
            if distributed.rank() == 0:
                run.folder.log("step", progress.steps_done, values)
        stop = distributed.any_process(stop_asked())
        if (stop or timer.is_due()) and distributed.rank() == 0:
            _save(run, learner, progress)
        if stop:
            raise StoppedError
    return replace(progress, epoch=epoch + 1, step_in_epoch=0)


class _SaveTimer:
    """Says when so many seconds have passed since it last said so; with 0 never."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._last_s = time.monotonic()

    def is_due(self) -> bool:
        if not self._every_s or time.monotonic() - self._last_s <= self._every_s:
            return False
        self._last_s = time.monotonic()
        return True


def _require_finite(learner: Learner, progress: Progress) -> None:
    """No checkpoint and no state is written of a network that is lost."""
    if not all(bool(tensor.isfinite().all()) for tensor in learner.network.state_dict().values()):
        raise TrainingError(
            f"the weights are not finite after {progress.steps_done} steps: lower learning_rate or set clip_norm"
        )


def _values(terms: dict[str, Tensor], theta: Tensor, learning_rate: float, epoch: int) -> dict[str, float]:
    losses = {name: float(value.detach()) for name, value in terms.items()}
    return {"epoch": epoch, "learning_rate": learning_rate, **losses, **alignment_statistics(theta)}


def _is_due(recipe: Recipe, num_epochs: int) -> bool:
    return num_epochs % recipe.validate_every == 0 or num_epochs == recipe.epochs


def _validate(run: Run, learner: Learner, progress: Progress) -> Progress:
    """Scores the network, and keeps it if it is the best so far."""
    if run.data.validation is None:
        return progress
    _require_finite(learner, progress)
    figures = asdict(validate(learner, run.data.validation))
    run.folder.log("validation", progress.steps_done, {"epoch": progress.epoch - 1, **figures})
    best = progress.best
    if best is not None and (figures["cmc1"], figures["map"]) <= (best["cmc1"], best["map"]):
        return progress
    progress = replace(progress, best={"epoch": progress.epoch - 1, **figures})
    _save_checkpoint(run.folder.best, run, learner, progress)
    return progress


def _save(run: Run, learner: Learner, progress: Progress) -> None:
    _require_finite(learner, progress)
    scaled = replace(progress, loss_scale=learner.scaler.state_dict() or None)
    save_run_state(run.folder.state, learner.network, learner.objective, learner.optimizer, scaled)
    _save_checkpoint(run.folder.last, run, learner, progress)


def _save_checkpoint(path: Path, run: Run, learner: Learner, progress: Progress) -> None:
    # A weight file is known by its name: its folder is nobody's business.
    recipe = asdict(run.recipe) | {"trunk_weights": Path(run.recipe.trunk_weights).name}
    facts = {"trained": progress.steps_done > 0, "num_steps": progress.steps_done, "seed": run.seed, "recipe": recipe}
    save_checkpoint(path, learner.network, run.recipe.preprocessing(), run.origin | facts)
