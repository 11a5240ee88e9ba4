from pathlib import Path

import pytest

from index.embedded.snapshot.array_file import DamagedFileError
from index.embedded.snapshot.folder import SnapshotFolder
from index.embedded.snapshot.manifest import MadeFor, Manifest, Piece, SavedBlock


def manifest_of(*names: str) -> Manifest:
    keys = tuple(Piece(1, name, "") for name in names)
    return Manifest(MadeFor("f", "p", 1, 1), 1, None, (SavedBlock(1, keys),))


def names(path: Path) -> set[str]:
    return {one.name for one in path.iterdir()}


def put(folder: SnapshotFolder, kind: str) -> str:
    path = folder.new_path(kind)
    path.write_bytes(kind.encode())
    return path.name


def test_a_number_is_used_once_and_unnamed_files_go(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path / "snapshot")
    assert folder.read_manifest() is None
    folder.remove_unnamed()
    assert [put(folder, "keys"), put(folder, "vectors"), put(folder, "keys")] == [
        "000001.keys", "000002.vectors", "000003.keys"
    ]  # fmt: skip
    folder.put_manifest(manifest_of("000001.keys", "000003.keys"))
    (tmp_path / "snapshot" / "notes.txt").write_bytes(b"not ours")
    (tmp_path / "snapshot" / "000007.keys").mkdir()
    folder.remove_unnamed()
    kept = {"000001.keys", "000003.keys", "manifest.json", "notes.txt", "000007.keys"}
    assert names(tmp_path / "snapshot") == kept
    again = SnapshotFolder(tmp_path / "snapshot")
    assert again.read_manifest() == manifest_of("000001.keys", "000003.keys")
    assert put(again, "folded") == "000008.folded"
    again.remove_unnamed()
    assert names(tmp_path / "snapshot") == kept


def test_what_a_manifest_that_was_not_replaced_names_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = SnapshotFolder(tmp_path)
    folder.put_manifest(manifest_of(put(folder, "keys")))

    def failing(self: Path, target: Path) -> Path:
        raise OSError("no room")

    new = put(folder, "keys")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing)
        with pytest.raises(OSError, match="no room"):
            folder.put_manifest(manifest_of(new))
    folder.remove_unnamed()
    assert "000001.keys" in names(tmp_path)
    assert new not in names(tmp_path)
    assert folder.read_manifest() == manifest_of("000001.keys")


def test_the_last_damaged_file_of_each_kind_is_kept(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path)
    for kind in ("keys", "keys", "vectors"):
        folder.set_aside(folder.path(put(folder, kind)))
    assert names(tmp_path) == {"keys.damaged", "vectors.damaged"}
    (tmp_path / "manifest.json").write_bytes(b"\xff")
    with pytest.raises(DamagedFileError, match=r"manifest\.json is no text") as caught:
        folder.read_manifest()
    folder.set_aside(caught.value.path)
    assert names(tmp_path) == {"keys.damaged", "vectors.damaged", "manifest.damaged"}
    folder.set_aside(tmp_path / "gone.keys")
