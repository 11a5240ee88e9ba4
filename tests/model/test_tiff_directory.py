import struct

import pytest

from model.image_file import DamagedError
from model.tiff_directory import TiffDirectories
from tests.conftest import picture
from tests.model.tiff_bytes import Value, big_tiff, exif_block


@pytest.mark.parametrize("order", ["<", ">"])
def test_values_of_each_kind(order: str) -> None:
    tags: dict[int, Value] = {256: 7, 258: [8, 9, 10], 270: " a text ", 282: [(1, 3), (0, 0)]}
    directories = TiffDirectories(exif_block(tags, order=order))
    entries = directories.read(directories.first)
    assert directories.integers(entries[256]) == (7,)
    assert directories.integers(entries[258]) == (8, 9, 10)
    assert directories.text(entries[270]) == "a text"
    assert directories.rationals(entries[282]) == ((1, 3), (0, 0))


def test_a_value_of_another_kind_is_absent() -> None:
    directories = TiffDirectories(exif_block({256: 7, 270: "text"}))
    entries = directories.read(directories.first)
    assert directories.integers(entries[270]) == ()
    assert directories.integers(entries.get(999)) == ()
    assert directories.rationals(entries[256]) == ()
    assert directories.text(entries[256]) == ""


def test_what_lies_outside_the_file_is_absent() -> None:
    block = exif_block({258: [8, 9, 10]})  # header 8, directory 18, values 12 bytes
    directories = TiffDirectories(block[:30])
    assert directories.read(directories.first) == {}
    assert directories.read(10**12) == {}


def test_a_directory_that_claims_more_entries_than_fit_ends_with_the_file() -> None:
    block = bytearray(exif_block({256: 7, 257: 8}))
    block[8:10] = b"\xff\xff"
    directories = TiffDirectories(bytes(block))
    assert directories.integers(directories.read(8)[257]) == (8,)


def test_bigtiff_has_longer_entries() -> None:
    directories = TiffDirectories(big_tiff(picture(0)[:, :, 0]))
    entries = directories.read(directories.first)
    assert (directories.integers(entries[256]), directories.integers(entries[257])) == ((60,), (40,))


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_directory_of_some_entries_reads_the_same(order: str) -> None:
    block = exif_block({256: 7, 257: 8, 258: [8, 9, 10]}, order=order)
    directories = TiffDirectories(block)
    entries = directories.read(directories.first)
    chosen = {258: entries[258], 256: directories.with_value(entries[256], 70)}
    encoded, header = directories.encode(chosen, len(block))
    copy = TiffDirectories(header + block[len(header) :] + encoded)
    assert copy.first == len(block)
    read = copy.read(copy.first)
    assert sorted(read) == [256, 258]
    assert (copy.integers(read[256]), copy.integers(read[258])) == ((70,), (8, 9, 10))
    assert struct.unpack(order + "I", encoded[-4:]) == (0,)


@pytest.mark.parametrize("data", [b"", b"II*\0", b"XX*\0" + bytes(20), b"II\0*" + bytes(20)])
def test_without_a_header_there_are_no_directories(data: bytes) -> None:
    with pytest.raises(DamagedError, match="no TIFF header"):
        TiffDirectories(data)
