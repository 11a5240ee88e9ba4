import threading

import pytest

from index.gallery.errors import ReplacedError
from index.gallery.write_lock import ThreadWriteLock


def test_one_at_a_time() -> None:
    lock, order = ThreadWriteLock(), list[str]()

    def write() -> None:
        with lock:
            order.append("second")

    with lock:
        thread = threading.Thread(target=write)
        thread.start()
        thread.join(0.05)
        assert thread.is_alive()
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]


def test_once_it_is_replaced_whoever_waits_is_refused_and_so_is_whoever_comes() -> None:
    lock, errors = ThreadWriteLock(), list[Exception]()

    def write() -> None:
        try:
            with lock:
                pass
        except ReplacedError as error:
            errors.append(error)

    with lock:
        thread = threading.Thread(target=write)
        thread.start()
        lock.set_replaced()
    thread.join(30)
    assert len(errors) == 1
    with pytest.raises(ReplacedError, match="nothing was written; send it again"), lock:
        pass
    with lock.even_if_replaced():
        pass
    with pytest.raises(ReplacedError):  # and it was given back
        lock.acquire()


def test_a_block_that_raises_gives_it_back() -> None:
    lock = ThreadWriteLock()
    for block in (lock, lock.even_if_replaced()):
        with pytest.raises(ZeroDivisionError), block:
            raise ZeroDivisionError
    with lock:
        pass
