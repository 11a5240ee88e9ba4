import json
import sys
from pathlib import Path
from typing import Any

import pytest

from service.access.key import Secret
from service.access.key_store import read_keys
from service.audit.audit_store import DATABASE, AuditStore, Search
from service.keys import main


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def command(*arguments: str, data_dir: bool = True) -> tuple[int, str, str]:
        where = ["--data-dir", str(tmp_path / "data")] if data_dir else []
        monkeypatch.setattr(sys, "argv", ["service.keys", *arguments, *where])
        try:
            code = main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def test_a_key_is_made_shown_once_listed_rotated_and_ended(
    run: Any, tmp_path: Path, database: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANET_DATABASE", database or "")
    code, shown, said = run("create", "--name", "Zoë", "--scope", "enrol", "--rate", "600/minute")
    assert (code, "only time" in said) == (0, True)
    secret = Secret.read(shown.strip())
    assert secret is not None
    key = read_keys(tmp_path / "data", database)[secret.id]
    assert (key.name, key.scope.label, key.rate, key.digest) == ("Zoë", "enrol", "600/minute", secret.digest)
    _, listed, _ = run("list")
    assert listed == f"{secret.id}  valid   enrol   Zoë  rate 600/minute\n"
    code, rotated, _ = run("rotate", "Zoë", "--json")
    assert json.loads(rotated)["key"].startswith(f"sanet_{secret.id}_")
    assert json.loads(rotated)["key"] != str(secret)
    assert run("revoke", secret.id)[0] == 0
    (described,) = json.loads(run("list", "--json")[1])["keys"]
    assert (described["state"], described["name"], "key" in described) == ("revoked", "Zoë", False)
    assert (tmp_path / "data").exists() == (database is None)
    log = AuditStore(tmp_path / "data" / DATABASE, database)
    entries = list(log.all(Search()))
    log.close()
    assert [(entry.action, entry.caller, entry.facts["id"]) for entry in entries] == [
        ("key.create", "command", secret.id),
        ("key.rotate", "command", secret.id),
        ("key.revoke", "command", secret.id),
    ]
    assert secret.secret not in json.dumps([entry.to_dict() for entry in entries])


def test_the_folder_is_that_of_the_service(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANET_DATA_DIR", str(tmp_path / "named"))
    assert run("create", "--name", "n", "--scope", "read", data_dir=False)[0] == 0
    assert len(read_keys(tmp_path / "named")) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "required"),
        (("create", "--name", "n"), 2, "--scope"),
        (("create", "--name", "n", "--scope", "root"), 2, "invalid choice: 'root'"),
        (("create", "--name", " ", "--scope", "read"), 2, "argument --name"),
        (("create", "--name", "a\nb", "--scope", "read"), 2, "argument --name"),
        (("create", "--name", "n" * 101, "--scope", "read"), 2, "argument --name"),
        (("create", "--name", "n", "--scope", "read", "--expires", "2020-01-01T00:00:00Z"), 2, "a time to come"),
        (("create", "--name", "n", "--scope", "read", "--expires", "tomorrow"), 2, "argument --expires"),
        (("create", "--name", "n", "--scope", "read", "--rate", "many"), 2, "600/minute"),
        (("create", "--name", "n", "--scope", "read", "--rate", "0/minute"), 2, "600/minute"),
        (("revoke", "nobody"), 1, "there is no key 'nobody'"),
        (("rotate", "nobody"), 1, "there is no key 'nobody'"),
    ],
)
def test_what_cannot_be_done_says_why(run: Any, arguments: tuple[str, ...], code: int, said: str) -> None:
    ended, _, error = run(*arguments, data_dir=bool(arguments))
    assert (ended, said in error) == (code, True), error
    assert error.count("\n") == 1


def test_a_damaged_file_is_one_line(run: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "access.sqlite").write_bytes(b"x" * 5000)
    code, _, error = run("list")
    assert (code, error.count("\n")) == (1, 1)
    assert error.startswith("service.keys: the keys in ")


@pytest.mark.parametrize("command", ["create", "rotate", "revoke"])
def test_a_change_that_is_not_in_the_audit_log_is_said_and_its_secret_shown(
    run: Any, tmp_path: Path, command: str
) -> None:
    made = ("create", "--name", "n", "--scope", "read")
    if command != "create":
        run(*made)
    for path in (tmp_path / "data").glob(f"{DATABASE}*"):
        path.unlink()
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data" / DATABASE).write_bytes(b"no database at all" * 100)
    code, shown, said = run(*(made if command == "create" else (command, "n")))
    assert (code, f"key.{command} was done" in said) == (1, True)
    (key,) = read_keys(tmp_path / "data").values()
    if command == "revoke":
        assert key.revoked_at is not None
        return
    secret = Secret.read(shown.strip())
    assert secret is not None
    assert key.digest == secret.digest
