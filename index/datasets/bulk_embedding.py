"""Whole manifests through a network: files are decoded ahead in threads, each once, and embedded in fixed batches."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.datasets.manifest import Entry, Manifest
from index.datasets.prefetch import prefetch
from index.datasets.vehicle_box import locate_box
from model.box import BoxError
from model.cores import usable_cores
from model.embeddings import Embeddings
from model.image import ImageError, decode_image, read_image
from model.preprocessing import Preprocessing

BATCH_SIZE: Final = 8
"""Images in one batch. Fixed, because the last digits of an embedding depend on the batch that it was computed in."""

EmbedBatch = Callable[[NDArray[np.uint8]], Embeddings]
"""Preprocessed images (N, S, S, 3) -> their embeddings; such as `Embedder.embed_prepared`."""


class Prepared(NamedTuple):
    """One entry's vehicle as the network takes it (S, S, 3), and the SHA-256 of the file it came from."""

    position: int
    image: NDArray[np.uint8]
    content: str


class EmbeddedEntries(NamedTuple):
    """Embeddings (N, D) and thetas (N, 2, 3) in the order of the entries, and each file's SHA-256."""

    embedding: NDArray[np.float32]
    theta: NDArray[np.float32]
    content: list[str]


def embed_entries(
    manifest: Manifest,
    entries: Sequence[Entry],
    preprocessing: Preprocessing,
    embed_batch: EmbedBatch,
    progress: Callable[[int], object] = lambda _: None,
) -> EmbeddedEntries:
    """Embeds every entry; the same numbers on the same device whoever calls it.

    Args:
        manifest: whose folder the entries' paths start from.
        entries: at least one.
        preprocessing: of the network that embeds.
        embed_batch: called with up to `BATCH_SIZE` images, in this thread, batch after batch.
        progress: told, batch by batch, how many more entries are done.

    Raises:
        ImageError, BoxError, OSError: a file or box that cannot be used, by name: figures without it would be others.
    """
    content = [""] * len(entries)
    parts: list[Embeddings] = []
    order: list[int] = []
    images = prepare_entries(manifest, entries, preprocessing)
    while batch := list(islice(images, BATCH_SIZE)):
        parts.append(embed_batch(np.stack([prepared.image for prepared in batch])))
        for prepared in batch:
            order.append(prepared.position)
            content[prepared.position] = prepared.content
        progress(len(batch))
    back = np.argsort(order)
    embedding, theta = (np.concatenate(arrays)[back] for arrays in zip(*parts, strict=True))
    return EmbeddedEntries(embedding, theta, content)


def prepare_entries(manifest: Manifest, entries: Sequence[Entry], preprocessing: Preprocessing) -> Iterator[Prepared]:
    """Decodes each file once, cuts and resizes its entries; file by file in the order of first appearance."""
    positions: dict[str, list[int]] = defaultdict(list)
    for position, entry in enumerate(entries):
        positions[entry.path].append(position)

    def prepare(of_file: list[int]) -> list[Prepared]:
        path = manifest.path_of(entries[of_file[0]])
        data = path.read_bytes()
        content = hashlib.sha256(data).hexdigest()
        try:
            pixels = decode_image(data).pixels
            crops = (cut_entry(entries[position], pixels) for position in of_file)
            return [Prepared(i, preprocessing(crop), content) for i, crop in zip(of_file, crops, strict=True)]
        except (ImageError, BoxError) as error:
            raise type(error)(f"{path}: {error}") from error

    with ThreadPoolExecutor(usable_cores(), "prepare") as pool:
        for prepared in prefetch(pool, prepare, positions.values(), ahead=2 * usable_cores()):
            yield from prepared


def read_entry(manifest: Manifest, entry: Entry) -> NDArray[np.uint8]:
    """One entry's vehicle (h, w, 3), read from its file.

    Raises:
        ImageError, BoxError, OSError: it cannot be used.
    """
    return cut_entry(entry, read_image(manifest.path_of(entry)))


def cut_entry(entry: Entry, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The entry's vehicle (h, w, 3) in the upright pixels (H, W, 3) of its file, as a gallery would locate it.

    Raises:
        BoxError: the box does not lie on the image, or too little of it.
    """
    box, _ = locate_box(entry.box, pixels)
    return box.cut(pixels)
