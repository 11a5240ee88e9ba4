"""A client that gives the service jobs, one after the other: each ends, and says nothing that is not so."""

import csv
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final, Self

import httpx2

from tests.conftest import png
from tests.service.soak.faults import MAY_BE_ANSWERED, Faults

CAMERA: Final = "jobs"
NUM_IMAGES: Final = 40
_FIRST_SEED: Final = 500_000


def write_import(root: Path) -> None:
    """A manifest of pictures that no other client has."""
    root.mkdir()
    lines = ["path,identity,camera"]
    for number in range(NUM_IMAGES):
        (root / f"{number}.png").write_bytes(png(_FIRST_SEED + number, 24, 16))
        lines.append(f"{number}.png,,{CAMERA}")
    (root / "frames.csv").write_text("\n".join(lines) + "\n")


class JobClient:
    """Imports, groups, verifies, deletes what it imported, and begins again.

    Attributes:
        num: how many jobs of each kind ended in each state.
    """

    def __init__(self, base_url: str, faults: Faults) -> None:
        self.num: Counter[str] = Counter()
        self._faults = faults
        self._http = httpx2.Client(base_url=base_url, timeout=300, limits=httpx2.Limits(keepalive_expiry=2))

    def step(self) -> None:
        """One round."""
        if self._run("import", {"path": "frames.csv"}) is not None:
            assert self._ask("GET", f"/gallery?camera={CAMERA}").json()["total"] == NUM_IMAGES
            self._group()
        verify = self._run("verify", {})
        if verify is not None:
            assert verify["report"]["sound"], self._ask("GET", verify["rejections_url"]).json()
        while (total := self._ask("GET", f"/gallery?camera={CAMERA}").json()["total"]) > 0:
            # Where the answer was lost, it is another number now.
            self._ask("DELETE", f"/gallery?camera={CAMERA}&expected={total}", also=(409,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def _group(self) -> None:
        group = self._run("group", {"records": {"camera": [CAMERA]}, "max_distance": 5})
        if group is not None:
            groups = csv.DictReader(self._ask("GET", group["report"]["files"][0]["url"]).text.splitlines())
            assert {line["camera"] for line in groups} <= {CAMERA}

    def _run(self, kind: str, parameters: dict[str, Any]) -> Any:
        """The job of this kind once it is done; None if a fault made it fail."""
        began = time.monotonic()
        job = self._ask("POST", "/jobs", json={"kind": kind, **parameters}).json()
        while job["state"] in ("queued", "running"):
            time.sleep(0.05)
            job = self._ask("GET", job["url"]).json()
        self.num[f"{kind} {job['state']}"] += 1
        if job["state"] == "done":
            return job
        assert job["state"] == "failed", job
        assert self._faults.held_since(began), job
        return None

    def _ask(self, method: str, path: str, also: tuple[int, ...] = (), **request: Any) -> httpx2.Response:
        """The answer, asked for again as long as a fault holds; also one of these statuses is an answer."""
        while True:
            began = time.monotonic()
            try:
                answer = self._http.request(method, path, **request)
            except httpx2.TransportError as error:
                # It asks a few times a second, so that its connections are no older than the last answers.
                if "kill" not in self._faults.held_since(began - 10):
                    raise AssertionError(f"{method} {path} had no answer, and nothing was killed") from error
            else:
                if answer.status_code < 300 or answer.status_code in also:
                    return answer
                allowed = {429}.union(*(MAY_BE_ANSWERED[fault] for fault in self._faults.held_since(began)))
                assert answer.status_code in allowed, f"{method} {path}: {answer.status_code} {answer.text[:2000]}"
            time.sleep(0.1)
