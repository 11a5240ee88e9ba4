from pathlib import Path

import numpy as np
import pytest

from model.image import ImageError, decode_image
from tests.model.image_cases.case import Case
from tests.model.image_cases.table import CASES, table

ROBUSTNESS = Path(__file__).resolve().parents[2] / "docs" / "robustness.md"


def test_each_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_file_gives_its_pixels_or_is_refused_by_name(case: Case) -> None:
    if isinstance(case.expected, str):
        with pytest.raises(ImageError) as refusal:
            decode_image(case.data)
        assert case.expected in str(refusal.value)
        return
    pixels = decode_image(case.data).pixels
    assert pixels.shape == case.expected.shape
    difference = np.abs(pixels.astype(int) - case.expected)
    assert difference.mean() <= case.tolerance
    if case.tolerance < 1:
        assert difference.max() <= (2 if case.tolerance else 0)


def test_the_documentation_has_exactly_this_table() -> None:
    text = ROBUSTNESS.read_text()
    shown = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    assert shown == table(), "docs/robustness.md: paste what `python -m tests.model.image_cases` prints"
