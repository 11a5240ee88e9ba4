"""The heading of an aligned input, as a run wants it: learned before the first epoch, then computed once per image."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from index.datasets.manifest import Entry, Manifest
from model.build import Network
from model.polar import PolarHeading
from model.sanet import SANet
from training import distributed
from training.alignment.headings import crop_size, input_heading_deg, known_heading
from training.crops import Crops
from training.data import TrainingData
from training.heading.examples import BATCH_SIZE, Examples
from training.heading.identities import learn_heading_from_identities
from training.heading.labels import learn_heading_from_labels
from training.learner import Learner
from training.run import Run, StoppedError, TrainingError

_PASS_BATCH_SIZE = 256


def heading_of(network: Network) -> PolarHeading | None:
    """What turns the network's input, if anything does."""
    if isinstance(network, SANet) and network.input_alignment is not None:
        return network.input_alignment.heading
    return None


def teach_heading(
    run: Run, learner: Learner, heading: PolarHeading, data: TrainingData, crops: Crops, stop_asked: Callable[[], bool]
) -> None:
    """Teaches an aligned input its heading, in one process for all. Stopped, it starts anew.

    Raises:
        TrainingError: a loss is not finite.
        StoppedError: by a signal.
        ManifestError: the headings are to be the data's, which does not know them.
        ImageError, BoxError, OSError: an image cannot be had.
    """
    recipe = run.recipe
    if run.reports:
        examples = Examples(
            crops.batches, data.labels, learner.network.normalization, recipe.heading_steps, run.seed, learner.device
        )
        with run.bar(recipe.heading_steps * BATCH_SIZE, desc="heading") as bar:

            def on_step(step: int, losses: dict[str, Tensor]) -> None:
                bar.update(BATCH_SIZE)
                if step % run.habits.log_every == 0 or step == recipe.heading_steps:
                    values = {name: float(loss) for name, loss in losses.items()}
                    if not all(map(math.isfinite, values.values())):
                        raise TrainingError(f"the loss of the heading's step {step} is not finite: {values}")
                    run.folder.log("heading", step - recipe.heading_steps, values)
                if stop_asked():
                    raise StoppedError

            if recipe.heading == "labels":
                headings_rad = true_headings_rad(data.manifest, data.entries, recipe.resize)
                learn_heading_from_labels(heading, examples, headings_rad, on_step)
            else:
                learn_heading_from_identities(heading, examples, on_step)
    distributed.copy_from_first(heading)


def require_known_headings(learner: Learner, data: TrainingData) -> None:
    """Refuses, before images are read, data that does not know the headings that are to be learned from it.

    Raises:
        ManifestError: an entry has none.
    """
    teaches = heading_of(learner.network) is not None and not learner.held & learner.loaded
    if teaches and learner.recipe.heading == "labels":
        for entry in data.entries:
            known_heading(entry)


def true_headings_rad(manifest: Manifest, entries: Sequence[Entry], resize: str) -> NDArray[np.float64]:
    """The headings (P,) that the data knows, in the network's square input.

    Raises:
        ManifestError: an entry has none.
    """
    headings_deg = [known_heading(entry) for entry in entries]
    if resize == "stretch":
        sizes = (crop_size(manifest, entry) for entry in entries)
        headings_deg = [input_heading_deg(known, *size) for known, size in zip(headings_deg, sizes, strict=True)]
    return np.deg2rad(headings_deg)


@torch.no_grad()
def compute_headings(learner: Learner, heading: PolarHeading, crops: Crops, num_images: int) -> Tensor:
    """The headings (P,) of all training images in radians, on the device, read from the clean images once.

    Evaluation reads them from clean images too: augmented ones would add an error that it never makes.
    """
    heading.eval()
    positions = np.arange(num_images)
    batches = crops.batches(positions[i : i + _PASS_BATCH_SIZE] for i in range(0, num_images, _PASS_BATCH_SIZE))
    return torch.cat([heading(learner.network.normalization(images[:, :3])) for images in batches])
