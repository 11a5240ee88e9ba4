from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model.build import Network, build_network
from model.config import BaselineConfig, SANetConfig
from model.preprocessing import Preprocessing
from training.feature_augmentation import FeatureAugmentation
from training.neck import fold_necks

SIDE = 32
STYLED = {"resnet18": "layer1", "efficientnet_lite0": "stage2"}


def network_of(backbone: Any, *, parts: bool = False) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        config = SANetConfig(backbone, num_parts=1) if parts else BaselineConfig(backbone)
        return build_network(config, Preprocessing(SIDE))


def images_of(num: int) -> Tensor:
    return torch.randn(num, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


class Watch:
    """Remembers what a module puts out, before and after the hooks that come between two of these."""

    def __init__(self, module: nn.Module) -> None:
        self.found: list[Tensor] = []
        module.register_forward_hook(lambda _, __, output: self.found.append(output.detach().clone()))


def naive_mix(features: np.ndarray[Any, Any], shares: list[float]) -> np.ndarray[Any, Any]:
    """Channel by channel: to the mean and deviation of the image half a batch before, as far as the share says."""
    num, half = len(features), len(features) // 2
    mixed = np.empty_like(features)
    for n in range(num):
        other = (n - half) % num
        for channel in range(features.shape[1]):
            own, theirs = features[n, channel], features[other, channel]
            deviation, their_deviation = (np.sqrt(x.var(ddof=1) + 1e-6) for x in (own, theirs))
            share = shares[n]
            mean = (1 - share) * own.mean() + share * theirs.mean()
            spread = (1 - share) * deviation + share * their_deviation
            mixed[n, channel] = (own - own.mean()) / deviation * spread + mean
    return mixed


@pytest.mark.parametrize("num", [1, 5, 6])
@pytest.mark.parametrize("backbone", STYLED)
def test_a_style_is_mixed_as_one_does_it_by_hand(backbone: str, num: int) -> None:
    network = network_of(backbone).train()
    styled = network.trunk.get_submodule(STYLED[backbone])
    before = Watch(styled)
    augmentation = FeatureAugmentation(network)
    after = Watch(styled)
    shares = [0.0, 0.5, 1.0, 0.5, 0.0, 0.3][:num]
    augmentation.style_share = torch.tensor(shares)
    network.trunk(images_of(num))
    assert before.found[0].shape[2] == SIDE // 4
    expected = naive_mix(before.found[0].double().numpy(), shares)
    np.testing.assert_allclose(after.found[0].numpy(), expected, rtol=1e-3, atol=1e-4)
    unmixed = [share == 0 or num == 1 for share in shares]
    change = (after.found[0] - before.found[0]).abs().amax(dim=(1, 2, 3))
    assert ((change < 1e-4) == torch.tensor(unmixed)).all()


def test_no_gradient_flows_into_a_style() -> None:
    """It would teach an image through another one."""
    network = network_of("resnet18")
    augmentation = FeatureAugmentation(network)
    augmentation.style_share = torch.tensor([0.5, 0.0, 0.0, 0.0])
    features = torch.randn(4, 64, 3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mixed = augmentation._mix_styles(nn.Identity(), None, features)
    torch.autograd.backward(mixed[0].square().sum())
    assert features.grad is not None
    assert features.grad[0].abs().max() > 0
    assert features.grad[1:].abs().max() == 0


@pytest.mark.parametrize("backbone", STYLED)
def test_channels_of_the_trunks_output_are_dropped(backbone: str) -> None:
    network = network_of(backbone).train()
    before = Watch(network.trunk)
    augmentation = FeatureAugmentation(network)
    after = Watch(network.trunk)
    width = network.config.trunk_width
    scale = torch.from_numpy((np.random.default_rng(0).random((4, width)) < 0.8) / 0.8).float()
    augmentation.channel_scale = scale
    network.trunk(images_of(4))
    expected = before.found[0].numpy() * scale.numpy()[:, :, None, None]
    np.testing.assert_allclose(after.found[0].numpy(), expected, rtol=1e-6)
    assert (after.found[0] == 0).all(dim=(2, 3)).sum() >= (scale == 0).sum()


def test_nothing_happens_where_nothing_is_asked_for_nor_in_evaluation() -> None:
    plain, augmented = network_of("efficientnet_lite0", parts=True), network_of("efficientnet_lite0", parts=True)
    augmentation = FeatureAugmentation(augmented)
    images = images_of(4)
    with torch.no_grad():
        for one, other in zip(plain.branch_features(images)[0], augmented.branch_features(images)[0], strict=True):
            assert torch.equal(one, other)
        augmentation.style_share = torch.full((4,), 0.5)
        augmentation.channel_scale = torch.zeros(4, 112)
        plain.eval(), augmented.eval()
        for one, other in zip(plain.branch_features(images)[0], augmented.branch_features(images)[0], strict=True):
            assert torch.equal(one, other)


def test_a_folded_copy_embeds_any_number_of_images() -> None:
    network = network_of("resnet18", parts=True)
    augmentation = FeatureAugmentation(network)
    augmentation.style_share = torch.full((4,), 0.5)
    augmentation.channel_scale = torch.ones(4, 256)
    copy = fold_necks(network, None)
    with torch.no_grad():
        assert copy(torch.zeros(3, 3, SIDE, SIDE)).embedding.shape == (3, 3 * 512)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_features_keep_their_type(dtype: torch.dtype) -> None:
    network = network_of("resnet18")
    augmentation = FeatureAugmentation(network)
    augmentation.style_share, augmentation.channel_scale = torch.full((4,), 0.5), torch.ones(4, 256)
    features = torch.randn(4, 256, 2, 2).to(dtype)
    assert augmentation._mix_styles(nn.Identity(), None, features).dtype == dtype
    assert augmentation._drop_channels(nn.Identity(), None, features).dtype == dtype
