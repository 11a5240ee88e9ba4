"""VRAI, VRU, VeRi-776, VehicleID, VERI-Wild and Market-1501, each in its true layout."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from index.datasets.manifest import Manifest, ManifestError
from index.datasets.protocol import ProtocolError
from index.datasets.task import plan_task
from tests.training.datasets import layouts
from training.data import training_data
from training.datasets.dataset import Choices
from training.datasets.opening import detect, open_data
from training.datasets.registry import DATASETS

_LAYOUTS: dict[str, Callable[[Path], None]] = {
    "uav_veid": layouts.uav_veid_lists,
    "vrai": layouts.vrai,
    "vru": layouts.vru,
    "veri776": layouts.veri776,
    "vehicleid": layouts.vehicleid,
    "veri_wild": layouts.veri_wild,
    "market1501": layouts.market1501,
}


def read(name: str, folder: Path, choices: Choices | None = None) -> Manifest:
    _LAYOUTS[name](folder)
    return DATASETS[name].read(folder, choices or Choices())


@pytest.mark.parametrize("name", _LAYOUTS)
def test_each_is_recognised_and_every_path_is_a_file(name: str, tmp_path: Path) -> None:
    manifest = read(name, tmp_path)
    assert detect(tmp_path) == name
    assert layouts.table(open_data(tmp_path)) == layouts.table(manifest)
    assert manifest.protocol.dataset == name
    assert all(manifest.path_of(entry).is_file() for entry in manifest.entries)


@pytest.mark.parametrize("name", [name for name in _LAYOUTS if name != "uav_veid"])
def test_an_empty_folder_is_told_which_file_was_expected(name: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="expected "):
        DATASETS[name].read(tmp_path, Choices())


def test_veri776(tmp_path: Path) -> None:
    manifest = read("veri776", tmp_path)
    assert layouts.table(manifest) == {
        ("image_train/0001_c001_00016450_0.jpg", "1", "001", "train", "train"),
        ("image_train/0001_c002_00016451_0.jpg", "1", "002", "train", "train"),
        ("image_query/0002_c002_00030600_0.jpg", "2", "002", "query", "test"),
        ("image_test/0002_c002_00030605_1.jpg", "2", "002", "gallery", "test"),
        ("image_test/0002_c003_00030610_0.jpg", "2", "003", "gallery", "test"),
    }
    assert plan_task(manifest).camera_rule == "same_camera"


def test_veri776_has_no_match_by_the_querys_own_camera_alone(tmp_path: Path) -> None:
    layouts.veri776(tmp_path)
    (tmp_path / "image_test/0002_c003_00030610_0.jpg").unlink()
    with pytest.raises(ProtocolError, match="no query has a true match"):
        plan_task(DATASETS["veri776"].read(tmp_path, Choices()))


@pytest.mark.parametrize("name", ["veri776", "market1501"])
def test_a_name_of_another_form_is_named(name: str, tmp_path: Path) -> None:
    _LAYOUTS[name](tmp_path)
    layouts.images(tmp_path, "image_test/one.jpg" if name == "veri776" else "query/one.jpg")
    with pytest.raises(ManifestError, match=r"one\.jpg: expected a name such as"):
        DATASETS[name].read(tmp_path, Choices())


def test_market1501_tells_junk_from_distractors(tmp_path: Path) -> None:
    manifest = read("market1501", tmp_path)
    assert layouts.table(manifest) == {
        ("bounding_box_train/0002_c1s1_000451_03.jpg", "2", "1", "train", "train"),
        ("query/0001_c1s1_001051_00.jpg", "1", "1", "query", "test"),
        ("bounding_box_test/0001_c2s1_000301_02.jpg", "1", "2", "gallery", "test"),
        ("bounding_box_test/0001_c1s1_000301_02.jpg", "1", "1", "gallery", "test"),
        ("bounding_box_test/0000_c1s1_000151_01.jpg", "", "1", "distractor", "test"),
        ("bounding_box_test/-1_c3s1_000401_03.jpg", "", "3", "junk", "test"),
    }
    task = plan_task(manifest)
    assert (len(task.gallery), task.num_junk) == (3, 1)


def test_vehicleid_draws_one_gallery_image_of_each_identity_ten_times(tmp_path: Path) -> None:
    task = plan_task(read("vehicleid", tmp_path), "test_800")
    draws = [task, *task.further_draws]
    assert len(draws) == 10
    for draw in draws:
        assert Counter(entry.identity for entry in draw.gallery) == {"2": 1, "3": 1}
        assert Counter(entry.identity for entry in draw.queries) == {"2": 2, "3": 2}
    assert len({tuple(sorted(entry.path for entry in draw.gallery)) for draw in draws}) > 1


def test_vehicleids_test_lists_are_splits_and_one_has_to_be_chosen(tmp_path: Path) -> None:
    manifest = read("vehicleid", tmp_path)
    assert manifest.count("split") == {"train": 6, "test_800": 6, "test_1600": 9}
    with pytest.raises(ProtocolError, match="test_1600, test_800: choose one with --split"):
        plan_task(manifest)


def test_a_draw_does_not_depend_on_the_order_of_the_lines(tmp_path: Path) -> None:
    drawn = {e.path: e.further["draws"] for e in read("vru", tmp_path / "a").entries if e.role is None}
    layouts.vru(tmp_path / "b")
    lines = ["10 4", "9 3", "8 4", "7 3", "6 4", "5 3"]
    layouts.lines(tmp_path / "b/train_test_split/test_list_1200.txt", lines)
    other = DATASETS["vru"].read(tmp_path / "b", Choices())
    assert {e.path: e.further["draws"] for e in other.entries if e.role is None} == drawn
    assert {e.path: e.identity for e in other.entries if e.role is None} == {
        **dict.fromkeys(["Pic/5.jpg", "Pic/7.jpg", "Pic/9.jpg"], "3"),
        **dict.fromkeys(["Pic/6.jpg", "Pic/8.jpg", "Pic/10.jpg"], "4"),
    }


def test_another_seed_draws_others(tmp_path: Path) -> None:
    layouts.vehicleid(tmp_path)
    manifests = [DATASETS["vehicleid"].read(tmp_path, Choices(seed)) for seed in (0, 0, 1)]
    drawn = [[entry.further.get("draws") for entry in manifest.entries] for manifest in manifests]
    assert drawn[0] == drawn[1] != drawn[2]
    assert manifests[2].protocol.info == {"draw_seed": 1}


def test_vrus_held_out_image_is_the_query_or_the_gallery_image_as_one_chooses(tmp_path: Path) -> None:
    layouts.vru(tmp_path)
    official = plan_task(DATASETS["vru"].read(tmp_path, Choices()), "test_1200")
    benchmark = plan_task(DATASETS["vru"].read(tmp_path, Choices(vru_roles="benchmark")), "test_1200")
    assert (len(official.queries), len(official.gallery)) == (2, 4)
    assert (len(benchmark.queries), len(benchmark.gallery)) == (4, 2)
    assert {entry.path for entry in official.queries} == {entry.path for entry in benchmark.gallery}
    assert any("other way round" in warning for warning in official.warnings)


def test_veri_wild_takes_cameras_from_vehicle_info(tmp_path: Path) -> None:
    manifest = read("veri_wild", tmp_path)
    assert layouts.table(manifest) == {
        ("images/00001/000001.jpg", "00001", "100", "train", "train"),
        ("images/00001/000002.jpg", "00001", "101", "train", "train"),
        ("images/00009/000003.jpg", "00009", "102", "query", "test_3000"),
        ("images/00009/000004.jpg", "00009", "103", "gallery", "test_3000"),
        ("images/00009/000005.jpg", "00009", "104", "gallery", "test_3000"),
    }
    assert plan_task(manifest).camera_rule == "same_camera"


def test_veri_wilds_image_without_a_camera_is_named(tmp_path: Path) -> None:
    layouts.veri_wild(tmp_path)
    layouts.lines(tmp_path / "train_test_split/test_3000_query.txt", ["00009/000099"])
    with pytest.raises(ManifestError, match=r"test_3000_query.txt: '00009/000099'.*vehicle_info"):
        DATASETS["veri_wild"].read(tmp_path, Choices())


@pytest.mark.parametrize("orders", ["names", "positions"])
def test_vrai_holds_out_training_identities_and_keeps_the_test_order(orders: str, tmp_path: Path) -> None:
    layouts.vrai(tmp_path, orders=orders)
    manifest = DATASETS["vrai"].read(tmp_path, Choices())
    assert manifest.count("split") == {"train": 72, "val": 8, "test": 5}
    trained = {entry.identity for entry in manifest.entries if entry.split == "train"}
    held_out = {entry.identity for entry in manifest.entries if entry.split == "val"}
    assert (len(trained), len(held_out)) == (18, 2)
    assert not trained & held_out
    assert {entry.camera for entry in manifest.entries if entry.split == "train"} == {"1", "2"}
    test = [(e.path[-25:-18], e.role, e.identity) for e in manifest.entries if e.split == "test"]
    gallery = [103, 104, 105] if orders == "names" else [105, 104, 103]
    assert test == [(f"{n:08}"[-7:], "query", "") for n in (101, 102)] + [
        (f"{n:08}"[-7:], "gallery", "") for n in gallery
    ]
    assert len(plan_task(manifest, "val").queries) == 2


def test_vrais_own_val_is_what_a_training_validates_on(tmp_path: Path) -> None:
    data = training_data(read("vrai", tmp_path), "auto")
    assert (data.num_labels, len(data.entries)) == (18, 72)
    assert data.validation is not None
    assert data.validation.split == "val"


def test_vrais_test_split_is_never_meant_unless_it_is_named(tmp_path: Path) -> None:
    assert plan_task(read("vrai", tmp_path)).split == "val"


def test_vrais_test_identities_are_not_public_and_a_score_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="no identity"):
        plan_task(read("vrai", tmp_path), "test")
