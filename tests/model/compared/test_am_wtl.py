import numpy as np
import torch

from model.compared.am_wtl import AMWTL
from model.config import AMWTLConfig
from tests.model.compared.maps import array, images_of, linear, network_of, spatial_weights


def test_it_is_its_mask_by_hand() -> None:
    network = network_of(AMWTLConfig("resnet18"))
    assert isinstance(network, AMWTL)
    images = images_of(2)
    with torch.no_grad():
        normalized = network.normalization(images)
        maps = array(network.trunk(normalized))
        masks = [spatial_weights(network.attention, one) for one in maps]
        masked = np.stack([one * mask for one, mask in zip(maps, masks, strict=True)])
        last = array(network.layer4(torch.from_numpy(masked)))
        (features, under_mask), theta = network.branch_features(normalized)
        output = network(images)
    assert theta is None
    for index, mask in enumerate(masks):
        reduced = linear(network.reduction, last[index].mean(axis=(1, 2)))
        np.testing.assert_allclose(array(features)[index], reduced, rtol=1e-8, atol=1e-10)
        average = sum(mask[row, column] * maps[index][:, row, column] for row in range(4) for column in range(4)) / sum(
            mask[row, column] for row in range(4) for column in range(4)
        )
        np.testing.assert_allclose(array(under_mask)[index], average, rtol=1e-8, atol=1e-10)
    # What tells the colour is no part of the embedding.
    assert torch.equal(output.embedding, features)
    assert output.embedding.shape == (2, network.config.embedding_dim) == (2, 512)
    assert torch.equal(output.theta, torch.eye(2, 3).expand(2, 2, 3))


def test_a_mask_of_nothing_gives_finite_features() -> None:
    network = network_of(AMWTLConfig("resnet18"))
    assert isinstance(network, AMWTL)
    torch.nn.init.constant_(network.attention.weight.bias, -1e4)  # type: ignore[arg-type]
    with torch.no_grad():
        (features, under_mask), _ = network.branch_features(images_of(1))
    assert features.isfinite().all()
    assert torch.equal(under_mask, torch.zeros_like(under_mask))
