import asyncio
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.live_service import LiveService
from benchmarks.service import clients
from benchmarks.service.connection import Answer, Connection
from benchmarks.service.crops import crop, crops
from benchmarks.service.measurement import QUEUE, Measurement, _steady_rate
from benchmarks.service.requests import get, post_files
from model.image import decode_image


@pytest.fixture(scope="module")
def service(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    data_dir = tmp_path_factory.mktemp("measured") / "data"
    with LiveService(small_checkpoint, data_dir, device="cpu", queue_capacity=str(QUEUE)) as service:
        yield service


@pytest.fixture(scope="module")
def measurement(service: LiveService, small_checkpoint: Path) -> Iterator[Measurement]:
    with Measurement(service, small_checkpoint, "float32") as measurement:
        yield measurement


def test_a_row_for_each_number_of_clients(measurement: Measurement) -> None:
    rows = measurement.queries((1, 4), 0.3)
    assert [row["clients"] for row in rows] == [1, 4]
    for row in rows:
        assert row["queries"] > 0
        assert 0 < row["total_p50_ms"] <= row["total_p95_ms"] <= row["total_p99_ms"]
        assert 0 < row["overhead_p50_ms"] < row["total_p99_ms"]
        assert row["overhead_floor_ms"] == row["healthz_p50_ms"] + row["bare_decode_ms"] > 0
        assert 0 < row["client_cpu_share"] < 1


def test_enrolment_stands_beside_the_bare_embedder(measurement: Measurement, service: LiveService) -> None:
    before = service.client.get("/gallery?limit=1").json()["total"]
    (row,) = measurement.enrolment(1, 0.5)
    assert row["share"] == row["images_per_s"] / row["bare_images_per_s"] > 0
    assert service.client.get("/gallery?limit=1").json()["total"] > before


def test_an_overload_is_refused_in_part_and_all_is_answered(measurement: Measurement) -> None:
    (row,) = measurement.overload(1, 1.0)
    assert row["offered_images_per_s"] == 3 * row["peak_images_per_s"]
    assert row["share"] == row["images_per_s"] / row["peak_images_per_s"] > 0
    assert 0 <= row["refused_share"] <= 1
    assert row["other_answers"] == 0


def test_memory_is_read_again_and_again(measurement: Measurement, service: LiveService) -> None:
    row = measurement.memory(12)
    assert (row["requests"], len(row["resident_mb"])) == (12, 12)
    assert row["growth"] == row["last_quarter_mb"] / row["second_quarter_mb"] - 1
    assert service.resident_mb > 50


def test_crops_differ_in_their_bytes_alone_after_one_round() -> None:
    num = len(crops())
    assert len({crop(number) for number in (0, 1, num, num + 1, 5 * num)}) == 5
    for number in (0, num, 7 * num):
        pixels = decode_image(crop(number)).pixels
        assert pixels.shape == (256, 256, 3)
        assert (pixels == decode_image(crops()[0]).pixels).all()
    assert (decode_image(crop(1)).pixels != decode_image(crops()[0]).pixels).any()


def test_a_rate_is_that_between_the_first_answer_and_the_last() -> None:
    answers = [Answer(0, at, 201, b"") for at in (12.0, 10.0, 11.0, 10.5)]
    assert _steady_rate(clients.Load(answers, 0, 0)) == 3 / 2
    with pytest.raises(RuntimeError, match="take more --seconds"):
        _steady_rate(clients.Load(answers[:1], 0, 0))


def address_of(service: LiveService) -> tuple[str, int]:
    return service.client.base_url.host, service.client.base_url.port or 0


def test_so_many_requests_are_sent_and_no_more(service: LiveService) -> None:
    load = clients.ask_in_turns(address_of(service), [get("/healthz"), get("/nowhere")], 3, math.inf, 20)
    assert sorted(answer.status for answer in load.answers) == [200] * 10 + [404] * 10
    assert all(answer.sent_at < answer.answered_at for answer in load.answers)


def test_at_a_rate_all_are_sent_whether_or_not_others_are_answered(service: LiveService) -> None:
    load = clients.enrol_at_rate(address_of(service), 500_000_000, 5, 200.0, 0.1)
    assert [answer.status for answer in load.answers] == [201] * 25


def test_a_connection_that_the_service_closes_is_opened_again(service: LiveService) -> None:
    async def ask_twice() -> list[int]:
        close = get("/healthz").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        async with Connection(*address_of(service)) as connection:
            return [(await connection.ask(request)).status for request in (close, get("/healthz"), close)]

    assert asyncio.run(ask_twice()) == [200, 200, 200]


def test_a_form_is_one_that_the_service_reads(service: LiveService) -> None:
    files = [crop(600_000_000 + number) for number in range(3)]
    load = clients.ask_in_turns(address_of(service), [post_files("/gallery", "images", files)], 1, math.inf, 1)
    assert b'"enrolled":3' in load.answers[0].body
