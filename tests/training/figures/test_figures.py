"""What is drawn, taken from the figures' own artists; and that the command writes it."""

import dataclasses
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from index.calibration.calibrating import calibrate
from index.datasets.bulk_embedding import embed_entries
from index.datasets.manifest import Entry, Manifest, write_manifest
from index.datasets.protocol import Protocol
from index.datasets.task import plan_task
from index.ranking.evaluation import evaluate_embedded
from model.checkpoint import annotate_checkpoint, load_checkpoint
from model.embedder import Embedder
from model.image import decode_image, encode_image
from model.theta import turn_of
from tests.conftest import picture
from tests.index.calibration.drawn_vehicles import drawn_vehicles
from training.figures.__main__ import main
from training.figures.alignment_pairs import draw_alignment
from training.figures.calibration import draw_calibration
from training.figures.curves import draw_cmc, draw_distances, draw_roc
from training.figures.embedding_map import draw_tsne
from training.figures.method import Method
from training.figures.ranked_lists import choose_queries, draw_ranked_lists
from training.figures.style import save

_IDENTITIES, _VIEWS = 5, 4


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("data")
    entries = []
    rng = np.random.default_rng(0)
    for identity in range(_IDENTITIES):
        for view in range(_VIEWS):
            pixels = picture(identity, 40, 40).astype(int) + rng.integers(-80, 81, (40, 40, 3))
            name = f"{identity}-{view}.png"
            (folder / name).write_bytes(encode_image(pixels.clip(0, 255).astype(np.uint8), "PNG"))
            entries.append(Entry(name, f"car {identity}", role="query" if view else "gallery", split="test"))
    write_manifest(folder / "manifest.csv", entries, Protocol())
    return Manifest(folder, tuple(entries), Protocol(dataset="pictures"))


@pytest.fixture(scope="module")
def methods(manifest: Manifest, small_checkpoint: Path) -> list[Method]:
    checkpoint = load_checkpoint(small_checkpoint)
    task = plan_task(manifest)
    embedded = embed_entries(manifest, task.entries, checkpoint.card.preprocessing, Embedder(checkpoint).embed_prepared)
    turned = dataclasses.replace(checkpoint.card)
    noise = np.random.default_rng(1).normal(size=embedded.embedding.shape).astype(np.float32)
    worse = embedded._replace(embedding=embedded.embedding + 5 * noise)
    return [Method("worse", turned, task, worse), Method("better", checkpoint.card, task, embedded)]


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def test_the_cmc_curves_are_the_evaluations(methods: list[Method]) -> None:
    results = [(method.label, evaluate_embedded(method.task, method.embedded)) for method in methods]
    axes = draw_cmc(results, max_rank=5).axes[0]
    for line, (label, result) in zip(axes.lines, results, strict=True):
        assert np.asarray(line.get_ydata()).tolist() == [100 * result.cmc(rank) for rank in range(1, 6)]
        assert line.get_label() == f"{label} (rank-1 {result.cmc(1):.1%})"


def test_ranked_lists_frame_the_query_the_true_and_the_false(methods: list[Method]) -> None:
    figure = draw_ranked_lists(methods, [0, 7], top_k=4)
    grid = np.array(figure.axes).reshape(4, 5)
    for row, (query, method) in zip(grid, [(q, m) for q in (0, 7) for m in methods], strict=True):
        assert row[0].get_xlabel() == method.label
        assert row[0].spines["left"].get_edgecolor()[:3] == pytest.approx((0x1F / 255, 0x4F / 255, 0xD8 / 255))
        order = np.argsort(method.distances[query])[:4]
        assert [axes.get_xlabel() for axes in row[1:]] == [f"{method.distances[query, g]:.2f}" for g in order]
        for axes, place in zip(row[1:], order, strict=True):
            red, green, _, _ = axes.spines["left"].get_edgecolor()
            assert (green > red) == method.same[query, place]
    assert {"query", "same vehicle", "other vehicle"} <= set(texts(figure).split("\n"))


def test_where_the_gallery_is_small_the_rest_of_a_row_is_empty(methods: list[Method]) -> None:
    grid = np.array(draw_ranked_lists(methods, [0], top_k=9).axes).reshape(2, 10)
    assert [bool(axes.images) for axes in grid[0]] == [True] * 6 + [False] * 4


def test_tsne_shows_every_image_of_the_chosen_identities(methods: list[Method]) -> None:
    figure = draw_tsne(methods, num_identities=3)
    for axes, method in zip(figure.axes, methods, strict=True):
        assert axes.get_title() == method.label
        assert [len(np.asarray(points.get_offsets())) for points in axes.collections] == [_VIEWS] * 3


def test_the_identities_of_tsne_are_drawn_by_the_seed(methods: list[Method]) -> None:
    def shown(seed: int) -> tuple[object, ...]:
        return tuple(points.get_label() for points in draw_tsne(methods[:1], 2, seed).axes[0].collections)

    every = {f"car {identity}" for identity in range(_IDENTITIES)}
    found = [shown(seed) for seed in range(8)]
    assert shown(3) == found[3]
    assert all(len(set(names)) == 2 and set(names) <= every for names in found)
    assert len(set(found)) > 1


def test_alignment_shows_the_turn_and_theta(methods: list[Method]) -> None:
    method = methods[1]
    figure = draw_alignment(method, [0, 3])
    for query in (0, 3):
        theta = method.embedded.theta[query]
        assert f"{round(turn_of(theta).rotation_deg):+d}°" in texts(figure)
        assert f"{theta[0, 0]:.2f}" in texts(figure)


def test_roc_and_histograms_are_of_all_counted_pairs(methods: list[Method]) -> None:
    axes = draw_roc(methods).axes[0]
    assert axes.get_xscale() == "log"
    assert all(np.all(np.diff(line.get_ydata()) >= 0) for line in axes.lines)
    assert [axes.get_title() for axes in draw_distances(methods).axes] == ["worse", "better"]


def test_the_same_vehicle_by_the_same_camera_is_not_ranked(methods: list[Method]) -> None:
    entries = tuple(
        dataclasses.replace(e, camera="1" if e.path.endswith("0.png") or "-1" in e.path else "2")
        for e in methods[0].task.manifest.entries
    )
    manifest = dataclasses.replace(methods[0].task.manifest, entries=entries)
    task = dataclasses.replace(plan_task(manifest), camera_rule="same_camera")
    method = dataclasses.replace(methods[0], task=task)
    own = np.array([[q.identity == g.identity and q.camera == g.camera for g in task.gallery] for q in task.queries])
    np.testing.assert_array_equal(method.counts, ~own)
    assert own.any()


def test_the_same_numbers_are_the_same_bytes(methods: list[Method], tmp_path: Path) -> None:
    first = [path.read_bytes() for path in save(draw_tsne(methods), tmp_path / "a")]
    again = [path.read_bytes() for path in save(draw_tsne(methods), tmp_path / "b")]
    assert first == again


def test_chosen_queries_follow_from_the_seed(methods: list[Method]) -> None:
    assert choose_queries(methods, 5, 1) == choose_queries(methods, 5, 1) != choose_queries(methods, 5, 2)


def test_the_command_writes_every_figure_twice(
    manifest: Manifest, small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--checkpoint", f"SANet={small_checkpoint}", "--data", str(manifest.folder), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["training.figures", *arguments, "--num-queries", "2", "--quiet"])
    assert main() == 0
    names = ("alignment-1", "cmc", "distances", "ranked", "roc", "tsne")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{n}.{s}" for n in names for s in ("png", "svg"))
    for path in tmp_path.glob("*.png"):
        assert decode_image(path.read_bytes()).pixels.std() > 5


def test_unknown_figures_and_missing_checkpoints_are_errors(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["training.figures", "--data", str(manifest.folder), "--out", str(tmp_path), "--checkpoint"]
    monkeypatch.setattr(sys, "argv", [*base, str(tmp_path / "none.safetensors")])
    assert main() == 1
    assert "there is no checkpoint" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [*base, "x", "--figures", "pie"])
    with pytest.raises(SystemExit, match="2"):
        main()


def test_a_calibration_is_drawn_as_it_was_measured() -> None:
    measured = calibrate(drawn_vehicles(150, 2, 0.7, seed=0), {}, sizes=(20, 100), num_queries=300).measured
    figure = draw_calibration(measured)
    reliability, roc = figure.axes
    for line, size in zip(reliability.lines[1:], measured["sizes"], strict=True):
        assert np.asarray(line.get_xdata()).tolist() == [one["probability"] for one in size["reliability"]]
        assert np.asarray(line.get_ydata()).tolist() == [one["right"] for one in size["reliability"]]
        assert line.get_label() == f"{size['num_records']:,} records (error {size['ece']:.1%})"
    for line, size in zip(roc.lines[:2], measured["sizes"], strict=True):
        assert np.asarray(line.get_ydata()).tolist() == [one["true_accepts"] for one in size["roc"]]
    assert [np.asarray(line.get_xdata())[0] for line in roc.lines[2:]] == [0.001, 0.01]


def test_a_calibrated_checkpoint_has_its_diagram(
    manifest: Manifest, small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrated = Path(shutil.copy(small_checkpoint, tmp_path / "calibrated.safetensors"))
    calibration = calibrate(drawn_vehicles(150, 2, 0.7, seed=0), {}, sizes=(20, 100), num_queries=300)
    annotate_checkpoint(calibrated, calibration=calibration.to_dict())
    out = tmp_path / "figures"
    checkpoints = ["--checkpoint", f"plain={small_checkpoint}", "--checkpoint", f"known={calibrated}"]
    arguments = [*checkpoints, "--data", str(manifest.folder), "--out", str(out), "--figures", "calibration", "--quiet"]
    monkeypatch.setattr(sys, "argv", ["training.figures", *arguments])
    assert main() == 0
    assert sorted(path.name for path in out.iterdir()) == ["calibration-2.png", "calibration-2.svg"]
