"""A byte that the disk changes in a text, so that it is none any more, costs this record and no other."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from index.embedded.opening import open_gallery
from index.gallery.filters import Filter
from tests.index.embedded.stored_gallery import RECORDS, write_gallery
from tests.index.records import DIM, MODEL, enrolment, record, tamper

LAYOUT_1 = Path(__file__).parents[1] / "galleries" / "layout-1"
INTACT = {one.id for one in RECORDS if one.model == MODEL}


@pytest.mark.parametrize("seqs", [[1], [9], [5, 9, 10, 16]])
@pytest.mark.parametrize(
    "column", ["camera", "identity", "tags", "source", "attributes", "content", "media_type", "box"]
)
def test_the_gallery_opens_and_serves_all_others(tmp_path: Path, column: str, seqs: list[int]) -> None:
    folder = write_gallery(tmp_path / "data")
    for seq in seqs:
        tamper(folder / "gallery.sqlite", f"UPDATE record SET {column} = CAST(x'6eff72' AS TEXT) WHERE seq = {seq}")
    with closing(open_gallery(folder, MODEL, DIM)) as gallery:
        rest = INTACT - {RECORDS[seq - 1].id for seq in seqs}
        found = gallery.search(RECORDS[5].embedding, 100, Filter()).matches
        assert {match.record.id for match in found} == rest
        assert gallery.num_damaged == len(seqs)
        assert {one.id for one in gallery.page(Filter(), 100, None).records} >= rest
        gallery.stats(10)
        # Enrolled again, it is whole.
        again = enrolment(5, identity="x5", camera="south", source="5.jpg")
        assert [enrolled.duplicate for enrolled in gallery.enrol([again])] == [5 not in seqs]
        gallery.get(record(5).id)


def test_an_older_layout_is_migrated_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(LAYOUT_1, folder)
    tamper(folder / "gallery.sqlite", "UPDATE record SET camera = CAST(x'6eff72' AS TEXT) WHERE seq = 3")
    with closing(open_gallery(folder, MODEL, DIM)) as gallery:
        assert gallery.num_searchable == 5
        assert gallery.num_damaged == 2
