"""A checkpoint in pieces small enough to be carried back, and whole again."""

from pathlib import Path

PIECE_BYTES = 15 * 2**20


def split_file(path: Path, out: Path) -> list[Path]:
    """Writes ``NAME.000``, ``NAME.001``, .. into a folder."""
    data = path.read_bytes()
    pieces = []
    for number, start in enumerate(range(0, len(data), PIECE_BYTES)):
        piece = out / f"{path.name}.{number:03}"
        piece.write_bytes(data[start : start + PIECE_BYTES])
        pieces.append(piece)
    return pieces


def join_file(folder: Path, name: str, out: Path) -> None:
    """Puts the pieces of a file together again.

    Raises:
        FileNotFoundError: there is none.
    """
    pieces = sorted(folder.glob(f"{name}.[0-9][0-9][0-9]"))
    if not pieces:
        raise FileNotFoundError(f"no piece of {name} in {folder}")
    out.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
