import pytest

from index.phase_bar import phase_bar


def test_each_part_has_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with phase_bar(quiet=False) as show:
        show("images", 1, 2)
        show("images", 2, 2)
        show("records", 5, 5)
    lines = capsys.readouterr().err
    assert "images: 100%" in lines
    assert "2/2" in lines
    assert "records: 100%" in lines


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with phase_bar(quiet=True) as show:
        show("images", 1, 2)
    assert capsys.readouterr().err == ""
