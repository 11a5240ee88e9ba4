import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from index.gallery.gallery import Gallery
from service.access.key import Secret
from service.log_format import JsonFormat, TextFormat, log_format
from tests.service.conftest import enrol

# Each ends a line for some reader, or makes a terminal show something else than what is there.
FORGED = "a\n2026-01-01 00:00:00,000 INFO service: forged\r\x1b[2K\x85\u2028\u202eb\x00"


def record(message: str, *arguments: object, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("service.test", logging.WARNING, "", 0, message, arguments, None)
    vars(made).update(more)
    return made


def raised(message: str) -> Any:
    try:
        raise RuntimeError(message)
    except RuntimeError:
        return sys.exc_info()


def test_a_text_line_stays_one_line_whatever_is_in_it() -> None:
    line = TextFormat().format(record("%s failed", FORGED))
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    assert r"WARNING service.test: a\n2026-01-01" in line
    assert TextFormat().format(record("Zoë's\tvan 車")).endswith("service.test: Zoë's\tvan 車")


def test_no_line_of_a_traceback_looks_like_a_line_of_its_own() -> None:
    first, *others = TextFormat().format(record("failed", exc_info=raised(FORGED))).splitlines()
    assert first.endswith("WARNING service.test: failed")
    assert others[0] == "  Traceback (most recent call last):"
    assert all(line.startswith("  ") and line.isprintable() for line in others)
    assert any("forged" in line for line in others)


def test_a_json_line_has_what_is_known_and_stays_one_line() -> None:
    secret = Secret.make()
    text = JsonFormat().format(record("%s with %s", FORGED, secret, exc_info=raised(FORGED), fields={"ms": 1.5}))
    assert len(text.splitlines()) == 1
    assert text.isascii()
    line = json.loads(text)
    assert line.keys() == {"time", "level", "logger", "message", "ms", "exception"}
    assert (line["level"], line["logger"], line["ms"]) == ("WARNING", "service.test", 1.5)
    assert line["message"] == f"{FORGED} with sanet_{secret.id}_***"
    assert line["exception"].endswith(f"RuntimeError: {FORGED}")
    assert line["time"].endswith("Z")


def test_the_setting_names_the_format() -> None:
    assert isinstance(log_format("text"), TextFormat)
    assert isinstance(log_format("json"), JsonFormat)


class Lines(logging.Handler):
    """Collects what is logged, as JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormat())
        self.lines: list[dict[str, Any]] = []

    def emit(self, made: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(made)))


def test_what_a_request_logs_in_a_thread_names_it(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading, writing and decoding run in threads of their own."""
    logger, lines = logging.getLogger("service.test_of_threads"), Lines()
    logger.addHandler(lines)
    for name in ("get", "known", "enrol", "delete"):
        call = getattr(Gallery, name)

        def logged(*arguments: Any, name: str = name, call: Any = call) -> Any:
            logger.warning("%s", name)
            return call(*arguments)

        monkeypatch.setattr(Gallery, name, logged)
    client.headers["X-Request-Id"] = "first"
    id_ = enrol(client, 1)["results"][0]["id"]
    client.headers["X-Request-Id"] = "second"
    client.get(f"/gallery/{id_}")
    client.delete(f"/gallery/{id_}")
    logger.removeHandler(lines)
    assert [(line["message"], line["request_id"]) for line in lines.lines] == [
        ("known", "first"),
        ("enrol", "first"),
        ("get", "second"),
        ("delete", "second"),
    ]


def test_a_start_that_fails_says_so_in_the_format_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"CHECKPOINT": str(tmp_path / "none\nb"), "DATA_DIR": str(tmp_path), "PORT": "0", "LOG_FORMAT": "json"}
    for name, value in settings.items():
        monkeypatch.setenv(f"SANET_{name}", value)
    done = subprocess.run([sys.executable, "-m", "service"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert lines[-1]["message"] == f"there is no checkpoint at {tmp_path}/none\nb"
    assert lines[-1]["level"] == "ERROR"
