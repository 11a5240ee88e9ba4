import pytest

from index.postgres.database_url import database_url, secrets_of


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://a:b@c/d",
        "postgres://a:b@c/d",
        "postgresql+psycopg://a:b@c/d",
    ],
)
def test_an_address_is_one_of_this_driver(text: str) -> None:
    url = database_url(text)
    assert (url.drivername, url.username, url.password, url.host, url.database) == (
        "postgresql+psycopg", "a", "b", "c", "d",
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s3cret",
        "mysql://a:s3cret@c/d",
        "sqlite:///s3cret",
        "postgresql+asyncpg://a:s3cret@c",
        "postgresql://a:b@c:s3cret/d",
    ],
)
def test_another_address_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="an address such as postgresql") as raised:
        database_url(text)
    assert "s3cret" not in str(raised.value)


def test_its_secrets_are_its_passwords() -> None:
    url = database_url("postgresql://user:one%20word@host/name?sslpassword=two&sslmode=require&passfile=/a")
    assert secrets_of(url) == ["one word", "two"]
    assert secrets_of(database_url("postgresql://user@host/name")) == []
