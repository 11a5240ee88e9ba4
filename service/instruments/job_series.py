"""The jobs of a service as series."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, get_args

from prometheus_client.core import GaugeMetricFamily, Metric

from service.instruments.families import counters, gauges
from service.jobs.job import State
from service.jobs.jobs import Jobs

_STATES: Final[tuple[State, ...]] = get_args(State)


def job_series(jobs: Jobs) -> Iterator[Metric]:
    """Counts of all jobs that are stored. Every kind and state is there, with zero before the first job."""
    tallies = jobs.store.tallies()
    kinds = sorted({*jobs.kind_names, *(tally.kind for tally in tallies)})
    by_state = {(tally.kind, tally.state): tally.num_jobs for tally in tallies}
    family = GaugeMetricFamily("sanet_jobs", "Jobs, by kind and state", labels=["kind", "state"])
    for kind in kinds:
        for state in _STATES:
            family.add_metric([kind, state], by_state.get((kind, state), 0))
    yield family
    done, rejected, running_s = dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0.0)
    for tally in tallies:
        done[tally.kind] += tally.num_done
        rejected[tally.kind] += tally.num_rejected
        if tally.state == "running" and tally.run_started_at is not None:
            running_s[tally.kind] = max(0.0, (datetime.now(UTC) - tally.run_started_at).total_seconds())
    yield counters("sanet_job_rows", "Rows or images that jobs have done, of all jobs that are stored", "kind", done)
    yield counters("sanet_job_rejected_rows", "Those of them that could not be used", "kind", rejected)
    yield gauges(
        "sanet_job_running_seconds", "For how long a job of this kind has been running; 0 if none is", "kind", running_s
    )
