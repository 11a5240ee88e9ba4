import pytest

from model.number import NumberError, decimal_number, whole_number


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("-12", -12), ("007", 7), ("9" * 19, 10**19 - 1)])
def test_a_whole_number_is_a_sign_and_digits(text: str, number: int) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "+1",
        "1.0",
        "1e3",
        "1_000",
        " 1",
        "1 ",
        "1\n",
        "١",
        "１",
        "²",
        "0x10",
        "True",
        "None",
        "9" * 20,
        "1" * 5000,
    ],
    ids=lambda text: repr(text)[:12],
)
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(NumberError, match="a whole number in the digits 0-9 was expected, not '") as error:
        whole_number(text)
    assert len(str(error.value)) < 140


@pytest.mark.parametrize(
    ("text", "number"),
    [("50.25", 50.25), ("-1", -1.0), (".5", 0.5), ("1.", 1.0), ("1e-3", 0.001), ("2E+2", 200.0), ("1e-4000", 0.0)],
)
def test_a_decimal_number_is_a_finite_float(text: str, number: float) -> None:
    assert decimal_number(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "-",
        "+1",
        "nan",
        "inf",
        "-Infinity",
        "1e400",
        "1e99999",
        "1_0.0",
        " 1",
        "1 ",
        "1,5",
        "٤.٢",
        "0x1p3",
        "1e",
        "e3",
    ],
)
def test_what_is_no_decimal_number_is_refused(text: str) -> None:
    with pytest.raises(NumberError, match=r"a number such as 50\.25 was expected, not '"):
        decimal_number(text)
