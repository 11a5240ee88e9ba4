import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.aligned_view import aligned_view
from model.config import BaselineConfig, NetworkConfig, Padding, SANetConfig
from model.preprocessing import Preprocessing
from tests.conftest import picture
from tests.model import naive

IDENTITY = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
TWICE = [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
IMAGENET = Preprocessing()
GREY = Preprocessing(mean=(0.2, 0.4, 0.6))
INPUT_ALIGNED = SANetConfig(transform="rotation", aligned="input")


@pytest.mark.parametrize("config", [SANetConfig(), BaselineConfig(), SANetConfig(transform="none")])
def test_the_identity_shows_the_image_and_leaves_it_alone(config: NetworkConfig) -> None:
    image = picture(0, 64, 64)
    image.flags.writeable = False
    view = aligned_view(image, IDENTITY, config, IMAGENET)
    assert view.dtype == np.uint8
    assert np.array_equal(view, image)
    view[:] = 0
    assert image.any()


def expected_view(
    image: NDArray[np.uint8], theta: NDArray[np.float64], padding: str, fill: float
) -> NDArray[np.float64]:
    """Resampled as if `fill` lay around the image, where the padding is zeros."""
    return naive.warp(image.transpose(2, 0, 1).astype(np.float64) - fill, theta, padding).transpose(1, 2, 0) + fill


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_the_view_samples_the_image_as_written_down(padding: Padding) -> None:
    image = picture(1, 32, 32)
    theta = np.eye(2, 3) + np.random.default_rng(2).normal(scale=0.4, size=(2, 3))
    view = aligned_view(image, theta, SANetConfig(padding=padding), Preprocessing(mean=(0.4, 0.4, 0.4)))
    assert np.abs(view - expected_view(image, theta, padding, 102.0)).max() < 0.51  # rounded to the nearest


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def threads_of_process() -> set[str]:
    return {task.name for task in Path("/proc/self/task").iterdir()}


@pytest.mark.usefixtures("two_threads")
def test_it_starts_no_thread() -> None:
    image, theta = picture(4, 256, 256), np.array([[0.8, -0.6, 0.1], [0.6, 0.8, 0.0]])
    started: set[str] = {"one that was never looked for"}

    def draw() -> None:
        nonlocal started
        before = threads_of_process()
        aligned_view(image, theta, SANetConfig(), IMAGENET)
        started = threads_of_process() - before

    # One that has never asked for helpers: those of a thread stay until it ends.
    thread = threading.Thread(target=draw)
    thread.start()
    thread.join()
    assert started == set()


def test_what_comes_in_from_outside_has_the_mean_colour() -> None:
    image = np.full((32, 32, 3), 200, np.uint8)
    for preprocessing, colour in ((GREY, (51, 102, 153)), (IMAGENET, (124, 116, 104))):
        view = aligned_view(image, TWICE, SANetConfig(), preprocessing)
        assert (view[8:24, 8:24] == 200).all()
        assert (view[:7] == colour).all()
        assert (view[:, 25:] == colour).all()
    assert (aligned_view(image, TWICE, SANetConfig(padding="border"), GREY) == 200).all()


@pytest.mark.parametrize(
    ("side", "num_columns", "left"), [(128, 0, 24), (128, 4, 32), (64, 1, 24), (64, 4, 0), (256, 0, 40)]
)
def test_an_aligned_input_shows_the_columns_that_the_trunk_sees(side: int, num_columns: int, left: int) -> None:
    image = picture(3, side, side)
    config = SANetConfig(transform="rotation", aligned="input", num_columns=num_columns)
    view = aligned_view(image, IDENTITY, config, GREY)
    assert view.shape == (side, side, 3)
    assert np.array_equal(view[:, left : side - left], image[:, left : side - left])
    outside = np.concatenate([view[:, :left], view[:, side - left :]], axis=1)
    assert (outside == (51, 102, 153)).all()


def test_a_turned_input_has_no_black_corners() -> None:
    image = np.full((64, 64, 3), (250, 10, 250), np.uint8)
    cos = sin = np.sqrt(0.5)
    view = aligned_view(image, [[cos, -sin, 0], [sin, cos, 0]], INPUT_ALIGNED, GREY)
    assert (view[0, 8:16] == (51, 102, 153)).all()  # a kept column, beyond the turned square's edge
    assert (view[32, 8:56] == (250, 10, 250)).all()
    assert (view[32, :8] == (51, 102, 153)).all()  # within the turned square, and not kept


def test_a_padded_crop_runs_into_what_lies_outside() -> None:
    preprocessing = Preprocessing(128, resize="pad")
    square = preprocessing(np.full((40, 100, 3), 255, np.uint8))
    quarter = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]
    view = aligned_view(square, quarter, INPUT_ALIGNED, preprocessing)
    colours = {tuple(colour) for colour in view.reshape(-1, 3).tolist()}
    assert (124, 116, 104) in colours
    assert (0, 0, 0) not in colours
    assert (view[:, :24] == (124, 116, 104)).all()
    assert (view[20, 40:88] == 255).all()
