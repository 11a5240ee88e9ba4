"""What stands in for the trainer and the evaluator in tests of benchmarks that run them."""

from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.experiment import RunFailedError


class StandInPrograms:
    """Notes what was asked, and leaves what they leave; a run whose folder's name has `failing` in it fails."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.trained: list[tuple[str, ...]] = []
        self.evaluated: list[str] = []

    def __call__(self, module: str, *arguments: str) -> dict[str, Any]:
        flags = dict(pairwise(arguments))
        if module == "training.train":
            folder = Path(flags["--out"])
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "run.json").write_text("{}")
            self.trained.append(arguments)
            if self.failing and self.failing in folder.name:
                raise RunFailedError("training.train ended with 1")
            (folder / "best.safetensors").touch()
            return {"checkpoint": str(folder / "best.safetensors")}
        name = Path(flags["--checkpoint"]).parent.name
        self.evaluated.append(name)
        return self.figures(name, 0.5 + 0.1 * int(name[-1]))

    def figures(self, name: str, cmc1: float) -> dict[str, Any]:
        """Of a run."""
        return {
            "cmc": {"1": cmc1},
            "map": 0.6,
            "intervals": {"cmc1": [0.4, 0.7], "map": [0.5, 0.7]},
            "model": name,
        }
