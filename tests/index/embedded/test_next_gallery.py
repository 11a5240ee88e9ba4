import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from index import backup, parquet, restore, trash, verify
from index.embedded.generation import Generation, current_folder, next_generation, remove_others
from index.embedded.next_gallery import NextGallery, open_successor
from index.embedded.opening import open_gallery
from index.embedded.records.successor import Successor
from index.gallery.errors import GalleryError
from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from index.gallery.record import ModelKey, Record, content_hash
from tests.index.embedded.stored_gallery import image_path
from tests.index.naive_search import EVERYTHING, ids, listed
from tests.index.records import DIM, MODEL, enrolment, image, record, vector

NEXT = ModelKey("c" * 64, "float32")
NEXT_DIM = 24


def anew(found: Record) -> Record:
    return replace(found, embedding=vector(int(found.id[:8], 16), NEXT_DIM), model=NEXT)


def fill(successor: Successor) -> None:
    missing = successor.missing()
    successor.put(missing, {seq: anew(found) for seq, found in successor.records_at(missing)})


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Gallery]:
    undo_for = timedelta(hours=1)
    with closing(open_gallery(tmp_path / "data", MODEL, DIM, undo_for=undo_for)) as gallery:
        gallery.enrol([enrolment(seed, camera="north") for seed in range(6)])
        yield gallery


def take_over(data_dir: Path, old: Gallery, undo_for: timedelta = timedelta(hours=1)) -> Gallery:
    with open_successor(data_dir, NEXT) as successor:
        fill(successor)
        following = NextGallery(data_dir, NEXT, NEXT_DIM, scan=None)
        old.enrol([enrolment(8)])
        old.delete(record(1).id)
        old.update(record(2).id, {"camera": "south"})
        old.delete(record(3).id)
        old.enrol([enrolment(3)])
        with old.replacing():
            following.follow(successor.follow())
            fill(successor)
            successor.finish()
            gallery = following.gallery(undo_for)
            try:
                following.take_place()
            except GalleryError:
                gallery.close()
                raise
            return gallery


def test_the_next_gallery_has_every_write_of_the_one_before(tmp_path: Path, old: Gallery) -> None:
    data_dir = tmp_path / "data"
    with closing(take_over(data_dir, old)) as gallery:
        assert listed(gallery) == [record(seed).id for seed in (0, 2, 4, 5, 8, 3)]
        assert gallery.num_searchable == 6
        nearest = anew(record(2)).embedding
        assert ids(gallery.search(nearest, 9, EVERYTHING))[0] == record(2).id
        assert ids(gallery.search(nearest, 9, Filter(cameras=("south",)))) == [record(2).id]
        assert gallery.search(nearest, 9, Filter(cameras=("north",))).searched == 3
        assert gallery.stats(9).stray_images == 0
        # A deletion from before is undone; its record is of the model that embedded it.
        deletion = gallery.deletions()[-1]
        assert gallery.undo(deletion.id).restored == 1
        assert (gallery.num_stale, gallery.get(record(1).id).model) == (1, MODEL)
        assert gallery.image(record(1)) == image(1)
        gallery.enrol([replace(enrolment(20), record=anew(record(20)))])
    assert Generation.read(data_dir) == next_generation_of(data_dir)
    old.close()
    assert remove_others(data_dir, keep="") == [data_dir / "gallery.sqlite"]
    with closing(open_gallery(data_dir, NEXT, NEXT_DIM)) as gallery:
        assert listed(gallery) == [record(seed).id for seed in (0, 2, 4, 5, 8, 3, 1, 20)]


def next_generation_of(data_dir: Path) -> Generation:
    """Of `NEXT`, as it was named before it served."""
    return Generation(next_generation(data_dir, NEXT).name.removesuffix("-again"), NEXT, before="")


def test_where_it_cannot_be_noted_the_one_before_serves_on(
    tmp_path: Path, old: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise GalleryError("the disk refuses")

    with monkeypatch.context() as patch:
        patch.setattr(Generation, "write", refuses)
        with pytest.raises(GalleryError, match="the disk refuses"):
            take_over(tmp_path / "data", old)
    assert current_folder(tmp_path / "data") == tmp_path / "data"
    old.enrol([enrolment(1)])  # which writes as before
    take_over(tmp_path / "data", old).close()


def test_where_only_the_last_word_of_the_disk_is_missing_the_next_start_decides(
    tmp_path: Path, old: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Generation.write

    def refuses_at_last(generation: Generation, data_dir: Path) -> None:
        write(generation, data_dir)
        raise GalleryError("the folder cannot be synced")

    monkeypatch.setattr(Generation, "write", refuses_at_last)
    with closing(take_over(tmp_path / "data", old)) as gallery:
        assert gallery.num_searchable == 6


def run(command: Any, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
    code: int = command.main()
    return code


def test_the_commands_work_on_the_generation_that_serves(
    tmp_path: Path, old: Gallery, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir = tmp_path / "data"
    take_over(data_dir, old).close()
    old.close()
    expected = [record(seed).id for seed in (0, 2, 4, 5, 8, 3)]

    def verified(*further: object) -> Any:
        code = run(verify, monkeypatch, "--data-dir", data_dir, "--json", "--quiet", *further)
        return code, json.loads(capsys.readouterr().out.splitlines()[-1])

    code, found = verified()
    assert (code, found["sound"], found["records"]) == (0, True, 6)
    assert found["other_generations"] == [str(data_dir / "gallery.sqlite")]
    remove_others(data_dir, keep="")
    assert verified()[1]["other_generations"] == []

    assert run(backup, monkeypatch, "--data-dir", data_dir, "--out", tmp_path / "backup", "--quiet") == 0
    restored = tmp_path / "restored"
    assert run(restore, monkeypatch, "--backup", tmp_path / "backup", "--data-dir", restored, "--quiet") == 0
    with closing(open_gallery(restored, NEXT, NEXT_DIM)) as gallery:
        assert (listed(gallery), gallery.num_searchable) == (expected, 6)

    out = tmp_path / "exported"
    assert run(parquet, monkeypatch, "export", "--data-dir", data_dir, "--out", out, "--quiet") == 0
    assert run(parquet, monkeypatch, "import", "--data-dir", data_dir, "--from", out, "--quiet") == 0
    assert run(trash, monkeypatch, "--data-dir", data_dir, "--older-than-days", 0) == 0

    image_path(data_dir, record(2).content).write_bytes(b"damaged")
    (current_folder(data_dir) / "snapshot").mkdir(exist_ok=True)
    (current_folder(data_dir) / "snapshot" / "manifest.json").write_text("{")
    code, found = verified("--repair")
    assert (code, found["num_damaged"]["images"], found["num_damaged"]["snapshot"]) == (1, 1, 1)
    assert not (current_folder(data_dir) / "snapshot").exists()
    with closing(open_gallery(data_dir, NEXT, NEXT_DIM)) as gallery:
        assert listed(gallery) == expected


def test_images_that_are_being_written_stay_while_the_next_gallery_is_opened(tmp_path: Path, old: Gallery) -> None:
    data_dir = tmp_path / "data"
    path = image_path(data_dir, content_hash(image(9)))
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_bytes(b"half of an image")
    with closing(take_over(data_dir, old)):
        assert unfinished.read_bytes() == b"half of an image"
    old.close()
    with closing(open_gallery(data_dir, NEXT, NEXT_DIM)):  # now a crash has left it
        assert not unfinished.exists()
