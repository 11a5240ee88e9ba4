import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from index.datasets.manifest import Entry, Manifest, ManifestError, Role, read_manifest, write_manifest
from index.datasets.protocol import Protocol
from index.datasets.task import plan_task
from training.synthetic.demo import main, pick, write_demo

INFO = {"generator": "uav-synth-1", "seed": 4}


def entries_of(identity: int, split: str, num_views: int = 5) -> list[Entry]:
    entries = []
    for view in range(num_views):
        role: Role = "train" if split == "train" else "query" if view else "gallery"
        path = f"images/v{identity}/{view}.jpg"
        entries.append(Entry(path, f"v{identity}", role=role, split=split, further={"colour": "red"}))
    return entries


@pytest.fixture
def data(tmp_path: Path) -> Manifest:
    """Ten vehicles to learn from, one to validate, twelve of the test, of which one has a single query."""
    entries = [entry for identity in range(10) for entry in entries_of(identity, "train")]
    entries += entries_of(10, "val")
    entries += [entry for identity in range(11, 22) for entry in entries_of(identity, "test")]
    entries += entries_of(22, "test", num_views=2)
    for entry in entries:
        path = tmp_path / "data" / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"the image {entry.path}".encode())
    write_manifest(tmp_path / "data" / "manifest.csv", entries, Protocol("uav-synth", info=INFO))
    return read_manifest(tmp_path / "data")


def test_each_vehicle_of_the_test_comes_with_its_gallery_image_and_its_queries(data: Manifest) -> None:
    entries = pick(data, 7, 2, seed=0)
    roles = Counter((entry.identity, entry.role) for entry in entries)
    assert {entry.split for entry in entries} == {"test"}
    identities = {entry.identity for entry in entries}
    assert len(identities) == 7
    assert "v22" not in identities
    assert roles == {(identity, role): n for identity in identities for role, n in (("gallery", 1), ("query", 2))}
    assert entries == [entry for entry in data.entries if entry in entries]  # as they are, in their order


def test_a_seed_is_one_set(data: Manifest) -> None:
    sets = [pick(data, 7, 2, seed) for seed in range(5)]
    assert pick(data, 7, 2, 0) == sets[0]
    assert len({tuple(entry.path for entry in entries) for entries in sets}) == 5
    assert len({frozenset(entry.identity for entry in entries) for entries in sets}) > 1
    # The queries are drawn as well, not the first.
    assert len({entry.path[-5] for entries in sets for entry in entries if entry.role == "query"}) == 4


def test_the_images_are_the_same_bytes_and_the_manifest_can_be_scored(data: Manifest, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    out.mkdir()
    (out / "README.md").write_text("what it is")
    entries = write_demo(data, out, 11, 3, seed=1)
    demo = read_manifest(out)
    assert list(demo.entries) == entries == pick(data, 11, 3, seed=1)
    assert {path.name for path in out.iterdir()} == {"README.md", "images", "manifest.csv", "manifest.json"}
    assert set((out / "images").rglob("*.jpg")) == {demo.path_of(entry) for entry in demo.entries}
    for entry in demo.entries:
        assert demo.path_of(entry).read_bytes() == f"the image {entry.path}".encode()
    task = plan_task(demo)
    assert (task.dataset, len(task.queries), len(task.gallery)) == ("uav-synth-demo", 33, 11)
    taken_from = {"dataset": "uav-synth", "split": "test", **INFO}
    drawn = {"num_identities": 11, "queries_per_identity": 3, "seed": 1}
    assert demo.protocol == Protocol("uav-synth-demo", gallery_per_identity=1, info={"taken_from": taken_from, **drawn})


def test_paths_elsewhere_come_into_the_folder(data: Manifest, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    elsewhere = replace(
        data,
        folder=tmp_path / "other",
        entries=tuple(replace(entry, path=f"../data/{entry.path}") for entry in data.entries),
    )
    assert write_demo(elsewhere, tmp_path / "demo", 7, 2, 0) == pick(data, 7, 2, 0)
    assert len(list((tmp_path / "demo" / "images").rglob("*.jpg"))) == 21


def test_too_few_vehicles_are_refused(data: Manifest, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"has 11 identities with one gallery image and 2 queries.*12 were asked"):
        write_demo(data, tmp_path / "demo", 12, 2, 0)
    assert not (tmp_path / "demo").exists()


def test_a_missing_image_leaves_nothing_half_written(data: Manifest, tmp_path: Path) -> None:
    data.path_of(pick(data, 7, 2, 0)[-1]).unlink()
    with pytest.raises(FileNotFoundError):
        write_demo(data, tmp_path / "demo", 7, 2, 0)
    assert not list((tmp_path / "demo").iterdir())


def test_the_command(
    data: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo"
    numbers = ["--identities", "7", "--queries", "2", "--seed", "0"]
    monkeypatch.setattr(sys, "argv", ["demo", "--data", str(data.folder), "--out", str(out), *numbers, "--json"])
    assert main() == 0
    result = json.loads(capsys.readouterr().out)
    size = sum(path.stat().st_size for path in (out / "images").rglob("*.jpg"))
    assert result == {"manifest": str(out / "manifest.csv"), "num_images": 21, "size_bytes": size}
    assert list(read_manifest(out).entries) == pick(data, 7, 2, 0)
    assert main() == 1
    assert "demo/manifest.json is there already: remove it, or choose another --out" in capsys.readouterr().err
