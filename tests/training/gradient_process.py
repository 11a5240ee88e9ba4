"""One of several processes that share a batch. Gradients, loss terms and weights: the first writes them down, each its
fingerprint of them.

RANK=0 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=... python -m tests.training.gradient_process FOLDER
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from model.build import build_network
from model.checkpoint import compute_fingerprint
from model.sanet import SANet
from tests.conftest import picture
from training import distributed
from training.learner import Learner, build_learner
from training.neck import Necks
from training.objective import Objective
from training.recipe import Recipe, debug
from training.step import Batch, Stepper
from training.trainee import Trainee

# The alignment computes in float32 at least, whatever comes in; here that is float64, too.
in_float64 = patch.object(Tensor, "float", Tensor.double)
SIZE = 32
NUM_IDENTITIES, NUM_IMAGES, NUM_LABELS = 4, 2, 5
NUM_STEPS = 2


def batch() -> tuple[Tensor, Tensor]:
    """The global batch (8, 3, S, S) uint8 and its labels, identity by identity.

    Identities 0 and 2 look alike, and 1 and 3: in each process the nearest negatives are in the other.
    """
    rng = np.random.default_rng(0)
    images = [
        picture(50 + identity % 2, SIZE, SIZE) * 0.9 + rng.uniform(0, 25, (SIZE, SIZE, 3))
        for identity in range(NUM_IDENTITIES)
        for _ in range(NUM_IMAGES)
    ]
    labels = torch.tensor([3, 0, 1, 4]).repeat_interleave(NUM_IMAGES)
    return torch.from_numpy(np.stack(images).astype(np.uint8)).permute(0, 3, 1, 2), labels


def build() -> Trainee:
    """Seeded, in float64, BatchNorm in evaluation mode; it turns what it sees, so that all of it has gradients."""
    torch.default_generator.manual_seed(7)
    recipe = Recipe(
        backbone="resnet18", size_px=SIZE, margin=2.0, label_smoothing=0.1, contrastive_weight=1.0, temperature=0.5
    )
    network = build_network(recipe.network_config(), recipe.preprocessing())
    assert isinstance(network, SANet)
    assert network.alignment is not None
    last = network.alignment.localization[-1]
    assert isinstance(last, nn.Linear)
    nn.init.normal_(last.weight, std=0.05)
    objective = Objective(network.config, NUM_LABELS, recipe)
    return Trainee(network, Necks(network.config), objective, torch.float32).double().eval()


def seen_by_the_trunk(trainee: Trainee, images: Tensor) -> Tensor:
    """Images (N, 3, S, S) uint8, normalised; it aligns no input."""
    normalized: Tensor = trainee.network.normalization(images)
    return normalized


def gradients(trainee: nn.Module) -> dict[str, Tensor]:
    """Of what has some, by its name."""
    return {name: parameter.grad for name, parameter in trainee.named_parameters() if parameter.grad is not None}


@in_float64
def shared_gradients() -> dict[str, Tensor]:
    """Gradients and loss terms of the whole batch, of which this process has seen its share alone."""
    trainee = build()
    images, labels = batch()
    mine = distributed.share(len(images))
    parallel = distributed.parallel(trainee)  # it has to live until the gradients are there
    terms, _ = parallel(seen_by_the_trunk(trainee, images[mine]), labels[mine])
    terms["total"].backward()
    return gradients(trainee) | {f"terms.{name}": term.detach() for name, term in terms.items()}


# What has statistics of its own in each process, necks and mixed styles, is for all processes alike, but not as in one.
ALIGNED: dict[str, Any] = {
    "architecture": "sanet", "transform": "rotation", "aligned": "input", "num_parts": 1, "id_scale": 16.0,
    "id_margin": 0.1, "triplet_weight": 0.0, "contrastive_weight": 1.0, "average_steps": 3, "turn_deg": 8.0,
    "half_turn_p": 0.2,
}  # fmt: skip
RUNS: dict[str, dict[str, Any]] = {
    "network": {},
    "cosines": {"id_scale": 16.0},
    "contrastive": {"id_weight": 0.0, "triplet_weight": 0.0, "contrastive_weight": 1.0},
    "ours": {**ALIGNED, "neck": "batchnorm", "mixstyle_p": 0.5},
    "no parts": {"architecture": "sanet", "num_parts": 0, "neck": "batchnorm"},
}


def small_recipe(**changes: Any) -> Recipe:
    """With all augmentation that an image has by itself."""
    small: dict[str, Any] = {
        "architecture": "baseline", "size_px": SIZE, "num_identities": NUM_IDENTITIES, "num_images": NUM_IMAGES,
        "flip_p": 0.5, "scale": 0.1, "shift": 0.05, "cast": 0.05, "grey_p": 0.2, "blur_p": 0.5, "noise": 0.05,
        "channel_drop": 0.2,
    }  # fmt: skip
    return dataclasses.replace(debug(), **{**small, **changes})


def frozen_steps(**changes: Any) -> dict[str, Tensor]:
    """Steps of the trainer in which the whole network is frozen, BatchNorm too: the classifiers and the loss terms."""
    learner = build_learner(small_recipe(**changes), NUM_LABELS, 0, torch.device("cpu"))
    learner = dataclasses.replace(learner, loaded=frozenset(learner.network.state_dict()))
    found = steps(learner, frozen=True) | dict(learner.trainee.objective.named_parameters())
    averaged = {} if learner.average is None else dict(learner.average.average.objective.named_parameters())
    return found | {f"average.{name}": parameter for name, parameter in averaged.items()}


def network_steps(**changes: Any) -> dict[str, Tensor]:
    """Steps of the trainer: every weight, and the mean of them."""
    learner = build_learner(small_recipe(**changes), NUM_LABELS, 0, torch.device("cpu"))
    found = steps(learner, frozen=False) | dict(learner.trainee.named_parameters())
    return found | ({} if learner.average is None else dict(learner.average.named_parameters()))


def steps(learner: Learner, *, frozen: bool) -> dict[str, Tensor]:
    """The loss terms of some steps."""
    stepper = Stepper(learner, frozen=frozen)
    images, labels = batch()
    headings = torch.linspace(-3, 3, len(labels))
    mine = distributed.share(len(images))
    aligned = learner.recipe.aligned == "input"
    found: dict[str, Tensor] = {}
    for step in range(NUM_STEPS):
        given = Batch(images[mine], labels[mine], headings[mine] if aligned else None)
        share = 0.0 if learner.average is None else learner.average.share_of(step)
        outcome = stepper.step(given, 1e-3, share, np.random.default_rng(step))
        found |= {f"{step}.{name}": term for name, term in outcome.terms.items()}
    return found


def agreement() -> dict[str, Tensor]:
    """What the processes tell each other."""
    rank = distributed.rank()
    return {
        "rank": torch.tensor([rank, distributed.world_size(), distributed.local_rank()]),
        "share": torch.arange(8)[distributed.share(8)],
        "gathered": distributed.gather(torch.arange(2) + 10 * rank),
        "any": torch.tensor([distributed.any_process(asked) for asked in (False, rank == 0, rank == 1, True)]),
        **{f"copied.{name}": tensor for name, tensor in copied(rank).items()},
    }


def copied(rank: int) -> dict[str, Tensor]:
    """A module whose every number is 5 in the first process and another in the others, after it was copied."""
    module = nn.BatchNorm1d(2)
    for tensor in module.state_dict().values():
        tensor.fill_(5 + rank)
    distributed.copy_from_first(module)
    return module.state_dict()


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.join(torch.device("cpu"))
    results = {
        "gradients": shared_gradients(),
        "frozen": frozen_steps(),
        "frozen, aligned": frozen_steps(**ALIGNED),
        **{name: network_steps(**changes) for name, changes in RUNS.items()},
        "agreement": agreement(),
    }
    for name, tensors in results.items():
        contiguous = {key: tensor.detach().contiguous() for key, tensor in tensors.items()}
        (folder / f"{name}-{distributed.rank()}.txt").write_text(compute_fingerprint("", "", contiguous))
        if distributed.rank() == 0 or name == "agreement":
            safetensors.torch.save_file(contiguous, folder / f"{name}-{distributed.rank()}.safetensors")
    distributed.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
