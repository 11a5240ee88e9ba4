"""The folder of one run: what it was made of, its log, its checkpoints."""

import dataclasses
import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from torch.utils.tensorboard import SummaryWriter

from model.whole_file import whole_file
from training.recipe import Recipe, RecipeError
from training.recipe_file import recipe_text

_PACKAGES: Final = ("sanet-retrieval", "torch", "torchvision", "numpy", "pillow", "safetensors")


class RunFolderError(ValueError):
    """A folder that holds another run, or none; the message says what to do."""


class RunFolder:
    """Its files: ``run.json``, ``recipe.toml``, ``log.jsonl``, ``tensorboard/`` and three checkpoints.

    Those are ``best.safetensors``, ``last.safetensors`` and ``state.safetensors``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.best = path / "best.safetensors"
        self.last = path / "last.safetensors"
        self.state = path / "state.safetensors"
        self._run = path / "run.json"
        self._recipe = path / "recipe.toml"
        self._log = path / "log.jsonl"
        self._tensorboard: SummaryWriter | None = None

    def require_empty(self) -> None:
        """Refuses a folder that is in use.

        Raises:
            RunFolderError: it has something in it.
        """
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise RunFolderError(f"{self.path} is not empty: go on with --resume, or choose another folder")

    def create(self, recipe: Recipe, facts: Mapping[str, Any]) -> None:
        """Starts a run: writes what it is made of.

        Raises:
            RunFolderError: the folder has something in it.
        """
        self.require_empty()
        run = {
            "recipe": dataclasses.asdict(recipe),
            **facts,
            "command": sys.argv,
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
            "git": _git_state(),
        }
        with whole_file(self._run) as temporary:
            temporary.write_text(json.dumps(run, indent=2) + "\n", "utf-8")

    def write_recipe(self, recipe: Recipe, seed: int) -> None:
        """Writes the recipe as a file that another run can start from; ``run.json`` stays what a resumed run reads."""
        comment = f"The whole recipe: python -m training.train --recipe THIS_FILE --seed {seed} --data .. --out .."
        with whole_file(self._recipe) as temporary:
            temporary.write_bytes(recipe_text(recipe, comment).encode("utf-8", "surrogateescape"))

    def read(self) -> tuple[Recipe, dict[str, Any]]:
        """The recipe of the run that is there, and the other facts.

        Raises:
            RunFolderError: there is none, or of a version of this program that had other recipes.
        """
        try:
            run = json.loads(self._run.read_text("utf-8"))
            return Recipe(**run.pop("recipe")), run
        except FileNotFoundError:
            raise RunFolderError(f"there is no run in {self.path} to resume: run.json is missing") from None
        except (KeyError, TypeError, ValueError, RecipeError) as error:
            raise RunFolderError(f"{self._run} cannot be used: {error}") from None

    def has_results(self) -> bool:
        """Whether the run got as far as writing a state or a checkpoint."""
        return any(path.exists() for path in (self.state, self.best, self.last))

    def open_log(self, step: int, *, in_epoch: bool = False) -> None:
        """Opens the logs of a run whose state has completed `step` steps; what they hold of later times goes.

        Within an epoch the validation after the step, if that was the epoch's last, is still to come.
        """
        lines = self._log.read_text("utf-8").splitlines() if self._log.exists() else []
        with whole_file(self._log) as temporary:
            kept = [line for line in lines if _is_kept(line, step, in_epoch=in_epoch)]
            temporary.write_text("".join(f"{line}\n" for line in kept), "utf-8")
        self._tensorboard = SummaryWriter(str(self.path / "tensorboard"), purge_step=step + 1)

    def log(self, event: str, step: int, values: Mapping[str, float]) -> None:
        """Appends one line ``{"event": .., "step": .., <values>}`` after `step` steps, in TensorBoard too."""
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, "step": step, **values}) + "\n")
        if self._tensorboard is not None:
            for name, value in values.items():
                self._tensorboard.add_scalar(f"{event}/{name}", value, step)

    def close(self) -> None:
        """Writes what TensorBoard still holds back."""
        if self._tensorboard is not None:
            self._tensorboard.close()


def _is_kept(line: str, step: int, *, in_epoch: bool) -> bool:
    try:
        entry = json.loads(line)
        return bool(entry["step"] < step or (entry["step"] == step and (entry["event"] == "step" or not in_epoch)))
    except (ValueError, KeyError, TypeError):
        return False  # the line that a kill cut off


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_state() -> dict[str, Any] | None:
    """The commit of this program and whether its files differ from it; None outside a checkout."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()  # noqa: S603

    try:
        return {"commit": git("rev-parse", "HEAD"), "modified": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
