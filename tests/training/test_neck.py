from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model.build import Network, build_network
from model.config import BaselineConfig, SANetConfig
from model.preprocessing import Preprocessing
from model.sanet import SANet
from training.neck import Necks, fold_necks

SIDE = 32


def network_of(num_parts: int, **options: Any) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(num_parts)
        return build_network(SANetConfig("efficientnet_lite0", num_parts=num_parts, **options), Preprocessing(SIDE))


def branches_of(network: Network, seed: int = 0) -> list[Tensor]:
    """Of a batch, without gradients."""
    images = torch.randn(6, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return network.branch_features(images)[0]


def taught(network: Network) -> Necks:
    """Necks whose statistics are those of what the network puts out."""
    assert isinstance(network, SANet)
    necks = Necks(network.config)
    for seed in range(3):
        necks([3 * branch + 1 for branch in branches_of(network.eval(), seed)])
    return necks


def test_a_neck_is_the_normalisation_by_hand() -> None:
    necks = Necks(SANetConfig(num_parts=1))
    rng = np.random.default_rng(0)
    batches = [[rng.normal(2, 3, (5, 512)).astype(np.float32) for _ in range(3)] for _ in range(4)]
    mean, variance = np.zeros((3, 512)), np.ones((3, 512))
    for batch in batches:
        found = necks([torch.from_numpy(branch) for branch in batch])
        for number, (branch, normalised) in enumerate(zip(batch, found, strict=True)):
            by_hand = (branch - branch.mean(axis=0)) / np.sqrt(branch.var(axis=0) + 1e-5)
            np.testing.assert_allclose(normalised.numpy(), by_hand, rtol=1e-3, atol=1e-4)
            mean[number] = 0.9 * mean[number] + 0.1 * branch.mean(axis=0)
            variance[number] = 0.9 * variance[number] + 0.1 * branch.var(axis=0, ddof=1)
    found = necks.eval()([torch.from_numpy(branch) for branch in batches[0]])
    for number, normalised in enumerate(found):
        by_hand = (batches[0][number] - mean[number]) / np.sqrt(variance[number] + 1e-5)
        np.testing.assert_allclose(normalised.numpy(), by_hand, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("num_parts", "widths"), [(0, [512]), (2, [512, 1024, 1024]), (4, [512, 2048, 2048])])
def test_there_is_one_for_each_branch_and_none_has_weights(num_parts: int, widths: list[int]) -> None:
    necks = Necks(SANetConfig(num_parts=num_parts))
    found = [norm.num_features for norm in necks.norms if isinstance(norm, nn.BatchNorm1d)]
    assert found == widths
    assert list(necks.parameters()) == []


@pytest.mark.parametrize(
    ("num_parts", "options"),
    [
        (0, {}),
        (2, {}),
        (4, {}),
        (2, {"transform": "rotation", "aligned": "input"}),
        (1, {"transform": "none", "unit_length": True}),
    ],
)
def test_a_folded_network_is_the_network_and_its_necks(num_parts: int, options: dict[str, Any]) -> None:
    network = network_of(num_parts, **options)
    necks = taught(network).eval()
    folded = fold_necks(network, necks)
    expected, found = necks(branches_of(network, seed=9)), branches_of(folded, seed=9)
    assert len(found) == (3 if num_parts else 1)
    for branch, by_necks, unfolded in zip(found, expected, branches_of(network, seed=9), strict=True):
        torch.testing.assert_close(branch, by_necks, rtol=1e-3, atol=1e-3)
        assert (branch - unfolded).abs().max() > 0.1


def test_folding_is_of_a_copy_in_evaluation_mode() -> None:
    network = network_of(2)
    necks = taught(network)
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    folded = fold_necks(network, necks)
    assert network.training
    assert not any(module.training for module in folded.modules())
    with torch.no_grad():
        for tensor in folded.state_dict().values():
            tensor.fill_(7)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_folding_changes_the_reductions_alone() -> None:
    network = network_of(2)
    folded = fold_necks(network, taught(network)).state_dict()
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, folded[name])}
    assert changed == {name for name in folded if "reduction" in name}
    assert len(changed) == 2 * 5


def test_without_necks_it_is_only_a_copy() -> None:
    for network in (network_of(2), build_network(BaselineConfig("efficientnet_lite0"), Preprocessing(SIDE))):
        copied = fold_necks(network.train(), None)
        assert copied is not network
        assert not copied.training
        assert all(torch.equal(tensor, copied.state_dict()[name]) for name, tensor in network.state_dict().items())


def test_a_baseline_has_nothing_to_fold_into() -> None:
    baseline = build_network(BaselineConfig("efficientnet_lite0"), Preprocessing(SIDE))
    with pytest.raises(TypeError, match="only SANet has reductions"):
        fold_necks(baseline, Necks(SANetConfig(num_parts=0)))
