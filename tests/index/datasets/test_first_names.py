import pytest

from index.datasets.first_names import first_names


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["b"], "b"),
        (list("edcba"), "e, d, c, b, a"),
        (list("abcdef"), "a, b, c, d, e and 1 more"),
        ([str(number) for number in range(1000)], "0, 1, 2, 3, 4 and 995 more"),
    ],
    ids=len,
)
def test_five_names_and_the_number_of_the_others(names: list[str], text: str) -> None:
    assert first_names(names) == text
