"""What several tests need: a small seeded model, pictures, and the real frames where they are."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.build import build_network
from model.checkpoint import save_checkpoint
from model.config import SANetConfig
from model.image import encode_image
from model.preprocessing import Preprocessing
from model.sanet import SANet
from tests.postgres_server import PostgresServer

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--trial", action="store_true", help="run the long campaigns, marked trial, too")


def pytest_configure(config: pytest.Config) -> None:
    # Programs that are started with it ignored, as under nohup, keep it ignored; several tests send it.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # OpenVINO would convert every network of the tests, which takes seconds: those that are about it ask for it.
    os.environ["SANET_RUNTIME"] = "torch"
    config.addinivalue_line("markers", "trial: a long campaign, run by `make trial`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--trial"):
        for item in items:
            if item.get_closest_marker("trial"):
                item.add_marker(pytest.mark.skip(reason="a long campaign: `make trial`"))


@pytest.fixture(scope="session", autouse=True)
def _memory_is_given_back() -> Iterator[None]:
    """The commands make their process keep all memory, which one process of thousands of tests has not got."""
    with pytest.MonkeyPatch.context() as patched:
        for module in ("training.train", "benchmarks.training"):
            patched.setattr(f"{module}.reuse_memory", lambda: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _checkpoints_are_linked() -> Iterator[None]:
    """Each service keeps a copy of its checkpoint; of hundreds of services that would be many gigabytes."""

    def link(source: Path, target: Path) -> None:
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError:  # on another file system
            shutil.copyfile(source, target)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("service.kept_checkpoints._copy", link)
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One for all tests that do not stop it; each has a database of its own."""
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The address of an empty database."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(scope="session")
def small_network() -> SANet:
    """ResNet-18 SANet with seeded weights that turns and shifts what it sees: its theta is not the identity."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(7)
        network = build_network(SANetConfig("resnet18"))
        assert isinstance(network, SANet)
        assert network.alignment is not None
        last = network.alignment.localization[-1]
        assert isinstance(last, torch.nn.Linear)
        torch.nn.init.normal_(last.weight, std=0.05)
    return network.eval()


@pytest.fixture(scope="session")
def small_preprocessing() -> Preprocessing:
    """A quarter of the paper's side: sixteen times as fast."""
    return Preprocessing(size_px=64)


@pytest.fixture(scope="session")
def small_checkpoint(
    small_network: SANet, small_preprocessing: Preprocessing, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_checkpoint(path, small_network, small_preprocessing, {"trained": False, "data": None})
    return path


def picture(seed: int, width: int = 60, height: int = 40) -> NDArray[np.uint8]:
    """A smooth random RGB picture (height, width, 3): neighbours differ little, pictures of two seeds a lot."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, 5, 5)).astype(np.float32))
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
    return smooth[0].permute(1, 2, 0).clamp(0, 255).to(torch.uint8).numpy()


def png(seed: int, width: int = 60, height: int = 40) -> bytes:
    """The picture of a seed as a PNG file."""
    return encode_image(picture(seed, width, height), "PNG")


@pytest.fixture(scope="session")
def uav_frames() -> Path:
    """The folder of the real drone frames; the test is skipped where it is not."""
    folder = SHARED / "uav_frames"
    if not folder.is_dir():
        pytest.skip("the real drone frames are not here")
    return folder


@pytest.fixture(scope="session")
def trunk_weights() -> Path:
    """Real ImageNet weights of ResNet-50's trunk; the test is skipped where they are not."""
    path = SHARED / "weights" / "resnet50_imagenet_conv1_layer1-3.pth"
    if not path.is_file():
        pytest.skip("the trunk's weights are not here")
    return path
