"""A real service that asks for keys, which all fuzzing goes to, and what of it must not grow."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.live_service import LiveService
from service.access.scope import Scope
from tests.service.access.conftest import bearer, make_key
from tests.service.fuzz.campaign import FuzzedService


@pytest.fixture(scope="package")
def service(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FuzzedService]:
    folder = tmp_path_factory.mktemp("fuzz")
    roots = {"import_root": folder / "imports", "export_root": folder / "exports"}
    for root in roots.values():
        root.mkdir()
    _, key = make_key(folder / "data", "fuzz", Scope.ADMIN)
    settings = {name: str(root) for name, root in roots.items()}
    with LiveService(small_checkpoint, folder / "data", device="cpu", **settings) as live:
        yield FuzzedService(live, bearer(key))
