"""What a backup is on disk.

backup.json             which database belongs to it: replaced last, so that a backup changes at one moment or not
gallery-1a2b3c4d.sqlite the records, by their database's SHA-256
images/ab/abcdef..      the image files, as in a gallery; also those of earlier backups, until they are pruned
sanet-backup.lock       held by the one process that writes it
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from index.embedded.disk import disk_errors, replace_text
from index.gallery.errors import GalleryError

FORMAT: Final = "sanet-backup-1"
LOCK: Final = "sanet-backup.lock"
_CONTENTS: Final = "backup.json"
_READ_BYTES: Final = 1_000_000


class NotABackupError(GalleryError):
    """The folder holds no finished backup of this program."""


@dataclass(frozen=True)
class Backup:
    """What ``backup.json`` says.

    Attributes:
        created_at: when its records were what they are, RFC 3339.
        database: the name of the database's file.
        database_sha256, database_bytes: of that file.
        layout: of the database.
        num_records, num_images: how many it has; images are counted once, however many records show them.
        models: (fingerprint, precision, number of records).
        absent_images: the images of records that the gallery itself had lost.
        format: of the backup.
    """

    created_at: str
    database: str
    database_sha256: str
    database_bytes: int
    layout: int
    num_records: int
    num_images: int
    models: list[tuple[str, str, int]]
    absent_images: list[str] = field(default_factory=list)
    format: str = FORMAT

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The backup in a folder.

        Raises:
            NotABackupError: there is none, or one that was never finished.
            GalleryError: it is damaged, or of a newer program.
        """
        path = folder / _CONTENTS
        if not path.is_file():
            unfinished = (folder / LOCK).exists()
            what = "a backup that was never finished: run index.backup again" if unfinished else "no backup"
            raise NotABackupError(f"in {folder} there is {what}")
        with disk_errors(path):
            text = path.read_bytes()
        try:
            values: dict[str, Any] = json.loads(text)
            checksum = values.pop("checksum")
            if values["format"] != FORMAT:
                raise GalleryError(f"{path} has the format {values['format']!r}, this program reads {FORMAT!r}")
            if checksum != _checksum(values):
                raise ValueError("its checksum differs")
            values["models"] = [tuple(model) for model in values["models"]]
            return cls(**values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise GalleryError(f"{path} is damaged: {error}; use an older backup") from error

    def write(self, folder: Path) -> None:
        """Replaces what the folder's backup is, durably and at one moment."""
        values = json.loads(json.dumps(asdict(self)))
        replace_text(folder / _CONTENTS, json.dumps(values | {"checksum": _checksum(values)}, indent=1) + "\n")

    def check_database(self, folder: Path) -> Path:
        """The path of the database in a folder, after all of its bytes were read.

        Raises:
            GalleryError: they are not those that were backed up.
        """
        path = folder / self.database
        if not path.is_file():
            raise GalleryError(f"the backup in {folder} lacks its database {self.database}")
        with disk_errors(path):
            if path.stat().st_size != self.database_bytes or file_sha256(path) != self.database_sha256:
                raise GalleryError(f"{path} is damaged: use an older backup")
        return path


def accepts_backup(folder: Path) -> bool:
    """Whether a backup may be written to a folder: it is absent, empty, or has one already, be it unfinished."""
    if not folder.exists():
        return True
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir()} - {"lost+found"}
    return not names or LOCK in names or _is_backup(folder)


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file of any size."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
    return digest.hexdigest()


def _is_backup(folder: Path) -> bool:
    try:
        Backup.read(folder)
    except NotABackupError:
        return False
    except GalleryError:
        return True  # a damaged one
    return True


def _checksum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
