import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from index.embedded.data_folder import owned
from index.embedded.opening import open_gallery
from index.verify import main
from tests.index.embedded.stored_gallery import RECORDS, TRASHED, image_path, trash_path, tree, write_gallery
from tests.index.records import DIM, MODEL, tamper

ROOT = Path(__file__).resolve().parents[2]
LONE, OTHER = RECORDS[8], RECORDS[9]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_gallery(tmp_path / "data")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["index.verify", "--quiet", *map(str, arguments)])
    return main()


def result(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return parsed


def test_sound(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(folder)
    assert run(monkeypatch, "--data-dir", folder) == 0
    assert capsys.readouterr().out == f"{folder}: 16 records and 15 image files read\nsound\n"
    assert run(monkeypatch, "--data-dir", folder, "--json") == 0
    found = result(capsys)
    assert (found["sound"], found["records"], found["images"], found["repaired"]) == (True, 16, 15, None)
    assert set(found["num_damaged"].values()) == {0}
    assert tree(folder) == before


def test_beside_a_service(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(open_gallery(folder, MODEL, DIM)):
        assert run(monkeypatch, "--data-dir", folder) == 0
        assert run(monkeypatch, "--data-dir", folder, "--repair") == 1
    assert "another process has the gallery" in capsys.readouterr().err


def test_damage_is_named_counted_and_repaired(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tamper(folder / "gallery.sqlite", "UPDATE record SET camera = 'x' WHERE seq = 9")
    image_path(folder, OTHER.content).write_bytes(b"damaged")
    trash_path(folder, TRASHED.content).write_bytes(b"damaged")
    before = tree(folder)
    assert run(monkeypatch, "--data-dir", folder, "--json") == 1
    found = result(capsys)
    counts = {"database": 0, "records": 1, "images": 1, "stray_images": 0, "trash": 1, "snapshot": 0}
    assert found["num_damaged"] == counts
    (damaged,) = found["damage"]["records"]
    assert (damaged["seq"], damaged["id"], damaged["source"], damaged["image"]) == (
        9, LONE.id, LONE.fields.source, LONE.content,
    )  # fmt: skip
    (lost,) = found["damage"]["images"]
    assert lost == {
        "content": OTHER.content,
        "problem": "damaged",
        "in_trash": False,
        "records": [{"id": OTHER.id, "source": OTHER.fields.source}],
    }
    assert tree(folder) == before
    assert run(monkeypatch, "--data-dir", folder) == 1
    text = capsys.readouterr().out
    assert f"damaged record: {LONE.id} ({LONE.fields.source}): " in text
    assert f"its image is images/{LONE.content[:2]}/{LONE.content}" in text
    assert f"image: {OTHER.content} is damaged: {OTHER.id} ({OTHER.fields.source})" in text
    assert "run this with --repair" in text
    assert run(monkeypatch, "--data-dir", folder, "--repair", "--json") == 1
    repaired = result(capsys)["repaired"]
    assert repaired["enrol_again"] == [
        {"id": LONE.id, "source": LONE.fields.source},
        {"id": OTHER.id, "source": OTHER.fields.source},
    ]
    assert repaired["unreadable"] is None
    # An image whose record is whole is missing until it is enrolled again.
    assert run(monkeypatch, "--data-dir", folder, "--json") == 1
    assert result(capsys)["num_damaged"] == dict.fromkeys(counts, 0) | {"images": 1}


def test_what_was_set_aside_is_enrolled_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from index.gallery.enrolment import Enrolment
    from tests.index.embedded.stored_gallery import FRAMES

    tamper(folder / "gallery.sqlite", "UPDATE record SET camera = 'x' WHERE seq = 9")
    image_path(folder, OTHER.content).write_bytes(b"damaged")
    run(monkeypatch, "--data-dir", folder, "--repair")
    with closing(open_gallery(folder, MODEL, DIM)) as gallery:
        again = [Enrolment(one, lambda content=one.content: FRAMES[content]) for one in (LONE, OTHER)]  # type: ignore[misc]
        assert [enrolled.duplicate for enrolled in gallery.enrol(again)] == [False, True]
    assert run(monkeypatch, "--data-dir", folder) == 0


def test_a_database_that_is_none_is_named_and_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "gallery.sqlite").write_bytes(b"no database at all" * 1000)
    assert run(monkeypatch, "--data-dir", folder, "--json") == 1
    found = result(capsys)
    assert found["num_damaged"]["database"] == 1
    assert found["images"] == 15
    assert run(monkeypatch, "--data-dir", folder, "--repair") == 1
    assert "restore it from a backup" in capsys.readouterr().out
    (folder / "gallery.sqlite").unlink()
    assert run(monkeypatch, "--data-dir", folder, "--repair") == 1
    assert not (folder / "gallery.sqlite").exists()


@pytest.mark.parametrize("arguments", [[], ["--data-dir", ""], ["--data-dir", "/nonexistent"], ["--data-dir", "."]])
def test_wrong_arguments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        run(monkeypatch, *arguments)
    assert exit_.value.code == 2
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_stops_it(tmp_path: Path) -> None:
    folder = write_gallery(tmp_path / "data")
    for number in range(3000):
        path = image_path(folder, f"{number:064x}")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"stray")
    command = [sys.executable, "-m", "index.verify", "--data-dir", str(folder), "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        process.stderr.read(1)  # the bar: it is at work
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in err
    # It may have come to its end before.
    assert json.loads(out.splitlines()[-1])["stopped"] in (True, False)


def test_repair_gives_the_lock_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "--data-dir", folder, "--repair") == 0
    with owned(folder):
        time.sleep(0)
