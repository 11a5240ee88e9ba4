import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.live_service import LiveService
from service.__main__ import main
from service.healthcheck import main as healthcheck
from tests.conftest import png


def test_a_signal_ends_it_in_order(small_checkpoint: Path, tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with LiveService(small_checkpoint, tmp_path / "data") as service:
            service.client.post("/gallery", files={"images": png(1)})
            assert service.end(number) == 0
            assert "Traceback" not in service.log()


def test_a_port_in_use_is_exit_code_1(small_checkpoint: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        service = LiveService(small_checkpoint, tmp_path / "data", port=str(taken.getsockname()[1]))
        with pytest.raises(RuntimeError, match="address already in use"):
            service.start()
        assert service.exit_code == 1
        service.client.close()


@pytest.fixture
def _same_signals() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


HEADER = "path,identity,camera,role,split\n"
BOTH = "a.png,1,,query,\nb.png,1,,gallery,\n"
SAME_CAMERA = '{"format": "sanet-protocol-1", "dataset": "ours", "camera_rule": "same_camera"}'


@pytest.mark.parametrize(
    ("manifest", "sidecar", "said"),
    [
        (None, None, "there is no manifest at {path}"),
        ("name;identity\na;1\n", None, "{path} is no manifest: expected a CSV whose first line names"),
        ("path,path,identity\na,a,1\n", None, "{path} is no manifest: expected a CSV whose first line names"),
        ("", None, "{path} is no manifest: expected a CSV whose first line names"),
        (HEADER, None, "the manifest {path} has no line below its header"),
        (HEADER + "a.png,1,,query\n", None, "{path}, line 2: it has not as many fields as the header"),
        (HEADER + "a.png,1,,sought,\n", None, "{path}, line 2: role must be one of"),
        (HEADER + "\xff", None, "{path}, line 2: it is no CSV in UTF-8"),
        (HEADER + "b.png,1,,gallery,\nc.png,2,,gallery,\n", None, "no line of the manifest has the role query"),
        (HEADER + "a.png,1,,query,\nc.png,2,,gallery,\n", None, "no query has a true match in the gallery"),
        (HEADER + "a.png,1,,query,a\nb.png,1,,query,b\n", None, "there are queries in the splits a, b"),
        (HEADER + BOTH, SAME_CAMERA, "2 of 2 images of ours have no camera"),
        (HEADER + BOTH, "{", "manifest.json is not JSON"),
        (HEADER + BOTH, '{"format": "sanet-protocol-1", "rule": 1}', "manifest.json is no protocol"),
    ],
)
@pytest.mark.usefixtures("_same_signals")
def test_a_heldout_set_that_cannot_be_used_stops_the_start_with_one_line(
    small_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    manifest: str | None,
    sidecar: str | None,
    said: str,
) -> None:
    path = tmp_path / "manifest.csv"
    if manifest is not None:
        path.write_text(manifest, "latin-1")
    if sidecar is not None:
        path.with_suffix(".json").write_text(sidecar)
    no_folder = tmp_path / "data"
    no_folder.touch()  # if the manifest were accepted, this would stop the start, with another line
    monkeypatch.setenv("SANET_CHECKPOINT", str(small_checkpoint))
    monkeypatch.setenv("SANET_DATA_DIR", str(no_folder))
    monkeypatch.setenv("SANET_HELDOUT", str(path))
    monkeypatch.setenv("SANET_PORT", "0")
    monkeypatch.setattr(sys, "argv", ["service"])

    assert main() == 1

    error = capsys.readouterr().err
    assert error.startswith("service: ")
    assert said.format(path=path) in error
    assert error.count("\n") == 1


def test_a_missing_heldout_set_is_exit_code_1(small_checkpoint: Path, tmp_path: Path) -> None:
    service = LiveService(small_checkpoint, tmp_path / "data", heldout=str(tmp_path / "none.csv"))
    with pytest.raises(RuntimeError):
        service.start()
    assert service.exit_code == 1
    assert service.log().splitlines()[-1] == f"service: there is no manifest at {tmp_path}/none.csv"
    assert "Traceback" not in service.log()
    service.client.close()


LOADING = """
import sys, time
from service.engine import Engine
def slow(settings, instruments):
    print("loading", flush=True)
    {loading}
Engine.open = slow
from service.__main__ import main
sys.argv = ["service"]
sys.exit(main())
"""


def loading_service(small_checkpoint: Path, tmp_path: Path, loading: str) -> subprocess.Popen[str]:
    """A service whose engine is being opened."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SANET_")}
    settings = {"SANET_CHECKPOINT": small_checkpoint, "SANET_DATA_DIR": tmp_path / "data", "SANET_PORT": "0"}
    environment |= {name: str(value) for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-c", LOADING.format(loading=loading)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "loading\n"
    return process


def run(code: str, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A process of Python that ends by itself."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, timeout=60, check=False)


# Were it waited for, these would take far longer than a test may.
SLEEPS = "time.sleep(1000)"
COMPUTES = "import torch\n    while True: torch.ones(300, 300) @ torch.ones(300, 300)"


@pytest.mark.parametrize(
    ("loading", "numbers"),
    [
        (SLEEPS, [signal.SIGINT]),
        (SLEEPS, [signal.SIGHUP]),
        (COMPUTES, [signal.SIGTERM]),
        (COMPUTES, [signal.SIGTERM, signal.SIGINT, signal.SIGINT]),
    ],
)
def test_a_signal_ends_it_while_it_loads(
    small_checkpoint: Path, tmp_path: Path, loading: str, numbers: list[signal.Signals]
) -> None:
    process = loading_service(small_checkpoint, tmp_path, loading)
    for number in numbers:
        process.send_signal(number)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in log


def test_a_port_in_use_ends_it_while_it_loads(small_checkpoint: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code = LOADING.format(loading=SLEEPS)
        settings = {
            "SANET_CHECKPOINT": str(small_checkpoint),
            "SANET_DATA_DIR": str(tmp_path),
            "SANET_PORT": str(taken.getsockname()[1]),
        }
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert "address already in use" in done.stderr
    port = settings["SANET_PORT"]
    assert f"service: it cannot listen on SANET_HOST=127.0.0.1 SANET_PORT={port}: " in done.stderr


def test_a_signal_ends_it_before_it_loads(small_checkpoint: Path, tmp_path: Path) -> None:
    # From its first line on: the imports that follow take seconds.
    code = """
import os, signal, sys
class Sends:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGTERM)
sys.meta_path.insert(0, Sends())
sys.argv = ["service"]
from service.__main__ import main
sys.exit(main())
"""
    settings = {"SANET_CHECKPOINT": str(small_checkpoint), "SANET_DATA_DIR": str(tmp_path), "SANET_PORT": "0"}
    for module in ("service.settings", "torch"):
        done = run(code.format(module=module), settings)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_network_that_does_not_run_is_exit_code_1_and_one_line(small_checkpoint: Path, tmp_path: Path) -> None:
    code = """
import sys
from model.embedder import Embedder
def fails(self, images):
    raise RuntimeError("CUDA error: no device\\nadvice")
Embedder.embed_prepared = fails
sys.argv = ["service"]
from service.__main__ import main
sys.exit(main())
"""
    settings = {"SANET_CHECKPOINT": str(small_checkpoint), "SANET_DATA_DIR": str(tmp_path), "SANET_PORT": "0"}
    done = run(code, settings | {"SANET_DEVICE": "cpu"})
    assert done.returncode == 1
    said = "service: the network does not run on cpu in float32: CUDA error: no device"
    assert done.stderr.splitlines()[-1] == said
    assert "Traceback" not in done.stderr


def test_the_health_check_asks_this_service(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with LiveService(small_checkpoint, tmp_path / "data") as service:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # which nobody asks
        monkeypatch.setenv("SANET_PORT", str(service.client.base_url.port))
        for host in ("", "127.0.0.1", "0.0.0.0"):
            monkeypatch.setenv("SANET_HOST", host)
            assert healthcheck() == 0
    assert healthcheck() == 1
    monkeypatch.setenv("SANET_PORT", "high")
    assert healthcheck() == 1
    assert "SANET_PORT='high'" in capsys.readouterr().err
