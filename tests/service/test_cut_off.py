import asyncio
import json

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.cut_off import CutOff

SCOPE: Scope = {"type": "http", "method": "POST", "path": "/gallery", "headers": []}


async def never() -> Message:
    raise AssertionError("nothing is read")


async def cancelled(*, begun: bool) -> list[Message]:
    """What a client is sent whose request is cancelled, as uvicorn does it when the service ends."""
    sent: list[Message] = []
    waits = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        waits.set()
        await asyncio.sleep(60)

    async def send(message: Message) -> None:
        sent.append(message)

    task = asyncio.create_task(CutOff(app)(SCOPE, never, send))
    await waits.wait()
    task.cancel()
    await task
    return sent


def test_a_request_that_is_cut_off_is_told_so() -> None:
    start, body = asyncio.run(cancelled(begun=False))
    assert start["status"] == 503
    assert (b"retry-after", b"10") in start["headers"]
    problem = json.loads(body["body"])
    assert (problem["type"], problem["status"]) == ("urn:sanet:problem:shutting-down", 503)
    assert "send it again" in problem["detail"]


def test_an_answer_that_has_begun_is_broken_off() -> None:
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled(begun=True))
