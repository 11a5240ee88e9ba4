import pytest

from model.image_file import DamagedError
from model.jpeg_segments import APP1, START_OF_SCAN, Segment, is_end, read_segments
from tests.model.image_files import jpeg_segment

SCAN = jpeg_segment(START_OF_SCAN, b"\1\1\0\0\x3f\0")
END = b"\xff\xd9"


def test_segments_come_with_their_bodies_and_the_scan_with_its_data() -> None:
    data = b"\xff\xd8" + jpeg_segment(APP1, b"body") + SCAN + b"a\xff\0b\xff\xd3c" + END + b"after"
    app, scan, end = read_segments(data)
    assert app == Segment(APP1, b"body", b"")
    assert scan == Segment(START_OF_SCAN, b"\1\1\0\0\x3f\0", b"a\xff\0b\xff\xd3c")  # stuffed byte and restart marker
    assert is_end(end)


def test_scans_follow_each_other() -> None:
    segments = list(read_segments(b"\xff\xd8" + SCAN + b"one" + SCAN + b"two" + END))
    assert [segment.scan for segment in segments] == [b"one", b"two", b""]


@pytest.mark.parametrize("between", [b"", b"\xff\xff", b"junk", b"\xff\0", b"\xff\xd8"])
def test_what_belongs_to_no_segment_is_passed_over(between: bytes) -> None:
    data = b"\xff\xd8" + jpeg_segment(APP1, b"1") + between + jpeg_segment(APP1, b"2") + END
    assert [segment.body for segment in read_segments(data)] == [b"1", b"2", b""]


def test_without_an_end_marker_the_scan_goes_to_the_end() -> None:
    segments = list(read_segments(b"\xff\xd8" + SCAN + b"data"))
    assert [segment.scan for segment in segments] == [b"data"]
    assert not is_end(segments[-1])


@pytest.mark.parametrize("cut", [b"\xff\xe1", b"\xff\xe1\0", b"\xff\xe1\0\1", b"\xff\xe1\0\5ab"])
def test_a_segment_that_is_not_whole_is_damage(cut: bytes) -> None:
    with pytest.raises(DamagedError, match="ends within the segment of marker 0xe1"):
        list(read_segments(b"\xff\xd8" + cut))
