"""Clients for a process of their own: each sends as fast as it is answered, or all at a rate of their own."""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import uvloop

from benchmarks.service.connection import Answer, Connection
from benchmarks.service.crops import crop
from benchmarks.service.requests import post_files

_NO_END: Final = 1_000_000_000


class Load(NamedTuple):
    """What clients asked and were answered.

    Attributes:
        answers: in the order in which they came.
        cpu_s: what the clients themselves computed for.
        wall_s: how long all took.
    """

    answers: list[Answer]
    cpu_s: float
    wall_s: float


def ask_in_turns(
    address: tuple[str, int], requests: Sequence[bytes], num_clients: int, seconds: float, most: int = _NO_END
) -> Load:
    """Each client sends the next of `requests`, round and round, as soon as the last one is answered."""
    return uvloop.run(_ask_in_turns(address, itertools.cycle(requests), num_clients, seconds, most))


def enrol_in_turns(address: tuple[str, int], first: int, files_each: int, num_clients: int, seconds: float) -> Load:
    """Enrols crops, numbered from `first` on, so many in each request."""
    return uvloop.run(_ask_in_turns(address, _enrolments(first, files_each), num_clients, seconds, _NO_END))


def enrol_at_rate(address: tuple[str, int], first: int, num_at_once: int, rate: float, seconds: float) -> Load:
    """Enrols crops one by one: so many at once, and then `rate` each second, whether or not others were answered."""
    return uvloop.run(_ask_at_rate(address, _enrolments(first, 1), num_at_once, rate, seconds))


def _enrolments(first: int, files_each: int) -> Iterator[bytes]:
    for start in itertools.count(first, files_each):
        yield post_files("/gallery", "images", [crop(number) for number in range(start, start + files_each)])


async def _ask_in_turns(
    address: tuple[str, int], requests: Iterator[bytes], num_clients: int, seconds: float, most: int
) -> Load:
    answers: list[Answer] = []
    left = most

    async def ask() -> None:
        nonlocal left
        async with Connection(*address) as connection:
            while left > 0 and time.perf_counter() < end:
                left -= 1
                answers.append(await connection.ask(next(requests)))

    start, cpu = time.perf_counter(), time.process_time()
    end = start + seconds
    await asyncio.gather(*(ask() for _ in range(num_clients)))
    return Load(answers, time.process_time() - cpu, time.perf_counter() - start)


async def _ask_at_rate(
    address: tuple[str, int], requests: Iterator[bytes], num_at_once: int, rate: float, seconds: float
) -> Load:
    answers: list[Answer] = []
    idle: list[Connection] = []

    async def ask(request: bytes) -> None:
        # The one that was used last: the service closes those that are silent for long.
        connection = idle.pop() if idle else Connection(*address)
        answers.append(await connection.ask(request))
        idle.append(connection)

    start, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for number in range(num_at_once + round(rate * seconds)):
            due = start + max(0, number - num_at_once) / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(ask(next(requests)))
    for connection in idle:
        async with connection:
            pass
    return Load(answers, time.process_time() - cpu, time.perf_counter() - start)
