import pytest
from torch import Tensor

from model.config import AMWTLConfig
from tests.training.compared.batches import (
    COLOURS,
    LABELS,
    NUM_CLASSES,
    NUM_LABELS,
    array,
    branches_of,
    check_all_learn,
    check_terms,
    cross_entropy,
    scores,
    seeded,
)
from tests.training.test_weighted_triplet_loss import naive_loss
from training.compared.am_wtl import AMWTLObjective
from training.recipe import Recipe

CONFIG = AMWTLConfig("resnet18")


def test_it_is_its_losses_by_hand() -> None:
    recipe = Recipe(architecture="am_wtl", id_weight=0.5, triplet_weight=2.0, annotation_weight=0.25, margin=0.9)
    objective = seeded(AMWTLObjective(CONFIG, NUM_LABELS, recipe, {"colour": NUM_CLASSES}))
    branches = branches_of(512, 256)
    terms: dict[str, Tensor] = objective(branches, LABELS, COLOURS[:, None])
    features, under_mask = map(array, branches)
    expected = {
        "id": cross_entropy(scores(objective.get_submodule("classifier"), features), LABELS),
        "colour": cross_entropy(scores(objective.get_submodule("colour_classifier"), under_mask), COLOURS),
        # A negative of the anchor's colour counts twice.
        "triplet": naive_loss(features, LABELS.tolist(), 0.9, COLOURS.tolist(), 2.0),
    }
    assert expected["triplet"] != naive_loss(features, LABELS.tolist(), 0.9, None, 2.0)
    check_terms(terms, expected, {"id": 0.5, "triplet": 2.0, "colour": 0.25})
    check_all_learn(objective, terms, branches)


@pytest.mark.parametrize(("num_classes", "annotation_weight"), [({}, 1.0), ({"colour": 3}, 0.0)])
def test_without_colours_all_negatives_are_alike(num_classes: dict[str, int], annotation_weight: float) -> None:
    recipe = Recipe(architecture="am_wtl", annotation_weight=annotation_weight)
    objective = seeded(AMWTLObjective(CONFIG, NUM_LABELS, recipe, num_classes))
    branches = branches_of(512, 256)
    terms: dict[str, Tensor] = objective(branches, LABELS)
    features = array(branches[0])
    expected = {
        "id": cross_entropy(scores(objective.get_submodule("classifier"), features), LABELS),
        "triplet": naive_loss(features, LABELS.tolist(), 0.3, None, 2.0),
    }
    check_terms(terms, expected, {})
    check_all_learn(objective, terms, branches[:1])


def test_a_batch_without_colours_is_refused() -> None:
    objective = AMWTLObjective(CONFIG, NUM_LABELS, Recipe(architecture="am_wtl"), {"colour": 3}).double()
    with pytest.raises(ValueError, match=r"AM\+WTL learns from colours: give the batch's class indices"):
        objective(branches_of(512, 256), LABELS)
