"""All that one scrape reads of a service, loading or not."""

import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import torch
from prometheus_client import CollectorRegistry
from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from service.engine import Engine
from service.instruments.disk_usage import DiskUsage
from service.instruments.engine_series import engine_series
from service.instruments.evaluation_series import evaluation_series
from service.instruments.families import gauge, gauges
from service.instruments.instruments import Instruments
from service.instruments.job_series import job_series


class Scrape(Collector):
    """Reads what a service counts and has.

    Args:
        instruments: of the service.
        disk_usage: of its data folder.
        engine: that serves; None while there is none, and then its series are absent.
        is_stopping: whether the service is being stopped.
    """

    def __init__(
        self, instruments: Instruments, disk_usage: DiskUsage, engine: Engine | None, *, is_stopping: bool
    ) -> None:
        self._instruments, self._disk_usage, self._engine = instruments, disk_usage, engine
        self._is_stopping = is_stopping

    @property
    def registry(self) -> CollectorRegistry:
        """A registry of this scrape alone: what there is depends on what serves now."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return registry

    def collect(self) -> Iterator[Metric]:
        """The service itself, what it has counted, its disk, and what serves."""
        engine = self._engine
        is_ready = engine is not None and engine.worker.device_failing is None and not self._is_stopping
        yield gauge("sanet_ready", "1 if GET /readyz says so, else 0", is_ready)
        versions = {"version": metadata.version("sanet-retrieval"), "torch": str(torch.__version__)}
        yield InfoMetricFamily("sanet_build", "The program that runs", versions)
        yield from self._instruments.registry.collect()
        yield from _disk(self._disk_usage)
        if engine is not None:
            yield from engine_series(engine)
            yield from job_series(engine.jobs)
            yield from evaluation_series(engine)


def _disk(usage: DiskUsage) -> Iterator[Metric]:
    yield from _file_system(usage.data_dir)
    if (measured := usage.latest) is not None:
        yield gauges(
            "sanet_data_bytes", "Files of the data folder, as they were measured last", "part", measured.num_bytes
        )
        yield gauge("sanet_data_measured_timestamp_seconds", "When the data folder was measured", measured.ended_at)


def _file_system(data_dir: Path) -> Iterator[Metric]:
    try:
        total, _, free = shutil.disk_usage(data_dir)
    except OSError:  # the folder is not there yet, or its disk is gone
        return
    yield gauge("sanet_disk_bytes", "The file system of the data folder", total)
    yield gauge("sanet_disk_free_bytes", "What is free of it", free)
