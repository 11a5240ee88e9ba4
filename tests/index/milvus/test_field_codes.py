from index.gallery.fields import Fields
from index.milvus.field_codes import attribute_code, attribute_codes, tag_codes, text_code
from tests.index.contract.galleries import NAMES


def test_codes_are_the_same_in_every_process_and_different_for_different_texts() -> None:
    assert text_code(None) == 0
    # Rows of older programs are found by them.
    assert (text_code("a"), attribute_code("a", "b")) == (2340832890917691671, 6527242908918642003)
    codes = [text_code(name) for name in NAMES] + [text_code(f"vehicle {number}") for number in range(20_000)]
    assert len(set(codes)) == len(NAMES) + 20_000
    assert min(codes) > 0
    assert max(codes) < 2**63
    pairs = [("a", "b c"), ("a b", "c"), ("", "a b c"), ("1 a", "b"), ("a", "b"), ("2 a", ""), ("a ", "b"), ("a", " b")]
    assert len({attribute_code(*pair) for pair in pairs}) == len(pairs)


def test_fields_have_the_codes_of_what_they_hold() -> None:
    fields = Fields(tags=("b", "a"), attributes={"colour": "red", "a": "b"})
    assert set(tag_codes(fields)) == {text_code("a"), text_code("b")}
    assert set(attribute_codes(fields)) == {attribute_code("colour", "red"), attribute_code("a", "b")}
    assert tag_codes(Fields()) == attribute_codes(Fields()) == []


def test_half_a_character_has_a_code() -> None:
    """A filter may ask for it."""
    assert len({text_code("\ud83d"), text_code("\ude97"), text_code("\ud83d\ude97"), text_code("🚗")}) >= 3
