import asyncio

import pytest

from benchmarks.access_control import measure


def test_the_cost_is_what_the_service_adds() -> None:
    figures = asyncio.run(measure(num_requests=5))
    assert figures["without_ms"] > 0
    assert figures["cost_ms"] == pytest.approx(figures["with_ms"] - figures["without_ms"])
