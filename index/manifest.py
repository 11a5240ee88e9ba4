"""The manifest, the one plain data format: a CSV of images, and beside it a JSON sidecar with the protocol."""

import csv
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, get_args

from index.protocol import Protocol
from model.box import Box, BoxError
from model.whole_file import whole_file

Role = Literal["train", "query", "gallery", "junk", "distractor"]
_ROLES: Final = get_args(Role)
_COLUMNS: Final = ("path", "identity", "camera", "role", "split", "captured_at", "box")


class ManifestError(ValueError):
    """A manifest that cannot be read or used; the message names the file, the line and what was expected."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: one vehicle in one image. An empty text means that it is not known.

    Attributes:
        path: of the image, relative to the manifest's folder.
        role: what a protocol uses it for; None if the manifest does not say.
        split: such as ``train``, ``val`` or ``test``.
        box: the vehicle in the image; None if the image is the crop.
        further: the manifest's other columns.
    """

    path: str
    identity: str = ""
    camera: str = ""
    role: Role | None = None
    split: str = ""
    captured_at: str = ""
    box: Box | None = None
    further: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, Box | None]:
        """What makes it this vehicle in this image, whatever a protocol uses it for."""
        return self.path, self.box

    def column(self, name: str) -> str:
        """The text in any column, empty where there is none."""
        if name not in _COLUMNS:
            return self.further.get(name, "")
        value = getattr(self, name)
        return "" if value is None else str(value)


@dataclass(frozen=True)
class Manifest:
    """The entries in the order of the file, the folder their paths start from, and their protocol."""

    folder: Path
    entries: tuple[Entry, ...]
    protocol: Protocol

    def path_of(self, entry: Entry) -> Path:
        """Where the entry's image lies."""
        return self.folder / entry.path

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
            kept = replace(before, entries=tuple(e for e in before.entries if e.column(column) == value))
            if not kept.entries:
                values = ", ".join(map(repr, sorted(before.count(column))[:10]))
                raise ManifestError(f"no line fulfils {condition!r}: {column} has the values {values}")
        return kept


def read_manifest(path: Path) -> Manifest:
    """Reads a manifest, or a folder's ``manifest.csv``, and the ``.json`` of the same name if there is one.

    Raises:
        ManifestError: missing, not a CSV with ``path`` and ``identity``, or a line that cannot be used.
        ProtocolError: the sidecar cannot be used.
    """
    path = path / "manifest.csv" if path.is_dir() else path
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = list(reader.fieldnames or ())
            if not {"path", "identity"} <= set(columns) or len(set(columns)) < len(columns):
                raise ManifestError(
                    f"{path} is no manifest: expected a CSV whose first line names the columns path and identity (and "
                    f"camera, role, split, captured_at, box if they are known), each once; got {', '.join(columns)!r}"
                )
            entries = tuple(_entry(row, f"{path}, line {reader.line_num}") for row in reader)
    except FileNotFoundError:
        raise ManifestError(f"there is no manifest at {path}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"the manifest {path} cannot be read as a CSV in UTF-8: {error}") from None
    if not entries:
        raise ManifestError(f"the manifest {path} has no line below its header")
    sidecar = path.with_suffix(".json")
    protocol = Protocol.read(sidecar) if sidecar.is_file() else Protocol()
    if not protocol.dataset:
        name = path.resolve().parent.name if path.stem == "manifest" else path.stem
        protocol = replace(protocol, dataset=name)
    return Manifest(path.parent, entries, protocol)


def write_manifest(path: Path, entries: Iterable[Entry], protocol: Protocol) -> None:
    """Writes the CSV and its sidecar, each whole or not at all; the CSV, which makes them a manifest, last."""
    entries = list(entries)
    further = sorted(set[str]().union(*(entry.further for entry in entries)))
    columns = [*_COLUMNS, *further]
    rows = [[entry.column(column) for column in columns] for entry in entries]
    # A lone carriage return would end a line for who reads it, and only quoting everything quotes it.
    with_return = any("\r" in text for row in rows for text in row)
    with whole_file(path.with_suffix(".json")) as temporary:
        temporary.write_text(protocol.to_json(), "utf-8")
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL if with_return else csv.QUOTE_MINIMAL)
        writer.writerow(columns)
        writer.writerows(rows)


def _entry(row: dict[str, str], place: str) -> Entry:
    # DictReader keeps what overshoots the header under the key None, and fills up with the value None.
    if None in row or None in row.values():
        raise ManifestError(f"{place}: it has not as many fields as the header")
    role = row.pop("role", "")
    if role and role not in _ROLES:
        raise ManifestError(f"{place}: role must be one of {', '.join(_ROLES)} or empty, got {role!r}")
    if not row["path"]:
        raise ManifestError(f"{place}: the path is empty")
    try:
        box = Box.parse(row["box"]) if row.get("box") else None
    except BoxError as error:
        raise ManifestError(f"{place}: {error}") from None
    row.pop("box", None)
    known = {name: row.pop(name) for name in _COLUMNS if name in row}
    return Entry(**known, role=role or None, box=box, further=row)  # type: ignore[arg-type]
