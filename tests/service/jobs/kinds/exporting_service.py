"""What the tests of backups, exports and verifications share: a service with an export root and a few vehicles."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.settings import Settings
from tests.service.conftest import enrol, serve

NUM_RECORDS = 6


def with_exports(settings: Settings, tmp_path: Path) -> Settings:
    """The settings with an export root, ``exports``, which is there."""
    exports = tmp_path / "exports"
    exports.mkdir(exist_ok=True)
    return settings.model_copy(update={"export_root": exports})


@contextmanager
def serving_vehicles(settings: Settings) -> Iterator[TestClient]:
    """A client of a service that has `NUM_RECORDS` vehicles."""
    with serve(settings) as client:
        enrol(client, *range(NUM_RECORDS))
        yield client


def without_finish(patch: pytest.MonkeyPatch) -> None:
    """The process seems to end just before it stores that a job is done."""
    patch.setattr("service.jobs.job_store.JobStore.finish", lambda *_, **__: None)


def damage_image(data_dir: Path, number: int) -> str:
    """Overwrites one of the image files, by its place among the sorted; its content."""
    path = sorted(path for path in (data_dir / "images").rglob("*") if path.is_file())[number]
    path.write_bytes(b"damaged")
    return path.name
