import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.live_service import LiveService
from service.__main__ import main
from tests.conftest import png


def test_a_signal_ends_it_in_order(small_checkpoint: Path, tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
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
        (HEADER + "\xff", None, "the manifest {path} cannot be read as a CSV in UTF-8"),
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
