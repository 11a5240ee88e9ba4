import math

import numpy as np
import pytest
import torch
from torch import Tensor

from model.config import VSCRConfig
from tests.training.compared.batches import (
    LABELS,
    NUM_LABELS,
    array,
    branches_of,
    check_all_learn,
    check_terms,
    cross_entropy,
    scores,
    seeded,
)
from tests.training.test_consensus_loss import naive_loss as naive_consensus
from tests.training.test_triplet_loss import naive_loss
from training.compared.vscr import VSCRObjective
from training.recipe import Recipe

VIEWS = torch.tensor([0, 3, 1, -1, 2, 0])
CONFIG = VSCRConfig("resnet18")


def test_it_is_its_losses_by_hand() -> None:
    recipe = Recipe(architecture="vscr", id_weight=0.8, triplet_weight=0.5, annotation_weight=0.1, consensus_weight=3.0)
    objective = seeded(VSCRObjective(CONFIG, NUM_LABELS, recipe, {"view": 4}))
    branches = branches_of(512, 512)
    terms: dict[str, Tensor] = objective(branches, LABELS, VIEWS[:, None])
    full, coarse = map(array, branches)
    classifier = objective.get_submodule("classifier")
    logits = [scores(classifier, features) for features in (full, coarse)]
    hidden = np.maximum(scores(objective.get_submodule("discriminator.0"), full), 0)
    expected = {
        "id_scale1": cross_entropy(logits[0], LABELS),
        "id_scale2": cross_entropy(logits[1], LABELS),
        "consensus": naive_consensus(logits),
        "triplet": naive_loss(full, LABELS.tolist(), 0.3),
        "view": cross_entropy(scores(objective.get_submodule("discriminator.2"), hidden), VIEWS),
    }
    weights = {"id_scale1": 0.4, "id_scale2": 0.4, "consensus": 3.0, "triplet": 0.5, "view": 0.1}
    check_terms(terms, expected, weights)
    check_all_learn(objective, terms, branches)


def test_the_feature_unlearns_what_the_discriminator_learns() -> None:
    recipe = Recipe(architecture="vscr")
    objective = seeded(VSCRObjective(CONFIG, NUM_LABELS, recipe, {"view": 4}))
    (features, coarse) = branches_of(512, 512)
    # The first layer's scores are large: small steps, so that the loss is straight where they lead.
    for name, sign in (("discriminator", -1), ("features", 1)):
        terms: dict[str, Tensor] = objective([features, coarse], LABELS, VIEWS[:, None])
        learning = (
            list(objective.get_submodule("discriminator").parameters()) if name == "discriminator" else [features]
        )
        gradients = torch.autograd.grad(terms["view"], learning)
        length = math.sqrt(sum(float((gradient**2).sum()) for gradient in gradients))
        with torch.no_grad():
            for tensor, gradient in zip(learning, gradients, strict=True):
                tensor -= 1e-5 / length * gradient
        after: dict[str, Tensor] = objective([features, coarse], LABELS, VIEWS[:, None])
        assert (after["view"] - terms["view"]).item() * sign > 0, name


@pytest.mark.parametrize(("num_classes", "annotation_weight"), [({}, 1.0), ({"view": 4}, 0.0)])
def test_without_views_there_is_no_discriminator(num_classes: dict[str, int], annotation_weight: float) -> None:
    recipe = Recipe(architecture="vscr", annotation_weight=annotation_weight)
    objective = seeded(VSCRObjective(CONFIG, NUM_LABELS, recipe, num_classes))
    branches = branches_of(512, 512)
    terms: dict[str, Tensor] = objective(branches, LABELS)
    assert list(terms) == ["total", "id_scale1", "id_scale2", "consensus", "triplet"]
    check_all_learn(objective, terms, branches)


def test_terms_of_no_weight_are_not_computed() -> None:
    recipe = Recipe(architecture="vscr", consensus_weight=0.0, triplet_weight=0.0)
    terms = seeded(VSCRObjective(CONFIG, NUM_LABELS, recipe, {}))(branches_of(512, 512), LABELS)
    assert list(terms) == ["total", "id_scale1", "id_scale2"]
    recipe = Recipe(architecture="vscr", id_weight=0.0)
    objective = VSCRObjective(CONFIG, NUM_LABELS, recipe, {})
    assert list(objective(branches_of(512, 512), LABELS)) == ["total", "triplet"]
    assert list(objective.parameters()) == []


def test_a_single_scale_agrees_with_itself() -> None:
    """As a network in evaluation mode gives it."""
    recipe = Recipe(architecture="vscr")
    terms = seeded(VSCRObjective(CONFIG, NUM_LABELS, recipe, {}))(branches_of(512), LABELS)
    assert terms["consensus"].item() == pytest.approx(0, abs=1e-12)


def test_a_batch_without_views_is_refused() -> None:
    objective = VSCRObjective(CONFIG, NUM_LABELS, Recipe(architecture="vscr"), {"view": 4}).double()
    with pytest.raises(ValueError, match="VSCR learns from viewpoints: give the batch's class indices"):
        objective(branches_of(512, 512), LABELS)
