"""What a network is trained for: the ID and triplet losses of the paper (eq. 2 to 4), term by term."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.config import PART_DIM, NetworkConfig, SANetConfig
from training.triplet_loss import batch_hard_triplet_loss


class Objective(nn.Module):
    """The loss terms of an embedding, and the classifiers that only exist for them.

    SANet: cross-entropy on g, on all parts of the top/down branch and on all of the left/right branch; a triplet loss
    on g, on each part, and on all spatial parts together (``ss``: the paper's "s+s", which it never defines). The
    baseline has one of each, on its embedding.
    """

    def __init__(
        self,
        config: NetworkConfig,
        num_labels: int,
        *,
        margin: float = 0.3,
        id_weight: float = 1.0,
        triplet_weight: float = 1.0,
        label_smoothing: float = 0.0,
        id_scale: float = 0.0,
    ) -> None:
        super().__init__()
        self._num_parts = config.num_parts if isinstance(config, SANetConfig) else None
        self._margin, self._label_smoothing = margin, label_smoothing
        self._id_weight, self._triplet_weight, self._id_scale = id_weight, triplet_weight, id_scale
        if not self._num_parts:
            widths = {"g": config.embedding_dim}
        else:
            spatial = self._num_parts * PART_DIM
            widths = {"g": PART_DIM, "td": spatial, "lr": spatial}
        # A cosine has no bias, and parallel processes would wait for its gradient for ever.
        self.classifiers = nn.ModuleDict(
            {name: nn.Linear(width, num_labels, bias=not id_scale) for name, width in widths.items()}
        )

    def forward(self, embedding: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Embedding (N, D) and labels (N,) -> ``total``, and the unweighted terms it is the weighted sum of.

        The terms are called ``id_<feature>`` and ``triplet_<feature>``; those of no weight are not computed.
        """
        ids, triplets = self._features(embedding)
        terms: dict[str, Tensor] = {}
        if self._id_weight:
            terms |= {
                f"id_{name}": F.cross_entropy(self._logits(name, x), labels, label_smoothing=self._label_smoothing)
                for name, x in ids.items()
            }
        if self._triplet_weight:
            terms |= {
                f"triplet_{name}": batch_hard_triplet_loss(x, labels, self._margin) for name, x in triplets.items()
            }
        weights = {"id": self._id_weight, "triplet": self._triplet_weight}
        total = sum((weights[name.split("_")[0]] * term for name, term in terms.items()), start=embedding.new_zeros(()))
        return {"total": total, **terms}

    def _logits(self, name: str, x: Tensor) -> Tensor:
        """Of the identities: a linear layer's (paper), or scaled cosines (NormFace, Wang et al. 2017)."""
        classifier = cast(nn.Linear, self.classifiers[name])
        if self._id_scale:
            return self._id_scale * F.normalize(x) @ F.normalize(classifier.weight).T
        logits: Tensor = classifier(x)
        return logits

    def _features(self, embedding: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What the ID losses and what the triplet losses are computed on, by name."""
        if not self._num_parts:
            return {"g": embedding}, {"g": embedding}
        m = self._num_parts
        g, spatial = embedding[:, :PART_DIM], embedding[:, PART_DIM:]
        top_down, left_right = torch.split(spatial, m * PART_DIM, dim=1)
        names = ["t", "d", "l", "r"] if m == 2 else [f"{branch}{i + 1}" for branch in ("td", "lr") for i in range(m)]
        parts = dict(zip(names, torch.split(spatial, PART_DIM, dim=1), strict=True))
        return {"g": g, "td": top_down, "lr": left_right}, {"g": g, **parts, "ss": spatial}
