import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from index.embedded.backup.backup_folder import Backup, NotABackupError, accepts_backup, file_sha256
from index.gallery.errors import GalleryError

BACKUP = Backup("2026-11-27T09:00:00+00:00", "gallery-0.sqlite", "0" * 64, 5, 2, 7, 6, [("a" * 64, "bf16", 7)], ["c"])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    BACKUP.write(tmp_path)
    assert Backup.read(tmp_path) == BACKUP
    replace(BACKUP, num_records=8).write(tmp_path)
    assert Backup.read(tmp_path).num_records == 8
    assert [path.name for path in tmp_path.iterdir()] == ["backup.json"]


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_bit_is_found(tmp_path: Path, seed: int) -> None:
    BACKUP.write(tmp_path)
    path = tmp_path / "backup.json"
    data = bytearray(path.read_bytes())
    rng = random.Random(seed)
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    # A space may have become another.
    assert read_or_none(tmp_path) in (BACKUP, None)


def read_or_none(folder: Path) -> Backup | None:
    try:
        return Backup.read(folder)
    except GalleryError:
        return None


def test_no_backup_an_unfinished_one_and_a_newer_one_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotABackupError, match="there is no backup"):
        Backup.read(tmp_path)
    (tmp_path / "sanet-backup.lock").touch()
    with pytest.raises(NotABackupError, match=r"never finished: run index\.backup again"):
        Backup.read(tmp_path)
    (tmp_path / "backup.json").write_text(json.dumps({"format": "sanet-backup-2", "checksum": ""}))
    with pytest.raises(GalleryError, match="the format 'sanet-backup-2'"):
        Backup.read(tmp_path)


def test_where_a_backup_may_go(tmp_path: Path) -> None:
    assert accepts_backup(tmp_path / "absent")
    assert accepts_backup(tmp_path)
    (tmp_path / "notes.txt").touch()
    assert not accepts_backup(tmp_path)
    assert not accepts_backup(tmp_path / "notes.txt")
    (tmp_path / "backup.json").write_text("of another program")
    assert accepts_backup(tmp_path)
    (tmp_path / "backup.json").unlink()
    BACKUP.write(tmp_path)
    assert accepts_backup(tmp_path)


def test_every_byte_of_the_database_counts(tmp_path: Path) -> None:
    path = tmp_path / BACKUP.database
    with pytest.raises(GalleryError, match="lacks its database"):
        BACKUP.check_database(tmp_path)
    path.write_bytes(b"hello")
    backup = replace(BACKUP, database_sha256=file_sha256(path))
    assert backup.check_database(tmp_path) == path
    for data in (b"hellp", b"hell", b"hello\0"):
        path.write_bytes(data)
        with pytest.raises(GalleryError, match="damaged: use an older backup"):
            backup.check_database(tmp_path)
