import pytest

from index.gallery.errors import CursorError
from service.number_cursor import number_of


@pytest.mark.parametrize("number", [1, 42, 10**18 - 1])
def test_a_number_is_read(number: int) -> None:
    assert number_of(str(number)) == number


@pytest.mark.parametrize("cursor", ["", "0", "01", "-1", "+1", " 1", "1\n", "1.0", "x", "\u0661", str(10**18)])
def test_what_no_page_gave_is_refused(cursor: str) -> None:
    with pytest.raises(CursorError, match="is no cursor: take next_cursor of the page before"):
        number_of(cursor)
