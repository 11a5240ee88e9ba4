"""What happens to an image's features while training, so that the network relies on no style and no single channel."""

import torch
from torch import Tensor, nn

from model.build import Network

_STYLED = ("layer1", "stage2")  # of a ResNet's trunk and of EfficientNet-Lite0's: a quarter of the input's side
_EPS = 1e-6


class FeatureAugmentation:
    """MixStyle (Zhou et al. 2021) on the trunk's early maps, and whole channels dropped at its end.

    It hooks into the trunk, and does nothing to a network in evaluation mode.

    Attributes:
        style_share: (N,) how much of another image's style each takes over; None for none.
        channel_scale: (N, C) factors of the trunk's output channels, 0 of those that are dropped; None to drop none.
    """

    def __init__(self, network: Network) -> None:
        self.style_share: Tensor | None = None
        self.channel_scale: Tensor | None = None
        styled = next(module for name, module in network.trunk.named_children() if name in _STYLED)
        styled.register_forward_hook(self._mix_styles)
        network.trunk.register_forward_hook(self._drop_channels)

    def _mix_styles(self, module: nn.Module, _: object, features: Tensor) -> Tensor:
        """A style is each channel's mean and deviation; the other image is half a batch away: another identity."""
        if self.style_share is None or not module.training:
            return features
        mean = features.mean(dim=(2, 3), keepdim=True).detach()
        deviation = (features.var(dim=(2, 3), keepdim=True) + _EPS).sqrt().detach()
        share = self.style_share.to(features.dtype)[:, None, None, None]
        half = len(features) // 2
        mixed_mean = torch.lerp(mean, mean.roll(half, 0), share)
        mixed_deviation = torch.lerp(deviation, deviation.roll(half, 0), share)
        return (features - mean) / deviation * mixed_deviation + mixed_mean

    def _drop_channels(self, module: nn.Module, _: object, features: Tensor) -> Tensor:
        if self.channel_scale is None or not module.training:
            return features
        return features * self.channel_scale.to(features.dtype)[:, :, None, None]
