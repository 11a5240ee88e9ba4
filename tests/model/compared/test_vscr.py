import numpy as np
import pytest
import torch

from model.compared.vscr import VSCR, coarsened
from model.config import VSCRConfig
from tests.model.compared.maps import Array, array, images_of, linear, network_of


def naive_coarse(image: Array) -> Array:
    """One channel (H, W): means of two by two pixels, and between their centres what lies between."""
    height, width = image.shape
    means = image.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
    coarse = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            y, x = (row + 0.5) / 2 - 0.5, (column + 0.5) / 2 - 0.5
            y, x = min(max(y, 0), len(means) - 1), min(max(x, 0), means.shape[1] - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, len(means) - 1), min(left + 1, means.shape[1] - 1)
            upper = means[top, left] + (x - left) * (means[top, right] - means[top, left])
            lower = means[bottom, left] + (x - left) * (means[bottom, right] - means[bottom, left])
            coarse[row, column] = upper + (y - top) * (lower - upper)
    return coarse


def test_the_second_scale_is_the_image_at_half_its_resolution() -> None:
    images = images_of(2, 16)
    expected = np.stack([[naive_coarse(channel) for channel in image] for image in array(images)])
    np.testing.assert_allclose(array(coarsened(images)), expected, atol=1e-12)


@pytest.mark.parametrize("is_training", [False, True])
def test_it_is_the_reduced_last_map_and_in_training_that_of_both_scales(is_training: bool) -> None:
    network = network_of(VSCRConfig("resnet18"))
    assert isinstance(network, VSCR)
    images = images_of(2)
    # The network is in training mode, but its BatchNorm is not: its statistics stay those that the oracle uses.
    network.training = is_training
    with torch.no_grad():
        normalized = network.normalization(images)
        branches, theta = network.branch_features(normalized)
        output = network(images)
        scales = [normalized, coarsened(normalized)] if is_training else [normalized]
        maps = [array(network.layer4(network.trunk(scale))) for scale in scales]
    assert theta is None
    assert len(branches) == len(scales)
    for branch, of_scale in zip(branches, maps, strict=True):
        expected = [linear(network.reduction, one.mean(axis=(1, 2))) for one in of_scale]
        np.testing.assert_allclose(array(branch), expected, rtol=1e-8, atol=1e-10)
    # The embedding is that of the full scale, in either mode.
    assert torch.equal(output.embedding, branches[0])
    assert output.embedding.shape == (2, network.config.embedding_dim) == (2, 512)
    assert torch.equal(output.theta, torch.eye(2, 3).expand(2, 2, 3))
