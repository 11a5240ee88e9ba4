from collections.abc import Sequence
from dataclasses import replace

import pytest

from index.gallery.errors import GalleryError
from index.gallery.record import Record
from index.gallery.verification import Findings, verify_gallery
from tests.index.gallery.verified_records import VerifiedDictStore, stored
from tests.index.records import image, record

NUM = 5
CONTENTS = [record(seed).content for seed in range(1, NUM + 1)]


def test_what_was_enrolled_is_sound() -> None:
    store, files = stored(NUM)
    findings = verify_gallery(store, files)
    assert findings.sound
    assert findings == Findings(num_records=NUM, num_images=NUM)


def test_an_empty_gallery_is_sound() -> None:
    store, files = stored(0)
    assert verify_gallery(store, files) == Findings()


def test_every_kind_of_damage_is_named() -> None:
    store, files = stored(NUM)
    store.broken.add(1)
    files.discard([CONTENTS[1]])
    files.files[CONTENTS[2]] = b"damaged"
    stray, damaged_stray = record(50).content, record(51).content
    files.put([(stray, image(50))])
    files.files[damaged_stray] = b"damaged"
    findings = verify_gallery(store, files)
    (broken,) = findings.damaged_records
    assert (broken.seq, broken.id, broken.source, broken.problem, broken.image) == (
        1, record(1).id, "1.jpg", "it is broken", CONTENTS[0],
    )  # fmt: skip
    by_content = {one.content: one for one in findings.lost_images}
    assert by_content.keys() == {CONTENTS[1], CONTENTS[2]}
    missing, damaged = by_content[CONTENTS[1]], by_content[CONTENTS[2]]
    assert (missing.problem, missing.in_trash, missing.records) == ("missing", True, [(record(2).id, "2.jpg")])
    assert (damaged.problem, damaged.in_trash, damaged.records) == ("damaged", False, [(record(3).id, "3.jpg")])
    assert findings.strays == [stray]
    assert findings.damaged_strays == [damaged_stray]
    assert not findings.sound


def test_the_image_of_a_record_whose_content_is_damaged_is_found_by_its_id() -> None:
    store, files = stored(NUM)
    store.rows[2] = replace(store.rows[2], content="0" * 64)
    store.broken.add(2)
    findings = verify_gallery(store, files)
    assert [(one.seq, one.image) for one in findings.damaged_records] == [(2, CONTENTS[1])]
    assert findings.strays == []
    assert findings.lost_images == []


def test_an_id_that_is_not_that_of_content_and_box_is_damage() -> None:
    store, files = stored(NUM)
    store.rows[2] = replace(store.rows[2], id=record(77).id)
    findings = verify_gallery(store, files)
    assert [(one.seq, one.problem) for one in findings.damaged_records] == [
        (2, "its id is not that of its content and box")
    ]


@pytest.mark.parametrize("phase", ["images", "records"])
def test_what_is_deleted_meanwhile_is_no_damage(phase: str) -> None:
    store, files = stored(NUM)

    def delete(now: str, done: int, _: int) -> None:
        if (now, done) == (phase, NUM if phase == "records" else 1):
            with store.transaction() as writer:
                writer.delete([1, NUM])
            files.discard([CONTENTS[0], CONTENTS[-1]])

    findings = verify_gallery(store, files, delete)
    assert findings.sound
    assert findings.strays == []


def test_what_is_enrolled_meanwhile_is_no_damage() -> None:
    store, files = stored(NUM)

    def enrol(now: str, done: int, _: int) -> None:
        if (now, done) == ("images", NUM):
            files.put([(record(60).content, image(60))])
            with store.transaction() as writer:
                writer.insert(record(60))

    findings = verify_gallery(store, files, enrol)
    assert findings.sound
    assert findings.num_records == NUM + 1


def test_what_is_mended_meanwhile_is_no_damage() -> None:
    store, files = stored(NUM)
    files.files[CONTENTS[1]] = b"damaged"

    def mend(now: str, done: int, _: int) -> None:
        if now == "records":
            files.put([(CONTENTS[1], image(2))])

    assert verify_gallery(store, files, mend).sound


def test_it_stops_when_it_is_asked_to() -> None:
    store, files = stored(NUM)
    seen: list[tuple[str, int, int]] = []
    findings = verify_gallery(store, files, lambda *what: seen.append(what), lambda: len(seen) == 2)
    assert findings.stopped
    assert seen == [("images", 1, NUM), ("images", 2, NUM)]
    assert findings.num_records == 0


class PartlyUnreadable(VerifiedDictStore):
    """Its third record lies where nothing can be read."""

    def records_at(self, seqs: Sequence[int]) -> dict[int, Record]:
        if 3 in seqs:
            raise GalleryError("the disk refuses")
        return super().records_at(seqs)


def test_a_place_that_cannot_be_read_hides_nothing_beside_it() -> None:
    store, files = stored(NUM)
    broken = PartlyUnreadable()
    broken.rows, broken.broken = store.rows, {3, 5}
    findings = verify_gallery(broken, files)
    assert [one.seq for one in findings.damaged_records] == [3, 5]
    assert findings.num_records == NUM
    assert findings.strays == []


def test_records_out_of_order_end_the_walk() -> None:
    store, files = stored(NUM)

    class Unordered(VerifiedDictStore):
        def seqs_after(self, seq: int, limit: int) -> list[int]:
            return [3, 1, 2]

    unordered = Unordered()
    unordered.rows = store.rows
    findings = verify_gallery(unordered, files)
    assert findings.unreadable == "the records are stored out of order"
    assert not findings.sound
    # Which images have a record is not known then.
    assert findings.strays == []
