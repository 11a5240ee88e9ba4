"""What a snapshot consists of: its manifest, a JSON text with a checksum of its own."""

import json
import sys
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import xxhash

_FORMAT: Final = "sanet-snapshot-1"

Kind = Literal["keys", "vectors", "folded"]
"""What of a block's rows is kept in which file."""
KINDS: Final[tuple[Kind, ...]] = ("keys", "vectors", "folded")


class ManifestError(ValueError):
    """A text that is no manifest, or not as it was written."""


@dataclass(frozen=True)
class Piece:
    """A file with some more rows of a block; a piece follows the one before.

    Attributes:
        name: of the file.
        checksum: of the file, xxh3_128.
    """

    num_rows: int
    name: str
    checksum: str


@dataclass(frozen=True)
class SavedBlock:
    """The pieces of a block.

    Attributes:
        last_seq: of its last row. Between it and that of the block before, the model has no other rows.
        keys: the rows' seqs, ids and times of enrolment.
        vectors: their embeddings.
        folded: their folded vectors, by the manifest's folding; of no row or of all.
    """

    last_seq: int
    keys: tuple[Piece, ...] = ()
    vectors: tuple[Piece, ...] = ()
    folded: tuple[Piece, ...] = ()

    @property
    def num_rows(self) -> int:
        """Dead ones too, if they were dead when they were saved."""
        return num_rows_of(self.keys)

    def pieces_of(self, kind: Kind) -> tuple[Piece, ...]:
        """Those of one kind."""
        pieces: tuple[Piece, ...] = getattr(self, kind)
        return pieces

    def with_pieces(self, kind: Kind, pieces: tuple[Piece, ...]) -> "SavedBlock":
        """With others of one kind."""
        return SavedBlock(**{**vars(self), kind: pieces})

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """All of them."""
        return (*self.keys, *self.vectors, *self.folded)


@dataclass(frozen=True)
class SavedFolding:
    """The file of a folding with so many directions, and its checksum, xxh3_128."""

    num_directions: int
    name: str
    checksum: str


@dataclass(frozen=True)
class MadeFor:
    """Whose rows a snapshot has: another index cannot use it."""

    fingerprint: str
    precision: str
    dim: int
    block_rows: int
    byteorder: str = sys.byteorder


@dataclass(frozen=True)
class Manifest:
    """A snapshot: its files, and what `RowBlocks` goes on with.

    Attributes:
        refold_at: so many rows make the index learn its next folding.
    """

    made_for: MadeFor
    refold_at: int
    folding: SavedFolding | None
    blocks: tuple[SavedBlock, ...]

    @property
    def names(self) -> set[str]:
        """Of all files."""
        of_folding = set() if self.folding is None else {self.folding.name}
        return of_folding | {piece.name for block in self.blocks for piece in block.pieces}

    def to_json(self) -> str:
        """As `from_json` reads it."""
        contents = {"format": _FORMAT} | asdict(self)
        return json.dumps({"xxh3_128": _checksum(contents), "snapshot": contents}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Manifest | None":
        """The manifest in a text; None if another version of this program wrote it.

        Raises:
            ManifestError: it is damaged.
        """
        try:
            document = json.loads(text)
            contents = document["snapshot"]
            if _checksum(contents) != document["xxh3_128"]:
                raise ManifestError("does not have its checksum")
            if contents["format"] != _FORMAT:
                return None
            folding = contents["folding"]
            return cls(
                MadeFor(**contents["made_for"]),
                contents["refold_at"],
                None if folding is None else SavedFolding(**folding),
                tuple(map(_block, contents["blocks"])),
            )
        except ManifestError:
            raise
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise ManifestError(f"is no manifest of a snapshot: {error}") from error


def num_rows_of(pieces: tuple[Piece, ...]) -> int:
    """Rows that the pieces hold."""
    return sum(piece.num_rows for piece in pieces)


def _block(contents: dict[str, Any]) -> SavedBlock:
    pieces = {kind: tuple(Piece(**piece) for piece in contents[kind]) for kind in KINDS}
    return SavedBlock(contents["last_seq"], **pieces)


def _checksum(contents: object) -> str:
    return xxhash.xxh3_128(json.dumps(contents, sort_keys=True).encode()).hexdigest()
