import dataclasses
import hashlib
import json
from typing import Any

import pytest

from training.synthetic.settings import EDITIONS, Settings, TrainingSettings

FIELDS = dataclasses.fields(Settings)


def another(value: Any) -> Any:
    """A value of the same kind, a little larger in its last part."""
    return (*value[:-1], another(value[-1])) if isinstance(value, tuple) else value + 1


def naive_hash(plain: dict[str, Any]) -> str:
    """Keys in order, no blanks, SHA-256: canonical JSON put together by hand."""
    text = ",".join(f"{json.dumps(key)}:{json.dumps(plain[key]).replace(' ', '')}" for key in sorted(plain))
    return hashlib.sha256(f"{{{text}}}".encode()).hexdigest()


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_the_hash_changes_with_each_field(field: "dataclasses.Field[Any]") -> None:
    before = Settings()
    after = dataclasses.replace(before, **{field.name: another(getattr(before, field.name))})
    assert after.sha256 != before.sha256
    assert after.sha256 == naive_hash(after.to_dict())
    assert after.to_dict()[field.name] != before.to_dict()[field.name]


def test_the_hash_is_that_of_the_canonical_json() -> None:
    plain = Settings().to_dict()
    assert Settings().sha256 == naive_hash(plain)
    assert naive_hash(dict(reversed(plain.items()))) == naive_hash(plain)


def test_the_hash_does_not_depend_on_the_order_of_the_fields() -> None:
    turned = dataclasses.make_dataclass(
        "Turned", [(field.name, field.type, field.default) for field in reversed(FIELDS)], bases=(), frozen=True
    )
    namespace = {"to_dict": Settings.to_dict, "sha256": Settings.sha256}
    other: Any = type("Other", (turned,), namespace)()
    assert list(other.to_dict()) == list(reversed(Settings().to_dict()))
    assert other.sha256 == Settings().sha256


def test_settings_are_plain_json() -> None:
    plain = Settings(split=(1, 2, 3), altitude_m=(1.0, 2.5)).to_dict()
    assert json.loads(json.dumps(plain)) == plain  # lists, not tuples
    assert list(plain) == [field.name for field in FIELDS]
    assert (plain["split"], plain["altitude_m"], plain["version"]) == ([1, 2, 3], [1.0, 2.5], 1)


def test_the_frozen_settings_have_the_hash_that_the_results_name() -> None:
    assert Settings().sha256 == "b92609ddc395cd77accdf9213fc71337fd6e26977e740928db6ed8c4f5fdfcf4"


def test_each_edition_says_which_it_is() -> None:
    assert {number: settings().edition for number, settings in EDITIONS.items()} == {1: 1, 2: 2}
    plain = TrainingSettings().to_dict()
    assert (plain["version"], plain["surroundings"], plain["split"], plain["plain"]) == (2, True, [10, 0, 0], 0.5)
    assert set(Settings().to_dict()) < set(plain)
    assert TrainingSettings().sha256 == naive_hash(plain)


@pytest.mark.parametrize("field", dataclasses.fields(TrainingSettings), ids=lambda field: field.name)
def test_the_hash_of_edition_2_changes_with_each_field(field: "dataclasses.Field[Any]") -> None:
    before = TrainingSettings()
    after = dataclasses.replace(before, **{field.name: another(getattr(before, field.name))})
    assert after.sha256 != before.sha256
