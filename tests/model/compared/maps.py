"""What the compared networks' tests share: a network, its maps, and layers as one would write them down."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.build import Network, build_network
from model.config import NetworkConfig

Array = NDArray[np.float64]


def network_of(config: NetworkConfig) -> Network:
    """In evaluation mode, with seeded weights, computing in float64."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        return build_network(config).double().eval()


def images_of(num: int = 3, side: int = 64) -> Tensor:
    """(N, 3, S, S) float64 in [0, 1]."""
    return torch.rand(num, 3, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def array(tensor: Tensor) -> Array:
    numbers: Array = tensor.detach().double().numpy()
    return numbers


def linear(layer: nn.Module, x: Array) -> Array:
    """A linear layer's, or a 1 x 1 convolution's, answer to one vector (C,)."""
    weight, bias = (array(layer.get_parameter(name)) for name in ("weight", "bias"))
    weight = weight.reshape(len(weight), -1)
    return np.array([sum(w * value for w, value in zip(row, x, strict=True)) for row in weight]) + bias


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def spatial_weights(attention: nn.Module, feature_map: Array) -> Array:
    """The weight of each cell of a map (C, H, W): (H, W)."""
    _, height, width = feature_map.shape
    weights = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            hidden = relu(linear(attention.get_submodule("hidden"), feature_map[:, row, column]))
            weights[row, column] = sigmoid(linear(attention.get_submodule("weight"), hidden))[0]
    return weights
