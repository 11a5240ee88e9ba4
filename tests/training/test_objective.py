import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pytorch_metric_learning.losses import CosFaceLoss, SupConLoss  # type: ignore[import-untyped]
from torch import Tensor, nn

from model.config import BaselineConfig, NetworkConfig, SANetConfig
from tests.training.test_triplet_loss import naive_loss, published_loss
from training.objective import Objective
from training.recipe import Recipe

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


def branches_of(embedding: torch.Tensor, config: NetworkConfig) -> list[torch.Tensor]:
    """As the network hands them out: g, and all parts of each spatial branch."""
    num_parts = config.num_parts if isinstance(config, SANetConfig) else 0
    widths = [512, 512 * num_parts, 512 * num_parts] if num_parts else [config.embedding_dim]
    return list(torch.split(embedding, widths, dim=1))


def terms_of(objective: Objective, embedding: torch.Tensor, config: NetworkConfig) -> dict[str, Tensor]:
    terms: dict[str, Tensor] = objective(branches_of(embedding, config), torch.tensor(LABELS))
    return terms


def objective_of(config: NetworkConfig, **options: float) -> Objective:
    objective = Objective(config, NUM_LABELS, Recipe(**options)).double()  # type: ignore[arg-type]
    rng = np.random.default_rng(7)
    for parameter in objective.parameters():
        nn.init.constant_(parameter, 0)
        parameter.data += torch.from_numpy(rng.normal(size=parameter.shape))
    return objective


def classifier(objective: Objective, name: str) -> nn.Linear:
    linear = objective.classifiers[name]
    assert isinstance(linear, nn.Linear)
    return linear


def naive_cross_entropy(feature: Array, linear: nn.Linear, smoothing: float, scale: float, margin: float) -> float:
    """Mean of -Σ target log p: the target is 1 - smoothing on the label, and smoothing spread over all of them.

    With a scale the logits are cosines times it, the true one less a margin.
    """
    weight = linear.weight.detach().numpy()
    bias = np.zeros(NUM_LABELS) if scale else linear.bias.detach().numpy()
    losses = []
    for row, label in zip(feature, LABELS, strict=True):
        logits = [float(weight[one] @ row + bias[one]) for one in range(NUM_LABELS)]
        if scale:
            lengths = [math.sqrt(sum(weight[one] ** 2) * sum(row**2)) for one in range(NUM_LABELS)]
            cosines = [float(weight[one] @ row) / lengths[one] for one in range(NUM_LABELS)]
            logits = [scale * (cosine - margin * (one == label)) for one, cosine in enumerate(cosines)]
        log_sum = max(logits) + math.log(sum(math.exp(logit - max(logits)) for logit in logits))
        target = [smoothing / NUM_LABELS + (1 - smoothing) * (one == label) for one in range(NUM_LABELS)]
        losses.append(-sum(share * (logit - log_sum) for share, logit in zip(target, logits, strict=True)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"margin": 0.9, "label_smoothing": 0.2},
        {"id_scale": 16.0},
        {"id_scale": 3.0, "label_smoothing": 0.1},
        {"id_scale": 20.0, "id_margin": 0.1},
        {"id_scale": 8.0, "id_margin": 0.35, "label_smoothing": 0.2},
    ],
)
@pytest.mark.parametrize(("config", "ids", "triplets"), CASES.values(), ids=CASES)
def test_every_term_is_its_slices_by_hand(
    config: NetworkConfig, ids: Slices, triplets: Slices, options: dict[str, float]
) -> None:
    objective, embedding = objective_of(config, **options), embedding_of(config)
    terms = terms_of(objective, embedding, config)
    assert max(end for _, end in triplets.values()) == config.embedding_dim
    numbers: Array = embedding.numpy()
    expected = {
        f"id_{name}": naive_cross_entropy(
            numbers[:, start:end],
            classifier(objective, name),
            options.get("label_smoothing", 0.0),
            options.get("id_scale", 0.0),
            options.get("id_margin", 0.0),
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


@pytest.mark.parametrize(
    ("id_weight", "triplet_weight", "contrastive_weight"),
    [(0.7, 1.9, 0.4), (0.0, 1.0, 0.0), (1.0, 0.0, 2.0), (0.0, 0.0, 0.5)],
)
@pytest.mark.parametrize("case", ["M=2", "baseline"])
def test_the_total_is_the_weighted_sum_of_unweighted_terms(
    case: str, id_weight: float, triplet_weight: float, contrastive_weight: float
) -> None:
    config = CASES[case][0]
    embedding = embedding_of(config)
    plain = terms_of(objective_of(config, contrastive_weight=1.0), embedding, config)
    weights = {"id": id_weight, "triplet": triplet_weight, "contrastive": contrastive_weight, "total": 1.0}
    options = {f"{name}_weight": weight for name, weight in weights.items() if name != "total"}
    weighted = terms_of(objective_of(config, **options), embedding, config)
    # What counts for nothing is not computed.
    assert list(weighted) == [name for name in plain if weights[name.split("_")[0]]]
    expected = 0.0
    for name in weighted.keys() - {"total"}:
        assert weighted[name].item() == plain[name].item(), name
        expected += weights[name.split("_")[0]] * plain[name].item()
    assert weighted["total"].item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_the_contrastive_term_is_the_published_one_on_all_branches_of_unit_length(
    case: str, temperature: float
) -> None:
    config = CASES[case][0]
    embedding = embedding_of(config)
    terms = terms_of(objective_of(config, contrastive_weight=1.0, temperature=temperature), embedding, config)
    together = torch.cat([branch / branch.norm(dim=1, keepdim=True) for branch in branches_of(embedding, config)], 1)
    # It brings them to unit length itself.
    published = SupConLoss(temperature=temperature)(together, torch.tensor(LABELS))
    assert terms["contrastive"].item() == pytest.approx(published.item(), rel=1e-6)


@pytest.mark.parametrize(("id_scale", "id_margin"), [(20.0, 0.1), (64.0, 0.35)])
def test_a_margin_is_that_of_the_published_cosface(id_scale: float, id_margin: float) -> None:
    config = SANetConfig()
    objective, embedding = objective_of(config, id_scale=id_scale, id_margin=id_margin), embedding_of(config)
    terms = terms_of(objective, embedding, config)
    for name, (start, end) in PAPER_IDS.items():
        cosface = CosFaceLoss(NUM_LABELS, end - start, margin=id_margin, scale=id_scale)
        cosface.W = nn.Parameter(classifier(objective, name).weight.detach().T)
        published = cosface(embedding[:, start:end], torch.tensor(LABELS))
        assert terms[f"id_{name}"].item() == pytest.approx(published.item(), rel=1e-6)


def test_the_terms_are_those_of_published_losses() -> None:
    config = SANetConfig()
    objective, embedding, labels = objective_of(config, label_smoothing=0.1), embedding_of(config), torch.tensor(LABELS)
    terms = terms_of(objective, embedding, config)
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
    objective = Objective(config, 2, Recipe(contrastive_weight=1.0))
    terms = objective(branches_of(embedding, config), torch.tensor([0, 0, 1]))
    assert all(term.shape == () and term.isfinite() for term in terms.values())
    kinds = [name.partition("_")[0] for name in terms]
    num_parts = config.num_parts if isinstance(config, SANetConfig) else 0
    expected = (3, 2 + 2 * num_parts) if num_parts else (1, 1)
    found = tuple(kinds.count(kind) for kind in ("id", "triplet", "contrastive", "total"))
    assert found == (*expected, 1, 1)


@pytest.mark.parametrize(("config", "ids", "_"), CASES.values(), ids=CASES)
def test_there_is_a_classifier_for_each_id_loss_and_no_other_parameter(
    config: NetworkConfig, ids: Slices, _: Slices
) -> None:
    shapes = {name: tuple(parameter.shape) for name, parameter in Objective(config, 12, Recipe()).named_parameters()}
    expected: dict[str, tuple[int, ...]] = {}
    for name, (start, end) in ids.items():
        expected |= {f"classifiers.{name}.weight": (12, end - start), f"classifiers.{name}.bias": (12,)}
    assert shapes == expected


def test_without_id_losses_there_is_no_classifier() -> None:
    """Parallel processes would wait for its gradient for ever."""
    assert list(Objective(SANetConfig(), 12, Recipe(id_weight=0.0)).parameters()) == []


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"contrastive_weight": 1.0, "triplet_weight": 0.0},
        {"contrastive_weight": 1.0, "triplet_weight": 0.0, "id_scale": 20.0, "id_margin": 0.1},
        {"contrastive_weight": 1.0, "triplet_weight": 0.0, "id_weight": 0.0},
        {"id_weight": 0.0, "margin": 9.0},
    ],
)
@pytest.mark.parametrize("config", [case[0] for case in CASES.values()], ids=CASES)
def test_the_total_teaches_every_classifier_and_every_number(config: NetworkConfig, options: dict[str, float]) -> None:
    objective, embedding = objective_of(config, **options), embedding_of(config).requires_grad_()
    terms_of(objective, embedding, config)["total"].backward()  # type: ignore[no-untyped-call]
    for name, parameter in objective.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.ne(0).all(), name
    assert embedding.grad is not None
    assert embedding.grad.ne(0).any(dim=0).all()


def test_a_term_teaches_its_own_slice_and_classifier_alone() -> None:
    config = SANetConfig()
    objective, embedding = objective_of(config, margin=3.0), embedding_of(config).requires_grad_()
    terms = terms_of(objective, embedding, config)
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
    config = SANetConfig()
    objective = objective_of(config, id_scale=10.0, id_margin=0.2, contrastive_weight=1.0)
    embedding = embedding_of(config)
    short, long = terms_of(objective, embedding, config), terms_of(objective, 7 * embedding, config)
    for name in ("id_g", "id_td", "id_lr", "contrastive"):
        assert long[name].item() == pytest.approx(short[name].item(), rel=1e-9)
    assert long["triplet_g"].item() != pytest.approx(short["triplet_g"].item())


def test_cosines_teach_every_weight_and_have_no_bias_to_teach() -> None:
    """Parallel processes would wait for the gradient of a bias for ever."""
    config = SANetConfig()
    objective, embedding = objective_of(config, id_scale=10.0), embedding_of(config).requires_grad_()
    terms_of(objective, embedding, config)["total"].backward()  # type: ignore[no-untyped-call]
    assert {name for name, _ in objective.named_parameters()} == {f"classifiers.{n}.weight" for n in ("g", "td", "lr")}
    for name, parameter in objective.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.ne(0).all(), name
    assert embedding.grad is not None
    assert embedding.grad.ne(0).any(dim=0).all()
