"""The directories of TIFF 6.0 and BigTIFF, in which both TIFF files and EXIF blocks keep their tags."""

import struct
from typing import Final, NamedTuple

from model.image_file import DamagedError

_ASCII: Final = 2
_RATIONALS: Final = {5: "II", 10: "ii"}
_INTEGERS: Final = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_TYPES_BY_NUM_BYTES: Final = {1: (1, 2, 6, 7), 2: (3, 8), 4: (4, 9, 11, 13), 8: (5, 10, 12, 16, 17, 18)}
_NUM_BYTES: Final = {kind: num_bytes for num_bytes, kinds in _TYPES_BY_NUM_BYTES.items() for kind in kinds}
_MAX_VALUES: Final = 4096  # of those read here; tables of strips are longer and stay where they are


class Entry(NamedTuple):
    """One tag of a directory: its type by TIFF 6.0, how many values, their bytes, and the entry as it is stored."""

    type: int
    num_values: int
    value: bytes
    stored: bytes


class TiffDirectories:
    """Reads directories and their values; whatever is broken in them is as if it were absent.

    Attributes:
        first: the offset of the first directory, in bytes.
    """

    def __init__(self, data: bytes) -> None:
        """Reads the header.

        Raises:
            DamagedError: there is none.
        """
        orders = {b"II*\0": "<", b"MM\0*": ">", b"II+\0": "<", b"MM\0+": ">"}
        if data[:4] not in orders or len(data) < 16:
            raise DamagedError("there is no TIFF header")
        self._data = data
        self._order = orders[data[:4]]
        self._big = b"+" in data[:4]
        (self.first,) = struct.unpack_from(self._order + ("Q" if self._big else "I"), data, 8 if self._big else 4)

    def read(self, offset: int) -> dict[int, Entry]:
        """The entries of the directory at an offset, by their tags; empty if there is no directory."""
        data, order = self._data, self._order
        count_format, entry_format, len_inline = ("Q", "HHQ8s", 8) if self._big else ("H", "HHI4s", 4)
        start = offset + struct.calcsize("=" + count_format)
        if start > len(data):
            return {}
        (num_entries,) = struct.unpack_from(order + count_format, data, offset)
        len_entry = struct.calcsize("=" + entry_format)
        num_entries = min(num_entries, (len(data) - start) // len_entry)
        entries = dict[int, Entry]()
        for position in range(start, start + num_entries * len_entry, len_entry):
            tag, value_type, count, field = struct.unpack_from(order + entry_format, data, position)
            num_bytes = count * _NUM_BYTES.get(value_type, 0)
            if num_bytes <= len_inline:
                value = field[:num_bytes]
            else:
                (value_offset,) = struct.unpack(order + ("Q" if self._big else "I"), field)
                value = data[value_offset : value_offset + num_bytes]
            if len(value) == num_bytes:
                entries.setdefault(tag, Entry(value_type, count, value, data[position : position + len_entry]))
        return entries

    def integers(self, entry: Entry | None) -> tuple[int, ...]:
        """The values of an entry of integers; empty if it is absent or something else."""
        if entry is None or entry.type not in _INTEGERS or entry.num_values > _MAX_VALUES:
            return ()
        return struct.unpack(f"{self._order}{entry.num_values}{_INTEGERS[entry.type]}", entry.value)

    def rationals(self, entry: Entry | None) -> tuple[tuple[int, int], ...]:
        """Numerators and denominators of an entry of rationals; empty if it is absent or something else."""
        if entry is None or entry.type not in _RATIONALS or entry.num_values > _MAX_VALUES:
            return ()
        return tuple(struct.iter_unpack(self._order + _RATIONALS[entry.type], entry.value))

    def text(self, entry: Entry | None) -> str:
        """The text of an entry up to its first zero, without the blanks around it; empty if it is absent or no text."""
        if entry is None or entry.type != _ASCII:
            return ""
        return entry.value.partition(b"\0")[0].decode("ascii", "replace").strip()

    def with_value(self, entry: Entry, value: int) -> Entry:
        """The entry with another value, of a single integer."""
        stored = entry.stored[: -8 if self._big else -4]
        value_bytes = struct.pack(self._order + _INTEGERS[entry.type], value)
        return entry._replace(value=value_bytes, stored=stored + value_bytes.ljust(8 if self._big else 4, b"\0"))

    def encode(self, entries: dict[int, Entry], directory_offset: int) -> tuple[bytes, bytes]:
        """A directory of these entries, without a next one, and a file header that points to it."""
        stored = b"".join(entries[tag].stored for tag in sorted(entries))
        order, big = self._order, self._big
        count = struct.pack(order + ("Q" if big else "H"), len(entries))
        header = self._data[: 8 if big else 4] + struct.pack(order + ("Q" if big else "I"), directory_offset)
        return count + stored + b"\0" * (8 if big else 4), header
