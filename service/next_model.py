"""The model that is on its way: the settings name it, and another one serves until the records are embedded by it."""

from service.answers import NextModelAnswer
from service.engine import Engine
from service.jobs.kinds.reembedding import reembedding_key
from service.pools import BusyError


async def next_model_of_status(engine: Engine) -> NextModelAnswer | None:
    """As `next_model`, without waiting for requests that read the gallery; None as well where too many ask for it."""
    if engine.model == engine.wanted:
        return None
    try:
        return await engine.pools.scrape.run(next_model, engine)
    except BusyError:
        return None


def next_model(engine: Engine) -> NextModelAnswer | None:
    """It, and how far its job is; None if it serves already."""
    wanted = engine.wanted
    if engine.model == wanted:
        return None
    job = engine.jobs.store.latest(reembedding_key(wanted))
    return NextModelAnswer(
        fingerprint=wanted.fingerprint,
        precision=wanted.precision,
        state=None if job is None else job.state,
        done=0 if job is None else job.num_done,
        total=None if job is None else job.num_total,
        job_url=None if job is None else f"/jobs/{job.id}",
    )
