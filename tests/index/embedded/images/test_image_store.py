import errno
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from index.embedded.images.image_store import ImageStore
from index.embedded.images.image_trash import ImageTrash
from index.gallery.errors import GalleryError, GalleryFullError
from index.gallery.record import content_hash

DATA = [b"first", b"", b"\x00\xff" * 100_000]
CONTENTS = [content_hash(data) for data in DATA]
IMAGES = dict(zip(CONTENTS, DATA, strict=True))


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def opened(root: Path) -> ImageStore:
    return ImageStore(root, root.parent / "trash")


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """The folder of the images; the trash lies beside it."""
    return tmp_path / "images"


def disk_is_full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_images_come_back_as_they_were(tmp_path: Path) -> None:
    opened(tmp_path / "deep" / "images").put(IMAGES.items())
    reopened = opened(tmp_path / "deep" / "images")
    assert [reopened.get(content) for content in CONTENTS] == DATA


def test_each_file_is_named_by_its_content_and_nothing_else_is_left(tmp_path: Path) -> None:
    opened(tmp_path).put(IMAGES.items())
    assert files(tmp_path) == {f"{content[:2]}/{content}" for content in CONTENTS}


def test_the_same_content_is_written_once(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put(IMAGES.items())
    before = {name: (tmp_path / name).stat().st_ino for name in files(tmp_path)}
    store.put(IMAGES.items())
    assert {name: (tmp_path / name).stat().st_ino for name in files(tmp_path)} == before


def test_the_same_content_many_times_in_one_batch_is_no_error(tmp_path: Path) -> None:
    data = b"x" * 3_000_000
    for i in range(10):
        opened(tmp_path / str(i)).put([(content_hash(data), data)] * 8)
        assert opened(tmp_path / str(i)).get(content_hash(data)) == data


@pytest.mark.parametrize(("owner", "name"), [(os, "fsync"), (Path, "replace")], ids=["before sync", "before rename"])
def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> None:
    store = opened(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, disk_is_full)
        with pytest.raises(GalleryFullError, match="the disk of the gallery is full"):
            store.put([(CONTENTS[0], DATA[0])])
    assert files(tmp_path) == set()
    with pytest.raises(GalleryError, match="missing"):
        store.get(CONTENTS[0])


def test_an_unfinished_file_that_a_crash_left_goes_to_the_trash(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put([(CONTENTS[1], DATA[1])])
    unfinished = tmp_path / CONTENTS[0][:2] / f"{CONTENTS[0]}.tmp"
    unfinished.parent.mkdir(exist_ok=True)
    unfinished.write_bytes(DATA[0][:3])
    assert store.contents() == {CONTENTS[1]}
    store.discard_unfinished()
    assert files(tmp_path) == {f"{CONTENTS[1][:2]}/{CONTENTS[1]}"}
    (left,) = files(tmp_path.parent / "trash")
    assert left.endswith(f"/images/{CONTENTS[0][:2]}/{CONTENTS[0]}.tmp")


def test_an_unfinished_file_that_is_finished_meanwhile_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(tmp_path)
    unfinished = [tmp_path / content[:2] / f"{content}.tmp" for content in CONTENTS]
    for path in unfinished:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    throw = ImageTrash.throw

    def throw_behind_its_writer(trash: ImageTrash, path: Path) -> None:
        if path == unfinished[0]:
            path.replace(path.with_suffix(""))
        throw(trash, path)

    monkeypatch.setattr(ImageTrash, "throw", throw_behind_its_writer)
    store.discard_unfinished()
    assert files(tmp_path) == {f"{CONTENTS[0][:2]}/{CONTENTS[0]}"}


def test_what_is_not_ours_is_never_touched(tmp_path: Path) -> None:
    foreign = [tmp_path / "train" / "car.jpg", tmp_path / "ab" / "cd" / "e.jpg", tmp_path / "ff" / CONTENTS[0]]
    foreign += [tmp_path / "ab" / "car.tmp", tmp_path / "ff" / f"{CONTENTS[0]}.tmp"]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"precious")
    store = opened(tmp_path)
    store.discard_unfinished()
    store.discard(["car.jpg", "../precious"])
    assert store.contents() == set()
    assert store.is_empty()
    assert all(path.exists() for path in foreign)


def test_after_a_failure_the_same_image_can_be_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", disk_is_full)
        with pytest.raises(GalleryFullError, match="the disk of the gallery is full"):
            store.put(IMAGES.items())
    store.put(IMAGES.items())
    assert [store.get(content) for content in CONTENTS] == DATA
    assert files(tmp_path) == {f"{content[:2]}/{content}" for content in CONTENTS}


@pytest.mark.parametrize("damaged", [b"firsT", b"firs", b"", b"first "])
def test_a_damaged_file_is_refused_and_put_again_repairs_it(tmp_path: Path, damaged: bytes) -> None:
    store = opened(tmp_path)
    store.put(IMAGES.items())
    (tmp_path / CONTENTS[0][:2] / CONTENTS[0]).write_bytes(damaged)
    with pytest.raises(GalleryError, match=f"{CONTENTS[0]} was damaged"):
        store.get(CONTENTS[0])
    assert store.get(CONTENTS[2]) == DATA[2]
    store.put([(CONTENTS[0], DATA[0])])
    assert store.get(CONTENTS[0]) == DATA[0]


def test_an_image_that_was_never_put_is_missing(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match=f"{CONTENTS[0]} is missing"):
        opened(tmp_path).get(CONTENTS[0])


def test_discarded_images_go_to_the_trash_and_the_others_stay(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put(IMAGES.items())
    store.discard([CONTENTS[0], CONTENTS[0], "0" * 64])
    assert files(tmp_path) == {f"{content[:2]}/{content}" for content in CONTENTS[1:]}
    assert store.contents_of_trash(timedelta(0)) == {CONTENTS[0]}


def test_only_absent_images_are_removed_for_good(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put([(CONTENTS[0], DATA[0])])
    absent = store.absent(CONTENTS)
    assert absent == set(CONTENTS[1:])
    store.put(IMAGES.items())
    store.undo_put([*absent, "0" * 64])
    assert files(tmp_path) == {f"{CONTENTS[0][:2]}/{CONTENTS[0]}"}
    assert not (tmp_path.parent / "trash").exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("step", ["mkdir", "fsync", "replace"])
def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, step: str) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    store = opened(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os if step == "fsync" else Path, step, full)
        with pytest.raises(GalleryFullError, match="nothing of this request was stored; free space and send it again"):
            store.put(IMAGES.items())
    assert files(tmp_path) == set()


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EIO])
def test_a_disk_that_cannot_be_read_or_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    store = opened(tmp_path)
    store.put(IMAGES.items())
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", failing)
        with pytest.raises(GalleryError, match=f"{CONTENTS[0]} cannot be read or written: {os.strerror(code)}"):
            store.get(CONTENTS[0])
        with pytest.raises(GalleryError, match=f"cannot be read or written: {os.strerror(code)}") as error:
            store.put(IMAGES.items())
    assert not isinstance(error.value, GalleryFullError)


def test_an_image_comes_back_out_of_the_trash(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put(IMAGES.items())
    store.discard(CONTENTS[:2])
    assert store.take_back(CONTENTS[0])
    assert not store.take_back(CONTENTS[0])
    assert not store.take_back(CONTENTS[2])
    assert store.get(CONTENTS[0]) == DATA[0]
    assert store.contents() == {CONTENTS[0], CONTENTS[2]}
    assert store.contents_of_trash(timedelta(0)) == {CONTENTS[1]}


Event = tuple[str, str]


@pytest.fixture
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What is synced and renamed, in this order; paths relative to the test's folder."""
    recorded: list[Event] = []
    fsync: Callable[[int], None] = os.fsync
    replace: Callable[[Path, Path], Path] = Path.replace

    def recording_fsync(descriptor: int) -> None:
        fsync(descriptor)
        synced = Path(f"/proc/self/fd/{descriptor}").readlink()
        recorded.append(("sync", synced.relative_to(tmp_path).as_posix()))

    def recording_replace(source: Path, target: Path) -> Path:
        recorded.append(("rename", target.relative_to(tmp_path).as_posix()))
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(Path, "replace", recording_replace)
    return recorded


def test_the_file_is_synced_before_its_rename_and_the_folders_after_it(tmp_path: Path, events: list[Event]) -> None:
    store, content = opened(tmp_path), CONTENTS[0]
    folder = content[:2]
    store.put([(content, DATA[0])])
    assert events[:2] == [("sync", f"{folder}/{content}.tmp"), ("rename", f"{folder}/{content}")]
    assert sorted(events[2:]) == [("sync", "."), ("sync", folder)]


def test_each_folder_is_synced_once_per_batch(tmp_path: Path, events: list[Event]) -> None:
    data = [next(d for i in range(10_000) if content_hash(d := b"%d %d" % (n, i))[:2] == "ab") for n in range(3)]
    contents = [content_hash(d) for d in data]
    store = opened(tmp_path)
    store.put(zip(contents[:2], data[:2], strict=True))
    assert [event for event in events if not event[1].startswith("ab/")] in (
        [("sync", "."), ("sync", "ab")],
        [("sync", "ab"), ("sync", ".")],
    )
    renamed = {name for event, name in events if event == "rename"}
    assert renamed == {f"ab/{content}" for content in contents[:2]}
    events.clear()
    store.put([(contents[2], data[2])])
    assert events[:2] == [("sync", f"ab/{contents[2]}.tmp"), ("rename", f"ab/{contents[2]}")]
    assert events.count(("sync", "ab")) == 1


def test_a_put_after_a_failed_one_syncs_the_folder_that_the_failed_one_did_not(
    tmp_path: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, content = opened(tmp_path), CONTENTS[0]
    with monkeypatch.context() as patch:
        patch.setattr("index.embedded.images.image_store.sync_folder", disk_is_full)
        with pytest.raises(GalleryFullError, match="the disk of the gallery is full"):
            store.put([(content, DATA[0])])
    events.clear()
    store.put([(content, DATA[0])])
    assert ("sync", content[:2]) in events
