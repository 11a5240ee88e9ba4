"""Recipes: everything that decides what a training run computes. A recipe is a named function that returns one."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from model import lite0_weights
from model.alignment import kept_columns
from model.config import (
    ARCHITECTURES,
    Aligned,
    Backbone,
    ConfigError,
    NetworkConfig,
    Padding,
    SANetConfig,
    Stride,
    Transform,
)
from model.preprocessing import Preprocessing, PreprocessingError, Resize

Architecture = Literal["sanet", "baseline", "ram", "scan", "vscr", "am_wtl", "cn_nets"]
TrainingPrecision = Literal["float32", "bf16", "fp16"]
Validation = Literal["auto", "val", "held_out", "train", "none"]
Heading = Literal["learned", "labels"]
Neck = Literal["none", "batchnorm"]


class RecipeError(ValueError):
    """A recipe that cannot be trained; the message names the field."""


def _field(default: Any, help_text: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": help_text})


@dataclass(frozen=True)
class Recipe:
    """One training run, but for its data and its seed. The defaults are the paper's, where the paper has them.

    What the paper leaves open is marked (ours).
    """

    architecture: Architecture = _field(
        "sanet", "the network: SANet, the paper's baseline, or a method of its Table II"
    )
    backbone: Backbone = _field("resnet50", "what it is made of")
    stride: Stride = _field("3x3", 'where a bottleneck halves the map; "1x1" for ResNet-v1 weights')
    bn_eps: float = _field(0.0, "BatchNorm epsilon of the weights (Keras 1.001e-5); 0 is the backbone's own")
    num_parts: int = _field(2, "M, parts per spatial branch (paper: 2, 4, 6)")
    transform: Transform = _field("affine", "the family of theta")
    padding: Padding = _field("zeros", "what the alignment reads outside the map (ours)")
    aligned: Aligned = _field("map", "what is aligned: the trunk's map (paper), or the input (ours)")
    num_columns: int = _field(0, "columns kept of an aligned input, of 16 pixels each; 0 keeps two thirds (ours)")
    size_px: int = _field(256, "side of the network's square input")
    resize: Resize = _field("stretch", "how a crop fills the square; pad keeps its aspect (ours)")
    trunk_weights: str = _field(
        "IMAGENET1K_V2", "torchvision's name of weights, efficientnet_lite0, a .pth/.safetensors file, or none"
    )

    heading: Heading = _field(
        "learned", "where an aligned input's heading comes from: identities alone, or the data's column heading_deg"
    )
    heading_weights: str = _field("none", "a checkpoint whose heading is taken over instead, or none (ours)")
    heading_steps: int = _field(
        1600, "steps that teach an aligned input its heading before the first epoch, unless it was loaded (ours)"
    )
    epochs: int = _field(80, "passes over the training images (ours)")
    max_steps_per_epoch: int = _field(0, "ends an epoch early; 0 does not")
    num_identities: int = _field(8, "p, identities in a batch")
    num_images: int = _field(4, "k, images of each identity in a batch")
    frozen_epochs: int = _field(10, "first epochs in which what was loaded stays as it is, its BatchNorm too")
    warmup_epochs: int = _field(0, "epochs over which the learning rate rises from 0 (ours)")
    learning_rate: float = _field(5e-4, "of Adam, at its highest; it falls to 0 as a cosine")
    alignment_factor: float = _field(0.05, "the self-alignment module's share of the learning rate")
    loaded_factor: float = _field(1.0, "share of the learning rate of what was loaded from pre-trained weights (ours)")
    weight_decay: float = _field(5e-4, "of Adam, on weights but not on biases and BatchNorm (ours)")
    clip_norm: float = _field(0.0, "largest norm of all gradients together; 0 does not clip (ours)")
    average_steps: int = _field(
        0, "the checkpoint is the mean of the weights of about so many last steps; 0 takes the last ones (ours)"
    )

    neck: Neck = _field("none", "normalises the reduced features while training; folded into the reductions (ours)")
    margin: float = _field(0.3, "of the triplet losses")
    id_weight: float = _field(1.0, "of the ID losses in the total (ours)")
    id_scale: float = _field(0.0, "ID logits are cosines times this; 0 is a plain linear layer (paper)")
    id_margin: float = _field(0.0, "taken from the true identity's cosine (CosFace; ours)")
    triplet_weight: float = _field(1.0, "of the triplet losses in the total (ours)")
    contrastive_weight: float = _field(0.0, "of the supervised contrastive loss in the total (ours)")
    temperature: float = _field(0.07, "of the supervised contrastive loss (ours)")
    annotation_weight: float = _field(
        1.0, "of what is learned from types and colours (ram), colours (am_wtl), viewpoints (vscr) in the total (ours)"
    )
    consensus_weight: float = _field(1.0, "of the consensus of the scales (vscr) in the total (ours)")
    label_smoothing: float = _field(0.0, "of the ID losses (ours)")

    flip_p: float = _field(0.0, "probability of a left-right flip; it swaps what left and right parts see (ours)")
    turn_deg: float = _field(0.0, "random turn within ± this, of an aligned input after its alignment (ours)")
    half_turn_p: float = _field(0.0, "probability of a half turn, front for rear (ours)")
    scale: float = _field(0.0, "random scale within 1 ± this (ours)")
    shift: float = _field(0.0, "random shift within ± this share of the side (ours)")
    jitter_p: float = _field(0.5, "probability of colour jitter (ours)")
    brightness: float = _field(0.15, "colour jitter: factor within 1 ± this (ours)")
    contrast: float = _field(0.15, "colour jitter: factor within 1 ± this (ours)")
    saturation: float = _field(0.1, "colour jitter: factor within 1 ± this (ours)")
    hue: float = _field(0.1, "colour jitter: turn of the hue within ± this, in turns (ours)")
    cast: float = _field(0.0, "standard deviation of a colour cast, per channel of 0..1 (ours)")
    grey_p: float = _field(0.0, "probability of no colour at all (ours)")
    blur_p: float = _field(0.0, "probability of half or, a third of the times, a quarter of the resolution (ours)")
    noise: float = _field(0.0, "highest standard deviation of sensor noise, of 0..1 (ours)")
    background_p: float = _field(0.0, "probability of another image's background, where the data has masks (ours)")
    erasing_p: float = _field(0.5, "probability of random erasing (ours)")
    mixstyle_p: float = _field(0.0, "probability that an image takes over half of another's style (MixStyle; ours)")
    channel_drop: float = _field(0.0, "share of the trunk's output channels that are dropped (ours)")

    precision: TrainingPrecision = _field("float32", "of the matrix products; weights stay float32 (ours)")
    validation: Validation = _field(
        "auto",
        "what picks the best epoch (ours): the data's split val; identities held_out of the training images; the train "
        "images themselves, which tells nothing about new vehicles; auto: val, else held_out, if there are enough "
        "identities",
    )
    validate_every: int = _field(5, "epochs between two validations (ours)")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, kind = getattr(self, field.name), field.type
            choices = get_args(kind)
            if choices and value not in choices:
                raise RecipeError(f"{field.name} must be one of {', '.join(choices)}; got {value!r}")
            if kind is str and not (isinstance(value, str) and value):
                raise RecipeError(f"{field.name} must be a text, got {value!r}")
            if kind in (int, float) and not (type(value) in (int, kind) and 0 <= value < float("inf")):
                number = "a whole number" if kind is int else "a number"
                raise RecipeError(f"{field.name} must be {number} of 0 or more, got {value!r}")
        for name in ("epochs", "num_identities", "num_images", "validate_every"):
            if getattr(self, name) < 1:
                raise RecipeError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.num_identities < 2:
            raise RecipeError("num_identities must be 2 or more: a triplet needs a negative")
        for name in (
            "flip_p",
            "half_turn_p",
            "jitter_p",
            "grey_p",
            "blur_p",
            "background_p",
            "erasing_p",
            "mixstyle_p",
            "loaded_factor",
            "label_smoothing",
            "brightness",
            "contrast",
            "saturation",
            "shift",
        ):
            if getattr(self, name) > 1:
                raise RecipeError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        for name in ("scale", "channel_drop"):
            if getattr(self, name) >= 1:
                raise RecipeError(f"{name} must lie below 1, got {getattr(self, name)}")
        if not (self.id_weight or self.triplet_weight or self.contrastive_weight):
            raise RecipeError("id_weight, triplet_weight and contrastive_weight are all 0: nothing would be learned")
        if self.temperature == 0:
            raise RecipeError("temperature must be above 0")
        if self.id_margin and not self.id_scale:
            raise RecipeError("id_margin is taken from cosines: give id_scale too")
        if self.neck != "none" and self.architecture == "baseline":
            raise RecipeError("the baseline has no reduction that a neck could be folded into: its neck is none")
        if self.architecture not in ("sanet", "baseline"):
            self._check_compared()
        try:
            self.preprocessing()
            config = self.network_config()
            if isinstance(config, SANetConfig) and config.aligned == "input":
                kept_columns(config, self.size_px)
        except (ConfigError, PreprocessingError) as error:
            raise RecipeError(str(error)) from None

    def _check_compared(self) -> None:
        """What the compared methods do not have, and would leave out without a word."""
        name = self.architecture
        if self.neck != "none":
            raise RecipeError(f"only SANet's reductions can have a neck folded into them: the neck of {name} is none")
        if self.contrastive_weight:
            raise RecipeError(f"{name} has no contrastive loss: contrastive_weight must be 0")
        if name == "ram" and self.id_margin:
            raise RecipeError("ram compares no cosines: id_margin must be 0")
        if name == "vscr" and self.annotation_weight and (self.flip_p or self.turn_deg or self.half_turn_p):
            raise RecipeError(
                "vscr learns which side of a vehicle an image shows: flip_p, turn_deg and half_turn_p must be 0, or "
                "annotation_weight"
            )

    def network_config(self) -> NetworkConfig:
        """The shape of the network that it trains."""
        shared: dict[str, Any] = {
            "backbone": self.backbone,
            "stride": self.stride,
            "bn_eps": self.bn_eps,
            "unit_length": self.id_scale > 0,
        }
        if self.architecture != "sanet":
            return ARCHITECTURES[self.architecture](**shared)
        return SANetConfig(
            **shared,
            num_parts=self.num_parts,
            transform=self.transform,
            padding=self.padding,
            aligned=self.aligned,
            num_columns=self.num_columns,
        )

    def preprocessing(self) -> Preprocessing:
        """Of the network that it trains."""
        if self.backbone == "efficientnet_lite0":
            return Preprocessing(self.size_px, lite0_weights.MEAN, lite0_weights.STD, self.resize)
        return Preprocessing(self.size_px, resize=self.resize)


def sanet_paper() -> Recipe:
    """The paper's SANet (Sec. II-D)."""
    return Recipe()


def baseline_paper() -> Recipe:
    """The paper's baseline: ResNet-50, ID and triplet loss; the same budget."""
    return Recipe(architecture="baseline")


def ram() -> Recipe:
    """RAM with the budget of the paper's SANet; features of length 10 and no triplet loss, as published."""
    return Recipe(architecture="ram", id_scale=10.0, triplet_weight=0.0)


def scan() -> Recipe:
    """SCAN with the budget of the paper's SANet."""
    return Recipe(architecture="scan")


def vscr() -> Recipe:
    """VSCR with the budget of the paper's SANet; the adversary's weight is ours."""
    return Recipe(architecture="vscr", annotation_weight=0.1)


def am_wtl() -> Recipe:
    """AM+WTL with the budget of the paper's SANet."""
    return Recipe(architecture="am_wtl")


def cn_nets() -> Recipe:
    """CN-Nets with the budget of the paper's SANet; normalised features, the length of the logits is ours."""
    return Recipe(architecture="cn_nets", id_scale=20.0)


def sanet() -> Recipe:
    """Ours: SANet whose input is aligned by a heading that it learns first; from scratch, without a GPU if need be."""
    return Recipe(
        backbone="resnet18",
        transform="rotation",
        aligned="input",
        size_px=128,
        resize="pad",
        trunk_weights="none",
        epochs=24,
        num_identities=16,
        frozen_epochs=0,
        warmup_epochs=1,
        learning_rate=1e-3,
        average_steps=500,
        neck="batchnorm",
        id_scale=20.0,
        id_margin=0.1,
        triplet_weight=0.0,
        contrastive_weight=1.0,
        turn_deg=8.0,
        half_turn_p=0.08,
        scale=0.15,
        shift=0.03,
        jitter_p=0.8,
        brightness=0.25,
        hue=0.02,
        cast=0.03,
        grey_p=0.1,
        blur_p=0.37,
        noise=0.05,
        erasing_p=0.4,
        precision="bf16",
        validate_every=4,
    )


def baseline() -> Recipe:
    """The baseline under our recipe: the same data, losses and budget; nothing is aligned, so that it sees any turn."""
    return dataclasses.replace(
        sanet(),
        architecture="baseline",
        transform="affine",
        aligned="map",
        neck="none",
        turn_deg=180.0,
        half_turn_p=0.0,
    )


def sanet_cpu() -> Recipe:
    """Ours for two cores: ImageNet weights of EfficientNet-Lite0, which a package brings along; half an hour."""
    return dataclasses.replace(
        sanet(),
        backbone="efficientnet_lite0",
        trunk_weights="efficientnet_lite0",
        num_columns=4,
        loaded_factor=0.4,
        precision="float32",
    )


def baseline_cpu() -> Recipe:
    """The baseline under the recipe for two cores."""
    lite = sanet_cpu()
    return dataclasses.replace(
        baseline(),
        backbone=lite.backbone,
        trunk_weights=lite.trunk_weights,
        loaded_factor=lite.loaded_factor,
        precision=lite.precision,
    )


def debug() -> Recipe:
    """Not the paper's: every part of the trainer in a minute or two on two cores, from scratch."""
    return Recipe(
        backbone="efficientnet_lite0",
        size_px=64,
        trunk_weights="none",
        epochs=20,
        max_steps_per_epoch=10,
        warmup_epochs=1,
        learning_rate=1e-3,
        validate_every=5,
    )


_RECIPES: Final = (
    sanet_paper, baseline_paper, ram, scan, vscr, am_wtl, cn_nets, sanet, baseline, sanet_cpu, baseline_cpu, debug,
)  # fmt: skip
RECIPES: Final = {recipe.__name__: recipe for recipe in _RECIPES}
"""By the name that ``--recipe`` takes."""
