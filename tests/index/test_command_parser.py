import argparse

import pytest

from index.command_parser import CommandParser


def parser() -> CommandParser:
    parser = CommandParser(prog="python -m program", description="First line.\n\n    An example.")
    parser.add_argument("--number", type=int, choices=range(3), required=True)
    for letter in "abcdefghijklmnopqrstuvwxyz":
        parser.add_argument(f"--{letter * 3}")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("count").add_argument("--to", type=int)
    return parser


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    with pytest.raises(SystemExit) as exit_:
        parser().parse_args(arguments)
    assert exit_.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    prog, _, reason = line.partition(": error: ")
    return prog, reason


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "the following arguments are required: --number; see --help"),
        (("--number", "x"), "argument --number: invalid int value: 'x'; see --help"),
        (("--number", "7"), "argument --number: invalid choice: 7 (choose from 0, 1, 2); see --help"),
        (("--number", "1", "--nonsense"), "unrecognized arguments: --nonsense; see --help"),
        (("--number", "a\nb"), r"argument --number: invalid int value: 'a\nb'; see --help"),
        (("--number", "1", "rest\nof it"), None),
    ],
)
def test_an_error_is_one_line(
    arguments: tuple[str, ...], reason: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    prog, printed = refusal(capsys, *arguments)
    assert prog == "python -m program"
    assert printed.endswith("; see --help")
    assert reason in (printed, None)


def test_an_error_of_a_subcommand_is_one_line_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    prog, reason = refusal(capsys, "--number", "1", "count", "--to", "many")
    assert prog.startswith("python -m program")
    assert prog.endswith(" count")
    assert reason == "argument --to: invalid int value: 'many'; see --help"


def test_the_program_can_refuse_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parser().error("first\nsecond")
    assert exit_.value.code == 2
    assert capsys.readouterr().err == "python -m program: error: first second; see --help\n"


def test_the_help_keeps_the_text_as_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert "First line.\n\n    An example.\n" in parser().format_help()
    assert parser().format_help().startswith("usage: python -m program")
    wrapped = CommandParser(description="a\nb", formatter_class=argparse.HelpFormatter)
    assert "a b" in wrapped.format_help()
