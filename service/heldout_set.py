"""The held-out set: the question that its manifest asks, and by what one knows that it is still the same."""

import hashlib
import json
from dataclasses import dataclass

from index.datasets.manifest import Entry, ManifestError
from index.datasets.task import Task
from index.gallery.record import ModelKey


@dataclass(frozen=True)
class HeldoutSet:
    """A question, and what tells it from others.

    Attributes:
        task: queries and gallery.
        key: another one for other lines, other files (size, time of writing), or another model.
    """

    task: Task
    key: str

    @classmethod
    def of(cls, task: Task, model: ModelKey) -> "HeldoutSet":
        """The set of a task; looks at every file and reads none."""
        states: dict[str, list[int]] = {}
        digest = hashlib.sha256(json.dumps([task.dataset, task.split, task.camera_rule]).encode())
        for draw in (task, *task.further_draws):
            for part in (draw.queries, draw.gallery):
                for entry in part:
                    if entry.path not in states:
                        states[entry.path] = _state_of(task, entry)
                    line = [entry.path, entry.role, entry.identity, entry.camera, str(entry.box), states[entry.path]]
                    digest.update(json.dumps(line).encode())
                digest.update(b"\n")
        return cls(task, f"heldout {digest.hexdigest()[:24]} {model.fingerprint[:24]} {model.precision}")


def _state_of(task: Task, entry: Entry) -> list[int]:
    """Size in bytes and time of writing in ns; nothing of a file that is not there."""
    try:
        status = task.manifest.path_of(entry).stat()
    except (OSError, ManifestError):
        return []
    return [status.st_size, status.st_mtime_ns]
