import dataclasses
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest

from training.recipe import RECIPES, Recipe, RecipeError, sanet, sanet_paper
from training.recipe_file import read_recipe, recipe_text

FIELDS = dataclasses.fields(Recipe)


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "mine.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(folder: Path, text: str | bytes) -> str:
    """What is wrong with a file, behind its name; one line."""
    path = written(folder, text)
    with pytest.raises(RecipeError) as raised:
        read_recipe(path)
    reason = str(raised.value)
    assert reason.startswith(str(path))
    assert "\n" not in reason
    return reason.removeprefix(str(path)).removeprefix(": ")


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_base_alone_is_that_recipe(name: str, tmp_path: Path) -> None:
    assert read_recipe(written(tmp_path, f'base = "{name}"\n')) == RECIPES[name]()


def test_a_file_names_what_differs_from_its_base(tmp_path: Path) -> None:
    text = """
    # Ours, shorter.
    epochs = 6
    base = "sanet"
    learning_rate = 5e-4
    margin = 1      # a whole number is a number
    backbone = 'resnet34'
    """
    expected = dataclasses.replace(sanet(), epochs=6, learning_rate=0.0005, margin=1, backbone="resnet34")
    assert read_recipe(written(tmp_path, text)) == expected


def test_without_a_base_the_rest_is_the_papers(tmp_path: Path) -> None:
    assert read_recipe(written(tmp_path, "")) == sanet_paper()
    assert read_recipe(written(tmp_path, "num_parts = 6\n")) == dataclasses.replace(sanet_paper(), num_parts=6)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    text = b'\xef\xbb\xbfbase = "debug"\r\nepochs = 3\r\n'
    assert read_recipe(written(tmp_path, text)) == dataclasses.replace(RECIPES["debug"](), epochs=3)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_written_recipe_is_whole_and_is_read_again(name: str, tmp_path: Path) -> None:
    recipe = RECIPES[name]()
    text = recipe_text(recipe, "of a test")
    assert text.startswith("# of a test\n")
    assert tomllib.loads(text) == dataclasses.asdict(recipe)
    assert read_recipe(written(tmp_path, text)) == recipe


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": 1e-9, "weight_decay": 1e22, "margin": 3, "bn_eps": 1.001e-5, "temperature": 0.1 + 0.2},
        {"trunk_weights": 'C:\\weights\\"best".pth'},
        {"trunk_weights": "tab\tnew\nline\x7f\x01 車 \U0001f697"},
        {"heading_weights": "not-utf8-\udcff.safetensors"},
        {"validation": "none", "max_steps_per_epoch": 2**62},
    ],
)
def test_any_value_is_read_as_it_was_written(changes: dict[str, Any], tmp_path: Path) -> None:
    recipe = dataclasses.replace(sanet_paper(), **changes)
    text = recipe_text(recipe, "of a test").encode("utf-8", "surrogateescape")
    assert read_recipe(written(tmp_path, text)) == recipe


def test_an_unknown_key_is_named_and_the_nearest_one_too(tmp_path: Path) -> None:
    assert refusal(tmp_path, "lerning_rate = 0.1\n") == (
        "there is no field 'lerning_rate' (did you mean learning_rate?): see training.train --help"
    )
    assert refusal(tmp_path, "epoch = 1\nxyzzy = 2\n") == (
        "there is no field 'epoch' (did you mean epochs?), 'xyzzy': see training.train --help"
    )
    assert refusal(tmp_path, "[recipe]\nepochs = 1\n").startswith("there is no field 'recipe'")
    assert refusal(tmp_path, "learning-rate = 0.1\n").startswith("there is no field 'learning-rate' (did you mean l")
    assert refusal(tmp_path, "seed = 3\n").startswith("there is no field 'seed'")


@pytest.mark.parametrize("base", ['"sanets"', '""', "3", '["sanet"]', "true", "{ name = 'sanet' }"])
def test_a_base_that_does_not_exist_is_refused(base: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, f"base = {base}\n").startswith("base must be one of am_wtl, baseline, ")


WRONG: dict[Any, list[tuple[str, str]]] = {
    int: [('"3"', "'3'"), ("3.0", "3.0"), ("true", "true"), ("[3]", "a list"), ("{ a = 3 }", "a table")],
    float: [('"3"', "'3'"), ("false", "false"), ("[]", "a list"), ("1979-05-27", "1979-05-27")],
    str: [("3", "3"), ("true", "true"), ("['none']", "a list"), (r'"a\u0000b"', r"'a\x00b'")],
}
EXPECTED: dict[Any, str] = {int: "a whole number", float: "a number", str: "a text in quotes"}


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_value_of_another_type_is_refused(field: "dataclasses.Field[Any]", tmp_path: Path) -> None:
    kind = str if get_args(field.type) else field.type
    for literal, shown in WRONG[kind]:
        reason = refusal(tmp_path, f"{field.name} = {literal}\n")
        assert reason == f"{field.name} must be {EXPECTED[kind]}, got {shown}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("epochs = 0", "epochs must be 1 or more, got 0"),
        ("epochs = -1", "epochs must be a whole number of 0 or more, got -1"),
        ("margin = nan", "margin must be a number of 0 or more, got nan"),
        ("margin = 1e999", "margin must be a number of 0 or more, got inf"),
        ("epochs = 1" + "0" * 30, "epochs must be a number of 64 bits, got one of 31 digits"),
        ("margin = 1" + "0" * 400, "margin must be a number of 64 bits, got one of 401 digits"),
        ('precision = "float64"', "precision must be one of float32, bf16, fp16; got 'float64'"),
        ('base = "sanet"\nnum_columns = 9', "num_columns must be at most 8 for an input of 128 pixels"),
        ("id_margin = 0.1", "id_margin is taken from cosines: give id_scale too"),
    ],
)
def test_a_recipe_that_cannot_be_trained_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, text).startswith(reason)


@pytest.mark.parametrize(
    "text",
    [
        "epochs", "epochs = 1\nepochs = 2\n", "epochs: 3\n", '{"epochs": 3}', "\x00", "epochs = 1\n\x07", b"\xff\xfe",
        "margin = 1" + "0" * 5000, "a = " + "[" * 100_000,
    ],
    ids=["bare", "twice", "yaml", "json", "nul", "bell", "utf-16", "digits", "nested"],
)  # fmt: skip
def test_what_is_no_toml_is_refused(text: str | bytes, tmp_path: Path) -> None:
    assert refusal(tmp_path, text).startswith(" is no recipe in TOML: ")


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_recipe(tmp_path / "none.toml")
    with pytest.raises(IsADirectoryError):
        read_recipe(tmp_path)
