import dataclasses
import json
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.training.runs import ROOT, tensorboard_of
from training import run_folder
from training.recipe import Recipe, RecipeError, baseline_paper, debug
from training.recipe_file import read_recipe
from training.run_folder import RunFolder, RunFolderError

FACTS = {"seed": 11, "data": "vehicles", "recipe_name": "debug"}


def created(path: Path, recipe: Recipe | None = None) -> RunFolder:
    folder = RunFolder(path)
    folder.create(recipe or debug(), FACTS)
    return folder


def run_of(path: Path) -> dict[str, Any]:
    run: dict[str, Any] = json.loads((path / "run.json").read_text("utf-8"))
    return run


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in (path / "log.jsonl").read_text("utf-8").splitlines()]


def test_a_run_says_what_it_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["training.train", "--recipe", "debug"])
    before = datetime.now(UTC).replace(microsecond=0)
    recipe = dataclasses.replace(debug(), epochs=3, trunk_weights="some/where.pth")
    created(tmp_path / "new" / "run", recipe)
    run = run_of(tmp_path / "new" / "run")
    assert run["recipe"] == dataclasses.asdict(recipe)
    assert {name: run[name] for name in FACTS} == FACTS
    assert run["command"] == ["training.train", "--recipe", "debug"]
    assert before <= datetime.fromisoformat(run["started_at"]) <= datetime.now(UTC)
    assert run["versions"]["python"] == platform.python_version()
    for package in ("sanet-retrieval", "torch", "torchvision", "numpy", "pillow", "safetensors"):
        assert run["versions"][package] == metadata.version(package)


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that holds this program."""
    if shutil.which("git") is None:
        pytest.skip("git is not here")
    program = tmp_path / "checkout" / "training"
    program.mkdir(parents=True)
    (program / "run_folder.py").write_text("")
    git(program.parent, "init", "--quiet")
    git(program.parent, "add", ".")
    git(program.parent, "commit", "--quiet", "-m", "first")
    monkeypatch.setattr(run_folder, "__file__", str(program / "run_folder.py"))
    return program.parent


def test_a_run_says_from_which_commit_it_comes(checkout: Path, tmp_path: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    assert len(commit) == 40
    created(tmp_path / "first")
    assert run_of(tmp_path / "first")["git"] == {"commit": commit, "modified": False}
    (checkout / "training" / "run_folder.py").write_text("# changed\n")
    created(tmp_path / "second")
    assert run_of(tmp_path / "second")["git"] == {"commit": commit, "modified": True}


def test_outside_a_checkout_or_without_git_there_is_no_commit(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(checkout / ".git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(checkout.parent))
    created(tmp_path / "first")
    assert run_of(tmp_path / "first")["git"] is None
    monkeypatch.setenv("PATH", "")
    created(tmp_path / "second")
    assert run_of(tmp_path / "second")["git"] is None


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    created(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_another_run_can_start_from_its_recipe(tmp_path: Path) -> None:
    recipe = dataclasses.replace(debug(), epochs=3, trunk_weights="some/w\udcffre.pth")
    folder = created(tmp_path, recipe)
    folder.write_recipe(recipe, 11)
    assert read_recipe(tmp_path / "recipe.toml") == recipe
    first = (tmp_path / "recipe.toml").read_bytes().splitlines()[0]
    assert first == b"# The whole recipe: python -m training.train --recipe THIS_FILE --seed 11 --data .. --out .."
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", "recipe.toml"}


@pytest.mark.parametrize("name", ["run.json", "notes.txt", ".hidden", "folder/"])
def test_a_folder_with_something_in_it_is_left_alone(name: str, tmp_path: Path) -> None:
    if name.endswith("/"):
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_text("mine")
    before = list(tmp_path.iterdir())
    with pytest.raises(RunFolderError, match=f"^{tmp_path} is not empty: go on with --resume, or choose another"):
        created(tmp_path)
    assert list(tmp_path.iterdir()) == before


def test_a_file_in_its_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(RunFolderError, match="choose another folder"):
        created(tmp_path / "run")
    assert (tmp_path / "run").read_text() == "mine"


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    recipe = dataclasses.replace(baseline_paper(), learning_rate=1e-3, epochs=7)
    created(tmp_path, recipe)
    found, facts = RunFolder(tmp_path).read()
    assert found == recipe
    assert facts.items() >= FACTS.items()
    assert "recipe" not in facts


@pytest.mark.parametrize("path", ["", "absent"])
def test_no_run_is_an_error(path: str, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=f"^there is no run in {tmp_path / path} to resume"):
        RunFolder(tmp_path / path).read()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name"),
        ("[]", "cannot be used"),
        ("{}", "recipe"),
        ('{"recipe": {"pace": 3}}', "pace"),
        ('{"recipe": {"epochs": 0}}', "epochs must be 1 or more"),
        ('{"recipe": {"size_px": 33}}', "size_px must be a multiple of 16"),
    ],
)
def test_a_run_of_another_version_is_an_error(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunFolderError, match=reason) as raised:
        RunFolder(tmp_path).read()
    assert str(raised.value).startswith(f"{tmp_path / 'run.json'} cannot be used: ")
    assert not isinstance(raised.value, RecipeError)


def test_every_event_is_a_line_and_a_point_in_tensorboard(tmp_path: Path) -> None:
    folder = created(tmp_path)
    folder.open_log(0)
    folder.log("step", 1, {"epoch": 0, "total": 0.1 + 0.2})
    folder.log("step", 2, {"epoch": 0, "total": 1 / 3})
    folder.log("validation", 2, {"cmc1": 0.25})
    folder.close()
    assert lines(tmp_path) == [
        {"event": "step", "step": 1, "epoch": 0, "total": 0.1 + 0.2},
        {"event": "step", "step": 2, "epoch": 0, "total": 1 / 3},
        {"event": "validation", "step": 2, "cmc1": 0.25},
    ]
    assert tensorboard_of(tmp_path) == {
        "step/epoch": [(1, 0.0), (2, 0.0)],
        "step/total": [(1, pytest.approx(0.3)), (2, pytest.approx(1 / 3))],
        "validation/cmc1": [(2, 0.25)],
    }


def test_a_line_is_on_disk_when_it_is_logged(tmp_path: Path) -> None:
    folder = created(tmp_path)
    folder.open_log(0)
    folder.log("step", 1, {"total": 1.0})
    assert lines(tmp_path) == [{"event": "step", "step": 1, "total": 1.0}]
    folder.close()


def logged(path: Path, num_steps: int) -> None:
    folder = created(path)
    folder.open_log(0)
    for step in range(1, num_steps + 1):
        folder.log("step", step, {"total": float(step)})
    folder.close()


def test_what_was_logged_after_the_saved_step_goes(tmp_path: Path) -> None:
    logged(tmp_path, 5)
    folder = RunFolder(tmp_path)
    folder.open_log(3)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3]
    folder.log("step", 4, {"total": 40.0})
    folder.close()
    assert [(line["step"], line["total"]) for line in lines(tmp_path)] == [(1, 1), (2, 2), (3, 3), (4, 40)]
    assert tensorboard_of(tmp_path)["step/total"] == [(1, 1), (2, 2), (3, 3), (4, 40)]


@pytest.mark.parametrize("torn", ['{"event": "step", "st', '{"event": "step"}\n', "\n", "7\n", "\0\0\0", '{"step": {'])
def test_a_line_that_a_kill_cut_off_goes(torn: str, tmp_path: Path) -> None:
    logged(tmp_path, 2)
    with (tmp_path / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(torn)
    folder = RunFolder(tmp_path)
    folder.open_log(9)
    folder.log("step", 3, {"total": 3.0})
    folder.close()
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3]


def test_a_line_that_lost_nothing_but_its_end_stays_a_line_of_its_own(tmp_path: Path) -> None:
    logged(tmp_path, 2)
    log = tmp_path / "log.jsonl"
    log.write_text(log.read_text("utf-8").removesuffix("\n"), "utf-8")
    folder = RunFolder(tmp_path)
    folder.open_log(2)
    folder.log("step", 3, {"total": 3.0})
    folder.close()
    assert [line["step"] for line in lines(tmp_path)] in ([1, 2, 3], [1, 3])


def test_a_log_that_cannot_be_rewritten_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged(tmp_path, 3)
    before = (tmp_path / "log.jsonl").read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        RunFolder(tmp_path).open_log(1)
    assert (tmp_path / "log.jsonl").read_bytes() == before


def test_the_program_itself_lies_where_git_is_asked() -> None:
    assert Path(run_folder.__file__).is_relative_to(ROOT)
