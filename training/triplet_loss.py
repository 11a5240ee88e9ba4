"""The batch-hard triplet loss (Hermans et al. 2017), Euclidean."""

import torch
from torch import Tensor


def batch_hard_triplet_loss(features: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Mean over the anchors of [margin + farthest positive − nearest negative]₊.

    The hinge on distances is the paper's (eq. 4, Sec. II-C); that each anchor meets the hardest of its batch is ours.

    Computed in float32 at least, whatever the autocast.

    Args:
        features: (N, D).
        labels: (N,) whole numbers.
        margin: in units of distance.

    Returns:
        A scalar. An anchor without a positive or without a negative does not count; 0 if none counts.
    """
    with torch.autocast(features.device.type, enabled=False):
        distances = pairwise_distances(features)
        same = labels[:, None] == labels
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        positive = (distances.masked_fill(~same | itself, -torch.inf)).amax(dim=1)
        negative = (distances.masked_fill(same, torch.inf)).amin(dim=1)
        counts = (same & ~itself).any(dim=1) & (~same).any(dim=1)
        # Without a branch on `counts`: a GPU would have to be waited for.
        hinge = (margin + positive - negative).clamp(min=0)
        return torch.where(counts, hinge, 0).sum() / counts.sum().clamp(min=1)


def pairwise_distances(features: Tensor) -> Tensor:
    """Euclidean distances (N, N) of features (N, D), in float32 at least; outside of any autocast.

    From differences: the form ‖a‖² + ‖b‖² − 2ab would lose the small distances that decide. The gradient at distance 0,
    where a root has none, is 0.
    """
    features = features if features.dtype == torch.float64 else features.float()
    distances: Tensor = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    return distances
