"""What SCAN is trained for: cross-entropy and triplet loss, jointly, on its one feature."""

from collections.abc import Sequence

from torch import Tensor, nn

from model.config import SCANConfig
from training.id_loss import id_loss
from training.loss_terms import LossTerms
from training.recipe import Recipe
from training.triplet_loss import batch_hard_triplet_loss


class SCANObjective(nn.Module):
    """ID and batch-hard triplet loss."""

    def __init__(self, config: SCANConfig, num_labels: int, recipe: Recipe) -> None:
        super().__init__()
        self._recipe = recipe
        # No parameter that no term teaches: parallel processes would wait for its gradient for ever.
        self.classifier = (
            nn.Linear(config.embedding_dim, num_labels, bias=not recipe.id_scale) if recipe.id_weight else None
        )

    def forward(
        self, branches: Sequence[Tensor], labels: Tensor, _annotations: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The feature (N, 512) and labels (N,) -> ``total``, ``id`` and ``triplet``."""
        recipe = self._recipe
        (features,) = branches
        terms = LossTerms()
        if self.classifier is not None:
            terms.add("id", recipe.id_weight, id_loss(self.classifier, features, labels, recipe))
        if recipe.triplet_weight:
            terms.add("triplet", recipe.triplet_weight, batch_hard_triplet_loss(features, labels, recipe.margin))
        return terms.with_total()
