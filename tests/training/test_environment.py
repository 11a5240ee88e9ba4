import os
from contextlib import suppress

import pytest

from training.environment import environment


def test_variables_are_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SET", "before")
    monkeypatch.delenv("UNSET", raising=False)
    seen: dict[str, str] = {}
    with suppress(KeyError), environment({"SET": "1", "UNSET": "2"}):
        seen |= {name: os.environ[name] for name in ("SET", "UNSET")}
        raise KeyError
    assert seen == {"SET": "1", "UNSET": "2"}
    assert os.environ["SET"] == "before"
    assert "UNSET" not in os.environ
