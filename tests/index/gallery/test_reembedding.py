from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from index.gallery.errors import GalleryError
from index.gallery.fields import Fields
from index.gallery.record import ModelKey, Record, content_hash, record_id
from index.gallery.reembedding import CHUNK_SIZE, reembed
from model.box import Box
from model.embeddings import EmbeddingError, Embeddings
from model.image import decode_image
from model.preprocessing import Preprocessing
from tests.conftest import png

OLD, NEW = ModelKey("a" * 64, "float32"), ModelKey("b" * 64, "float32")
PREPROCESSING = Preprocessing(size_px=32)
FILES = {content_hash(data): data for data in (png(seed) for seed in range(30))}
CONTENTS = list(FILES)


def record_of(frame: int, box: Box) -> Record:
    content = CONTENTS[frame]
    return Record(
        id=record_id(content, box),
        content=content,
        media_type="image/png",
        box=box,
        whole_image=False,
        fields=Fields(identity=f"v{frame}"),
        embedding=np.zeros(3, np.float32),
        theta=np.zeros((2, 3), np.float32),
        model=OLD,
        enrolled_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def embed(images: NDArray[np.uint8]) -> Embeddings:
    """Means of the colours: each image its own."""
    means = images.reshape(len(images), -1, 3).mean(1).astype(np.float32)
    return Embeddings(means, np.repeat(means[:, None], 2, 1))


def expected(record: Record) -> NDArray[np.float32]:
    crop = record.box.cut(decode_image(FILES[record.content]).pixels)
    means: NDArray[np.float32] = PREPROCESSING(crop).reshape(-1, 3).mean(0).astype(np.float32)
    return means


RECORDS = [(10 * number, record_of(number // 7, Box(number % 7, 2, 20, 15))) for number in range(200)]


def test_each_record_gets_its_new_embedding_and_keeps_all_else() -> None:
    chunks = list(reembed(RECORDS, lambda record: FILES[record.content], PREPROCESSING, embed, NEW))
    assert [len(chunk) for chunk in chunks] == [CHUNK_SIZE, CHUNK_SIZE, CHUNK_SIZE, 200 - 3 * CHUNK_SIZE]
    found = [one for chunk in chunks for one in chunk]
    assert [one.seq for one in found] == [seq for seq, _ in RECORDS]
    for one, (_, record) in zip(found, RECORDS, strict=True):
        assert one.problem is None
        assert one.record.model == NEW
        np.testing.assert_array_equal(one.record.embedding, expected(record))
        assert replace(one.record, embedding=record.embedding, theta=record.theta, model=OLD).checksum() == (
            record.checksum()
        )


def test_a_frame_is_decoded_once_for_the_records_that_follow_each_other_in_it() -> None:
    reads: list[str] = []

    def read(record: Record) -> bytes:
        reads.append(record.content)
        return FILES[record.content]

    list(reembed(RECORDS, read, PREPROCESSING, embed, NEW))
    assert sorted(reads) == sorted(CONTENTS[: 200 // 7 + 1])


def test_an_image_that_cannot_be_read_is_the_problem_of_its_records_alone() -> None:
    def read(record: Record) -> bytes:
        if record.content == CONTENTS[1]:
            raise GalleryError("it is lost")
        return b"no image" if record.content == CONTENTS[2] else FILES[record.content]

    records = [*RECORDS[:21], (999, record_of(3, Box(50, 2, 20, 15)))]  # which lies beside its image
    found = [one for chunk in reembed(records, read, PREPROCESSING, embed, NEW) for one in chunk]
    problems = [one.problem for one in found]
    assert problems[:14] == [None] * 7 + ["it is lost"] * 7
    assert all(problem and "no image" not in problem for problem in problems[14:21])
    assert problems[21] == f"the box {records[21][1].box} does not lie on the image of 60 x 40 pixels"
    assert all(one.record is record for one, (_, record) in zip(found, records, strict=True) if one.problem)


def fails_on(bad: Sequence[int]) -> tuple[list[int], object]:
    sizes: list[int] = []
    bad_means = [expected(RECORDS[number][1]) for number in bad]

    def embed_or_fail(images: NDArray[np.uint8]) -> Embeddings:
        sizes.append(len(images))
        embeddings = embed(images)
        if any((embeddings.embedding == mean).all(1).any() for mean in bad_means):
            raise EmbeddingError("not finite")
        return embeddings

    return sizes, embed_or_fail


def test_an_image_without_a_finite_embedding_fails_alone() -> None:
    sizes, embed_or_fail = fails_on([0, 9])
    chunks = reembed(RECORDS[:16], lambda record: FILES[record.content], PREPROCESSING, embed_or_fail, NEW)  # type: ignore[arg-type]
    found = [one for chunk in chunks for one in chunk]
    assert [number for number, one in enumerate(found) if one.problem] == [0, 9]
    assert found[9].problem == "the network could not embed it: not finite"
    assert sizes[0] == 8


def test_a_network_that_embeds_nothing_is_at_fault_itself() -> None:
    _, embed_or_fail = fails_on(range(16))
    with pytest.raises(EmbeddingError, match="not finite"):
        list(reembed(RECORDS[:16], lambda record: FILES[record.content], PREPROCESSING, embed_or_fail, NEW))  # type: ignore[arg-type]


def test_nothing_gives_nothing() -> None:
    assert list(reembed([], lambda _: b"", PREPROCESSING, embed, NEW)) == []
