import signal
import socket
from pathlib import Path

import pytest

from benchmarks.live_service import LiveService
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
