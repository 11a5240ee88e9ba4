import asyncio

import pytest
from fastapi import Request
from starlette.types import Message

from service.disconnect import ClientGoneError, while_connected


def request(gone: asyncio.Event) -> Request:
    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http"}, receive)


async def work(gone: asyncio.Event, seconds: float) -> None:
    async with while_connected(request(gone)):
        gone.set()
        await asyncio.sleep(seconds)


async def test_a_block_that_finishes_is_left_alone() -> None:
    before = asyncio.all_tasks()
    async with while_connected(request(asyncio.Event())):
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks() - before) == 1
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before  # nobody watches any more


async def test_a_disconnect_cancels_the_block() -> None:
    gone = asyncio.Event()
    with pytest.raises(ClientGoneError):
        await work(gone, seconds=60)
    await asyncio.sleep(0)  # the task itself goes on uncancelled


async def test_a_disconnect_at_the_very_end_does_not_cancel_what_follows() -> None:
    gone = asyncio.Event()
    with pytest.raises(ClientGoneError):
        await work(gone, seconds=0)
    await asyncio.sleep(0.01)


async def test_an_error_in_the_block_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        async with while_connected(request(asyncio.Event())):
            raise ZeroDivisionError


async def test_a_cancellation_from_outside_stays_one() -> None:
    async def wait() -> None:
        async with while_connected(request(asyncio.Event())):
            await asyncio.sleep(60)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
