"""``evaluate``: scores the model on the held-out set, or on a manifest from below the import root."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from index.datasets.manifest import Entry, Manifest, read_manifest
from index.datasets.task import Task, plan_task
from index.gallery.record import ModelKey
from index.ranking.evaluation import evaluate
from index.ranking.reranking import Refinement, Reranking
from model.embeddings import Embeddings
from model.preprocessing import Preprocessing
from service.heldout_set import HeldoutSet
from service.jobs.background import Background
from service.jobs.errors import NotConfiguredError
from service.jobs.import_root import ImportRoot
from service.jobs.kind import JobParameters, Kind
from service.jobs.kinds.stored_batches import StoredBatches
from service.jobs.kinds.vehicle_lines import require_root
from service.jobs.running_job import RunningJob


class EvaluateParameters(JobParameters):
    """``POST /jobs``: what `training.evaluate` does, with the model that serves."""

    kind: Literal["evaluate"]
    data: str | None = Field(
        None,
        min_length=1,
        max_length=4096,
        description="a manifest, or a folder with a manifest.csv, relative to SANET_IMPORT_ROOT or absolute and below "
        "it; without it the held-out set",
    )
    rerank: bool = Field(False, strict=True, description="ranks by k-reciprocal re-ranking instead of plain distances")


class Evaluate(Kind[EvaluateParameters]):
    """Embeds the queries and the gallery of a task, and scores them; the report is what `training.evaluate` prints.

    Embedded batches are kept in the job's folder until it ends, so that a restart does not embed them again.
    """

    name: ClassVar[str] = "evaluate"
    parameters = EvaluateParameters

    def __init__(
        self,
        heldout: HeldoutSet | None,
        root: ImportRoot | None,
        preprocessing: Preprocessing,
        background: Background,
        model: ModelKey,
        device: str,
        runtime: str,
    ) -> None:
        self._heldout, self._root, self._preprocessing = heldout, root, preprocessing
        self._background, self._model, self._device, self._runtime = background, model, device, runtime

    def check(self, parameters: EvaluateParameters) -> None:
        """There is a held-out set, or the data are a file or folder below the root."""
        if parameters.data is None:
            _require_heldout(self._heldout)
            return
        root = require_root(self._root)
        root.is_folder(root.path_below(parameters.data))

    def key(self, parameters: EvaluateParameters) -> str | None:
        """Of plain evaluations on the held-out set, by which `/metrics` finds them."""
        is_of_metrics = parameters.data is None and not parameters.rerank
        return self._heldout.key if is_of_metrics and self._heldout is not None else None

    def run(self, job: RunningJob, parameters: EvaluateParameters) -> dict[str, Any]:
        """Embeds batch by batch, then scores."""
        task = self._task(parameters)
        job.advance(num_total=len(task.entries))
        job.raise_if_interrupted()
        computed_by = f"{self._model.fingerprint} {self._model.precision} {self._device} {self._runtime}"
        num_embedded = 0

        def count(num_images: int) -> None:
            nonlocal num_embedded
            num_embedded += num_images
            if num_embedded > job.num_done:  # else it was embedded before a restart
                job.advance(num_embedded)

        with StoredBatches(job.folder / "batches", computed_by) as batches:

            def embed_batch(images: NDArray[np.uint8]) -> Embeddings:
                job.raise_if_interrupted()
                return batches.get(images, lambda: self._background.embed(job, images))

            refinement = Refinement(reranking=Reranking()) if parameters.rerank else None
            evaluation = evaluate(task, self._preprocessing, embed_batch, count, refinement)
        return evaluation.to_dict() | {
            "model": self._model.fingerprint,
            "precision": self._model.precision,
            "device": self._device,
            "runtime": self._runtime,
        }

    def _task(self, parameters: EvaluateParameters) -> Task:
        if parameters.data is None:
            return _require_heldout(self._heldout).task
        root = require_root(self._root)
        path = root.path_below(parameters.data)
        if root.is_folder(path):
            path = path / "manifest.csv"
        for file in (path, path.with_suffix(".json")):  # the sidecar is read where there is one
            if file == path or os.path.lexists(file):
                os.close(root.open(str(file)))
        manifest = read_manifest(path)
        return plan_task(_RootedManifest(manifest.folder, manifest.entries, manifest.protocol, manifest.warnings, root))


@dataclass(frozen=True)
class _RootedManifest(Manifest):
    """A manifest whose images lie below the import root, or are refused."""

    root: ImportRoot | None = None

    def path_of(self, entry: Entry) -> Path:
        """Where the entry's image lies.

        Raises:
            UnusableDataError: not below the root, or behind a link.
        """
        root = require_root(self.root)
        path = root.path_below(str(super().path_of(entry)))
        os.close(root.open(str(path)))
        return path


def _require_heldout(heldout: HeldoutSet | None) -> HeldoutSet:
    if heldout is None:
        raise NotConfiguredError("there is no held-out set: start the service with SANET_HELDOUT, or send data")
    return heldout
