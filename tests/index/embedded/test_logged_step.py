import logging
from contextlib import nullcontext

import pytest

from index.embedded.logged_step import logged_step


@pytest.mark.parametrize("error", [None, KeyError("broken")])
def test_the_beginning_and_the_end_of_a_step_are_logged(
    caplog: pytest.LogCaptureFixture, error: Exception | None
) -> None:
    with caplog.at_level(logging.DEBUG):
        with nullcontext() if error is None else pytest.raises(KeyError), logged_step("compaction"):
            assert caplog.messages == ["compaction begins"]
            if error is not None:
                raise error
        assert caplog.messages == ["compaction begins", "compaction ends"]
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}
