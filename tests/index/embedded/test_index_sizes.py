import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from index.embedded.index_sizes import IndexSizes
from index.embedded.opening import open_gallery
from tests.index.embedded.gallery_oracle import settle
from tests.index.records import DIM, MODEL, in_one_frame

SMALL = IndexSizes(block_rows=4, first_save=8, fewest_saved=2)


@pytest.mark.parametrize(
    ("sizes", "num_records", "rows_of_blocks"),
    [
        (IndexSizes(), 10, None),
        (SMALL, 7, None),
        (SMALL, 8, [4, 4]),
        (replace(SMALL, block_rows=5), 12, [5, 5, 2]),
        (replace(SMALL, left_free_bytes=1 << 62), 8, None),
    ],
)
def test_a_gallery_saves_its_index_in_the_blocks_and_at_the_size_it_is_told(
    tmp_path: Path, sizes: IndexSizes, num_records: int, rows_of_blocks: list[int] | None
) -> None:
    with closing(open_gallery(tmp_path, MODEL, DIM, sizes)) as gallery:
        gallery.enrol([in_one_frame(seed) for seed in range(num_records)])
        settle(gallery)
        manifest = tmp_path / "snapshot" / "manifest.json"
        assert manifest.exists() == (rows_of_blocks is not None)
        if rows_of_blocks is not None:
            blocks = json.loads(manifest.read_text())["snapshot"]["blocks"]
            assert [sum(piece["num_rows"] for piece in block["keys"]) for block in blocks] == rows_of_blocks
