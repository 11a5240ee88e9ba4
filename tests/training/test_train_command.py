import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from index.datasets.manifest import Entry, write_manifest
from index.datasets.protocol import Protocol
from model.checkpoint import load_checkpoint, read_card
from model.config import BaselineConfig
from tests.conftest import png
from tests.training.runs import SMALL, log_of, train_main, write_vehicles
from training import train as train_module
from training.crops import Crops
from training.data import data_fingerprint
from training.recipe import RECIPES, Recipe
from training.run import Run
from training.run_state import Progress

# One step, nothing more.
SHORT = (*SMALL, "--epochs", 1, "--max-steps-per-epoch", 1, "--validation", "none")
FIELDS = dataclasses.fields(Recipe)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vehicles(tmp_path_factory.mktemp("data") / "vehicles", 4, 2)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with seed 5; not to be changed."""
    out = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert train_main(monkeypatch, "--data", data, "--out", out, *SHORT, "--seed", 5) == 0
    return out


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Run, bool]]:
    """What is asked for, instead of training."""
    found: list[tuple[Run, bool]] = []

    def train(run: Run, *, resume: bool = False) -> Progress:
        found.append((run, resume))
        return Progress(1, epoch=1)

    monkeypatch.setattr(train_module, "train", train)
    return found


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def another(field: "dataclasses.Field[Any]") -> Any:
    """A value that is not the default and fits the other defaults."""
    particular = {
        "size_px": 64, "num_identities": 4, "stride": "1x1", "trunk_weights": "some.pth", "num_parts": 4,
        "heading_weights": "some.safetensors",
    }  # fmt: skip
    default: Any = field.default
    choices = [value for value in get_args(field.type) if value != default]
    if field.name in particular:
        return particular[field.name]
    return choices[0] if choices else default + 1 if field.type is int else default / 2 + 0.125


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The reason, in one line, of wrong arguments."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        train_main(monkeypatch, *arguments)
    assert exit_.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    *_, reason = printed.err.splitlines()
    assert reason.startswith("python -m training.train: error: ")
    assert reason.endswith("; see --help")
    return reason


def failed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The reason, in one line, for which there is no result."""
    capsys.readouterr()
    assert train_main(monkeypatch, *arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    *_, reason = printed.err.splitlines()
    assert reason.startswith("training.train: ")
    assert "Traceback" not in printed.err
    return reason


# --- the recipe's fields


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_field_of_a_recipe_is_a_flag(
    field: "dataclasses.Field[Any]",
    data: Path,
    runs: list[tuple[Run, bool]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    value = another(field)
    assert value != field.default
    arguments = ("--recipe", "sanet_paper", "--data", data, "--out", tmp_path / "run", flag(field.name), value)
    # Only train and none can be asked of so few vehicles.
    validation = () if field.name == "validation" else ("--validation", "none")
    if field.name == "validation":
        value, arguments = "train", (*arguments[:-1], "train")
    # An input is turned, nothing else; its columns are an aligned one's; a margin is one of cosines.
    rotation = {"transform": "rotation"}
    needs: dict[str, dict[str, Any]] = {
        "aligned": rotation,
        "num_columns": {**rotation, "aligned": "input"},
        "id_margin": {"id_scale": 20.0},
    }
    needed = needs.get(field.name, {})
    flags = [text for name, given in needed.items() for text in (flag(name), given)]
    assert train_main(monkeypatch, *arguments, *validation, *flags) == 0
    ((run, resumed),) = runs
    expected = {field.name: value, **needed, **({} if field.name == "validation" else {"validation": "none"})}
    assert run.recipe == dataclasses.replace(RECIPES["sanet_paper"](), **expected)
    assert type(getattr(run.recipe, field.name)) in (field.type, str)
    assert not resumed


def test_help_tells_every_field_and_its_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit) as exit_:
        train_main(monkeypatch, "--help")
    assert exit_.value.code == 0
    printed = " ".join(capsys.readouterr().out.split())
    for field in FIELDS:
        text = " ".join(field.metadata["help"].split())
        assert len(text) > 5
        choices = ",".join(get_args(field.type))
        value = f"{{{choices}}}" if choices else field.name.upper()
        assert f"{flag(field.name)} {value} {text} [{field.default}]" in printed
    for other in (
        "recipe", "data", "out", "resume", "seed", "device", "log-every", "save-every", "memory-gb", "json",
        "second-validation", "best-by", "leave-out-damaged",
    ):  # fmt: skip
        assert f"--{other}" in printed
    for recipe in RECIPES:
        assert recipe in printed


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_without_flags_a_recipe_is_what_its_name_says(
    name: str, data: Path, runs: list[tuple[Run, bool]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train_main(monkeypatch, "--recipe", name, "--data", data, "--out", tmp_path / "run") == 0
    ((run, _),) = runs
    assert run.recipe == RECIPES[name]()
    assert run.origin["recipe_name"] == name
    assert run.folder.path == tmp_path / "run"
    assert (run.seed, run.habits.log_every, run.habits.save_every_s, run.habits.memory_gb) == (0, 10, 300.0, 4.0)
    assert run.habits.show_progress
    assert (run.second_validation, run.best_by, run.leaves_out_damaged) == (None, "validation", False)


@pytest.mark.parametrize("name", ["mine.toml", "sanet.TOML", "mit leerzeichen.toml"])
def test_a_recipe_may_be_a_file(
    name: str, data: Path, runs: list[tuple[Run, bool]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    path.write_text('base = "debug"\nepochs = 7\nmargin = 0.25\n')
    arguments = ("--recipe", path, "--data", data, "--out", tmp_path / "run", "--margin", 0.5)
    assert train_main(monkeypatch, *arguments) == 0
    ((run, _),) = runs
    # A flag counts more than the file, the file more than its base.
    assert run.recipe == dataclasses.replace(RECIPES["debug"](), epochs=7, margin=0.5)
    assert run.origin["recipe_name"] == name


def test_a_wrong_recipe_file_is_one_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    common = ("--recipe", path, "--data", data, "--out", tmp_path / "run")
    assert f"No such file or directory: '{path}'" in failed(monkeypatch, capsys, *common)
    path.write_text("epoch = 7\n")
    assert f"{path}: there is no field 'epoch' (did you mean epochs?)" in refused(monkeypatch, capsys, *common)
    path.write_text("epochs = '7'\n")
    assert f"{path}: epochs must be a whole number, got '7'" in refused(monkeypatch, capsys, *common)
    path.write_text("epochs = \n")
    assert f"{path} is no recipe in TOML: " in refused(monkeypatch, capsys, *common)
    assert not (tmp_path / "run").exists()


def test_a_run_is_repeated_from_its_recipe(
    data: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    habits = ("--device", "cpu", "--quiet", "--log-every", 1)
    arguments = ("--recipe", trained / "recipe.toml", "--seed", 5, "--data", data, "--out", tmp_path / "run")
    assert train_main(monkeypatch, *arguments, *habits) == 0
    first, second = (load_checkpoint(run / "best.safetensors").card for run in (trained, tmp_path / "run"))
    assert first.fingerprint == second.fingerprint
    assert (tmp_path / "run" / "recipe.toml").read_bytes() == (trained / "recipe.toml").read_bytes()


def test_a_resumed_run_knows_its_recipe_file_by_what_it_says(
    data: Path,
    trained: Path,
    runs: list[tuple[Run, bool]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    common = ("--data", data, "--out", trained, "--resume", "--recipe")
    assert train_main(monkeypatch, *common, trained / "recipe.toml") == 0
    assert train_main(monkeypatch, *common, shutil.copy(trained / "recipe.toml", tmp_path / "moved.toml")) == 0
    assert [run.recipe.epochs for run, _ in runs] == [1, 1]
    text = (trained / "recipe.toml").read_text().replace("epochs = 1\n", "epochs = 2\n", 1)
    (tmp_path / "changed.toml").write_text(text)
    reason = refused(monkeypatch, capsys, *common, tmp_path / "changed.toml")
    assert "a resumed run keeps its epochs: leave the flag out, or start another run" in reason


def test_the_other_flags_arrive_too(
    data: Path, runs: list[tuple[Run, bool]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    habits = ("--seed", 7, "--device", "cpu", "--log-every", 3, "--save-every", 0.5, "--memory-gb", 0.25, "--quiet")
    assert train_main(monkeypatch, "--recipe", "debug", "--data", data, "--out", tmp_path / "run", *habits) == 0
    ((run, _),) = runs
    assert (run.seed, run.device) == (7, torch.device("cpu"))
    assert dataclasses.astuple(run.habits) == (3, 0.5, 0.25, False)


def test_a_second_validation_may_pick_the_best(
    data: Path,
    runs: list[tuple[Run, bool]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = tmp_path / "real.csv"
    lines = ["path,identity,role", *(f"{name}/{v}.png,{name},{r}" for name in "ab" for v, r in enumerate(ROLES))]
    other.write_text("\n".join(lines) + "\n")
    arguments = ("--recipe", "debug", "--data", data, "--out", tmp_path / "run", "--leave-out-damaged")
    best_by = ("--best-by", "second_validation")
    assert train_main(monkeypatch, *arguments, "--second-validation", other, *best_by) == 0
    ((run, _),) = runs
    assert run.second_validation is not None
    assert {entry.path for entry in run.second_validation.queries} == {"a/0.png", "b/0.png"}
    assert (run.best_by, run.leaves_out_damaged) == ("second_validation", True)
    assert run.origin["second_validation_fingerprint"] == data_fingerprint((), run.second_validation)
    reason = refused(monkeypatch, capsys, *arguments, *best_by)
    assert "--best-by second_validation needs --second-validation DATA" in reason
    other.write_text("path,identity,role\na/0.png,a,query\n")
    reason = failed(monkeypatch, capsys, *arguments, "--second-validation", other)
    assert "gallery" in reason
    assert len(runs) == 1


ROLES = ("query", "gallery")


@pytest.mark.parametrize("best_by", ["validation", "second_validation"])
def test_a_resumed_run_keeps_its_second_validation(
    best_by: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, other = tmp_path / "first.csv", tmp_path / "other.csv"
    for path, names in ((first, ("vehicle0", "vehicle1")), (other, ("vehicle2", "vehicle3"))):
        lines = (f"{data}/{name}/{v}.png,{name},{role}" for name in names for v, role in enumerate(ROLES))
        path.write_text("\n".join(["path,identity,role", *lines]) + "\n")
    started = ("--data", data, "--out", tmp_path / "run", *SMALL, "--epochs", 1, "--best-by", best_by)
    assert train_main(monkeypatch, *started, "--second-validation", first) == 0
    name = best_by.replace("_", " ")
    assert f", {name} CMC-1 " in capsys.readouterr().out
    resumed = ("--data", data, "--out", tmp_path / "run", "--resume", "--device", "cpu", "--quiet")
    reason = failed(monkeypatch, capsys, *resumed, "--second-validation", other)
    assert "--second-validation is not the data that the run" in reason
    if best_by == "validation":
        assert "--second-validation is not the data that the run" in failed(monkeypatch, capsys, *resumed)
    assert train_main(monkeypatch, *resumed, "--second-validation", first) == 0


# --- a run


def test_a_run_leaves_a_checkpoint_and_says_where_it_comes_from(trained: Path, data: Path) -> None:
    card = load_checkpoint(trained / "best.safetensors").card
    assert card.config == BaselineConfig("efficientnet_lite0")
    assert card.trained
    run = json.loads((trained / "run.json").read_text("utf-8"))
    for facts in (card.training, run):
        assert facts["data"] == data.name
        assert facts["seed"] == 5
        assert facts["recipe_name"] == "debug"
        assert len(facts["data_fingerprint"]) == 64
    assert card.training["num_steps"] == 1
    assert run["command"][1:] == ["--data", str(data), "--out", str(trained), *map(str, SHORT), "--seed", "5"]
    assert (run["device"], run["num_processes"]) == ("cpu", 1)
    names = {path.name for path in trained.iterdir()}
    weights = {"best.safetensors", "last.safetensors", "state.safetensors"}
    assert names == {"run.json", "recipe.toml", "log.jsonl", "tensorboard", *weights}


def test_json_is_one_object_as_the_last_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    arguments = (*SHORT, "--validation", "train", "--json")
    assert train_main(monkeypatch, "--data", data, "--out", out, *arguments) == 0
    printed = capsys.readouterr()
    (validation,) = log_of(out, "validation")
    best = {name: validation[name] for name in ("epoch", "cmc1", "cmc5", "map", "minp")}
    assert json.loads(printed.out) == {"checkpoint": str(out / "best.safetensors"), "num_steps": 1, "best": best}
    assert printed.out.count("\n") == 1
    assert printed.err == "8 images of 4 identities; validation: 4 queries, 4 gallery images\n"
    capsys.readouterr()
    assert train_main(monkeypatch, "--data", data, "--out", out, "--resume", "--quiet") == 0
    cmc1 = f"{validation['cmc1']:.1%}"
    assert capsys.readouterr().out == f"{out / 'best.safetensors'}: 1 steps, validation CMC-1 {cmc1} after epoch 1\n"


@pytest.mark.parametrize("has_mask", [False, True])
def test_exchanged_backgrounds_without_any_mask_are_warned_of(
    has_mask: bool,
    data: Path,
    runs: list[tuple[Run, bool]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = [f"{identity}/0.png,{identity},{'m.png' if has_mask else ''}" for identity in range(4)]
    (tmp_path / "m.csv").write_text("\n".join(["path,identity,mask", *lines]) + "\n")
    arguments = ("--recipe", "debug", "--data", tmp_path / "m.csv", "--out", tmp_path / "run", "--background-p", 0.5)
    assert train_main(monkeypatch, *arguments) == 0
    assert ("no training image has a mask" in capsys.readouterr().err) != has_mask


@pytest.mark.parametrize("gigabytes", ["0", "1e300"])
def test_any_memory_will_do(gigabytes: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("--data", data, "--out", tmp_path / "run", *SMALL, "--epochs", 1, "--memory-gb", gigabytes)
    assert train_main(monkeypatch, *arguments) == 0


def test_without_validation_it_says_so(
    data: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    assert train_main(monkeypatch, "--data", data, "--out", tmp_path / "run", "--resume", "--quiet") == 0
    printed = capsys.readouterr()
    assert printed.err == "8 images of 4 identities; no validation: the last step counts as the best\n"
    assert printed.out == f"{tmp_path / 'run' / 'best.safetensors'}: 1 steps\n"


def test_a_manifest_is_data_too(data: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(data, tmp_path / "vehicles")
    files = sorted(path.relative_to(tmp_path / "vehicles") for path in (tmp_path / "vehicles").rglob("*.png"))
    entries = [Entry(str(path), path.parent.name) for path in files]
    write_manifest(tmp_path / "vehicles" / "lines.csv", entries, Protocol())
    arguments = ("--data", tmp_path / "vehicles" / "lines.csv", "--out", tmp_path / "run", *SHORT, "--seed", 5)
    assert train_main(monkeypatch, *arguments) == 0
    here, there = (read_card(folder / "best.safetensors") for folder in (tmp_path / "run", trained))
    assert here.fingerprint == there.fingerprint
    assert here.training["data"] == "lines"


# --- wrong arguments


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--recipe", "none"), "argument --recipe: invalid choice: 'none'"),
        (("--recipe", ""), "argument --recipe: invalid choice: ''"),
        (("--recipe", "recipe.json"), "argument --recipe: invalid choice: 'recipe.json'"),
        ((), "--recipe is required, unless a run is resumed"),
        (("--recipe", "debug", "--backbone", "vgg"), "argument --backbone: invalid choice: 'vgg'"),
        (
            ("--recipe", "debug", "--epochs", "1.5"),
            "argument --epochs: a whole number in the digits 0-9 was expected, not '1.5'",
        ),
        (("--recipe", "debug", "--epochs", "0"), "epochs must be 1 or more, got 0"),
        (("--recipe", "debug", "--num-identities", "1"), "num_identities must be 2 or more"),
        (
            ("--recipe", "debug", "--learning-rate", "nan"),
            "argument --learning-rate: a number such as 50.25 was expected, not 'nan'",
        ),
        (("--recipe", "debug", "--margin", "-1"), "margin must be a number of 0 or more"),
        (("--recipe", "debug", "--flip-p", "1.5"), "flip_p must lie between 0 and 1"),
        (("--recipe", "debug", "--num-parts", "17"), "num_parts must lie between 0 and 16"),
        (("--recipe", "debug", "--size-px", "65"), "size_px must be a multiple of 16"),
        (("--recipe", "debug", "--stride", "1x1"), "needs bottleneck blocks"),
        (("--recipe", "debug", "--device", "abacus"), "--device abacus: "),
        (("--recipe", "debug", "--epochs", "1_0"), "argument --epochs: a whole number in the digits 0-9 was expected"),
        (("--recipe", "debug", "--margin", "0_1"), "argument --margin: a number such as 50.25 was expected"),
        (("--recipe", "debug", "--save-every", "inf"), "argument --save-every: a number such as 50.25 was expected"),
        (("--recipe", "debug", "--pace", "3"), "unrecognized arguments: --pace 3"),
        (("--recipe", "debug", "--cache-gb", "3"), "unrecognized arguments: --cache-gb 3"),
        (("--recipe", "debug", "--best-by", "luck"), "argument --best-by: invalid choice: 'luck'"),
        (("--recipe", "debug", "--id-margin", "0.1"), "id_margin is taken from cosines: give id_scale too"),
        (("--recipe", "sanet", "--architecture", "baseline"), "the baseline has no reduction"),
        (("--recipe", "sanet", "--num-columns", "9"), "num_columns must be at most 8 for an input of 128 pixels"),
        (("--recipe", "debug", "--id-weight", "0", "--triplet-weight", "0"), "nothing would be learned"),
        (
            ("--recipe", "debug", "--seed", "one"),
            "argument --seed: a whole number in the digits 0-9 was expected, not 'one'",
        ),
    ],
)
def test_wrong_arguments_are_exit_code_2(
    arguments: tuple[str, ...],
    reason: str,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert reason in refused(monkeypatch, capsys, "--data", data, "--out", tmp_path / "run", *arguments)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("--seed", "-1"),
        ("--seed", str(2**70)),
        ("--log-every", "0"),
        ("--log-every", "-1"),
        ("--save-every", "-1"),
        ("--save-every", "nan"),
        ("--memory-gb", "inf"),
        ("--memory-gb", "nan"),
        ("--memory-gb", "-1"),
    ],
)
def test_numbers_that_nothing_can_be_done_with_are_wrong_arguments(
    name: str,
    value: str,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert name in refused(monkeypatch, capsys, "--data", data, "--out", tmp_path / "run", *SHORT, name, value)
    assert not (tmp_path / "run").exists()


def test_a_gpu_that_is_not_there_is_a_wrong_argument(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    arguments = ("--data", data, "--out", tmp_path / "run", *SHORT, "--device", "cuda")
    assert "torch finds no GPU here" in refused(monkeypatch, capsys, *arguments)


def test_identities_that_processes_cannot_share_are_a_wrong_argument(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.distributed.world_size", lambda: 3)
    reason = refused(monkeypatch, capsys, "--data", data, "--out", tmp_path / "run", *SHORT)
    assert "num_identities 4 cannot be shared by 3 processes" in reason


# --- what cannot be trained


def with_files(folder: Path, **files: bytes) -> Path:
    """A folder per identity, `van_1` in the folder van."""
    for name, content in files.items():
        path = folder / name.split("_")[0] / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def test_data_that_is_not_there_or_no_data_is_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--out", tmp_path / "run", *SHORT)
    assert "there is nothing at" in failed(monkeypatch, capsys, "--data", tmp_path / "absent", *out)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "a folder per identity" in failed(monkeypatch, capsys, "--data", empty, *out)
    (tmp_path / "lines.csv").write_text("path,identity,role\n1.jpg,van,query\n")
    reason = failed(monkeypatch, capsys, "--data", tmp_path / "lines.csv", *out)
    assert "no image to train on" in reason
    (tmp_path / "lines.json").write_text("{}")
    assert "is no protocol" in failed(monkeypatch, capsys, "--data", tmp_path / "lines.csv", *out)
    assert not (tmp_path / "run").exists()


def test_too_few_identities_are_exit_code_1(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--data", data, "--out", tmp_path / "run", *SHORT, "--num-identities", 5)
    assert "a batch needs images of 5 identities, the training data has 4" in failed(monkeypatch, capsys, *arguments)
    assert not (tmp_path / "run").exists()


def test_a_validation_that_cannot_be_had_is_exit_code_1(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--data", data, "--out", tmp_path / "run", *SHORT, "--validation", "val")
    assert "no queries in a split val" in failed(monkeypatch, capsys, *arguments)


def test_weights_that_are_not_there_are_exit_code_1(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--data", data, "--out", tmp_path / "run", *SHORT, "--trunk-weights", tmp_path / "absent.pth")
    assert "cannot read the weights" in failed(monkeypatch, capsys, *arguments)
    assert not (tmp_path / "run").exists()


def test_an_image_that_is_none_is_exit_code_1_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = with_files(tmp_path / "data", a_1=png(1), b_1=png(2)[:200])
    arguments = ("--data", folder, "--out", tmp_path / "run", *SHORT, "--num-identities", 2)
    assert train_main(monkeypatch, *arguments) == 1
    first, named, advice = capsys.readouterr().err.splitlines()[-3:]
    assert first == "training.train: 1 of 2 images cannot be used:"
    assert named.startswith(f"{folder / 'b' / 'b_1.png'}: the image is damaged")
    assert "leave them out with --leave-out-damaged" in advice
    assert not (tmp_path / "run").exists()


def test_images_that_cannot_be_used_may_be_left_out_on_resume_too(
    data: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = Path(shutil.copytree(data, tmp_path / "vehicles"))
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "state.safetensors").unlink()
    for name in ("best", "last"):
        (tmp_path / "run" / f"{name}.safetensors").unlink()
    torn = own / "vehicle2" / "1.png"
    torn.write_bytes(torn.read_bytes()[:600])
    arguments = ("--data", own, "--out", tmp_path / "run", "--resume", "--quiet")
    assert train_main(monkeypatch, *arguments) == 1
    assert str(torn) in capsys.readouterr().err
    assert train_main(monkeypatch, *arguments, "--leave-out-damaged") == 0
    assert "left out, 1 of 8 images:\n" in capsys.readouterr().err
    assert read_card(tmp_path / "run" / "best.safetensors").training["num_steps"] == 1


def test_a_folder_with_something_in_it_is_exit_code_1(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert "is not empty" in failed(monkeypatch, capsys, "--data", data, "--out", tmp_path, *SHORT)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


# --- going on


def test_nothing_to_go_on_from_is_exit_code_1(
    data: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = failed(monkeypatch, capsys, "--data", data, "--out", tmp_path / "absent", "--resume")
    assert "there is no run in" in reason
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "state.safetensors").write_bytes(b"torn")
    reason = failed(monkeypatch, capsys, "--data", data, "--out", tmp_path / "run", "--resume")
    assert "state.safetensors cannot be used" in reason
    (tmp_path / "run" / "state.safetensors").unlink()
    reason = failed(monkeypatch, capsys, "--data", data, "--out", tmp_path / "run", "--resume")
    assert "there is no state to go on from" in reason


def test_a_run_that_failed_before_its_first_state_starts_anew(
    data: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    shutil.copy(trained / "run.json", tmp_path / "run")
    assert train_main(monkeypatch, "--data", data, "--out", tmp_path / "run", "--resume") == 0
    assert read_card(tmp_path / "run" / "best.safetensors") == read_card(trained / "best.safetensors")
    # It was stopped before the recipe was written.
    assert (tmp_path / "run" / "recipe.toml").read_bytes() == (trained / "recipe.toml").read_bytes()


def test_the_flags_of_the_run_may_be_given_again(
    data: Path,
    trained: Path,
    runs: list[tuple[Run, bool]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    again = (*SHORT, "--seed", 5, "--resume")
    assert train_main(monkeypatch, "--data", data, "--out", trained, *again) == 0
    habits = ("--resume", "--log-every", 2, "--memory-gb", 1)
    assert train_main(monkeypatch, "--data", data, "--out", trained, *habits) == 0
    for run, resumed in runs:
        assert resumed
        assert run.seed == 5
        assert (run.recipe.epochs, run.recipe.max_steps_per_epoch, run.recipe.architecture) == (1, 1, "baseline")
        assert run.origin["recipe_name"] == "debug"


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        (("--epochs", 2), "epochs"),
        (("--learning-rate", 0.1, "--margin", 0.5), "learning_rate, margin"),
        (("--seed", 6), "seed"),
        (("--seed", 0), "seed"),
        (("--best-by", "second_validation"), "best_by"),
        (("--best-by", "second_validation", "--seed", 9), "seed, best_by"),
        (("--recipe", "sanet_paper"), "recipe"),
        (("--recipe", "sanet_paper", "--seed", 1, "--architecture", "sanet"), "architecture, recipe, seed"),
    ],
)
def test_a_resumed_run_keeps_what_it_was_started_with(
    arguments: tuple[object, ...],
    changed: str,
    data: Path,
    trained: Path,
    runs: list[tuple[Run, bool]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reason = refused(monkeypatch, capsys, "--data", data, "--out", trained, "--resume", *arguments)
    assert f"a resumed run keeps its {changed}: leave the flag out, or start another run" in reason
    assert runs == []


def test_a_resumed_run_keeps_its_data(
    data: Path,
    trained: Path,
    runs: list[tuple[Run, bool]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = write_vehicles(tmp_path / "vehicles", 4, 3)
    reason = failed(monkeypatch, capsys, "--data", other, "--out", trained, "--resume")
    assert reason == (
        f"training.train: {other} is not the data of the run in {trained}: its lines differ; put back what was "
        "deleted, added or renamed, or start another run"
    )
    assert runs == []
    # Elsewhere, it is the same.
    moved = write_vehicles(tmp_path / "moved", 4, 2)
    assert train_main(monkeypatch, "--data", moved, "--out", trained, "--resume") == 0
    assert len(runs) == 1


def test_what_picks_the_best_is_kept_whatever_is_said_again(
    data: Path, trained: Path, runs: list[tuple[Run, bool]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    shutil.copytree(trained, tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    arguments = ("--data", data, "--out", tmp_path / "run", "--resume")
    (tmp_path / "run" / "run.json").write_text(json.dumps({**facts, "best_by": "second_validation"}))
    assert "needs --second-validation DATA" in refused(monkeypatch, capsys, *arguments)
    second = tmp_path / "second.csv"
    second.write_text("path,identity,role\na.png,a,query\nb.png,a,gallery\n")
    assert train_main(monkeypatch, *arguments, "--second-validation", second) == 0
    # A run of an earlier version does not say it.
    (tmp_path / "run" / "run.json").write_text(json.dumps({n: v for n, v in facts.items() if n != "best_by"}))
    assert train_main(monkeypatch, *arguments) == 0
    assert [run.best_by for run, _ in runs] == ["second_validation", "validation"]


def test_the_memory_is_as_large_as_asked(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rooms: list[float] = []
    original = Crops.__init__

    def remembering(self: Crops, *arguments: Any, **options: Any) -> None:
        rooms.append(arguments[-1])
        original(self, *arguments, **options)

    monkeypatch.setattr(Crops, "__init__", remembering)
    train_main(monkeypatch, "--data", data, "--out", tmp_path / "run", *SHORT, "--memory-gb", 0.125)
    assert rooms == [0.125]


def test_the_debug_recipe_leaves_at_most_200_mb(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what a newcomer tries first, on any machine."""
    flags = ("--epochs", 1, "--max-steps-per-epoch", 1, "--num-identities", 4, "--device", "cpu", "--quiet")
    assert train_main(monkeypatch, "--recipe", "debug", "--data", data, "--out", tmp_path / "run", *flags) == 0
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert {"best.safetensors", "last.safetensors", "state.safetensors"} <= sizes.keys()
    assert sum(sizes.values()) <= 200e6
