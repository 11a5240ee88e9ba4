"""The manifest, the one plain data format: a CSV of images, and beside it a JSON sidecar with the protocol."""

import csv
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, NamedTuple, TextIO, get_args

from index.datasets.protocol import Protocol
from model.box import Box, BoxError
from model.whole_file import whole_file

Role = Literal["train", "query", "gallery", "junk", "distractor"]
_ROLES: Final = get_args(Role)
_COLUMNS: Final = ("path", "identity", "camera", "role", "split", "captured_at", "box")
_NAMES: Final = ("identity", "camera", "split")
_MAX_LINE: Final = 1_000_000
_OF_PROTOCOLS: Final = (*_COLUMNS, "draws")


Opener = Callable[[str, int], int]
"""From a path and the flags of `os.open` to a file descriptor."""


class ManifestError(ValueError):
    """A manifest that cannot be read or used; the message names the file, the line and what was expected."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: one vehicle in one image. An empty text means that it is not known.

    Identity, camera and split are names: kept and compared in Unicode's composed form (NFC), without spaces at their
    ends, so that one vehicle is not two because of the program that wrote its name.

    Attributes:
        path: of the image, relative to the manifest's folder.
        role: what a protocol uses it for; None if the manifest does not say.
        split: such as ``train``, ``val`` or ``test``.
        box: the vehicle in the image; None if the image is the crop.
        further: the manifest's other columns.
        line: where it stands in its file, from 1; 0 if it was not read from one. Two entries that differ in it alone
            are equal.
    """

    path: str
    identity: str = ""
    camera: str = ""
    role: Role | None = None
    split: str = ""
    captured_at: str = ""
    box: Box | None = None
    further: dict[str, str] = field(default_factory=dict)
    line: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        for column in _NAMES:
            object.__setattr__(self, column, _name(getattr(self, column)))

    @property
    def key(self) -> tuple[str, Box | None]:
        """What makes it this vehicle in this image, whatever a protocol uses it for."""
        return self.path, self.box

    @property
    def place(self) -> str:
        """Which entry it is, for a message: its path and, if it has one, its line."""
        path = self.path.replace("\0", "\\0")  # which would spoil the terminal or the log that shows it
        return f"{path} (line {self.line})" if self.line else path

    def column(self, name: str) -> str:
        """The text in any column, empty where there is none."""
        if name not in _COLUMNS:
            return self.further.get(name, "")
        value = getattr(self, name)
        return "" if value is None else str(value)


class UnusableLine(NamedTuple):
    """A line that is no entry: its number from 1, its path as far as it could be read, and the reason."""

    line: int
    path: str
    reason: str


@dataclass(frozen=True)
class Manifest:
    """The entries in the order of the file, the folder their paths start from, and their protocol.

    Attributes:
        warnings: what was left out when they were read, for whoever reads figures made of them.
    """

    folder: Path
    entries: tuple[Entry, ...]
    protocol: Protocol
    warnings: tuple[str, ...] = ()

    def path_of(self, entry: Entry) -> Path:
        """Where the entry's image lies.

        Archives made on a Mac write names in Unicode's decomposed form. So where nothing lies at the path as it is
        written, but at one of its other forms, it is that file.

        Raises:
            ManifestError: the path has a NUL character, which no file's has.
        """
        if "\0" in entry.path:
            raise ManifestError(f"{entry.place}: the path has a NUL character, which no file's has: correct the line")
        return Path(form_on_disk(str(self.folder / entry.path)))

    def count(self, column: str) -> Counter[str]:
        """How often each value of a column occurs, the empty one included."""
        return Counter(entry.column(column) for entry in self.entries)

    def keep(self, condition: Callable[[Entry], bool]) -> "Manifest":
        """The manifest of those entries alone."""
        return replace(self, entries=tuple(filter(condition, self.entries)))

    def where(self, conditions: Iterable[str]) -> "Manifest":
        """The entries for which every ``column=value`` holds.

        Raises:
            ManifestError: a condition that is none, on a column that does not exist, or that nothing fulfils.
        """
        kept = self
        columns = set(_COLUMNS).union(*(entry.further for entry in self.entries))
        for condition in conditions:
            column, equals, value = condition.partition("=")
            if not equals or column not in columns:
                raise ManifestError(
                    f"a condition is column=value, the column one of {', '.join(sorted(columns))}; got {condition!r}"
                )
            before = kept
            wanted = _name(value) if column in _NAMES else value
            kept = replace(before, entries=tuple(e for e in before.entries if e.column(column) == wanted))
            if not kept.entries:
                values = ", ".join(map(repr, sorted(before.count(column))[:10]))
                raise ManifestError(f"no line fulfils {condition!r}: {column} has the values {values}")
        return kept


def form_on_disk(path: str) -> str:
    """The path itself if something lies there, or else its composed or decomposed form if something lies at that."""
    if path.isascii() or os.path.exists(path):  # noqa: PTH110 - Path.exists raises for a name that is too long
        return path
    others = (unicodedata.normalize(form, path) for form in ("NFC", "NFD"))
    return next(filter(os.path.exists, others), path)


class ManifestLines:
    """The lines of a manifest below its header, read one by one as they are iterated: millions need no memory.

    Attributes:
        path: of the CSV; of a folder, its ``manifest.csv``.
    """

    def __init__(self, path: Path, required: tuple[str, ...] = ("path",), opener: Opener | None = None) -> None:
        """Opens nothing yet.

        Args:
            path: a manifest, or a folder with a ``manifest.csv``.
            required: the columns that it must have.
            opener: as the built-in `open` takes it; by default the file is opened as the system does, through links.
        """
        self.path = _file(path)
        self._required = required
        self._opener = opener
        self._num_headers = 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was left out in the last iteration, as far as it went."""
        if not self._num_headers:
            return ()
        return (f"lines that repeat the header, as in files that were joined, left out: {self._num_headers}",)

    def __iter__(self) -> Iterator[Entry | UnusableLine]:
        """In the order of the file.

        Raises:
            ManifestError: the file is missing, cannot be read, is no CSV with the required columns, or has no line.
        """
        self._num_headers = 0
        num_lines = 0
        try:
            # What is no UTF-8 becomes lone surrogates, so that it spoils its own line and no other.
            with open(
                self.path, newline="", encoding="utf-8-sig", errors="surrogateescape", opener=self._opener
            ) as file:
                records = _records(_bounded_lines(self.path, file))
                header = _header(self.path, records, self._required)
                for line, values, reason in records:
                    # Each of the files that were joined may have begun with a byte order mark.
                    if values and [values[0].removeprefix("\ufeff"), *values[1:]] == header:
                        self._num_headers += 1
                        continue
                    num_lines += 1
                    yield UnusableLine(line, "", reason) if reason else _entry(line, header, values)
        except FileNotFoundError:
            raise ManifestError(f"there is no manifest at {self.path}") from None
        except OSError as error:
            raise ManifestError(f"the manifest {self.path} cannot be read: {error}") from None
        if not num_lines:
            raise ManifestError(f"the manifest {self.path} has no line below its header")


def read_manifest(path: Path) -> Manifest:
    """Reads a manifest, or a folder's ``manifest.csv``, and the ``.json`` of the same name if there is one.

    Raises:
        ManifestError: missing, not a CSV with ``path`` and ``identity``, or a line that cannot be used.
        ProtocolError: the sidecar cannot be used.
    """
    manifest, unusable = _read(path, ("path", "identity"))
    if unusable:
        line, _, reason = unusable[0]
        raise ManifestError(f"{_file(path)}, line {line}: {reason}")
    return manifest


def read_usable_lines(path: Path) -> tuple[Manifest, list[UnusableLine]]:
    """As `read_manifest`, but a line that cannot be used is left out alone, and no column but ``path`` is required.

    For an enrolment, where each line stands for itself; figures without some of the lines would be others.

    Raises:
        ManifestError: missing, or not a CSV with ``path``.
        ProtocolError: the sidecar cannot be used.
    """
    return _read(path, ("path",))


def write_manifest(path: Path, entries: Iterable[Entry], protocol: Protocol) -> None:
    """Writes the CSV and its sidecar, each whole or not at all; the CSV, which makes them a manifest, last.

    Raises:
        ManifestError: a value that is no UTF-8, such as the name of a file in another encoding; nothing is written.
    """
    entries = list(entries)
    further = sorted(set[str]().union(*(entry.further for entry in entries)))
    columns = [*_COLUMNS, *further]
    rows = [[entry.column(column) for column in columns] for entry in entries]
    for entry, row in zip(entries, rows, strict=True):
        if not _is_utf8(row):
            raise ManifestError(f"{entry.place} cannot be written into a manifest: its name is not in UTF-8; rename it")
    # A lone carriage return would end a line for who reads it, and only quoting everything quotes it.
    with_return = any("\r" in text for row in rows for text in row)
    with whole_file(path.with_suffix(".json")) as temporary:
        temporary.write_text(protocol.to_json(), "utf-8")
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL if with_return else csv.QUOTE_MINIMAL)
        writer.writerow(columns)
        writer.writerows(rows)


def _read(path: Path, required: tuple[str, ...]) -> tuple[Manifest, list[UnusableLine]]:
    lines = ManifestLines(path, required)
    entries: list[Entry] = []
    unusable: list[UnusableLine] = []
    for line in lines:
        if isinstance(line, Entry):
            entries.append(line)
        else:
            unusable.append(line)
    return Manifest(lines.path.parent, tuple(entries), _protocol(lines.path), lines.warnings), unusable


def _file(path: Path) -> Path:
    return path / "manifest.csv" if path.is_dir() else path


def _records(file: Iterable[str]) -> Iterator[tuple[int, list[str], str]]:
    """The number of the first line, the values, and why they cannot be read, of each record that is not empty."""
    reader = csv.reader(file, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            until = f" (up to line {reader.line_num})" if reader.line_num > line else ""
            yield line, [], f"it is no CSV in UTF-8: {error}{until}"
            continue
        if values and not (len(values) == 1 and values[0].isspace()):
            yield line, values, "" if _is_utf8(values) else "it is no CSV in UTF-8: save the file in this encoding"


def _bounded_lines(path: Path, file: TextIO) -> Iterator[str]:
    """The lines of a file; one that does not end is not read to its end: it may be anything but text."""
    while line := file.readline(_MAX_LINE):
        if len(line) == _MAX_LINE:
            raise ManifestError(f"{path} is no manifest: it has a line of {_MAX_LINE:,} characters or more")
        yield line


def _header(path: Path, records: Iterator[tuple[int, list[str], str]], required: tuple[str, ...]) -> list[str]:
    line, columns, reason = next(records, (1, [], ""))
    if reason:
        raise ManifestError(f"{path}, line {line}: {reason}")
    if not set(required) <= set(columns) or len(set(columns)) < len(columns):
        came = ", ".join(columns)
        if len(came) > 200:
            came = f"{came[:200]}..."
        others = ", ".join(column for column in _COLUMNS if column not in required)
        raise ManifestError(
            f"{path} is no manifest: expected a CSV whose first line names the columns {' and '.join(required)} (and "
            f"{others} if they are known), separated by commas, each once; got {came!r}"
        )
    for column in columns:
        # Read as somebody's own column, it would be missing where it counts, and the figures would be others.
        meant = column.strip().casefold()
        if meant != column and meant in _OF_PROTOCOLS:
            raise ManifestError(
                f"{path}: the column {column!r} is not called {meant!r}: rename it to this, or to something else"
            )
    return columns


def _entry(line: int, columns: list[str], values: list[str]) -> Entry | UnusableLine:
    row = dict(zip(columns, values, strict=False))
    path, role, box = row.get("path", ""), row.pop("role", ""), row.pop("box", "")
    reason = ""
    if len(values) != len(columns):
        reason = "it has not as many fields as the header"
    elif role and role not in _ROLES:
        reason = f"role must be one of {', '.join(_ROLES)} or empty, got {role!r}"
    elif not path:
        reason = "the path is empty"
    if reason:
        return UnusableLine(line, path, reason)
    try:
        parsed = Box.parse(box) if box else None
    except BoxError as error:
        return UnusableLine(line, path, str(error))
    known = {name: row.pop(name) for name in _COLUMNS if name in row}
    return Entry(**known, role=role or None, box=parsed, further=row, line=line)  # type: ignore[arg-type]


def _protocol(path: Path) -> Protocol:
    sidecar = path.with_suffix(".json")
    protocol = Protocol.read(sidecar) if sidecar.is_file() else Protocol()
    if protocol.dataset:
        return protocol
    return replace(protocol, dataset=path.resolve().parent.name if path.stem == "manifest" else path.stem)


def _name(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


def _is_utf8(values: list[str]) -> bool:
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        return False
    return True
