import re
from datetime import UTC, datetime

import pytest

from index.gallery.filters import Filter, Near
from index.milvus.expression import EVERY_ROW, expression_of, without
from index.milvus.field_codes import attribute_code, text_code
from tests.index.contract.galleries import FILTERS

ID = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("where", "terms"),
    [
        (Filter(), []),
        (Filter(ids=(ID, "no id", ID.upper())), [f'id in ["{ID}"]']),
        (Filter(ids=("no id",)), ["seq < 0"]),
        (Filter(other_than=ID), [f'id != "{ID}"']),
        (Filter(other_than='" or 1 == 1'), []),
        (Filter(identity="a"), [f"identity == {text_code('a')}"]),
        (Filter(cameras=("b", "a")), [f"camera in {sorted([text_code('a'), text_code('b')])}"]),
        (Filter(source="a"), [f"source == {text_code('a')}"]),
        (Filter(tags=("a", "b")), [f"array_contains(tags, {text_code(tag)})" for tag in "ab"]),
        (Filter(attributes=(("a", "b"),)), [f"array_contains(attributes, {attribute_code('a', 'b')})"]),
        (Filter(captured_after=datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)), ["captured_us >= 1000005"]),
        (
            Filter(captured_before=datetime(1, 1, 1, tzinfo=UTC)),
            ["captured_us > -100000000000000000", "captured_us < -62135596800000000"],
        ),
        (
            Filter(near=Near(0, 180, 111.195)),
            [
                "latitude >= -0.001009999", "latitude <= 0.001009999",
                "((longitude >= 179.998990001 and longitude <= 180.000000000)"
                " or (longitude >= -180.000000000 and longitude <= -179.998990001))",
            ],
        ),
    ],
)  # fmt: skip
def test_a_filter_is_an_expression(where: Filter, terms: list[str]) -> None:
    assert expression_of(where) == " and ".join([EVERY_ROW, *terms])


@pytest.mark.parametrize("where", FILTERS.values(), ids=FILTERS)
def test_nothing_of_what_users_write_stands_in_an_expression(where: Filter) -> None:
    assert re.fullmatch(r"[a-z_ 0-9.,\-<>=()\[\]]*", expression_of(where))


def test_rows_and_identities_are_left_out() -> None:
    assert without("seq > 0", [], []) == "seq > 0"
    assert without("seq > 0", [3, 2], [9, 8]) == "seq > 0 and identity not in [2, 3] and seq not in [8, 9]"
