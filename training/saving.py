"""What a run writes of itself: its state, to go on from, and checkpoints, to be served."""

import time
from dataclasses import asdict, replace
from pathlib import Path

from model.checkpoint import save_checkpoint
from training.learner import Learner
from training.run import Run, TrainingError
from training.run_state import Progress, save_run_state


def save(run: Run, learner: Learner, progress: Progress) -> None:
    """Writes the state and ``last.safetensors``. A finished run's state has no optimiser: nothing goes on from it.

    Raises:
        TrainingError: the weights are not finite.
    """
    require_finite_weights(learner, progress)
    scaled = replace(progress, loss_scale=learner.scaler.state_dict() or None)
    optimizer = None if progress.epoch == run.recipe.epochs else learner.optimizer
    save_run_state(run.folder.state, learner.modules(), optimizer, scaled)
    save_result(run.folder.last, run, learner, progress)


def save_result(path: Path, run: Run, learner: Learner, progress: Progress) -> None:
    """Writes what the training has come to as a checkpoint."""
    # A weight file is known by its name: its folder is nobody's business.
    recipe = asdict(run.recipe) | {
        name: Path(getattr(run.recipe, name)).name for name in ("trunk_weights", "heading_weights")
    }
    facts = {"trained": progress.steps_done > 0, "num_steps": progress.steps_done, "seed": run.seed, "recipe": recipe}
    save_checkpoint(path, learner.result(), run.recipe.preprocessing(), run.origin | run.annotations.facts() | facts)


def require_finite_weights(learner: Learner, progress: Progress) -> None:
    """No checkpoint and no state is written of a network that is lost; the necks' statistics are part of it.

    Raises:
        TrainingError: it is.
    """
    tensors = (tensor for module in learner.modules().values() for tensor in module.state_dict().values())
    if not all(bool(tensor.isfinite().all()) for tensor in tensors):
        raise TrainingError(
            f"the weights are not finite after {progress.steps_done} steps: lower learning_rate or set clip_norm"
        )


class SaveTimer:
    """Says when so many seconds have passed since it last said so; with 0 never."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._last_s = time.monotonic()

    def is_due(self) -> bool:
        """Whether that time has passed; it begins anew then."""
        if not self._every_s or time.monotonic() - self._last_s <= self._every_s:
            return False
        self._last_s = time.monotonic()
        return True
