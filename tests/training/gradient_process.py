"""One of several processes that share a batch. Gradients, loss terms and weights: the first writes them down, each its
fingerprint of them.

RANK=0 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=... python -m tests.training.gradient_process FOLDER
"""

import dataclasses
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from model.build import build_network
from model.checkpoint import compute_fingerprint
from model.config import SANetConfig
from model.preprocessing import Preprocessing
from model.sanet import SANet
from tests.conftest import picture
from training import distributed
from training.learner import Learner, Phase, build_learner
from training.objective import Objective
from training.recipe import Recipe, debug

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


def build() -> tuple[SANet, Objective]:
    """Seeded, in float64, BatchNorm in evaluation mode; it turns what it sees, so that all of it has gradients."""
    torch.default_generator.manual_seed(7)
    config = SANetConfig("resnet18")
    network = build_network(config, Preprocessing(SIZE))
    assert isinstance(network, SANet)
    assert network.alignment is not None
    last = network.alignment.localization[-1]
    assert isinstance(last, nn.Linear)
    nn.init.normal_(last.weight, std=0.05)
    return network.double().eval(), Objective(config, NUM_LABELS, margin=2.0, label_smoothing=0.1).double()


def gradients(network: nn.Module, objective: nn.Module) -> dict[str, Tensor]:
    """By the names of `build`'s two modules."""
    named = [*network.named_parameters(prefix="network"), *objective.named_parameters(prefix="objective")]
    return {name: parameter.grad for name, parameter in named if parameter.grad is not None}


@in_float64
def shared_gradients() -> dict[str, Tensor]:
    """Gradients and loss terms of the whole batch, of which this process has seen its share alone."""
    network, objective = build()
    images, labels = batch()
    mine = distributed.share(len(images))
    # They have to live until the gradients are there.
    parallel_network, parallel_objective = distributed.parallel(network), distributed.parallel(objective)
    embedding = distributed.gather(parallel_network(images[mine]).embedding)
    terms = parallel_objective(embedding, distributed.gather(labels[mine]))
    terms["total"].backward()
    return gradients(network, objective) | {f"terms.{name}": term.detach() for name, term in terms.items()}


def small_recipe() -> Recipe:
    """With all augmentation."""
    return dataclasses.replace(
        debug(), architecture="baseline", size_px=SIZE, num_identities=NUM_IDENTITIES, num_images=NUM_IMAGES, flip_p=0.5
    )


def classifier_steps() -> dict[str, Tensor]:
    """Steps of the trainer in which the whole network is frozen, BatchNorm too: the classifiers and the loss terms."""
    learner = build_learner(small_recipe(), NUM_LABELS, 0, torch.device("cpu"))
    learner = dataclasses.replace(learner, loaded=frozenset(learner.network.state_dict()))
    return steps(learner, frozen=True) | dict(learner.objective.named_parameters())


def network_steps(id_scale: float = 0.0) -> dict[str, Tensor]:
    """Steps of the trainer: every weight."""
    recipe = dataclasses.replace(small_recipe(), id_scale=id_scale)
    learner = build_learner(recipe, NUM_LABELS, 0, torch.device("cpu"))
    found = steps(learner, frozen=False)
    return found | dict(learner.network.named_parameters()) | dict(learner.objective.named_parameters())


def steps(learner: Learner, *, frozen: bool) -> dict[str, Tensor]:
    """The loss terms of some steps."""
    phase = Phase(learner, frozen=frozen)
    images, labels = batch()
    mine = distributed.share(len(images))
    found: dict[str, Tensor] = {}
    for step in range(NUM_STEPS):
        terms, _ = phase.step(images[mine], labels[mine], 1e-3, np.random.default_rng(step))
        found |= {f"{step}.{name}": term for name, term in terms.items()}
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
        "classifiers": classifier_steps(),
        "network": network_steps(),
        "cosines": network_steps(id_scale=16.0),
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
