"""Records embedded anew by another model, from the images that are stored of them."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import groupby, islice
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.datasets.bulk_embedding import BATCH_SIZE, EmbedBatch
from index.datasets.prefetch import prefetch
from index.gallery.errors import GalleryError
from index.gallery.record import ModelKey, Record
from model.cores import usable_cores
from model.embeddings import EmbeddingError
from model.image import ImageError, decode_image
from model.preprocessing import Preprocessing

CHUNK_SIZE: Final = 8 * BATCH_SIZE
"""Records in one chunk: what is lost at most when the program is killed."""

# Prepared vehicles of one frame that are held together.
_MOST_OF_FRAME: Final = CHUNK_SIZE

Numbered = tuple[int, Record]
"""A record and its seq."""


class Reembedded(NamedTuple):
    """A record as another model has embedded it, or why it cannot be.

    Attributes:
        seq: of the record.
        record: with the new embedding; as it was where there is a problem.
    """

    seq: int
    record: Record
    problem: str | None


class _Prepared(NamedTuple):
    """A record with the network's image (S, S, 3) uint8 of it, or why there is none."""

    seq: int
    record: Record
    image: NDArray[np.uint8] | None
    problem: str | None


def reembed(
    records: Iterable[Numbered],
    read_image: Callable[[Record], bytes],
    preprocessing: Preprocessing,
    embed_batch: EmbedBatch,
    model: ModelKey,
) -> Iterator[list[Reembedded]]:
    """Embeds records anew and yields them in their order, `CHUNK_SIZE` at a time.

    Args:
        records: those of one frame that follow each other share its decoding; only a few hundred are held at a time.
        read_image: the bytes of a record's image file; called from several threads.
        preprocessing: of the new model.
        embed_batch: of the new model; called with up to `BATCH_SIZE` images, in this thread.
        model: the new one.

    Raises:
        EmbeddingError: the network is at fault: it embeds no image at all.
    """
    network = _Network(embed_batch)
    with closing(_prepare(records, read_image, preprocessing)) as prepared:
        while chunk := list(islice(prepared, CHUNK_SIZE)):
            yield list(_embed(chunk, network, model))


def _embed(chunk: Sequence[_Prepared], network: "_Network", model: ModelKey) -> Iterator[Reembedded]:
    images = [one.image for one in chunk if one.image is not None]
    batches = [network.embed(images[start : start + BATCH_SIZE]) for start in range(0, len(images), BATCH_SIZE)]
    embedded = iter([one for batch in batches for one in batch])
    for one in chunk:
        if one.image is None:
            yield Reembedded(one.seq, one.record, one.problem)
            continue
        found = next(embedded)
        if isinstance(found, EmbeddingError):
            yield Reembedded(one.seq, one.record, f"the network could not embed it: {found}")
        else:
            embedding, theta = found
            yield Reembedded(one.seq, replace(one.record, embedding=embedding, theta=theta, model=model), None)


_Embedding = tuple[NDArray[np.float32], NDArray[np.float32]]


class _Network:
    """Embeds images; one without a finite embedding fails alone, once the network has embedded others."""

    def __init__(self, embed_batch: EmbedBatch) -> None:
        self._embed_batch = embed_batch
        self._has_embedded = False

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> list[_Embedding | EmbeddingError]:
        """Embedding (D,) and theta (2, 3) of each image, or why there are none.

        Raises:
            EmbeddingError: the network has embedded nothing so far.
        """
        try:
            embeddings = self._embed_batch(np.stack(images))
        except EmbeddingError as error:
            if len(images) > 1:
                return self._embed_one_by_one(images)
            if not self._has_embedded:
                raise
            return [error]
        self._has_embedded = True
        return list(zip(embeddings.embedding, embeddings.theta, strict=True))

    def _embed_one_by_one(self, images: Sequence[NDArray[np.uint8]]) -> list[_Embedding | EmbeddingError]:
        found: dict[int, _Embedding | EmbeddingError] = {}
        failed: list[int] = []
        for number, image in enumerate(images):
            try:
                found[number] = self.embed([image])[0]
            except EmbeddingError:  # nothing was embedded before it
                failed.append(number)
        for number in failed:
            found[number] = self.embed([images[number]])[0]
        return [found[number] for number in range(len(images))]


def _prepare(
    records: Iterable[Numbered], read_image: Callable[[Record], bytes], preprocessing: Preprocessing
) -> Generator[_Prepared, None, None]:
    """Decodes frames ahead in threads, each once for the records that follow each other in it."""

    def prepare(of_frame: list[Numbered]) -> list[_Prepared]:
        try:
            pixels = decode_image(read_image(of_frame[0][1])).pixels
        except (GalleryError, ImageError) as error:
            return [_Prepared(seq, record, None, str(error)) for seq, record in of_frame]
        return [_cut(seq, record, pixels, preprocessing) for seq, record in of_frame]

    with ThreadPoolExecutor(usable_cores(), "reembed") as pool:
        for prepared in prefetch(pool, prepare, _by_frame(records), ahead=2 * usable_cores()):
            yield from prepared


def _cut(seq: int, record: Record, pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> _Prepared:
    crop = record.box.cut(pixels)
    if crop.shape[:2] != (record.box.h, record.box.w):
        size = f"{pixels.shape[1]} x {pixels.shape[0]}"
        return _Prepared(seq, record, None, f"the box {record.box} does not lie on the image of {size} pixels")
    return _Prepared(seq, record, preprocessing(crop), None)


def _by_frame(records: Iterable[Numbered]) -> Iterator[list[Numbered]]:
    for _, of_frame in groupby(records, key=lambda numbered: numbered[1].content):
        while together := list(islice(of_frame, _MOST_OF_FRAME)):
            yield together
