from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index.datasets.bulk_embedding import BATCH_SIZE
from index.datasets.manifest import Entry, Manifest, Role
from index.datasets.protocol import Protocol
from index.embedded.opening import open_gallery
from index.gallery.bulk_enrolment import COMMIT_SIZE, Outcome, enrol_entries, enrol_in_chunks, enrollable
from index.gallery.fields import Fields
from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from index.gallery.record import ModelKey, Record, content_hash, record_id
from model.box import Box
from model.embeddings import EmbeddingError, Embeddings
from model.preprocessing import Preprocessing
from tests.conftest import picture, png
from tests.index.records import MODEL, OTHER_MODELS

SMALL = Preprocessing(size_px=32)
DIM = 12
Images = NDArray[np.uint8]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(20):
        (folder / f"{seed}.png").write_bytes(png(seed))
    (folder / "broken.png").write_bytes(png(9)[:200])
    return folder


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    with closing(open_gallery(tmp_path / "data", MODEL, DIM)) as gallery:
        yield gallery


class Recording:
    """Embeds an image as 12 of its pixels, its theta as two times six of them, and keeps the sizes of its batches."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, images: Images) -> Embeddings:
        self.sizes.append(len(images))
        pixels = images[:, ::16, ::16].reshape(-1, DIM).astype(np.float32)
        return Embeddings(pixels, 2 * pixels[:, :6].reshape(-1, 2, 3))


def enrol(
    folder: Path,
    gallery: Gallery,
    entries: list[Entry],
    embed: Callable[[Images], Embeddings] | None = None,
    model: ModelKey = MODEL,
    progress: Callable[[int], object] = lambda _: None,
    stop_asked: Callable[[], bool] = lambda: False,
) -> Outcome:
    manifest = Manifest(folder, tuple(entries), Protocol())
    return enrol_entries(manifest, entries, gallery, model, SMALL, embed or Recording(), progress, stop_asked)


def records(gallery: Gallery) -> list[Record]:
    return gallery.page(Filter(), 1000, None).records


def test_queries_and_junk_are_left_out() -> None:
    roles: list[Role | None] = ["train", "query", "gallery", "junk", "distractor", None]
    entries = tuple(Entry(f"{i}.png", role=role) for i, role in enumerate(roles))
    kept = enrollable(Manifest(Path(), entries, Protocol()))
    assert [entry.role for entry in kept] == ["train", "gallery", "distractor", None]


def test_a_record_says_all_that_the_manifest_does(folder: Path, gallery: Gallery) -> None:
    start = datetime.now(UTC)
    further = {"latitude": "50.08", "longitude": "8.24", "colour": "red"}
    entry = Entry("3.png", "van", "north", "gallery", "test", "2026-05-01T12:00:00+02:00", Box(10, 5, 40, 30), further)
    assert enrol(folder, gallery, [entry, Entry("4.png")]) == Outcome(enrolled=2)
    boxed, whole = records(gallery)
    content = content_hash(png(3))
    assert (boxed.id, boxed.content, boxed.media_type) == (record_id(content, Box(10, 5, 40, 30)), content, "image/png")
    assert (boxed.box, boxed.whole_image) == (Box(10, 5, 40, 30), False)
    assert boxed.fields == Fields(
        "van", "north", datetime(2026, 5, 1, 10, tzinfo=UTC), 50.08, 8.24, (), "3.png", {"colour": "red"}
    )
    assert boxed.model == MODEL
    assert start <= boxed.enrolled_at <= datetime.now(UTC)
    expected = Recording()(SMALL(picture(3)[5:35, 10:50])[None])
    assert np.array_equal(boxed.embedding, expected.embedding[0])
    assert np.array_equal(boxed.theta, expected.theta[0])
    assert gallery.image(boxed) == png(3)
    assert (whole.id, whole.box) == (record_id(content_hash(png(4)), Box(0, 0, 60, 40)), Box(0, 0, 60, 40))
    assert (whole.whole_image, whole.fields) == (True, Fields(source="4.png"))


def test_a_second_time_everything_is_there_and_nothing_is_embedded(folder: Path, gallery: Gallery) -> None:
    entries = [Entry(f"{seed}.png", identity="a") for seed in range(20)]
    first, second = Recording(), Recording()
    assert enrol(folder, gallery, entries, first) == Outcome(enrolled=20)
    assert first.sizes == [8, 8, 4]
    assert BATCH_SIZE == 8
    before = [(record.id, record.enrolled_at) for record in records(gallery)]
    changed = [*entries[:19], Entry("19.png", identity="b"), Entry("0.png", identity="a", box=Box(0, 0, 30, 20))]
    assert enrol(folder, gallery, changed, second) == Outcome(enrolled=1, duplicates=20, differing=1)
    assert second.sizes == [1]
    assert [(record.id, record.enrolled_at) for record in records(gallery)][:20] == before
    assert {record.fields.identity for record in records(gallery)} == {"a"}


def test_the_same_vehicle_twice_in_a_manifest_is_enrolled_once(folder: Path, gallery: Gallery) -> None:
    (folder / "copy.png").write_bytes(png(5))
    entries = [Entry("5.png", "a"), Entry("copy.png", "b"), Entry("5.png", "a", box=Box(0, 0, 60, 40))]
    # The copy differs in its identity and its source.
    assert enrol(folder, gallery, entries) == Outcome(enrolled=1, duplicates=2, differing=1)
    assert [record.fields.identity for record in records(gallery)] == ["a"]


def test_what_is_wrong_is_rejected_alone_and_by_name(folder: Path, gallery: Gallery) -> None:
    entries = [
        Entry("0.png", "good"),
        Entry("broken.png", "a"),
        Entry("broken.png", "b", box=Box(0, 0, 9, 9)),
        Entry("missing.png"),
        Entry("1.png", "good"),
        Entry("1.png", box=Box(500, 0, 20, 20)),
        Entry("2.png", captured_at="yesterday"),
        Entry("3.png", captured_at="2026-05-01T12:00:00"),
        Entry("4.png", "good"),
    ]
    done: list[int] = []
    outcome = enrol(folder, gallery, entries, progress=done.append)
    assert (outcome.enrolled, outcome.duplicates) == (3, 0)
    assert [entry for entry, _ in outcome.rejected] == [entries[i] for i in (1, 2, 3, 5, 6, 7)]
    reasons = ["image is damaged", "image is damaged", "No such file", "outside the image of 60 x 40"]
    reasons += ["captured_at: a time is RFC 3339 with its zone"] * 2
    for (_, detail), reason in zip(outcome.rejected, reasons, strict=True):
        assert reason in detail
    assert {record.fields.identity for record in records(gallery)} == {"good"}
    assert sum(done) == len(entries)


@pytest.mark.parametrize("fails_at", [0, 3, 12])
def test_an_interruption_leaves_whole_records_and_the_next_time_goes_on(
    fails_at: int, tmp_path: Path, gallery: Gallery
) -> None:
    folder, num = tmp_path / "many", 2 * COMMIT_SIZE + 5
    folder.mkdir()
    for seed in range(num):
        (folder / f"{seed}.png").write_bytes(png(seed, 24, 16))
    entries, recording = [Entry(f"{seed}.png") for seed in range(num)], Recording()

    def interrupted(images: Images) -> Embeddings:
        if len(recording.sizes) == fails_at:
            raise KeyboardInterrupt
        return recording(images)

    with pytest.raises(KeyboardInterrupt):
        enrol(folder, gallery, entries, interrupted)
    # Transactions of 64, and each of the 64 in batches of 8.
    num_stored = {0: 0, 3: 0, 12: COMMIT_SIZE}[fails_at]
    assert (COMMIT_SIZE, len(records(gallery))) == (64, num_stored)
    assert enrol(folder, gallery, entries) == Outcome(enrolled=num - num_stored, duplicates=num_stored)
    assert [record.content for record in records(gallery)] == [content_hash(png(seed, 24, 16)) for seed in range(num)]


def test_a_network_that_fails_is_an_error_and_not_the_images(folder: Path, gallery: Gallery) -> None:
    def fail(_: Images) -> Embeddings:
        raise EmbeddingError("the network's output is not finite")

    with pytest.raises(EmbeddingError):
        enrol(folder, gallery, [Entry("0.png")], fail)
    assert not records(gallery)


def test_records_of_another_model_are_embedded_anew_and_keep_their_fields(folder: Path, tmp_path: Path) -> None:
    for model, identity, recording in ((OTHER_MODELS[0], "a", Recording()), (MODEL, "b", Recording())):
        with closing(open_gallery(tmp_path / "data", model, DIM)) as gallery:
            outcome = enrol(folder, gallery, [Entry("0.png", identity)], recording, model)
            assert outcome == Outcome(enrolled=1, differing=identity == "b")
            assert recording.sizes == [1]
            assert [(record.model, record.fields.identity) for record in records(gallery)] == [(model, "a")]


def is_true_at(call: int) -> Callable[[], bool]:
    """Says no until it is asked for the `call`-th time, and yes from then on."""
    calls = iter(range(1, 10_000))
    return lambda: next(calls) >= call


@pytest.mark.parametrize(
    ("stopped_at", "num_embedded", "stopped"),
    # Asked before each of the 8 batches of a transaction and after it; the last transaction has one batch.
    [(1, 0, True), (4, 24, True), (9, 64, True), (12, 80, True), (18, 128, True), (19, 128, True), (20, 133, False)],
)
def test_a_stop_keeps_what_is_embedded_and_the_next_time_goes_on(
    stopped_at: int, num_embedded: int, stopped: bool, tmp_path: Path, gallery: Gallery
) -> None:
    folder, num = tmp_path / "many", 2 * COMMIT_SIZE + 5
    folder.mkdir()
    for seed in range(num):
        (folder / f"{seed}.png").write_bytes(png(seed, 24, 16))
    entries, recording = [Entry(f"{seed}.png") for seed in range(num)], Recording()
    outcome = enrol(folder, gallery, entries, recording, stop_asked=is_true_at(stopped_at))
    assert outcome == Outcome(enrolled=num_embedded, stopped=stopped)
    assert sum(recording.sizes) == len(records(gallery)) == num_embedded
    assert enrol(folder, gallery, entries) == Outcome(enrolled=num - num_embedded, duplicates=num_embedded)


def test_a_stop_among_known_vehicles_is_a_stop(tmp_path: Path, gallery: Gallery) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for seed in range(COMMIT_SIZE + 1):
        (folder / f"{seed}.png").write_bytes(png(seed, 24, 16))
    entries = [Entry(f"{seed}.png") for seed in range(COMMIT_SIZE + 1)]
    assert enrol(folder, gallery, entries).enrolled == COMMIT_SIZE + 1
    outcome = enrol(folder, gallery, entries, stop_asked=lambda: True)
    assert outcome == Outcome(duplicates=COMMIT_SIZE, stopped=True)


def test_what_is_suspicious_is_enrolled_with_a_warning_each_time(folder: Path, gallery: Gallery) -> None:
    (folder / "frame.png").write_bytes(png(7, 900, 40))
    entries = [
        Entry("1.png"),
        Entry("1.png", box=Box(0, 0, 12, 9)),
        Entry("frame.png"),
        Entry("2.png", box=Box(40, 0, 40, 40)),
    ]
    for outcome in (enrol(folder, gallery, entries), enrol(folder, gallery, entries)):
        assert outcome.enrolled + outcome.duplicates == 4
        assert [entry for entry, _ in outcome.warnings] == entries[1:]
        details = [detail for _, detail in outcome.warnings]
        assert "has only 12 x 9 pixels" in details[0]
        assert "whole image of 900 x 40 pixels was taken for one vehicle" in details[1]
        assert "50% of the box 40,0,40,40 lie outside" in details[2]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"no image")], ids=["lost", "damaged"])
def test_an_image_that_the_gallery_lost_is_given_back_to_it(
    damage: Callable[[Path], object], folder: Path, gallery: Gallery, tmp_path: Path
) -> None:
    enrol(folder, gallery, [Entry("1.png")])
    (record,) = records(gallery)
    (stored,) = [path for path in (tmp_path / "data").rglob("*") if path.is_file() and record.content in path.name]
    damage(stored)
    assert enrol(folder, gallery, [Entry("1.png")]) == Outcome(duplicates=1)
    assert gallery.image(record) == stored.read_bytes() == png(1)


def test_a_path_that_no_file_can_have_is_rejected_alone(folder: Path, gallery: Gallery) -> None:
    entries = [Entry("a\0b.png", further={"source": "x"}), Entry("a" * 300), Entry("."), Entry("1.png")]
    outcome = enrol(folder, gallery, entries)
    assert (outcome.enrolled, [entry for entry, _ in outcome.rejected]) == (1, entries[:3])


def test_a_name_in_the_other_unicode_form_is_the_same_file(folder: Path, gallery: Gallery) -> None:
    (folder / "Zoe\u0308.png").write_bytes(png(1))
    (folder / "\u00e9.png").write_bytes(png(2))
    outcome = enrol(folder, gallery, [Entry("Zo\u00eb.png"), Entry("e\u0301.png"), Entry("\u00fc.png")])
    assert (outcome.enrolled, [entry.path for entry, _ in outcome.rejected]) == (2, ["\u00fc.png"])
    assert [record.fields.source for record in records(gallery)] == ["Zo\u00eb.png", "\u00e9.png"]


def in_chunks(folder: Path, gallery: Gallery, entries: list[Entry], embed: Recording, skip: int = 0) -> list[Outcome]:
    def read(entry: Entry) -> bytes:
        return (folder / entry.path).read_bytes()

    return list(enrol_in_chunks(iter(entries), read, gallery, MODEL, SMALL, embed, skip=skip))


def test_the_chunks_are_the_same_each_time_and_can_be_gone_on_with(folder: Path, gallery: Gallery) -> None:
    entries = [Entry(f"{i % 20}.png", "a", line=i + 2) for i in range(150)]
    entries[70:70] = [Entry("missing.png", line=1000)]
    whole = in_chunks(folder, gallery, entries, Recording())
    assert [outcome.num_entries for outcome in whole] == [64, 64, 23]
    assert sum(outcome.enrolled for outcome in whole) == 20
    assert sum(outcome.duplicates for outcome in whole) == 130
    assert [remark.entry.line for outcome in whole for remark in outcome.rejected] == [1000]
    again = Recording()
    for num_skipped in (1, 2):
        rest = in_chunks(folder, gallery, entries, again, skip=num_skipped * COMMIT_SIZE)
        assert [outcome.num_entries for outcome in rest] == [64, 23][num_skipped - 1 :]
        assert [len(outcome.rejected) for outcome in rest] == [len(one.rejected) for one in whole[num_skipped:]]
    assert in_chunks(folder, gallery, entries, again, skip=151) == []
    assert again.sizes == []


def test_the_entries_of_one_file_come_together_and_it_is_read_once(folder: Path, gallery: Gallery) -> None:
    read: list[str] = []

    def noted(entry: Entry) -> bytes:
        read.append(entry.path)
        return (folder / entry.path).read_bytes()

    entries = [Entry(f"{i % 3}.png", box=Box(i, 0, 20, 20)) for i in range(30)]
    (outcome,) = enrol_in_chunks(entries, noted, gallery, MODEL, SMALL, Recording())
    assert outcome.enrolled == 30
    assert [record.fields.source for record in records(gallery)] == ["0.png"] * 10 + ["1.png"] * 10 + ["2.png"] * 10
    assert len(read) == 3 + 3  # to find the vehicles, and to store each file


def test_the_same_vehicle_in_one_chunk_is_embedded_once(folder: Path, gallery: Gallery) -> None:
    recording = Recording()
    entries = [Entry(f"{i % 2}.png", "a") for i in range(60)]
    (outcome,) = in_chunks(folder, gallery, entries, recording)
    assert (outcome.enrolled, outcome.duplicates, recording.sizes) == (2, 58, [2])


@pytest.mark.parametrize("unfit", [{2}, {0, 1}, {3, 19}, {19}])
def test_an_image_that_the_network_cannot_embed_is_rejected_alone(
    folder: Path, gallery: Gallery, unfit: set[int]
) -> None:
    """As by HTTP; but a network that embeds nothing is at fault itself."""
    bad = {SMALL(picture(seed)).tobytes() for seed in unfit}

    class Refusing(Recording):
        def __call__(self, images: Images) -> Embeddings:
            if any(image.tobytes() in bad for image in images):
                raise EmbeddingError("the network's output is not finite")
            return super().__call__(images)

    (outcome,) = in_chunks(folder, gallery, [Entry(f"{seed}.png") for seed in range(20)], Refusing())
    assert outcome.enrolled == 20 - len(unfit)
    assert {remark.entry.path for remark in outcome.rejected} == {f"{seed}.png" for seed in unfit}
    assert {remark.detail for remark in outcome.rejected} == {
        "the network could not embed it: the network's output is not finite"
    }
