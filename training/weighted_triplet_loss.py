"""The triplet loss with soft weights in the place of hard mining, heavier where two vehicles have one colour."""

import torch
from torch import Tensor

from training.triplet_loss import pairwise_distances


def weighted_triplet_loss(
    features: Tensor, labels: Tensor, margin: float, colours: Tensor | None, same_colour_weight: float
) -> Tensor:
    """Mean over the anchors of [margin + sum_p w_p d_p - sum_n w_n d_n]+, with weights that sum to 1 on each side.

    As in Ristani and Tomasi (2018) w_p is in proportion to exp(d_p), so that far positives count most, and w_n to
    exp(-d_n), so that near negatives do. Negatives of the anchor's colour count `same_colour_weight` times as much:
    they are the ones that colour cannot tell.

    Args:
        features: (N, D), compared by Euclidean distance, in float32 at least.
        labels: (N,) whole numbers.
        margin: in units of distance.
        colours: (N,) class indices, -1 where unknown; None where none is known.
        same_colour_weight: above 0; with 1 colours do not count.

    Returns:
        A scalar. An anchor without a positive or without a negative does not count; 0 if none counts.
    """
    with torch.autocast(features.device.type, enabled=False):
        distances = pairwise_distances(features)
        same = labels[:, None] == labels
        positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        log_weight = torch.zeros_like(distances)
        if colours is not None:
            same_colour = (colours[:, None] == colours) & (colours >= 0)
            log_weight = torch.where(same_colour, torch.log(log_weight + same_colour_weight), log_weight)
        farthest = _weighted_mean(distances, distances, positive)
        nearest = _weighted_mean(distances, log_weight - distances, ~same)
        counts = positive.any(dim=1) & (~same).any(dim=1)
        # Without a branch on `counts`: a GPU would have to be waited for.
        hinge = (margin + farthest - nearest).clamp(min=0)
        return torch.where(counts, hinge, 0).sum() / counts.sum().clamp(min=1)


def _weighted_mean(distances: Tensor, log_weights: Tensor, chosen: Tensor) -> Tensor:
    """Row by row the mean of the chosen distances (N,), weighted by exp(log_weights); 0 where none is chosen."""
    # A row of nothing but -inf would have no softmax: such a row is left as it is, and its mean is 0 all the same.
    masked = log_weights.masked_fill(~chosen & chosen.any(dim=1, keepdim=True), -torch.inf)
    weights = torch.softmax(masked, dim=1) * chosen
    return (weights * distances).sum(dim=1)
