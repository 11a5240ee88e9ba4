import hashlib
import sys
from pathlib import Path

import pytest

from index.datasets.manifest import Entry, read_manifest, write_manifest
from index.datasets.protocol import Protocol
from training.datasets import __main__ as command
from training.datasets.halves import half_of


@pytest.mark.parametrize("identity", ["dji-048", "mos-001", "1", "Zo\u00eb", "a b"])
def test_the_half_is_the_first_bit_of_a_hash_of_the_name(identity: str) -> None:
    bits = f"{int(hashlib.sha256(b'real-half:' + identity.encode()).hexdigest(), 16):0256b}"
    assert half_of(identity) == {"0": "development", "1": "final"}[bits[0]]


def test_the_halves_are_about_halves() -> None:
    names = [f"vehicle {number}" for number in range(1000)]
    assert 450 < sum(half_of(name) == "final" for name in names) < 550


def test_convert_writes_a_half_and_the_other_has_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [Entry(f"{i}.png", f"vehicle {i}" if i else "", role="gallery") for i in range(20)]
    write_manifest(tmp_path / "all.csv", entries, Protocol("frames"))
    found = {}
    for half in ("development", "final"):
        out = tmp_path / "halves" / f"{half}.csv"
        out.parent.mkdir(exist_ok=True)
        flags = ["convert", "--data", str(tmp_path / "all.csv"), "--half", half, "--out", str(out)]
        monkeypatch.setattr(sys, "argv", ["training.datasets", *flags])
        assert command.main() == 0
        found[half] = {entry.identity: entry.path for entry in read_manifest(out).entries}
        assert all(half_of(identity) == half for identity in found[half])
    assert found["development"] | found["final"] == {f"vehicle {i}": f"../{i}.png" for i in range(1, 20)}
    assert all(found.values())


@pytest.mark.parametrize("identity", ["vehicle 1", ""])
def test_a_half_without_identities_is_refused_and_nothing_is_written(
    identity: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_manifest(tmp_path / "all.csv", [Entry("1.png", identity, role="gallery")], Protocol("frames"))
    empty = "final" if half_of(identity) == "development" or not identity else "development"
    out = tmp_path / "half.csv"
    flags = ["convert", "--data", str(tmp_path / "all.csv"), "--half", empty, "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["training.datasets", *flags])
    assert command.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        line == f"training.datasets: no identity of {tmp_path / 'all.csv'} lies in the half {empty}: nothing is written"
    )
    assert [path.name for path in tmp_path.iterdir() if path.stem == "half"] == []
