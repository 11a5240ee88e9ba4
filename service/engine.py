"""All that answers requests, loaded once: the model and its worker, the gallery, the decoders."""

import logging
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from index.calibration.calibration import Calibration
from index.datasets.manifest import read_manifest
from index.datasets.task import Task, plan_task
from index.embedded.data_folder import owned
from index.embedded.disk import disk_errors
from index.embedded.opening import open_generation
from index.gallery.deletions import Undone
from index.gallery.gallery import Gallery
from index.gallery.record import ModelKey, Record
from index.ranking.reranking import Refinement
from model.aligned_view import aligned_view
from model.checkpoint import ModelCard
from model.image import decode_image
from model.precision import Precision, slow_precision_warning
from service.decision import Decisions
from service.heldout import HeldoutEvaluation
from service.heldout_set import HeldoutSet
from service.instruments.instruments import Instruments
from service.jobs.background import Background
from service.jobs.export_root import ExportRoot
from service.jobs.import_root import ImportRoot
from service.jobs.jobs import Jobs
from service.jobs.kind import Kind
from service.jobs.kinds.backing_up import BackUp
from service.jobs.kinds.calibrating import Calibrate
from service.jobs.kinds.evaluating import Evaluate
from service.jobs.kinds.exporting import Export
from service.jobs.kinds.grouping import Group
from service.jobs.kinds.importing import Import
from service.jobs.kinds.matching import Match
from service.jobs.kinds.reembedding import Reembed, require_reembedding
from service.jobs.kinds.verifying import Verify
from service.loaded_model import LoadedModel
from service.model_choice import choose_model, settle
from service.pools import Pools
from service.problems import NotReadyError
from service.serving import LEASE, Lease, Serving
from service.settings import Settings
from service.uploads import Uploads, body_bytes
from service.worker import EmbeddingWorker

_LOG = logging.getLogger(__name__)

UNTRAINED = "the model is untrained: its matches mean nothing until SANET_CHECKPOINT names a trained checkpoint"


class Roots(NamedTuple):
    """What of the disk the jobs of a service may use besides its data folder."""

    data_dir: Path
    imports: ImportRoot | None
    exports: ExportRoot | None


@dataclass(frozen=True, eq=False)
class Engine:
    """The parts of a running service. A request takes them once: what serves may be exchanged while it is answered.

    Attributes:
        wanted: the model that the settings name; as long as it is another one than `model`, it is on its way.
        num_parameters: of the network.
        max_file_bytes: the largest image file.
        max_request_bytes: the largest body of an enrolment.
        uploads: room for the bodies of enrolments.
        decisions: what the model's distances mean.
        heldout_task: what the held-out set asks.
        serving: which engine serves now.
        instruments: what counts the work of all engines of the service.
    """

    settings: Settings
    card: ModelCard
    model: ModelKey
    wanted: ModelKey
    num_parameters: int
    device: str
    precision: Precision
    runtime: str
    max_file_bytes: int
    max_request_bytes: int
    uploads: Uploads
    worker: EmbeddingWorker
    gallery: Gallery
    pools: Pools
    jobs: Jobs
    decisions: Decisions
    heldout_task: Task | None
    heldout: HeldoutEvaluation
    roots: Roots
    serving: Serving
    instruments: Instruments

    @classmethod
    def open(cls, settings: Settings, instruments: Instruments | None = None) -> Self:
        """Loads and warms the model, and opens the gallery. If any of it fails, nothing stays open.

        Raises:
            ManifestError, ProtocolError, CheckpointError, GalleryError, EmbeddingError, DeviceError, ValueError,
                OSError: with one line that says what is wrong.
        """
        task = None if settings.heldout is None else plan_task(read_manifest(settings.heldout))
        data_dir = settings.data_dir
        roots = Roots(
            data_dir,
            None if settings.import_root is None else ImportRoot(settings.import_root),
            None if settings.export_root is None else ExportRoot(settings.export_root, data_dir),
        )
        choice = choose_model(settings)
        loaded = LoadedModel.warm(choice.checkpoint, choice.model.precision, settings, choice.path)
        with ExitStack() as opened:
            folder = ExitStack()
            opened.callback(folder.close)
            with disk_errors(data_dir):
                data_dir.mkdir(parents=True, exist_ok=True)
            folder.enter_context(owned(data_dir))
            settle(choice, settings)
            serving = Serving(folder)
            opened.callback(serving.stop)
            gallery = open_generation(
                data_dir,
                loaded.key,
                loaded.embedder.embedding_dim,
                scan=loaded.scan(),
                undo_for=timedelta(seconds=settings.undo_s),
            )
            opened.callback(gallery.close)
            pools = Pools()
            opened.callback(pools.close)
            instruments = instruments or Instruments()
            worker = loaded.worker(settings, instruments)
            opened.callback(worker.close)
            jobs = Jobs(data_dir, settings.database_address)
            opened.callback(jobs.close)
            max_request_bytes = body_bytes(settings.max_request_mb)
            engine = cls(
                settings=settings,
                card=loaded.card,
                model=loaded.key,
                wanted=choice.wanted,
                num_parameters=loaded.num_parameters,
                device=loaded.device,
                precision=loaded.embedder.precision,
                runtime=loaded.embedder.runtime,
                max_file_bytes=settings.max_file_mb * 1_000_000,
                max_request_bytes=max_request_bytes,
                uploads=Uploads(max(settings.max_uploads_mb * 1_000_000, max_request_bytes)),
                worker=worker,
                gallery=gallery,
                pools=pools,
                jobs=jobs,
                decisions=_decisions(settings, loaded),
                heldout_task=task,
                heldout=HeldoutEvaluation(_heldout_set(task, loaded.key), jobs),
                roots=roots,
                serving=serving,
                instruments=instruments,
            )
            serving.begin(engine)
            engine.give_jobs()
            for warning in engine.warnings():
                _LOG.warning("%s", warning)
            _LOG.info(
                "ready: model %.12s on %s in %s by %s, %d records",
                engine.model.fingerprint, engine.device, engine.model.precision, engine.runtime, gallery.num_searchable,
            )  # fmt: skip
            opened.pop_all()
        return engine

    def succeeded_by(self, loaded: LoadedModel, worker: EmbeddingWorker, gallery: Gallery) -> "Engine":
        """The engine that takes this one's place, with another model and its gallery; all else they share."""
        return replace(
            self,
            card=loaded.card,
            model=loaded.key,
            num_parameters=loaded.num_parameters,
            device=loaded.device,
            precision=loaded.embedder.precision,
            runtime=loaded.embedder.runtime,
            worker=worker,
            gallery=gallery,
            decisions=_decisions(self.settings, loaded),
            heldout=HeldoutEvaluation(_heldout_set(self.heldout_task, loaded.key), self.jobs),
        )

    def give_jobs(self) -> None:
        """Makes jobs run with these parts from now on, and creates those that this model lacks."""
        self.jobs.take_kinds(self._kinds())
        self.heldout.require()
        require_reembedding(self.jobs, self.model, self.wanted, self.gallery.num_stale)

    def undo(self, deletion_id: str) -> Undone:
        """Undoes a deletion; records that come back with another model's embeddings are then embedded anew.

        Raises:
            DeletionNotFoundError, DeletionUndoneError, GalleryError: as `Gallery.undo`.
        """
        num_before = self.gallery.num_stale
        undone = self.gallery.undo(deletion_id)
        if self.gallery.num_stale > num_before:
            require_reembedding(self.jobs, self.model, self.wanted, self.gallery.num_stale, has_grown=True)
        return undone

    def _kinds(self) -> list[Kind[Any]]:
        imports, exports, data_dir = self.roots.imports, self.roots.exports, self.roots.data_dir
        gallery, preprocessing, model = self.gallery, self.card.preprocessing, self.model
        background, max_file_bytes = Background(self.worker), self.max_file_bytes
        heldout_set = _heldout_set(self.heldout_task, model)
        return [
            Import(imports, gallery, preprocessing, background, max_file_bytes),
            Evaluate(heldout_set, imports, preprocessing, background, model, self.device, self.runtime),
            Reembed(self.serving, self.jobs),
            BackUp(exports, data_dir, background),
            Verify(data_dir, background),
            Export(exports, data_dir, background),
            Match(imports, gallery, preprocessing, background, max_file_bytes, self.decisions),
            Group(gallery, background, self.decisions),
            Calibrate(gallery, self.decisions, background),
        ]

    def close(self) -> bool:
        """Finishes what is under way and releases the data folder; whether the device came back from its last batch.

        Of the service, whichever engine serves by now.
        """
        return self.serving.close()

    def warnings(self) -> list[str]:
        """What makes this service's matches less than they seem; empty if nothing does."""
        warnings = [] if self.card.trained else [UNTRAINED]
        if num := self.gallery.num_stale:
            warnings.append(
                f"{num} records were embedded by another model or in another precision and are not searched: "
                "POST /jobs with the kind reembed embeds them anew"
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


def _decisions(settings: Settings, loaded: LoadedModel) -> Decisions:
    values = loaded.card.calibration
    of_checkpoint = None if values is None else Calibration.from_dict(values)
    return Decisions(settings.data_dir, loaded.key, of_checkpoint, settings.unknown_share)


def _heldout_set(task: Task | None, model: ModelKey) -> HeldoutSet | None:
    return None if task is None else HeldoutSet.of(task, model)


async def engine_of(request: Request) -> Engine:
    """The engine that serves this request.

    Raises:
        NotReadyError: it is still loading.
    """
    return lease_of(request).engine


def lease_of(request: Request) -> Lease:
    """The request's hold on the engine that serves it.

    Raises:
        NotReadyError: it is still loading.
    """
    lease: Lease | None = request.scope.get(LEASE)
    if lease is None:
        raise NotReadyError("the service is loading its model and its gallery: wait for GET /readyz")
    return lease
