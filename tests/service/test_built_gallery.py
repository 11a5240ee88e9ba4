"""A gallery that `index.build` made is the one that the service would have made."""

import json
import sys
from pathlib import Path

import pytest

from index import build
from index.datasets.manifest import Entry, write_manifest
from index.datasets.protocol import Protocol
from model.box import Box
from service.settings import Settings
from tests.conftest import png
from tests.service.conftest import query, serve

BOXES = [Box(0, 0, 50, 40), Box(-5, -3, 40, 30), Box(170, 120, 40, 30)]
"""In an image of 200 x 150; two of them overshoot it."""


def test_its_vehicles_are_found_and_are_duplicates_when_they_come_by_http(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = png(1, 200, 150)
    files = {"2.png": png(2), "3.png": png(3), "frame.png": frame}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    entries = [Entry("2.png", "two", "north", captured_at="2026-05-01T12:00:00+02:00"), Entry("3.png")]
    entries += [Entry("frame.png", f"boxed {i}", box=box) for i, box in enumerate(BOXES)]
    write_manifest(tmp_path / "manifest.csv", entries, Protocol())
    arguments = ["--checkpoint", small_checkpoint, "--data", tmp_path, "--data-dir", tmp_path / "data"]
    monkeypatch.setattr(sys, "argv", ["build", *map(str, arguments), "--device", "cpu", "--quiet"])
    assert build.main() == 0
    capsys.readouterr()
    metadata = [
        {"identity": "two", "camera": "north", "captured_at": "2026-05-01T10:00:00Z"},
        {},
        {"boxes": [{"box": str(box), "identity": f"boxed {i}"} for i, box in enumerate(BOXES)]},
    ]
    with serve(Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu")) as client:
        built = client.get("/gallery").json()["records"]
        match = query(client, 2)["matches"][0]
        assert (match["identity"], match["distance"]) == ("two", pytest.approx(0, abs=1e-3))
        images = [("images", item) for item in files.items()]
        answer = client.post("/gallery", files=images, data={"metadata": json.dumps(metadata)}).json()
        assert (answer["enrolled"], answer["duplicates"], answer["rejected"]) == (0, 5, 0)
        assert [result["id"] for result in answer["results"]] == [record["id"] for record in built]
        assert {result["detail"] for result in answer["results"]} == {"already enrolled"}  # no field differs
        assert [result["box"] for result in answer["results"]] == [record["box"] for record in built]

    with serve(Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "by-http", device="cpu")) as client:
        client.post("/gallery", files=images, data={"metadata": json.dumps(metadata)})
        sent = client.get("/gallery").json()["records"]
    # The service embeds in batches as they come, so that the last digits of theta may be others.
    computed = {"enrolled_at": None, "theta": None, "rotation_deg": None}
    assert [record | computed for record in sent] == [record | computed for record in built]


def test_what_was_enrolled_by_http_is_a_duplicate_for_the_command(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu")) as client:
        client.post("/gallery", files={"images": ("another name.png", png(2))})
    (tmp_path / "2.png").write_bytes(png(2))
    write_manifest(tmp_path / "manifest.csv", [Entry("2.png", "two")], Protocol())
    arguments = ["--checkpoint", small_checkpoint, "--data", tmp_path, "--data-dir", tmp_path / "data"]
    monkeypatch.setattr(sys, "argv", ["build", *map(str, arguments), "--device", "cpu", "--quiet", "--json"])
    assert build.main() == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["enrolled"], result["duplicates"], result["differing"], result["searchable"]) == (0, 1, 1, 1)
