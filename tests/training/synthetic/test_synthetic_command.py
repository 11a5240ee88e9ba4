import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from index.datasets.manifest import read_manifest
from model.cores import usable_cores
from tests.training.synthetic.test_generate import (
    WHOLE,
    contents,
    copy,
    drawing_here,
    images_sha256,
    is_whole,
)
from training.synthetic import __main__ as command
from training.synthetic.generate import DataSet, StoppedError, SyntheticError, generate
from training.synthetic.scenes.rasterizer import Rasterizer
from training.synthetic.settings import Settings, TrainingSettings

ROOT = Path(__file__).resolve().parents[3]
NUMBERS = ("--identities", 10, "--images-per-identity", 2, "--seed", 3)
"""Those of `WHOLE`."""
INFO: dict[str, Any] = {"images_sha256": "ab" * 32, "seed": 5}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`WHOLE`; not to be changed."""
    out = tmp_path_factory.mktemp("whole") / "data"
    generate(out, WHOLE, 2)  # by processes as the command's: this one may calculate otherwise
    return out


@pytest.fixture
def here(rasterizer: Rasterizer) -> Iterator[None]:
    with drawing_here(rasterizer):
        yield


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, DataSet, int]]:
    """What is asked for, instead of drawing."""
    found: list[tuple[Path, DataSet, int]] = []

    def generate(out: Path, data_set: DataSet, num_workers: int, progress: Callable[[int], object]) -> dict[str, Any]:
        found.append((out, data_set, num_workers))
        for _ in range(data_set.num_identities):
            progress(data_set.images_per_identity)
        return INFO

    monkeypatch.setattr(command, "generate", generate)
    return found


def main(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """`python -m training.synthetic`, in this process."""
    monkeypatch.setattr(sys, "argv", ["training.synthetic", *map(str, arguments)])
    return command.main()


# --- arguments


def test_the_numbers_are_those_of_the_arguments(
    asked: list[tuple[Path, DataSet, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = ("--identities", 7, "--images-per-identity", 3, "--seed", 5, "--workers", 4, "--quiet")
    assert main(monkeypatch, "--out", tmp_path / "data", *numbers) == 0
    assert asked == [(tmp_path / "data", DataSet(7, 3, 5, Settings()), 4)]


def test_most_numbers_have_a_default(
    asked: list[tuple[Path, DataSet, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(monkeypatch, "--out", tmp_path / "data", "--identities", 7, "--quiet") == 0
    assert asked == [(tmp_path / "data", DataSet(7, 9, 0, Settings()), usable_cores())]


def test_edition_2_has_settings_of_its_own(
    asked: list[tuple[Path, DataSet, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(monkeypatch, "--out", tmp_path / "data", "--identities", 7, "--edition", 2, "--quiet") == 0
    assert main(monkeypatch, "--out", tmp_path / "data", "--identities", 7, "--edition", 1, "--quiet") == 0
    assert [data_set.settings for _, data_set, _ in asked] == [TrainingSettings(), Settings()]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--identities", 0), "argument --identities: expected 1 or more, got 0"),
        (("--identities", -3), "argument --identities: expected 1 or more, got -3"),
        (("--identities", "many"), "argument --identities: a whole number in the digits 0-9 was expected, not 'many'"),
        (("--identities", 1.5), "argument --identities: a whole number in the digits 0-9 was expected, not '1.5'"),
        (("--images-per-identity", 0), "argument --images-per-identity: expected 1 or more, got 0"),
        (("--seed", -1), "argument --seed: a seed lies between 0 and"),
        (("--seed", 2**63), "argument --seed: a seed lies between 0 and"),
        (("--seed", "x"), "argument --seed: a whole number in the digits 0-9 was expected, not 'x'"),
        (("--workers", 0), "argument --workers: expected 1 or more, got 0"),
        (("--edition", 3), "argument --edition: invalid choice: 3 (choose from 1, 2)"),
        (("--edition", 2, "--surroundings"), "argument --surroundings: edition 2 always has them: leave it out"),
        (("--colour", "red"), "unrecognized arguments: --colour red"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: tuple[object, ...],
    reason: str,
    asked: list[tuple[Path, DataSet, int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(monkeypatch, "--out", tmp_path / "data", *NUMBERS, *arguments)
    assert exit_.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1].startswith(f"python -m training.synthetic: error: {reason}")
    assert asked == []
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("missing", ["--out", "--identities"])
def test_missing_arguments_are_asked_for(
    missing: str,
    asked: list[tuple[Path, DataSet, int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = {"--out": tmp_path / "data", "--identities": 3}
    del given[missing]
    with pytest.raises(SystemExit) as exit_:
        main(monkeypatch, *(part for pair in given.items() for part in pair))
    assert exit_.value.code == 2
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith(f"the following arguments are required: {missing}; see --help")
    )
    assert asked == []


# --- what is printed


@pytest.mark.usefixtures("here")
def test_json_is_one_object_in_the_last_line(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copy(whole, tmp_path / "data")
    assert main(monkeypatch, "--out", out, *NUMBERS, "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {
        "manifest": str(out / "manifest.csv"),
        "num_images": 20,
        "generator": "uav-synth-1",
        "seed": 3,
        "num_identities": 10,
        "images_per_identity": 2,
        "settings": Settings().to_dict(),
        "settings_sha256": Settings().sha256,
        "images_sha256": images_sha256(out),
    }


def test_without_json_it_is_a_sentence(
    asked: list[tuple[Path, DataSet, int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(monkeypatch, "--out", tmp_path / "data", *NUMBERS) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'data' / 'manifest.csv'}: 20 images of 10 vehicles, SHA-256 {'ab' * 32}\n"
    assert "20/20" in printed.err
    assert "img/s" in printed.err


def test_quiet_leaves_out_the_progress_bar(
    asked: list[tuple[Path, DataSet, int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(monkeypatch, "--out", tmp_path / "data", *NUMBERS, "--quiet", "--json") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert json.loads(printed.out) == {"manifest": str(tmp_path / "data" / "manifest.csv"), "num_images": 20} | INFO


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoppedError(), "stopped; the same command goes on"),
        (SyntheticError("a process died"), "a process died"),
        (OSError(28, "No space left on device", "0.jpg"), "[Errno 28] No space left on device: '0.jpg'"),
    ],
)
def test_what_fails_is_one_line(
    error: Exception,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def generate(*_: object) -> dict[str, Any]:
        raise error

    monkeypatch.setattr(command, "generate", generate)
    assert main(monkeypatch, "--out", tmp_path / "data", *NUMBERS, "--quiet", "--json") == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"training.synthetic: {said}\n")


def other_things(whole: Path, out: Path) -> tuple[object, ...]:
    out.mkdir()
    (out / "notes.txt").write_bytes(b"mine")
    return NUMBERS


def a_file(whole: Path, out: Path) -> tuple[object, ...]:
    out.write_bytes(b"mine")
    return NUMBERS


def another_seed(whole: Path, out: Path) -> tuple[object, ...]:
    copy(whole, out)
    return (*NUMBERS, "--seed", 4)


def damaged_record(whole: Path, out: Path) -> tuple[object, ...]:
    (copy(whole, out) / "generator.json").write_bytes(b"{")
    return NUMBERS


def file_for_images(whole: Path, out: Path) -> tuple[object, ...]:
    out.mkdir()
    (out / "generator.json").write_bytes((whole / "generator.json").read_bytes())
    (out / "images").write_bytes(b"mine")
    return NUMBERS


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (other_things, "{out} is there and holds something else: choose a new folder"),
        (a_file, "{out}/generator.json cannot be read ("),
        (another_seed, "{out} was begun with another seed: choose a new folder, or the same numbers"),
        (damaged_record, "{out}/generator.json cannot be read ("),
        (file_for_images, "[Errno "),
    ],
)
def test_where_it_cannot_be_drawn_the_reason_is_one_line_and_nothing_changes(
    prepare: Callable[[Path, Path], tuple[object, ...]],
    said: str,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "data"
    numbers = prepare(whole, out)
    before = contents(tmp_path)
    assert main(monkeypatch, "--out", out, *numbers, "--quiet", "--json") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("training.synthetic: " + said.format(out=out))
    assert str(out) in line
    assert contents(tmp_path) == before


# --- real processes


def start(out: Path, num_workers: int = 2) -> "subprocess.Popen[str]":
    """The command, in a process group of its own."""
    numbers = (*NUMBERS, "--workers", num_workers, "--quiet", "--json")
    return subprocess.Popen(
        [sys.executable, "-m", "training.synthetic", "--out", str(out), *map(str, numbers)],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(out: Path, pattern: str, number: int, process: "subprocess.Popen[str]") -> None:
    """Until so many files are there."""
    while len(list(out.glob(pattern))) < number and process.poll() is None:
        time.sleep(0.005)


def running(group: int) -> list[int]:
    """The processes of a group; not those that ended and of which nobody has taken notice yet."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # What follows the name, which may hold anything: state, parent, group.
            state, _, number, *_ = path.read_text().rpartition(")")[2].split()
            if int(number) == group and state not in "ZX":
                found.append(int(path.parent.name))
    return found


def workers(group: int) -> list[Path]:
    """Those of a group that draw, or will."""
    found = []
    for number in running(group):
        with contextlib.suppress(OSError):
            if b"spawn_main" in (Path("/proc") / str(number) / "cmdline").read_bytes():
                found.append(Path("/proc") / str(number))
    return found


def blocks_signals(worker: Path) -> bool:
    """Whether a process sees neither SIGINT nor SIGTERM."""
    fields = dict(line.split(":", 1) for line in (worker / "status").read_text().splitlines())
    mask = int(fields["SigBlk"], 16)
    return all(mask >> (number - 1) & 1 for number in (signal.SIGINT, signal.SIGTERM))


def assert_nobody_is_left(group: int) -> None:
    """No process of the group runs on; the last ones are given some time to end."""
    for _ in range(1000):
        if not running(group):
            return
        time.sleep(0.01)
    os.killpg(group, signal.SIGKILL)
    pytest.fail("a process was left behind")


def assert_nothing_half_counts(out: Path, whole: Path) -> None:
    """An identity that says it is whole is whole."""
    expected = contents(whole)
    for facts in out.glob("images/*/vehicle.json"):
        assert is_whole(facts.parent)
        for path in facts.parent.glob("*.jpg"):
            assert path.read_bytes() == expected[str(path.relative_to(out))]


# A terminal's Ctrl-C reaches the workers too, as does what a process manager sends: while they start, or draw.
@pytest.mark.parametrize(("sent", "early"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_a_signal_stops_everything_and_the_same_command_goes_on(
    sent: signal.Signals,
    early: bool,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "data"
    with start(out) as process:
        while not workers(process.pid) and process.poll() is None:
            time.sleep(0.002)
        if not early:
            wait_for(out, "images/*/0.jpg", 1, process)
        started = workers(process.pid)
        assert started
        assert all(blocks_signals(worker) for worker in started)
        assert bool(list(out.glob("images/*"))) != early
        os.killpg(process.pid, sent)
        printed, said = process.communicate()
    assert process.returncode == 1
    assert (printed, said) == ("", "training.synthetic: stopped; the same command goes on\n")
    assert_nobody_is_left(process.pid)
    assert not (out / "manifest.csv").exists()
    assert list(out.glob("images/*/vehicle.json"))  # what was under way has been finished
    assert_nothing_half_counts(out, whole)
    assert main(monkeypatch, "--out", out, *NUMBERS, "--quiet", "--json") == 0
    assert json.loads(capsys.readouterr().out)["images_sha256"] == images_sha256(whole)
    assert contents(out) == contents(whole)


def kill_rounds(out: Path, whole: Path, rng: random.Random, rounds: int) -> None:
    """Kills the command at a random moment, round after round: with its workers, or alone, which then end too."""
    for number in range(rounds):
        there = len(list(out.glob("images/*/*.jpg")))
        with start(out) as process:
            wait_for(out, "images/*/*.jpg", there + rng.choice([1, 1, 2, 3]), process)
            time.sleep(rng.uniform(0, 0.2))
            with contextlib.suppress(ProcessLookupError):  # it may have come to its end
                (os.kill if number % 2 else os.killpg)(process.pid, signal.SIGKILL)
        assert_nobody_is_left(process.pid)
        assert_nothing_half_counts(out, whole)


def test_killed_in_the_middle_the_same_command_goes_on(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    kill_rounds(out, whole, random.Random(3), 2)
    with start(out, 1) as process:
        printed, said = process.communicate()
    assert (process.returncode, said) == (0, "")
    result = json.loads(printed.splitlines()[-1])
    assert result["images_sha256"] == images_sha256(whole)
    assert read_manifest(Path(result["manifest"])).entries == read_manifest(whole).entries
    assert contents(out) == contents(whole)
    assert_nobody_is_left(process.pid)


@pytest.mark.trial
def test_killed_many_times_the_same_command_goes_on(whole: Path, tmp_path: Path) -> None:
    rng = random.Random(5)
    for number in range(8):
        out = tmp_path / str(number)
        kill_rounds(out, whole, rng, rng.randint(1, 4))
        generate(out, WHOLE, 2)
        there = contents(out)
        left = {name for name in there if name.startswith("manifest.") and name.endswith(".tmp")}  # killed at the end
        assert {name: data for name, data in there.items() if name not in left} == contents(whole)
