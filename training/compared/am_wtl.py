"""What AM+WTL is trained for: identities, colours under the mask, and a triplet loss that weighs colours.

Our reading throughout: see `model.compared.am_wtl` and `training.weighted_triplet_loss`. A vehicle of the anchor's own
colour counts twice as a negative.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from torch import Tensor, nn

from model.config import PART_DIM, AMWTLConfig
from training.annotation_loss import annotation_loss
from training.id_loss import id_loss
from training.loss_terms import LossTerms
from training.recipe import Recipe
from training.weighted_triplet_loss import weighted_triplet_loss

SAME_COLOUR_WEIGHT: Final = 2.0


class AMWTLObjective(nn.Module):
    """ID loss, weighted triplet loss, and the colour that the mask has to show."""

    def __init__(self, config: AMWTLConfig, num_labels: int, recipe: Recipe, num_classes: Mapping[str, int]) -> None:
        super().__init__()
        self._recipe = recipe
        # No parameter that no term teaches: parallel processes would wait for its gradient for ever.
        self.classifier = nn.Linear(PART_DIM, num_labels, bias=not recipe.id_scale) if recipe.id_weight else None
        knows_colours = "colour" in num_classes and recipe.annotation_weight > 0
        self.colour_classifier = nn.Linear(config.trunk_width, num_classes["colour"]) if knows_colours else None

    def forward(
        self, branches: Sequence[Tensor], labels: Tensor, annotations: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The embedding (N, 512), what tells the colour (N, W), labels (N,), colours (N, 1) -> ``total`` and its terms.

        The terms are ``id``, ``triplet`` and ``colour``.
        """
        recipe = self._recipe
        features, under_mask = branches
        colours: Tensor | None = None
        terms = LossTerms()
        if self.classifier is not None:
            terms.add("id", recipe.id_weight, id_loss(self.classifier, features, labels, recipe))
        if self.colour_classifier is not None:
            if annotations is None:
                raise ValueError("AM+WTL learns from colours: give the batch's class indices")
            colours = annotations[:, 0]
            loss = annotation_loss(self.colour_classifier(under_mask), colours)
            terms.add("colour", recipe.annotation_weight, loss)
        if recipe.triplet_weight:
            loss = weighted_triplet_loss(features, labels, recipe.margin, colours, SAME_COLOUR_WEIGHT)
            terms.add("triplet", recipe.triplet_weight, loss)
        return terms.with_total()
