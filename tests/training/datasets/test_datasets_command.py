import json
import sys
from pathlib import Path
from typing import Any

import pytest

from index.datasets.manifest import Entry, read_manifest, write_manifest
from index.datasets.protocol import Protocol
from tests.training.datasets import layouts
from training.datasets.__main__ import main


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["training.datasets", *map(str, arguments)])
    return main()


def described(capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, str], dict[str, Any]]:
    rows = json.loads(capsys.readouterr().out)["rows"]
    return {(row["split"], row["role"]): row for row in rows}


def test_describe_counts_beside_what_was_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layouts.veri776(tmp_path)
    assert command(monkeypatch, "describe", "--data", tmp_path, "--json") == 0
    assert described(capsys)["test", "gallery"] == {
        "split": "test",
        "role": "gallery",
        "num_images": 2,
        "num_identities": 1,
        "num_cameras": 2,
        "published_images": 11_579,
        "published_identities": 200,
    }
    assert command(monkeypatch, "describe", "--data", tmp_path, "--check") == 1
    assert "2 [11,579]" in capsys.readouterr().out


def test_a_role_of_none_is_the_whole_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layouts.vehicleid(tmp_path)
    command(monkeypatch, "describe", "--data", tmp_path, "--json")
    row = described(capsys)["test_1600", ""]
    assert (row["num_images"], row["num_identities"], row["published_images"]) == (9, 3, 12_995)


@pytest.mark.parametrize("below", ["", "elsewhere"])
def test_convert_writes_a_manifest_that_reads_the_same(
    below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layouts.vehicleid(tmp_path / "set")
    out = tmp_path / below / "vehicleid.csv"
    assert command(monkeypatch, "convert", "--data", tmp_path / "set", "--out", out, "--seed", 4, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    manifest = read_manifest(out)
    assert result["num_images"] == len(manifest.entries) == 21
    assert all(manifest.path_of(entry).is_file() for entry in manifest.entries)
    assert (manifest.protocol.num_draws, manifest.protocol.info) == (10, {"draw_seed": 4})


def test_the_same_seed_gives_the_same_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layouts.vru(tmp_path / "set")
    hashes = []
    for number, seed in enumerate((0, 0, 1)):
        out = tmp_path / f"{number}.csv"
        command(monkeypatch, "convert", "--data", tmp_path / "set", "--out", out, "--seed", seed, "--json")
        hashes.append(json.loads(capsys.readouterr().out)["sha256"])
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_wrong_folder_is_told_what_was_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "describe", "--data", tmp_path, "--dataset", "veri776") == 1
    assert "expected image_train, image_query, image_test in it" in capsys.readouterr().err


def test_two_data_sets_in_one_folder_are_not_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layouts.veri776(tmp_path)
    layouts.market1501(tmp_path)
    assert command(monkeypatch, "describe", "--data", tmp_path) == 1
    assert "veri776 and market1501" in capsys.readouterr().err


def some_data(folder: Path, identities: str, *, roles: bool = True, protocol: Protocol | None = None) -> Path:
    """A gallery image and a query of each identity, named by a letter, in a split test."""
    folder.mkdir()
    roles_of = ("gallery", "query") if roles else (None, None)
    entries = [
        Entry(path=f"{identity}{number}.jpg", identity=identity, role=role, split="test" if roles else "")  # type: ignore[arg-type]
        for identity in identities
        for number, role in enumerate(roles_of)
    ]
    write_manifest(folder / "manifest.csv", entries, protocol or Protocol(dataset=folder.name))
    return folder


@pytest.mark.parametrize("roles", [True, False])
def test_further_data_only_trains(roles: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = some_data(tmp_path / "first", "ab", roles=roles)
    second, third = some_data(tmp_path / "second", "cd"), some_data(tmp_path / "third", "e")
    out = tmp_path / "both.csv"
    assert command(monkeypatch, "convert", "--data", first, "--train-on", second, third, "--out", out) == 0
    manifest = read_manifest(out)
    assert manifest.protocol.dataset == "first"
    assert [entry.path for entry in manifest.entries[:4]] == [f"first/{name}.jpg" for name in ("a0", "a1", "b0", "b1")]
    assert [entry.path for entry in manifest.entries[4:]] == [
        *(f"second/{name}.jpg" for name in ("c0", "c1", "d0", "d1")),
        *(f"third/{name}.jpg" for name in ("e0", "e1")),
    ]
    assert {(entry.role, entry.split) for entry in manifest.entries[4:]} == {("train" if roles else None, "train")}
    before = {(entry.role, entry.split) for entry in manifest.entries[:4]}
    assert before == ({("gallery", "test"), ("query", "test")} if roles else {(None, "")})


def test_further_data_with_an_identity_that_is_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = some_data(tmp_path / "first", "ab"), some_data(tmp_path / "second", "bc")
    out = tmp_path / "both.csv"
    assert command(monkeypatch, "convert", "--data", first, "--train-on", second, "--out", out) == 1
    assert "has identities that are there already, such as b" in capsys.readouterr().err
    assert not out.exists()


def test_describe_and_convert_name_what_was_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in (("1/a.jpe", b"\xff\xd8\xff\xe0"), ("1/._a.jpg", b"x"), ("2/a.gif", b"GIF89a")):
        (tmp_path / "home" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "home" / name).write_bytes(content)
    left_out = ["files in no format that is read, left out: 1 (2/a.gif)", "folders without an image: 1 (2)"]
    expected = [*left_out, "identities with a single image without a role: 1 (1)"]
    assert command(monkeypatch, "describe", "--data", tmp_path / "home", "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["warnings"] == expected
    assert printed.err.splitlines() == [f"training.datasets: warning: {warning}" for warning in expected]
    assert command(monkeypatch, "convert", "--data", tmp_path / "home", "--out", tmp_path / "home.csv") == 0
    assert capsys.readouterr().err.splitlines() == [f"training.datasets: warning: {warning}" for warning in left_out]
    lines = (tmp_path / "home.csv").read_text().splitlines()
    (tmp_path / "twice.csv").write_text("\n".join([*lines, *lines]))
    assert command(monkeypatch, "describe", "--data", tmp_path / "twice.csv", "--json") == 0
    first, second, *_ = json.loads(capsys.readouterr().out)["warnings"]
    assert first.startswith("lines that repeat the header")
    assert second.startswith("lines that repeat another")


def test_describe_says_what_a_training_makes_of_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = some_data(tmp_path / "data", "abc", roles=False)
    assert command(monkeypatch, "describe", "--data", data) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "training: 6 images of 3 identities; no validation"
    assert command(monkeypatch, "describe", "--data", data, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["training"] == "6 images of 3 identities; no validation"
    assert [(row["role"], row["num_images"]) for row in result["rows"]] == [("none", 6)]


def test_a_wrong_choice_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        command(monkeypatch, "describe", "--data", tmp_path, "--dataset", "nope")
    assert exit_.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m training.datasets describe: error: argument --dataset: invalid choice: 'nope'")
