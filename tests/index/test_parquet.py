import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from index.embedded.gallery_check import check_folder
from index.embedded.opening import open_gallery
from index.gallery.parquet_export import ExportOutcome
from index.parquet import main
from tests.index.embedded.stored_gallery import (
    FRAMES,
    RECORDS,
    image_path,
    stored_values,
    throw_into_trash,
    tree,
    write_gallery,
)
from tests.index.killed_command import kills
from tests.index.records import DIM, MODEL, enrolment, tamper, values

ALL = {one.id: values(one) for one in RECORDS}
LONE = RECORDS[8]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_gallery(tmp_path / "data")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["index.parquet", *map(str, arguments), "--quiet"])
    return main()


def export(monkeypatch: pytest.MonkeyPatch, folder: Path, out: Path, *options: str) -> int:
    return run(monkeypatch, "export", "--data-dir", folder, "--out", out, *options)


def import_(monkeypatch: pytest.MonkeyPatch, source: Path, folder: Path, *options: str) -> int:
    return run(monkeypatch, "import", "--from", source, "--data-dir", folder, *options)


def result(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return parsed


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_there_and_back_nothing_has_changed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], compression: str
) -> None:
    with closing(open_gallery(folder, MODEL, DIM)):
        assert export(monkeypatch, folder, tmp_path / "export", "--compression", compression, "--json") == 0
    exported = result(capsys)
    assert (exported["records"], exported["images"], exported["files"]) == (16, 15, {"records-00000.parquet": 16})
    names = sorted(path.name for path in (tmp_path / "export").iterdir())
    assert names == ["export.json", "images", "records-00000.parquet"]
    assert import_(monkeypatch, tmp_path / "export", tmp_path / "new", "--json") == 0
    assert (imported := result(capsys))["imported"] == 16
    assert imported["duplicates"] == 0
    found = stored_values(tmp_path / "new")
    assert found == ALL
    assert list(found) == [one.id for one in RECORDS]
    checked = check_folder(tmp_path / "new", lambda *_: None, lambda: False)
    assert checked.sound
    assert checked.gallery.num_images == len(FRAMES)
    assert import_(monkeypatch, tmp_path / "export", tmp_path / "new") == 0
    assert "0 imported, 16 there already" in capsys.readouterr().out


def test_into_a_gallery_with_records_of_its_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(monkeypatch, folder, tmp_path / "export") == 0
    with closing(open_gallery(tmp_path / "new", MODEL, DIM)) as gallery:
        gallery.enrol([enrolment(70), enrolment(5, camera="mine")])
        assert import_(monkeypatch, tmp_path / "export", tmp_path / "new") == 1
        assert "another process has the gallery" in capsys.readouterr().err
    assert import_(monkeypatch, tmp_path / "export", tmp_path / "new", "--json") == 0
    found = result(capsys)
    assert (found["imported"], found["duplicates"], found["differing"]) == (15, 1, 1)
    with closing(open_gallery(tmp_path / "new", MODEL, DIM)) as gallery:
        assert gallery.num_searchable == 16
        assert gallery.num_stale == 1
        assert gallery.get(RECORDS[4].id).fields.camera == "mine"


def test_what_is_damaged_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tamper(folder / "gallery.sqlite", "UPDATE record SET camera = 'x' WHERE seq = 9")
    image_path(folder, RECORDS[9].content).write_bytes(b"damaged")
    throw_into_trash(folder, RECORDS[10].content)
    assert export(monkeypatch, folder, tmp_path / "export", "--json") == 1
    found = result(capsys)
    assert found["damaged_records"] == [LONE.id]
    assert [one["content"] for one in found["lost_images"]] == [RECORDS[9].content]
    # Whoever has only the export learns from it what is missing.
    assert ExportOutcome.read(tmp_path / "export").to_dict() == {
        name: value for name, value in found.items() if name != "out"
    }
    assert import_(monkeypatch, tmp_path / "export", tmp_path / "new", "--json") == 1
    found = result(capsys)
    assert (found["imported"], [one["content"] for one in found["lost_images"]]) == (15, [RECORDS[9].content])
    assert stored_values(tmp_path / "new").keys() == ALL.keys() - {LONE.id}


def test_a_folder_that_is_not_empty_or_no_export_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(folder)
    for arguments in (
        ["export", "--data-dir", folder, "--out", folder],
        ["export", "--data-dir", tmp_path / "absent", "--out", tmp_path / "out"],
        ["export", "--data-dir", folder, "--out", tmp_path / "out", "--compression", "best"],
        ["import", "--from", folder, "--data-dir", tmp_path / "new"],
        [],
    ):
        with pytest.raises(SystemExit) as exit_:
            run(monkeypatch, *arguments)
        assert exit_.value.code == 2
    assert tree(folder) == before
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("num_kills", [3, pytest.param(40, marks=pytest.mark.trial)])
def test_an_export_that_is_killed_leaves_none(folder: Path, tmp_path: Path, num_kills: int) -> None:
    out = tmp_path / "export"
    num_whole = 0
    for _ in kills(["index.parquet", "export", "--data-dir", folder, "--out", out, "--quiet"], num_kills, seed=4):
        if out.exists():
            assert sorted(path.name for path in out.iterdir()) == ["export.json", "images", "records-00000.parquet"]
            assert len([name for name in tree(out) if name.startswith("images")]) == len(FRAMES)
            out.rename(tmp_path / f"whole-{num_whole}")
            num_whole += 1
    assert num_whole


@pytest.mark.parametrize("num_kills", [3, pytest.param(40, marks=pytest.mark.trial)])
def test_an_import_that_is_killed_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_kills: int
) -> None:
    assert export(monkeypatch, folder, tmp_path / "export") == 0
    new = tmp_path / "new"
    command = ["index.parquet", "import", "--from", tmp_path / "export", "--data-dir", new, "--quiet"]
    for _ in kills(command, num_kills, seed=5):
        if (new / "gallery.sqlite").is_file() and (new / "gallery.sqlite").stat().st_size:
            # Its records are all or none, each with its image.
            assert stored_values(new) in ({}, ALL)
            assert check_folder(new, lambda *_: None, lambda: False).sound
    assert list(stored_values(new)) == [one.id for one in RECORDS]
