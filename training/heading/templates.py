"""An identity's template on the circle: what its vehicle looks like, in a frame of reference of its own."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.polar import FEATURE_DIM, NUM_HEADINGS, correlate

SHARPNESS = 30.0
"""Turns cosines into logits of identities."""


class Templates(nn.Module):
    """A classifier that knows one pattern per identity and sees an image at every heading at once."""

    def __init__(self, num_identities: int) -> None:
        super().__init__()
        self.patterns = nn.Parameter(torch.randn(num_identities, FEATURE_DIM, NUM_HEADINGS) * 0.01)

    def forward(self, circle: Tensor, labels: Tensor) -> Tensor:
        """Features (N, F, K), labels (N,) -> log p(own identity | heading) (N, K), each in its identity's own frame."""
        unit = F.normalize(self.patterns.flatten(1), dim=1).view_as(self.patterns)
        likelihood = F.log_softmax(SHARPNESS * correlate(circle, unit), dim=1)
        return likelihood[torch.arange(len(labels), device=labels.device), labels]
