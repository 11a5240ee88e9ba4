import hashlib
import re
from datetime import UTC, datetime, timedelta

import pytest

from service.access.key import Key, Secret, hide_secrets, is_key
from service.access.scope import Scope

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def stored(secret: Secret, expires_at: datetime | None = None, revoked_at: datetime | None = None) -> Key:
    return Key(secret.id, "n", Scope.READ, secret.digest, None, NOW - timedelta(1), expires_at, revoked_at)


def test_a_key_has_256_random_bits_and_only_their_digest_is_kept() -> None:
    made = [Secret.make() for _ in range(100)]
    assert len({secret.secret for secret in made}) == len({secret.id for secret in made}) == 100
    for secret in made:
        assert re.fullmatch("sanet_[0-9a-f]{12}_[0-9a-f]{64}", str(secret))
        assert Secret.read(str(secret)) == secret
        assert secret.digest == hashlib.sha256(secret.secret.encode()).digest()
        assert secret.secret not in repr(stored(secret))


@pytest.mark.parametrize(
    "text", ["", "sanet_", "x" * 83, "sanet_{}_{}\n", "SANET_{}_{}", " sanet_{}_{}", "sanet_{}_{}0"]
)
def test_what_is_no_key_is_none(text: str) -> None:
    assert Secret.read(text.format("0" * 12, "0" * 64)) is None


def test_only_the_secret_of_a_valid_key_is_that_key() -> None:
    secret, other = Secret.make(), Secret.make()
    assert is_key(stored(secret), secret, NOW)
    assert not is_key(stored(secret), Secret(secret.id, other.secret), NOW)
    assert not is_key(None, secret, NOW)
    assert not is_key(None, Secret(secret.id, ""), NOW)
    assert not is_key(stored(secret, revoked_at=NOW), secret, NOW)
    assert not is_key(stored(secret, expires_at=NOW), secret, NOW)
    assert is_key(stored(secret, expires_at=NOW + timedelta(microseconds=1)), secret, NOW)


def test_it_is_compared_in_constant_time_also_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr("service.access.key.hmac.compare_digest", compare)
    secret = Secret.make()
    for key in (None, stored(secret), stored(secret, revoked_at=NOW), stored(Secret.make())):
        is_key(key, secret, NOW)
    assert compared == [(32, 32)] * 4


def test_logs_keep_the_id_alone() -> None:
    secret = Secret.make()
    assert hide_secrets(f"GET /x?k={secret}&y {secret}") == f"GET /x?k=sanet_{secret.id}_***&y sanet_{secret.id}_***"
    assert hide_secrets(f"{secret}"[:-5]) == f"sanet_{secret.id}_***"
    encoded = str(secret).replace("_", "%5f")
    assert hide_secrets(f"GET /x?k={encoded}") == f"GET /x?k=sanet_{secret.id}_***"
    assert hide_secrets("a sanet_trained model") == "a sanet_trained model"
