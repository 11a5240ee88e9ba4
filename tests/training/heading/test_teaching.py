import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from index.datasets.manifest import Entry, Manifest, ManifestError
from index.datasets.protocol import Protocol
from model.box import Box
from model.image import encode_image
from model.polar import PolarHeading
from tests.conftest import picture
from tests.training.runs import log_of, small_recipe, small_run, write_vehicles
from training.crops import Crops
from training.data import TrainingData
from training.heading import teaching
from training.heading.examples import Examples
from training.heading.teaching import (
    compute_headings,
    heading_of,
    require_known_headings,
    teach_heading,
    true_headings_rad,
)
from training.learner import Learner, build_learner
from training.run import Run, StoppedError, TrainingError

CPU = torch.device("cpu")
ALIGNED: dict[str, Any] = {
    "architecture": "sanet", "transform": "rotation", "aligned": "input", "num_parts": 1, "heading_steps": 5,
    "resize": "pad",
}  # fmt: skip


@pytest.fixture(scope="module")
def vehicles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vehicles(tmp_path_factory.mktemp("vehicles"), 4, 3)


def run_of(vehicles: Path, out: Path, log_every: int = 2, **changes: Any) -> tuple[Run, Learner, Crops]:
    run = small_run(vehicles, out, small_recipe(**{**ALIGNED, **changes}), log_every=log_every)
    run.folder.create(run.recipe, {})
    run.folder.open_log(-run.recipe.heading_steps)
    learner = build_learner(run.recipe, run.data.num_labels, 0, CPU)
    with_masks = run.recipe.background_p > 0
    crops = Crops(run.data.manifest, run.data.entries, run.recipe.preprocessing(), CPU, 1.0, with_masks=with_masks)
    crops.load()
    return run, learner, crops


def the_heading(learner: Learner) -> PolarHeading:
    heading = heading_of(learner.network)
    assert heading is not None
    return heading


def headed(run: Run, headings_deg: list[float]) -> TrainingData:
    """The run's data, that knows its headings."""
    entries = tuple(
        dataclasses.replace(entry, further={"heading_deg": str(deg)})
        for entry, deg in zip(run.data.entries, headings_deg, strict=True)
    )
    return dataclasses.replace(run.data, entries=entries)


def never() -> bool:
    return False


def test_only_an_aligned_input_has_a_heading() -> None:
    assert isinstance(heading_of(build_learner(small_recipe(**ALIGNED), 3, 0, CPU).network), PolarHeading)
    for changes in ({"architecture": "baseline"}, {"aligned": "map"}):
        assert heading_of(build_learner(small_recipe(**{**ALIGNED, **changes}), 3, 0, CPU).network) is None


# --- computing


@pytest.mark.parametrize("background_p", [0.0, 0.5], ids=["3 channels", "4 channels"])
def test_headings_are_those_of_the_clean_images_in_evaluation(
    background_p: float, vehicles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teaching, "_PASS_BATCH_SIZE", 5)
    _, learner, crops = run_of(vehicles, tmp_path / "run", background_p=background_p, noise=0.1, cast=0.1)
    heading = the_heading(learner).train()
    before = {name: tensor.clone() for name, tensor in heading.state_dict().items()}
    found = compute_headings(learner, heading, crops, 12)
    assert (found.shape, found.requires_grad) == ((12,), False)
    assert all(torch.equal(tensor, before[name]) for name, tensor in heading.state_dict().items())
    network = learner.network.eval()
    for position in range(12):
        (image,) = crops.batches([np.array([position])])
        with torch.no_grad():
            _, theta = network.align_input(network.normalization(image[:, :3]))
        turn = math.pi / 2 - float(found[position])
        expected = [[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0]]
        np.testing.assert_allclose(theta[0].numpy(), expected, atol=1e-3)


# --- the true ones


def test_true_headings_are_the_datas_in_the_networks_square(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode_image(picture(1, 60, 40), "PNG"))
    known = [30.0, 30.0, -135.0, 90.0, 400.0]
    boxes = [None, Box(5, 5, 20, 20), Box(0, 0, 20, 40), Box(0, 0, 60, 10), None]
    entries = [
        Entry("a.png", "van", box=box, further={"heading_deg": str(deg)}) for box, deg in zip(boxes, known, strict=True)
    ]
    manifest = Manifest(tmp_path, tuple(entries), Protocol())
    np.testing.assert_allclose(true_headings_rad(manifest, entries, "pad"), np.deg2rad(known))
    stretched = true_headings_rad(manifest, entries, "stretch")
    for found, box, deg in zip(stretched, boxes, known, strict=True):
        width, height = (60, 40) if box is None else (box.w, box.h)
        along = np.array([math.cos(math.radians(deg)) / width, math.sin(math.radians(deg)) / height])
        np.testing.assert_allclose([math.cos(found), math.sin(found)], along / np.linalg.norm(along), atol=1e-9)


@pytest.mark.parametrize(
    "further", [{}, *({"heading_deg": text} for text in ("", "north", "nan", "-inf", "1e400", "1_0"))]
)
def test_headings_that_are_not_known_are_an_error_that_names_the_image(
    further: dict[str, str], vehicles: Path, tmp_path: Path
) -> None:
    run, learner, _ = run_of(vehicles, tmp_path / "run", heading="labels")
    data = headed(run, [10.0] * 12)
    require_known_headings(learner, data)
    entries = (*data.entries[:7], dataclasses.replace(data.entries[7], further=further), *data.entries[8:])
    with pytest.raises(ManifestError, match=f"{entries[7].path} has no heading_deg"):
        require_known_headings(learner, dataclasses.replace(data, entries=entries))
    with pytest.raises(ManifestError, match=f"{entries[7].path} has no heading_deg"):
        true_headings_rad(data.manifest, entries, "pad")


@pytest.mark.parametrize(
    "changes", [{"heading": "learned"}, {"heading": "labels", "aligned": "map"}, {"architecture": "baseline"}]
)
def test_who_learns_no_heading_from_labels_needs_none(changes: dict[str, Any], vehicles: Path, tmp_path: Path) -> None:
    run, learner, _ = run_of(vehicles, tmp_path / "run", **changes)
    require_known_headings(learner, run.data)


# --- teaching


@pytest.mark.parametrize("heading", ["learned", "labels"])
def test_a_heading_is_taught_what_the_recipe_says(
    heading: str, vehicles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str, Examples]] = []

    def of_identities(heading: PolarHeading, examples: Examples, on_step: Callable[..., None]) -> None:
        given.append(("learned", examples))

    def of_labels(heading: PolarHeading, examples: Examples, headings_rad: Any, on_step: Callable[..., None]) -> None:
        given.append(("labels", examples))
        np.testing.assert_allclose(headings_rad, np.deg2rad(np.arange(12.0)))

    monkeypatch.setattr(teaching, "learn_heading_from_identities", of_identities)
    monkeypatch.setattr(teaching, "learn_heading_from_labels", of_labels)
    run, learner, crops = run_of(vehicles, tmp_path / "run", heading=heading)
    data = headed(run, [float(deg) for deg in range(12)])
    teach_heading(run, learner, the_heading(learner), data, crops, never)
    ((found, examples),) = given
    assert found == heading
    assert examples.labels == data.labels
    assert (examples.num_steps, examples.seed, examples.normalization) == (5, 0, learner.network.normalization)


@pytest.mark.parametrize(("log_every", "steps"), [(1, [-4, -3, -2, -1, 0]), (2, [-3, -1, 0]), (9, [0])])
@pytest.mark.parametrize("heading", ["learned", "labels"])
def test_its_steps_are_logged_before_step_0_and_the_last_one_always(
    heading: str, log_every: int, steps: list[int], vehicles: Path, tmp_path: Path
) -> None:
    run, learner, crops = run_of(vehicles, tmp_path / "run", log_every, heading=heading)
    taught = the_heading(learner)
    before = {name: tensor.clone() for name, tensor in taught.named_parameters()}
    teach_heading(run, learner, taught, headed(run, [20.0] * 12), crops, never)
    run.folder.close()
    lines = log_of(run.folder.path)
    assert [line["step"] for line in lines] == steps
    assert {line["event"] for line in lines} == {"heading"}
    names = {"matching", "ends"} if heading == "learned" else {"heading"}
    assert lines[-1].keys() - {"event", "step"} == names
    assert not any(torch.equal(tensor, before[name]) for name, tensor in taught.named_parameters())
    assert not taught.training


def test_a_stop_that_is_asked_for_comes_after_the_step(vehicles: Path, tmp_path: Path) -> None:
    run, learner, crops = run_of(vehicles, tmp_path / "run", 1)
    asked = iter([False, True])
    with pytest.raises(StoppedError):
        teach_heading(run, learner, the_heading(learner), run.data, crops, lambda: next(asked))
    run.folder.close()
    assert [line["step"] for line in log_of(run.folder.path)] == [-4, -3]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_it(
    loss: float, vehicles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(heading: PolarHeading, examples: Examples, on_step: Callable[[int, dict[str, Tensor]], None]) -> None:
        on_step(1, {"matching": torch.tensor(loss)})  # nobody looks
        on_step(2, {"matching": torch.tensor(loss)})

    monkeypatch.setattr(teaching, "learn_heading_from_identities", broken)
    run, learner, crops = run_of(vehicles, tmp_path / "run", 2)
    with pytest.raises(TrainingError, match="the loss of the heading's step 2 is not finite"):
        teach_heading(run, learner, the_heading(learner), run.data, crops, never)
