import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import build
from index.datasets.manifest import Entry, Role, write_manifest
from index.datasets.protocol import Protocol
from index.embedded.opening import open_gallery
from index.gallery.filters import Filter
from index.gallery.record import ModelKey, Record
from model.checkpoint import load_checkpoint, read_card
from model.embedder import Embedder
from tests.conftest import picture, png

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., tuple[int, Any]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Gallery images 0 to 4, a distractor, queries and junk."""
    roles: list[Role] = ["gallery", "gallery", "gallery", "gallery", "gallery", "distractor", "query", "query", "junk"]
    entries = [Entry(f"{i}.png", f"v{i}", "north", role, "test") for i, role in enumerate(roles)]
    for i in range(len(roles)):
        (tmp_path / f"{i}.png").write_bytes(png(i))
    write_manifest(tmp_path / "manifest.csv", entries, Protocol("ours"))
    return tmp_path / "manifest.csv"


@pytest.fixture
def run(data: Path, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command; its exit code and JSON (or its error, if it fails)."""

    def run(*further: object) -> tuple[int, Any]:
        arguments = ["--checkpoint", small_checkpoint, "--data", data, "--data-dir", data.parent / "gallery"]
        monkeypatch.setattr(sys, "argv", ["build", *map(str, [*arguments, "--device", "cpu", "--json", *further])])
        code = build.main()
        captured = capsys.readouterr()
        return code, json.loads(captured.out.splitlines()[-1]) if captured.out else captured.err

    return run


def stored(data_dir: Path, checkpoint: Path, precision: str = "float32") -> list[Record]:
    card = read_card(checkpoint)
    model = ModelKey(card.fingerprint, precision)
    with closing(open_gallery(data_dir, model, card.config.embedding_dim)) as gallery:
        assert gallery.num_stale == 0
        return gallery.page(Filter(), 1000, None).records


def test_a_manifest_becomes_a_gallery_and_a_second_time_nothing_changes(
    run: Run, tmp_path: Path, small_checkpoint: Path
) -> None:
    card = read_card(small_checkpoint)
    expected = {
        "data_dir": str(tmp_path / "gallery"), "model": card.fingerprint, "precision": "float32", "enrolled": 6,
        "duplicates": 0, "differing": 0, "rejected": 0, "rejections": [], "warnings": [], "data_warnings": [],
        "columns_not_kept": ["role", "split"], "stopped": False, "searchable": 6,
    }  # fmt: skip
    assert run() == (0, expected)
    before = stored(tmp_path / "gallery", small_checkpoint)
    assert [record.fields.identity for record in before] == [f"v{i}" for i in range(6)]
    embedder = Embedder(load_checkpoint(small_checkpoint), "cpu")
    by_hand = embedder.embed([picture(i) for i in range(6)], batch_size=6)
    # The network was loaded twice, and only its tensors are promised to the last bit.
    error = np.linalg.norm(np.stack([record.embedding for record in before]) - by_hand.embedding, axis=1)
    assert (error <= 1e-5 * np.linalg.norm(by_hand.embedding, axis=1)).all()
    assert run() == (0, expected | {"enrolled": 0, "duplicates": 6})
    after = stored(tmp_path / "gallery", small_checkpoint)
    assert [(r.id, r.enrolled_at) for r in after] == [(r.id, r.enrolled_at) for r in before]


def test_one_bad_image_is_named_and_the_others_are_there(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (data.parent / "2.png").write_bytes(b"no image")
    code, result = run()
    assert code == 1
    assert (result["enrolled"], result["rejected"], result["searchable"]) == (5, 1, 5)
    (rejection,) = result["rejections"]
    detail = rejection["detail"]
    assert detail.startswith("the file is not a JPEG, PNG")
    assert rejection == {"line": 4, "path": "2.png", "box": None, "detail": detail}
    monkeypatch.setattr(sys, "argv", [argument for argument in sys.argv if argument != "--json"] + ["--quiet"])
    assert build.main() == 1
    said = capsys.readouterr()
    assert said.err == f"index.build: line 4: 2.png: {detail}\n"
    assert said.out == (
        f"{data.parent / 'gallery'}: 0 enrolled, 5 there already, 1 rejected; 5 can be found\n"
        "columns not kept: role, split\n"
    )


def test_conditions_and_the_precision_are_the_users(run: Run, tmp_path: Path, small_checkpoint: Path) -> None:
    code, result = run("--where", "role=distractor", "--precision", "bf16")
    assert (code, result["enrolled"], result["precision"]) == (0, 1, "bf16")
    assert [record.fields.identity for record in stored(tmp_path / "gallery", small_checkpoint, "bf16")] == ["v5"]


def test_a_manifest_of_queries_alone_is_refused(run: Run, tmp_path: Path) -> None:
    code, error = run("--where", "role=query")
    assert (code, "has queries and junk only" in error) == (1, True)
    assert not (tmp_path / "gallery").exists()


@pytest.mark.parametrize(
    ("flag", "value", "reason"),
    [
        ("--data", "none.csv", "there is no manifest at none.csv"),
        ("--checkpoint", "none", "there is no checkpoint at none"),
        ("--where", "role=seeker", "no line fulfils 'role=seeker'"),
    ],
)
def test_what_cannot_be_read_is_exit_code_1(run: Run, tmp_path: Path, flag: str, value: str, reason: str) -> None:
    code, error = run(flag, value)
    assert code == 1
    assert error.startswith("index.build: ")
    assert reason in error
    assert not (tmp_path / "gallery").exists()


def test_a_gallery_in_use_is_left_alone(run: Run, tmp_path: Path) -> None:
    with closing(open_gallery(tmp_path / "gallery", ModelKey("a" * 64, "float32"), 4)):
        code, error = run()
    assert (code, "another process has the gallery" in error) == (1, True)


def test_an_interruption_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(build, "enrol_entries", interrupt)
        assert run("--quiet") == (1, "index.build: stopped; the same command goes on\n")
    assert run()[1]["enrolled"] == 6  # the folder was released


@pytest.mark.parametrize("wrong", [["--device", "tpu!"], ["--precision", "int8"], ["--colour", "red"]])
def test_wrong_arguments_are_exit_code_2(run: Run, wrong: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as raised:
        run(*wrong)
    assert raised.value.code == 2
    assert not (tmp_path / "gallery").exists()


def test_a_damaged_checkpoint_builds_nothing(run: Run, small_checkpoint: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copy(small_checkpoint, tmp_path / "damaged"))
    with damaged.open("r+b") as file:
        file.seek(-1, 2)
        (last,) = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
    code, error = run("--checkpoint", damaged)
    assert (code, "is damaged" in error) == (1, True)
    assert not (tmp_path / "gallery").exists()


# One strictness for every door.


def test_a_line_that_post_gallery_would_refuse_is_rejected_alone_with_its_number(
    run: Run, tmp_path: Path, small_checkpoint: Path
) -> None:
    lines = [
        "path,identity,camera,captured_at,latitude,longitude,tags,box,role,colour",
        "0.png,Zoe\u0308 ,north,2026-05-01T12:00:00Z,50,8,white;van,,,red",
        f"1.png,{'v' * 201},,,,,,,,",
        f"2.png,a,{'c' * 201},,,,,,,",
        "3.png,a,,2026-W18-5T12:00:00Z,,,,,,",
        "4.png,a,,,91,8,,,,",
        "5.png,a,,,50,,,,,",
        f"6.png,a,,,,,{'t' * 201},,,",
        '7.png,a,,,,,,"0,0,x,9",,',
        "8.png,a,,,,,,,probe,",
        "0.png,too,few",
        ",a,,,,,,,,",
        '1.png,good,,,,,,"0,0,30,20",,',
    ]
    (tmp_path / "lines.csv").write_text("\n".join(lines))
    code, result = run("--data", tmp_path / "lines.csv")
    assert (code, result["enrolled"], result["rejected"]) == (1, 2, 10)
    assert [rejection["line"] for rejection in result["rejections"]] == list(range(3, 13))
    named = ["identity: ", "camera: ", "captured_at: ", "latitude: ", "latitude and longitude", "tags: "]
    named += ["a box is four numbers", "role must be", "as many fields", "the path is empty"]
    for rejection, name in zip(result["rejections"], named, strict=True):
        assert rejection["detail"].startswith(name) or name in rejection["detail"]
    first, second = stored(tmp_path / "gallery", small_checkpoint)
    assert (first.fields.identity, first.fields.source, first.fields.tags) == ("Zo\u00eb", "0.png", ("van", "white"))
    assert (first.fields.attributes, second.fields.identity) == ({"colour": "red"}, "good")


def test_a_line_that_is_no_utf_8_is_rejected_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lines.csv").write_bytes(b"path\n0.png\n\xff.png\n1.png\n")
    code, result = run("--data", tmp_path / "lines.csv")
    assert (code, result["enrolled"]) == (1, 2)
    (rejection,) = result["rejections"]
    assert (rejection["line"], "UTF-8" in rejection["detail"]) == (3, True)


def test_a_column_that_is_misspelt_builds_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lines.csv").write_text("path, identity\n0.png,van\n")
    code, error = run("--data", tmp_path / "lines.csv")
    assert (code, "the column ' identity' is not called 'identity'" in error) == (1, True)
    assert not (tmp_path / "gallery").exists()


def test_a_folder_of_crops_becomes_a_gallery(run: Run, tmp_path: Path, small_checkpoint: Path) -> None:
    crops = tmp_path / "crops"
    for name in ("van/1.png", "van/2.jfif", "3"):
        (crops / name).parent.mkdir(parents=True, exist_ok=True)
        (crops / name).write_bytes(png(len(name)))
    (crops / "notes.txt").write_text("text")
    code, result = run("--data", crops)
    assert (code, result["enrolled"], result["columns_not_kept"]) == (0, 3, [])
    assert result["data_warnings"] == ["files in no format that is read, left out: 1 (notes.txt)"]
    fields = [record.fields for record in stored(tmp_path / "gallery", small_checkpoint)]
    assert [(one.source, one.identity) for one in fields] == [("3", None), ("van/1.png", None), ("van/2.jfif", None)]
    code, result = run("--data", crops, "--identity-from-folder", "--data-dir", tmp_path / "other")
    fields = [record.fields for record in stored(tmp_path / "other", small_checkpoint)]
    assert [one.identity for one in fields] == ["crops", "van", "van"]
    assert run("--data", crops / "van" / "2.jfif")[1]["duplicates"] == 1


def test_warnings_are_counted_by_kind_and_all_listed_in_json(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    crops = tmp_path / "crops"
    crops.mkdir()
    for i in range(3):
        (crops / f"{i}.png").write_bytes(png(i, 8 + i, 8))
    (crops / "frame.png").write_bytes(png(9, 900, 40))
    code, result = run("--data", crops)
    assert (code, [warning["path"] for warning in result["warnings"]]) == (0, ["0.png", "1.png", "2.png", "frame.png"])
    monkeypatch.setattr(sys, "argv", [argument for argument in sys.argv if argument != "--json"] + ["--quiet"])
    assert build.main() == 0
    _, small, frame = capsys.readouterr().out.splitlines()
    assert small.startswith("warning: 0.png: the vehicle has only 8 x 8 pixels")
    assert small.endswith(" (and 2 more such vehicles)")
    assert frame.startswith("warning: frame.png: the whole image of 900 x 40 pixels")


# Stopping a real process.

_STOPPED_BY_ITSELF = """
import os, signal, sys
from index import build
from model.embedder import Embedder
embed, batches = Embedder.embed_prepared, []
def embed_prepared(self, images):
    batches.append(len(images))
    if len(batches) == 2:
        os.kill(os.getpid(), signal.{name})
    return embed(self, images)
Embedder.embed_prepared = embed_prepared
sys.exit(build.main())
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_keeps_what_is_done_and_the_same_command_goes_on(
    run: Run, name: str, tmp_path: Path, small_checkpoint: Path
) -> None:
    crops, gallery = tmp_path / "crops", tmp_path / "gallery"
    crops.mkdir()
    for i in range(100):
        (crops / f"{i:02d}.png").write_bytes(png(i, 24, 24))
    code = _STOPPED_BY_ITSELF.format(name=name)
    flags = ["--checkpoint", small_checkpoint, "--data", crops, "--data-dir", gallery, "--device", "cpu", "--json"]
    command = [sys.executable, "-c", code, *map(str, flags), "--quiet"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    stopped = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    expected = "index.build: stopped: 16 enrolled, 0 duplicates so far; the same command goes on\n"
    assert (stopped.returncode, stopped.stderr) == (1, expected)
    result = json.loads(stopped.stdout.splitlines()[-1])
    assert (result["stopped"], result["enrolled"], result["searchable"]) == (True, 16, 16)
    code_of_second, result = run("--data", crops)
    assert (code_of_second, result["stopped"], result["enrolled"], result["duplicates"]) == (0, False, 84, 16)


def test_a_stop_while_the_checkpoint_is_loaded_enrols_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_and_interrupt(path: Path) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        return load_checkpoint(path)

    monkeypatch.setattr(build, "load_checkpoint", load_and_interrupt)
    code, result = run("--quiet")
    assert (code, result["stopped"], result["enrolled"]) == (1, True, 0)
