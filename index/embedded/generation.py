"""The generation of a gallery that serves: its records, and the index of them, embedded by one model.

Another model's generation is made beside it, in a folder of its own below ``generations``, and takes its place at one
moment: when `generation.json` is replaced. Where there is no such file, the generation is the data folder itself. The
image files belong to all generations.
"""

import json
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from index.embedded.data_folder import DATABASE, SNAPSHOT
from index.embedded.disk import disk_errors, replace_text
from index.embedded.records.database_file import remove_database
from index.embedded.records.record_reader import RecordReader
from index.gallery.errors import GalleryError
from index.gallery.record import ModelKey

CONTENTS: Final = "generation.json"
GENERATIONS: Final = "generations"

_FINGERPRINT_DIGITS: Final = 16
_NAME: Final = re.compile(r"[0-9a-f]{16}-[a-z0-9]+(-again)?")


@dataclass(frozen=True)
class Generation:
    """What ``generation.json`` says.

    Attributes:
        name: of its folder below ``generations``; empty for the data folder itself.
        model: whose embeddings it is searched by; None where nobody has said so yet.
        before: the name of the one whose place it took, as long as that is not removed; else None.
    """

    name: str = ""
    model: ModelKey | None = None
    before: str | None = None

    @classmethod
    def read(cls, data_dir: Path) -> "Generation":
        """The generation of a data folder that serves.

        Raises:
            GalleryError: the file is damaged or cannot be read, or the folder that it names is gone.
        """
        path = data_dir / CONTENTS
        try:
            with disk_errors(path):
                text = path.read_bytes()
        except GalleryError as error:
            if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
                return cls()
            raise
        try:
            values = json.loads(text)
            name, fingerprint, precision = values["name"], values["fingerprint"], values["precision"]
            before = values["before"]
            if not all(isinstance(value, str) for value in (name, fingerprint, precision, before or "")):
                raise TypeError("its values are no texts")
            if name and not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a generation")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise GalleryError(
                f"{path} is damaged ({error}): it says which records serve, those in {data_dir / GENERATIONS} or, "
                f"without it, {data_dir / DATABASE}; restore a backup, or remove it if there are no {GENERATIONS}"
            ) from error
        generation = cls(name, ModelKey(fingerprint, precision), before)
        if name and not generation.folder(data_dir).is_dir():
            raise GalleryError(f"{path} names the generation {name}, which is missing: restore a backup")
        return generation

    def write(self, data_dir: Path) -> None:
        """Makes this the generation that serves, durably and at one moment.

        Raises:
            GalleryError: the disk refuses; which one serves then, `read` tells.
        """
        model = self.model or ModelKey("", "")
        values = {"name": self.name, "fingerprint": model.fingerprint, "precision": model.precision}
        replace_text(data_dir / CONTENTS, json.dumps(values | {"before": self.before}, indent=1) + "\n")

    def folder(self, data_dir: Path) -> Path:
        """Where its database and its snapshot lie."""
        return data_dir / GENERATIONS / self.name if self.name else data_dir


def current_folder(data_dir: Path) -> Path:
    """Where the database and the snapshot of the generation lie that serves.

    Raises:
        GalleryError: `Generation.read` raises it.
    """
    return Generation.read(data_dir).folder(data_dir)


def models_of_records(data_dir: Path) -> dict[ModelKey, int]:
    """How many records of the generation that serves each model has embedded.

    Raises:
        GalleryError: the data folder cannot be read.
    """
    database = current_folder(data_dir) / DATABASE
    if not _has_records(database):
        return {}
    with RecordReader(database) as reader:
        return dict(reader.models())


def kept_precision(data_dir: Path, fingerprint: str) -> str | None:
    """The numeric path in which a network has embedded the records that serve, or most of them; None if there are none.

    Raises:
        GalleryError: the data folder cannot be read.
    """
    model = Generation.read(data_dir).model
    database = current_folder(data_dir) / DATABASE
    if not _has_records(database):
        return None
    with RecordReader(database) as reader:
        if model is not None and model.fingerprint == fingerprint and reader.has_record_of(model):
            return model.precision
        return next((model.precision for model, _ in reader.models() if model.fingerprint == fingerprint), None)


def _has_records(database: Path) -> bool:
    """Whether there is a database; an empty file is what a kill leaves that comes before its first commit."""
    with disk_errors(database):
        return database.is_file() and database.stat().st_size > 0


def next_generation(data_dir: Path, model: ModelKey) -> Generation:
    """The generation that is made for a model; the same one after a restart.

    Raises:
        GalleryError: it is not known which generation serves.
    """
    name = f"{model.fingerprint[:_FINGERPRINT_DIGITS]}-{model.precision}"
    current = Generation.read(data_dir)
    return Generation(f"{name}-again" if name == current.name else name, model, before=current.name)


def other_generations(data_dir: Path) -> list[Path]:
    """What does not serve: a generation that is being made, and what is left of one that served before.

    Of the data folder itself, the path of its database is named; that may also be one that somebody has put there.

    Raises:
        GalleryError: it is not known which generation serves.
    """
    current = Generation.read(data_dir)
    below = data_dir / GENERATIONS
    others = [path for path in sorted(below.iterdir()) if path.name != current.name] if below.is_dir() else []
    if current.name and (data_dir / DATABASE).exists():
        others.append(data_dir / DATABASE)
    return others


def remove_others(data_dir: Path, keep: str) -> list[Path]:
    """Removes for good what `other_generations` names but for the generation `keep`, and returns it.

    The images stay, and so does a database in the data folder itself that has not served before this generation.

    Raises:
        GalleryError: the disk refuses.
    """
    current = Generation.read(data_dir)
    others = [path for path in other_generations(data_dir) if path.name != keep]
    removed = [path for path in others if path.name != DATABASE or current.before == ""]
    for path in removed:
        remove_generation(path)
    if current.before is not None:
        replace(current, before=None).write(data_dir)
    return removed


def remove_generation(path: Path) -> None:
    """Removes for good what `other_generations` named; the images stay.

    Raises:
        GalleryError: the disk refuses.
    """
    with disk_errors(path):
        if path.name == DATABASE:
            shutil.rmtree(path.with_name(SNAPSHOT), ignore_errors=True)
            remove_database(path)
        elif path.is_dir():
            # The database last: what an interruption leaves is a generation that lacks some of its snapshot.
            shutil.rmtree(path / SNAPSHOT, ignore_errors=True)
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
