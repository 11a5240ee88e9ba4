"""The training loop: epochs, steps, logs, validation, checkpoints, and going on where a run was stopped."""

import gc
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from index.stop_signal import stop_signal
from training import distributed
from training.alignment_statistics import alignment_statistics
from training.crops import Crops
from training.data import TrainingData
from training.heading.teaching import compute_headings, heading_of, require_known_headings, teach_heading
from training.learner import Learner, build_learner
from training.preparation import read_images, read_validation, require_room
from training.run import Run, StoppedError, TrainingError
from training.run_state import Progress, load_run_state
from training.sampler import PKSampler
from training.saving import SaveTimer, require_finite_weights, save, save_result
from training.schedule import learning_rate_at
from training.step import Batch, Outcome, Stepper
from training.validation import Validation

_NUM_TIMED_STEPS = 20


def train(run: Run, *, resume: bool = False) -> Progress:
    """Trains until the recipe's last epoch; ``best`` and ``last.safetensors`` are in the folder then.

    Raises:
        TrainingError: images cannot be used, the disk is too small, or the loss is not finite any more.
        StoppedError: by SIGINT or SIGTERM.
        RunFolderError, SamplerError, PretrainedError, RunStateError, ManifestError, ImageError, BoxError, OSError:
            before or while training.
    """
    recipe = run.recipe
    # What can be refused is refused before images are read, which takes minutes.
    if run.reports and not resume:
        run.folder.require_empty()
    PKSampler(run.data.labels, recipe.num_identities, recipe.num_images, run.seed)
    learner = build_learner(recipe, run.data.num_labels, run.seed, run.device, run.annotations.num_classes)
    require_known_headings(learner, run.data)
    require_room(run, learner)
    crops, data = read_images(run)
    loop = _Loop(run, learner, data, crops, resume=resume)
    # One for both: what is asked for between the heading's last step and the first epoch's stops the run too.
    with stop_signal() as stop_asked:
        loop.align(stop_asked)
        return loop.run_epochs(stop_asked)


class _Loop:
    """A run under way."""

    def __init__(self, run: Run, learner: Learner, data: TrainingData, crops: Crops, *, resume: bool) -> None:
        recipe = run.recipe
        self._run, self._recipe, self._learner, self._data, self._crops = run, recipe, learner, data, crops
        self._sampler = PKSampler(data.labels, recipe.num_identities, recipe.num_images, run.seed)
        num_batches = self._sampler.num_batches
        self._progress = Progress(min(num_batches, recipe.max_steps_per_epoch or num_batches))
        if resume and run.folder.has_results():  # else it ended before the first state was saved
            self._progress = load_run_state(run.folder.state, learner.modules(), learner.optimizer)
            learner.scaler.load_state_dict(self._progress.loss_scale or {})
        self._validations: dict[str, Validation] = {}
        if run.reports:
            for name, task in (("validation", data.validation), ("second_validation", run.second_validation)):
                if task is not None:
                    self._validations[name] = read_validation(run, name, task)
            if not resume:
                run.folder.create(recipe, run.facts())
            # Also of a run that was stopped before it was written, or begun by a version that wrote none.
            run.folder.write_recipe(recipe, run.seed)
            # A heading's steps come before step 0.
            step = self._progress.steps_done or -recipe.heading_steps
            run.folder.open_log(step, in_epoch=self._progress.step_in_epoch > 0)
            if not self._progress.steps_done and run.annotations.facts():
                classes = run.annotations.num_classes | dict.fromkeys(run.annotations.missing, 0)
                run.folder.log("annotations", 0, classes)
        self._labels = torch.tensor(data.labels, device=run.device)
        self._headings_rad: Tensor | None = None
        self._annotations: Tensor | None = None
        if run.annotations.classes:
            self._annotations = torch.from_numpy(run.annotations.indices(data.entries)).to(run.device)
        self._timer = SaveTimer(run.habits.save_every_s)

    @property
    def _num_steps(self) -> int:
        return self._recipe.epochs * self._progress.steps_per_epoch

    def align(self, stop_asked: Callable[[], bool]) -> None:
        """Where the input is aligned: has the heading learned, and computes that of each image."""
        learner = self._learner
        heading = heading_of(learner.network)
        if heading is None:
            return
        if not self._progress.steps_done and not learner.held & learner.loaded:
            teach_heading(self._run, learner, heading, self._data, self._crops, stop_asked)
            if learner.average is not None:
                learner.average.restart()
        self._headings_rad = compute_headings(learner, heading, self._crops, len(self._data.entries))

    def run_epochs(self, stop_asked: Callable[[], bool]) -> Progress:
        """All epochs that are left."""
        run, recipe, learner = self._run, self._recipe, self._learner
        images_per_step = recipe.num_identities * recipe.num_images
        stepper: Stepper | None = None
        initial = self._progress.steps_done * images_per_step
        with run.bar(self._num_steps * images_per_step, initial=initial) as bar:
            while self._progress.epoch < recipe.epochs:
                bar.set_description(f"epoch {self._progress.epoch + 1}/{recipe.epochs}")
                frozen = self._progress.epoch < recipe.frozen_epochs and bool(learner.loaded)
                if stepper is None or stepper.frozen != frozen:
                    stepper = None
                    gc.collect()  # the old one's gradient hooks go before the new one's come
                    stepper = Stepper(learner, frozen=frozen)
                self._train_epoch(stepper, bar, stop_asked)
                last = self._progress.epoch == recipe.epochs
                if run.reports and (last or self._progress.epoch % recipe.validate_every == 0):
                    self._validate()
                if run.reports and (last or not run.habits.save_every_s):
                    save(run, learner, self._progress)
        if run.reports:
            if self._progress.best is None:
                save_result(run.folder.best, run, learner, self._progress)
            run.folder.close()
        return self._progress

    def _train_epoch(self, stepper: Stepper, bar: "tqdm[Any]", stop_asked: Callable[[], bool]) -> None:
        """The steps of an epoch that are left."""
        run, recipe, epoch = self._run, self._recipe, self._progress.epoch
        stepper.begin_epoch()
        batches = self._sampler.epoch(epoch)[self._progress.step_in_epoch : self._progress.steps_per_epoch].reshape(
            -1, recipe.num_identities * recipe.num_images
        )
        batches = batches[:, distributed.share(batches.shape[1])]
        sums = {name: torch.tensor(value, device=run.device) for name, value in self._progress.sums.items()}
        started = time.monotonic()
        for number, (positions, images) in enumerate(zip(batches, self._crops.batches(batches), strict=True)):
            step = self._progress.steps_done
            rate = learning_rate_at(
                step, self._num_steps, recipe.warmup_epochs * self._progress.steps_per_epoch, recipe.learning_rate
            )
            outcome = stepper.step(
                self._batch(images, torch.from_numpy(positions).to(run.device)),
                rate,
                0.0 if self._learner.average is None else self._learner.average.share_of(step),
                np.random.default_rng([1, run.seed, epoch, self._progress.step_in_epoch]),
            )
            for name, term in outcome.terms.items():
                sums[name] = sums[name] + term if name in sums else term.clone()
            self._progress = replace(self._progress, step_in_epoch=self._progress.step_in_epoch + 1)
            bar.update(recipe.num_identities * recipe.num_images)
            if self._progress.steps_done % run.habits.log_every == 0:
                self._log_step(outcome, rate, bar)
            if epoch == 0 and number + 1 == _NUM_TIMED_STEPS and run.reports and run.habits.show_progress:
                per_step = (time.monotonic() - started) / _NUM_TIMED_STEPS
                tqdm.write(
                    f"about {per_step * self._num_steps / 60:,.0f} min for {self._num_steps:,} steps", sys.stderr
                )
            stop = distributed.any_process(stop_asked())
            if (stop or self._timer.is_due()) and run.reports:
                self._progress = replace(self._progress, sums=_as_numbers(sums))
                save(run, self._learner, self._progress)
            if stop:
                raise StoppedError
        # Not of steps_per_epoch: where a resumed run leaves images out, an epoch may be shorter.
        means = {name: value / self._progress.step_in_epoch for name, value in _as_numbers(sums).items()}
        _require_finite_loss(means["total"], self._progress)
        if run.reports:
            run.folder.log("epoch", self._progress.steps_done, {"epoch": epoch, **means})
        self._progress = replace(self._progress, epoch=epoch + 1, step_in_epoch=0, sums={})

    def _batch(self, images: Tensor, chosen: Tensor) -> Batch:
        """The images (N, C, S, S) at the positions `chosen` (N,), and what is known of them."""
        headings_rad = None if self._headings_rad is None else self._headings_rad[chosen]
        annotations = None if self._annotations is None else self._annotations[chosen]
        return Batch(images, self._labels[chosen], headings_rad, annotations)

    def _log_step(self, outcome: Outcome, learning_rate: float, bar: "tqdm[Any]") -> None:
        losses = _as_numbers(outcome.terms)
        _require_finite_loss(losses["total"], self._progress)
        bar.set_postfix(loss=f"{losses['total']:.3f}", refresh=False)
        if self._run.reports:
            statistics = {} if outcome.theta is None else alignment_statistics(outcome.theta)
            values = {"epoch": self._progress.epoch, "learning_rate": learning_rate, **losses, **statistics}
            self._run.folder.log("step", self._progress.steps_done, values)

    def _validate(self) -> None:
        """Scores what the training has come to, and keeps it if it is the best so far."""
        if not self._validations:
            return
        require_finite_weights(self._learner, self._progress)
        network, epoch = self._learner.result(), self._progress.epoch - 1
        found: dict[str, dict[str, float]] = {}
        for name, validation in self._validations.items():
            found[name] = asdict(validation(network, self._recipe, self._run.device))
            self._run.folder.log(name, self._progress.steps_done, {"epoch": epoch, **found[name]})
        figures = found.get(self._run.best_by)
        best = self._progress.best
        if figures is None or (best is not None and (figures["cmc1"], figures["map"]) <= (best["cmc1"], best["map"])):
            return
        self._progress = replace(self._progress, best={"epoch": epoch, **figures})
        save_result(self._run.folder.best, self._run, self._learner, self._progress)


def _as_numbers(terms: dict[str, Tensor]) -> dict[str, float]:
    """All of them at once: a GPU is waited for once."""
    return dict(zip(terms, torch.stack([*terms.values()]).tolist(), strict=True))


def _require_finite_loss(loss: float, progress: Progress) -> None:
    if not math.isfinite(loss):
        raise TrainingError(f"the loss is {loss} at step {progress.steps_done}: lower learning_rate or set clip_norm")
