"""The rows of blocks on a GPU: what may be near is found there, what is nearest is decided where it always is.

The service alone imports this: commands that open a gallery do without torch.
"""

import logging
import threading
from typing import Final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from index.embedded.search.bounds import AskedVectors, Pairs
from index.embedded.search.nearest import Nearest
from index.embedded.search.row_block import RowBlock
from index.embedded.search.stretch import Stretch

_LOG = logging.getLogger(__name__)

# Rows beyond the `top_k` whose distances are taken first, for a limit to begin with.
_MARGIN: Final = 8


class _Mirror:
    """A block's embeddings and their squared norms on the device; the first `num_rows` are there."""

    def __init__(self, block: RowBlock, device: torch.device) -> None:
        self.vectors = torch.empty(block.vectors.shape, device=device)
        self.squares = torch.empty(len(block.vectors), device=device)
        self.num_rows = 0

    def catch_up(self, block: RowBlock, num_rows: int) -> None:
        """Copies what is missing of the first rows, which never change."""
        if num_rows > self.num_rows:
            new = slice(self.num_rows, num_rows)
            self.vectors[new] = torch.from_numpy(block.vectors[new])
            self.squares[new] = torch.from_numpy(block.whole.squares[new])
            self.num_rows = num_rows


class DeviceScan:
    """Implements `certified_search.Scan`: its products are float32 bounds as `Bounds` gives them.

    A block for which the device has no room is left to others.
    """

    def __init__(self, device: torch.device) -> None:
        """Nothing is on the device yet.

        Raises:
            ValueError: torch multiplies with fewer digits than float32 has, and the proof of the bounds would not hold.
        """
        if torch.get_float32_matmul_precision() != "highest":
            raise ValueError("torch multiplies float32 imprecisely: torch.set_float32_matmul_precision('highest')")
        self._device = device
        self._mirrors: WeakKeyDictionary[RowBlock, _Mirror] = WeakKeyDictionary()
        self._has_room = True
        self._one_at_a_time = threading.Lock()

    def look_for_room_again(self) -> None:
        """Something else on the device was closed: blocks that had no room may have some now."""
        self._has_room = True

    def offer(self, nearest: Nearest, asked: AskedVectors, stretch: Stretch) -> bool:
        """Offers all rows of a stretch that may belong to an answer; False if the device has no room for its block."""
        with self._one_at_a_time, torch.inference_mode():
            mirror = self._mirror_of(stretch.block, stretch.stop)
            if mirror is None:
                return False
            products = self._products(mirror, asked, stretch)
            values, row = products.topk(min(nearest.top_k + _MARGIN, len(products)), dim=0, largest=False)
            query = torch.arange(products.shape[1], device=self._device).expand_as(row)
            is_searched = values != torch.inf
            nearest.offer(stretch.number, _pairs(query[is_searched], row[is_searched] + stretch.start))
            products.scatter_(0, row, torch.inf)
            limits = torch.from_numpy(asked.limits(nearest.distances)).to(self._device)
            row, query = (products <= limits).nonzero(as_tuple=True)
            nearest.offer(stretch.number, _pairs(query, row + stretch.start))
            return True

    def _products(self, mirror: _Mirror, asked: AskedVectors, stretch: Stretch) -> Tensor:
        """(N, Q), infinite for rows that are not searched."""
        rows = slice(stretch.start, stretch.stop)
        queries = torch.from_numpy(-2 * asked.vectors).to(self._device)
        squares = mirror.squares[rows]
        products = torch.addmm(squares[:, None], mirror.vectors[rows], queries.T)
        # The product of a row that is too large may be no number.
        products[squares == -torch.inf] = -torch.inf
        products[~torch.from_numpy(stretch.searched).to(self._device)] = torch.inf
        return products

    def _mirror_of(self, block: RowBlock, num_rows: int) -> _Mirror | None:
        mirror = self._mirrors.get(block)
        if mirror is None:
            if not self._has_room:
                return None
            try:
                mirror = self._mirrors[block] = _Mirror(block, self._device)
            except torch.OutOfMemoryError:
                self._has_room = False
                _LOG.warning("the gallery does not fit onto %s: the rest of it is searched by the CPU", self._device)
                return None
        mirror.catch_up(block, num_rows)
        return mirror


def _pairs(query: Tensor, row: Tensor) -> Pairs:
    """By rising row."""
    order = row.argsort(stable=True)
    return Pairs(query[order].cpu().numpy(), row[order].cpu().numpy())
