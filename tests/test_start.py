"""What `make run` and the container start: a stand-in for python writes down what it is called with."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
HELDOUT = "demo/manifest.csv"

_STAND_IN = """#!{python}
import json, os, sys
with open({calls!r}, "a") as file:
    settings = {{name: value for name, value in os.environ.items() if name.startswith("SANET_")}}
    file.write(json.dumps([sys.argv[1:], settings]) + "\\n")
"""

Calls = list[tuple[list[str], dict[str, str]]]


@pytest.fixture
def shipped(tmp_path: Path) -> str:
    """A file in the place of the shipped checkpoint."""
    path = tmp_path / "demo" / "sanet.safetensors"
    path.parent.mkdir()
    path.touch()
    return str(path)


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A folder whose `python` writes its arguments and the settings it was given."""
    folder = tmp_path / "venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").write_text(_STAND_IN.format(python=sys.executable, calls=str(tmp_path / "calls")))
    (folder / "python").chmod(0o755)
    for extra in ("cpu", "gpu"):
        (tmp_path / "venv" / f"installed-{extra}").touch()
    return folder


def start(stand_in: Path, command: list[str], **settings: str) -> tuple[Calls, str]:
    """The calls of python, and what the command said."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SANET_", "MAKE"))}
    environment = clean | {"PATH": f"{stand_in}:{clean['PATH']}"} | settings
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    calls: list[Any] = [json.loads(line) for line in (stand_in.parents[1] / "calls").read_text().splitlines()]
    return [(arguments, settings) for arguments, settings in calls], done.stdout


def make_run(stand_in: Path, shipped: str, *variables: str, **settings: str) -> tuple[Calls, str]:
    fixed = [f"VENV={stand_in.parent}", "EXTRA=cpu", f"SHIPPED={shipped}"]
    return start(stand_in, ["make", "run", *fixed, *variables], **settings)


def build_call(
    checkpoint: str, heldout: str, data_dir: str, device: str = "auto", precision: str = "float32"
) -> list[str]:
    files = ["--checkpoint", checkpoint, "--data", heldout, "--data-dir", data_dir]
    return ["-m", "index.build", *files, "--device", device, "--precision", precision]


def test_make_run_serves_the_shipped_checkpoint_with_its_gallery_and_its_figures(stand_in: Path, shipped: str) -> None:
    calls, said = make_run(stand_in, shipped)
    settings = {"SANET_CHECKPOINT": shipped, "SANET_DATA_DIR": ".data", "SANET_HELDOUT": HELDOUT}
    assert calls == [(build_call(shipped, HELDOUT, ".data"), settings), (["-m", "service"], settings)]
    assert said.startswith("The demo gallery is enrolled in .data; SANET_DATA_DIR=FOLDER make run starts without it.\n")
    assert "http://localhost:8000/docs" in said


@pytest.mark.parametrize("given", [{}, {"SANET_DATA_DIR": "mine"}])
def test_make_run_serves_an_untrained_checkpoint_where_none_ships(stand_in: Path, given: dict[str, str]) -> None:
    calls, said = make_run(stand_in, "nowhere.safetensors", **given)
    untrained = f"{given.get('SANET_DATA_DIR', '.data')}/untrained.safetensors"
    assert [arguments for arguments, _ in calls] == [
        ["-m", "training.initialize", "--if-absent", "--out", untrained],
        ["-m", "service"],
    ]
    assert calls[1][1]["SANET_CHECKPOINT"] == untrained
    assert not calls[1][1]["SANET_HELDOUT"]
    assert "demo gallery" not in said


def test_make_run_embeds_the_gallery_as_the_service_will(stand_in: Path, shipped: str) -> None:
    settings = {"SANET_DEVICE": "cpu", "SANET_PRECISION": "bf16", "SANET_PORT": "81", "SANET_CHECKPOINT": ""}
    calls, said = make_run(stand_in, shipped, **settings)
    assert [arguments for arguments, _ in calls] == [
        build_call(shipped, HELDOUT, ".data", "cpu", "bf16"),
        ["-m", "service"],
    ]
    assert calls[1][1]["SANET_CHECKPOINT"] == shipped
    assert "http://localhost:81/docs" in said


@pytest.mark.parametrize("as_variables", [False, True])
@pytest.mark.parametrize(
    ("given", "served"),
    [
        ({"SANET_CHECKPOINT": "my.safetensors"}, {"SANET_DATA_DIR": ".data"}),
        ({"SANET_CHECKPOINT": "my.safetensors", "SANET_HELDOUT": "my.csv"}, {"SANET_DATA_DIR": ".data"}),
        ({"SANET_CHECKPOINT": "my.safetensors", "SANET_DATA_DIR": "mine"}, {}),
        ({"SANET_DATA_DIR": "mine"}, {"SANET_CHECKPOINT": "shipped", "SANET_HELDOUT": HELDOUT}),
        ({"SANET_DATA_DIR": "mine", "SANET_HELDOUT": ""}, {"SANET_CHECKPOINT": "shipped"}),
    ],
)
def test_make_run_puts_no_demo_vehicles_into_what_is_somebodys_own(
    stand_in: Path, shipped: str, given: dict[str, str], served: dict[str, str], as_variables: bool
) -> None:
    variables = [f"{name}={value}" for name, value in given.items()] if as_variables else []
    calls, said = make_run(stand_in, shipped, *variables, **({} if as_variables else given))
    expected = {name: shipped if value == "shipped" else value for name, value in (given | served).items()}
    assert calls == [(["-m", "service"], expected)]
    assert "demo gallery" not in said


def entrypoint(stand_in: Path, shipped: str, *command: str, **settings: str) -> Calls:
    settings = {"SANET_DATA_DIR": "/data", "DEMO_DIR": str(Path(shipped).parent)} | settings
    return start(
        stand_in, [str(ROOT / "deploy" / "entrypoint"), *(command or ("python", "-m", "service"))], **settings
    )[0]


def beside(shipped: str) -> str:
    return str(Path(shipped).parent / "manifest.csv")


def test_the_container_serves_the_shipped_checkpoint_with_its_gallery_and_its_figures(
    stand_in: Path, shipped: str
) -> None:
    # Compose hands on what is not set as empty.
    nothing = {"SANET_CHECKPOINT": "", "SANET_HELDOUT": "", "SANET_DEVICE": "", "SANET_PRECISION": ""}
    build, service = entrypoint(stand_in, shipped, **nothing)
    assert build[0] == [*build_call(shipped, beside(shipped), "/data"), "--quiet"]
    assert service[0] == ["-m", "service"]
    assert service[1].items() >= {"SANET_CHECKPOINT": shipped, "SANET_HELDOUT": beside(shipped)}.items()


def test_the_container_serves_an_untrained_checkpoint_where_none_ships(stand_in: Path) -> None:
    initialize, service = entrypoint(stand_in, "/nowhere/sanet.safetensors")
    assert initialize[0] == ["-m", "training.initialize", "--if-absent", "--out", "/data/untrained.safetensors"]
    assert service[0] == ["-m", "service"]
    assert service[1]["SANET_CHECKPOINT"] == "/data/untrained.safetensors"
    assert "SANET_HELDOUT" not in service[1]


@pytest.mark.parametrize(
    ("command", "given", "heldout"),
    [
        (("python", "-m", "service"), {"SANET_CHECKPOINT": "/data/my.safetensors"}, None),
        (("python", "-m", "service"), {"SANET_DATA_DIR": "/data/mine"}, "beside"),
        (("python", "-m", "service"), {"SANET_DATA_DIR": "/data/mine", "SANET_HELDOUT": "my.csv"}, "my.csv"),
        (("python", "-m", "service", "--help"), {}, "beside"),
    ],
)
def test_the_container_puts_no_demo_vehicles_into_what_is_somebodys_own(
    stand_in: Path, shipped: str, command: tuple[str, ...], given: dict[str, str], heldout: str | None
) -> None:
    ((arguments, settings),) = entrypoint(stand_in, shipped, *command, **given)
    assert arguments == [*command[1:]]
    assert settings.get("SANET_HELDOUT") == (beside(shipped) if heldout == "beside" else heldout)
    assert settings["SANET_CHECKPOINT"] == given.get("SANET_CHECKPOINT", shipped)


def test_the_image_has_what_its_start_needs() -> None:
    assert "COPY demo/ /opt/sanet/demo/\n" in (ROOT / "Dockerfile").read_text()
    assert "!demo\n" in (ROOT / ".dockerignore").read_text()
