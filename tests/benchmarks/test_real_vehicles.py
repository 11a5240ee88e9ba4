import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks import real_vehicles as benchmark
from benchmarks.synthetic import colour_histograms
from benchmarks.vehicle_circles import cut_circles
from index.datasets.manifest import Entry, Manifest, ManifestError, Role, read_manifest, write_manifest
from index.datasets.protocol import Protocol, ProtocolError
from index.ranking.bootstrap import NUM_RESAMPLES
from model.box import Box
from model.embeddings import Embeddings
from model.preprocessing import Preprocessing
from training.datasets.halves import half_of

SMALL = Preprocessing(size_px=32)
NUM_VEHICLES, NUM_VIEWS = 8, 3


def colours(images: NDArray[np.uint8]) -> Embeddings:
    """Mean colours: turning a picture leaves them nearly as they are."""
    embedding = images.mean((1, 2), dtype=np.float64).astype(np.float32)
    return Embeddings(embedding, np.tile(np.eye(2, 3, dtype=np.float32), (len(images), 1, 1)))


def left_and_right(images: NDArray[np.uint8]) -> Embeddings:
    """The mean colours of both halves: turning a picture changes them."""
    halves = np.stack([images[:, :, :16].mean((1, 2)), images[:, :, 16:].mean((1, 2))], 1)
    embedding = halves.reshape(len(images), 6).astype(np.float32)
    return Embeddings(embedding, np.tile(np.eye(2, 3, dtype=np.float32), (len(images), 1, 1)))


COLOURS = benchmark.Method("colours", SMALL, colours)
HALVES = benchmark.Method("halves", SMALL, left_and_right)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two-coloured vehicles, one in each corner of two frames per view; half of them parked. And unknown ones."""
    folder = tmp_path_factory.mktemp("frames")
    rng = np.random.default_rng(0)
    looks = rng.integers(40, 216, (NUM_VEHICLES, 2, 3))
    entries = []
    for view in range(NUM_VIEWS):
        for number in range(NUM_VEHICLES):
            pixels = rng.integers(90, 110, (120, 120, 3), np.uint8)
            noise = rng.integers(-40, 40, (2, 3))
            front, rear = np.clip(looks[number] + noise, 0, 255)
            pixels[45:75, 40:60], pixels[45:75, 60:80] = front, rear
            path = f"{view}/{number}.png"
            (folder / str(view)).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(folder / path)
            role: Role = "query" if view else "gallery"
            further = {"stationary": str(number % 2)}
            entries.append(Entry(path, f"car {number}", role=role, box=Box(40, 45, 40, 30), further=further))
            entries.append(Entry(path, box=Box(0, 0, 30, 30), further={"stationary": "0"}))
    write_manifest(folder / "manifest.csv", entries, Protocol())
    return folder


def rows_of(result: dict[str, Any]) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {(row["vehicles"], row["view"], row["method"]): row for row in result["rows"]}


# The halves.


def test_the_halves_share_no_vehicle_and_have_them_all(frames: Path) -> None:
    manifest = read_manifest(frames)
    halves = [benchmark.known_vehicles(manifest, half) for half in ("development", "final")]
    names = [{entry.identity for entry in half.entries} for half in halves]
    assert names[0] & names[1] == set()
    assert names[0] | names[1] == {f"car {number}" for number in range(NUM_VEHICLES)}
    assert all(names)
    every = benchmark.known_vehicles(manifest, "all")
    assert len(every.entries) == NUM_VEHICLES * NUM_VIEWS
    for half, of_half in zip(("development", "final"), names, strict=True):
        assert {half_of(name) for name in of_half} == {half}


def test_roles_are_given_where_none_are_known(frames: Path, tmp_path: Path) -> None:
    manifest = read_manifest(frames)
    bare = [Entry(entry.path, entry.identity, box=entry.box) for entry in manifest.entries]
    vehicles = benchmark.known_vehicles(Manifest(frames, tuple(bare), Protocol()), "all")
    assert {entry.path for entry in vehicles.entries if entry.role == "gallery"} == {f"0/{i}.png" for i in range(8)}
    cases, _ = benchmark.plan_cases(vehicles, tmp_path / "circles")
    assert [case.vehicles for case in cases] == ["all"] * 3  # nobody knows who moves


def test_a_half_without_known_vehicles_is_refused(tmp_path: Path) -> None:
    (name,) = {half_of("a")}
    other = "final" if name == "development" else "development"
    entries = (Entry("1", "a"), Entry("2", "a"), Entry("3"))
    manifest = Manifest(tmp_path, entries, Protocol())
    assert len(benchmark.known_vehicles(manifest, name).entries) == 2
    with pytest.raises(ManifestError, match=f"no vehicle with a known identity in the half '{other}'"):
        benchmark.known_vehicles(manifest, other)  # type: ignore[arg-type]


# The figures.


def hits_by_hand(manifests: Sequence[Manifest], embed: Any, *, moving: bool) -> list[tuple[str, bool, float]]:
    """Of each query of each turn: identity, whether rank 1 is right, and the average precision, by a loop."""
    found = []
    for manifest in manifests:
        used = [entry for entry in manifest.entries if not moving or entry.further["stationary"] == "0"]
        vectors = {}
        for entry in used:
            with Image.open(manifest.path_of(entry)) as file:
                pixels = np.asarray(file.convert("RGB"))
            if entry.box is not None:
                box = entry.box
                pixels = pixels[box.y : box.y + box.h, box.x : box.x + box.w]
            vectors[entry.key] = embed(SMALL(pixels)[None]).embedding[0].astype(np.float64)
        gallery = [entry for entry in used if entry.role == "gallery"]
        for query in (entry for entry in used if entry.role == "query"):
            ranked = sorted(gallery, key=lambda one: float(((vectors[one.key] - vectors[query.key]) ** 2).sum()))
            rank = [one.identity for one in ranked].index(query.identity) + 1
            found.append((query.identity, rank == 1, 1 / rank))
    return found


def interval_by_hand(values: Sequence[float], identities: Sequence[str]) -> list[float]:
    names = list(dict.fromkeys(identities))
    rng = np.random.default_rng(0)
    means = []
    for _ in range(NUM_RESAMPLES):
        drawn = [names[i] for i in rng.integers(len(names), size=len(names))]
        chosen = [value for name in drawn for value, of in zip(values, identities, strict=True) if of == name]
        means.append(np.mean(chosen))
    return [float(end) for end in np.percentile(means, [2.5, 97.5])]


def test_every_row_is_that_of_a_loop(frames: Path, tmp_path: Path) -> None:
    vehicles = benchmark.known_vehicles(read_manifest(frames), "all")
    result = benchmark.measure(vehicles, [COLOURS, HALVES])
    rows = rows_of(result)
    circles = cut_circles(vehicles, tmp_path / "circles")
    views = {
        "boxes": [vehicles], "circles": [circles.as_they_are], "circles, queries turned": circles.queries_turned,
    }  # fmt: skip
    assert len(rows) == len(result["rows"]) == 2 * 3 * 2
    by_hand = {}
    for (kind, view, method), row in rows.items():
        embed = {"colours": colours, "halves": left_and_right}[method]
        found = hits_by_hand(views[view], embed, moving=kind == "moving")
        identities = [identity for identity, *_ in found]
        hits, precisions = [float(hit) for _, hit, _ in found], [precision for *_, precision in found]
        by_hand[kind, view, method] = hits, identities
        assert row["cmc1"] == pytest.approx(np.mean(hits))
        assert row["map"] == pytest.approx(np.mean(precisions))
        assert row["cmc1_interval"] == pytest.approx(interval_by_hand(hits, identities))
        assert row["map_interval"] == pytest.approx(interval_by_hand(precisions, identities))
        number = NUM_VEHICLES // 2 if kind == "moving" else NUM_VEHICLES
        assert (row["num_queries"], row["num_identities"], row["num_gallery"]) == (2 * number, number, number)
        assert row["num_turns"] == (3 if "turned" in view else 0)
        assert row["cmc1"] <= row["cmc5"] <= 1
        assert row["cmc5_interval"][0] <= row["cmc5"] <= row["cmc5_interval"][1]
    assert len({row["cmc1"] for row in rows.values()}) > 1
    # The differences: from the first method, the same vehicles drawn for both.
    assert len(result["differences"]) == 2 * 3
    for row in result["differences"]:
        assert (row["method"], row["above"]) == ("halves", "colours")
        one, identities = by_hand[row["vehicles"], row["view"], "halves"]
        other, _ = by_hand[row["vehicles"], row["view"], "colours"]
        apart = [a - b for a, b in zip(one, other, strict=True)]
        assert row["cmc1_difference"] == pytest.approx(np.mean(apart))
        assert row["interval"] == pytest.approx(interval_by_hand(apart, identities))
    turned = {name: rows["moving", "circles, queries turned", name]["cmc1"] for name in ("colours", "halves")}
    boxes = {name: rows["moving", "boxes", name]["cmc1"] for name in ("colours", "halves")}
    assert result["headline"] == {"vehicles": "moving", "boxes_cmc1": boxes, "turned_cmc1": turned}
    assert turned["halves"] < boxes["halves"]


def test_every_view_is_embedded_once(frames: Path) -> None:
    num_embedded = 0

    def counting(images: NDArray[np.uint8]) -> Embeddings:
        nonlocal num_embedded
        num_embedded += len(images)
        return colours(images)

    vehicles = benchmark.known_vehicles(read_manifest(frames), "all")
    benchmark.measure(vehicles, [benchmark.Method("counting", SMALL, counting)])
    num_queries, num_gallery = NUM_VEHICLES * (NUM_VIEWS - 1), NUM_VEHICLES
    assert num_embedded == (num_queries + num_gallery) * 2 + 3 * num_queries


def test_quick_measures_the_moving_vehicles_alone(frames: Path) -> None:
    vehicles = benchmark.known_vehicles(read_manifest(frames), "all")
    result = benchmark.measure(vehicles, [COLOURS], quick=True)
    assert {row["vehicles"] for row in result["rows"]} == {"moving"}
    assert result["differences"] == []


def test_crops_without_boxes_have_the_rows_that_are_possible(frames: Path, tmp_path: Path) -> None:
    entries = []
    for entry in read_manifest(frames).entries:
        if entry.identity and entry.box:
            with Image.open(frames / entry.path) as file:
                box = entry.box
                crop = file.crop((box.x, box.y, box.x + box.w, box.y + box.h))
            name = entry.path.replace("/", "-")
            crop.save(tmp_path / name)
            entries.append(Entry(name, entry.identity))
    write_manifest(tmp_path / "crops.csv", entries, Protocol())
    vehicles = benchmark.known_vehicles(read_manifest(tmp_path / "crops.csv"), "all")
    result = benchmark.measure(vehicles, [COLOURS])
    assert [(row["vehicles"], row["view"]) for row in result["rows"]] == [("all", "boxes")]
    assert [note.partition(": ")[0] for note in result["notes"]][-2:] == [
        "all, circles",
        "all, circles, queries turned",
    ]
    assert set(result["headline"]["boxes_cmc1"]) == {"colours"}
    assert result["headline"]["turned_cmc1"] == {}


def test_the_notes_say_what_a_reader_has_to_know(frames: Path) -> None:
    """Roles that were given here, circles that are missing, and a single vehicle."""
    bare = [Entry(entry.path, entry.identity, box=entry.box) for entry in read_manifest(frames).entries]
    bare = [replace(entry, box=Box(0, 0, 40, 30)) if entry.identity == "car 3" else entry for entry in bare]
    vehicles = benchmark.known_vehicles(Manifest(frames, tuple(bare), Protocol()), "all")
    notes = benchmark.measure(vehicles, [COLOURS])["notes"]
    assert [note.partition(":")[0] for note in notes] == ["no image has a role", "circles"]
    assert notes[1].startswith(f"circles: {NUM_VIEWS} of {NUM_VEHICLES * NUM_VIEWS} images have none")
    alone = Manifest(frames, tuple(entry for entry in bare if entry.identity == "car 3"), Protocol())
    notes = benchmark.measure(benchmark.known_vehicles(alone, "all"), [COLOURS])["notes"]
    assert notes[2:4] == [
        "all, circles: left out, no image of these vehicles has a circle",
        "all, circles, queries turned: left out, no image of these vehicles has a circle",
    ]
    assert notes[4].startswith("all, boxes: all queries are of one vehicle, car 3")


def test_a_benchmark_without_any_row_is_refused(frames: Path) -> None:
    moving_queries = [
        replace(entry, further={"stationary": "0" if entry.role == "query" else "1"})
        for entry in read_manifest(frames).entries
    ]
    vehicles = benchmark.known_vehicles(Manifest(frames, tuple(moving_queries), Protocol()), "all")
    with pytest.raises(ProtocolError, match=r"nothing can be measured: moving, boxes: left out, .* 0 gallery"):
        benchmark.measure(vehicles, [COLOURS], quick=True)


# The command.


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmarks.real_vehicles", *map(str, arguments)])
    return benchmark.main()


@pytest.fixture
def methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every checkpoint is a colour histogram."""
    monkeypatch.setattr(benchmark, "_method", lambda name, file: benchmark.Method(name, SMALL, colour_histograms))


@pytest.mark.usefixtures("methods")
def test_the_command_measures_the_development_half_unless_another_is_named(
    frames: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    num_identities = {}
    for flags in ((), ("--half", "development"), ("--half", "final"), ("--half", "all")):
        assert command(monkeypatch, "--frames", frames, "--checkpoint", "a=x", *flags, "--json") == 0
        result = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert result.keys() == {
            "headline",
            "rows",
            "differences",
            "agreements",
            "notes",
            "half",
            "intervals_over",
            "machine",
        }
        assert (result["half"], result["intervals_over"]) == (flags[-1] if flags else "development", "identities")
        num_identities[flags] = rows_of(result)["all", "boxes", "a"]["num_identities"]
    development = sum(half_of(f"car {number}") == "development" for number in range(NUM_VEHICLES))
    assert list(num_identities.values()) == [development, development, NUM_VEHICLES - development, NUM_VEHICLES]


@pytest.mark.usefixtures("methods")
def test_without_json_there_is_a_table(
    frames: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    methods = ("--checkpoint", "a=x", "--checkpoint", "bc=y")
    assert command(monkeypatch, "--frames", frames / "manifest.csv", *methods, "--half", "all") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "half all; CMC and mAP in %, 95 % intervals over identities"
    assert len([line for line in lines if "CMC5" in line]) == 2 * 3 * 2
    assert len([line for line in lines if "bc above a: CMC1 +0.0 [+0.0, +0.0]" in line]) == 6
    assert any(
        line.startswith("moving circles, queries turned  a   CMC1 ")
        and line.endswith("(8 queries of 4 identities, gallery 4, 3 turns)")
        for line in lines
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "name a method: --checkpoint NAME=FILE or --trunk-weights FILE"),
        (("--checkpoint", "x"), "argument --checkpoint: expected NAME=FILE, got 'x'"),
        (("--checkpoint", "=x"), "argument --checkpoint: expected NAME=FILE, got '=x'"),
        (
            ("--checkpoint", "a=x", "--checkpoint", "a=y"),
            "argument --checkpoint: each method needs a name of its own, got a, a",
        ),
        (("--checkpoint", "a=x", "--half", "first"), "argument --half: invalid choice: 'first'"),
        (("--checkpoint", "a= "), "argument --checkpoint: a path was expected, and it is empty"),
        (
            ("--checkpoint", "ImageNet trunk=x", "--trunk-weights", "y.pth"),
            "argument --checkpoint: each method needs a name of its own, got ImageNet trunk, ImageNet trunk",
        ),
        (("--trunk-weights", "y.pth", "--bn-eps", "-1"), "bn_eps must lie between 0 and 1"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(
    arguments: Sequence[str],
    reason: str,
    frames: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as exit_:
        command(monkeypatch, "--frames", frames, *arguments)
    assert exit_.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"python -m benchmarks.real_vehicles: error: {reason}")


@pytest.mark.usefixtures("methods")
def test_data_that_cannot_be_measured_says_why_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "--frames", tmp_path, "--checkpoint", "a=x") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("benchmarks.real_vehicles: there is no manifest at")


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        (("--checkpoint", "a=nothing.safetensors"), "there is no checkpoint at nothing.safetensors"),
        (("--trunk-weights", "nothing.pth"), "cannot read the weights nothing.pth"),
        (("--trunk-weights", "nothing"), "'nothing' is neither a .pth/.safetensors file nor the name of"),
    ],
)
def test_weights_that_cannot_be_used_say_why_in_one_line(
    method: Sequence[str],
    reason: str,
    frames: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command(monkeypatch, "--frames", frames, "--half", "all", *method) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"benchmarks.real_vehicles: {reason}")


def test_a_checkpoint_is_measured(
    frames: Path, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--checkpoint", f"small={small_checkpoint}", "--half", "all", "--quick", "--json")
    assert command(monkeypatch, "--frames", frames, *flags) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(result["headline"]["boxes_cmc1"]) == {"small"}


def test_the_real_frames_have_two_halves(uav_frames: Path, tmp_path: Path) -> None:
    vehicles = benchmark.known_vehicles(read_manifest(uav_frames), "development")
    cases, _ = benchmark.plan_cases(vehicles, tmp_path / "circles")
    num = {(c.vehicles, c.view): (len(c.task.queries), len(c.task.gallery), len(c.task.entries)) for c in cases}
    turned = "circles, queries turned"
    assert num == {
        ("moving", "boxes"): (122, 32, 154),
        ("moving", "circles"): (122, 32, 154),
        ("moving", turned): (122, 32, 32 + 3 * 122),
        ("all", "boxes"): (283, 115, 398),
        ("all", "circles"): (280, 114, 394),
        ("all", turned): (280, 114, 114 + 3 * 280),
    }
