from prometheus_client import generate_latest

from service import problems
from service.instruments.instruments import PROBLEMS, Instruments
from tests.service.instruments.scraped import key, samples


def read(instruments: Instruments) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return samples(generate_latest(instruments.registry).decode())


def test_what_an_alert_or_a_panel_watches_is_there_before_it_happens() -> None:
    seen = read(Instruments())
    for expected in (
        key("sanet_problems_total", type="queue-full"),
        key("sanet_problems_total", type="gallery-full"),
        key("sanet_stage_duration_seconds_count", operation="query", stage="search"),
        key("sanet_stage_duration_seconds_count", operation="enrolment", stage="store"),
        key("sanet_embedding_batch_images_count", kind="background"),
        key("sanet_embedding_device_seconds_total", kind="requests"),
        key("sanet_embedding_failed_batches_total"),
        key("sanet_embedding_halved_batches_total"),
        key("sanet_enrolled_vehicles_total", status="duplicate"),
        key("sanet_query_decisions_total", decision="no_match"),
    ):
        assert seen[expected] == 0
    assert key("sanet_problems_total", type="record-not-found") not in seen


def test_the_problems_that_are_there_are_problems_of_the_service() -> None:
    titles = [title for _, title in problems._PROBLEMS.values()] + [*problems._TITLES.values(), "Internal error"]
    assert set(PROBLEMS) <= {title.lower().replace(" ", "-") for title in titles}


def test_sums_and_counts_are_those_of_what_was_observed() -> None:
    instruments = Instruments()
    for seconds in (0.004, 0.2, 30):
        instruments.observe_stage("query", "search", seconds)
    for num_images, seconds in ((1, 0.25), (16, 0.5), (300, 1)):
        instruments.observe_batch("background", num_images, seconds)
    instruments.count_enrolled(["enrolled", "rejected", "enrolled"])
    instruments.count_decision("match")
    seen = read(instruments)
    stage = {"operation": "query", "stage": "search"}
    assert seen[key("sanet_stage_duration_seconds_count", **stage)] == 3
    assert seen[key("sanet_stage_duration_seconds_sum", **stage)] == 30.204
    for bound, expected in (("0.0025", 0), ("0.005", 1), ("0.1", 1), ("0.25", 2), ("10.0", 2), ("+Inf", 3)):
        assert seen[key("sanet_stage_duration_seconds_bucket", le=bound, **stage)] == expected
    assert seen[key("sanet_stage_duration_seconds_count", operation="query", stage="decode")] == 0
    assert seen[key("sanet_embedding_batch_images_sum", kind="background")] == 317
    assert seen[key("sanet_embedding_batch_images_bucket", kind="background", le="16.0")] == 2
    assert seen[key("sanet_embedding_device_seconds_total", kind="background")] == 1.75
    assert seen[key("sanet_embedding_batch_images_count", kind="requests")] == 0
    assert seen[key("sanet_enrolled_vehicles_total", status="enrolled")] == 2
    assert seen[key("sanet_enrolled_vehicles_total", status="rejected")] == 1
    assert seen[key("sanet_query_decisions_total", decision="match")] == 1


def test_two_services_of_a_process_do_not_count_together() -> None:
    first, second = Instruments(), Instruments()
    first.count_decision("match")
    first.failed_batches.inc()
    assert read(second)[key("sanet_query_decisions_total", decision="match")] == 0
    assert read(second)[key("sanet_embedding_failed_batches_total")] == 0


def test_no_series_says_only_when_another_began() -> None:
    assert not [name for name, _ in read(Instruments()) if name.endswith("_created")]
