"""The ID loss: cross-entropy of the identities, told by a linear layer or by cosines."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.recipe import Recipe


def id_logits(classifier: nn.Linear, features: Tensor, recipe: Recipe) -> Tensor:
    """Of features (N, D) the logits (N, identities).

    They are the linear layer's (paper), or with the recipe's `id_scale` cosines times it (NormFace, Wang et al. 2017).
    """
    if not recipe.id_scale:
        logits: Tensor = classifier(features)
        return logits
    return recipe.id_scale * (F.normalize(features) @ F.normalize(classifier.weight).T)


def id_loss(classifier: nn.Linear, features: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
    """Mean cross-entropy over the images.

    Args:
        classifier: of the identities; without a bias where cosines are compared.
        features: (N, D), of any length.
        labels: (N,) class indices.
        recipe: its `id_margin` is taken from the true identity's cosine (CosFace, Wang et al. 2018).

    Returns:
        A scalar.
    """
    logits = id_logits(classifier, features, recipe)
    if recipe.id_margin:
        is_true = torch.arange(logits.shape[1], device=labels.device) == labels[:, None]
        logits = logits - recipe.id_scale * recipe.id_margin * is_true.to(logits.dtype)
    return F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
