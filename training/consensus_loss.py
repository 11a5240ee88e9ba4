"""The consensus of several views of one image: what they say of its identity shall be the same."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def consensus_loss(logits: Sequence[Tensor]) -> Tensor:
    """The generalised Jensen-Shannon divergence: mean over the views of KL(p_view || mean of all p), then over images.

    Args:
        logits: of each view (N, C).

    Returns:
        A scalar between 0 and log(number of views): 0 where all views say the same, as a single one does.
    """
    log_p = torch.stack([torch.log_softmax(one_view, dim=1) for one_view in logits])  # (V, N, C)
    log_mean = torch.logsumexp(log_p, dim=0) - math.log(len(log_p))
    divergence = (log_p.exp() * (log_p - log_mean)).sum(dim=2)
    return divergence.mean()
