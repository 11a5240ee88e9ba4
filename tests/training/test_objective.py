import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from model.config import BaselineConfig, NetworkConfig, SANetConfig
from tests.training.test_triplet_loss import naive_loss, published_loss
from training.objective import Objective

Array = NDArray[np.float64]

NUM_LABELS = 5
LABELS = [0, 3, 3, 0, 4, 4]

# By the term's name: where in the embedding its feature begins and ends.
PAPER_IDS = {"g": (0, 512), "td": (512, 1536), "lr": (1536, 2560)}
PAPER_TRIPLETS = {
    "g": (0, 512), "t": (512, 1024), "d": (1024, 1536), "l": (1536, 2048), "r": (2048, 2560), "ss": (512, 2560),
}  # fmt: skip
Slices = dict[str, tuple[int, int]]
CASES: dict[str, tuple[NetworkConfig, Slices, Slices]] = {
    "M=2": (SANetConfig(), PAPER_IDS, PAPER_TRIPLETS),
    "M=1": (
        SANetConfig("resnet18", num_parts=1),
        {"g": (0, 512), "td": (512, 1024), "lr": (1024, 1536)},
        {"g": (0, 512), "td1": (512, 1024), "lr1": (1024, 1536), "ss": (512, 1536)},
    ),
    "M=4": (
        SANetConfig(num_parts=4, transform="none"),
        {"g": (0, 512), "td": (512, 2560), "lr": (2560, 4608)},
        {
            "g": (0, 512),
            "td1": (512, 1024), "td2": (1024, 1536), "td3": (1536, 2048), "td4": (2048, 2560),
            "lr1": (2560, 3072), "lr2": (3072, 3584), "lr3": (3584, 4096), "lr4": (4096, 4608),
            "ss": (512, 4608),
        },
    ),
    "M=0": (SANetConfig("resnet18", num_parts=0), {"g": (0, 512)}, {"g": (0, 512)}),
    "baseline": (BaselineConfig("resnet50"), {"g": (0, 2048)}, {"g": (0, 2048)}),
    "small baseline": (BaselineConfig("resnet18"), {"g": (0, 512)}, {"g": (0, 512)}),
}  # fmt: skip


def embedding_of(config: NetworkConfig, seed: int = 0) -> torch.Tensor:
    """Small enough that some anchors are right by the margin and others wrong."""
    values = np.random.default_rng(seed).normal(scale=0.02, size=(len(LABELS), config.embedding_dim))
    return torch.from_numpy(values)


def objective_of(config: NetworkConfig, **options: float) -> Objective:
    objective = Objective(config, NUM_LABELS, **options).double()
    rng = np.random.default_rng(7)
    for parameter in objective.parameters():
        nn.init.constant_(parameter, 0)
        parameter.data += torch.from_numpy(rng.normal(size=parameter.shape))
    return objective


def classifier(objective: Objective, name: str) -> nn.Linear:
    linear = objective.classifiers[name]
    assert isinstance(linear, nn.Linear)
    return linear


def naive_cross_entropy(feature: Array, linear: nn.Linear, smoothing: float, scale: float) -> float:
    """Mean of -Σ target log p: the target is 1 - smoothing on the label, and smoothing spread over all of them.

    With a scale the logits are cosines times it.
    """
    weight = linear.weight.detach().numpy()
    bias = np.zeros(NUM_LABELS) if scale else linear.bias.detach().numpy()
    losses = []
    for row, label in zip(feature, LABELS, strict=True):
        logits = [float(weight[one] @ row + bias[one]) for one in range(NUM_LABELS)]
        if scale:
            lengths = [math.sqrt(sum(weight[one] ** 2) * sum(row**2)) for one in range(NUM_LABELS)]
            logits = [scale * float(weight[one] @ row) / lengths[one] for one in range(NUM_LABELS)]
        log_sum = max(logits) + math.log(sum(math.exp(logit - max(logits)) for logit in logits))
        target = [smoothing / NUM_LABELS + (1 - smoothing) * (one == label) for one in range(NUM_LABELS)]
        losses.append(-sum(share * (logit - log_sum) for share, logit in zip(target, logits, strict=True)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(
    "options",
    [{}, {"margin": 0.9, "label_smoothing": 0.2}, {"id_scale": 16.0}, {"id_scale": 3.0, "label_smoothing": 0.1}],
)
@pytest.mark.parametrize(("config", "ids", "triplets"), CASES.values(), ids=CASES)
def test_every_term_is_its_slices_by_hand(
    config: NetworkConfig, ids: Slices, triplets: Slices, options: dict[str, float]
) -> None:
    objective, embedding = objective_of(config, **options), embedding_of(config)
    terms = objective(embedding, torch.tensor(LABELS))
    assert max(end for _, end in triplets.values()) == config.embedding_dim
    numbers: Array = embedding.numpy()
    expected = {
        f"id_{name}": naive_cross_entropy(
            numbers[:, start:end],
            classifier(objective, name),
            options.get("label_smoothing", 0.0),
            options.get("id_scale", 0.0),
        )
        for name, (start, end) in ids.items()
    }
    expected |= {
        f"triplet_{name}": naive_loss(numbers[:, start:end], LABELS, options.get("margin", 0.3))
        for name, (start, end) in triplets.items()
    }
    expected["total"] = sum(expected.values())
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-10)
    assert len({round(value, 9) for value in expected.values()}) > len(expected) // 2  # no two slices are taken alike


@pytest.mark.parametrize(("id_weight", "triplet_weight"), [(0.7, 1.9), (0.0, 1.0), (1.0, 0.0)])
@pytest.mark.parametrize("case", ["M=2", "baseline"])
def test_the_total_is_the_weighted_sum_of_unweighted_terms(case: str, id_weight: float, triplet_weight: float) -> None:
    config = CASES[case][0]
    embedding, labels = embedding_of(config), torch.tensor(LABELS)
    plain = objective_of(config)(embedding, labels)
    weighted = objective_of(config, id_weight=id_weight, triplet_weight=triplet_weight)(embedding, labels)
    weights = {"id": id_weight, "triplet": triplet_weight, "total": 1.0}
    # What counts for nothing is not computed.
    assert list(weighted) == [name for name in plain if weights[name.split("_")[0]]]
    expected = 0.0
    for name in weighted.keys() - {"total"}:
        assert weighted[name].item() == plain[name].item(), name
        expected += weights[name.split("_")[0]] * plain[name].item()
    assert weighted["total"].item() == pytest.approx(expected, rel=1e-12)


def test_the_terms_are_those_of_published_losses() -> None:
    config = SANetConfig()
    objective, embedding, labels = objective_of(config, label_smoothing=0.1), embedding_of(config), torch.tensor(LABELS)
    terms = objective(embedding, labels)
    for name, (start, end) in PAPER_IDS.items():
        linear, feature = classifier(objective, name), embedding[:, start:end]
        published = F.cross_entropy(feature @ linear.weight.T + linear.bias, labels, label_smoothing=0.1)
        torch.testing.assert_close(terms[f"id_{name}"], published)
    for name, (start, end) in PAPER_TRIPLETS.items():
        torch.testing.assert_close(terms[f"triplet_{name}"], published_loss(embedding[:, start:end], labels, 0.3))


@pytest.mark.parametrize(
    "config", [SANetConfig(), SANetConfig(num_parts=6), SANetConfig(num_parts=0), BaselineConfig()]
)
def test_the_smallest_possible_batch_has_a_term_of_every_kind(config: NetworkConfig) -> None:
    embedding = torch.randn(3, config.embedding_dim, generator=torch.Generator().manual_seed(0))
    terms = Objective(config, 2)(embedding, torch.tensor([0, 0, 1]))
    assert all(term.shape == () and term.isfinite() for term in terms.values())
    kinds = [name.partition("_")[0] for name in terms]
    num_parts = config.num_parts if isinstance(config, SANetConfig) else 0
    expected = (3, 2 + 2 * num_parts) if num_parts else (1, 1)
    assert (kinds.count("id"), kinds.count("triplet"), kinds.count("total")) == (*expected, 1)


@pytest.mark.parametrize(("config", "ids", "_"), CASES.values(), ids=CASES)
def test_there_is_a_classifier_for_each_id_loss_and_no_other_parameter(
    config: NetworkConfig, ids: Slices, _: Slices
) -> None:
    shapes = {name: tuple(parameter.shape) for name, parameter in Objective(config, 12).named_parameters()}
    expected: dict[str, tuple[int, ...]] = {}
    for name, (start, end) in ids.items():
        expected |= {f"classifiers.{name}.weight": (12, end - start), f"classifiers.{name}.bias": (12,)}
    assert shapes == expected


@pytest.mark.parametrize("config", [case[0] for case in CASES.values()], ids=CASES)
def test_the_total_teaches_every_classifier_and_every_number(config: NetworkConfig) -> None:
    objective, embedding = objective_of(config), embedding_of(config).requires_grad_()
    objective(embedding, torch.tensor(LABELS))["total"].backward()
    for name, parameter in objective.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.ne(0).all(), name
    assert embedding.grad is not None
    assert embedding.grad.ne(0).any(dim=0).all()


def test_a_term_teaches_its_own_slice_and_classifier_alone() -> None:
    config = SANetConfig()
    objective, embedding = objective_of(config, margin=3.0), embedding_of(config).requires_grad_()
    terms = objective(embedding, torch.tensor(LABELS))
    slices = {f"id_{name}": ends for name, ends in PAPER_IDS.items()}
    slices |= {f"triplet_{name}": ends for name, ends in PAPER_TRIPLETS.items()}
    assert terms.keys() == slices.keys() | {"total"}
    for name, (start, end) in slices.items():
        parameters = dict(objective.named_parameters())
        leaves = [embedding, *parameters.values()]
        gradient, *others = torch.autograd.grad(terms[name], leaves, retain_graph=True, materialize_grads=True)
        reached = gradient.ne(0).any(dim=0).nonzero().ravel()
        assert (int(reached.min()), int(reached.max()) + 1) == (start, end), name
        taught = {of for of, other in zip(parameters, others, strict=True) if other.any()}
        kind, feature = name.split("_")
        assert taught == ({f"classifiers.{feature}.{one}" for one in ("weight", "bias")} if kind == "id" else set())


def test_cosines_do_not_see_how_long_a_feature_is() -> None:
    config, labels = SANetConfig(), torch.tensor(LABELS)
    objective, embedding = objective_of(config, id_scale=10.0), embedding_of(config)
    short, long = objective(embedding, labels), objective(7 * embedding, labels)
    for name in ("id_g", "id_td", "id_lr"):
        assert long[name].item() == pytest.approx(short[name].item(), rel=1e-9)
    assert long["triplet_g"].item() != pytest.approx(short["triplet_g"].item())


def test_cosines_teach_every_weight_and_have_no_bias_to_teach() -> None:
    """Parallel processes would wait for the gradient of a bias for ever."""
    config = SANetConfig()
    objective, embedding = objective_of(config, id_scale=10.0), embedding_of(config).requires_grad_()
    objective(embedding, torch.tensor(LABELS))["total"].backward()
    assert {name for name, _ in objective.named_parameters()} == {f"classifiers.{n}.weight" for n in ("g", "td", "lr")}
    for name, parameter in objective.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.ne(0).all(), name
    assert embedding.grad is not None
    assert embedding.grad.ne(0).any(dim=0).all()
