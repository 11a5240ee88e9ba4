"""Every layout that was published: ``galleries/layout-N`` was written by the program of its time, and is never changed.

``layout-1`` by that of commit e688dac, ``layout-2`` by the first one with ``index.verify``.
"""

import shutil
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from index.embedded.backup.backing_up import back_up
from index.embedded.backup.restoring import restore
from index.embedded.gallery_check import FolderFindings, check_folder
from index.embedded.gallery_repair import repair_folder
from index.embedded.images.image_reader import ImageReader
from index.embedded.opening import open_gallery
from index.embedded.records.record_reader import RecordReader
from index.gallery.parquet_export import Export
from index.gallery.record import Record
from index.gallery.record_parquet import read_records
from tests.index.embedded.stored_gallery import tree
from tests.index.gallery.memory_backend import DictImages
from tests.index.records import DIM, LEFT, MODEL, OTHER_MODELS, RIGHT, record, values

GALLERIES = Path(__file__).parent / "galleries"
TIME = datetime(2025, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)

LAYOUT_2 = {
    1: record(
        1, identity="van 7", camera="Nørth", captured_at=TIME, latitude=50.5, longitude=-8.25, tags=("größe", "red"),
        source="flight 3/b.jpg", attributes={"höhe": "40 m", "pilot": "Kim"},
    ),
    2: record(2, frame=90, box=LEFT, source="frame.jpg", latitude=-90.0, longitude=180.0),
    3: record(3, frame=90, box=RIGHT, source="frame.jpg", attributes={"a": '"', "b": "'"}),
    4: record(4, model=OTHER_MODELS[0], identity="of another model"),
    6: record(6, model=OTHER_MODELS[1], camera="south"),
    8: record(8, captured_at=TIME),
}  # fmt: skip
"""What is in it, by seq; seq 5 is damaged, and seq 7 was deleted."""

# Layout 1: seqs of intact records, the damaged one, and how many images have no record.
SEQS = {"layout-1": [1, 2, 3, 4, 6, 7, 9], "layout-2": list(LAYOUT_2)}


@pytest.fixture(params=["layout-1", "layout-2"])
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(layout: str, tmp_path: Path) -> Path:
    shutil.copytree(GALLERIES / layout, tmp_path / "data")
    return tmp_path / "data"


def check(folder: Path) -> FolderFindings:
    return check_folder(folder, lambda *_: None, lambda: False)


def intact(folder: Path) -> dict[int, Record]:
    with RecordReader(folder / "gallery.sqlite") as reader:
        return {seq: one for seq, one in reader.walk() if isinstance(one, Record)}


def test_it_is_read_as_it_was_written(folder: Path, layout: str) -> None:
    found = intact(folder)
    assert list(found) == SEQS[layout]
    if layout == "layout-2":
        assert {seq: values(one) for seq, one in found.items()} == {seq: values(one) for seq, one in LAYOUT_2.items()}


def test_it_is_verified_without_being_changed(folder: Path) -> None:
    before = tree(folder)
    found = check(folder)
    assert found.database == []
    assert [one.seq for one in found.gallery.damaged_records] == [5]
    assert found.gallery.lost_images == []
    assert tree(folder) == before


def test_it_opens(folder: Path, layout: str) -> None:
    with closing(open_gallery(folder, MODEL, DIM)) as gallery:
        assert gallery.num_searchable == sum(one.model == MODEL for one in intact(folder).values())
        assert gallery.num_stale == (1 if layout == "layout-1" else 2)


def test_it_is_repaired(folder: Path, layout: str) -> None:
    repair = repair_folder(folder, check(folder))
    assert len(repair.enrol_again) == 1
    assert check(folder).sound
    assert list(intact(folder)) == SEQS[layout]


def test_it_is_backed_up_and_restored(folder: Path, tmp_path: Path, layout: str) -> None:
    outcome = back_up(
        folder, tmp_path / "backup", check=False, prune=False, progress=lambda *_: None, stop_asked=lambda: False
    )
    assert len(outcome.damaged_records) == 1
    assert outcome.lost_images == {}
    new = tmp_path / "new"
    restore(tmp_path / "backup", new, partial=False, progress=lambda *_: None, stop_asked=lambda: False)
    assert list(intact(new)) == SEQS[layout]
    with closing(open_gallery(new, MODEL, DIM)) as gallery:
        assert gallery.stats(0).damaged_images == 0


def test_it_is_exported(folder: Path, tmp_path: Path, layout: str) -> None:
    out = tmp_path / "export"
    out.mkdir()
    export = Export(out, "none", lambda *_: None, lambda: False)
    with RecordReader(folder / "gallery.sqlite") as reader:
        expected = {seq: values(one) for seq, one in reader.walk() if isinstance(one, Record)}
        export.write_records(reader.walk(), reader.num_records())
        files = DictImages()
        export.write_images(reader.contents(), 0, ImageReader(folder).get_also_from_trash, files)
    assert len(export.outcome.damaged_records) == 1
    assert export.outcome.lost_images == {}
    found = {one.seq: one.record and values(one.record) for one in read_records(out / "records-00000.parquet", 100)}
    assert found == expected
    assert list(found) == SEQS[layout]
