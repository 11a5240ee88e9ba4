"""The campaign's arms, the most important first: what each asks, and the training that answers it."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Arm:
    """One training.

    Attributes:
        name: unique.
        question: what its figures answer.
        data: which packed data it learns from: ``drawn`` (UAV-Synth's train split), ``more`` (and edition 2).
        flags: of ``training.train``.
        keeps: whether its checkpoint is carried back.
        shares_heading: whether it takes over the heading that was learned once for all, from labels.
    """

    name: str
    question: str
    data: str
    flags: tuple[str, ...]
    keeps: bool = False
    shares_heading: bool = True


_GPU: Final = (
    "--num-identities", "128", "--learning-rate", "1.4e-3", "--warmup-epochs", "3", "--precision", "bf16",
    "--memory-gb", "16", "--validate-every", "4",
)  # fmt: skip
HEADING: Final = (
    "--recipe", "sanet", "--num-parts", "0", "--memory-gb", "16", "--epochs", "1", "--max-steps-per-epoch", "1",
    "--heading", "labels", "--heading-steps", "4000", "--validation", "none",
)  # fmt: skip
"""The training that learns the heading which the arms share, and next to nothing else."""
_LITE: Final = ("--recipe", "sanet_cpu", *_GPU)
_BASELINE: Final = ("--recipe", "baseline_cpu", *_GPU)
_RESNET: Final = ("--recipe", "sanet", *_GPU)
_EPOCHS: Final = ("--epochs", "32")

ARMS: Final = (
    Arm("lite0", "the recipe for two cores at a GPU's budget", "more", (*_LITE, *_EPOCHS), keeps=True),
    Arm("resnet18", "our recipe from scratch", "more", (*_RESNET, *_EPOCHS)),
    Arm("lite0_baseline", "the baseline of the first arm, equal budget", "more",
        (*_BASELINE, *_EPOCHS), shares_heading=False),
    Arm("lite0_drawn", "without UAV-Synth 2", "drawn", (*_LITE, "--epochs", "128")),
    Arm("lite0_long", "the curve of real accuracy over four times the steps", "more", (*_LITE, "--epochs", "128")),
    Arm("lite0_seed1", "another seed", "more", (*_LITE, *_EPOCHS, "--seed", "1")),
    Arm("lite0_baseline_seed1", "another seed", "more",
        (*_BASELINE, *_EPOCHS, "--seed", "1"), shares_heading=False),
    Arm("lite0_seed2", "another seed", "more", (*_LITE, *_EPOCHS, "--seed", "2")),
    Arm("lite0_baseline_seed2", "another seed", "more",
        (*_BASELINE, *_EPOCHS, "--seed", "2"), shares_heading=False),
    Arm("no_average", "weights not averaged", "more", (*_LITE, *_EPOCHS, "--average-steps", "0")),
    Arm("no_contrastive", "no contrastive loss", "more", (*_LITE, *_EPOCHS, "--contrastive-weight", "0")),
    Arm("triplet", "the paper's triplet terms in its place", "more",
        (*_LITE, *_EPOCHS, "--contrastive-weight", "0", "--triplet-weight", "1")),
    Arm("no_margin", "no margin", "more", (*_LITE, *_EPOCHS, "--id-margin", "0")),
    Arm("no_neck", "no neck", "more", (*_LITE, *_EPOCHS, "--neck", "none")),
    Arm("no_half_turn", "no half turns", "more", (*_LITE, *_EPOCHS, "--half-turn-p", "0")),
    Arm("background", "backgrounds exchanged", "more", (*_LITE, *_EPOCHS, "--background-p", "0.3")),
    Arm("mixstyle", "styles mixed", "more", (*_LITE, *_EPOCHS, "--mixstyle-p", "0.5")),
    Arm("channel_drop", "channels dropped", "more", (*_LITE, *_EPOCHS, "--channel-drop", "0.1")),
    Arm("columns_6", "96 columns", "more", (*_LITE, *_EPOCHS, "--num-columns", "6")),
    Arm("learned", "the heading from identities alone", "more",
        (*_LITE, *_EPOCHS, "--heading", "learned", "--heading-steps", "1600"), shares_heading=False),
)  # fmt: skip
