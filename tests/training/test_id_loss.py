import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from training.id_loss import id_logits, id_loss
from training.recipe import Recipe

LABELS = [1, 0, 2, 1]


@pytest.mark.parametrize(
    "options", [{}, {"label_smoothing": 0.2}, {"id_scale": 9.0}, {"id_scale": 9.0, "id_margin": 0.25}]
)
def test_it_is_the_cross_entropy_by_hand(options: dict[str, Any]) -> None:
    recipe = Recipe(**options)
    scale, margin, smoothing = (options.get(name, 0.0) for name in ("id_scale", "id_margin", "label_smoothing"))
    classifier = nn.Linear(5, 3, bias=not scale).double()
    features = np.random.default_rng(1).normal(size=(4, 5))
    weight = classifier.weight.detach().numpy()
    bias = np.zeros(3) if scale else classifier.bias.detach().numpy()
    losses, all_logits = [], []
    for row, label in zip(features, LABELS, strict=True):
        logits = [float(w @ row + b) for w, b in zip(weight, bias, strict=True)]
        if scale:
            lengths = [math.sqrt((w @ w) * (row @ row)) for w in weight]
            logits = [scale * logit / length for logit, length in zip(logits, lengths, strict=True)]
        all_logits.append(list(logits))
        logits[label] -= scale * margin
        log_sum = math.log(sum(math.exp(logit) for logit in logits))
        target = [smoothing / 3 + (1 - smoothing) * (one == label) for one in range(3)]
        losses.append(-sum(share * (logit - log_sum) for share, logit in zip(target, logits, strict=True)))
    given = torch.from_numpy(features)
    # The margin is the loss's business: logits are what the network says.
    np.testing.assert_allclose(id_logits(classifier, given, recipe).detach().numpy(), all_logits, rtol=1e-10)
    loss = id_loss(classifier, given, torch.tensor(LABELS), recipe)
    assert loss.item() == pytest.approx(sum(losses) / 4, rel=1e-10)
