from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import index.embedded.images.image_trash
from index.embedded.images.image_trash import ImageTrash
from index.gallery.record import content_hash

DATA = b"an image"
CONTENT = content_hash(DATA)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of an image, not yet written."""
    folder = tmp_path / "images" / CONTENT[:2]
    folder.mkdir(parents=True)
    return folder / CONTENT


@pytest.fixture
def trash(tmp_path: Path) -> ImageTrash:
    return ImageTrash(tmp_path / "trash")


def throw_on(trash: ImageTrash, path: Path, day: datetime, data: bytes = DATA) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return day

    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index.embedded.images.image_trash, "datetime", Clock)
        trash.throw(path)
    assert not path.exists()


def copies(tmp_path: Path) -> dict[str, bytes]:
    root = tmp_path / "trash"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_file_lies_under_the_day_in_utc_and_its_own_name(trash: ImageTrash, path: Path, tmp_path: Path) -> None:
    throw_on(trash, path, datetime(2026, 11, 26, 23, 59, tzinfo=UTC))
    assert copies(tmp_path) == {f"2026-11-26/images/{CONTENT[:2]}/{CONTENT}": DATA}


def test_a_damaged_file_does_not_replace_an_intact_one(trash: ImageTrash, path: Path, tmp_path: Path) -> None:
    day = datetime(2026, 11, 26, tzinfo=UTC)
    name = f"2026-11-26/images/{CONTENT[:2]}/{CONTENT}"
    throw_on(trash, path, day, b"damaged")
    assert copies(tmp_path) == {name: b"damaged"}
    throw_on(trash, path, day)
    throw_on(trash, path, day, b"damaged again")
    assert copies(tmp_path) == {name: DATA}


def test_shelf_by_shelf_all_is_removed(trash: ImageTrash, tmp_path: Path) -> None:
    day = datetime(2026, 11, 26, tzinfo=UTC)
    names = []
    for number in range(40):
        data = str(number).encode()
        names.append(content_hash(data))
        file = tmp_path / "images" / names[-1][:2] / names[-1]
        file.parent.mkdir(parents=True, exist_ok=True)
        throw_on(trash, file, day, data)
    kept, shelf = names[0], names[1][:2]
    of_shelf = {name for name in names if name[:2] == shelf} - {kept}
    assert trash.contents(timedelta(0), shelf) - {kept} == of_shelf
    assert trash.empty(timedelta(0), {kept}, shelf) == len(of_shelf)
    assert {Path(name).name for name in copies(tmp_path)} == set(names) - of_shelf
    shelves = [f"{number:02x}" for number in range(256)]
    assert sum(trash.empty(timedelta(0), {kept}, one) for one in shelves) == 39 - len(of_shelf)
    assert {Path(name).name for name in copies(tmp_path)} == {kept}
    assert trash.empty(timedelta(0), (), kept[:2]) == 1
    assert not list((tmp_path / "trash").iterdir())


def test_the_newest_intact_copy_comes_back(trash: ImageTrash, path: Path, tmp_path: Path) -> None:
    for day, data in ((1, DATA), (2, DATA), (3, b"damaged")):
        throw_on(trash, path, datetime(2026, 11, day, tzinfo=UTC), data)
    (tmp_path / "trash" / "notes").mkdir()
    assert trash.take_back(CONTENT, path)
    assert path.read_bytes() == DATA
    assert {name[:10] for name in copies(tmp_path)} == {"2026-11-01", "2026-11-03"}
    assert not trash.take_back("0" * 64, path)


@pytest.mark.parametrize(
    ("days", "left"), [(10, {0, 1, 5, 9}), (9, {0, 1, 5}), (5, {0, 1}), (1, {0}), (0, set())], ids=str
)
def test_what_is_older_than_a_time_is_removed(
    trash: ImageTrash, path: Path, tmp_path: Path, days: int, left: set[int]
) -> None:
    now = datetime.now(UTC)
    for age in (0, 1, 5, 9):
        throw_on(trash, path, now - timedelta(days=age))
    (tmp_path / "trash" / "2020-01-99").mkdir()
    (tmp_path / "trash" / "2020-01-99" / "foreign").write_bytes(b"")
    expired = {0, 1, 5, 9} - left
    assert trash.contents(timedelta(days=days)) == ({CONTENT} if expired else set())
    assert trash.empty(timedelta(days=days)) == len(expired)
    kept = {(now - timedelta(days=age)).date().isoformat() for age in left}
    assert {name[:10] for name in copies(tmp_path)} == kept | {"2020-01-99"}


def test_a_trash_that_never_was_used_is_empty(trash: ImageTrash, path: Path, tmp_path: Path) -> None:
    assert not trash.take_back(CONTENT, path)
    assert (trash.empty(timedelta(0)), trash.contents(timedelta(0))) == (0, set())
    assert not (tmp_path / "trash").exists()


def test_what_is_kept_stays_in_the_folder_of_its_day(trash: ImageTrash, path: Path, tmp_path: Path) -> None:
    other = path.with_name(content_hash(b"another")[:2] + "0" * 62)
    for day, files in ((1, [path]), (2, [path, other]), (3, [other])):
        for file in files:
            throw_on(trash, file, datetime(2026, 1, day, tzinfo=UTC), file.name.encode())
    assert trash.empty(timedelta(0), {CONTENT}) == 2
    assert sorted(name[:10] for name in copies(tmp_path)) == ["2026-01-01", "2026-01-02"]
    assert {Path(name).name for name in copies(tmp_path)} == {CONTENT}
    assert trash.empty(timedelta(0)) == 2
    assert copies(tmp_path) == {}
