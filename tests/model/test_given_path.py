import importlib
import sys
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from model.given_path import given_path


def test_a_path_is_taken_as_it_is() -> None:
    assert given_path("data/my set.csv") == Path("data/my set.csv")
    assert given_path(".") == Path()


@pytest.mark.parametrize("text", ["", " ", "\t"])
def test_an_empty_path_is_not_the_current_folder(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="a path was expected, and it is empty"):
        given_path(text)


@pytest.mark.parametrize(
    ("program", "flags"),
    [
        ("index.build", ["--checkpoint", "x", "--data-dir", "x", "--data", ""]),
        ("training.evaluate", ["--checkpoint", "x", "--data", ""]),
        ("training.train", ["--recipe", "debug", "--data", "x", "--out", ""]),
        ("training.halve", ["--checkpoint", "", "--out", "x"]),
        (
            "training.synthetic.__main__",
            ["--identities", "1", "--images-per-identity", "1", "--seed", "0", "--out", ""],
        ),
    ],
)
def test_programs_refuse_an_empty_path(
    program: str, flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [program, *flags])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(program).main()
    assert ended.value.code == 2
    assert "a path was expected, and it is empty" in capsys.readouterr().err
