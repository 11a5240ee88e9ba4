"""Each compared method under the trainer: it learns, stops and goes on, and its checkpoint embeds."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from index.datasets.manifest import Entry, read_manifest, write_manifest
from index.datasets.protocol import Protocol
from model.checkpoint import load_checkpoint, read_card
from model.embedder import Embedder
from model.image import read_image
from tests.training.runs import SMALL, log_of, small_recipe, small_run, train_main, write_vehicles
from tests.training.test_loop import at_step, outcome, resume
from training.annotations import ANNOTATIONS_OF
from training.loop import train
from training.recipe import RECIPES, Architecture
from training.step import Stepper

METHODS: tuple[Architecture, ...] = ("ram", "scan", "vscr", "am_wtl", "cn_nets")
IDS = {
    "ram": ["id_conv", "id_bn", "id_regions"],
    "scan": ["id"],
    "vscr": ["id_scale1", "id_scale2"],
    "am_wtl": ["id"],
    "cn_nets": ["id_coarse", "id_fine"],
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight vehicles with four views each, and nothing else."""
    return write_vehicles(tmp_path_factory.mktemp("plain") / "vehicles")


@pytest.fixture(scope="module")
def annotated(plain: Path) -> Path:
    """The same vehicles with types, colours and views, but for one image."""
    entries = []
    for number, path in enumerate(sorted(plain.rglob("*.png"))):
        vehicle = int(path.parent.name.removeprefix("vehicle"))
        known = {
            "type": ("van", "sedan")[vehicle % 2],
            "colour": ("red", "white", "black")[vehicle % 3],
            "view": ("front", "rear", "left", "right")[number % 4],
        }
        name = path.relative_to(plain).as_posix()
        entries.append(Entry(name, path.parent.name, role="train", further=known if number else {}))
    manifest = plain / "annotated.csv"
    write_manifest(manifest, entries, Protocol("annotated"))
    return manifest


def command(name: str) -> tuple[object, ...]:
    """Flags of three steps an epoch, for two epochs."""
    return (
        *SMALL,
        "--recipe",
        name,
        "--architecture",
        name,
        "--backbone",
        "efficientnet_lite0",
        "--trunk-weights",
        "none",
    )


@pytest.mark.parametrize("name", METHODS)
def test_eight_vehicles_are_learnt_by_heart(name: Architecture, annotated: Path, tmp_path: Path) -> None:
    of_method = RECIPES[name]()
    recipe = small_recipe(
        architecture=name, backbone="resnet18", num_identities=8, epochs=8, max_steps_per_epoch=0, validate_every=8,
        jitter_p=0.0, erasing_p=0.0, id_scale=of_method.id_scale, triplet_weight=of_method.triplet_weight,
        annotation_weight=of_method.annotation_weight,
    )  # fmt: skip
    progress = train(small_run(annotated, tmp_path / "run", recipe))
    assert progress.best is not None
    # Rounding differs by CPU, and with it some of the 24 queries.
    assert progress.best["cmc1"] >= 0.8
    steps = log_of(tmp_path / "run", "step")
    first, last = (sum(steps[place][term] for term in IDS[name]) for place in (0, -1))
    assert last < 0.6 * first


@pytest.mark.parametrize("name", METHODS)
def test_it_trains_stops_goes_on_and_its_checkpoint_embeds(
    name: Architecture,
    annotated: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert train_main(monkeypatch, "--data", annotated, "--out", whole, *command(name)) == 0
    assert "differ in their" not in capsys.readouterr().err
    with monkeypatch.context() as patched:
        patched.setattr(Stepper, "step", at_step(2, lambda: signal.raise_signal(signal.SIGINT)))
        assert train_main(patched, "--data", annotated, "--out", stopped, *command(name)) == 1
    assert len(log_of(stopped, "step")) == 2
    resume(monkeypatch, annotated, stopped)
    assert outcome(stopped) == outcome(whole)

    checkpoint = load_checkpoint(whole / "best.safetensors")
    assert checkpoint.card.trained
    assert checkpoint.card.training["recipe"]["architecture"] == name
    learns_from = ANNOTATIONS_OF.get(name, ())
    expected = {"used": list(learns_from), "missing": []} if learns_from else None
    assert checkpoint.card.training.get("annotations") == expected
    logged = [{"type": 2, "colour": 3, "view": 4}[of] for of in learns_from]
    found = log_of(whole, "annotations")
    assert [[line[of] for of in learns_from] for line in found] == ([logged] if logged else [])
    crops = [read_image(path) for path in sorted(annotated.parent.rglob("*.png"))[:3]]
    embedding, theta = Embedder(checkpoint).embed(crops)
    assert embedding.shape == (3, checkpoint.card.config.embedding_dim)
    assert len(np.unique(embedding, axis=0)) == 3
    assert np.array_equal(theta, np.tile(np.eye(2, 3, dtype=np.float32), (3, 1, 1)))


def test_a_resumed_run_keeps_its_annotations(
    plain: Path, annotated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the classifier that learned white would go on with black, and nobody would know."""
    out = tmp_path / "run"
    assert train_main(monkeypatch, "--data", annotated, "--out", out, *command("am_wtl"), "--epochs", 1) == 0
    manifest = read_manifest(annotated)
    other = {"red": "white", "white": "red"}
    entries = [
        replace(entry, further=entry.further | {"colour": other.get(entry.column("colour"), entry.column("colour"))})
        for entry in manifest.entries
    ]
    swapped = plain / "swapped.csv"
    write_manifest(swapped, entries, manifest.protocol)
    assert train_main(monkeypatch, "--data", swapped, "--out", out, "--resume", "--quiet") == 1
    said = capsys.readouterr().err
    assert f"what {swapped} says of colour is not what the run in {out} was started with: put back" in said
    # Nor may all of them be gone.
    bare = [replace(entry, further={}) for entry in manifest.entries]
    write_manifest(swapped, bare, manifest.protocol)
    assert train_main(monkeypatch, "--data", swapped, "--out", out, "--resume", "--quiet") == 1
    assert f"what {swapped} says of colour is not what" in capsys.readouterr().err


@pytest.mark.parametrize("name", ANNOTATIONS_OF)
def test_without_annotations_it_trains_without_their_terms_and_says_so(
    name: Architecture,
    plain: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    assert train_main(monkeypatch, "--data", plain, "--out", out, *command(name), "--epochs", 1) == 0
    said = capsys.readouterr().err
    learns_from = ANNOTATIONS_OF[name]
    for of in learns_from:
        reason = f"{name} is trained without the term that learns from it"
        assert f"warning: no two training images differ in their {of}: {reason}\n" in said
    missing = {"used": [], "missing": list(learns_from)}
    assert read_card(out / "best.safetensors").training["annotations"] == missing
    assert json.loads((out / "run.json").read_text("utf-8"))["annotations"] == missing
    (line,) = log_of(out, "annotations")
    assert [line[of] for of in learns_from] == [0] * len(learns_from)
    assert set(log_of(out, "step")[0]).isdisjoint({"type", "colour", "view"})
