"""Whole runs: they learn, they can be stopped and killed at any moment, and end as if nothing had happened."""

import copy
import dataclasses
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from torch import Tensor

from index.datasets.manifest import ManifestError
from index.ranking.evaluation import evaluate
from model.build import Network
from model.checkpoint import load_checkpoint, read_card
from model.embedder import Embedder
from model.polar import PolarHeading
from tests.conftest import picture
from tests.training.runs import (
    ROOT,
    SMALL,
    log_of,
    small_recipe,
    small_run,
    tensorboard_of,
    train_main,
    write_vehicles,
)
from training import loop, saving
from training.data import training_data
from training.datasets.opening import open_data
from training.heading import teaching
from training.heading.examples import Examples
from training.heading.identities import learn_heading_from_identities
from training.heading.teaching import compute_headings
from training.learner import build_learner
from training.loop import train
from training.recipe import Recipe
from training.run import Run, StoppedError, TrainingError
from training.run_folder import RunFolder
from training.run_state import Progress
from training.step import Batch, Outcome, Stepper
from training.validation import Figures, Validation

LOSS_TERMS = ("id_g", "id_td", "id_lr", "triplet_g", "triplet_t", "triplet_d", "triplet_l", "triplet_r", "triplet_ss")
ALIGNMENT = ("theta_det_mean", "theta_det_min", "rotation_spread_deg", "outside_share")
STEPS_PER_EPOCH = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vehicles(tmp_path_factory.mktemp("vehicles"))


def outcome(out: Path) -> tuple[str, str, str]:
    """What a run leaves behind: the log's text and two models."""
    best, last = (read_card(out / f"{name}.safetensors").fingerprint for name in ("best", "last"))
    return (out / "log.jsonl").read_text("utf-8"), best, last


# --- a run that learns


@pytest.fixture(scope="module")
def learnt(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a SANet that learns its eight vehicles by heart, from scratch, in 12 steps."""
    recipe = small_recipe(
        architecture="sanet", backbone="resnet18", num_identities=8, epochs=6, max_steps_per_epoch=0, validate_every=3,
        jitter_p=0.0, erasing_p=0.0,
    )  # fmt: skip
    out = tmp_path_factory.mktemp("learnt") / "run"
    run = small_run(data, out, recipe)
    learner = build_learner(recipe, 8, 0, torch.device("cpu"))
    assert run.data.validation is not None
    untrained = Validation(run.data.validation, recipe.preprocessing())(learner.result(), recipe, run.device)
    assert untrained.cmc1 < 0.8
    progress = train(run)
    assert progress.steps_done == 6 * 2
    assert progress.best is not None
    assert progress.best["cmc1"] >= 0.9  # rounding differs by CPU, and with it one or two of the 24 queries
    return out


def test_eight_vehicles_are_learnt_by_heart(learnt: Path) -> None:
    found = log_of(learnt, "validation")
    assert [line["epoch"] for line in found] == [2, 5]
    assert [line["step"] for line in found] == [6, 12]
    assert found[-1]["cmc1"] >= 0.9
    steps = log_of(learnt, "step")
    assert [line["step"] for line in steps] == list(range(1, 13))
    assert log_of(learnt)[-1]["event"] == "validation"
    assert [line["epoch"] for line in steps] == [step // 2 for step in range(12)]
    assert steps[-1]["total"] < 0.2 * steps[0]["total"]


def test_the_log_holds_every_term_and_how_the_alignment_does(learnt: Path) -> None:
    for line in log_of(learnt, "step"):
        assert set(line) == {"event", "step", "epoch", "learning_rate", "total", *LOSS_TERMS, *ALIGNMENT}
        assert line["total"] == pytest.approx(sum(line[name] for name in LOSS_TERMS), rel=1e-5)
        assert all(math.isfinite(value) for name, value in line.items() if name != "event")
    first, last = log_of(learnt, "step")[0], log_of(learnt, "step")[-1]
    # Untrained it aligns nothing; what has been learnt is small, but it is no longer that.
    assert (first["theta_det_mean"], first["outside_share"]) == (1.0, 0.0)
    assert last["theta_det_mean"] != 1.0
    assert last["rotation_spread_deg"] > 0
    for line in log_of(learnt, "validation"):
        assert set(line) == {"event", "step", "epoch", "cmc1", "cmc5", "map", "minp"}


def test_every_epoch_has_a_line_with_the_means_of_its_steps(learnt: Path) -> None:
    epochs, steps = log_of(learnt, "epoch"), log_of(learnt, "step")
    assert [(line["epoch"], line["step"]) for line in epochs] == [(epoch, 2 * epoch + 2) for epoch in range(6)]
    for line in epochs:
        assert set(line) == {"event", "step", "epoch", "total", *LOSS_TERMS}
        of_epoch = [step for step in steps if step["epoch"] == line["epoch"]]
        assert len(of_epoch) == 2
        for name in ("total", *LOSS_TERMS):
            assert line[name] == pytest.approx(sum(step[name] for step in of_epoch) / 2, rel=1e-5)


def test_tensorboard_shows_what_the_log_holds(learnt: Path) -> None:
    expected: dict[str, list[tuple[int, float]]] = {}
    for line in log_of(learnt):
        for name in line.keys() - {"event", "step"}:
            expected.setdefault(f"{line['event']}/{name}", []).append((line["step"], line[name]))
    found = tensorboard_of(learnt)
    assert found.keys() == expected.keys()
    for tag, points in expected.items():
        np.testing.assert_allclose(found[tag], points, rtol=1e-6)


def test_the_learning_rate_warms_up_and_falls_to_zero(learnt: Path) -> None:
    found = [line["learning_rate"] for line in log_of(learnt, "step")]
    warm_up = [1e-3 * (step + 1) / 2 for step in range(2)]
    cosine = [1e-3 * (1 + math.cos(math.pi * step / 10)) / 2 for step in range(10)]
    assert found == pytest.approx([*warm_up, *cosine])


def test_best_has_the_figures_of_the_best_validation(learnt: Path, data: Path) -> None:
    best = max(log_of(learnt, "validation"), key=lambda line: (line["cmc1"], line["map"]))
    checkpoint = load_checkpoint(learnt / "best.safetensors")
    assert checkpoint.card.training["num_steps"] == best["step"]
    task = small_run(data, learnt, small_recipe(backbone="resnet18")).data.validation
    assert task is not None
    again = evaluate(task, checkpoint.card.preprocessing, Embedder(checkpoint).embed_prepared)
    figures = (again.cmc(1), again.cmc(5), again.map, again.minp)
    assert figures == pytest.approx([best[name] for name in ("cmc1", "cmc5", "map", "minp")], abs=1e-9)


def test_last_is_the_last_step(learnt: Path) -> None:
    state = safetensors.torch.load_file(learnt / "state.safetensors")
    last = load_checkpoint(learnt / "last.safetensors")
    assert last.card.training["num_steps"] == 12
    for name, tensor in last.network.state_dict().items():
        assert torch.equal(tensor, state[f"trainee.network.{name}"])


def test_the_checkpoints_say_what_they_were_trained_on(learnt: Path) -> None:
    for name in ("best", "last"):
        card = read_card(learnt / f"{name}.safetensors")
        assert card.trained
        assert card.training["data"] == "vehicles"
        assert card.training["seed"] == 0
        assert card.training["recipe"] == dataclasses.asdict(RunFolder(learnt).read()[0])
        recipe = small_recipe(architecture="sanet", backbone="resnet18")
        assert (card.config, card.preprocessing) == (recipe.network_config(), recipe.preprocessing())


def test_a_trained_checkpoint_embeds(learnt: Path) -> None:
    embedder = Embedder(load_checkpoint(learnt / "best.safetensors"))
    embedding, theta = embedder.embed([picture(1), picture(2, 90, 30)])
    assert embedding.shape == (2, 2560)
    assert theta.shape == (2, 2, 3)
    assert not np.array_equal(embedding[0], embedding[1])


# --- what a run depends on


@pytest.fixture(scope="module")
def uninterrupted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run by command, with all augmentation, that nothing ever stopped."""
    out = tmp_path_factory.mktemp("uninterrupted") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert train_main(monkeypatch, "--data", data, "--out", out, *SMALL) == 0
    return out


def test_the_same_seed_gives_the_same_run_whatever_its_habits(data: Path, uninterrupted: Path, tmp_path: Path) -> None:
    torch.rand(5)
    train(small_run(data, tmp_path, small_recipe(), memory_gb=0.0, save_every_s=0.0))
    assert outcome(tmp_path) == outcome(uninterrupted)
    assert len(log_of(tmp_path, "step")) == 2 * STEPS_PER_EPOCH
    assert len(log_of(tmp_path, "validation")) == 2


def test_another_seed_is_another_run(data: Path, uninterrupted: Path, tmp_path: Path) -> None:
    train(small_run(data, tmp_path, small_recipe(validation="none"), seed=1))
    for one, another in zip(log_of(tmp_path, "step"), log_of(uninterrupted, "step"), strict=True):
        assert (one["step"], one["learning_rate"]) == (another["step"], another["learning_rate"])
        assert one["total"] != another["total"]


def test_every_step_draws_its_augmentation_anew(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[float] = []
    step = Stepper.step

    def drawing(stepper: Stepper, batch: Batch, rate: float, share: float, rng: np.random.Generator) -> Outcome:
        drawn.append(copy.deepcopy(rng).random())
        return step(stepper, batch, rate, share, rng)

    monkeypatch.setattr(Stepper, "step", drawing)
    for seed in (0, 1):
        train(small_run(data, tmp_path / str(seed), small_recipe(validation="none"), seed))
    assert len(set(drawn)) == len(drawn) == 2 * 2 * STEPS_PER_EPOCH


def test_torchs_own_random_numbers_go_on_as_if_nothing_was(data: Path, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    train(small_run(data, tmp_path, small_recipe(epochs=1, validation="none", max_steps_per_epoch=1)))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_only_every_nth_step_is_logged_if_asked(data: Path, tmp_path: Path) -> None:
    train(small_run(data, tmp_path, small_recipe(epochs=2, validation="none"), log_every=2))
    assert [(line["step"], line["epoch"]) for line in log_of(tmp_path, "step")] == [(2, 0), (4, 1), (6, 1)]
    assert [(line["step"], line["epoch"]) for line in log_of(tmp_path, "epoch")] == [(3, 0), (6, 1)]


def test_a_validation_comes_every_nth_epoch_and_at_the_end(data: Path, tmp_path: Path) -> None:
    train(small_run(data, tmp_path, small_recipe(epochs=3, validate_every=2, max_steps_per_epoch=1)))
    assert [(line["epoch"], line["step"]) for line in log_of(tmp_path, "validation")] == [(1, 2), (2, 3)]


def test_without_a_validation_the_last_step_is_the_best(data: Path, tmp_path: Path) -> None:
    progress = train(small_run(data, tmp_path, small_recipe(validation="none", epochs=1, max_steps_per_epoch=2)))
    assert progress == Progress(2, epoch=1)
    assert log_of(tmp_path, "validation") == []
    best, last = (read_card(tmp_path / f"{name}.safetensors") for name in ("best", "last"))
    assert best == last
    assert best.trained


# --- stopping and going on


def at_step(step: int, act: Callable[[], object]) -> Callable[[Stepper, Batch, float, float, Any], Outcome]:
    """`Stepper.step`, in whose middle something happens the `step`th time."""
    original, numbers = Stepper.step, count(1)

    def stepped(stepper: Stepper, batch: Batch, rate: float, share: float, rng: np.random.Generator) -> Outcome:
        if next(numbers) == step:
            act()
        return original(stepper, batch, rate, share, rng)

    return stepped


def resume(monkeypatch: pytest.MonkeyPatch, data: Path, out: Path) -> None:
    assert train_main(monkeypatch, "--data", data, "--out", out, "--resume", "--quiet", "--log-every", 1) == 0


# In the middle of an epoch, and in the last step of one, before it is validated.
@pytest.mark.parametrize(("step", "sent"), [(2, signal.SIGINT), (3, signal.SIGTERM)])
def test_a_signal_finishes_the_step_and_saves_and_the_run_goes_on_from_there(
    step: int,
    sent: signal.Signals,
    data: Path,
    uninterrupted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(Stepper, "step", at_step(step, lambda: os.kill(os.getpid(), sent)))
        assert train_main(patched, "--data", data, "--out", out, *SMALL) == 1
    said = capsys.readouterr()
    assert said.out == ""
    last_line = said.err.splitlines()[-1]
    assert last_line == (
        f"training.train: stopped; the same command with --resume goes on from {out / 'state.safetensors'}"
    )
    assert log_of(out, "step")[-1]["step"] == step
    assert read_card(out / "last.safetensors").training["num_steps"] == step
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    resume(monkeypatch, data, out)
    assert outcome(out) == outcome(uninterrupted)


def test_a_second_signal_does_not_wait_for_the_step(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice() -> None:
        # Not os.kill: the second could meet the first still waiting, and be lost.
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Stepper, "step", at_step(1, twice))
    # A shell's background jobs inherit that SIGINT is ignored; then the second would be ignored too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(small_run(data, tmp_path, small_recipe()))
    finally:
        signal.signal(signal.SIGINT, before)
    assert not (tmp_path / "state.safetensors").exists()


def test_what_a_finished_run_left_is_not_touched_by_going_on(
    data: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(uninterrupted, tmp_path / "run")
    resume(monkeypatch, data, tmp_path / "run")
    assert outcome(tmp_path / "run") == outcome(uninterrupted)
    assert "6 steps, validation CMC-1" in capsys.readouterr().out


class Killed(BaseException):
    """As sudden as a kill, but in this process."""


def kill_now(*_: object) -> None:
    raise Killed


def at_call(number: int, act: Callable[[], object]) -> Callable[..., Figures]:
    """A validation, at whose beginning something happens the `number`th time."""
    original, numbers = Validation.__call__, count(1)

    def called(*arguments: Any) -> Figures:
        if next(numbers) == number:
            act()
        return original(*arguments)

    return called


def killed(run: Run) -> None:
    with pytest.raises(Killed):
        train(run)
    run.folder.close()


def test_a_kill_between_a_validation_and_the_next_state_repeats_it_without_a_trace(
    data: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Stepper, "step", at_step(4, kill_now))
        # The state is saved after each step: the last one before the kill is that of the first epoch's last step.
        killed(small_run(data, tmp_path, small_recipe(), save_every_s=1e-9))
    assert [line["event"] for line in log_of(tmp_path)] == ["step", "step", "step", "epoch", "validation"]
    train(small_run(data, tmp_path, small_recipe()), resume=True)
    assert outcome(tmp_path) == outcome(uninterrupted)


class Clock:
    """Instead of `time`: each step takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def saved_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """After how many steps a state was saved, where each step takes a second."""
    clock, found, step = Clock(), list[int](), Stepper.step
    monkeypatch.setattr(saving, "time", clock)

    def stepped(*arguments: Any) -> Any:
        clock.now += 1
        return step(*arguments)

    monkeypatch.setattr(Stepper, "step", stepped)
    monkeypatch.setattr(saving, "save_run_state", lambda *arguments: found.append(arguments[-1].steps_done))
    monkeypatch.setattr(saving, "save_checkpoint", lambda *_: None)
    return found


def test_with_zero_seconds_a_state_is_saved_after_every_epoch(data: Path, tmp_path: Path, saved_at: list[int]) -> None:
    train(small_run(data, tmp_path, small_recipe(validation="none"), save_every_s=0.0))
    assert saved_at == [3, 6]


def test_a_state_is_saved_every_so_many_seconds_in_the_middle_of_an_epoch_too(
    data: Path, tmp_path: Path, saved_at: list[int]
) -> None:
    recipe = small_recipe(validation="none", epochs=1, max_steps_per_epoch=0, num_identities=2)
    train(small_run(data, tmp_path, recipe, save_every_s=2.5))
    assert saved_at == [3, 6, 8]


def test_a_state_is_saved_every_so_many_seconds_however_short_the_epochs_are(
    data: Path, tmp_path: Path, saved_at: list[int]
) -> None:
    train(small_run(data, tmp_path, small_recipe(validation="none", max_steps_per_epoch=1, epochs=9), save_every_s=3.5))
    assert saved_at == [4, 8, 9]


# --- the best


def found_in_turn(monkeypatch: pytest.MonkeyPatch, *found: tuple[float, float]) -> None:
    """Each validation finds the next CMC-1 and mAP."""
    figures = iter([Figures(cmc1, 1.0, map_, 0.0) for cmc1, map_ in found])
    monkeypatch.setattr(Validation, "__call__", lambda *_: next(figures))


def test_the_best_has_the_highest_cmc1_then_map_and_came_first(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_in_turn(monkeypatch, (0.5, 0.9), (0.7, 0.6), (0.7, 0.65), (0.7, 0.65), (0.6, 0.99))
    recipe = small_recipe(epochs=5, max_steps_per_epoch=1)
    progress = train(small_run(data, tmp_path, recipe))
    assert progress.best == {"epoch": 2, "cmc1": 0.7, "cmc5": 1.0, "map": 0.65, "minp": 0.0}
    assert read_card(tmp_path / "best.safetensors").training["num_steps"] == 3
    assert read_card(tmp_path / "last.safetensors").training["num_steps"] == 5


def second_of(run: Run, best_by: Any) -> Run:
    """The run with its own images as a second validation."""
    return dataclasses.replace(run, second_validation=run.data.validation, best_by=best_by)


@pytest.mark.parametrize(("best_by", "best_epoch"), [("validation", 0), ("second_validation", 1)])
def test_each_validation_scores_both_and_one_of_them_picks_the_best(
    best_by: str, best_epoch: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_in_turn(monkeypatch, (0.9, 0.9), (0.1, 0.1), (0.8, 0.8), (0.3, 0.3))
    run = small_run(data, tmp_path, small_recipe(max_steps_per_epoch=1))
    progress = train(second_of(run, best_by))
    assert [(line["event"], line["step"], line["cmc1"]) for line in log_of(tmp_path) if "cmc1" in line] == [
        ("validation", 1, 0.9), ("second_validation", 1, 0.1), ("validation", 2, 0.8), ("second_validation", 2, 0.3),
    ]  # fmt: skip
    assert progress.best is not None
    assert progress.best["epoch"] == best_epoch
    assert read_card(tmp_path / "best.safetensors").training["num_steps"] == best_epoch + 1
    assert f'"best_by": "{best_by}"' in (tmp_path / "run.json").read_text()


def test_a_second_validation_needs_no_first(data: Path, tmp_path: Path) -> None:
    own = small_run(data, tmp_path, small_recipe()).data.validation
    run = small_run(data, tmp_path, small_recipe(validation="none", epochs=1, max_steps_per_epoch=1))
    progress = train(dataclasses.replace(run, second_validation=own, best_by="second_validation"))
    (line,) = log_of(tmp_path, "second_validation")
    assert progress.best == {name: line[name] for name in ("epoch", "cmc1", "cmc5", "map", "minp")}
    assert log_of(tmp_path, "validation") == []


def test_a_resumed_run_remembers_its_best(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found_in_turn(monkeypatch, (0.9, 0.9), (0.8, 0.8), (0.7, 0.7))
    recipe = small_recipe(epochs=3, max_steps_per_epoch=1)
    with monkeypatch.context() as patched:
        patched.setattr(Stepper, "step", at_step(2, lambda: os.kill(os.getpid(), signal.SIGINT)))
        with pytest.raises(StoppedError):
            train(small_run(data, tmp_path, recipe))
    progress = train(small_run(data, tmp_path, recipe), resume=True)
    assert progress.best is not None
    assert progress.best["epoch"] == 0
    assert read_card(tmp_path / "best.safetensors").training["num_steps"] == 1


# --- a real process, killed


def start(data: Path, out: Path) -> "subprocess.Popen[bytes]":
    """A run of the command that saves after every epoch."""
    command = ("-m", "training.train", "--data", data, "--out", out, *SMALL, "--save-every", 0)
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def lines_of(out: Path) -> int:
    log = out / "log.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def test_a_killed_run_ends_as_if_it_had_never_been_killed(
    data: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    with start(data, out) as process:
        # The first line of the second epoch: the state of the first is saved.
        while lines_of(out) < STEPS_PER_EPOCH + 3 and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert (out / "state.safetensors").exists()
    assert lines_of(out) < 2 * (STEPS_PER_EPOCH + 2)
    resume(monkeypatch, data, out)
    assert outcome(out) == outcome(uninterrupted)


@pytest.mark.trial
def test_a_run_may_be_killed_at_any_moment(
    data: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = time.monotonic()
    assert start(data, tmp_path / "undisturbed").wait() == 0
    duration = time.monotonic() - begin
    assert outcome(tmp_path / "undisturbed") == outcome(uninterrupted)
    rng = random.Random(20)
    num_resumed = 0
    for number in range(20):
        out = tmp_path / str(number)
        with start(data, out) as process:
            # Most of the first part is Python's own start.
            time.sleep(duration * rng.uniform(0.3, 1.0))
            process.kill()
        if (out / "state.safetensors").exists():
            num_resumed += 1
        else:
            shutil.rmtree(out, ignore_errors=True)  # nothing to go on from
            assert start(data, out).wait() == 0
        resume(monkeypatch, data, out)
        assert outcome(out) == outcome(uninterrupted)
        shutil.rmtree(out)
    assert num_resumed > 0


# --- frozen epochs


FROZEN = (*SMALL, "--backbone", "resnet18", "--frozen-epochs", 1)


@pytest.fixture(scope="module")
def trunk_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trunk without layer4, so that in the frozen epochs a part of the network trains."""
    path = tmp_path_factory.mktemp("private") / "trunk.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        state = torchvision.models.resnet18(weights=None).state_dict()
    kept = {name: t for name, t in state.items() if not name.startswith(("layer4", "fc"))}
    # Statistics that no fresh network has.
    kept = {name: t * 0.9 + 0.01 if "running" in name else t for name, t in kept.items()}
    safetensors.torch.save_file(kept, path)
    return path


@pytest.fixture(scope="module", params=[0, 3], ids=["last weights", "their mean"])
def frozen_flags(request: pytest.FixtureRequest, trunk_file: Path) -> tuple[object, ...]:
    return (*FROZEN, "--trunk-weights", trunk_file, "--average-steps", request.param)


@pytest.fixture(scope="module")
def thawed(data: Path, frozen_flags: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with a frozen epoch and one that is not."""
    out = tmp_path_factory.mktemp("thawed") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert train_main(monkeypatch, "--data", data, "--out", out, *frozen_flags) == 0
    return out


def moved(out: Path, recipe: Recipe) -> set[str]:
    """What in the network is not as it was at the start; of a mean without the counters, which it has not got."""
    fresh = build_learner(recipe, 8, 0, torch.device("cpu")).network.state_dict()
    found = safetensors.torch.load_file(out / "last.safetensors")
    return {name for name in counted(set(fresh), recipe) if not torch.equal(fresh[name], found[name])}


def counted(names: set[str], recipe: Recipe) -> set[str]:
    return {name for name in names if not (recipe.average_steps and name.endswith("num_batches_tracked"))}


@pytest.mark.parametrize("step", [2, 3])
def test_frozen_epochs_thaw_the_same_wherever_the_run_was_stopped(
    step: int,
    data: Path,
    frozen_flags: tuple[object, ...],
    thawed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(Stepper, "step", at_step(step, lambda: os.kill(os.getpid(), signal.SIGINT)))
        assert train_main(patched, "--data", data, "--out", out, *frozen_flags) == 1
    # Until the first epoch is over nothing that was loaded moves, BatchNorm's statistics included; all else does.
    recipe, _ = RunFolder(out).read()
    everything = counted(set(safetensors.torch.load_file(out / "last.safetensors")), recipe)
    assert moved(out, recipe) == {name for name in everything if name.startswith("layer4.")}
    resume(monkeypatch, data, out)
    assert outcome(out) == outcome(thawed)
    assert moved(out, recipe) == everything


def test_without_pre_trained_weights_nothing_is_frozen(data: Path, tmp_path: Path) -> None:
    recipe = small_recipe(frozen_epochs=9, epochs=1, max_steps_per_epoch=1, validation="none")
    train(small_run(data, tmp_path, recipe))
    assert moved(tmp_path, recipe) == set(safetensors.torch.load_file(tmp_path / "last.safetensors"))


def test_the_checkpoint_knows_the_weights_name_and_not_their_folder(thawed: Path, trunk_file: Path) -> None:
    for name in ("best", "last"):
        path = thawed / f"{name}.safetensors"
        assert read_card(path).training["recipe"]["trunk_weights"] == "trunk.safetensors"
        assert str(trunk_file.parent).encode() not in path.read_bytes()


# --- an aligned input learns its heading first


HEADING_STEPS = 3
OnStep = Callable[[int, dict[str, Tensor]], None]


def heading_recipe(**changes: Any) -> Recipe:
    """Three steps for the heading, then two epochs of two, with all that is ours, and a validation after each."""
    ours: dict[str, Any] = {
        "architecture": "sanet", "transform": "rotation", "aligned": "input", "resize": "pad", "num_parts": 1,
        "heading_steps": HEADING_STEPS, "epochs": 2, "max_steps_per_epoch": 2, "neck": "batchnorm", "average_steps": 3,
        "id_scale": 16.0, "id_margin": 0.1, "triplet_weight": 0.0, "contrastive_weight": 1.0, "turn_deg": 8.0,
        "half_turn_p": 0.1, "scale": 0.15, "shift": 0.03, "cast": 0.03, "grey_p": 0.1, "blur_p": 0.4, "noise": 0.05,
        "background_p": 0.2, "mixstyle_p": 0.3, "channel_drop": 0.1,
    }  # fmt: skip
    return small_recipe(**{**ours, **changes})


def heading_of(tensors: dict[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """What belongs to a network's heading, by its name there."""
    start = f"{prefix}input_alignment."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(start)}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(tensor, second[name]) for name, tensor in first.items())


@pytest.fixture(scope="module")
def heading_as_learned() -> dict[str, Tensor]:
    """What `headed` had learned before its first epoch."""
    return {}


@pytest.fixture(scope="module")
def headed(data: Path, heading_as_learned: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that learned its heading and went on."""
    out = tmp_path_factory.mktemp("headed") / "run"

    def learning(heading: PolarHeading, examples: Examples, on_step: OnStep) -> None:
        learn_heading_from_identities(heading, examples, on_step)
        found = {f"input_alignment.heading.{name}": tensor.clone() for name, tensor in heading.state_dict().items()}
        heading_as_learned.update(found)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(teaching, "learn_heading_from_identities", learning)
        train(small_run(data, out, heading_recipe()))
    return out


def test_a_headings_steps_are_logged_before_step_0(headed: Path) -> None:
    assert [(line["event"], line["step"]) for line in log_of(headed)] == [
        *[("heading", step) for step in (-2, -1, 0)],
        *[("step", 1), ("step", 2), ("epoch", 2), ("validation", 2)],
        *[("step", 3), ("step", 4), ("epoch", 4), ("validation", 4)],
    ]
    lines = log_of(headed, "heading")
    assert [line.keys() - {"event", "step"} for line in lines] == [{"matching"}, *[{"matching", "ends"}] * 2]
    found = tensorboard_of(headed)
    np.testing.assert_allclose(
        found["heading/matching"], [(line["step"], line["matching"]) for line in lines], rtol=1e-6
    )
    assert [step for step, _ in found["step/total"]] == [1, 2, 3, 4]


def test_of_an_aligned_input_no_theta_is_logged(headed: Path) -> None:
    terms = {"total", "id_g", "id_td", "id_lr", "contrastive"}
    for line in log_of(headed, "step"):
        assert set(line) == {"event", "step", "epoch", "learning_rate", *terms}
        others = line["id_g"] + line["id_td"] + line["id_lr"] + line["contrastive"]
        assert line["total"] == pytest.approx(others, rel=1e-5)


def test_what_is_saved_and_validated_is_the_folded_mean_of_the_steps(
    data: Path, headed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Tensor]] = []
    step = Stepper.step

    def remembering(stepper: Stepper, *arguments: Any) -> Outcome:
        outcome = step(stepper, *arguments)
        seen.append({name: t.clone() for name, t in stepper._learner.trainee.state_dict().items()})
        return outcome

    validated: list[dict[str, Tensor]] = []
    validate = Validation.__call__

    def validating(validation: Validation, network: Network, *arguments: Any) -> Figures:
        assert not any(module.training for module in network.modules())
        validated.append(dict(network.state_dict()))
        return validate(validation, network, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Stepper, "step", remembering)
        patched.setattr(Validation, "__call__", validating)
        train(small_run(data, tmp_path, heading_recipe()))
    assert outcome(tmp_path) == outcome(headed)
    state = {name: tensor.double() for name, tensor in seen[0].items()}
    for step_, share in ((1, 1 / 2), (2, 1 / 3), (3, 1 / 3)):
        state = {name: mean + share * (seen[step_][name].double() - mean) for name, mean in state.items()}
    last = load_checkpoint(tmp_path / "last.safetensors").network.state_dict()
    factor = (state["necks.norms.0.running_var"] + 1e-5).rsqrt()
    weight = state["network.global_branch.reduction.weight"] * factor[:, None, None, None]
    torch.testing.assert_close(last["global_branch.reduction.weight"].double(), weight, rtol=1e-4, atol=1e-5)
    bias = (state["network.global_branch.reduction.bias"] - state["necks.norms.0.running_mean"]) * factor
    torch.testing.assert_close(last["global_branch.reduction.bias"].double(), bias, rtol=1e-4, atol=1e-4)
    for name in ("trunk.stem.conv.weight", "trunk.stem.norm.running_var"):
        torch.testing.assert_close(last[name].double(), state[f"network.{name}"], rtol=1e-4, atol=1e-6)
    assert len(validated) == 2
    assert all(torch.equal(tensor, last[name]) for name, tensor in validated[1].items())


# In the middle of each epoch, and at the end of each, before it is validated.
@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_all_that_is_ours_ends_the_same_wherever_the_run_was_killed(
    step: int, data: Path, headed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Stepper, "step", at_step(step + 1, kill_now))
        run = small_run(data, tmp_path, heading_recipe(), save_every_s=1e-9)
        if step < 4:
            killed(run)
        else:  # after the last step and before the run's end
            patched.setattr(Validation, "__call__", at_call(2, kill_now))
            killed(run)
    assert read_card(tmp_path / "last.safetensors").training["num_steps"] == step
    train(small_run(data, tmp_path, heading_recipe()), resume=True)
    assert outcome(tmp_path) == outcome(headed)


def test_the_network_trains_and_the_heading_stays_as_it_was_learned(
    headed: Path, heading_as_learned: dict[str, Tensor]
) -> None:
    fresh = build_learner(heading_recipe(), 8, 0, torch.device("cpu")).network.state_dict()
    last = load_checkpoint(headed / "last.safetensors").network.state_dict()
    assert len(heading_as_learned) > 30
    learned = {name: t for name, t in heading_as_learned.items() if not name.endswith("num_batches_tracked")}
    assert all(torch.equal(last[name], tensor) for name, tensor in learned.items())
    state = safetensors.torch.load_file(headed / "state.safetensors")
    # The mean of the weights begins with the heading that was learned; its counters do not count.
    for prefix in ("trainee.network.", "average.average.network."):
        found = heading_of(state, prefix)
        assert found.keys() == heading_as_learned.keys()
        for name, tensor in found.items():
            is_counter = name.endswith("num_batches_tracked")
            assert torch.equal(tensor, heading_as_learned[name]) or (is_counter and prefix.startswith("average")), name
    moved = {name for name, tensor in fresh.items() if not torch.equal(tensor, last[name])}
    assert moved == {name for name in fresh if not name.endswith("num_batches_tracked")}


def test_the_same_seed_learns_the_same_heading_and_network_and_another_does_not(
    data: Path, headed: Path, tmp_path: Path
) -> None:
    torch.rand(5)
    before = torch.random.get_rng_state()
    train(small_run(data, tmp_path / "again", heading_recipe(), memory_gb=0.0))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert outcome(tmp_path / "again") == outcome(headed)
    train(small_run(data, tmp_path / "other", heading_recipe(validation="none", epochs=1), seed=1))
    for one, another in zip(log_of(headed, "heading"), log_of(tmp_path / "other", "heading"), strict=True):
        assert one["step"] == another["step"]
        assert one["matching"] != another["matching"]


@pytest.mark.parametrize("step", [1, HEADING_STEPS])
def test_a_heading_that_was_stopped_is_learned_anew_without_a_trace(
    step: int, data: Path, headed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(heading: PolarHeading, examples: Examples, on_step: OnStep) -> None:
        def stopping(number: int, losses: dict[str, Tensor]) -> None:
            if number == step:
                os.kill(os.getpid(), signal.SIGTERM)
            on_step(number, losses)

        learn_heading_from_identities(heading, examples, stopping)

    with monkeypatch.context() as patched:
        patched.setattr(teaching, "learn_heading_from_identities", interrupted)
        with pytest.raises(StoppedError):
            train(small_run(data, tmp_path, heading_recipe()))
    assert [line["step"] for line in log_of(tmp_path)] == [number - HEADING_STEPS for number in range(1, step + 1)]
    assert not list(tmp_path.glob("*.safetensors"))
    train(small_run(data, tmp_path, heading_recipe()), resume=True)
    assert outcome(tmp_path) == outcome(headed)


def test_a_stop_that_is_asked_for_while_headings_are_computed_stops_the_run(
    data: Path, headed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> Tensor:
        os.kill(os.getpid(), signal.SIGINT)
        return compute_headings(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "compute_headings", interrupted)
        with pytest.raises(StoppedError):
            train(small_run(data, tmp_path, heading_recipe()))
    assert [line["step"] for line in log_of(tmp_path, "step")] == [1]
    train(small_run(data, tmp_path, heading_recipe()), resume=True)
    assert outcome(tmp_path) == outcome(headed)


def refuse(*_: object) -> None:
    raise AssertionError("a heading was learned")


def refuse_to_teach(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("learn_heading_from_identities", "learn_heading_from_labels"):
        monkeypatch.setattr(teaching, name, refuse)


def test_a_resumed_run_keeps_the_heading_that_it_has(
    data: Path, headed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Stepper, "step", at_step(1, lambda: os.kill(os.getpid(), signal.SIGINT)))
        with pytest.raises(StoppedError):
            train(small_run(data, tmp_path, heading_recipe()))
    refuse_to_teach(monkeypatch)
    train(small_run(data, tmp_path, heading_recipe()), resume=True)
    assert outcome(tmp_path) == outcome(headed)


@pytest.mark.parametrize("field", ["trunk_weights", "heading_weights"])
def test_a_loaded_heading_is_not_learned_again(
    field: str,
    data: Path,
    headed: Path,
    heading_as_learned: dict[str, Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refuse_to_teach(monkeypatch)
    recipe = heading_recipe(**{field: str(headed / "best.safetensors"), "epochs": 1, "heading": "labels"})
    train(small_run(data, tmp_path, recipe, seed=1))
    assert log_of(tmp_path, "heading") == []
    last = heading_of(load_checkpoint(tmp_path / "last.safetensors").network.state_dict())
    assert last.keys() == heading_as_learned.keys()
    assert all(torch.equal(t, heading_as_learned[n]) for n, t in last.items() if not n.endswith("num_batches_tracked"))
    # A weight file is known by its name: its folder is nobody's business.
    assert read_card(tmp_path / "last.safetensors").training["recipe"][field] == "best.safetensors"
    assert str(headed).encode() not in (tmp_path / "last.safetensors").read_bytes()


def test_headings_that_the_data_does_not_know_are_refused_before_images_are_read(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "read_images", refuse)
    with pytest.raises(ManifestError, match="has no heading_deg"):
        train(small_run(data, tmp_path / "run", heading_recipe(heading="labels")))
    assert not (tmp_path / "run").exists()


def test_weights_without_a_heading_leave_it_to_be_learned(data: Path, trunk_file: Path, tmp_path: Path) -> None:
    recipe = heading_recipe(
        backbone="resnet18", trunk_weights=str(trunk_file), epochs=1, validation="none", heading_steps=1
    )
    train(small_run(data, tmp_path, recipe))
    assert [line["step"] for line in log_of(tmp_path, "heading")] == [0]


@pytest.mark.parametrize("changes", [{"aligned": "map"}, {"architecture": "baseline", "neck": "none"}])
def test_who_aligns_no_input_learns_no_heading(
    changes: dict[str, Any], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_teach(monkeypatch)
    train(small_run(data, tmp_path, heading_recipe(**changes, epochs=1, validation="none")))
    assert [line["event"] for line in log_of(tmp_path)] == ["step", "step", "epoch"]


def test_a_headings_loss_that_is_not_finite_stops_the_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(heading: PolarHeading, examples: Examples, on_step: OnStep) -> None:
        on_step(1, {"matching": torch.tensor(0.5)})
        on_step(2, {"matching": torch.tensor(0.5), "ends": torch.tensor(math.nan)})

    monkeypatch.setattr(teaching, "learn_heading_from_identities", broken)
    with pytest.raises(TrainingError, match=r"the loss of the heading's step 2 is not finite: .*nan"):
        train(small_run(data, tmp_path, heading_recipe()))
    assert len(log_of(tmp_path)) == 1
    assert not list(tmp_path.glob("*.safetensors"))


# --- images that cannot be used


@pytest.fixture
def own_data(data: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(data, tmp_path / "own"))


def damage(own_data: Path, *names: str) -> list[Path]:
    paths = [own_data / name for name in names]
    for path in paths:
        path.write_bytes(path.read_bytes()[:600])
    return paths


DAMAGED = ("vehicle1/0.png", "vehicle5/3.png")


def test_all_images_that_cannot_be_used_are_named_before_the_first_step(own_data: Path, tmp_path: Path) -> None:
    paths = damage(own_data, *DAMAGED)
    with pytest.raises(TrainingError) as raised:
        train(small_run(own_data, tmp_path / "run", small_recipe()))
    first, *named, advice = str(raised.value).splitlines()
    assert first == "2 of 32 images cannot be used:"
    assert sorted(line.split(": ")[0] for line in named) == sorted(map(str, paths))
    assert "--leave-out-damaged" in advice
    assert not (tmp_path / "run").exists()


def test_of_many_images_that_cannot_be_used_ten_are_named(own_data: Path, tmp_path: Path) -> None:
    damage(own_data, *(f"vehicle{identity}/{view}.png" for identity in range(3) for view in range(4)))
    with pytest.raises(TrainingError) as raised:
        train(small_run(own_data, tmp_path / "run", small_recipe()))
    lines = str(raised.value).splitlines()
    assert lines[0] == "12 of 32 images cannot be used:"
    assert lines[11] == "and 2 more"
    assert len(lines) == 13


def test_a_run_may_leave_out_what_cannot_be_used(
    own_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = damage(own_data, *DAMAGED)
    run = small_run(own_data, tmp_path / "run", small_recipe(validation="none"))
    train(dataclasses.replace(run, leaves_out_damaged=True))
    said = capsys.readouterr().err
    assert "left out, 2 of 32 images:" in said
    assert all(str(path) in said for path in paths)
    # As if the others were all there is.
    for path in paths:
        path.unlink()
    train(small_run(own_data, tmp_path / "fewer", small_recipe(validation="none")))
    assert outcome(tmp_path / "run") == outcome(tmp_path / "fewer")


@pytest.mark.parametrize("mends", [True, False])
def test_a_run_whose_images_are_damaged_while_it_is_stopped_can_go_on(
    mends: bool, own_data: Path, data: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(Stepper, "step", at_step(2, lambda: os.kill(os.getpid(), signal.SIGINT)))
        with pytest.raises(StoppedError):
            train(small_run(own_data, out, small_recipe(validation="none")))
    before = (out / "state.safetensors").read_bytes()
    damage(own_data, *DAMAGED)
    run = small_run(own_data, out, small_recipe(validation="none"))
    with pytest.raises(TrainingError, match="2 of 32 images cannot be used"):
        train(run, resume=True)
    assert (out / "state.safetensors").read_bytes() == before
    if mends:
        for name in DAMAGED:
            shutil.copy(data / name, own_data / name)
        train(run, resume=True)
        assert log_of(out, "step") == log_of(uninterrupted, "step")
    else:
        train(dataclasses.replace(run, leaves_out_damaged=True), resume=True)
    assert read_card(out / "last.safetensors").training["num_steps"] == 2 * STEPS_PER_EPOCH


def test_an_epoch_that_became_shorter_has_the_means_of_its_steps(own_data: Path, tmp_path: Path) -> None:
    recipe = small_recipe(validation="none", max_steps_per_epoch=0, epochs=2)
    run = small_run(own_data, tmp_path / "run", recipe, save_every_s=0.0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Stepper, "step", at_step(5, kill_now))
        killed(run)
    # Of two vehicles all but one image: a step less.
    damage(own_data, *(f"vehicle{identity}/{view}.png" for identity in range(2) for view in range(3)))
    again = dataclasses.replace(small_run(own_data, tmp_path / "run", recipe), leaves_out_damaged=True)
    train(again, resume=True)
    first, second = log_of(tmp_path / "run", "epoch")
    steps = [line for line in log_of(tmp_path / "run", "step") if line["epoch"] == 1]
    assert 0 < len(steps) < 4
    assert second["total"] == pytest.approx(sum(line["total"] for line in steps) / len(steps), rel=1e-5)
    assert first["epoch"] == 0


def test_a_validation_image_that_cannot_be_used_is_named_before_the_first_step(own_data: Path, tmp_path: Path) -> None:
    (path,) = damage(own_data, "vehicle1/0.png")
    task = training_data(open_data(own_data), "train").validation
    alone = small_run(own_data, tmp_path / "run", small_recipe(validation="none"))
    for name, judged in (
        ("validation", small_run(own_data, tmp_path / "run", small_recipe())),
        ("second validation", dataclasses.replace(alone, second_validation=task)),
    ):
        with pytest.raises(
            TrainingError, match=f"image of the {name} cannot be used: {re.escape(str(path))}.*place, or"
        ):
            train(dataclasses.replace(judged, leaves_out_damaged=True))
    assert not (tmp_path / "run").exists()


# --- room on the disk


def sizes_of(out: Path) -> int:
    return sum(path.stat().st_size for path in out.rglob("*") if path.is_file())


def test_a_run_that_would_fill_the_disk_ends_before_it_starts(
    data: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enough = 3 * sizes_of(uninterrupted) // 4  # for Adam's moments, which a finished run has no more
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, enough))
    with pytest.raises(TrainingError, match=r"the run needs \d+ MB, and .* has \d+ MB left"):
        train(small_run(data, tmp_path / "new" / "run", small_recipe()))
    assert not (tmp_path / "new").exists()
    # A resumed run has most of it already.
    shutil.copytree(uninterrupted, tmp_path / "run")
    train(small_run(data, tmp_path / "run", small_recipe()), resume=True)
    assert outcome(tmp_path / "run") == outcome(uninterrupted)


# --- what cannot go on


def exploding(**changes: Any) -> Any:
    return small_recipe(learning_rate=1e30, warmup_epochs=0, **changes)


def test_a_loss_that_is_not_finite_stops_the_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TrainingError, match=r"^the loss is (nan|inf) at step \d: lower learning_rate or set clip_norm"):
        train(small_run(data, tmp_path / "a", exploding(validation="none")))
    assert not list((tmp_path / "a").glob("*.safetensors"))
    arguments = (*SMALL, "--learning-rate", 1e30, "--warmup-epochs", 0, "--validation", "none")
    assert train_main(monkeypatch, "--data", data, "--out", tmp_path / "b", *arguments) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("training.train: the loss is ")


@pytest.mark.parametrize("habits", [{"log_every": 100}, {"log_every": 100, "save_every_s": 1e-9}])
def test_a_loss_that_is_not_finite_never_ends_in_a_checkpoint(
    habits: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError):
        train(small_run(data, tmp_path, exploding(validation="none"), **habits))
    for path in tmp_path.glob("*.safetensors"):
        tensors = safetensors.torch.load_file(path)
        assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())


def test_a_loss_that_is_not_finite_is_found_before_the_validation_stumbles_over_it(data: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="lower learning_rate"):
        train(small_run(data, tmp_path, exploding(), log_every=100))


def test_a_folder_with_a_run_in_it_is_left_alone(
    data: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(uninterrupted, tmp_path / "run")
    monkeypatch.setattr(loop, "read_images", refuse)
    with pytest.raises(ValueError, match="is not empty: go on with --resume"):
        train(small_run(data, tmp_path / "run", small_recipe()))
    assert outcome(tmp_path / "run") == outcome(uninterrupted)


def test_a_stopped_run_says_so_by_its_own_error(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stepper, "step", at_step(1, lambda: os.kill(os.getpid(), signal.SIGINT)))
    with pytest.raises(StoppedError):
        train(small_run(data, tmp_path, small_recipe()))
