"""Drawn vehicles of the demo in the gallery of a service, enrolled over HTTP."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.live_service import LiveService


def drawn_vehicles(demo: Path, image: int = 0) -> list[Path]:
    """One picture of each vehicle, by its identity: the gallery image, or its first or second query."""
    return [sorted(folder.iterdir())[image] for folder in sorted((demo / "images").iterdir())]


def enrol(service: LiveService, paths: Sequence[Path], fields: Sequence[dict[str, Any]]) -> list[str]:
    """The ids of the records, one per picture; `fields` has one object for each. Files are named by their folder."""
    files = [("images", (f"{path.parent.name}-{path.name}", path.read_bytes(), "image/jpeg")) for path in paths]
    answer = service.client.post("/gallery", files=files, data={"metadata": json.dumps(list(fields))})
    assert answer.status_code == 201, answer.text
    results = answer.json()["results"]
    assert [result["status"] for result in results] == ["enrolled"] * len(paths)
    return [result["id"] for result in results]
