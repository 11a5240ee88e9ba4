"""What a service's process holds: its memory and its open files and connections."""

from pathlib import Path
from typing import NamedTuple

from benchmarks.live_service import LiveService


class ProcessSize(NamedTuple):
    """Of one process at one moment."""

    process_id: int
    memory_mb: float
    num_files: int


def size_of(service: LiveService) -> ProcessSize:
    """Of the service's process now; it must run."""
    assert service._process is not None
    process_id = service._process.pid
    return ProcessSize(process_id, service.resident_mb, len(list(Path(f"/proc/{process_id}/fd").iterdir())))
