"""Training images, decoded, cut and resized in threads: all of them once before the first step, and later if need be.

Threads, not processes: Pillow works without the interpreter's lock, and all share one cache, without the shared memory
that containers lack.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from index.datasets.bulk_embedding import cut_entry
from index.datasets.manifest import Entry, Manifest
from index.datasets.prefetch import prefetch
from model.box import BoxError
from model.cores import usable_cores
from model.image import ImageError, read_image
from model.preprocessing import Preprocessing

MASK_COLUMN = "mask"
"""The manifest's column: a picture of the image's size, white where the vehicle is, in the image's folder."""


class Crops:
    """The entries' vehicles as the network takes them, on the device that trains.

    If all fit into the memory they are kept on the device; else as many as fit in main memory, and the others are read
    anew, ahead of the step that takes them.

    Args:
        manifest: whose folder the paths start from.
        entries: one vehicle each.
        preprocessing: of the network.
        device: where batches are wanted.
        memory_gb: how much the images may take, in units of 10⁹ bytes; 256 × 256 pixels have 0.2 MB.
        with_masks: whether each has its mask as a fourth channel; 255 everywhere, where the data has none.
    """

    def __init__(
        self,
        manifest: Manifest,
        entries: Sequence[Entry],
        preprocessing: Preprocessing,
        device: torch.device,
        memory_gb: float,
        *,
        with_masks: bool = False,
    ) -> None:
        self._manifest, self._entries, self._preprocessing = manifest, list(entries), preprocessing
        self._device, self._with_masks = device, with_masks
        self._for_masks = replace(preprocessing, mean=(0.0, 0.0, 0.0))  # what it pads with: no vehicle is there
        side = preprocessing.size_px
        self._shape = (side, side, 4 if with_masks else 3)
        self._num_fitting = memory_gb * 1e9 / (self._shape[2] * side**2)
        self._places: NDArray[np.int64] = np.arange(len(self._entries))
        self._resident: Tensor | None = None
        self._cache: dict[int, NDArray[np.uint8]] = {}

    def load(self, progress: Callable[[int], object] = lambda _: None) -> dict[int, str]:
        """Reads every image once, each file once, and keeps what fits.

        Args:
            progress: told, file by file, how many more entries are done.

        Returns:
            What is wrong with those that cannot be used, by their position; the message names the file.
        """
        fit = len(self._entries) <= self._num_fitting
        images = np.zeros((len(self._entries), *self._shape), np.uint8) if fit else None
        damaged: dict[int, str] = {}
        in_file: dict[str, list[int]] = defaultdict(list)
        for position, entry in enumerate(self._entries):
            in_file[entry.path].append(position)
        num_threads = usable_cores()
        with ThreadPoolExecutor(num_threads, "crops") as pool:
            for read in prefetch(pool, self._read_file, in_file.values(), ahead=2 * num_threads):
                for position, image in read:
                    if isinstance(image, str):
                        damaged[position] = image
                    elif images is not None:
                        images[position] = image
                    elif len(self._cache) + 1 <= self._num_fitting:
                        self._cache[position] = image
                progress(len(read))
        if images is not None:
            self._resident = torch.from_numpy(images).to(self._device)
        return damaged

    def leave_out(self, damaged: Collection[int]) -> None:
        """Numbers the other entries anew, in their order."""
        self._places = np.array([place for place in range(len(self._entries)) if place not in damaged], np.int64)

    def batches(self, positions: Iterable[NDArray[np.int64]]) -> Iterator[Tensor]:
        """For each (N,) positions a batch (N, C, S, S) uint8 on the device, channels last.

        Raises:
            ImageError, BoxError, OSError: it cannot be used any more; the message names the file.
        """
        if self._resident is not None:
            for chosen in positions:
                yield self._resident[torch.from_numpy(self._places[chosen]).to(self._device)].permute(0, 3, 1, 2)
            return
        num_threads = usable_cores()
        with ThreadPoolExecutor(num_threads, "crops") as pool:
            for batch in prefetch(pool, self._read_batch, positions, ahead=2 * num_threads):
                yield batch.to(self._device, non_blocking=True)

    def _read_batch(self, positions: NDArray[np.int64]) -> Tensor:
        batch = torch.from_numpy(np.stack([self._cached(place) for place in self._places[positions].tolist()]))
        return (batch.pin_memory() if self._device.type == "cuda" else batch).permute(0, 3, 1, 2)

    def _cached(self, place: int) -> NDArray[np.uint8]:
        cached = self._cache.get(place)
        if cached is not None:
            return cached
        entry = self._entries[place]
        return self._prepare(entry, read_image(self._manifest.path_of(entry)))

    def _read_file(self, positions: list[int]) -> list[tuple[int, NDArray[np.uint8] | str]]:
        """The vehicles of one file, or what is wrong with each."""
        try:
            pixels = read_image(self._manifest.path_of(self._entries[positions[0]]))
        except (ImageError, OSError) as error:
            return [(position, str(error)) for position in positions]
        read: list[tuple[int, NDArray[np.uint8] | str]] = []
        for position in positions:
            try:
                read.append((position, self._prepare(self._entries[position], pixels)))
            except (ImageError, BoxError, OSError) as error:
                read.append((position, str(error)))
        return read

    def _prepare(self, entry: Entry, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        try:
            image = self._preprocessing(cut_entry(entry, pixels))
        except BoxError as error:
            raise BoxError(f"{self._manifest.path_of(entry)}: {error}") from error
        if not self._with_masks:
            return image
        return np.concatenate([image, self._mask(entry, pixels.shape[:2])], axis=2)

    def _mask(self, entry: Entry, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """The vehicle's mask (S, S, 1), cut and resized like its image."""
        name = entry.further.get(MASK_COLUMN)
        if not name:
            return np.full((*self._shape[:2], 1), 255, np.uint8)
        path = self._manifest.path_of(entry).parent / name
        mask = read_image(path)
        if mask.shape[:2] != shape:
            raise ImageError(f"{path} is {mask.shape[1]} x {mask.shape[0]} pixels, its image {shape[1]} x {shape[0]}")
        return self._for_masks(cut_entry(entry, mask))[:, :, :1]
