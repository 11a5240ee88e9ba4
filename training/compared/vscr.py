"""What VSCR is trained for: identities, no viewpoints, and the same at both scales (IJCV, by its abstract).

Our reading of the viewpoint adversarial training: a discriminator of two layers learns to tell from the feature
whether an image shows front, rear, left or right; its gradient is reversed on the way back, so that the feature
unlearns it. Of the multi-scale consensus loss: the Jensen-Shannon divergence between what one classifier says of the
identity at each scale. The ID loss is taken at both scales, the triplet loss at the full one.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from model.config import PART_DIM, VSCRConfig
from training.annotation_loss import annotation_loss
from training.consensus_loss import consensus_loss
from training.gradient_reversal import reverse_gradient
from training.id_loss import id_logits, id_loss
from training.loss_terms import LossTerms
from training.recipe import Recipe
from training.triplet_loss import batch_hard_triplet_loss


class VSCRObjective(nn.Module):
    """ID and triplet loss, the consensus of the scales, and a discriminator of viewpoints."""

    def __init__(self, _: VSCRConfig, num_labels: int, recipe: Recipe, num_classes: Mapping[str, int]) -> None:
        super().__init__()
        self._recipe = recipe
        # No parameter that no term teaches: parallel processes would wait for its gradient for ever.
        self.classifier = nn.Linear(PART_DIM, num_labels, bias=not recipe.id_scale) if recipe.id_weight else None
        self.discriminator: nn.Sequential | None = None
        if "view" in num_classes and recipe.annotation_weight:
            self.discriminator = nn.Sequential(
                nn.Linear(PART_DIM, PART_DIM // 2), nn.ReLU(), nn.Linear(PART_DIM // 2, num_classes["view"])
            )

    def forward(
        self, branches: Sequence[Tensor], labels: Tensor, annotations: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The feature (N, 512) at each scale, the full one first, labels (N,), views (N, 1) -> ``total`` and its terms.

        The terms are ``id_scale<n>``, ``consensus``, ``triplet`` and ``view``, what the discriminator has to learn.
        """
        recipe, full = self._recipe, branches[0]
        terms = LossTerms()
        if self.classifier is not None:
            for number, features in enumerate(branches, start=1):
                loss = id_loss(self.classifier, features, labels, recipe)
                terms.add(f"id_scale{number}", recipe.id_weight / len(branches), loss)
            if recipe.consensus_weight:
                logits = [id_logits(self.classifier, features, recipe) for features in branches]
                terms.add("consensus", recipe.consensus_weight, consensus_loss(logits))
        if recipe.triplet_weight:
            terms.add("triplet", recipe.triplet_weight, batch_hard_triplet_loss(full, labels, recipe.margin))
        if self.discriminator is not None:
            if annotations is None:
                raise ValueError("VSCR learns from viewpoints: give the batch's class indices")
            logits_of_views = self.discriminator(reverse_gradient(full))
            terms.add("view", recipe.annotation_weight, annotation_loss(logits_of_views, annotations[:, 0]))
        return terms.with_total()
