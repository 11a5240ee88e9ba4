import json
import math
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks import synthetic as benchmark
from index.datasets.manifest import Entry, Manifest, read_manifest, write_manifest
from index.datasets.protocol import Protocol
from index.datasets.task import plan_task
from model.box import Box
from model.image import read_image
from tests.conftest import picture
from tests.training.synthetic.test_generate import WHOLE, draw_here
from training.synthetic.generate import DataSet
from training.synthetic.scenes.rasterizer import Rasterizer
from training.synthetic.settings import Settings

LOOKS = {"a": ("van", "red"), "b": ("van", "red"), "c": ("van", "blue"), "d": ("suv", "red"), "e": ("van", "red")}
"""Type and colour: a, b and e are alike."""
HEADINGS = (-179.0, -100.0, -10.0, 0.0, 10.0, 44.0, 46.0, 100.0, 170.0, 180.0)
SIZES = ((20, 30), (40, 10), (50, 50), (60, 20), (20, 70), (80, 10), (90, 90), (100, 10), (10, 110), (120, 5))
RED, BLUE, GREEN = (200, 30, 30), (30, 30, 200), (30, 200, 30)
CYAN, MAGENTA = (30, 200, 200), (200, 30, 200)


def save(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, "PNG")


@pytest.fixture(scope="module")
def vehicles(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Five vehicles to test with, each a gallery image and a query, and one to train with, which looks like c."""
    folder = tmp_path_factory.mktemp("vehicles")
    entries = []
    for number, (identity, (kind, colour)) in enumerate(LOOKS.items()):
        for view, role in enumerate(("gallery", "query")):
            index = 2 * number + view
            path = f"{identity}/{view}.png"
            # Each vehicle has a colour of its own.
            save(folder / path, (50 * number, 250 - 50 * number, 100), SIZES[index])
            further = {"type": kind, "colour": colour, "heading_deg": str(HEADINGS[index])}
            entries.append(Entry(path, identity, role=role, split="test", further=further))  # type: ignore[arg-type]
    save(folder / "t.png", GREEN, (200, 40))
    further = {"type": "van", "colour": "blue", "heading_deg": "90.0"}
    entries.append(Entry("t.png", "t", role="train", split="train", further=further))
    write_manifest(folder / "manifest.csv", entries, Protocol("vehicles", gallery_per_identity=1, info={"seed": 8}))
    return read_manifest(folder)


def swapped(manifest: Manifest, to: Path) -> Manifest:
    """Each query shows the next vehicle."""
    shutil.copytree(manifest.folder, to)
    names = list(LOOKS)
    for name, other in zip(names, names[1:] + names[:1], strict=True):
        shutil.copyfile(manifest.folder / other / "1.png", to / name / "1.png")
    return read_manifest(to)


def main(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmarks.synthetic", *map(str, arguments)])
    return benchmark.main()


# --- colour histograms


def naive_histogram(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    hsv = Image.fromarray(image).convert("HSV")
    counts = np.zeros((8, 4, 4))
    for y in range(hsv.height):
        for x in range(hsv.width):
            pixel: Any = hsv.getpixel((x, y))
            hue, saturation, value = pixel
            counts[hue // 32, saturation // 64, value // 64] += 1
    roots: NDArray[np.float64] = np.sqrt(counts.reshape(-1) / (hsv.width * hsv.height))
    return roots


def test_colour_histograms_are_those_of_a_loop() -> None:
    images = np.stack([picture(seed, 9, 7) for seed in range(5)])
    answer = benchmark.colour_histograms(images)
    assert answer.embedding.shape == (5, 128)
    assert answer.embedding.dtype == np.float32
    for row, image in zip(answer.embedding, images, strict=True):
        np.testing.assert_allclose(row, naive_histogram(image), atol=1e-6)
    assert len(np.unique(answer.embedding, axis=0)) == 5
    np.testing.assert_allclose(np.linalg.norm(answer.embedding, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(answer.theta, [[[1, 0, 0], [0, 1, 0]]] * 5)


def test_colour_histograms_tell_colours_apart_and_not_places() -> None:
    half = np.zeros((4, 6, 3), np.uint8)
    half[:, :3] = RED
    half[:, 3:] = BLUE
    red, blue, both, mirrored = benchmark.colour_histograms(
        np.stack([np.full_like(half, RED), np.full_like(half, BLUE), half, half[:, ::-1]])
    ).embedding
    np.testing.assert_array_equal(both, mirrored)
    assert float(red @ blue) == 0
    assert float(red @ both) == pytest.approx(math.sqrt(0.5))


def test_the_extreme_colours_are_counted() -> None:
    for colour in ((0, 0, 0), (255, 255, 255), (255, 0, 0), (255, 0, 1)):  # the last has the hue 255
        image = np.full((1, 2, 2, 3), colour, np.uint8)
        assert benchmark.colour_histograms(image).embedding.sum() == pytest.approx(1)


# --- difficulty


def test_difficulty_is_cmc_1_beside_chance(vehicles: Manifest, tmp_path: Path) -> None:
    embedders = {"colour histogram": benchmark.colour_histograms}
    chance, row = benchmark.difficulty(plan_task(vehicles, "test"), embedders)
    assert chance == {"features": "chance", "cmc1": 0.2}
    assert (row["features"], row["cmc1"], row["cmc10"]) == ("colour histogram", 1, 1)
    assert tuple(row["cmc1_interval"]) == (1, 1)
    _, row = benchmark.difficulty(plan_task(swapped(vehicles, tmp_path / "swapped"), "test"), embedders)
    assert (row["cmc1"], row["cmc10"]) == (0, 1)


def test_the_trunk_gives_averaged_features_of_unit_length(trunk_weights: Path) -> None:
    embed = benchmark.TrunkFeatures(str(trunk_weights), "1x1", 1.001e-5)
    images = np.stack([picture(1, 64, 64), picture(2, 64, 64), picture(1, 64, 64)])
    features = embed(images).embedding
    assert features.shape == (3, 1024)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(features[0], features[2], atol=1e-5)
    assert float(features[0] @ features[1]) < 0.99
    # Averages of what a ReLU lets through.
    assert features.min() >= 0


# --- statistics


def test_statistics_of_a_manifest_made_by_hand(vehicles: Manifest) -> None:
    found = benchmark.statistics(vehicles, plan_task(vehicles, "test"))
    assert (found["num_images"], found["num_identities"]) == (11, 6)
    # a, b and e have twins, two each; c's look-alike is for training.
    assert found["twin_share"] == 3 / 5
    assert found["mean_look_alikes"] == pytest.approx(6 / 5)
    assert (
        found["long_side_px"]
        == np.percentile([30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 200], [0, 10, 50, 90, 100]).tolist()
    )
    # -179 | -100 | -10 | 0 10 44 | 46 | 90 100 | 170 180
    assert found["heading_octants"] == [1, 1, 0, 1, 3, 1, 2, 2]
    x, y = (sum(f(math.radians(h)) for h in (*HEADINGS, 90.0)) / 11 for f in (math.cos, math.sin))
    assert found["heading_resultant"] == pytest.approx(math.hypot(x, y))
    json.dumps(found)


def test_the_resultant_is_0_for_all_directions_and_1_for_one(vehicles: Manifest) -> None:
    def resultant(headings: list[float]) -> float:
        entries = tuple(
            Entry(e.path, e.identity, role=e.role, split=e.split, further=e.further | {"heading_deg": str(heading)})
            for e, heading in zip(vehicles.entries, headings, strict=False)
        )
        manifest = Manifest(vehicles.folder, entries, vehicles.protocol)
        value: float = benchmark.statistics(manifest, plan_task(manifest, "test"))["heading_resultant"]
        return value

    assert resultant([-90.0, 0.0, 90.0, 180.0]) == pytest.approx(0, abs=1e-9)
    assert resultant([179.0, -179.0]) == pytest.approx(math.cos(math.radians(1)))


# --- the contact sheet


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Forty blue crops, wider than high; and cyan ones that are too large and magenta ones not seen from above."""
    folder = tmp_path_factory.mktemp("rendered")
    entries = []
    for name, colour, size, depression in (
        ("flat", MAGENTA, (40, 20), "69.99"),
        ("large", CYAN, (160, 80), "75.0"),
        ("right", BLUE, (40, 20), "70.0"),
    ):
        for number in range(40):
            save(folder / name / f"{number}.png", colour, size)
            further = {"depression_deg": depression}
            entries.append(Entry(f"{name}/{number}.png", f"{name} {number}", further=further))
    write_manifest(folder / "manifest.csv", entries, Protocol())
    return read_manifest(folder)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two green frames with twenty red boxes each, as wide as the rendered crops, and one frame without a box."""
    folder = tmp_path_factory.mktemp("frames")
    entries = [Entry("without.png")]
    save(folder / "without.png", GREEN)
    for name in ("first", "second"):
        frame = Image.new("RGB", (300, 200), GREEN)
        for number in range(20):
            row, column = divmod(number, 5)
            box = Box(5 + 60 * column, 5 + 50 * row, 40, 20)
            frame.paste(RED, (box.x, box.y, box.x + box.w, box.y + box.h))
            entries.append(Entry(f"{name}.png", f"{name} {number}", box=box))
        frame.save(folder / f"{name}.png")
    write_manifest(folder / "manifest.csv", entries, Protocol())
    return folder


def crops_on(path: Path, number: int) -> list[tuple[str, bool]]:
    """What is seen in each cell: which kind of crop, and whether it stands upright."""
    found = []
    with Image.open(path) as sheet:
        assert sheet.width == 12 * 125
        assert sheet.height == -(-number // 12) * 125
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    for place in range(number):
        row, column = divmod(place, 12)
        cell = pixels[125 * row : 125 * (row + 1), 125 * column : 125 * (column + 1)]
        shown = cell[(cell != 40).any(2)]
        assert len(np.unique(shown, axis=0)) == 1  # one colour: nothing of the frame around the box
        kind = {RED: "real", BLUE: "rendered"}[tuple(shown[0].tolist())]
        rows, columns = np.nonzero((cell != 40).any(2))
        extent = int(columns.max()) + 1, int(rows.max()) + 1
        assert sorted(extent) == [60, 120]
        found.append((kind, extent == (60, 120)))
    return found


@pytest.mark.parametrize("number", [24, 30])
def test_the_sheet_shows_equal_parts_and_the_truth_says_which(
    number: int, rendered: Manifest, frames: Path, tmp_path: Path
) -> None:
    path = tmp_path / "sheet.png"
    benchmark.contact_sheet(rendered, frames, path, 3, number)
    truth = json.loads((tmp_path / "sheet.json").read_text("utf-8"))
    seen = crops_on(path, number)
    assert truth == [kind for kind, _ in seen]
    assert truth.count("real") == truth.count("rendered") == number // 2
    assert truth != sorted(truth)
    assert truth != sorted(truth, reverse=True)
    for kind in ("real", "rendered"):
        assert {upright for other, upright in seen if other == kind} == {False, True}


def test_a_rendered_crop_is_shown_only_once(rendered: Manifest, frames: Path, tmp_path: Path) -> None:
    right = rendered.keep(lambda entry: entry.path.startswith("right"))
    few = replace(right, entries=right.entries[:12])
    used: list[Path] = []
    with pytest.MonkeyPatch.context() as patched:

        def read(path: Path) -> NDArray[np.uint8]:
            used.append(path)
            return read_image(path)

        patched.setattr(benchmark, "read_image", read)
        benchmark.contact_sheet(few, frames, tmp_path / "sheet.png", 3, 24)
    drawn = [path for path in used if path.is_relative_to(rendered.folder)]
    assert len(drawn) == len(set(drawn)) == 12


@pytest.mark.parametrize(("num_rendered", "num_boxes"), [(5, 40), (40, 3), (1, 1)])
def test_a_sheet_of_few_crops_has_fewer_cells(
    num_rendered: int, num_boxes: int, rendered: Manifest, frames: Path, tmp_path: Path
) -> None:
    right = rendered.keep(lambda entry: entry.path.startswith("right"))
    real = read_manifest(frames)
    few_frames = shutil.copytree(frames, tmp_path / "frames")
    write_manifest(few_frames / "manifest.csv", real.entries[: 1 + num_boxes], real.protocol)
    path = tmp_path / "sheet.png"
    benchmark.contact_sheet(replace(right, entries=right.entries[:num_rendered]), few_frames, path, 3)
    truth = json.loads((tmp_path / "sheet.json").read_text("utf-8"))
    number = 2 * min(num_rendered, num_boxes)
    assert truth == [kind for kind, _ in crops_on(path, number)]
    assert truth.count("real") == truth.count("rendered") == number // 2


@pytest.mark.parametrize("lacking", ["boxes", "steep crops", "depressions"])
def test_a_sheet_that_lacks_crops_says_so(
    lacking: str, vehicles: Manifest, rendered: Manifest, frames: Path, tmp_path: Path
) -> None:
    if lacking == "boxes":
        frames = shutil.copytree(frames, tmp_path / "frames")
        write_manifest(frames / "manifest.csv", [Entry("without.png")], Protocol())
    elif lacking == "steep crops":
        rendered = rendered.keep(lambda entry: entry.path.startswith("flat"))
    else:
        rendered = vehicles
    with pytest.raises(
        ValueError, match=r"a sheet needs boxes in .* and rendered crops from 70° or more above"
    ) as error:
        benchmark.contact_sheet(rendered, frames, tmp_path / "sheet.png", 3)
    assert str(frames) in str(error.value)
    assert not list(tmp_path.glob("sheet.*"))


def test_the_sheet_follows_from_its_seed(rendered: Manifest, frames: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("same", 3), ("other", 4)):
        benchmark.contact_sheet(rendered, frames, tmp_path / f"{name}.png", seed)
    one, same, other = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "same", "other"))
    assert one == same != other
    assert len(one) == 72
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "same.png").read_bytes()


# --- the command


@pytest.mark.parametrize("quick", [(), ("--quick",)])
def test_the_benchmark_prints_one_json_object(
    quick: tuple[str, ...],
    vehicles: Manifest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(benchmark, "generate", lambda *_: pytest.fail("there is a data set"))
    assert main(monkeypatch, "--data", vehicles.folder, *quick, "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    result = json.loads(line)
    assert set(result) == {"headline", "rows", "machine"}
    assert [row["features"] for row in result["rows"]] == ["chance", "colour histogram"]
    assert (result["rows"][0]["cmc1"], result["rows"][1]["cmc1"]) == (0.2, 1.0)
    expected = benchmark.statistics(vehicles, plan_task(vehicles, "test"))
    assert expected.items() <= result["headline"].items()
    assert result["headline"]["protocol"] == {"seed": 8}
    assert "images_per_s" not in result["headline"]
    assert result["machine"]["cores"] >= 1


def test_the_benchmark_takes_what_the_generator_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = draw_here(tmp_path / "data", WHOLE, Rasterizer())
    assert main(monkeypatch, "--data", out, "--quick", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    headline = result["headline"]
    assert (headline["num_images"], headline["num_identities"]) == (20, 10)
    assert sum(headline["heading_octants"]) == 20
    assert 20 <= headline["long_side_px"][0] < headline["long_side_px"][4] <= 200
    assert headline["protocol"]["settings_sha256"] == Settings().sha256
    assert result["rows"][0] == {"features": "chance", "cmc1": 0.25}
    assert result["rows"][1]["cmc10"] == 1  # of four


@pytest.mark.parametrize(("quick", "number"), [((), 200), (("--quick",), 20)])
def test_without_data_it_is_drawn_and_its_speed_told(
    quick: tuple[str, ...],
    number: int,
    vehicles: Manifest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    drawn: list[tuple[Path, DataSet]] = []

    def generate(out: Path, data_set: DataSet, num_workers: int, progress: Callable[[int], object]) -> None:
        drawn.append((out, data_set))
        assert num_workers >= 1
        shutil.copytree(vehicles.folder, out)

    monkeypatch.setattr(benchmark, "generate", generate)
    assert main(monkeypatch, *quick, "--json") == 0
    headline = json.loads(capsys.readouterr().out)["headline"]
    ((out, data_set),) = drawn
    assert data_set == DataSet(number, 9, 0, Settings())
    assert not out.exists()  # nothing is left behind
    assert headline["images_per_s"] > 0
    assert headline["minutes_for_10000"] * 60 * headline["images_per_s"] == pytest.approx(10_000)
    assert headline["num_images"] == 11


def test_the_sheet_is_written_beside_the_figures(
    vehicles: Manifest,
    rendered: Manifest,
    frames: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(benchmark, "contact_sheet", lambda *arguments: asked.append(arguments))
    sheet = ("--frames", frames, "--sheet", tmp_path / "s.png", "--sheet-seed", 6)
    assert main(monkeypatch, "--data", vehicles.folder, *sheet, "--json") == 0
    assert asked == [(vehicles, frames, tmp_path / "s.png", 6)]


@pytest.mark.parametrize("arguments", [("--sheet", "s.png"), ("--frames", "frames"), ("--stride", "2x2")])
def test_wrong_arguments_are_refused(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(monkeypatch, *arguments)
    assert exit_.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("python -m benchmarks.synthetic: error: ")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--data", "nowhere"), "there is no manifest at nowhere"),
        (("--data", "FRAMES"), "is no UAV-Synth: its manifest lacks colour, heading_deg, type"),
        (("--data", "VEHICLES", "--trunk-weights", "nothing.pth"), "cannot read the weights nothing.pth"),
    ],
)
def test_what_cannot_be_measured_says_why_in_one_line(
    arguments: tuple[str, ...],
    reason: str,
    vehicles: Manifest,
    frames: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folders: dict[str, object] = {"FRAMES": frames, "VEHICLES": vehicles.folder}
    assert main(monkeypatch, *(folders.get(argument, argument) for argument in arguments)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("benchmarks.synthetic: ")
    assert reason in line


def test_training_data_has_no_difficulty(
    vehicles: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """UAV-Synth 2 is all for training."""
    training = [replace(entry, role="train", split="train") for entry in vehicles.entries]
    write_manifest(tmp_path / "manifest.csv", training, Protocol())
    assert main(monkeypatch, "--data", tmp_path) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("benchmarks.synthetic: the split 'test' has 0 query and 0 gallery images")
