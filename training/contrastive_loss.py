"""The supervised contrastive loss (Khosla et al. 2020, eq. 2)."""

import torch
from torch import Tensor


def contrastive_loss(features: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Mean over the anchors of -log p(positive | anchor), itself the mean over the anchor's positives.

    Args:
        features: (N, D) of unit length.
        labels: (N,) whole numbers.
        temperature: divides the cosines; the lower, the more the nearest ones count.

    Returns:
        A scalar. An anchor without a positive does not count; 0 if none counts.
    """
    with torch.autocast(features.device.type, enabled=False):
        features = features if features.dtype == torch.float64 else features.float()
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        likeness = (features @ features.T / temperature).masked_fill(itself, -torch.inf)
        # Whoever is no positive adds nothing; 0 in place of its logarithm, which at the anchor itself is not finite.
        positive = (labels[:, None] == labels) & ~itself
        log_p = torch.where(positive, likeness - torch.logsumexp(likeness, dim=1, keepdim=True), 0)
        num_positives = positive.sum(dim=1)
        of_anchor = -log_p.sum(dim=1) / num_positives.clamp(min=1)
        return of_anchor.sum() / (num_positives > 0).sum().clamp(min=1)
