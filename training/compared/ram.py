"""What RAM is trained for: identities in every branch, and types and colours in one (published train_RAM.prototxt).

What follows the published definition: a softmax loss of the identities on the conv feature, the BN feature, each
region (weight 1/2) and all regions together; features have a fixed length of 10 there (`id_scale`), the classifiers
are plain linear layers. The attribute feature learns types and colours by a softmax loss each.

Our reading: all terms are learned at once (there one branch after the other, each started from the one before, because
together "may result in performance a little lower"); the attribute feature has the same length as the others. A
triplet loss on each branch is there for whoever wants it (`triplet_weight`); RAM itself has none. Where the data has
neither type nor colour, the attribute feature learns identities: else it would be noise in the embedding.
"""

from collections.abc import Mapping, Sequence
from typing import Final, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.config import PART_DIM, RAMConfig
from training.annotation_loss import annotation_loss
from training.loss_terms import LossTerms
from training.recipe import Recipe
from training.triplet_loss import batch_hard_triplet_loss

_REGION_WEIGHT: Final = 0.5


class RAMObjective(nn.Module):
    """ID losses on all branches, and what the attribute branch learns."""

    def __init__(self, config: RAMConfig, num_labels: int, recipe: Recipe, num_classes: Mapping[str, int]) -> None:
        super().__init__()
        self._recipe = recipe
        self._region_dim = config.region_dim
        # The order of the annotations' columns.
        self._annotations = tuple(num_classes) if recipe.annotation_weight else ()
        widths = {"conv": PART_DIM, "bn": PART_DIM, "regions": 3 * config.region_dim}
        widths |= {f"region{number}": config.region_dim for number in (1, 2, 3)}
        if not self._annotations:
            widths["attributes"] = config.attribute_dim
        self.classifiers = nn.ModuleDict()
        if recipe.id_weight:
            self.classifiers.update({name: nn.Linear(width, num_labels) for name, width in widths.items()})
        # In the order of the columns; by name they could not be kept: modules have an attribute `type` already.
        self.attribute_classifiers = nn.ModuleList(
            nn.Linear(config.attribute_dim, num_classes[name]) for name in self._annotations
        )

    def forward(
        self, branches: Sequence[Tensor], labels: Tensor, annotations: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The four branches, labels (N,), class indices (N, A) -> ``total`` and its terms: ``id_..``, ``type``, .."""
        recipe = self._recipe
        by_name = dict(zip(("conv", "bn", "regions", "attributes"), branches, strict=True))
        regions = torch.split(by_name["regions"], self._region_dim, dim=1)
        by_name |= {f"region{number}": region for number, region in enumerate(regions, start=1)}
        terms = LossTerms()
        for name in self.classifiers:
            weight = recipe.id_weight * (_REGION_WEIGHT if name in ("region1", "region2", "region3") else 1)
            logits = self._logits(self.classifiers[name], by_name[name])
            terms.add(f"id_{name}", weight, F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing))
        for column, name in enumerate(self._annotations):
            if annotations is None:
                raise ValueError(f"RAM learns from {', '.join(self._annotations)}: give the batch's class indices")
            logits = self._logits(self.attribute_classifiers[column], by_name["attributes"])
            terms.add(name, recipe.annotation_weight, annotation_loss(logits, annotations[:, column]))
        if recipe.triplet_weight:
            for name in ("conv", "bn", "regions", "attributes"):
                loss = batch_hard_triplet_loss(by_name[name], labels, recipe.margin)
                terms.add(f"triplet_{name}", recipe.triplet_weight, loss)
        return terms.with_total()

    def _logits(self, classifier: nn.Module, features: Tensor) -> Tensor:
        """A linear layer's, of features of the length `id_scale`; of any length, if it is 0."""
        scale = self._recipe.id_scale
        return cast(nn.Linear, classifier)(scale * F.normalize(features) if scale else features)  # type: ignore[no-any-return]
