"""What it costs not to know an annotation, such as a vehicle's colour."""

import torch
import torch.nn.functional as F
from torch import Tensor


def annotation_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Mean cross-entropy over the images whose annotation is known.

    Args:
        logits: (N, C).
        classes: (N,) class indices; -1 where the annotation is unknown.

    Returns:
        A scalar; 0 if none is known, and then no gradient but one of zeros.
    """
    known = classes >= 0
    losses = F.cross_entropy(logits, classes.clamp(min=0), reduction="none")
    # Without a branch on `known`: a GPU would have to be waited for.
    return torch.where(known, losses, 0).sum() / known.sum().clamp(min=1)
