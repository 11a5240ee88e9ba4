import time
from pathlib import Path

import pytest

from service.instruments import disk_usage
from service.instruments.disk_usage import PARTS, DiskUsage

FILES = {
    "gallery.sqlite": ("database", 100),
    "gallery.sqlite-wal": ("database", 20),
    "gallery.sqlite.layout-1": ("database", 3),
    "generations/0123456789abcdef-float32/gallery.sqlite": ("database", 1000),
    "generations/0123456789abcdef-float32/snapshot/rows": ("index", 7),
    "images/ab/abcd": ("images", 11),
    "images/cd/cdef": ("images", 13),
    "trash/2026-11-27/images/ab/ab12": ("trash", 17),
    "snapshot/manifest.json": ("index", 19),
    "jobs.sqlite": ("jobs", 23),
    "jobs/0123/results/x.csv": ("jobs", 29),
    "checkpoints/model.safetensors": ("checkpoints", 31),
    "audit.sqlite": ("other", 37),
    "gallery.lock": ("other", 0),
    "damaged/images/ab/x": ("other", 41),
}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    for name, (_, length) in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * length)
    return tmp_path


def test_each_file_counts_for_its_part(data_dir: Path) -> None:
    measured = DiskUsage(data_dir).measure()
    assert measured is not None
    expected = dict.fromkeys(PARTS, 0)
    for part, length in FILES.values():
        expected[part] += length
    assert measured.num_bytes == expected
    assert abs(measured.ended_at - time.time()) < 60


def test_links_are_not_followed(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "large"
    elsewhere.write_bytes(b"x" * 100_000)
    (data_dir / "images" / "link").symlink_to(elsewhere)
    (data_dir / "images" / "folder").symlink_to(elsewhere.parent)
    measured = DiskUsage(data_dir).measure()
    assert measured is not None
    assert measured.num_bytes["images"] < 10_000


def test_a_folder_that_is_not_there_has_no_size(tmp_path: Path) -> None:
    assert DiskUsage(tmp_path / "nowhere").measure() is None
    measured = DiskUsage(tmp_path).measure()
    assert measured is not None
    assert measured.num_bytes == dict.fromkeys(PARTS, 0)


def test_it_is_measured_again_and_again_until_it_is_stopped(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_usage, "_EVERY_S", 0.01)
    monkeypatch.setattr(disk_usage, "_SHARE_OF_TIME", 1)
    usage = DiskUsage(data_dir)
    usage.start()
    (data_dir / "images" / "new").write_bytes(b"x" * 500)
    end = time.monotonic() + 30
    while usage.latest is None or usage.latest.num_bytes["images"] != 524:
        assert time.monotonic() < end
        time.sleep(0.01)
    usage.stop()
    assert not usage._thread.is_alive()
    assert usage.measure() is None
