import asyncio
import subprocess
import sys
import threading

import pytest

from service.pools import BusyError, Pool, Pools


class Held:
    """Work that waits until it is let go; counts its calls."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.num_calls = 0

    def __call__(self, value: int) -> int:
        self.num_calls += 1
        self.let_go.wait(10)
        return value


async def test_what_the_limit_leaves_no_room_for_is_refused_and_what_was_taken_is_done() -> None:
    held, pool = Held(), Pool("draw", 2, limit=5)
    under_way = [asyncio.create_task(pool.run(held, value)) for value in range(5)]
    await asyncio.sleep(0)
    for _ in range(3):
        with pytest.raises(BusyError, match="5 requests to draw are under way") as busy:
            await pool.run(held, 9)
        assert 1 <= busy.value.retry_after_s <= 60
    held.let_go.set()
    assert await asyncio.gather(*under_way) == [0, 1, 2, 3, 4]
    assert await pool.run(held, 6) == 6
    pool.shutdown()


async def test_the_time_until_there_is_room_follows_from_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    held, pool = Held(), Pool("draw", 2, limit=6)
    pool._seconds_per_call = 4
    under_way = [asyncio.create_task(pool.run(held, value)) for value in range(6)]
    await asyncio.sleep(0)
    with pytest.raises(BusyError) as busy:
        await pool.run(held, 9)
    assert busy.value.retry_after_s == 6 * 4 / 2
    held.let_go.set()
    await asyncio.gather(*under_way)
    pool.shutdown()


async def test_what_waits_for_a_caller_that_left_is_dropped() -> None:
    held, pool = Held(), Pool("write", 1, limit=3)
    under_way = [asyncio.create_task(pool.run(held, value)) for value in range(3)]
    while held.num_calls == 0:
        await asyncio.sleep(0.001)
    for task in under_way[1:]:
        task.cancel()
    await asyncio.gather(*under_way[1:], return_exceptions=True)
    again = [asyncio.create_task(pool.run(held, value)) for value in (7, 8)]  # their room is free
    held.let_go.set()
    assert await asyncio.gather(under_way[0], *again) == [0, 7, 8]
    assert held.num_calls == 3
    pool.shutdown()


async def test_an_error_comes_through_and_gives_its_room_back() -> None:
    pool = Pool("read", 1, limit=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await pool.run(divmod, 1, 0)
    pool.shutdown()


async def test_without_a_limit_all_is_taken() -> None:
    pool = Pool("search", 2)
    tasks = [asyncio.create_task(pool.run(abs, -value)) for value in range(3000)]
    assert await asyncio.gather(*tasks) == list(range(3000))
    pool.shutdown()


async def test_no_kind_of_work_waits_behind_another() -> None:
    pools = Pools()
    held = {name: Held() for name in ("decode_query", "decode_enrol", "search", "read", "write", "draw")}
    waiting = []
    for name, work in held.items():
        pool = getattr(pools, name)
        waiting += [asyncio.create_task(pool.run(work, value)) for value in range(100)]
        while not work.num_calls:
            await asyncio.sleep(0.001)
    # Each kind has begun although a hundred pieces of every other wait.
    for work in held.values():
        work.let_go.set()
    await asyncio.gather(*waiting)
    pools.close()


async def test_closing_drops_what_waits() -> None:
    pools, held = Pools(), Held()
    tasks = [asyncio.create_task(pools.write.run(held, value)) for value in range(10)]
    while not held.num_calls:
        await asyncio.sleep(0.001)
    threading.Timer(0.05, held.let_go.set).start()
    await asyncio.to_thread(pools.close)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[0] == 0
    assert all(isinstance(result, asyncio.CancelledError) for result in results[1:])
    assert held.num_calls == 1


def test_a_process_that_is_bound_to_one_core_computes_in_one_thread() -> None:
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from service.pools import Pools; pools = Pools()\n"
        "print([pool._max_workers for pool in (pools.decode_query, pools.decode_enrol, pools.draw)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[1, 1, 1]\n"
