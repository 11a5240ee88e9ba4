import random
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from index.embedded.gallery_check import check_folder
from index.embedded.gallery_repair import repair_folder
from index.embedded.opening import open_gallery
from index.embedded.snapshot.snapshot_check import snapshot_problems
from tests.index.records import DIM, MODEL, in_one_frame

NUM = 4200


@pytest.fixture(scope="module")
def with_snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("snapshot") / "data"
    with closing(open_gallery(folder, MODEL, DIM)) as gallery:
        gallery.enrol([in_one_frame(seed) for seed in range(NUM)])
    assert (folder / "snapshot" / "manifest.json").exists()
    return folder


def test_a_snapshot_and_none_are_sound(with_snapshot: Path, tmp_path: Path) -> None:
    assert snapshot_problems(with_snapshot / "snapshot") == []
    assert snapshot_problems(tmp_path / "none") == []


def test_damage_to_any_of_its_files_is_found_and_mended(with_snapshot: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(with_snapshot, folder)
    rng = random.Random(8)
    names = sorted(path.name for path in (folder / "snapshot").iterdir())
    assert len(names) >= 3
    for name in names:
        path = folder / "snapshot" / name
        data = path.read_bytes()
        place = rng.randrange(len(data))
        for changed in (data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :], data[:place], None):
            path.unlink() if changed is None else path.write_bytes(changed)
            found = snapshot_problems(folder / "snapshot")
            if name == "manifest.json" and changed is None:
                assert found == []  # there is none then, and the service makes one
            else:
                assert any(name in problem for problem in found)
        path.write_bytes(data)
    path.write_bytes(b"")
    found_in_folder = check_folder(folder, lambda *_: None, lambda: False)
    assert not found_in_folder.sound
    assert len(found_in_folder.snapshot) == 1
    repair_folder(folder, found_in_folder)
    assert check_folder(folder, lambda *_: None, lambda: False).sound
    with closing(open_gallery(folder, MODEL, DIM)) as gallery:
        assert gallery.num_searchable == NUM
