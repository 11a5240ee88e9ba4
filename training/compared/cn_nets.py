"""What CN-Nets are trained for, by our reading: ID and triplet loss on the coarse feature and on the fine one."""

from collections.abc import Sequence
from typing import Final, cast

from torch import Tensor, nn

from model.config import PART_DIM, CNNetsConfig
from training.id_loss import id_loss
from training.loss_terms import LossTerms
from training.recipe import Recipe
from training.triplet_loss import batch_hard_triplet_loss

_BRANCHES: Final = ("coarse", "fine")


class CNNetsObjective(nn.Module):
    """ID and batch-hard triplet loss on each of the two features.

    With the recipe's `id_scale` both are normalised before they come here, and identities are told by cosines.
    """

    def __init__(self, _: CNNetsConfig, num_labels: int, recipe: Recipe) -> None:
        super().__init__()
        self._recipe = recipe
        self.classifiers = nn.ModuleDict()
        if recipe.id_weight:
            for name in _BRANCHES:
                self.classifiers[name] = nn.Linear(PART_DIM, num_labels, bias=not recipe.id_scale)

    def forward(
        self, branches: Sequence[Tensor], labels: Tensor, _annotations: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Coarse and fine features (N, 512), labels (N,) -> ``total``, ``id_<branch>`` and ``triplet_<branch>``."""
        recipe = self._recipe
        terms = LossTerms()
        for name, features in zip(_BRANCHES, branches, strict=True):
            if recipe.id_weight:
                classifier = cast(nn.Linear, self.classifiers[name])
                terms.add(f"id_{name}", recipe.id_weight, id_loss(classifier, features, labels, recipe))
            if recipe.triplet_weight:
                loss = batch_hard_triplet_loss(features, labels, recipe.margin)
                terms.add(f"triplet_{name}", recipe.triplet_weight, loss)
        return terms.with_total()
