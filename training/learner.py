"""What a run changes: a network, what exists only to train it, their optimiser, and the mean of their weights."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from model.alignment import kept_columns
from model.build import Network, build_network
from model.config import SANetConfig
from model.embedder import compute_in_float32
from model.pretrained import PretrainedError, load_heading, load_pretrained
from training.augmentation import Augmenter
from training.build_objective import build_objective
from training.feature_augmentation import FeatureAugmentation
from training.neck import Necks, fold_necks
from training.recipe import Recipe
from training.schedule import build_optimizer
from training.trainee import Trainee
from training.weight_average import WeightAverage

_DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Learner:
    """All that a step reads and changes.

    Attributes:
        feature_augmentation: hooked into the network's trunk.
        scaler: keeps fp16 gradients from vanishing; does nothing in other precisions.
        average: of the weights of the last steps; None where the last ones are taken.
        loaded: the names of what was loaded from pre-trained weights.
        held: the names of what never trains here: an aligned input's heading, which was learned before.
    """

    recipe: Recipe
    device: torch.device
    trainee: Trainee
    augmenter: Augmenter
    feature_augmentation: FeatureAugmentation
    optimizer: torch.optim.Adam
    scaler: torch.amp.GradScaler
    average: WeightAverage | None
    loaded: frozenset[str]
    held: frozenset[str]

    @property
    def network(self) -> Network:
        """The one that is trained, as it is."""
        return self.trainee.network

    def modules(self) -> Mapping[str, nn.Module]:
        """What a saved run has to hold, by name."""
        return {"trainee": self.trainee} | ({} if self.average is None else {"average": self.average})

    def result(self) -> Network:
        """What the training has come to: a network in evaluation mode, apart from the one that goes on training."""
        trainee = self.trainee if self.average is None else self.average.average
        return fold_necks(trainee.network, trainee.necks)


def build_learner(
    recipe: Recipe, num_labels: int, seed: int, device: torch.device, num_classes: Mapping[str, int] | None = None
) -> Learner:
    """Fresh weights from the seed, or pre-trained ones, and an optimiser that has done nothing yet.

    Args:
        recipe: what is trained, and how.
        num_labels: identities to learn.
        seed: of fresh weights.
        device: that trains.
        num_classes: of each annotation that the data has, for methods that learn from them.

    Raises:
        PretrainedError: the recipe's weights cannot be had, or do not fit, or leave nothing to learn while they are
            frozen.
    """
    if recipe.precision == "float32":
        compute_in_float32()
    torch.backends.cudnn.benchmark = device.type == "cuda"  # every step has the same shapes
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = build_network(recipe.network_config(), recipe.preprocessing())
        objective = build_objective(network.config, num_labels, recipe, num_classes or {})
    loaded = frozenset[str]() if recipe.trunk_weights == "none" else load_pretrained(network, recipe.trunk_weights)
    if recipe.heading_weights != "none":
        loaded |= load_heading(network, recipe.heading_weights)
    held = frozenset(name for name in network.state_dict() if name.startswith("input_alignment."))
    trains = {name for name, _ in network.named_parameters()} - loaded - held
    if recipe.frozen_epochs and loaded and not (trains or recipe.id_weight):
        raise PretrainedError(
            f"{recipe.trunk_weights} has all that would train: in the first {recipe.frozen_epochs} epochs nothing "
            "would be learned; set frozen_epochs to 0"
        )
    network = network.to(device).to(memory_format=torch.channels_last)
    necks = Necks(network.config) if recipe.neck == "batchnorm" else None
    trainee = Trainee(network, necks, objective, _DTYPES[recipe.precision]).to(device)
    average = WeightAverage(trainee, recipe.average_steps) if recipe.average_steps else None
    return Learner(
        recipe,
        device,
        trainee,
        Augmenter(recipe, network.normalization, _width_px(network, recipe)).to(device),
        FeatureAugmentation(network),
        build_optimizer(trainee, recipe, loaded),
        torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16"),
        average,
        loaded,
        held,
    )


def _width_px(network: Network, recipe: Recipe) -> int:
    """How many columns of its square input the network's trunk sees."""
    config = network.config
    aligned = isinstance(config, SANetConfig) and config.aligned == "input"
    return kept_columns(config, recipe.size_px) if aligned else recipe.size_px  # type: ignore[arg-type]
