import json
import sys
from pathlib import Path

import pytest

from model.checkpoint import load_checkpoint, read_card
from training.halve import main


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["training.halve", *map(str, arguments)])
    return main()


def test_it_writes_the_form_that_ships(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "sanet.safetensors"
    assert command(monkeypatch, "--checkpoint", small_checkpoint, "--out", out, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    card = load_checkpoint(out).card
    assert result == {"checkpoint": str(out), "fingerprint": card.fingerprint, "size_bytes": out.stat().st_size}
    assert card.training["halved_from"] == read_card(small_checkpoint).fingerprint
    assert out.stat().st_size < 0.51 * small_checkpoint.stat().st_size


def test_it_overwrites_nothing(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = small_checkpoint.read_bytes()
    assert command(monkeypatch, "--checkpoint", small_checkpoint, "--out", small_checkpoint) == 1
    expected = f"training.halve: {small_checkpoint} is there already: remove it, or choose another --out\n"
    assert capsys.readouterr().err == expected
    assert small_checkpoint.read_bytes() == before


def test_what_is_no_checkpoint_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "--checkpoint", tmp_path / "none", "--out", tmp_path / "out") == 1
    assert capsys.readouterr().err == f"training.halve: there is no checkpoint at {tmp_path / 'none'}\n"
    assert not list(tmp_path.iterdir())
    with pytest.raises(SystemExit) as raised:
        command(monkeypatch, "--out", tmp_path / "out")
    assert raised.value.code == 2
