import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import experiment
from tests.benchmarks.stand_in_programs import StandInPrograms


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    monkeypatch.setattr(sys, "argv", ["experiment", "--data", "uav-synth", *arguments, "--json"])
    assert experiment.main() == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def flag(arguments: tuple[str, ...], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def test_arms_share_their_first_run_and_all_have_as_many_epochs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    programs = StandInPrograms()
    monkeypatch.setattr(experiment, "run", programs)
    result = run(
        monkeypatch, capsys, "--out", str(tmp_path), "--seeds", "0", "--global-epochs", "7", "--spatial-epochs", "3"
    )
    folders = [Path(flag(arguments, "--out")).name for arguments in programs.trained]
    assert folders == [
        "baseline-0",
        "global_aligned-0",
        "sanet_m2-0",
        "global_unaligned-0",
        "unaligned_m2-0",
        "sanet_m4-0",
        "sanet_m6-0",
    ]
    epochs = {name: int(flag(arguments, "--epochs")) for name, arguments in zip(folders, programs.trained, strict=True)}
    assert epochs["baseline-0"] == epochs["global_aligned-0"] + epochs["sanet_m2-0"] == 10
    for name, arguments in zip(folders, programs.trained, strict=True):
        if name.startswith(("sanet", "unaligned")):
            root = "global_unaligned-0" if name.startswith("unaligned") else "global_aligned-0"
            assert flag(arguments, "--trunk-weights") == str(tmp_path / root / "best.safetensors")
    assert programs.evaluated == ["baseline-0", "sanet_m2-0", "unaligned_m2-0", "sanet_m4-0", "sanet_m6-0"]
    assert [row["arm"] for row in result["rows"]] == list(experiment.ARMS)


def test_what_is_there_is_not_done_again_and_what_was_begun_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ("--out", str(tmp_path), "--arms", "baseline", "--seeds", "0,1")
    monkeypatch.setattr(experiment, "run", StandInPrograms())
    first = run(monkeypatch, capsys, *arguments)
    programs = StandInPrograms()
    monkeypatch.setattr(experiment, "run", programs)
    (tmp_path / "baseline-1" / "finished.json").unlink()
    again = run(monkeypatch, capsys, *arguments)
    assert again["rows"] == first["rows"]
    (resumed,) = programs.trained
    assert "--resume" in resumed
    assert "--recipe" not in resumed
    assert first["headline"] == {"baseline": {"cmc1_mean": pytest.approx(0.55), "cmc1_range": [0.5, 0.6]}}


def test_a_failed_run_is_reported_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(experiment, "run", StandInPrograms(failing="global_aligned"))
    result = run(monkeypatch, capsys, "--out", str(tmp_path), "--arms", "sanet_m2,baseline", "--seeds", "0")
    assert [("failed" in row) for row in result["rows"]] == [True, False]
    assert list(result["headline"]) == ["baseline"]


def test_runs_side_by_side_share_a_first_run_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ("--out", str(tmp_path), "--seeds", "0,1", "--jobs", "8")
    programs = StandInPrograms()
    monkeypatch.setattr(experiment, "run", programs)
    result = run(monkeypatch, capsys, *arguments)
    folders = [Path(flag(arguments, "--out")).name for arguments in programs.trained]
    assert len(folders) == len(set(folders)) == 14
    assert [(row["arm"], row["seed"]) for row in result["rows"]] == [(a, s) for s in (0, 1) for a in experiment.ARMS]


def test_flags_after_two_dashes_go_to_every_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    programs = StandInPrograms()
    monkeypatch.setattr(experiment, "run", programs)
    arguments = ["--data", "d", "--out", str(tmp_path), "--seeds", "0", "--json", "--", "--num-identities", "8"]
    monkeypatch.setattr(sys, "argv", ["experiment", *arguments])
    assert experiment.main() == 0
    assert len(programs.trained) == 7
    assert {flag(arguments, "--num-identities") for arguments in programs.trained} == {"8"}


def test_an_unknown_arm_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["experiment", "--data", "d", "--out", str(tmp_path), "--arms", "sanet_m3"])
    with pytest.raises(SystemExit) as stopped:
        experiment.main()
    assert stopped.value.code == 2
    assert "there is no arm sanet_m3" in capsys.readouterr().err


def test_a_program_that_fails_is_named() -> None:
    with pytest.raises(experiment.RunFailedError, match=r"training\.evaluate ended with"):
        experiment.run("training.evaluate", "--checkpoint", "nowhere", "--data", "nowhere")
