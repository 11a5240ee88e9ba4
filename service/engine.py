"""All that answers requests, loaded once: the model and its worker, the gallery, the decoders."""

import logging
from dataclasses import dataclass
from typing import Self

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from index.embedded_gallery import EmbeddedGallery
from index.gallery import Gallery
from index.manifest import read_manifest
from index.record import ModelKey, Record
from index.task import plan_task
from model.aligned_view import aligned_view, padding_of
from model.checkpoint import ModelCard, load_checkpoint
from model.embedder import Embedder, pick_device
from model.image import decode_image
from service.heldout import HeldoutEvaluation
from service.pools import Pools
from service.problems import NotReadyError
from service.settings import Settings
from service.worker import EmbeddingWorker

_LOG = logging.getLogger(__name__)

UNTRAINED = "the model is untrained: its matches mean nothing until SANET_CHECKPOINT names a trained checkpoint"


@dataclass(frozen=True)
class Engine:
    """The parts of a running service.

    Attributes:
        num_parameters: of the network.
        max_file_bytes: the largest image file.
    """

    card: ModelCard
    model: ModelKey
    num_parameters: int
    device: str
    max_file_bytes: int
    worker: EmbeddingWorker
    gallery: Gallery
    pools: Pools
    heldout: HeldoutEvaluation

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Loads and warms the model, and opens the gallery.

        Raises:
            ManifestError, ProtocolError, CheckpointError, GalleryError, ValueError, OSError: with one line that says
                what is wrong.
        """
        task = None if settings.heldout is None else plan_task(read_manifest(settings.heldout))
        checkpoint = load_checkpoint(settings.checkpoint)
        card = checkpoint.card
        num_parameters = sum(parameter.numel() for parameter in checkpoint.network.parameters())
        embedder = Embedder(checkpoint, pick_device(settings.device), settings.precision)
        model = ModelKey(card.fingerprint, settings.precision)
        # The first batch loads kernels and allocates; no request shall wait for that.
        size = card.preprocessing.size_px
        embedder.embed_prepared(np.zeros((1, size, size, 3), np.uint8))
        gallery = EmbeddedGallery(settings.data_dir, model, embedder.embedding_dim)
        worker = EmbeddingWorker(embedder, capacity=settings.queue_capacity, max_batch=settings.max_batch)
        engine = cls(
            card,
            model,
            num_parameters,
            str(embedder.device),
            settings.max_file_mb * 1_000_000,
            worker,
            gallery,
            Pools(),
            HeldoutEvaluation(task, card.preprocessing, worker, model, str(embedder.device)),
        )
        for warning in engine.warnings():
            _LOG.warning("%s", warning)
        _LOG.info(
            "ready: model %.12s on %s in %s, %d records", model.fingerprint, engine.device, model.precision,
            gallery.num_searchable,
        )  # fmt: skip
        return engine

    def close(self) -> None:
        """Finishes what is under way and releases the data folder."""
        self.worker.close()
        self.heldout.close()
        self.pools.close()
        self.gallery.close()

    def warnings(self) -> list[str]:
        """What makes this service's matches less than they seem; empty if nothing does."""
        warnings = [] if self.card.trained else [UNTRAINED]
        if num := self.gallery.num_stale:
            warnings.append(
                f"{num} records were embedded by another model or in another precision and are not searched: "
                "enrol their images again"
            )
        return warnings

    def crop_of(self, record: Record) -> NDArray[np.uint8]:
        """The record's vehicle (h, w, 3), cut from its stored image.

        Raises:
            GalleryError: the image is gone or damaged.
        """
        return record.box.cut(decode_image(self.gallery.image(record)).pixels)

    def aligned_view(self, prepared: NDArray[np.uint8], theta: NDArray[np.float32]) -> NDArray[np.uint8]:
        """What the network saw of a preprocessed image (S, S, 3) that it gave this theta."""
        return aligned_view(prepared, theta, padding_of(self.card.config))


async def engine_of(request: Request) -> Engine:
    """The engine of the app that serves this request.

    Raises:
        NotReadyError: it is still loading.
    """
    engine: Engine | None = getattr(request.app.state, "engine", None)
    if engine is None:
        raise NotReadyError("the service is loading its model and its gallery: wait for GET /readyz")
    return engine
