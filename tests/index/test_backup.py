import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import index.backup
import index.restore
from index.embedded.opening import open_gallery
from tests.index.embedded.stored_gallery import RECORDS, image_path, stored_values, tree, write_gallery
from tests.index.records import DIM, MODEL

LONE = RECORDS[8]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_gallery(tmp_path / "data")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["index.backup", "--quiet", *map(str, arguments)])
    return index.backup.main()


def result(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return parsed


def test_while_a_service_has_it_open(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "backup"
    with closing(open_gallery(folder, MODEL, DIM)):
        assert run(monkeypatch, "--data-dir", folder, "--out", out) == 0
        assert "16 records and 15 images of" in capsys.readouterr().out
        assert run(monkeypatch, "--data-dir", folder, "--out", out, "--check", "--prune", "--json") == 0
    found = result(capsys)
    assert (found["records"], found["images"], found["copied"], found["kept"]) == (16, 15, 0, 15)
    assert found["damaged_records"] == found["lost_images"] == []


def test_what_is_damaged_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image_path(folder, LONE.content).write_bytes(b"damaged")
    assert run(monkeypatch, "--data-dir", folder, "--out", tmp_path / "backup", "--json") == 1
    found = result(capsys)
    assert found["images"] == 14
    assert [one["content"] for one in found["lost_images"]] == [LONE.content]
    assert run(monkeypatch, "--data-dir", folder, "--out", tmp_path / "backup") == 1
    assert f"not backed up whole: the image {LONE.content} is damaged" in capsys.readouterr().out


@pytest.mark.parametrize(("data_dir", "out"), [("absent", "new"), ("data", "data"), ("data", "mine"), ("data", "")])
def test_wrong_arguments(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_dir: str, out: str
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    before = tree(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        run(monkeypatch, "--data-dir", tmp_path / data_dir, "--out", tmp_path / out if out else "")
    assert exit_.value.code == 2
    assert tree(tmp_path) == before


def test_the_gallery_is_what_it_was(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "--data-dir", folder, "--out", tmp_path / "backup") == 0
    arguments = ["--backup", tmp_path / "backup", "--data-dir", tmp_path / "new"]
    monkeypatch.setattr(sys, "argv", ["index.restore", "--quiet", *map(str, arguments)])
    assert index.restore.main() == 0
    assert stored_values(tmp_path / "new") == stored_values(folder)
