import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = (ROOT / "docs" / "security.md").read_text()


@pytest.mark.parametrize("reference", sorted(set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", DOCUMENT))))
def test_what_is_said_to_be_tested_is(reference: str) -> None:
    path, _, name = reference.partition("::")
    assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE)


def test_every_row_names_its_test() -> None:
    table = DOCUMENT.partition("## Attacks that were tried")[2].partition("## Open")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 30
    assert all("`tests/" in row for row in rows)
