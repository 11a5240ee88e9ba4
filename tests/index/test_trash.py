import json
import sys
from contextlib import closing
from pathlib import Path

import pytest

from index.embedded.opening import open_gallery
from index.trash import main
from tests.index.records import DIM, MODEL, enrolment, image, record


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["index.trash", *map(str, arguments)])
    return main()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    with closing(open_gallery(tmp_path, MODEL, DIM)) as gallery:
        gallery.enrol([enrolment(1), enrolment(2)])
        gallery.delete(record(1).id)
    return tmp_path


def trashed(data_dir: Path) -> list[str]:
    return [path.name for path in (data_dir / "trash").rglob("*") if path.is_file()]


def test_what_is_new_stays_and_what_is_old_goes(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trashed(data_dir) == [record(1).content]
    assert run(monkeypatch, "--data-dir", data_dir, "--older-than-days", 1) == 0
    assert trashed(data_dir) == [record(1).content]
    assert run(monkeypatch, "--data-dir", data_dir, "--older-than-days", 0, "--json") == 0
    assert trashed(data_dir) == []
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"removed": 1}
    with closing(open_gallery(data_dir, MODEL, DIM)) as gallery:
        assert gallery.image(gallery.get(record(2).id)) == image(2)


def test_a_gallery_in_use_is_left_alone(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(open_gallery(data_dir, MODEL, DIM)):
        assert run(monkeypatch, "--data-dir", data_dir, "--older-than-days", 0) == 1
    assert "another process has the gallery" in capsys.readouterr().err
    assert trashed(data_dir)


@pytest.mark.parametrize("days", ["-1", "1_0", "soon", ""])
def test_wrong_days_are_refused(data_dir: Path, monkeypatch: pytest.MonkeyPatch, days: str) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, "--data-dir", data_dir, f"--older-than-days={days}")
    assert trashed(data_dir)


def test_no_gallery_is_made_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, "--data-dir", tmp_path, "--older-than-days", 0)
    assert not list(tmp_path.iterdir())
