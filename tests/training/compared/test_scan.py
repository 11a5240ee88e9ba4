import pytest
from torch import Tensor

from model.config import SCANConfig
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
from tests.training.test_triplet_loss import naive_loss
from training.compared.scan import SCANObjective
from training.recipe import Recipe


@pytest.mark.parametrize(("id_weight", "triplet_weight"), [(1.0, 1.0), (0.5, 2.0), (1.0, 0.0), (0.0, 1.0)])
def test_it_is_id_and_triplet_loss_by_hand(id_weight: float, triplet_weight: float) -> None:
    recipe = Recipe(architecture="scan", id_weight=id_weight, triplet_weight=triplet_weight)
    objective = seeded(SCANObjective(SCANConfig("resnet18"), NUM_LABELS, recipe))
    branches = branches_of(512)
    terms: dict[str, Tensor] = objective(branches, LABELS)
    features = array(branches[0])
    expected = {}
    if id_weight:
        classifier = objective.get_submodule("classifier")
        expected["id"] = cross_entropy(scores(classifier, features), LABELS)
    if triplet_weight:
        expected["triplet"] = naive_loss(features, LABELS.tolist(), 0.3)
    check_terms(terms, expected, {"id": id_weight, "triplet": triplet_weight})
    check_all_learn(objective, terms, branches)
    assert len(list(objective.parameters())) == (2 if id_weight else 0)
