"""What is compared, and under which settings: registered here, so that two tables of one setting can be compared."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Method:
    """One line of the table.

    Attributes:
        title: as the paper calls it.
        published: CMC-1, 5 and 10 on UAV-VeID in the paper's Table II; None of what is ours.
    """

    title: str
    published: tuple[float, float, float] | None = None


METHODS: Final = {
    "scan": Method("SCAN", (0.4049, 0.5374, 0.6055)),
    "ram": Method("RAM", (0.4526, 0.5935, 0.6407)),
    "cn_nets": Method("CN-Nets", (0.5591, 0.7654, 0.8246)),
    "baseline_paper": Method("baseline", (0.6536, 0.8374, 0.8888)),
    "am_wtl": Method("AM+WTL", (0.6911, 0.8723, 0.9164)),
    "vscr": Method("VSCR", (0.7059, 0.8833, 0.9251)),
    "sanet_paper": Method("SANet", (0.7494, 0.9021, 0.9329)),
    "baseline": Method("baseline under our recipe"),
    "sanet": Method("SANet under our recipe"),
}
"""By the name of their recipe, in the order of the published CMC-1; what is ours comes last."""


@dataclass(frozen=True)
class Setting:
    """What is the same for every method.

    Attributes:
        question: what its table can tell.
        epochs: passes over the training images.
        flags: of ``training.train``, for every method: backbone, images, batches.
        of_method: flags of single methods, by their name: what another has no counterpart of.
        num_identities: how many training identities are kept; None keeps all.
        num_tested: how many identities of the test split are kept; None keeps all.
        seeds: a run of every method for each.
    """

    question: str
    epochs: int
    flags: tuple[str, ...]
    of_method: dict[str, tuple[str, ...]]
    num_identities: int | None
    num_tested: int | None
    seeds: tuple[int, ...]


_BATCH: Final = ("--num-identities", "8", "--num-images", "4")
# The last epoch counts: no method gains from the number of its validations.
_LAST_EPOCH: Final = ("--validation", "none", "--log-every", "50")

SETTINGS: Final = {
    "gpu": Setting(
        "the paper's size: ResNet-50 from ImageNet weights at 256 pixels, all training identities",
        60,
        ("--backbone", "resnet50", "--trunk-weights", "IMAGENET1K_V2", "--size-px", "256",
         "--frozen-epochs", "10", "--precision", "bf16", "--memory-gb", "16", *_BATCH, *_LAST_EPOCH),
        {},
        None,
        None,
        (0, 1, 2),
    ),
    "two_cores": Setting(
        "two cores: ResNet-18 from scratch at 64 pixels, 300 training identities, 12 epochs",
        12,
        ("--backbone", "resnet18", "--trunk-weights", "none", "--size-px", "64",
         "--frozen-epochs", "0", "--warmup-epochs", "1", "--precision", "float32", *_BATCH, *_LAST_EPOCH),
        # The heading is learned before the first epoch, beside the budget: a quarter of the recipe's steps.
        {"sanet": ("--heading-steps", "400")},
        300,
        None,
        (0, 1, 2),
    ),
    "quick": Setting(
        "none but whether it runs: four steps of each method",
        2,
        ("--backbone", "resnet18", "--trunk-weights", "none", "--size-px", "32", "--frozen-epochs", "0",
         "--precision", "float32", "--max-steps-per-epoch", "2", "--num-identities", "4", "--num-images", "2",
         "--quiet", *_LAST_EPOCH),
        {"sanet": ("--heading-steps", "2")},
        8,
        8,
        (0,),
    ),
}  # fmt: skip
"""By their name."""
