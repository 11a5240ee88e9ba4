"""What happens before the first step: images are read, and what would end the run later ends it now."""

import shutil
import sys
from typing import Final

from index.datasets.task import Task
from model.box import BoxError
from model.image import ImageError
from training.crops import Crops
from training.data import TrainingData
from training.learner import Learner
from training.run import Run, TrainingError
from training.validation import Validation

_NUM_NAMED: Final = 10


def read_images(run: Run) -> tuple[Crops, TrainingData]:
    """All training images, read once, and the data that is left: what cannot be used is named, all of it at once.

    Raises:
        TrainingError: there are such images, and the run does not leave them out.
    """
    recipe, data = run.recipe, run.data
    crops = Crops(
        data.manifest,
        data.entries,
        recipe.preprocessing(),
        run.device,
        run.habits.memory_gb,
        with_masks=recipe.background_p > 0,
    )
    with run.bar(len(data.entries), desc="images") as bar:
        damaged = crops.load(bar.update)
    if not damaged:
        return crops, data
    named = "\n".join(list(damaged.values())[:_NUM_NAMED])
    more = f"\nand {len(damaged) - _NUM_NAMED} more" if len(damaged) > _NUM_NAMED else ""
    if not run.leaves_out_damaged:
        raise TrainingError(
            f"{len(damaged)} of {len(data.entries)} images cannot be used:\n{named}{more}\nput readable ones in their "
            "place, or leave them out with --leave-out-damaged; a resumed run may do either"
        )
    if run.reports:
        sys.stderr.write(f"left out, {len(damaged)} of {len(data.entries)} images:\n{named}{more}\n")
    crops.leave_out(damaged)
    return crops, data.without(damaged)


def require_room(run: Run, learner: Learner) -> None:
    """A run that would fill the disk ends before it starts.

    Raises:
        TrainingError: it would.
    """
    weights = sum(t.numel() * t.element_size() for t in learner.network.state_dict().values())
    modules = sum(t.numel() * t.element_size() for m in learner.modules().values() for t in m.state_dict().values())
    needed = 2 * weights + modules + 2 * 4 * sum(p.numel() for p in learner.trainee.parameters())
    written = (run.folder.best, run.folder.last, run.folder.state)
    needed -= sum(path.stat().st_size for path in written if path.exists())  # a resumed run's are already there
    existing = next(
        folder for folder in (run.folder.path.absolute(), *run.folder.path.absolute().parents) if folder.exists()
    )
    free = shutil.disk_usage(existing).free
    if run.reports and run.habits.show_progress:
        sys.stderr.write(f"the run takes {needed / 1e6:,.0f} MB in {run.folder.path}\n")
    if free < needed:
        raise TrainingError(
            f"the run needs {needed / 1e6:,.0f} MB, and {run.folder.path} has {free / 1e6:,.0f} MB left"
        )


def read_validation(run: Run, name: str, task: Task) -> Validation:
    """The images of the task that is the run's `name`, read once.

    Raises:
        TrainingError: one cannot be used: figures without it would be others.
    """
    with run.bar(len(task.entries), desc="validation images") as bar:
        try:
            return Validation(task, run.recipe.preprocessing(), bar.update)
        except (ImageError, BoxError, OSError) as error:
            raise TrainingError(
                f"an image of the {name.replace('_', ' ')} cannot be used: {error}; put a readable one in its place, "
                "or take its lines out of the data: --leave-out-damaged leaves out training images alone"
            ) from error
