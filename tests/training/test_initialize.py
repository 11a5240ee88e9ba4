import json
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision

from model.checkpoint import load_checkpoint, read_card
from model.config import BaselineConfig, SANetConfig, SCANConfig
from model.preprocessing import Preprocessing
from training.initialize import initialize, main

SMALL = BaselineConfig("resnet18")


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["training.initialize", *map(str, arguments)])
    return main()


SMALL_ARGUMENTS = ("--architecture", "baseline", "--backbone", "resnet18")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("a-private-folder") / "weights.safetensors"
    state = torchvision.models.resnet18(weights=None).state_dict()
    safetensors.torch.save_file({name: torch.rand(t.shape) for name, t in state.items()}, path)
    return path


def test_a_seed_is_one_model_whatever_ran_before(tmp_path: Path) -> None:
    first = initialize(tmp_path / "first", SMALL, seed=1)
    torch.rand(5)
    again = initialize(tmp_path / "again", SMALL, seed=1)
    other = initialize(tmp_path / "other", SMALL, seed=2)
    assert first == again == load_checkpoint(tmp_path / "again").card.fingerprint
    assert other != first


def test_torchs_own_random_numbers_go_on_as_if_nothing_was(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    initialize(tmp_path / "model", SMALL, seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_card_says_untrained(tmp_path: Path) -> None:
    initialize(tmp_path / "model", SANetConfig("resnet18", num_parts=1), seed=5)
    card = read_card(tmp_path / "model")
    assert card.config == SANetConfig("resnet18", num_parts=1)
    assert card.training == {"trained": False, "data": None, "seed": 5, "trunk_weights": None}
    assert not card.trained


def test_the_smallest_backbone_has_its_own_epsilon_and_normalisation(tmp_path: Path) -> None:
    initialize(tmp_path / "model", BaselineConfig("efficientnet_lite0"))
    card = read_card(tmp_path / "model")
    assert card.config == BaselineConfig("efficientnet_lite0", bn_eps=1e-3)
    assert card.preprocessing == Preprocessing(mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
    initialize(tmp_path / "resnet", SMALL)
    assert read_card(tmp_path / "resnet").preprocessing == Preprocessing()


def test_the_weights_are_in_the_file_and_their_folder_is_not(weights: Path, tmp_path: Path) -> None:
    initialize(tmp_path / "model", SMALL, trunk_weights=str(weights))
    state, source = load_checkpoint(tmp_path / "model").network.state_dict(), safetensors.torch.load_file(weights)
    assert torch.equal(state["trunk.conv1.weight"], source["conv1.weight"])
    assert torch.equal(state["layer4.1.bn2.running_var"], source["layer4.1.bn2.running_var"])
    assert read_card(tmp_path / "model").training["trunk_weights"] == "weights.safetensors"
    assert b"a-private-folder" not in (tmp_path / "model").read_bytes()


def test_the_command_writes_what_its_arguments_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "model.safetensors"
    arguments = ("--backbone", "resnet18", "--num-parts", 3, "--transform", "rotation", "--bn-eps", 1e-3, "--seed", 8)
    assert command(monkeypatch, "--out", out, *arguments, "--json") == 0
    card = read_card(out)
    assert card.config == SANetConfig("resnet18", bn_eps=1e-3, num_parts=3, transform="rotation")
    assert card.training["seed"] == 8
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed == {"checkpoint": str(out), "fingerprint": card.fingerprint, "trained": False}


def test_without_json_one_line_is_for_people(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert command(monkeypatch, "--out", tmp_path / "model", *SMALL_ARGUMENTS) == 0
    card = read_card(tmp_path / "model")
    assert card.config == SMALL
    assert capsys.readouterr().out == f"{tmp_path / 'model'}: untrained, model {card.fingerprint}\n"


def test_a_compared_method_starts_like_any_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arguments = ("--architecture", "scan", "--backbone", "resnet18")
    assert command(monkeypatch, "--out", tmp_path / "model", *arguments) == 0
    assert read_card(tmp_path / "model").config == SCANConfig("resnet18")


def test_the_stride_of_v1_weights_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    v1 = ("--architecture", "baseline", "--stride", "1x1", "--bn-eps", "1.001e-5")
    assert command(monkeypatch, "--out", tmp_path / "model", *v1) == 0
    assert read_card(tmp_path / "model").config == BaselineConfig("resnet50", "1x1", 1.001e-5)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--backbone", "resnet34", "--trunk-weights", "WEIGHTS"), "lacks layer1.2"),
        (("--backbone", "resnet18", "--trunk-weights", "absent.pth"), "cannot read the weights absent.pth"),
        (("--backbone", "resnet18", "--trunk-weights", "NO_SUCH_NAME"), "'NO_SUCH_NAME' is neither"),
    ],
)
def test_what_does_not_fit_is_one_line_and_exit_code_1(
    arguments: tuple[str, ...],
    reason: str,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    given = [str(weights) if argument == "WEIGHTS" else argument for argument in arguments]
    assert command(monkeypatch, "--out", tmp_path / "model", *given, "--json") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("training.initialize: ")
    assert reason in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("arguments", [(), ("--out", "x", "--backbone", "vgg"), ("--out", "x", "--num-parts", "two")])
def test_wrong_arguments_are_exit_code_2(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as raised:
        command(monkeypatch, *arguments)
    assert raised.value.code == 2
    assert not list(tmp_path.iterdir())


def test_json_says_what_was_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    assert command(monkeypatch, "--out", out, "--json", *SMALL_ARGUMENTS) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last == {"checkpoint": str(out), "fingerprint": read_card(out).fingerprint, "trained": False}


def test_a_seed_that_torch_cannot_take_is_a_wrong_argument(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as exit_:
        command(monkeypatch, "--out", tmp_path / "model", "--seed", 2**70)
    assert exit_.value.code == 2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--backbone", "resnet18", "--stride", "1x1"), "needs bottleneck blocks"),
        (("--num-parts", "17"), "num_parts must lie between 0 and 16"),
        (("--bn-eps", "-1"), "bn_eps must lie between 0 and 1"),
    ],
)
def test_a_network_that_does_not_exist_is_a_wrong_argument(
    arguments: tuple[str, ...],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    with pytest.raises(SystemExit) as exit_:
        command(monkeypatch, "--out", tmp_path / "model", *arguments)
    assert exit_.value.code == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
