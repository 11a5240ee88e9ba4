"""What a network is trained for: the paper's ID and triplet losses (Sec. II-C, eq. 2 to 4), a contrastive one (ours).

Their weights in the total and the mining of triplets are ours too.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.config import PART_DIM, NetworkConfig, SANetConfig
from training.contrastive_loss import contrastive_loss
from training.id_loss import id_loss
from training.recipe import Recipe
from training.triplet_loss import batch_hard_triplet_loss


class Objective(nn.Module):
    """The loss terms of a network's branches, and the classifiers that only exist for them.

    SANet: cross-entropy on g, on all parts of the top/down branch and on all of the left/right branch; a triplet loss
    on g, on each part, and on all spatial parts together (``ss``: the paper's "s+s", which it never defines). The
    baseline has one of each, on its embedding. The contrastive loss is computed on all branches together, each of unit
    length.
    """

    def __init__(self, config: NetworkConfig, num_labels: int, recipe: Recipe) -> None:
        super().__init__()
        self._num_parts = config.num_parts if isinstance(config, SANetConfig) else 0
        self._recipe = recipe
        if not self._num_parts:
            widths = {"g": config.embedding_dim}
        else:
            spatial = self._num_parts * PART_DIM
            widths = {"g": PART_DIM, "td": spatial, "lr": spatial}
        # No parameter that no term teaches: parallel processes would wait for its gradient for ever.
        self.classifiers = nn.ModuleDict()
        if recipe.id_weight:
            for name, width in widths.items():
                self.classifiers[name] = nn.Linear(width, num_labels, bias=not recipe.id_scale)

    def forward(
        self, branches: Sequence[Tensor], labels: Tensor, _annotations: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The network's branches, (N, D) each, and labels (N,) -> ``total``, and the terms it is the weighted sum of.

        The terms, not weighted, are called ``id_<feature>``, ``triplet_<feature>`` and ``contrastive``; those of no
        weight are not computed.
        """
        recipe = self._recipe
        weights = {"id": recipe.id_weight, "triplet": recipe.triplet_weight, "contrastive": recipe.contrastive_weight}
        terms: dict[str, Tensor] = {}
        if weights["id"]:
            terms |= {
                f"id_{name}": id_loss(cast(nn.Linear, self.classifiers[name]), x, labels, recipe)
                for name, x in zip(self.classifiers, branches, strict=True)
            }
        if weights["triplet"]:
            terms |= {
                f"triplet_{name}": batch_hard_triplet_loss(x, labels, recipe.margin)
                for name, x in self._triplet_features(branches).items()
            }
        if weights["contrastive"]:
            together = torch.cat([F.normalize(x) for x in branches], dim=1) / math.sqrt(len(branches))
            terms["contrastive"] = contrastive_loss(together, labels, recipe.temperature)
        total = sum((weights[name.split("_")[0]] * term for name, term in terms.items()), branches[0].new_zeros(()))
        return {"total": total, **terms}

    def _triplet_features(self, branches: Sequence[Tensor]) -> dict[str, Tensor]:
        """What the triplet losses are computed on, by name."""
        if not self._num_parts:
            return {"g": branches[0]}
        m = self._num_parts
        g, top_down, left_right = branches
        names = ["t", "d", "l", "r"] if m == 2 else [f"{branch}{i + 1}" for branch in ("td", "lr") for i in range(m)]
        spatial = torch.cat([top_down, left_right], dim=1)
        parts: dict[str, Any] = dict(zip(names, torch.split(spatial, PART_DIM, dim=1), strict=True))
        return {"g": g, **parts, "ss": spatial}
