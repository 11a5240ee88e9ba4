import contextlib
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from PIL import Image

from index.datasets.manifest import Entry, Manifest, read_manifest
from index.datasets.task import plan_task
from tests.training.synthetic.solids import block, flag
from training.data import training_data
from training.synthetic import generate as generate_module
from training.synthetic.generate import DataSet, StoppedError, SyntheticError, generate
from training.synthetic.identity import Identity, ViewFacts, name_of
from training.synthetic.scenes.rasterizer import Rasterizer
from training.synthetic.scenes.viewpoint import Viewpoint
from training.synthetic.settings import Settings, TrainingSettings

SMALL = DataSet(4, 2, 3, Settings())
LONG_AGO = 1e9  # seconds since 1970
# Edition 1 of `SMALL` as it was drawn when it was frozen, by which NumPy and Pillow, and what its renderer's bits were.
FROZEN_VEHICLES = [("sedan", "white"), ("suv", "black"), ("suv", "grey"), ("sedan", "grey")]
FROZEN_VIEWS = {
    "heading_deg": [107.32, 1.92, -55.73, -56.95, 112.81, 148.85, -176.98, -12.09],
    "altitude_m": [18.85, 47.6, 26.4, 48.47, 16.15, 52.4, 19.63, 58.8],
    "depression_deg": [49.47, 56.41, 56.29, 71.82, 69.73, 53.6, 52.8, 44.86],
    "px_per_m": [28.917, 25.421, 43.122, 43.337, 36.9, 21.139, 40.841, 12.998],
}
FROZEN_LIBRARIES = ("2.4.6", "13.0.0", "1aae75377383fac4")
FROZEN_IMAGES_SHA256 = "28fb4aa830f81d5fc3453c55cb4ba1c470c3a52883986ab67469e7746c933f5a"
SECOND = DataSet(6, 2, 3, TrainingSettings())
WHOLE = DataSet(10, 2, 3, Settings())  # an identity of each split


class Here(Executor):
    """In the pool's place: draws in this process, one identity after the other, which saves the workers' start."""

    def __init__(self, max_workers: int, mp_context: Any, initializer: Callable[[], None]) -> None:
        assert max_workers >= 1
        assert mp_context.get_start_method() == "spawn"

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextlib.contextmanager
def drawing_here(rasterizer: Rasterizer) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(generate_module, "ProcessPoolExecutor", Here)
        patched.setattr(generate_module, "_rasterizer", lambda _: rasterizer)
        yield


def draw_here(out: Path, data_set: DataSet, rasterizer: Rasterizer) -> Path:
    """The data set, drawn in this process."""
    with drawing_here(rasterizer):
        generate(out, data_set, 1)
    return out


@pytest.fixture(scope="module")
def small(rasterizer: Rasterizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`SMALL`; not to be changed."""
    return draw_here(tmp_path_factory.mktemp("small") / "data", SMALL, rasterizer)


@pytest.fixture(scope="module")
def whole(rasterizer: Rasterizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`WHOLE`; not to be changed."""
    return draw_here(tmp_path_factory.mktemp("whole") / "data", WHOLE, rasterizer)


@pytest.fixture
def here(rasterizer: Rasterizer) -> Iterator[None]:
    with drawing_here(rasterizer):
        yield


def copy(data: Path, to: Path) -> Path:
    """A copy that was written long ago."""
    shutil.copytree(data, to)
    for path in sorted(to.rglob("*")):
        os.utime(path, (LONG_AGO, LONG_AGO))
    return to


def contents(out: Path) -> dict[str, bytes]:
    """All files, by path."""
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def is_whole(folder: Path) -> bool:
    """Whether an identity's facts can be read and its images are those."""
    there = Identity.read(folder)
    return there is not None and all(
        hashlib.sha256((folder / view.file).read_bytes()).hexdigest() == view.sha256 for view in there.views
    )


def images(out: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(out).items() if name.startswith("images/")}


def written_again(out: Path) -> set[str]:
    """The files that changed since the copy, by path."""
    files = [path for path in out.rglob("*") if path.is_file()]
    return {str(path.relative_to(out)) for path in files if path.stat().st_mtime != LONG_AGO}


def images_sha256(out: Path) -> str:
    """Over the binary SHA-256 of each image, in the manifest's order."""
    manifest = read_manifest(out)
    each = [hashlib.sha256(manifest.path_of(entry).read_bytes()).digest() for entry in manifest.entries]
    return hashlib.sha256(b"".join(each)).hexdigest()


# --- the same numbers, the same bytes


@pytest.mark.parametrize("settings", [Settings(), TrainingSettings()], ids=["edition 1", "edition 2"])
def test_several_processes_draw_the_same_bytes_as_one(settings: Settings, tmp_path: Path) -> None:
    data_set = replace(SMALL, settings=settings)
    generate(tmp_path / "one", data_set, 1)
    generate(tmp_path / "two", data_set, 2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_edition_1_is_frozen(rasterizer: Rasterizer, tmp_path: Path) -> None:
    """Its vehicles, cameras and headings are those of its first day; its bytes are, where the renderer's bits are."""
    generate(tmp_path / "data", SMALL, 2)
    entries = read_manifest(tmp_path / "data").entries
    known = [(entry.further["type"], entry.further["colour"]) for entry in entries[::2]]
    assert known == FROZEN_VEHICLES
    for name, values in FROZEN_VIEWS.items():
        np.testing.assert_allclose([float(entry.further[name]) for entry in entries], values, atol=0.011, err_msg=name)
    drawn = rasterizer.draw(
        [block(), flag(4.6, 1.2, 0.2, 0.5).moved(3, 3, 30)], Viewpoint(20, 40, 30, 0, 30, (0, 0, 0.75)), (220, 180)
    )
    bits = hashlib.sha256(drawn.albedo.tobytes() + drawn.normal.tobytes() + drawn.hit.tobytes()).hexdigest()
    libraries = (np.__version__, PIL.__version__, bits[:16])
    if libraries != FROZEN_LIBRARIES:
        pytest.skip(f"other libraries round otherwise: {libraries}")
    assert images_sha256(tmp_path / "data") == FROZEN_IMAGES_SHA256


def test_there_are_as_many_processes_as_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def pool(num_workers: int, **_: object) -> Executor:
        asked.append(num_workers)
        raise OSError("that was all")

    monkeypatch.setattr(generate_module, "ProcessPoolExecutor", pool)
    with pytest.raises(OSError, match="that was all"):
        generate(tmp_path / "data", SMALL, 7)
    assert asked == [7]


def test_another_seed_draws_other_vehicles(small: Path, tmp_path: Path, rasterizer: Rasterizer) -> None:
    other = draw_here(tmp_path / "data", replace(SMALL, seed=4), rasterizer)
    names = [{entry.identity for entry in read_manifest(out).entries} for out in (small, other)]
    assert len(names[0]) == len(names[1]) == 4
    assert not names[0] & names[1]
    pictures = [{data for name, data in images(out).items() if name.endswith(".jpg")} for out in (small, other)]
    assert len(pictures[0]) == len(pictures[1]) == 8  # nor are two of the same seed the same
    assert not pictures[0] & pictures[1]


# --- more, and fewer


@pytest.mark.usefixtures("here")
def test_more_identities_are_added_to_those_that_are_there(small: Path, whole: Path, tmp_path: Path) -> None:
    out = copy(small, tmp_path / "data")
    generate(out, WHOLE, 1)
    assert contents(out) == contents(whole)
    added = {name for name in contents(whole) if name not in contents(small)}
    assert written_again(out) == added | {"manifest.csv", "manifest.json"}


@pytest.mark.usefixtures("here")
def test_more_images_are_added_to_those_that_are_there(small: Path, tmp_path: Path) -> None:
    out = copy(small, tmp_path / "data")
    more = replace(SMALL, images_per_identity=3)
    generate(out, more, 1)
    added = {f"images/{name_of(3, number)}/{file}" for number in range(4) for file in ("2.jpg", "vehicle.json")}
    assert written_again(out) == added | {"manifest.csv", "manifest.json"}
    generate(tmp_path / "fresh", more, 1)
    assert contents(out) == contents(tmp_path / "fresh")


@pytest.mark.usefixtures("here")
def test_fewer_of_both_are_the_first_ones_and_nothing_is_drawn(whole: Path, tmp_path: Path) -> None:
    out = copy(whole, tmp_path / "data")
    info = generate(out, DataSet(3, 1, 3, Settings()), 1)
    assert written_again(out) == {"manifest.csv", "manifest.json"}
    assert images(out) == images(whole)
    assert [entry.path for entry in read_manifest(out).entries] == [f"images/{name_of(3, i)}/0.jpg" for i in range(3)]
    assert info["images_sha256"] == images_sha256(out)
    assert (info["num_identities"], info["images_per_identity"]) == (3, 1)


# --- what is there already, and what is damaged of it


@pytest.mark.usefixtures("here")
def test_what_is_whole_is_not_drawn_again(whole: Path, tmp_path: Path) -> None:
    out = copy(whole, tmp_path / "data")
    generate(out, WHOLE, 1)
    assert written_again(out) == {"manifest.csv", "manifest.json"}
    assert contents(out) == contents(whole)


@pytest.mark.usefixtures("here")
def test_what_is_damaged_is_drawn_again_and_nothing_else(whole: Path, tmp_path: Path) -> None:
    out = copy(whole, tmp_path / "data")
    folders = [out / "images" / name_of(3, number) for number in range(10)]
    (folders[0] / "1.jpg").unlink()
    image = folders[2] / "0.jpg"
    image.write_bytes(image.read_bytes()[:100])
    image = folders[3] / "1.jpg"
    image.write_bytes(image.read_bytes()[:-3] + b"\0" + image.read_bytes()[-2:])
    (folders[5] / "vehicle.json").write_text("{", "utf-8")
    (folders[6] / "vehicle.json").write_text("{}", "utf-8")
    (folders[7] / "vehicle.json").unlink()
    text = (folders[8] / "vehicle.json").read_text("utf-8")
    (folders[8] / "vehicle.json").write_text(text.replace('"heading_deg": ', '"heading_deg": 1'), "utf-8")
    shutil.rmtree(folders[9])
    for path in out.rglob("*"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    (out / "manifest.csv").unlink()
    generate(out, WHOLE, 1)
    assert contents(out) == contents(whole)
    again = {0: {"1.jpg"}, 2: {"0.jpg"}, 3: {"1.jpg"}} | {number: {"0.jpg", "1.jpg"} for number in (5, 6, 7, 8, 9)}
    assert written_again(out) == {"manifest.csv", "manifest.json"} | {
        f"images/{name_of(3, number)}/{file}" for number, files in again.items() for file in files | {"vehicle.json"}
    }


@pytest.mark.usefixtures("here")
def test_the_manifest_is_made_anew_from_what_is_there(small: Path, tmp_path: Path) -> None:
    out = copy(small, tmp_path / "data")
    (out / "manifest.csv").write_text("path,identity\nelsewhere.jpg,somebody\n", "utf-8")
    (out / "manifest.json").unlink()
    generate(out, SMALL, 1)
    assert contents(out) == contents(small)


# --- what is told


@pytest.mark.usefixtures("here")
def test_progress_counts_every_image_once(small: Path, tmp_path: Path) -> None:
    told: list[int] = []
    generate(copy(small, tmp_path / "data"), replace(SMALL, num_identities=5), 1, told.append)
    assert told == [2] * 5


@pytest.mark.usefixtures("here")
def test_the_info_says_what_was_drawn_and_is_in_the_protocol(small: Path, tmp_path: Path) -> None:
    info = generate(copy(small, tmp_path / "data"), SMALL, 1)
    assert info == {
        "generator": "uav-synth-1",
        "seed": 3,
        "num_identities": 4,
        "images_per_identity": 2,
        "settings": Settings().to_dict(),
        "settings_sha256": Settings().sha256,
        "images_sha256": images_sha256(small),
    }
    assert read_manifest(small).protocol.info == info


# --- the manifest


@pytest.fixture(scope="module")
def manifest(whole: Path) -> Manifest:
    return read_manifest(whole)


def test_the_manifest_lists_every_image_in_order(manifest: Manifest, whole: Path) -> None:
    expected = [(name_of(3, number), f"{view}.jpg") for number in range(10) for view in range(2)]
    assert [(e.identity, e.path) for e in manifest.entries] == [(n, f"images/{n}/{file}") for n, file in expected]
    on_disk = {name for name in images(whole) if name.endswith(".jpg")}
    assert {entry.path for entry in manifest.entries} == on_disk


def test_the_manifest_gives_splits_and_roles_by_number(manifest: Manifest) -> None:
    splits = ["train"] * 5 + ["val"] + ["test"] * 4
    expected = [(split, "train" if split == "train" else role) for split in splits for role in ("gallery", "query")]
    assert [(entry.split, entry.role) for entry in manifest.entries] == expected
    galleries = [entry for entry in manifest.entries if entry.role == "gallery"]
    assert Counter(entry.identity for entry in galleries) == {name_of(3, number): 1 for number in range(5, 10)}
    assert {Path(entry.path).name for entry in galleries} == {"0.jpg"}


def test_the_manifest_says_what_is_known_of_each_view(manifest: Manifest, whole: Path) -> None:
    for entry in manifest.entries:
        image = whole / entry.path
        facts = json.loads((image.parent / "vehicle.json").read_text("utf-8"))
        (view,) = [view for view in facts["views"] if view["file"] == image.name]
        assert entry.further == {
            "type": facts["type"],
            "colour": facts["colour"],
            "heading_deg": str(view["heading_deg"]),
            "altitude_m": str(view["altitude_m"]),
            "depression_deg": str(view["depression_deg"]),
            "px_per_m": str(view["px_per_m"]),
            "occluded": "1" if view["occluded"] else "0",
        }
        assert entry.camera == entry.captured_at == ""
        assert entry.box is None
    assert {entry.further["occluded"] for entry in manifest.entries} == {"0", "1"}


def test_what_is_known_of_each_view_lies_in_its_range(manifest: Manifest) -> None:
    def values(name: str) -> list[float]:
        return [float(entry.further[name]) for entry in manifest.entries]

    assert all(-180 < heading <= 180 for heading in values("heading_deg"))
    assert min(values("heading_deg")) < 0 < max(values("heading_deg"))
    assert all(15 <= altitude <= 60 for altitude in values("altitude_m"))
    assert all(40 <= depression <= 80 for depression in values("depression_deg"))
    assert all(scale > 1 for scale in values("px_per_m"))
    assert len(set(values("heading_deg"))) == len(manifest.entries)


def test_the_images_are_crops_of_20_to_200_pixels(manifest: Manifest) -> None:
    for entry in manifest.entries:
        with Image.open(manifest.path_of(entry)) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert 20 <= max(image.size) <= 200


def test_a_trainer_takes_the_data_and_validates_on_val(manifest: Manifest) -> None:
    assert manifest.protocol.dataset == "uav-synth"
    assert manifest.protocol.gallery_per_identity == 1
    data = training_data(manifest, "auto")
    assert {entry.identity for entry in data.entries} == {name_of(3, number) for number in range(5)}
    assert data.num_labels == 5
    assert data.validation is not None
    assert data.validation.split == "val"
    assert {entry.identity for entry in data.validation.entries} == {name_of(3, 5)}


@pytest.mark.parametrize(("split", "numbers"), [("val", [5]), ("test", [6, 7, 8, 9]), (None, [6, 7, 8, 9])])
def test_an_evaluation_takes_the_data(split: str | None, numbers: list[int], manifest: Manifest) -> None:
    task = plan_task(manifest, split)

    def identities(entries: tuple[Entry, ...]) -> list[str]:
        return sorted(entry.identity for entry in entries)

    assert identities(task.queries) == identities(task.gallery) == [name_of(3, number) for number in numbers]
    assert (task.num_unmatched, task.warnings) == (0, ())


def test_other_settings_split_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(out: Path, data_set: DataSet, number: int) -> Identity:
        view = ViewFacts(
            file="0.jpg",
            sha256="00" * 32,
            box="",
            heading_deg=1.0,
            altitude_m=1.0,
            depression_deg=1.0,
            roll_deg=1.0,
            px_per_m=1.0,
            occluded=True,
        )
        name = name_of(data_set.seed, number)
        return Identity(identity=name, type="van", colour="red", details=[], size_m=[1.0, 1.0, 1.0], views=[view])

    monkeypatch.setattr(generate_module, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(generate_module, "_draw", draw)
    settings = Settings(split=(1, 2, 1))
    info = generate(tmp_path / "data", DataSet(5, 1, 3, settings), 1)
    assert [e.split for e in read_manifest(tmp_path / "data").entries] == ["train", "val", "val", "test", "train"]
    assert info["settings_sha256"] == settings.sha256 != Settings().sha256
    assert info["settings"]["split"] == [1, 2, 1]


# --- whose folder it is


def refused(out: Path, data_set: DataSet, monkeypatch: pytest.MonkeyPatch) -> str:
    """Why nothing is drawn there; nothing there is changed."""
    monkeypatch.setattr(generate_module, "ProcessPoolExecutor", lambda *_, **__: pytest.fail("drawn all the same"))
    folder = out if out.is_dir() else out.parent
    for path in folder.rglob("*"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    before = contents(folder)
    with pytest.raises(SyntheticError) as error:
        generate(out, data_set, 1)
    assert contents(folder) == before
    assert written_again(folder) == set()
    assert str(out) in str(error.value)
    return str(error.value)


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "holiday").mkdir()
    reason = refused(tmp_path, SMALL, monkeypatch)
    assert reason == f"{tmp_path} is there and holds something else: choose a new folder"
    (tmp_path / "holiday" / "0.jpg").write_bytes(b"the sea")
    assert refused(tmp_path, SMALL, monkeypatch) == reason


def test_what_a_killed_process_left_does_not_hide_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "generator.jsonk3_x.tmp").write_bytes(b"{")
    (tmp_path / "notes.tmp").write_bytes(b"mine")
    assert "holds something else" in refused(tmp_path, SMALL, monkeypatch)


def test_a_data_set_without_its_record_is_left_alone(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = copy(small, tmp_path / "data")
    (out / "generator.json").unlink()
    assert "holds something else" in refused(out, SMALL, monkeypatch)


@pytest.mark.parametrize("inside", [False, True])
def test_a_file_in_the_place_of_the_folder_is_left_alone(
    inside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "data"
    file.write_bytes(b"mine")
    reason = refused(file / "data" if inside else file, SMALL, monkeypatch)
    assert "cannot be read" in reason
    assert reason.endswith("choose a new folder")
    assert file.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("changes", "differing"),
    [
        ({"seed": 4}, "seed"),
        ({"settings": Settings(occluded=0.5)}, "settings"),
        ({"settings": Settings(version=2)}, "format and settings"),
        ({"seed": 4, "settings": Settings(occluded=0.5)}, "seed and settings"),
        ({"seed": 4, "num_identities": 9}, "seed"),
    ],
)
def test_another_data_set_is_left_alone(
    changes: dict[str, Any], differing: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = copy(small, tmp_path / "data")
    reason = refused(out, replace(SMALL, **changes), monkeypatch)
    assert reason == f"{out} was begun with another {differing}: choose a new folder, or the same numbers"


@pytest.mark.parametrize("there", [b"", b"{", b"\xff\xfe", b"nothing"])
def test_a_record_that_cannot_be_read_is_left_alone(
    there: bytes, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = copy(small, tmp_path / "data")
    (out / "generator.json").write_bytes(there)
    reason = refused(out, SMALL, monkeypatch)
    assert reason.startswith(f"{out / 'generator.json'} cannot be read (")
    assert reason.endswith("): choose a new folder")


@pytest.mark.parametrize("there", ["[]", "null", "3", '"uav-synth-1"', "{}", '[["seed", 3]]'])
def test_a_record_of_something_else_is_left_alone(
    there: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = copy(small, tmp_path / "data")
    (out / "generator.json").write_text(there, "utf-8")
    assert "was begun with another format and seed and settings" in refused(out, SMALL, monkeypatch)


def test_a_record_that_says_more_is_left_alone(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = copy(small, tmp_path / "data")
    record = json.loads((out / "generator.json").read_text("utf-8"))
    (out / "generator.json").write_text(json.dumps(record | {"weather": "rain", "film": 400}), "utf-8")
    reason = refused(out, SMALL, monkeypatch)
    assert reason == f"{out} was begun with another film and weather: choose a new folder, or the same numbers"


def test_another_format_is_left_alone(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = copy(small, tmp_path / "data")
    record = json.loads((out / "generator.json").read_text("utf-8"))
    (out / "generator.json").write_text(json.dumps(record | {"format": "uav-synth-0"}), "utf-8")
    assert "was begun with another format:" in refused(out, SMALL, monkeypatch)


@pytest.mark.usefixtures("here")
def test_an_empty_folder_is_taken_and_a_missing_one_is_made(small: Path, tmp_path: Path) -> None:
    one = replace(SMALL, num_identities=1, images_per_identity=1)
    (tmp_path / "empty").mkdir()
    generate(tmp_path / "empty", one, 1)
    generate(tmp_path / "not" / "there" / "yet", one, 1)
    (tmp_path / "killed").mkdir()
    for name in ("generator.jsonk3_x.tmp", "generator.jsonabc.tmp"):  # by a process that came no further
        (tmp_path / "killed" / name).write_bytes(b"{")
    generate(tmp_path / "killed", one, 1)
    first = images(small)[f"images/{name_of(3, 0)}/0.jpg"]
    for out in (tmp_path / "empty", tmp_path / "not" / "there" / "yet", tmp_path / "killed"):
        assert {path.name for path in out.iterdir()} == {"generator.json", "images", "manifest.csv", "manifest.json"}
        assert images(out)[f"images/{name_of(3, 0)}/0.jpg"] == first
        assert (out / "generator.json").read_bytes() == (small / "generator.json").read_bytes()


# --- what does not come to its end


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_an_identity_and_the_rest_is_drawn_later(
    sent: signal.Signals, small: Path, tmp_path: Path
) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    told: list[int] = []

    def stop(number: int) -> None:
        told.append(number)
        if len(told) == 2:
            signal.raise_signal(sent)

    with pytest.raises(StoppedError):
        generate(tmp_path / "data", SMALL, 1, stop)
    assert told == [2, 2]
    assert not (tmp_path / "data" / "manifest.csv").exists()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    generate(tmp_path / "data", SMALL, 1)
    assert contents(tmp_path / "data") == contents(small)


def blocked() -> set[int]:
    """The signals that this thread, and a process that it starts, does not see."""
    return {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_workers_start_without_signals_and_one_sent_meanwhile_stops(
    sent: signal.Signals, small: Path, tmp_path: Path, rasterizer: Rasterizer
) -> None:
    masks: list[set[int]] = []
    told: list[int] = []

    class Starting(Here):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
            if not masks:
                signal.raise_signal(sent)
            masks.append(blocked())
            return super().submit(fn, *args, **kwargs)

    def progress(number: int) -> None:
        told.append(number)
        assert blocked() == before

    before = blocked()
    with drawing_here(rasterizer), pytest.MonkeyPatch.context() as patched:
        patched.setattr(generate_module, "ProcessPoolExecutor", Starting)
        with pytest.raises(StoppedError):
            generate(copy(small, tmp_path / "data"), SMALL, 1, progress)
    assert told == [2]
    assert len(masks) == 4
    assert all({signal.SIGINT, signal.SIGTERM} <= mask for mask in masks)
    assert blocked() == before


@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_worker_that_dies_while_others_start_is_reported(
    number: int, small: Path, tmp_path: Path, rasterizer: Rasterizer
) -> None:
    class Breaking(Here):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
            if args[-1] == number:
                raise BrokenProcessPool("a child process terminated abruptly")
            return super().submit(fn, *args, **kwargs)

    before = blocked()
    with drawing_here(rasterizer), pytest.MonkeyPatch.context() as patched:
        patched.setattr(generate_module, "ProcessPoolExecutor", Breaking)
        with pytest.raises(SyntheticError, match=r"a process that drew died.*memory.*try fewer workers"):
            generate(copy(small, tmp_path / "data"), SMALL, 1)
    assert blocked() == before


def test_a_worker_that_dies_is_reported_and_leaves_nothing_that_counts_and_is_not_whole(tmp_path: Path) -> None:
    out = tmp_path / "data"

    def kill_a_worker() -> None:
        while not list(out.glob("images/*/0.jpg")):
            time.sleep(0.005)
        worker = multiprocessing.active_children()[0]
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_a_worker, daemon=True)
    killer.start()
    with pytest.raises(SyntheticError, match=r"a process that drew died.*memory.*try fewer workers"):
        generate(out, replace(WHOLE, num_identities=50), 2)
    killer.join(10)
    assert multiprocessing.active_children() == []
    assert not (out / "manifest.csv").exists()
    for facts in out.glob("images/*/vehicle.json"):
        assert is_whole(facts.parent)
    for folder in (out, tmp_path / "fresh"):  # by processes: this one may calculate otherwise
        generate(folder, WHOLE, 2)
    assert contents(out).items() >= contents(tmp_path / "fresh").items()
    assert not list(out.glob(f"images/{name_of(3, 0)[:-1]}?/*.tmp"))


# --- edition 2


@pytest.fixture(scope="module")
def second(rasterizer: Rasterizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set of edition 2; not to be changed."""
    return draw_here(tmp_path_factory.mktemp("second") / "data", SECOND, rasterizer)


def test_edition_2_is_all_for_training_and_says_so(second: Path) -> None:
    manifest = read_manifest(second)
    assert len(manifest.entries) == 12
    assert {(entry.split, entry.role) for entry in manifest.entries} == {("train", "train")}
    assert [entry.identity for entry in manifest.entries[::2]] == [f"t3-{number:06d}" for number in range(6)]
    info = manifest.protocol.info
    assert (manifest.protocol.dataset, manifest.protocol.gallery_per_identity) == ("uav-synth-2", None)
    assert (info["generator"], info["settings"]["version"], info["seed"]) == ("uav-synth-2", 2, 3)
    assert info["settings"] == TrainingSettings().to_dict()
    assert info["images_sha256"] == images_sha256(second)
    assert json.loads((second / "generator.json").read_text("utf-8"))["settings"]["version"] == 2


def test_every_field_of_edition_2s_manifest(second: Path) -> None:
    for entry in read_manifest(second).entries:
        with Image.open(second / entry.path) as image:
            width, height = image.size
        facts = json.loads((second / entry.path).parent.joinpath("vehicle.json").read_text("utf-8"))
        (view,) = [view for view in facts["views"] if view["file"] == Path(entry.path).name]
        mask = f"{Path(entry.path).stem}.mask.png"
        mask_file = second / "images" / entry.identity / mask
        assert entry.further == {
            "type": facts["type"],
            "colour": facts["colour"],
            "heading_deg": str(view["heading_deg"]),
            "altitude_m": str(view["altitude_m"]),
            "depression_deg": str(view["depression_deg"]),
            "px_per_m": str(view["px_per_m"]),
            "occluded": "1" if view["occluded"] else "0",
            "mask": mask,
        }
        assert entry.box is not None
        assert str(entry.box) == view["box"]
        assert 0 < entry.box.x < entry.box.x + entry.box.w < width
        assert 0 < entry.box.y < entry.box.y + entry.box.h < height
        assert hashlib.sha256(mask_file.read_bytes()).hexdigest() == view["mask_sha256"]
        with Image.open(mask_file) as picture:
            assert (picture.format, picture.mode, picture.size) == ("PNG", "1", (width, height))
            left, upper, right, lower = picture.getbbox() or (0, 0, 0, 0)
        box = entry.box
        assert left >= box.x - 2
        assert upper >= box.y - 2
        assert right <= box.x + box.w + 2
        assert lower <= box.y + box.h + 2


@pytest.mark.usefixtures("here")
def test_a_damaged_or_missing_mask_is_drawn_again(second: Path, tmp_path: Path) -> None:
    out = copy(second, tmp_path / "data")
    (out / "images" / "t3-000001" / "0.mask.png").write_bytes(b"")
    (out / "images" / "t3-000002" / "1.mask.png").unlink()
    for path in out.rglob("*"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    generate(out, SECOND, 1)
    assert contents(out) == contents(second)
    again = {name for name in written_again(out) if name.endswith((".jpg", ".png"))}
    assert again == {
        f"images/t3-{number:06d}/{view}.{form}" for number, view in ((1, 0), (2, 1)) for form in ("jpg", "mask.png")
    }


@pytest.mark.parametrize(("begun", "asked"), [(1, 2), (2, 1)])
def test_a_folder_of_one_edition_refuses_the_other(
    begun: int, asked: int, small: Path, second: Path, tmp_path: Path
) -> None:
    out = copy({1: small, 2: second}[begun], tmp_path / "data")
    before = contents(out)
    with pytest.raises(SyntheticError, match="was begun with another format and settings: choose a new folder"):
        generate(out, {1: SMALL, 2: SECOND}[asked], 1)
    assert contents(out) == before


def test_a_trainer_takes_edition_2(second: Path) -> None:
    data = training_data(read_manifest(second), "auto")
    assert data.num_labels == 6
    assert data.validation is None
