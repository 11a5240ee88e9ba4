import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import index.gallery.parquet_import
from index.gallery.parquet_export import Export
from index.gallery.parquet_import import ExportedRecords, ImportOutcome, import_gallery
from index.gallery.record import Record
from index.gallery.record_parquet import ParquetError, read_records
from tests.index.gallery.memory_backend import DictImages, DictStore
from tests.index.records import OTHER_MODELS, image, record, values, vector

RECORDS = [
    record(1, identity="a", source="1.jpg"),
    record(2, model=OTHER_MODELS[0], embedding=vector(2, 5)),
    *(record(seed, camera="north") for seed in range(3, 12)),
]
IMAGES = DictImages()
IMAGES.put((one.content, image(seed)) for seed, one in enumerate(RECORDS, start=1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, RECORDS)
    return tmp_path


def write(folder: Path, records: Sequence[Record]) -> None:
    export = Export(folder, "zstd", lambda *_: None, lambda: False, group_rows=4, file_rows=8)
    export.write_records(enumerate(records, start=10), len(records))
    export.finish()


def run(
    folder: Path, store: DictStore, files: DictImages, images: DictImages = IMAGES, **options: Any
) -> ImportOutcome:
    defaults = {"progress": lambda *_: None, "stop_asked": lambda: False}
    return import_gallery(ExportedRecords(folder), images, store, files, **{**defaults, **options})


def stored(store: DictStore) -> list[dict[str, object]]:
    return [values(store.rows[seq]) for seq in sorted(store.rows)]


def test_everything_comes_back_in_the_order_of_enrolment(folder: Path) -> None:
    store, files = DictStore(), DictImages()
    outcome = run(folder, store, files)
    assert outcome == ImportOutcome(num_records=len(RECORDS), imported=len(RECORDS))
    assert stored(store) == [values(one) for one in RECORDS]
    assert files.files == IMAGES.files


def test_what_is_there_stays_as_it_is(folder: Path) -> None:
    store, files = DictStore(), DictImages()
    files.put([(record(3).content, image(3)), (record(2).content, image(2))])
    with store.transaction() as writer:
        writer.insert(record(3, camera="mine"))
        writer.insert(record(2, embedding=vector(2)))
    outcome = run(folder, store, files)
    assert (outcome.imported, outcome.duplicates, outcome.differing) == (len(RECORDS) - 2, 2, 2)
    assert stored(store)[:2] == [values(record(3, camera="mine")), values(record(2, embedding=vector(2)))]
    again = run(folder, store, files)
    assert (again.imported, again.duplicates, again.differing) == (0, len(RECORDS), 2)


def test_what_is_there_damaged_is_replaced(folder: Path) -> None:
    store, files = DictStore(), DictImages()
    run(folder, store, files)
    store.broken.add(1)
    files.files[record(5).content] = b"damaged"
    outcome = run(folder, store, files)
    assert (outcome.imported, outcome.duplicates) == (1, len(RECORDS) - 1)
    assert store.broken == set()
    assert stored(store)[-1] == values(RECORDS[0])
    assert files.files == IMAGES.files


def test_damaged_records_are_left_out_and_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(path: Path, rows: int) -> Any:
        for one in read_records(path, rows):
            if one.id == RECORDS[4].id:
                assert one.record is not None
                yield one._replace(record=replace(one.record, media_type="image/x"))
            elif one.id == RECORDS[5].id:
                yield one._replace(record=None)
            else:
                yield one

    monkeypatch.setattr(index.gallery.parquet_import, "read_records", damaged)
    store = DictStore()
    outcome = run(folder, store, DictImages())
    assert outcome.damaged_records == [RECORDS[4].id, RECORDS[5].id]
    assert stored(store) == [values(one) for one in RECORDS if one not in RECORDS[4:6]]


def test_an_image_that_is_lost_is_named_and_a_later_import_brings_it(folder: Path) -> None:
    store, files, images = DictStore(), DictImages(), DictImages()
    images.files = {**IMAGES.files, record(4).content: b"damaged"}
    del images.files[record(5).content]
    outcome = run(folder, store, files, images)
    assert outcome.imported == len(RECORDS)
    assert outcome.lost_images.keys() == {record(4).content, record(5).content}
    assert run(folder, store, files).lost_images == {}
    assert files.files == IMAGES.files


def test_stopped_it_keeps_what_is_done_and_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index.gallery.parquet_import, "CHUNK", 4)
    store, files = DictStore(), DictImages()
    outcome = run(folder, store, files, stop_asked=lambda: len(store.rows) >= 4)
    assert outcome.stopped
    assert stored(store) == [values(one) for one in RECORDS[:4]]
    assert files.files.keys() == {one.content for one in RECORDS[:4]}
    assert run(folder, store, files).imported == len(RECORDS) - 4
    assert stored(store) == [values(one) for one in RECORDS]


def test_an_incomplete_export_is_refused(folder: Path) -> None:
    (folder / "records-00000.parquet").rename(folder / "elsewhere")
    with pytest.raises(ParquetError, match=r"lacks records-00000\.parquet"):
        ExportedRecords(folder)
    (folder / "elsewhere").rename(folder / "records-00000.parquet")
    described = json.loads((folder / "export.json").read_text())
    described["files"]["records-00000.parquet"] += 1
    (folder / "export.json").write_text(json.dumps(described))
    with pytest.raises(ParquetError, match=f"should have {len(RECORDS) + 1} records, it has {len(RECORDS)}"):
        run(folder, DictStore(), DictImages())


@pytest.mark.parametrize("text", ["", "[]", '{"files": 5}', '{"files": {}, "format": "sanet-parquet-2"}', "\xff"])
def test_what_is_no_export_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ParquetError, match="there is no export"):
        ExportedRecords(tmp_path)
    (tmp_path / "export.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ParquetError, match=r"is damaged|has the format"):
        ExportedRecords(tmp_path)
