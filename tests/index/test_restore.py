import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from index.embedded.backup.backing_up import back_up
from index.embedded.opening import open_gallery
from index.restore import main
from tests.index.embedded.stored_gallery import RECORDS, image_path, stored_values, tree, write_gallery
from tests.index.records import DIM, MODEL, values

ALL = {one.id: values(one) for one in RECORDS}


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    out = tmp_path / "backup"
    folder = write_gallery(tmp_path / "data")
    back_up(folder, out, check=False, prune=False, progress=lambda *_: None, stop_asked=lambda: False)
    return out


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["index.restore", "--quiet", *map(str, arguments)])
    return main()


def result(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return parsed


def test_a_new_gallery_beside_a_running_one(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(open_gallery(tmp_path / "data", MODEL, DIM)):
        assert run(monkeypatch, "--backup", backup, "--data-dir", tmp_path / "new", "--json") == 0
    found = result(capsys)
    assert (found["records"], found["images"], found["lost_images"]) == (16, 15, [])
    assert stored_values(tmp_path / "new") == ALL
    with closing(open_gallery(tmp_path / "new", MODEL, DIM)) as gallery:
        assert gallery.num_searchable == 15
    before = tree(tmp_path / "new")
    assert run(monkeypatch, "--backup", backup, "--data-dir", tmp_path / "new") == 1
    assert "there is a gallery in" in capsys.readouterr().err
    assert tree(tmp_path / "new") == before


def test_a_damaged_image(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = RECORDS[8].content
    image_path(backup, content).write_bytes(b"damaged")
    assert run(monkeypatch, "--backup", backup, "--data-dir", tmp_path / "new") == 1
    assert "1 images of the backup are damaged or missing" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert run(monkeypatch, "--backup", backup, "--data-dir", tmp_path / "new", "--partial") == 1
    assert f"not restored: the image {content}" in capsys.readouterr().out
    assert stored_values(tmp_path / "new") == ALL


def test_a_damaged_backup_is_an_error_and_none_is_a_wrong_argument(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (backup / "backup.json").write_text("{}")
    assert run(monkeypatch, "--backup", backup, "--data-dir", tmp_path / "new") == 1
    assert "use an older backup" in capsys.readouterr().err
    for folder in (tmp_path, tmp_path / "absent", tmp_path / "data"):
        with pytest.raises(SystemExit) as exit_:
            run(monkeypatch, "--backup", folder, "--data-dir", tmp_path / "new")
        assert exit_.value.code == 2
    assert not (tmp_path / "new").exists()
