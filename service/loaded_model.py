"""A checkpoint on its device, warm: what the worker embeds with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

import numpy as np

from index.embedded.search.device_scan import DeviceScan
from index.gallery.record import ModelKey
from model.checkpoint import Checkpoint, ModelCard
from model.embedder import Embedder, pick_device
from model.embeddings import EmbeddingError
from model.precision import Precision
from service.device import DeviceError, one_line
from service.instruments.instruments import Instruments
from service.settings import Settings
from service.worker import EmbeddingWorker


@dataclass(frozen=True)
class LoadedModel:
    """A model that embeds.

    Attributes:
        key: what its embeddings are known by.
        num_parameters: of the network.
        embedder: after its first batch, which loads kernels and allocates: no request shall wait for it.
    """

    card: ModelCard
    key: ModelKey
    num_parameters: int
    embedder: Embedder

    @classmethod
    def warm(cls, checkpoint: Checkpoint, precision: str, settings: Settings, path: Path) -> Self:
        """Brings a checkpoint to the device of the settings, by their runtime.

        Raises:
            EmbeddingError: what it embeds is not finite; `path` is named.
            DeviceError: the network does not run there.
            ValueError: there is no such device.
        """
        device, size = pick_device(settings.device), checkpoint.card.preprocessing.size_px
        numeric_path = cast(Precision, precision)
        num_parameters = sum(parameter.numel() for parameter in checkpoint.network.parameters())
        try:
            # The former path of a gallery serves until its records are of the wanted one, whatever runs that.
            runtime = settings.runtime if numeric_path == "float32" else "auto"
            embedder = Embedder(checkpoint, device, numeric_path, runtime, settings.cache_dir)
            embedder.embed_prepared(np.zeros((1, size, size, 3), np.uint8))
        except EmbeddingError as error:
            raise EmbeddingError(f"{path} on {device} in {precision}: {error}") from error
        except Exception as error:
            reason = one_line(error)
            raise DeviceError(f"the network does not run on {device} in {precision}: {reason}") from error
        return cls(checkpoint.card, ModelKey(checkpoint.card.fingerprint, precision), num_parameters, embedder)

    @property
    def device(self) -> str:
        """On which it runs."""
        return str(self.embedder.device)

    def worker(self, settings: Settings, instruments: Instruments) -> EmbeddingWorker:
        """A worker, at work, that embeds with it."""
        return EmbeddingWorker(
            self.embedder,
            capacity=settings.queue_capacity,
            max_batch=settings.max_batch,
            max_queries=settings.max_queries,
            instruments=instruments,
        )

    def scan(self) -> DeviceScan | None:
        """What searches on its device, if that is a GPU."""
        device = self.embedder.device
        return DeviceScan(device) if device.type == "cuda" else None
