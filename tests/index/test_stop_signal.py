import signal

import pytest

from index.stop_signal import stop_signal


@pytest.mark.parametrize("wish", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_a_wish_and_the_handlers_come_back(wish: signal.Signals) -> None:
    before = signal.getsignal(wish)
    with stop_signal() as asked:
        assert not asked()
        signal.raise_signal(wish)
        assert asked()
    assert signal.getsignal(wish) is before


def test_a_terminal_that_is_closed_stops_nothing_under_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signal() as asked:
            signal.raise_signal(signal.SIGHUP)
            assert not asked()
    finally:
        signal.signal(signal.SIGHUP, before)
