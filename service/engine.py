"""All that answers requests, loaded once: the model and its worker, the gallery, the decoders."""

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from index.datasets.manifest import read_manifest
from index.datasets.task import plan_task
from index.embedded.opening import open_gallery
from index.embedded.search.device_scan import DeviceScan
from index.gallery.gallery import Gallery
from index.gallery.record import ModelKey, Record
from index.ranking.reranking import Refinement
from model.aligned_view import aligned_view
from model.checkpoint import Checkpoint, ModelCard, load_checkpoint
from model.embedder import Embedder, EmbeddingError, Precision, pick_device, slow_precision_warning
from model.image import decode_image
from service.device import DeviceError, one_line
from service.heldout import HeldoutEvaluation
from service.heldout_set import HeldoutSet
from service.jobs.background import Background
from service.jobs.import_root import ImportRoot
from service.jobs.jobs import Jobs
from service.jobs.kinds.evaluating import Evaluate
from service.jobs.kinds.importing import Import
from service.pools import Pools
from service.problems import NotReadyError
from service.settings import Settings
from service.uploads import Uploads, body_bytes
from service.worker import EmbeddingWorker

_LOG = logging.getLogger(__name__)

UNTRAINED = "the model is untrained: its matches mean nothing until SANET_CHECKPOINT names a trained checkpoint"


@dataclass(frozen=True)
class Engine:
    """The parts of a running service.

    Attributes:
        num_parameters: of the network.
        max_file_bytes: the largest image file.
        max_request_bytes: the largest body of an enrolment.
        uploads: room for the bodies of enrolments.
    """

    card: ModelCard
    model: ModelKey
    num_parameters: int
    device: str
    precision: Precision
    max_file_bytes: int
    max_request_bytes: int
    uploads: Uploads
    worker: EmbeddingWorker
    gallery: Gallery
    pools: Pools
    jobs: Jobs
    heldout: HeldoutEvaluation

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Loads and warms the model, and opens the gallery. If any of it fails, nothing stays open.

        Raises:
            ManifestError, ProtocolError, CheckpointError, GalleryError, EmbeddingError, DeviceError, ValueError,
                OSError: with one line that says what is wrong.
        """
        task = None if settings.heldout is None else plan_task(read_manifest(settings.heldout))
        root = None if settings.import_root is None else ImportRoot(settings.import_root)
        checkpoint = load_checkpoint(settings.checkpoint)
        card = checkpoint.card
        num_parameters = sum(parameter.numel() for parameter in checkpoint.network.parameters())
        model = ModelKey(card.fingerprint, settings.precision)
        embedder = _warm_embedder(checkpoint, settings)
        device = str(embedder.device)
        with ExitStack() as opened:
            scan = DeviceScan(embedder.device) if embedder.device.type == "cuda" else None
            gallery = open_gallery(settings.data_dir, model, embedder.embedding_dim, scan=scan)
            opened.callback(gallery.close)
            pools = Pools()
            opened.callback(pools.close)
            worker = EmbeddingWorker(
                embedder,
                capacity=settings.queue_capacity,
                max_batch=settings.max_batch,
                max_queries=settings.max_queries,
            )
            opened.callback(worker.close)
            max_file_bytes = settings.max_file_mb * 1_000_000
            heldout_set = None if task is None else HeldoutSet.of(task, model)
            background = Background(worker)
            jobs = Jobs(
                settings.data_dir,
                [
                    Import(root, gallery, card.preprocessing, background, max_file_bytes),
                    Evaluate(heldout_set, root, card.preprocessing, background, model, device),
                ],
            )
            opened.callback(jobs.close)
            heldout = HeldoutEvaluation(heldout_set, jobs)
            heldout.require()
            max_request_bytes = body_bytes(settings.max_request_mb)
            engine = cls(
                card=card,
                model=model,
                num_parameters=num_parameters,
                device=device,
                precision=settings.precision,
                max_file_bytes=max_file_bytes,
                max_request_bytes=max_request_bytes,
                uploads=Uploads(max(settings.max_uploads_mb * 1_000_000, max_request_bytes)),
                worker=worker,
                gallery=gallery,
                pools=pools,
                jobs=jobs,
                heldout=heldout,
            )
            for warning in engine.warnings():
                _LOG.warning("%s", warning)
            num_records = gallery.num_searchable
            _LOG.info(
                "ready: model %.12s on %s in %s, %d records", model.fingerprint, device, model.precision, num_records
            )
            opened.pop_all()
        return engine

    def close(self) -> bool:
        """Finishes what is under way and releases the data folder; whether the device came back from its last batch."""
        self.jobs.stop()
        ended = self.worker.close()
        self.jobs.close()
        self.pools.close()
        self.gallery.close()
        return ended

    def warnings(self) -> list[str]:
        """What makes this service's matches less than they seem; empty if nothing does."""
        warnings = [] if self.card.trained else [UNTRAINED]
        if num := self.gallery.num_stale:
            warnings.append(
                f"{num} records were embedded by another model or in another precision and are not searched: "
                "enrol their images again"
            )
        if num := self.gallery.num_damaged:
            warnings.append(f"{num} records are damaged and are not found: enrol their images again")
        if num := self.gallery.num_damaged_images:
            warnings.append(f"{num} images are missing or damaged on disk: enrol them again")
        if slow := slow_precision_warning(self.device, self.precision):
            warnings.append(slow)
        return warnings

    def refinement_warnings(self, refinement: Refinement | None) -> list[str]:
        """What the checkpoint's evaluation says against a refinement that was asked for; empty if nothing."""
        evaluation = self.card.evaluation or {}
        reranked = evaluation.get("reranked")
        if refinement is None or refinement.reranking is None or reranked is None:
            return []
        if "1" in evaluation["cmc"]:
            figure, plain, refined = "CMC-1", evaluation["cmc"]["1"], reranked["cmc"]["1"]
        else:  # it was scored at other ranks
            figure, plain, refined = "mAP", evaluation["map"], reranked["map"]
        if refined >= plain:
            return []
        return [
            f"re-ranking was measured to be worse for this model: {figure} {refined:.1%} instead of {plain:.1%} on "
            f"{evaluation['dataset']}: leave out rerank"
        ]

    def crop_of(self, record: Record) -> NDArray[np.uint8]:
        """The record's vehicle (h, w, 3), cut from its stored image.

        Raises:
            GalleryError: the image is gone or damaged.
        """
        return record.box.cut(decode_image(self.gallery.image(record)).pixels)

    def aligned_view(self, prepared: NDArray[np.uint8], theta: NDArray[np.float32]) -> NDArray[np.uint8]:
        """What the network saw of a preprocessed image (S, S, 3) that it gave this theta."""
        return aligned_view(prepared, theta, self.card.config, self.card.preprocessing)


def _warm_embedder(checkpoint: Checkpoint, settings: Settings) -> Embedder:
    """The embedder, after its first batch: that loads kernels and allocates, and no request shall wait for it."""
    device, size = pick_device(settings.device), checkpoint.card.preprocessing.size_px
    try:
        embedder = Embedder(checkpoint, device, settings.precision)
        embedder.embed_prepared(np.zeros((1, size, size, 3), np.uint8))
    except EmbeddingError as error:
        raise EmbeddingError(f"{settings.checkpoint} on {device} in {settings.precision}: {error}") from error
    except Exception as error:
        reason = one_line(error)
        raise DeviceError(f"the network does not run on {device} in {settings.precision}: {reason}") from error
    return embedder


async def engine_of(request: Request) -> Engine:
    """The engine of the app that serves this request.

    Raises:
        NotReadyError: it is still loading.
    """
    engine: Engine | None = getattr(request.app.state, "engine", None)
    if engine is None:
        raise NotReadyError("the service is loading its model and its gallery: wait for GET /readyz")
    return engine
