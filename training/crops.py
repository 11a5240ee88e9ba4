"""Training images, decoded, cut and resized ahead of the step that takes them, in threads.

Threads, not processes: Pillow works without the interpreter's lock, and all share one cache, without the shared memory
that containers lack.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from index.bulk_embedding import cut_entry
from index.manifest import Entry, Manifest
from index.prefetch import prefetch
from model.box import BoxError
from model.cores import usable_cores
from model.image import read_image
from model.preprocessing import Preprocessing


class Crops:
    """The entries' vehicles as the network takes them; those that fit into the cache are prepared once.

    Args:
        manifest: whose folder the paths start from.
        entries: one vehicle each.
        preprocessing: of the network.
        cache_gb: how much memory they may take; 256 × 256 pixels have 0.2 MB.
    """

    def __init__(
        self, manifest: Manifest, entries: Sequence[Entry], preprocessing: Preprocessing, cache_gb: float
    ) -> None:
        self._manifest, self._entries, self._preprocessing = manifest, entries, preprocessing
        self._cache: dict[int, NDArray[np.uint8]] = {}
        self._room = int(cache_gb * 1e9) // (3 * preprocessing.size_px**2)
        self._in_file: dict[str, list[int]] = defaultdict(list)
        for position, entry in enumerate(entries):
            self._in_file[entry.path].append(position)

    def __getitem__(self, position: int) -> NDArray[np.uint8]:
        """One entry's image (S, S, 3).

        Raises:
            ImageError, BoxError, OSError: it cannot be used; the message names the file.
        """
        cached = self._cache.get(position)
        if cached is not None:
            return cached
        entry = self._entries[position]
        path = self._manifest.path_of(entry)
        try:
            pixels = read_image(path)
            prepared = self._preprocessing(cut_entry(entry, pixels))
            # A frame is decoded once for all of its vehicles.
            for other in self._in_file[entry.path]:
                if len(self._cache) < self._room and other not in self._cache:
                    crop = cut_entry(self._entries[other], pixels)
                    self._cache[other] = prepared if other == position else self._preprocessing(crop)
        except BoxError as error:
            raise BoxError(f"{path}: {error}") from error
        return prepared

    def batches(self, positions: Iterable[NDArray[np.int64]]) -> Iterator[Tensor]:
        """For each (N,) positions a batch (N, 3, S, S) uint8, channels last, made ahead in threads."""
        num_threads = usable_cores()
        with ThreadPoolExecutor(num_threads, "crops") as pool:
            yield from prefetch(pool, self._batch, positions, ahead=2 * num_threads)

    def _batch(self, positions: NDArray[np.int64]) -> Tensor:
        batch = torch.from_numpy(np.stack([self[position] for position in positions.tolist()])).permute(0, 3, 1, 2)
        return batch.pin_memory() if torch.cuda.is_available() else batch
