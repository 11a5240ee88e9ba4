import numpy as np
import pytest
import torch

from model.build import build_network
from model.config import SANetConfig
from model.cuda_graphs import GraphedNetwork, graph_size
from model.inference_network import inference_network
from model.preprocessing import Preprocessing


@pytest.mark.parametrize(("num_images", "size"), [(1, 1), (2, 2), (3, 4), (16, 16), (17, 32), (64, 64), (65, None)])
def test_a_batch_is_filled_up_to_the_next_graph(num_images: int, size: int | None) -> None:
    assert graph_size(num_images) == size


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("aligned", ["map", "input"])
def test_a_graph_embeds_as_the_network_does(aligned: str) -> None:
    config = SANetConfig("resnet18", aligned=aligned, transform="rotation")  # type: ignore[arg-type]
    device = torch.device("cuda")
    network = inference_network(build_network(config, Preprocessing(size_px=64)), 64, device, "float32")
    graphed = GraphedNetwork(network, device)
    rng = np.random.default_rng(0)
    with torch.inference_mode():
        for num_images in (3, 1, 3, 4, 2, 70, 3):
            images = torch.from_numpy(rng.integers(0, 256, (num_images, 64, 64, 3), np.uint8))
            found = graphed(images.pin_memory())
            expected = network(images.to(device).permute(0, 3, 1, 2))
            torch.testing.assert_close(found.embedding, expected.embedding, rtol=1e-3, atol=1e-4)
            torch.testing.assert_close(found.theta, expected.theta, rtol=1e-3, atol=1e-4)
