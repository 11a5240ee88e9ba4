from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.build import build_network
from model.sanet import join_branches
from tests.training.runs import images_of
from training.annotations import ANNOTATIONS_OF
from training.build_objective import build_objective
from training.neck import Necks
from training.recipe import Recipe
from training.trainee import Trainee

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
COMPARED = ("ram", "scan", "vscr", "am_wtl", "cn_nets")
PLAIN = Recipe(backbone="efficientnet_lite0", size_px=32, num_parts=1, contrastive_weight=0.5)


def trainee_of(
    recipe: Recipe, dtype: torch.dtype = torch.float32, num_classes: Mapping[str, int] | None = None
) -> Trainee:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = build_network(recipe.network_config(), recipe.preprocessing())
        necks = Necks(network.config) if recipe.neck == "batchnorm" else None
        return Trainee(network, necks, build_objective(network.config, 3, recipe, num_classes or {}), dtype)


def seen_by_the_trunk(trainee: Trainee) -> Tensor:
    normalized: Tensor = trainee.network.normalization(images_of(LABELS))
    return normalized


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("id_scale", [0.0, 16.0])
@pytest.mark.parametrize("neck", ["none", "batchnorm"])
def test_the_terms_are_those_of_network_necks_and_objective_by_hand(
    neck: Any, id_scale: float, is_training: bool
) -> None:
    trainee = trainee_of(replace(PLAIN, neck=neck, id_scale=id_scale)).train(is_training)
    images = seen_by_the_trunk(trainee)
    with torch.no_grad():
        terms, theta = trainee(images, LABELS)
        branches, expected_theta = trainee.network.branch_features(images)
        if neck == "batchnorm":
            normalised = []
            for branch in branches:
                # In evaluation mode by the statistics of a fresh one.
                mean = branch.mean(dim=0) if is_training else torch.zeros(branch.shape[1])
                variance = branch.var(dim=0, correction=0) if is_training else torch.ones(branch.shape[1])
                normalised.append((branch - mean) / (variance + 1e-5).sqrt())
            branches = normalised
        if id_scale:
            branches = [branch / branch.norm(dim=1, keepdim=True) for branch in branches]
        expected = trainee.objective(branches, LABELS)
    assert terms.keys() == expected.keys()
    for name, term in terms.items():
        torch.testing.assert_close(term, expected[name], rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(theta, expected_theta, rtol=1e-3, atol=1e-3)


def test_without_a_neck_the_losses_see_the_embedding_that_is_served() -> None:
    recipe = replace(PLAIN, id_scale=16.0)
    trainee = trainee_of(recipe).eval()
    seen: list[Tensor] = []
    trainee.objective.register_forward_hook(lambda _, inputs, __: seen.extend(inputs[0]))
    with torch.no_grad():
        trainee(seen_by_the_trunk(trainee), LABELS)
        embedding = trainee.network(images_of(LABELS)).embedding
    torch.testing.assert_close(join_branches(seen, unit_length=False), embedding, rtol=1e-4, atol=1e-5)
    assert all(torch.allclose(F.normalize(branch), branch, atol=1e-5) for branch in seen)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_networks_products_alone_are_of_the_type(dtype: torch.dtype) -> None:
    trainee = trainee_of(replace(PLAIN, neck="batchnorm", id_scale=16.0), dtype)
    seen: dict[str, torch.dtype] = {}
    trainee.network.get_submodule("trunk.stem.conv").register_forward_hook(
        lambda _, __, out: seen.update(trunk=out.dtype)
    )
    reduction = trainee.network.get_submodule("global_branch.reduction")
    reduction.register_forward_hook(lambda _, __, out: seen.update(reduction=out.dtype))
    trainee.necks.norms[0].register_forward_hook(lambda _, i, out: seen.update(neck=out.dtype, to_neck=i[0].dtype))  # type: ignore[union-attr]
    terms, theta = trainee(seen_by_the_trunk(trainee), LABELS)
    assert seen == {"trunk": dtype, "reduction": dtype, "neck": torch.float32, "to_neck": torch.float32}
    assert {term.dtype for term in terms.values()} == {torch.float32}
    assert theta.dtype == torch.float32
    assert trainee.necks.norms[0].get_buffer("running_var").dtype == torch.float32  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "aligns_map"),
    [
        ({}, True),
        ({"transform": "none"}, False),
        ({"num_parts": 0}, False),
        ({"architecture": "baseline"}, False),
        ({"transform": "rotation", "aligned": "input"}, False),
    ],
)
def test_there_is_a_theta_only_where_the_map_is_aligned(changes: dict[str, Any], aligns_map: bool) -> None:
    trainee = trainee_of(replace(PLAIN, **changes))
    width = 16 if changes.get("aligned") == "input" else 32
    terms, theta = trainee(seen_by_the_trunk(trainee)[..., :width], LABELS)
    assert (theta is not None) == aligns_map
    assert all(term.isfinite() for term in terms.values())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"neck": "batchnorm", "id_scale": 16.0, "id_margin": 0.1, "triplet_weight": 0.0},
        {"num_parts": 0, "neck": "batchnorm"},
        {"id_weight": 0.0, "triplet_weight": 0.0},
        {"id_weight": 0.0, "triplet_weight": 0.0, "neck": "batchnorm", "transform": "none"},
        {"architecture": "baseline", "id_scale": 16.0},
        *[{"architecture": name, "contrastive_weight": 0.0} for name in COMPARED],
        {"architecture": "ram", "contrastive_weight": 0.0, "triplet_weight": 0.0, "id_scale": 10.0},
        *[{"architecture": name, "contrastive_weight": 0.0, "id_weight": 0.0} for name in COMPARED],
    ],
)
@pytest.mark.parametrize("is_annotated", [True, False])
def test_every_parameter_that_may_train_has_a_gradient(changes: dict[str, Any], is_annotated: bool) -> None:
    """Parallel processes would wait for the gradient of any other for ever."""
    recipe = replace(PLAIN, **changes)
    names = ANNOTATIONS_OF.get(recipe.architecture, ()) if is_annotated else ()
    trainee = trainee_of(recipe, num_classes=dict.fromkeys(names, 3))
    annotations = LABELS[:, None].repeat(1, len(names)) if names else None
    terms, _ = trainee(seen_by_the_trunk(trainee), LABELS, annotations)
    terms["total"].backward()
    assert [name for name, parameter in trainee.named_parameters() if parameter.grad is None] == []


def test_annotations_are_what_the_objective_learns_from() -> None:
    recipe = replace(PLAIN, architecture="am_wtl", contrastive_weight=0.0)
    trainee = trainee_of(recipe, num_classes={"colour": 2}).eval()
    images = seen_by_the_trunk(trainee)
    with torch.no_grad():
        branches, _ = trainee.network.branch_features(images)
        for colours in (torch.tensor([0, 0, 1, 1, 0, 0]), torch.tensor([-1, 1, -1, -1, 0, -1])):
            terms, _ = trainee(images, LABELS, colours[:, None])
            expected = trainee.objective(branches, LABELS, colours[:, None])
            for name, term in terms.items():
                torch.testing.assert_close(term, expected[name])
