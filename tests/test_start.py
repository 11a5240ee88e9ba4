"""What `make run` and the container start: a stand-in for python writes down what it is called with."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Like index.build, it leaves a gallery behind; `.fails` in its folder interrupts it after that.
_STAND_IN = """#!{python}
import json, os, pathlib, sys, time
folder = pathlib.Path({folder!r})
with open(folder / "calls", "a") as file:
    settings = {{name: value for name, value in os.environ.items() if name.startswith("SANET_")}}
    file.write(json.dumps([sys.argv[1:], settings]) + "\\n")
if "index.build" in sys.argv:
    data_dir = pathlib.Path(sys.argv[sys.argv.index("--data-dir") + 1])
    assert data_dir.is_dir()
    (data_dir / "gallery.sqlite").touch()
    if (folder / "hangs").exists():
        time.sleep(60)
    if (folder / "fails").exists():
        sys.exit(1)
"""

Calls = list[tuple[list[str], dict[str, str]]]


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """A folder with files in the places of the shipped checkpoint and its demo set."""
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "sanet.safetensors").touch()
    (folder / "manifest.csv").touch()
    return folder


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A folder whose `python` writes its arguments and the settings it was given."""
    folder = tmp_path / "venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").write_text(_STAND_IN.format(python=sys.executable, folder=str(tmp_path)))
    (folder / "python").chmod(0o755)
    for extra in ("cpu", "gpu"):
        (tmp_path / "venv" / f"installed-{extra}").touch()
    return folder


def environment(stand_in: Path, **settings: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SANET_", "MAKE", "PYTHON"))}
    return clean | {"PATH": f"{stand_in}:{clean['PATH']}"} | settings


def calls_of(stand_in: Path) -> Calls:
    """What python was called with so far, and forgets it."""
    path = stand_in.parents[1] / "calls"
    calls: list[Any] = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    path.unlink(missing_ok=True)
    return [(arguments, settings) for arguments, settings in calls]


def build_call(demo: Path, data_dir: str, device: str = "auto", precision: str = "auto") -> list[str]:
    files = ["--checkpoint", f"{demo}/sanet.safetensors", "--data", f"{demo}/manifest.csv", "--data-dir", data_dir]
    return ["-m", "index.build", *files, "--device", device, "--precision", precision]


SERVICE = ["-m", "service"]


# enrol-demo


def enrol_demo(
    stand_in: Path, demo: Path, data_dir: Path, *flags: str, fails: bool = False, settings: dict[str, str] | None = None
) -> Calls:
    command = [str(ROOT / "deploy" / "enrol-demo"), str(demo), str(data_dir), *flags]
    done = subprocess.run(command, env=environment(stand_in, **(settings or {})), check=False)
    assert (done.returncode != 0) == fails
    return calls_of(stand_in)


def test_the_demo_is_enrolled_once(stand_in: Path, demo: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    settings = {"SANET_DEVICE": "cpu", "SANET_PRECISION": "bf16"}
    (call,) = enrol_demo(stand_in, demo, data_dir, "--quiet", settings=settings)
    assert call[0] == [*build_call(demo, str(data_dir), "cpu", "bf16"), "--quiet"]
    assert [path.name for path in data_dir.iterdir()] == ["gallery.sqlite"]  # no marker stays
    # Whatever was deleted since: nothing is enrolled again.
    assert enrol_demo(stand_in, demo, data_dir) == []


def test_an_interrupted_enrolment_of_the_demo_is_finished(stand_in: Path, demo: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    fails = tmp_path / "fails"
    fails.touch()
    for _ in range(2):
        assert len(enrol_demo(stand_in, demo, data_dir, fails=True)) == 1
    fails.unlink()
    assert len(enrol_demo(stand_in, demo, data_dir)) == 1
    assert enrol_demo(stand_in, demo, data_dir) == []


@pytest.mark.parametrize("part", ["gallery.sqlite", "images"])
def test_a_gallery_that_is_there_gets_no_demo(stand_in: Path, demo: Path, tmp_path: Path, part: str) -> None:
    (tmp_path / "data" / part).mkdir(parents=True)
    assert enrol_demo(stand_in, demo, tmp_path / "data") == []


def test_other_files_in_the_data_folder_are_no_gallery(stand_in: Path, demo: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.safetensors").touch()
    assert len(enrol_demo(stand_in, demo, tmp_path / "data")) == 1


def test_without_a_shipped_checkpoint_there_is_no_demo(stand_in: Path, demo: Path, tmp_path: Path) -> None:
    (demo / "sanet.safetensors").unlink()
    assert enrol_demo(stand_in, demo, tmp_path / "data") == []
    assert not (tmp_path / "data").exists()


def test_a_folder_with_a_space_in_its_name(stand_in: Path, demo: Path, tmp_path: Path) -> None:
    (call,) = enrol_demo(stand_in, demo, tmp_path / "my data")
    assert call[0] == build_call(demo, f"{tmp_path}/my data")


# make run


def make_run(stand_in: Path, demo: Path, *variables: str, **settings: str) -> tuple[Calls, str]:
    """The calls of python and what was said, in a folder of its own, so that .data is new."""
    folder = stand_in.parents[1] / "checkout"
    if not folder.exists():
        folder.mkdir()
        for name in ("Makefile", "deploy"):
            (folder / name).symlink_to(ROOT / name)
    # The packages are there: nothing is installed.
    fixed = [f"VENV={stand_in.parent}", "EXTRA=cpu", f"DEMO={demo}", "--old-file=setup"]
    done = subprocess.run(
        ["make", "run", *fixed, *variables],
        cwd=folder,
        env=environment(stand_in, **settings),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return calls_of(stand_in), done.stdout


def test_make_run_serves_the_defaults_with_the_demo_gallery(stand_in: Path, demo: Path) -> None:
    calls, said = make_run(stand_in, demo)
    assert calls == [(build_call(demo, ".data"), {}), (SERVICE, {})]
    assert said.startswith("The demo gallery is in .data; SANET_DATA_DIR=FOLDER make run starts without it.\n")
    assert "http://localhost:8000/docs" in said
    # The second time it is there, or was deleted.
    assert make_run(stand_in, demo)[0] == [(SERVICE, {})]


def test_make_run_embeds_the_gallery_as_the_service_will(stand_in: Path, demo: Path) -> None:
    settings = {"SANET_DEVICE": "cpu", "SANET_PRECISION": "bf16", "SANET_PORT": "81", "SANET_CHECKPOINT": ""}
    calls, said = make_run(stand_in, demo, **settings)
    assert calls == [(build_call(demo, ".data", "cpu", "bf16"), settings), (SERVICE, settings)]
    assert "http://localhost:81/docs" in said


@pytest.mark.parametrize("as_variables", [False, True])
@pytest.mark.parametrize(
    "given",
    [
        {"SANET_CHECKPOINT": "my.safetensors"},
        {"SANET_CHECKPOINT": "my.safetensors", "SANET_HELDOUT": "my.csv"},
        {"SANET_CHECKPOINT": "my.safetensors", "SANET_DATA_DIR": "mine"},
        {"SANET_DATA_DIR": "mine"},
    ],
)
def test_make_run_puts_no_demo_vehicles_into_what_is_somebodys_own(
    stand_in: Path, demo: Path, given: dict[str, str], as_variables: bool
) -> None:
    variables = [f"{name}={value}" for name, value in given.items()] if as_variables else []
    calls, said = make_run(stand_in, demo, *variables, **({} if as_variables else given))
    assert calls == [(SERVICE, given)]
    assert "demo gallery" not in said


# The container


def entrypoint(stand_in: Path, demo: Path, *command: str, **settings: str) -> Calls:
    data_dir = str(stand_in.parents[1] / "data")
    settings = {"SANET_DATA_DIR": data_dir, "DEMO_DIR": str(demo), "DEMO_DATA_DIR": data_dir} | settings
    command = command or ("python", "-m", "service")
    subprocess.run([ROOT / "deploy" / "entrypoint", *command], env=environment(stand_in, **settings), check=True)
    return calls_of(stand_in)


def test_the_container_serves_the_defaults_with_the_demo_gallery(stand_in: Path, demo: Path, tmp_path: Path) -> None:
    # Compose hands on what is not set as empty.
    nothing = {"SANET_CHECKPOINT": "", "SANET_HELDOUT": "", "SANET_DEVICE": "", "SANET_PRECISION": ""}
    build, service = entrypoint(stand_in, demo, **nothing)
    assert build[0] == [*build_call(demo, f"{tmp_path}/data"), "--quiet"]
    assert service == (SERVICE, nothing | {"SANET_DATA_DIR": f"{tmp_path}/data"})
    # The second start leaves the gallery as it is.
    assert [arguments for arguments, _ in entrypoint(stand_in, demo, **nothing)] == [SERVICE]


@pytest.mark.parametrize(
    ("command", "given"),
    [
        (("python", "-m", "service"), {"SANET_CHECKPOINT": "/data/my.safetensors"}),
        (("python", "-m", "service"), {"SANET_DATA_DIR": "/data/mine"}),
        (("python", "-m", "service"), {"SANET_DATA_DIR": "/data/mine", "SANET_HELDOUT": "my.csv"}),
        (("python", "-m", "service"), {"SANET_DATA_DIR": ""}),
        (("python", "-m", "service", "--help"), {}),
    ],
)
def test_the_container_puts_no_demo_vehicles_into_what_is_somebodys_own(
    stand_in: Path, demo: Path, command: tuple[str, ...], given: dict[str, str]
) -> None:
    ((arguments, settings),) = entrypoint(stand_in, demo, *command, **given)
    assert arguments == [*command[1:]]
    assert settings.items() >= given.items()


def test_a_container_that_cannot_enrol_its_demo_does_not_start(stand_in: Path, demo: Path, tmp_path: Path) -> None:
    (tmp_path / "fails").touch()
    with pytest.raises(subprocess.CalledProcessError):
        entrypoint(stand_in, demo)
    assert [arguments[1] for arguments, _ in calls_of(stand_in)] == ["index.build"]


def test_a_container_that_is_stopped_while_it_enrols_its_demo_ends_at_once(
    stand_in: Path, demo: Path, tmp_path: Path
) -> None:
    (tmp_path / "hangs").touch()
    data_dir = tmp_path / "data"
    settings = {"SANET_DATA_DIR": str(data_dir), "DEMO_DIR": str(demo), "DEMO_DATA_DIR": str(data_dir)}
    command = [str(ROOT / "deploy" / "entrypoint"), "python", "-m", "service"]
    container = subprocess.Popen(command, env=environment(stand_in, **settings), start_new_session=True)
    try:
        while not (data_dir / "gallery.sqlite").exists():
            time.sleep(0.01)
        container.send_signal(signal.SIGTERM)
        assert container.wait(20) == 0
    finally:
        os.killpg(container.pid, signal.SIGKILL)  # as the end of a container's first process ends all others
    (tmp_path / "hangs").unlink()
    calls_of(stand_in)
    assert [arguments[1] for arguments, _ in entrypoint(stand_in, demo)] == ["index.build", "service"]


def test_the_image_has_what_its_start_needs() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "COPY demo/ /opt/sanet/demo/\n" in dockerfile
    assert "COPY deploy/enrol-demo /usr/local/bin/enrol-demo\n" in dockerfile
    assert "!demo\n" in (ROOT / ".dockerignore").read_text()
