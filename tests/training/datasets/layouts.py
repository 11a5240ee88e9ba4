"""The field's data sets in small: their true folders, names and lists, with pictures a reader never has to open."""

from collections.abc import Iterable
from pathlib import Path

from index.datasets.manifest import Manifest
from model.image import encode_image
from tests.conftest import picture

_JPEG = encode_image(picture(0, 8, 8), "JPEG")


def images(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_JPEG)


def lines(path: Path, content: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in content))


def table(manifest: Manifest) -> set[tuple[str, str, str, str, str]]:
    """Every entry as (path, identity, camera, role, split)."""
    return {(e.path, e.identity, e.camera, e.role or "", e.split) for e in manifest.entries}


def uav_veid_lists(folder: Path) -> None:
    """The layout with four label files and a training list; names repeat between the folders."""
    images(folder, *(f"{part}/{i}.jpg" for part in ("train", "val_query", "val_gallery") for i in range(3)))
    images(folder, *(f"{part}/{i}.jpg" for part in ("test_query", "test_gallery") for i in range(3)))
    lines(folder / "train_label.txt", ["train/0.jpg 5", "train/1.jpg 5", "train/2.jpg 6"])
    lines(folder / "val_q_label.txt", ["0.jpg 1", "1.jpg 1", "2.jpg -1"])
    lines(folder / "val_g_label.txt", ["0.jpg 1"])
    lines(folder / "test_q_label.txt", ["test_query/0.jpg 3", "test_query/2.jpg 4"])
    lines(folder / "test_g_label.txt", ["/somewhere/else/test_gallery/1.jpg 3", "test_gallery/2.jpg 4"])


def uav_veid_folders(folder: Path) -> None:
    """The layout with ``UAV-labels`` and three image folders."""
    images(folder, "image_train/a.jpg", "image_train/b.jpg", "images_query_test/a.jpg", "images_gallery_test/a.jpg")
    lines(folder / "UAV-labels/train_id_label.txt", ["a.jpg 0", "b.jpg 1"])
    lines(folder / "UAV-labels/train_view_label(front rear left right).txt", ["a.jpg 0 1 0 0", "b.jpg 0 0 0 1"])
    lines(folder / "UAV-labels/test_query_label.txt", ["a.jpg 7"])
    lines(folder / "UAV-labels/test_gallery_label.txt", ["a.jpg 7"])


def uav_veid_names(folder: Path) -> None:
    images(folder, "train/1_0005.jpg", "query/2_7.jpg", "query/3_-1.jpg", "gallery/4_7.jpg")


def veri776(folder: Path) -> None:
    images(folder, "image_train/0001_c001_00016450_0.jpg", "image_train/0001_c002_00016451_0.jpg")
    images(folder, "image_query/0002_c002_00030600_0.jpg")
    images(folder, "image_test/0002_c002_00030605_1.jpg", "image_test/0002_c003_00030610_0.jpg")


def market1501(folder: Path) -> None:
    images(folder, "bounding_box_train/0002_c1s1_000451_03.jpg", "query/0001_c1s1_001051_00.jpg")
    images(folder, *(f"bounding_box_test/{n}" for n in ("0001_c2s1_000301_02.jpg", "0001_c1s1_000301_02.jpg")))
    images(folder, "bounding_box_test/0000_c1s1_000151_01.jpg", "bounding_box_test/-1_c3s1_000401_03.jpg")
    (folder / "bounding_box_test/Thumbs.db").write_bytes(b"")


def vehicleid(folder: Path) -> None:
    numbers = [f"{i:07}" for i in range(1, 16)]
    images(folder, *(f"image/{number}.jpg" for number in numbers))
    lines(folder / "attribute/img2vid.txt", [f"{number} {i // 3}" for i, number in enumerate(numbers)])
    lines(folder / "train_test_split/train_list.txt", [f"{number} {i // 3}" for i, number in enumerate(numbers[:6])])
    tested = [f"{number} {2 + i // 3}" for i, number in enumerate(numbers[6:])]
    lines(folder / "train_test_split/test_list_800.txt", tested[:6])
    lines(folder / "train_test_split/test_list_1600.txt", tested)


def vru(folder: Path) -> None:
    """The test list is not grouped by identity."""
    images(folder, *(f"Pic/{i}.jpg" for i in range(1, 11)))
    lines(folder / "train_test_split/train_list.txt", ["1 1", "2 1", "3 2", "4 2"])
    lines(folder / "train_test_split/test_list_1200.txt", ["5 3", "6 4", "7 3", "8 4", "9 3", "10 4"])


def veri_wild(folder: Path) -> None:
    names = ["00001/000001", "00001/000002", "00009/000003", "00009/000004", "00009/000005"]
    images(folder, *(f"images/{name}.jpg" for name in names))
    split = folder / "train_test_split"
    info = [f"{name};{100 + i};2018-03-11 10:01:13;Ford;SUV;white" for i, name in enumerate(names)]
    lines(split / "vehicle_info.txt", ["id/image;Camera ID;Time;Model;Type;Color", *info])
    lines(split / "train_list.txt", names[:2])
    lines(split / "test_3000_query.txt", names[2:3])
    lines(split / "test_3000.txt", names[3:])


# A Python-2 pickle of {"train_im_names": [...], "colors": [...]}, protocol 0: str is a byte string there.
def python2_pickle(values: dict[str, list[str | int]]) -> bytes:
    def item(value: str | int) -> str:
        return f"I{value}\n" if isinstance(value, int) else f"S'{value}'\n"

    parts = ["(dp0\n"]
    for key, listed in values.items():
        parts.append(f"S'{key}'\n(l")
        parts.extend(f"{item(value)}a" for value in listed)
        parts.append("s")
    return "".join([*parts, "."]).encode("latin1")


def vrai(folder: Path, *, orders: str = "names") -> None:
    """20 training identities of two drones; test images without identities."""
    train = [f"{i:08}_{camera:04}_{frame:08}.jpg" for i in range(1, 21) for camera in (1, 2) for frame in (1, 2)]
    test = [f"{i:08}_0001_00000009.jpg" for i in range(101, 106)]
    images(folder, *(f"images_train/{name}" for name in train), *(f"images_test/{name}" for name in test))
    annotation: dict[str, list[str | int]] = {"train_im_names": [*train], "color_label": [1, 2]}
    (folder / "train_annotation.pkl").write_bytes(python2_pickle(annotation))
    if orders == "names":
        annotation = {"test_im_names": [*test], "test_query_order": [*test[:2]], "test_gallery_order": [*test[2:]]}
    else:
        annotation = {"test_im_names": [*test], "query_order": [0, 1], "gallery_order": [4, 3, 2]}
    (folder / "test_annotation.pkl").write_bytes(python2_pickle(annotation))
