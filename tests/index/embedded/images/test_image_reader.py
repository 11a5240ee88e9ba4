from datetime import timedelta
from pathlib import Path

import pytest

from index.embedded.images.image_reader import ImageReader
from index.gallery.errors import GalleryError
from tests.index.embedded.stored_gallery import (
    FRAMES,
    RECORDS,
    TRASHED,
    image_path,
    throw_into_trash,
    trash_path,
    tree,
    write_gallery,
)
from tests.index.records import image

CONTENT = RECORDS[8].content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_gallery(tmp_path / "data")


def test_it_reads_what_is_there_and_makes_nothing(folder: Path, tmp_path: Path) -> None:
    before = tree(folder)
    reader = ImageReader(folder)
    assert reader.contents() == FRAMES.keys()
    assert {content: reader.get(content) for content in FRAMES} == FRAMES
    assert reader.absent([CONTENT, TRASHED.content, "../x"]) == {TRASHED.content, "../x"}
    assert (reader.size_bytes(CONTENT), reader.size_bytes(TRASHED.content)) == (len(FRAMES[CONTENT]), None)
    assert reader.contents_of_trash(timedelta(0)) == {TRASHED.content}
    assert reader.contents_of_trash(timedelta(days=1)) == set()
    assert reader.damaged_in_trash() == reader.unfinished() == reader.foreign() == []
    assert tree(folder) == before
    empty = ImageReader(tmp_path / "absent")
    assert empty.contents() == empty.contents_of_trash(timedelta(0)) == set()
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("name", ["..", "../../gallery.sqlite", "", "0" * 64, CONTENT.upper()])
def test_a_name_that_no_image_has_is_missing(folder: Path, name: str) -> None:
    with pytest.raises(GalleryError, match="is missing"):
        ImageReader(folder).get(name)
    with pytest.raises(GalleryError, match=r"missing|damaged"):
        ImageReader(folder).get_also_from_trash(name)


def test_damage_is_an_error_unless_the_trash_has_it(folder: Path) -> None:
    reader = ImageReader(folder)
    assert reader.get_also_from_trash(TRASHED.content) == image(99)
    throw_into_trash(folder, CONTENT, copy=True)
    image_path(folder, CONTENT).write_bytes(b"damaged")
    with pytest.raises(GalleryError, match="is damaged"):
        reader.get(CONTENT)
    assert reader.get_also_from_trash(CONTENT) == FRAMES[CONTENT]
    trash_path(folder, CONTENT).write_bytes(b"damaged, too")
    with pytest.raises(GalleryError, match="no intact copy of it is in the trash"):
        reader.get_also_from_trash(CONTENT)
    assert reader.damaged_in_trash() == [trash_path(folder, CONTENT)]
