"""Snapshots of whole galleries: SQLite beneath, the policy above."""

from contextlib import closing
from pathlib import Path

import pytest

from index.embedded.opening import open_gallery
from index.embedded.records.record_store import SqliteRecordStore
from index.gallery.gallery import Gallery
from index.gallery.record import ModelKey
from tests.index.embedded.snapshot.stored_rows import SIZES
from tests.index.naive_search import EVERYTHING, ids, listed, naive
from tests.index.records import DIM, MODEL, OTHER_MODELS, enrolment, in_one_frame, record, tamper, vector

NUM = 50
ALL = [in_one_frame(seed) for seed in range(NUM)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    with closing(opened(folder)) as gallery:
        gallery.enrol(ALL)
    assert (folder / "snapshot" / "manifest.json").exists()
    return folder


def opened(folder: Path, model: ModelKey = MODEL) -> Gallery:
    return open_gallery(folder, model, DIM, SIZES)


def loaded_alone(patch: pytest.MonkeyPatch) -> None:
    """No record of the first blocks is read: its embedding comes from the snapshot."""
    records_after = SqliteRecordStore.records_after

    def few(self: SqliteRecordStore, seq: int, model: ModelKey) -> object:
        assert seq >= NUM
        return records_after(self, seq, model)

    patch.setattr(SqliteRecordStore, "records_after", few)


def test_a_gallery_opens_from_its_snapshot_and_answers_as_before(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        loaded_alone(patch)
        gallery = opened(folder)
    with closing(gallery):
        assert ids(gallery.search(vector(3), 9, EVERYTHING)) == naive(ALL, vector(3), 9)
        assert listed(gallery) == [one.record.id for one in ALL]
        assert list(gallery.index_problems) == []
        gallery.delete(ALL[7].record.id)
        gallery.update(ALL[8].record.id, {"identity": "new"})
        gallery.enrol([in_one_frame(seed) for seed in range(NUM, NUM + 3)])
        left = [one for one in (*ALL, *map(in_one_frame, range(NUM, NUM + 3))) if one is not ALL[7]]
        assert ids(gallery.search(vector(7), 9, EVERYTHING)) == naive(left, vector(7), 9)
    with closing(opened(folder)) as gallery:
        assert ids(gallery.search(vector(7), 9, EVERYTHING)) == naive(left, vector(7), 9)
        assert gallery.get(ALL[8].record.id).fields.identity == "new"


def test_a_damaged_snapshot_is_said_and_costs_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = sorted((folder / "snapshot").glob("*.vectors"))[0]
    path.write_bytes(path.read_bytes()[:-1])
    with closing(opened(folder)) as gallery:
        (problem,) = gallery.index_problems
        assert problem.startswith(f"{path} has ")
        assert caplog.text.count(problem) == 1
        assert gallery.num_damaged == 0
        assert ids(gallery.search(vector(3), NUM, EVERYTHING)) == naive(ALL, vector(3), NUM)
    with closing(opened(folder)) as gallery:
        assert list(gallery.index_problems) == []


@pytest.mark.parametrize("column", ["id", "media_type", "tags", "enrolled_at", "identity"])
def test_a_record_damaged_behind_the_snapshot_is_never_served(folder: Path, column: str) -> None:
    value = {"id": "'é'", "enrolled_at": "7"}.get(column, "'x'")
    tamper(folder / "gallery.sqlite", f"UPDATE record SET {column} = {value} WHERE seq = 5")
    with closing(opened(folder)) as gallery:
        left = [one for one in ALL if one is not ALL[4]]
        assert ids(gallery.search(vector(4), NUM, EVERYTHING)) == naive(left, vector(4), NUM)
        assert gallery.num_damaged == 1


def test_damage_that_opening_did_not_see_counts_once_it_is_read(folder: Path) -> None:
    for seq in (5, 44):
        tamper(folder / "gallery.sqlite", f"UPDATE record SET media_type = 'x' WHERE seq = {seq}")
    with closing(opened(folder)) as gallery:
        assert gallery.num_damaged == 0
        left = [one for one in ALL if one not in (ALL[4], ALL[43])]
        assert ids(gallery.search(vector(4), NUM, EVERYTHING)) == naive(left, vector(4), NUM)
        assert gallery.num_damaged == 2


def test_an_older_database_beside_the_newer_snapshot(folder: Path) -> None:
    older = (folder / "gallery.sqlite").read_bytes()
    with closing(opened(folder)) as gallery:
        gallery.enrol([in_one_frame(seed) for seed in range(NUM, NUM + 40)])
    (folder / "gallery.sqlite").write_bytes(older)
    with closing(opened(folder)) as gallery:
        assert ids(gallery.search(vector(60), 9, EVERYTHING)) == naive(ALL, vector(60), 9)
        others = [in_one_frame(seed) for seed in range(200, 215)]
        gallery.enrol(others)
        assert ids(gallery.search(vector(205), 9, EVERYTHING)) == naive([*ALL, *others], vector(205), 9)
    with closing(opened(folder)) as gallery:
        assert ids(gallery.search(vector(205), 9, EVERYTHING)) == naive([*ALL, *others], vector(205), 9)


def test_another_model_embeds_anew_and_its_snapshot_replaces_the_first(folder: Path) -> None:
    anew = [in_one_frame(seed, model=OTHER_MODELS[0]) for seed in range(NUM)]
    with closing(opened(folder, OTHER_MODELS[0])) as gallery:
        assert gallery.num_searchable == 0
        gallery.enrol(anew)
    with closing(opened(folder, OTHER_MODELS[0])) as gallery:
        assert ids(gallery.search(vector(3), 9, EVERYTHING)) == naive(anew, vector(3), 9)
    with closing(opened(folder)) as gallery:
        assert gallery.num_searchable == 0
        gallery.enrol([enrolment(99)])
        assert ids(gallery.search(vector(3), 9, EVERYTHING)) == [record(99).id]
