import numpy as np
import pytest
import torch
from torch import Tensor

from model.config import RAMConfig
from tests.training.compared.batches import (
    COLOURS,
    LABELS,
    NUM_CLASSES,
    NUM_LABELS,
    Array,
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
from training.compared.ram import RAMObjective
from training.recipe import Recipe, ram

WIDTHS = (512, 512, 3 * 128, 64)
TYPES = torch.tensor([0, 0, 1, 1, 0, 0])
CONFIG = RAMConfig("resnet18")


def features_of(branches: list[Tensor]) -> dict[str, Array]:
    """By the names of the terms."""
    conv, bn, regions, attributes = map(array, branches)
    parts = {f"region{number + 1}": regions[:, 128 * number : 128 * (number + 1)] for number in range(3)}
    return {"conv": conv, "bn": bn, "regions": regions, **parts, "attributes": attributes}


@pytest.mark.parametrize("id_scale", [0.0, 10.0])
def test_it_is_the_published_losses_by_hand(id_scale: float) -> None:
    recipe = Recipe(architecture="ram", id_scale=id_scale, triplet_weight=0.0, annotation_weight=0.5)
    objective = seeded(RAMObjective(CONFIG, NUM_LABELS, recipe, {"type": 2, "colour": NUM_CLASSES}))
    branches = branches_of(*WIDTHS)
    terms: dict[str, Tensor] = objective(branches, LABELS, torch.stack([TYPES, COLOURS], dim=1))
    # Features of the length 10; plain linear layers, with a bias, on top.
    by_name = {name: id_scale * unit(x) if id_scale else x for name, x in features_of(branches).items()}
    expected = {
        f"id_{name}": cross_entropy(scores(objective.get_submodule(f"classifiers.{name}"), by_name[name]), LABELS)
        for name in ("conv", "bn", "regions", "region1", "region2", "region3")
    }
    for column, (name, classes) in enumerate((("type", TYPES), ("colour", COLOURS))):
        classifier = objective.get_submodule(f"attribute_classifiers.{column}")
        expected[name] = cross_entropy(scores(classifier, by_name["attributes"]), classes)
    weights = {"id_region1": 0.5, "id_region2": 0.5, "id_region3": 0.5, "type": 0.5, "colour": 0.5}
    check_terms(terms, expected, weights)
    check_all_learn(objective, terms, branches)


def test_its_recipe_is_the_published_one() -> None:
    recipe = ram()
    assert (recipe.id_scale, recipe.id_weight, recipe.annotation_weight, recipe.triplet_weight) == (10, 1, 1, 0)
    assert recipe.network_config() == RAMConfig("resnet50", unit_length=True)


@pytest.mark.parametrize(("num_classes", "annotation_weight"), [({}, 1.0), ({"type": 2}, 0.0)])
def test_without_annotations_the_attribute_branch_learns_identities(
    num_classes: dict[str, int], annotation_weight: float
) -> None:
    recipe = Recipe(architecture="ram", triplet_weight=0.0, annotation_weight=annotation_weight)
    objective = seeded(RAMObjective(CONFIG, NUM_LABELS, recipe, num_classes))
    branches = branches_of(*WIDTHS)
    terms: dict[str, Tensor] = objective(branches, LABELS, None)
    classifier = objective.get_submodule("classifiers.attributes")
    expected = cross_entropy(scores(classifier, array(branches[3])), LABELS)
    assert terms["id_attributes"].item() == pytest.approx(expected)
    assert terms.keys() & {"type", "colour"} == set()
    check_all_learn(objective, terms, branches)


def test_one_annotation_is_enough_for_the_attribute_branch() -> None:
    recipe = Recipe(architecture="ram", triplet_weight=0.0)
    objective = seeded(RAMObjective(CONFIG, NUM_LABELS, recipe, {"colour": NUM_CLASSES}))
    branches = branches_of(*WIDTHS)
    terms: dict[str, Tensor] = objective(branches, LABELS, COLOURS[:, None])
    classifier = objective.get_submodule("attribute_classifiers.0")
    assert terms["colour"].item() == pytest.approx(cross_entropy(scores(classifier, array(branches[3])), COLOURS))
    assert "id_attributes" not in terms
    check_all_learn(objective, terms, branches)


def test_triplets_are_there_for_who_wants_them() -> None:
    recipe = Recipe(architecture="ram", triplet_weight=0.25, id_weight=0.0)
    objective = seeded(RAMObjective(CONFIG, NUM_LABELS, recipe, {}))
    branches = branches_of(*WIDTHS)
    terms: dict[str, Tensor] = objective(branches, LABELS)
    by_name = features_of(branches)
    expected = {
        f"triplet_{name}": naive_loss(by_name[name], LABELS.tolist(), 0.3)
        for name in ("conv", "bn", "regions", "attributes")
    }
    check_terms(terms, expected, dict.fromkeys(expected, 0.25))
    check_all_learn(objective, terms, branches)


def test_a_batch_without_class_indices_is_refused() -> None:
    objective = RAMObjective(CONFIG, NUM_LABELS, Recipe(architecture="ram"), {"type": 2, "colour": 3})
    branches = [branch.detach().float() for branch in branches_of(*WIDTHS)]
    with pytest.raises(ValueError, match="RAM learns from type, colour: give the batch's class indices"):
        objective(branches, LABELS)


def test_a_batch_in_which_nothing_is_known_still_has_every_gradient() -> None:
    recipe = Recipe(architecture="ram")
    objective = RAMObjective(CONFIG, NUM_LABELS, recipe, {"type": 2, "colour": 3}).double()
    terms = objective(branches_of(*WIDTHS), LABELS, torch.full((6, 2), -1))
    terms["total"].backward()
    gradients = {name: parameter.grad for name, parameter in objective.named_parameters()}
    assert all(gradient is not None for gradient in gradients.values())
    assert np.all([gradient.eq(0).all() for name, gradient in gradients.items() if name.startswith("attribute_")])  # type: ignore[union-attr]
