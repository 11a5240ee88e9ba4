import time
from pathlib import Path

import pytest

from service.access.rate_limit import RateLimiter
from service.settings import Settings
from tests.conftest import png
from tests.service.access.conftest import bearer, make_key
from tests.service.conftest import serve


def test_as_many_as_the_rate_says_and_each_for_itself() -> None:
    limiter = RateLimiter()
    for n in range(7):
        is_within, quota = limiter.hit("a", "5/hour")
        assert is_within == (n < 5)
        assert quota.remaining == max(0, 4 - n)
        assert (quota.window_s, 1 <= quota.reset_s <= 3600) == (3600, True)
    assert limiter.hit("b", "5/hour")[0]
    assert quota.headers["RateLimit-Policy"] == '"requests";q=5;w=3600'
    assert quota.headers["RateLimit"] == f'"requests";r=0;t={quota.reset_s}'


def test_it_passes_by_itself() -> None:
    limiter = RateLimiter()
    assert limiter.hit("a", "1/second")[0]
    assert not limiter.hit("a", "1/second")[0]
    time.sleep(2.1)
    assert limiter.hit("a", "1/second")[0]


@pytest.fixture
def settings(small_checkpoint: Path, tmp_path: Path) -> Settings:
    return Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu", rate_limit="3/hour")


def test_each_key_has_a_rate(settings: Settings) -> None:
    _, one = make_key(settings.data_dir, "one")
    _, two = make_key(settings.data_dir, "two")
    _, own = make_key(settings.data_dir, "own", rate="1/day")
    with serve(settings) as client:
        for key, allowed in ((one, 3), (two, 3), (own, 1)):
            for n in range(allowed):
                answer = client.get("/gallery", headers=bearer(key))
                assert (answer.status_code, f"r={allowed - 1 - n};" in answer.headers["RateLimit"]) == (200, True)
            for call in (client.get, client.delete):
                refused = call("/gallery", headers=bearer(key))
                assert (refused.status_code, refused.json()["type"]) == (429, "urn:sanet:problem:too-many-requests")
                assert 1 <= int(refused.headers["Retry-After"]) <= 86_400
                assert f"q={allowed};" in refused.headers["RateLimit-Policy"]
        assert client.get("/gallery").status_code == 401  # who has no key uses up nobody's rate
        assert client.get("/readyz").status_code == 200


def test_without_keys_each_address_has_one(settings: Settings) -> None:
    with serve(settings) as client:
        statuses = [client.post("/query", files={"image": png(1)}).status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        assert client.get("/healthz").status_code == 200


def test_addresses_are_those_that_trusted_proxies_name(settings: Settings) -> None:
    def status(address: str) -> int:
        headers = {"X-Forwarded-For": f"1.1.1.1, {address}"}
        return client.get("/gallery", headers=headers).status_code

    with serve(settings) as client:  # whose address is no proxy's: what it says is not believed
        assert [status(f"10.0.0.{n}") for n in range(4)] == [200, 200, 200, 429]
    with serve(settings.model_copy(update={"trusted_proxies": ("testclient",)})) as client:
        assert [status("10.0.0.1") for _ in range(4)] == [200, 200, 200, 429]
        assert status("10.0.0.2") == 200
        assert client.get("/audit", headers={"X-Forwarded-For": "10.0.0.3"}).status_code == 200


def test_none_is_set_by_default(small_checkpoint: Path, tmp_path: Path) -> None:
    with serve(Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu")) as client:
        assert "RateLimit" not in client.get("/gallery").headers
