"""Recipes as TOML files: the fields that differ from a base, or a whole recipe."""

import dataclasses
import difflib
import json
import tomllib
from pathlib import Path
from typing import Any, Final

from training.recipe import RECIPES, Recipe, RecipeError

_FIELDS: Final = {field.name: field.type for field in dataclasses.fields(Recipe)}
_TYPES: Final[dict[Any, str]] = {int: "a whole number", float: "a number"}
_NO_BASE: Final = "sanet_paper"


def read_recipe(path: Path) -> Recipe:
    """Reads a recipe: ``base`` names the recipe that it starts from, every other key a field that differs.

    Without ``base`` the fields that the file does not name are those of ``sanet_paper``. Paths in it start from the
    current folder, as those of flags do.

    Raises:
        RecipeError: it is no such file; one line that names it, and the key.
        OSError: it cannot be read.
    """
    try:
        # Names of files need not be UTF-8; a byte order mark is what some editors write.
        values = tomllib.loads(path.read_bytes().decode("utf-8-sig", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{path} is no recipe in TOML: {' '.join(str(error).split())}") from None
    try:
        return _recipe_of(values)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None


def recipe_text(recipe: Recipe, comment: str) -> str:
    """A whole recipe as `read_recipe` reads it, below a comment of one line."""
    lines = [f"# {comment}", *(f"{name} = {_literal(getattr(recipe, name))}" for name in _FIELDS)]
    return "\n".join(lines) + "\n"


def _recipe_of(values: dict[str, Any]) -> Recipe:
    base = values.pop("base", _NO_BASE)
    # A list is no key that could be looked up.
    if not isinstance(base, str) or base not in RECIPES:
        raise RecipeError(f"base must be one of {', '.join(sorted(RECIPES))}; got {base!r}")
    unknown = [name for name in values if name not in _FIELDS]
    if unknown:
        raise RecipeError(f"there is no field {', '.join(map(_with_nearest, unknown))}: see training.train --help")
    for name, value in values.items():
        _check_type(name, value)
    return dataclasses.replace(RECIPES[base](), **values)


def _with_nearest(name: str) -> str:
    nearest = difflib.get_close_matches(name, [*_FIELDS, "base"], n=1)
    return f"{name!r} (did you mean {nearest[0]}?)" if nearest else repr(name)


def _check_type(name: str, value: object) -> None:
    """Says what was expected of a value of another type; a float may be written as a whole number."""
    kind = _FIELDS[name]
    if kind in _TYPES and type(value) not in (int, kind):
        raise RecipeError(f"{name} must be {_TYPES[kind]}, got {_shown(value)}")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise RecipeError(f"{name} must be a number of 64 bits, got one of {len(str(abs(value)))} digits")
    if kind not in _TYPES and (not isinstance(value, str) or "\0" in value):
        raise RecipeError(f"{name} must be a text in quotes, got {_shown(value)}")


def _shown(value: object) -> str:
    """As TOML writes it, where that is short."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    return "a list" if isinstance(value, list) else repr(value) if isinstance(value, str) else str(value)


def _literal(value: str | float) -> str:
    if not isinstance(value, str):
        return repr(value)
    # TOML's texts in quotes are JSON's, but for DEL and for surrogates, which stay the bytes of a name.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
