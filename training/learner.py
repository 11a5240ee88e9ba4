"""What learns, and one step of it."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from model.build import Network, build_network
from model.embedder import compute_in_float32
from model.pretrained import load_pretrained
from training import distributed
from training.augmentation import augment, draw_augmentation
from training.freezing import freeze, thaw
from training.objective import Objective
from training.recipe import Recipe
from training.schedule import build_optimizer, set_learning_rate


@dataclass(frozen=True)
class Learner:
    """A network, the classifiers of its objective, and their optimiser.

    Attributes:
        scaler: keeps fp16 gradients from vanishing; does nothing in other precisions.
        loaded: the names of what was loaded from pre-trained weights.
        held: the names of what never trains here: an aligned input's heading, which was learned before.
    """

    recipe: Recipe
    device: torch.device
    network: Network
    objective: Objective
    optimizer: torch.optim.Adam
    scaler: torch.amp.GradScaler
    loaded: frozenset[str]
    held: frozenset[str]


def build_learner(recipe: Recipe, num_labels: int, seed: int, device: torch.device) -> Learner:
    """Fresh weights from the seed, or pre-trained ones in the trunk, and an optimiser that has done nothing yet.

    Raises:
        PretrainedError: the recipe's trunk weights cannot be had, or do not fit.
    """
    if recipe.precision == "float32":
        compute_in_float32()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = build_network(recipe.network_config(), recipe.preprocessing())
        objective = Objective(
            network.config,
            num_labels,
            margin=recipe.margin,
            id_weight=recipe.id_weight,
            triplet_weight=recipe.triplet_weight,
            label_smoothing=recipe.label_smoothing,
            id_scale=recipe.id_scale,
        )
    loaded = frozenset[str]() if recipe.trunk_weights == "none" else load_pretrained(network, recipe.trunk_weights)
    network = network.to(device).to(memory_format=torch.channels_last)
    objective = objective.to(device)
    scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16")
    optimizer = build_optimizer(network, objective, recipe)
    held = frozenset(name for name in network.state_dict() if name.startswith("input_alignment."))
    return Learner(recipe, device, network, objective, optimizer, scaler, loaded, held)


class Phase:
    """The epochs between two changes of what trains: those in which what was loaded is frozen, and the rest."""

    def __init__(self, learner: Learner, *, frozen: bool) -> None:
        self._learner = learner
        self.frozen = frozen
        self.begin_epoch()
        # After freezing: what is frozen has no gradients to share.
        self._network = distributed.parallel(learner.network)
        self._objective = distributed.parallel(learner.objective)

    def begin_epoch(self) -> None:
        """Puts the network into the phase's mode, whatever a validation left."""
        thaw(self._learner.network)
        freeze(self._learner.network, self._learner.held | (self._learner.loaded if self.frozen else frozenset()))

    def step(
        self, images: Tensor, labels: Tensor, learning_rate: float, rng: np.random.Generator
    ) -> tuple[dict[str, Tensor], Tensor]:
        """One step of the optimiser; all that takes time on the device.

        Args:
            images: (N, 3, S, S) uint8, this process's part of the batch.
            labels: (N,) this process's.
            learning_rate: of the step.
            rng: draws the whole batch's augmentation, the same in each process.

        Returns:
            The loss terms of the whole batch, and theta (N, 2, 3) of this process's part.
        """
        learner, recipe, device = self._learner, self._learner.recipe, self._learner.device
        mine = distributed.share(distributed.world_size() * len(images))
        drawn = draw_augmentation(recipe, distributed.world_size() * len(images), rng).part(mine)
        images = augment(images.to(device, non_blocking=True), drawn, learner.network.normalization.mean.view(3))
        dtype = _DTYPES[recipe.precision]
        with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
            output = self._network(images)
        embedding = distributed.gather(output.embedding.float())
        terms = self._objective(embedding, distributed.gather(labels.to(device, non_blocking=True)))
        set_learning_rate(learner.optimizer, learning_rate)
        learner.optimizer.zero_grad(set_to_none=True)
        learner.scaler.scale(terms["total"]).backward()
        if recipe.clip_norm:
            learner.scaler.unscale_(learner.optimizer)
            parameters = [*learner.network.parameters(), *learner.objective.parameters()]
            nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
        learner.scaler.step(learner.optimizer)
        learner.scaler.update()
        return terms, output.theta


_DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
