import numpy as np
import pytest
import torch

from model.compared.spatial_attention import SpatialAttention
from tests.model.compared.maps import array, spatial_weights


@pytest.mark.parametrize("num_channels", [1, 8, 64])
def test_each_cell_is_weighed_by_what_is_in_it(num_channels: int) -> None:
    attention = SpatialAttention(num_channels).double()
    features = torch.randn(2, num_channels, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        weights = array(attention(features))
    expected = [[spatial_weights(attention, one)] for one in array(features)]
    np.testing.assert_allclose(weights, expected, rtol=1e-10)
    assert weights.shape == (2, 1, 3, 5)
    assert (weights > 0).all()
    assert (weights < 1).all()
