"""What a service has and what it is at, as series: read from memory whenever somebody asks."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from index.gallery.gallery import Gallery
from service.engine import Engine
from service.instruments.families import gauge, gauges
from service.pools import Pools
from service.uploads import Uploads
from service.worker import EmbeddingWorker


def engine_series(engine: Engine) -> Iterator[Metric]:
    """The gallery, and everything that may be full."""
    yield from _gallery(engine.gallery)
    yield from _worker(engine.worker)
    yield from _uploads(engine.uploads)
    yield from _pools(engine.pools)


def _gallery(gallery: Gallery) -> Iterator[Metric]:
    records = {
        "searchable": gallery.num_searchable,
        "stale": gallery.num_stale,
        "damaged": gallery.num_damaged,
    }
    yield gauges(
        "sanet_gallery_records",
        "Records that queries find, that another model embedded, and that were found damaged",
        "state",
        records,
    )
    yield gauge(
        "sanet_gallery_damaged_images", "Image files found to be missing or damaged", gallery.num_damaged_images
    )
    yield gauge(
        "sanet_gallery_index_problems",
        "What of the index on disk was found damaged at the start and made anew",
        len(gallery.index_problems),
    )


def _worker(worker: EmbeddingWorker) -> Iterator[Metric]:
    queue = worker.queue
    yield gauge(
        "sanet_device_failing",
        "1 while the device that embeds fails or hangs, else 0",
        worker.device_failing is not None,
    )
    yield gauge(
        "sanet_embedding_most_images",
        "Images of one batch at most: SANET_MAX_BATCH, or fewer after the device had no memory for so many",
        worker.most_images,
    )
    yield gauges(
        "sanet_embedding_admitted_images",
        "Vehicles of requests under way, which hold a place of the queue",
        "kind",
        {"query": queue.num_query_images, "enrolment": queue.num_enrolment_images},
    )
    yield gauges(
        "sanet_embedding_capacity_images",
        "Places of the queue: beyond, requests are refused with 429",
        "kind",
        {"query": worker.max_queries, "enrolment": worker.capacity},
    )
    yield gauges(
        "sanet_embedding_waiting_images",
        "Images that are decoded and wait for the device",
        "kind",
        {"query": queue.num_waiting_queries, "enrolment": queue.num_waiting_enrolments},
    )
    yield gauge("sanet_embedding_waiting_batches", "Batches of jobs that wait", queue.num_waiting_batches)


def _uploads(uploads: Uploads) -> Iterator[Metric]:
    yield gauge("sanet_uploads_bytes", "Bodies of enrolments under way", uploads.num_bytes - uploads.free_bytes)
    yield gauge("sanet_uploads_capacity_bytes", "Room for the bodies of enrolments", uploads.num_bytes)


def _pools(pools: Pools) -> Iterator[Metric]:
    yield gauges(
        "sanet_pool_requests",
        "Calls that threads of this kind of work are at, or that wait for one",
        "pool",
        {pool.kind: pool.num_under_way for pool in pools.all},
    )
