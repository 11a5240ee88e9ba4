"""What the field's data sets have in common: text files with a name and an identity on each line."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from index.datasets.manifest import ManifestError

IMAGE_SUFFIXES: Final = {".jpg", ".jpeg", ".png", ".webp"}


def read_labels(path: Path) -> Iterator[tuple[str, str]]:
    """(name, identity) of each line ``<name> <identity>``; empty lines do not count.

    Raises:
        ManifestError: a line of another form, by its number.
    """
    for number, line in enumerate(_lines(path), start=1):
        # A path may have spaces, an identity has none.
        name, _, identity = line.rpartition(" ") if " " in line else line.rpartition("\t")
        if not line:
            continue
        if not name.strip() or not identity.removeprefix("-").isdigit():
            raise ManifestError(f'{path}, line {number}: expected "<image> <identity as a number>", got {line[:80]!r}')
        yield name.strip(), identity


def read_names(path: Path) -> list[str]:
    """The lines of a list of images, the empty ones left out."""
    return [line for line in _lines(path) if line]


def require(folder: Path, *names: str) -> None:
    """Checks that a data set's files and folders are where they belong.

    Raises:
        ManifestError: with every path that was expected and is missing.
    """
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise ManifestError(f"{folder} is not this data set: expected {', '.join(missing)} in it")


class ImageIndex:
    """Finds a data set's images below its folder by a path or by their bare name, with or without a suffix."""

    def __init__(self, folder: Path) -> None:
        self._paths: dict[str, list[str]] = defaultdict(list)
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in IMAGE_SUFFIXES:
                relative = path.relative_to(folder)
                # By every ending of its path: "a/b/1.jpg", "b/1.jpg", "1.jpg".
                for start in range(len(relative.parts)):
                    ending = Path(*relative.parts[start:])
                    self._paths[ending.as_posix()].append(relative.as_posix())
                    self._paths[ending.with_suffix("").as_posix()].append(relative.as_posix())
        self._folder = folder

    def find(self, name: str, *, below: str = "") -> str:
        """The image's path, relative to the folder; `below` settles which of several folders is meant.

        Raises:
            ManifestError: there is no such image, or several.
        """
        wanted = name.replace("\\", "/").removeprefix("./")
        found = self._paths.get(wanted, [])
        # A list made elsewhere has a path of that machine: its last part is what counts.
        found = found or self._paths.get(wanted.rpartition("/")[2], [])
        if below:
            found = [path for path in found if below in path.split("/")[:-1]] or found
        if len(set(found)) != 1:
            what = f"{len(set(found))} images called so" if found else "no such image"
            raise ManifestError(f"{name} is listed, but below {self._folder} there is {what}")
        return found[0]


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    except FileNotFoundError:
        raise ManifestError(f"expected the list {path}, and it is not there") from None
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is no text: {error}") from None
