"""A checkpoint in pieces small enough to be carried back, and whole again."""

from pathlib import Path

PIECE_BYTES = 15 * 2**20


def split_file(path: Path, out: Path) -> list[Path]:
    """Writes ``NAME.000``, ``NAME.001``, .. into a folder, in the place of an earlier file's."""
    for earlier in _pieces_of(out, path.name):
        earlier.unlink()
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
        FileNotFoundError: there is none, or one before the last is missing.
    """
    pieces = _pieces_of(folder, name)
    if not pieces:
        raise FileNotFoundError(f"no piece of {name} in {folder}")
    expected = {f"{name}.{number:03}" for number in range(int(pieces[-1].suffix[1:]) + 1)}
    if missing := sorted(expected - {piece.name for piece in pieces}):
        raise FileNotFoundError(f"of {name} {', '.join(missing)} did not come to {folder}")
    out.write_bytes(b"".join(piece.read_bytes() for piece in pieces))


def _pieces_of(folder: Path, name: str) -> list[Path]:
    return sorted(folder.glob(f"{name}.[0-9][0-9][0-9]"))
