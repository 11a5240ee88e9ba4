"""Many cases, each made of its number alone: each is answered, with an answer that is allowed, and nothing grows."""

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import httpx2

from benchmarks.live_service import LiveService
from tests.conftest import png
from tests.service.process_size import size_of

MOST_GROWTH_MB: Final = 60
MOST_GROWTH_FILES: Final = 20


class FuzzedService:
    """A service in a process of its own.

    Attributes:
        client: an HTTP client of it.
        headers: those of a request with the one key, which may do everything.
    """

    def __init__(self, live: LiveService, headers: dict[str, str]) -> None:
        self.client, self.headers = live.client, headers
        self._live = live

    def post(self, path: str, content: bytes | Iterator[bytes], content_type: str) -> httpx2.Response:
        """Posts a body with the key; an answer that does not come within five minutes is an error."""
        headers = {**self.headers, "Content-Type": content_type}
        return self.client.post(path, content=content, headers=headers, timeout=300)

    def assert_serving(self) -> None:
        """A query is answered."""
        answer = self.client.post("/query", files={"image": png(1)}, headers=self.headers)
        assert answer.status_code == 200, answer.text

    @contextmanager
    def not_growing(self) -> Iterator[None]:
        """What happens in the block leaves no memory and no files behind; before it all that is made once was made."""
        before = size_of(self._live)
        yield
        self.assert_serving()
        after = size_of(self._live)
        sys.stdout.write(f"{before} -> {after}\n")
        assert after.process_id == before.process_id
        assert after.memory_mb - before.memory_mb < MOST_GROWTH_MB
        assert after.num_files - before.num_files < MOST_GROWTH_FILES


def run_campaign(
    service: FuzzedService, ask: Callable[[FuzzedService, random.Random], httpx2.Response], num_cases: int
) -> Counter[int]:
    """Asks so many times, and how often each status came; a tenth comes before memory is looked at.

    Raises:
        AssertionError: an answer is of 500 or more, or no JSON; with the number of the case.
    """
    num: Counter[int] = Counter()

    def ask_each(cases: range) -> None:
        for case in cases:
            try:
                answer = ask(service, random.Random(case))
                assert answer.status_code < 500, answer.text[:2000]
                assert isinstance(answer.json(), dict)
            except Exception as error:
                raise AssertionError(f"case {case}: {error!r}") from error
            num[answer.status_code] += 1

    began = time.monotonic()
    ask_each(range(num_cases // 10))
    with service.not_growing():
        ask_each(range(num_cases // 10, num_cases))
    sys.stdout.write(f"{num_cases} cases in {time.monotonic() - began:.0f} s: {dict(num)}\n")
    return num
