import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from model.baseline import Baseline
from model.build import build_network, build_normalization
from model.checkpoint import Checkpoint, ModelCard, load_checkpoint, read_card
from model.config import BaselineConfig, SANetConfig
from model.embedder import Embedder, pick_device
from model.embeddings import EmbeddingError, Embeddings
from model.preprocessing import Preprocessing
from model.sanet import SANet
from tests.conftest import picture

SIZES = [(60, 40), (64, 64), (33, 90), (200, 150), (8, 8)]
CROPS = [picture(seed, *size) for seed, size in enumerate(SIZES)]


@pytest.fixture(scope="module")
def embedder(small_checkpoint: Path) -> Embedder:
    return Embedder(load_checkpoint(small_checkpoint))


def assert_same_images(found: Embeddings, expected: Embeddings) -> None:
    """The same images by the same weights; kernels that sum in another order differ by about 1e-6 of the length.

    Bits are not promised: where tensors lie in memory may choose the kernel.
    """
    error = np.linalg.norm(found.embedding - expected.embedding, axis=1)
    assert (error <= 1e-4 * np.linalg.norm(expected.embedding, axis=1)).all()
    np.testing.assert_allclose(found.theta, expected.theta, atol=1e-5)


def test_crops_of_any_size_keep_their_order_in_every_batch(embedder: Embedder) -> None:
    single = [embedder.embed([crop]) for crop in CROPS]
    together = [embedder.embed(CROPS, batch_size) for batch_size in (1, 2, 5, 16)]
    for embeddings in together:
        assert embeddings.embedding.shape == (5, 2560) == (5, embedder.embedding_dim)
        assert embeddings.theta.shape == (5, 2, 3)
        assert embeddings.embedding.dtype == embeddings.theta.dtype == np.float32
        for i, alone in enumerate(single):
            np.testing.assert_allclose(embeddings.embedding[i], alone.embedding[0], rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(embeddings.theta[i], alone.theta[0], atol=1e-5)
    stacked = np.concatenate([alone.embedding for alone in single])
    distances = np.linalg.norm(stacked[:, None] - stacked, axis=2)
    assert distances[~np.eye(5, dtype=bool)].min() > 0.1  # the crops differ, so their order was seen


def test_no_crops_have_no_embeddings(embedder: Embedder) -> None:
    embeddings = embedder.embed([])
    assert embeddings.embedding.shape == (0, 2560)
    assert embeddings.theta.shape == (0, 2, 3)
    assert embeddings.embedding.dtype == embeddings.theta.dtype == np.float32


def by_hand(crop: NDArray[np.uint8], preprocessing: Preprocessing) -> torch.Tensor:
    side = (preprocessing.size_px, preprocessing.size_px)
    pixels = np.asarray(Image.fromarray(crop).resize(side, Image.Resampling.BILINEAR), np.float64) / 255
    normalized = (pixels - np.array(preprocessing.mean)) / np.array(preprocessing.std)
    return torch.from_numpy(normalized.transpose(2, 0, 1).astype(np.float32))[None]


def test_a_crop_is_resized_and_normalised_exactly_once(small_checkpoint: Path) -> None:
    card = read_card(small_checkpoint)
    preprocessing = Preprocessing(96, (0.1, 0.5, 0.9), (0.5, 0.25, 0.125))
    network = Baseline(BaselineConfig("resnet18"), build_normalization(preprocessing)).eval()
    card = dataclasses.replace(card, config=network.config, preprocessing=preprocessing)
    embeddings = Embedder(Checkpoint(network, card)).embed(CROPS)
    for crop, embedding in zip(CROPS, embeddings.embedding, strict=True):
        with torch.no_grad():
            expected = network.layer4(network.trunk(by_hand(crop, preprocessing)))[0].mean(dim=(1, 2))
        np.testing.assert_allclose(embedding, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_theta_is_the_networks(embedder: Embedder, small_network: SANet) -> None:
    thetas = embedder.embed(CROPS).theta
    assert small_network.alignment is not None
    for crop, theta in zip(CROPS, thetas, strict=True):
        with torch.no_grad():
            features = small_network.trunk(by_hand(crop, embedder.card.preprocessing))
            expected = small_network.alignment(features)[1][0]
        np.testing.assert_allclose(theta, expected, atol=1e-4)
    assert np.abs(thetas - np.eye(2, 3)).max() > 0.02


def test_prepared_images_are_embedded_as_they_are(embedder: Embedder) -> None:
    prepared = np.stack([embedder.card.preprocessing(crop) for crop in CROPS])
    assert_same_images(embedder.embed_prepared(prepared), embedder.embed(CROPS))


def test_bf16_is_close_to_float32_and_another_path(embedder: Embedder, small_checkpoint: Path) -> None:
    exact = embedder.embed(CROPS)
    coarse = Embedder(load_checkpoint(small_checkpoint), precision="bf16").embed(CROPS)
    assert coarse.embedding.dtype == coarse.theta.dtype == np.float32
    assert not np.array_equal(coarse.embedding, exact.embedding)
    error = np.linalg.norm(coarse.embedding - exact.embedding, axis=1)
    assert (error < 0.05 * np.linalg.norm(exact.embedding, axis=1)).all()
    np.testing.assert_allclose(coarse.theta, exact.theta, atol=0.02)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_an_embedding_that_is_not_finite_is_an_error(broken: float, small_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(small_checkpoint)
    bias = checkpoint.network.get_parameter("global_branch.reduction.bias")
    with torch.no_grad():
        bias[3] = broken
    with pytest.raises(EmbeddingError, match="not finite"):
        Embedder(checkpoint).embed(CROPS[:1])


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("out of memory"), RuntimeError("an illegal memory access"), MemoryError(), ValueError("x")],
)
def test_what_the_device_raises_is_no_embedding_error(
    error: Exception, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    embedder = Embedder(load_checkpoint(small_checkpoint))
    monkeypatch.setattr("model.torch_runtime.run_network", fail)
    with pytest.raises(type(error)) as raised:
        embedder.embed(CROPS[:1])
    assert raised.value is error
    assert not isinstance(error, EmbeddingError)


def test_a_network_in_training_mode_is_set_to_evaluation(small_checkpoint: Path, embedder: Embedder) -> None:
    checkpoint = load_checkpoint(small_checkpoint)
    checkpoint.network.train()
    assert_same_images(Embedder(checkpoint).embed(CROPS), embedder.embed(CROPS))


@pytest.mark.parametrize(
    ("name", "available", "device"),
    [
        ("auto", True, "cuda"),
        ("auto", False, "cpu"),
        ("cpu", True, "cpu"),
        ("cpu", False, "cpu"),
        ("cuda", True, "cuda"),
        ("cuda:1", True, "cuda:1"),
    ],
)
def test_the_device_is_picked(name: str, available: bool, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert pick_device(name) == device


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=f"the device '{name}' was asked for, and torch finds no GPU"):
        pick_device(name)


def test_a_theta_that_is_not_finite_is_an_error_with_any_padding(small_preprocessing: Preprocessing) -> None:
    config = SANetConfig("resnet18", padding="border")
    network = build_network(config, small_preprocessing).eval()
    assert isinstance(network, SANet)
    assert network.alignment is not None
    last = network.alignment.localization[-1]
    assert isinstance(last, torch.nn.Linear)
    last.bias.data[0] = torch.nan
    card = ModelCard(config, small_preprocessing, "", {"trained": False}, None, None)
    with pytest.raises(EmbeddingError, match="not finite"):
        Embedder(Checkpoint(network, card)).embed(CROPS[:1])


def test_a_read_only_batch_is_embedded(embedder: Embedder) -> None:
    batch = embedder.card.preprocessing(CROPS[0])[None]
    batch.flags.writeable = False
    assert_same_images(embedder.embed_prepared(batch), embedder.embed(CROPS[:1]))


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_needs_an_image(embedder: Embedder, batch_size: int) -> None:
    with pytest.raises(ValueError, match="batch_size must be 1 or more"):
        embedder.embed(CROPS, batch_size)


def test_a_batch_that_pauses_has_the_same_numbers_and_so_has_what_is_embedded_meanwhile(embedder: Embedder) -> None:
    prepared = np.stack([embedder.card.preprocessing(crop) for crop in CROPS])
    expected, expected_first = embedder.embed_prepared(prepared), embedder.embed_prepared(prepared[:1])
    between: list[Embeddings] = []

    def pause() -> None:
        between.append(embedder.embed_prepared(prepared[:1]))  # which pauses nowhere

    with embedder.pausing(pause):
        found = embedder.embed_prepared(prepared)
    num_pauses = len(between)
    assert num_pauses >= 20
    for array, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(array, wanted)
    for embeddings in between:
        for array, wanted in zip(embeddings, expected_first, strict=True):
            np.testing.assert_array_equal(array, wanted)
    embedder.embed_prepared(prepared)
    assert len(between) == num_pauses  # outside the block there is no pause


def test_an_error_in_a_pause_ends_the_batch_and_leaves_no_pauses(embedder: Embedder) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    prepared = np.stack([embedder.card.preprocessing(crop) for crop in CROPS])
    with pytest.raises(ZeroDivisionError), embedder.pausing(fail):
        embedder.embed_prepared(prepared)
    embedder.embed_prepared(prepared)
