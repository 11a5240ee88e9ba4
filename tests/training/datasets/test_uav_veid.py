from pathlib import Path

import pytest

from index.datasets.manifest import ManifestError
from index.datasets.protocol import ProtocolError
from index.datasets.task import plan_task
from tests.training.datasets import layouts
from training.datasets.dataset import Choices
from training.datasets.uav_veid import UAV_VEID, read


def test_the_label_files_with_names_that_repeat_between_folders(tmp_path: Path) -> None:
    layouts.uav_veid_lists(tmp_path)
    manifest = read(tmp_path, Choices())
    assert layouts.table(manifest) == {
        ("train/0.jpg", "5", "", "train", "train"),
        ("train/1.jpg", "5", "", "train", "train"),
        ("train/2.jpg", "6", "", "train", "train"),
        ("val_query/0.jpg", "1", "", "query", "val"),
        ("val_query/1.jpg", "1", "", "query", "val"),
        ("val_query/2.jpg", "", "", "junk", "val"),
        ("val_gallery/0.jpg", "1", "", "gallery", "val"),
        ("test_query/0.jpg", "3", "", "query", "test"),
        ("test_query/2.jpg", "4", "", "query", "test"),
        ("test_gallery/1.jpg", "3", "", "gallery", "test"),
        ("test_gallery/2.jpg", "4", "", "gallery", "test"),
    }
    assert UAV_VEID.lies_in(tmp_path)


def test_the_folders_and_their_views(tmp_path: Path) -> None:
    layouts.uav_veid_folders(tmp_path)
    manifest = read(tmp_path, Choices())
    assert layouts.table(manifest) == {
        ("image_train/a.jpg", "0", "", "train", "train"),
        ("image_train/b.jpg", "1", "", "train", "train"),
        ("images_query_test/a.jpg", "7", "", "query", "test"),
        ("images_gallery_test/a.jpg", "7", "", "gallery", "test"),
    }
    assert [entry.further["view"] for entry in manifest.entries[:2]] == ["rear", "right"]
    assert UAV_VEID.lies_in(tmp_path)


def test_labels_in_the_names(tmp_path: Path) -> None:
    layouts.uav_veid_names(tmp_path)
    assert layouts.table(read(tmp_path, Choices())) == {
        ("train/1_0005.jpg", "5", "", "train", "train"),
        ("query/2_7.jpg", "7", "", "query", "test"),
        ("query/3_-1.jpg", "", "", "junk", "test"),
        ("gallery/4_7.jpg", "7", "", "gallery", "test"),
    }


def test_the_protocol_removes_no_camera_and_wants_one_gallery_image_each(tmp_path: Path) -> None:
    layouts.uav_veid_lists(tmp_path)
    task = plan_task(read(tmp_path, Choices()))
    assert (task.split, task.camera_rule, len(task.queries), len(task.gallery)) == ("test", "none", 2, 2)


def test_the_camera_rule_of_market_would_delete_every_true_match_and_is_refused(tmp_path: Path) -> None:
    layouts.uav_veid_lists(tmp_path)
    with pytest.raises(ProtocolError, match="have no camera"):
        plan_task(read(tmp_path, Choices()), camera_rule="same_camera")


def test_swapped_lists_are_noticed(tmp_path: Path) -> None:
    layouts.uav_veid_lists(tmp_path)
    layouts.lines(
        tmp_path / "test_g_label.txt", ["test_gallery/0.jpg 3", "test_gallery/1.jpg 3", "test_gallery/2.jpg 4"]
    )
    with pytest.raises(ProtocolError, match="likely swapped"):
        plan_task(read(tmp_path, Choices()), "test")


def test_junk_is_in_no_ranking(tmp_path: Path) -> None:
    layouts.uav_veid_lists(tmp_path)
    task = plan_task(read(tmp_path, Choices()), "val")
    assert (len(task.queries), task.num_junk) == (2, 1)


def test_another_folder_is_told_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"expected the lists .*test_q_label.txt.*UAV-labels/train_id_label.txt"):
        read(tmp_path, Choices())


@pytest.mark.parametrize(
    ("line", "complaint"),
    [("9.jpg 3", "no such image"), ("0.jpg", 'expected "<image> <identity'), ("0.jpg three", "line 1")],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    layouts.uav_veid_lists(tmp_path)
    layouts.lines(tmp_path / "test_q_label.txt", [line])
    with pytest.raises(ManifestError, match=complaint):
        read(tmp_path, Choices())


def test_a_name_in_two_folders_is_ambiguous(tmp_path: Path) -> None:
    layouts.uav_veid_lists(tmp_path)
    layouts.lines(tmp_path / "train_label.txt", ["7.jpg 1"])
    layouts.images(tmp_path, "x/7.jpg", "y/7.jpg")
    with pytest.raises(ManifestError, match="2 images called so"):
        read(tmp_path, Choices())
