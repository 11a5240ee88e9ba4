"""``reembed``: embeds the gallery anew by the model that the settings name, from its stored images.

As long as another model serves, its generation of the records is made beside the one that answers, and takes its place
at one moment. What then is still of another model is brought in record by record.
"""

import gc
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from pydantic import BaseModel

from index.embedded.generation import next_generation, remove_others
from index.embedded.images.image_reader import ImageReader
from index.embedded.next_gallery import NextGallery, open_successor
from index.embedded.records.successor import Successor
from index.gallery.errors import GalleryError, GalleryFullError
from index.gallery.gallery import Gallery
from index.gallery.record import ModelKey, Record
from index.gallery.reembedding import CHUNK_SIZE, Reembedded, reembed
from model.checkpoint import CheckpointError, load_checkpoint
from service.device import Device
from service.jobs.background import Background
from service.jobs.errors import JobStoreError, TooManyJobsError
from service.jobs.jobs import Jobs
from service.jobs.kind import JobParameters, Kind
from service.jobs.running_job import JobInterrupted, RunningJob
from service.kept_checkpoints import KeptCheckpoints
from service.loaded_model import LoadedModel
from service.serving import Serving

if TYPE_CHECKING:
    from service.engine import Engine

_LOG = logging.getLogger(__name__)

# Records for which frames are decoded ahead; between two of these the frames begin anew.
_WINDOW: Final = 16 * CHUNK_SIZE
# So many may be embedded while writes wait. While more come than that, it goes on, but not for ever.
_FEW: Final = 8
_MOST_ROUNDS: Final = 20


class ReembedParameters(JobParameters):
    """``POST /jobs``: what the service does by itself where SANET_CHECKPOINT or SANET_PRECISION names another model."""

    kind: Literal["reembed"]


class _Cursor(BaseModel):
    """Where the work on the records stands that are of another model than the one that serves.

    Attributes:
        wanted: fingerprint and precision that it is meant for.
        before: those that served at the beginning.
        seq: of the last record that was looked at.
    """

    wanted: tuple[str, str]
    before: tuple[str, str]
    seq: int = 0


class Reembed(Kind[ReembedParameters]):
    """Goes by what is there, not by what it remembers: a restart compares the two generations and goes on."""

    name: ClassVar[str] = "reembed"
    parameters = ReembedParameters

    def __init__(self, serving: Serving, jobs: Jobs) -> None:
        self._serving, self._jobs = serving, jobs

    def key(self, parameters: ReembedParameters) -> str | None:  # noqa: ARG002
        """Of the model that is wanted."""
        return reembedding_key(self._serving.engine.wanted)

    def run(self, job: RunningJob, parameters: ReembedParameters) -> dict[str, Any]:  # noqa: ARG002
        """Makes and brings in the next generation, then what is left."""
        engine = self._serving.engine
        wanted, before = engine.wanted, engine.model
        cursor = None if job.cursor is None else _Cursor.model_validate(job.cursor)
        if cursor is None or cursor.wanted != _pair(wanted):
            cursor = _Cursor(wanted=_pair(wanted), before=_pair(before))
            job.advance(cursor=cursor.model_dump())
        if before != wanted:
            try:
                self._exchange(job)
            except GalleryFullError:
                # Its room is needed by what serves.
                self._remove_others(keep="")
                raise
        self._embed_stale(job, cursor)
        return self._report(cursor)

    def tidy(self) -> None:
        """Removes generations and copies of checkpoints that nothing serves and no job goes on with."""
        engine = self._serving.engine
        latest = self._jobs.store.latest(reembedding_key(engine.wanted))
        is_wanted = latest is not None and latest.state in ("queued", "running", "failed")
        next_name = next_generation(engine.settings.data_dir, engine.wanted).name
        if engine.model == engine.wanted or not is_wanted:
            next_name = ""
        self._remove_others(keep=next_name)

    def _exchange(self, job: RunningJob) -> None:
        """Makes the generation of the wanted model, and lets it serve.

        Raises:
            JobInterrupted: the job has to end, or the service.
            GalleryError: the disk refuses, or no image can be embedded: what served before goes on.
        """
        engine = self._serving.engine
        settings, wanted = engine.settings, engine.wanted
        checkpoint = load_checkpoint(settings.checkpoint)
        if checkpoint.card.fingerprint != wanted.fingerprint:
            raise CheckpointError(
                f"{settings.checkpoint} is another checkpoint now, {checkpoint.card.fingerprint:.12}, than when the "
                "service started: start it again"
            )
        loaded = LoadedModel.warm(checkpoint, wanted.precision, settings, settings.checkpoint)
        background = Background(engine.worker, Device(loaded.embedder, engine.instruments))
        with open_successor(settings.data_dir, wanted) as successor:
            filling = _Filling(job, successor, loaded, background, ImageReader(settings.data_dir))
            successor.drop_not_embedded()
            for _ in range(_MOST_ROUNDS):
                successor.follow()
                missing = successor.missing()
                filling.put(missing)
                if len(missing) <= _FEW:
                    break
            if successor.num_records() and not successor.num_embedded():
                raise GalleryError(
                    "no image could be read and embedded, and what served before goes on: restore the folder images, "
                    "and start the job again"
                )
            KeptCheckpoints(settings.data_dir).keep(settings.checkpoint, wanted.fingerprint)
            job.raise_if_interrupted()
            self._cut_over(engine, successor, filling, loaded)

    def _cut_over(self, engine: "Engine", successor: Successor, filling: "_Filling", loaded: LoadedModel) -> None:
        """Opens the next gallery, brings it up to the last write, and exchanges the two between two writes."""
        settings, serving = engine.settings, self._serving
        scan = loaded.scan()

        def open_next() -> NextGallery:
            return NextGallery(settings.data_dir, loaded.key, loaded.embedder.embedding_dim, scan)

        def before_is_closed() -> None:
            if scan is not None:
                scan.look_for_room_again()
            self._jobs.wake()  # its files are not needed any more: `tidy`

        def next_of_parts() -> Gallery:
            return next_gallery.gallery(timedelta(seconds=settings.undo_s))

        with ExitStack() as opened:
            next_gallery = serving.run(open_next)
            opened.callback(next_gallery.close)
            worker = serving.run(lambda: loaded.worker(settings, engine.instruments))
            opened.callback(worker.close)
            with engine.gallery.replacing():
                next_gallery.follow(successor.follow())
                filling.put(successor.missing())
                successor.finish()
                gallery = serving.run(next_of_parts)
                opened.callback(gallery.close)
                following = engine.succeeded_by(loaded, worker, gallery)
                next_gallery.take_place()
                is_exchanged = serving.exchange(following, before_is_closed)
            if not is_exchanged:  # the service is being closed, and will start with it
                raise JobInterrupted
            opened.pop_all()
        _LOG.info(
            "the model %.12s in %s serves now, with %d records", loaded.key.fingerprint, loaded.key.precision,
            gallery.num_searchable,
        )  # fmt: skip
        following.give_jobs()

    def _embed_stale(self, job: RunningJob, cursor: _Cursor) -> None:
        """Embeds what is of another model, in place; what cannot be embedded is rejected, and stays as it is."""
        engine = self._serving.engine
        gallery, background = engine.gallery, Background(engine.worker)
        images = ImageReader(engine.settings.data_dir)
        is_all = cursor.before == _pair(engine.model)  # else they are what the next generation has left
        if is_all and job.num_total is None:
            job.advance(num_total=gallery.num_stale)
        chunks = reembed(
            gallery.stale_records(cursor.seq),
            lambda record: _read(images, record, background),
            engine.card.preprocessing,
            lambda batch: background.embed(job, batch),
            engine.model,
        )
        for chunk in chunks:
            gallery.replace_embeddings([one.record for one in chunk if one.problem is None])
            for one in chunk:
                if one.problem is not None:
                    _reject(job, one)
            cursor.seq = chunk[-1].seq
            num_done = min(job.num_done + len(chunk), job.num_total or 0) if is_all else None
            job.advance(num_done, cursor=cursor.model_dump())
            job.raise_if_interrupted()
        job.advance(job.num_total or 0, num_total=job.num_total or 0)

    def _report(self, cursor: _Cursor) -> dict[str, Any]:
        engine = self._serving.engine
        return {
            "model": engine.model.fingerprint,
            "precision": engine.model.precision,
            "model_before": cursor.before[0],
            "precision_before": cursor.before[1],
            "searchable": engine.gallery.num_searchable,
            "not_embedded": engine.gallery.num_stale,
        }

    def _remove_others(self, keep: str) -> None:
        """All generations but the one that serves and `keep`, and the copies of checkpoints that go with them."""
        engine = self._serving.engine
        if self._serving.has_replaced:  # requests still read what served before: it is tried again
            return
        removed = remove_others(engine.settings.data_dir, keep)
        for path in removed:
            _LOG.info("%s was removed: it does not serve, and no job goes on with it", path)
        if removed:
            gc.collect()  # the network and the rows of what served before do not wait for their turn
        serving = {engine.model.fingerprint, engine.wanted.fingerprint}
        KeptCheckpoints(engine.settings.data_dir).remove_all_but(serving)


class _Filling:
    """Fills the next generation of the records."""

    def __init__(
        self, job: RunningJob, successor: Successor, loaded: LoadedModel, background: Background, images: ImageReader
    ) -> None:
        self._job, self._successor, self._loaded = job, successor, loaded
        self._background, self._images = background, images

    def put(self, seqs: Sequence[int]) -> None:
        """Embeds the records at these seqs, and takes over as they are those that cannot be, or need not be.

        Raises:
            JobInterrupted: the job has to end; what was put stays.
        """
        job, successor = self._job, self._successor
        num_done, num_total = successor.num_records(), successor.num_wanted()
        job.advance(max(job.num_done, num_done), num_total=max(num_total, job.num_done))
        for start in range(0, len(seqs), _WINDOW):
            window = seqs[start : start + _WINDOW]
            left = set(window)
            for chunk in self._embed(window):
                job.raise_if_interrupted()
                of_chunk = [one.seq for one in chunk]
                successor.put(of_chunk, {one.seq: one.record for one in chunk if one.problem is None})
                left.difference_update(of_chunk)
                num_done += len(chunk)
                job.advance(max(job.num_done, min(num_done, num_total)))
            successor.put(sorted(left), {})
            num_done += len(left)
            job.advance(max(job.num_done, min(num_done, num_total)))

    def _embed(self, seqs: Sequence[int]) -> Iterator[list[Reembedded]]:
        model = self._loaded.key
        records = self._successor.records_at(seqs)
        return reembed(
            (numbered for numbered in records if numbered[1].model != model),
            lambda record: _read(self._images, record, self._background),
            self._loaded.card.preprocessing,
            lambda images: self._background.embed(self._job, images),
            model,
        )


def reembedding_key(wanted: ModelKey) -> str:
    """By which the jobs are found that bring the gallery to a model."""
    return f"reembed {wanted.fingerprint} {wanted.precision}"


def require_reembedding(
    jobs: Jobs, model: ModelKey, wanted: ModelKey, num_stale: int, *, has_grown: bool = False
) -> None:
    """Creates the job where records are of another model than the one that is wanted, and none waits.

    One that was cancelled is not created again by itself; nor, where the wanted model serves, one that is done: it has
    said which records cannot be embedded, unless there are more by now (`has_grown`: this is known otherwise).
    """
    latest = jobs.store.latest(reembedding_key(wanted))
    if model == wanted and not num_stale:
        return
    # One that runs may be past the records that have come back.
    if latest is not None and not latest.has_ended and not (has_grown and latest.state == "running"):
        return
    if latest is not None and latest.state == "cancelled":
        _LOG.warning("the records are not embedded anew, the job was cancelled: POST /jobs starts it again")
        return
    if latest is not None and latest.state == "done" and model == wanted:
        num_known = (latest.report or {}).get("not_embedded", 0)
        if num_stale <= num_known and not has_grown:
            return
    try:
        job = jobs.create(ReembedParameters(kind="reembed"))
    except (JobStoreError, TooManyJobsError) as error:  # queries are answered without it
        _LOG.error("the records are not embedded anew: %s", error)
        return
    _LOG.info(
        "records are embedded anew for the model %.12s in %s: job %s", wanted.fingerprint, wanted.precision, job.id
    )


def _read(images: ImageReader, record: Record, background: Background) -> bytes:
    background.give_way()
    return images.get_also_from_trash(record.content)


def _reject(job: RunningJob, one: Reembedded) -> None:
    record = one.record
    box = None if record.whole_image else str(record.box)
    job.reject(None, record.fields.source or record.content, f"the record {record.id}: {one.problem}", box)


def _pair(model: ModelKey) -> tuple[str, str]:
    return model.fingerprint, model.precision
