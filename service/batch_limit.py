"""How many images a device is given at once, once it had no memory for more."""

import sys
from typing import Final

# Full batches that have to fit before twice as many images are tried; twice as long after each trial that fails.
_PATIENCE: Final = 32
_MOST_PATIENCE: Final = 1024


class BatchLimit:
    """Any number of images, until so many did not fit: then the half of them.

    After `_PATIENCE` full batches twice as many are tried, for others may have given their memory back. Where they do
    not fit, nothing is lost but the trial, and the next comes after twice as many batches. The limit is gone once as
    many images fit as did not in the beginning.
    """

    def __init__(self) -> None:
        self._limit: int | None = None
        self._did_not_fit = 0  # the most images that did not
        self._num_full = 0  # batches in a row
        self._patience = _PATIENCE

    @property
    def is_limited(self) -> bool:
        """Whether there is less room than there was."""
        return self._limit is not None

    @property
    def num_images(self) -> int:
        """The most that may be tried at once now; `sys.maxsize` as long as nothing was too much."""
        if self._limit is None:
            return sys.maxsize
        return 2 * self._limit if self._num_full >= self._patience else self._limit

    def note_too_many(self, num_images: int) -> None:
        """So many, more than one, did not fit."""
        if self._limit is not None and num_images > self._limit:
            self._patience = min(2 * self._patience, _MOST_PATIENCE)
        else:
            self._limit = num_images // 2
        self._did_not_fit = max(self._did_not_fit, num_images)
        self._num_full = 0

    def note_fit(self, num_images: int) -> None:
        """So many fit."""
        if self._limit is None or num_images < self._limit:
            return
        if num_images == self._limit:
            self._num_full += 1
            return
        self._limit, self._num_full = num_images, 0
        if num_images >= self._did_not_fit:
            self._limit, self._did_not_fit, self._patience = None, 0, _PATIENCE
