import pytest
from torch import Tensor

from model.config import CNNetsConfig
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
    unit,
)
from tests.training.test_triplet_loss import naive_loss
from training.compared.cn_nets import CNNetsObjective
from training.recipe import Recipe


@pytest.mark.parametrize("id_scale", [0.0, 20.0])
@pytest.mark.parametrize(("id_weight", "triplet_weight"), [(1.0, 1.0), (0.5, 0.0), (0.0, 2.0)])
def test_it_is_id_and_triplet_loss_of_both_features_by_hand(
    id_weight: float, triplet_weight: float, id_scale: float
) -> None:
    recipe = Recipe(architecture="cn_nets", id_weight=id_weight, triplet_weight=triplet_weight, id_scale=id_scale)
    objective = seeded(CNNetsObjective(CNNetsConfig("resnet18"), NUM_LABELS, recipe))
    branches = branches_of(512, 512)
    terms: dict[str, Tensor] = objective(branches, LABELS)
    expected: dict[str, float] = {}
    for name, branch in zip(("coarse", "fine"), branches, strict=True):
        features = array(branch)
        if id_weight:
            classifier = objective.get_submodule(f"classifiers.{name}")
            logits = scores(classifier, unit(features) if id_scale else features)
            if id_scale:
                weight = array(classifier.get_parameter("weight"))
                logits = id_scale * logits / [float(row @ row) ** 0.5 for row in weight]
            expected[f"id_{name}"] = cross_entropy(logits, LABELS)
        if triplet_weight:
            expected[f"triplet_{name}"] = naive_loss(features, LABELS.tolist(), 0.3)
    weights = {name: id_weight if name.startswith("id") else triplet_weight for name in expected}
    check_terms(terms, expected, weights)
    check_all_learn(objective, terms, branches)
