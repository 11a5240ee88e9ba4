import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN_CONTEXT

from benchmarks.live_service import LiveService
from service.access.key import Secret
from service.settings import Settings
from service.tracing import Spans, TracingError, discreet_provider, end_tracing, provider_of_environment
from tests.conftest import png
from tests.service.conftest import enrol, query, serve

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


class Traced:
    """A client of a service, and the spans that it has sent since it was asked last."""

    def __init__(self, client: TestClient, exporter: InMemorySpanExporter) -> None:
        self.client, self._exporter = client, exporter

    def spans(self) -> list[ReadableSpan]:
        spans = list(self._exporter.get_finished_spans())
        self._exporter.clear()
        return spans


@pytest.fixture(scope="module")
def traced(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    exporter, provider = InMemorySpanExporter(), discreet_provider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    settings = Settings(checkpoint=small_checkpoint, data_dir=tmp_path_factory.mktemp("traced") / "data", device="cpu")
    with serve(settings, provider) as client:
        yield Traced(client, exporter)


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def times(span: ReadableSpan) -> tuple[int, int]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time, span.end_time


def test_a_query_is_a_span_with_its_stages_below_it(traced: Traced) -> None:
    traced.spans()
    traced.client.headers["X-Request-Id"] = "by-hand"
    query(traced.client, 1)
    del traced.client.headers["X-Request-Id"]
    spans = {span.name: span for span in traced.spans()}
    assert spans.keys() == {"POST /query", "decode", "embed", "embed batch", "search"}
    request = spans.pop("POST /query")
    assert told(request)["http.route"] == "/query"
    assert told(request)["http.response.status_code"] == 200
    assert told(request)["sanet.request_id"] == "by-hand"
    for span in spans.values():
        assert span.parent is not None
        assert (span.parent.span_id, span.context.trace_id) == (request.context.span_id, request.context.trace_id)
        assert times(request)[0] <= times(span)[0] <= times(span)[1] <= times(request)[1]
    # To the microsecond: two clocks are read for each.
    assert times(spans["decode"])[1] <= times(spans["embed"])[0] + 1_000_000
    assert times(spans["embed"])[1] <= times(spans["search"])[0] + 1_000_000
    assert told(spans["embed batch"]) == {"sanet.batch.images": 1}


def test_each_file_of_an_enrolment_has_its_stages(traced: Traced) -> None:
    traced.spans()
    enrol(traced.client, 11, 12, 13)
    spans = traced.spans()
    counts = Counter(span.name for span in spans)
    batches = [told(span)["sanet.batch.images"] for span in spans if span.name == "embed batch"]
    assert sum(batches) == 3
    assert counts == {"POST /gallery": 1, "decode": 3, "embed": 3, "store": 1, "embed batch": len(batches)}
    assert len({span.context.trace_id for span in spans}) == 1


def test_a_trace_that_a_client_began_goes_on(traced: Traced) -> None:
    traced.spans()
    traced.client.get("/model", headers={"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"})
    (span,) = traced.spans()
    assert f"{span.context.trace_id:032x}" == TRACE_ID


def test_no_span_has_a_query_string_or_a_key(traced: Traced) -> None:
    traced.spans()
    secret = Secret.make()
    traced.client.get("/gallery?identity=minister&tag=red")
    traced.client.get(f"/gallery?api_key={secret}")
    traced.client.get(f"/nowhere/{secret}", headers={"Authorization": f"Bearer {secret}"})
    traced.client.post("/query", files={"image": png(1)}, data={"identity": "minister"})
    traced.client.post("/query", files={"image": png(1)}, data={"top_k": f"minister {secret}"})
    spans = traced.spans()
    assert len([span for span in spans if span.parent is None]) == 5
    text = " ".join(span.to_json() for span in spans)
    assert "minister" not in text
    assert secret.secret not in text
    assert f"/nowhere/sanet_{secret.id}_***" in text


def test_what_machines_ask_all_the_time_is_not_traced(traced: Traced) -> None:
    traced.spans()
    for path in ("/healthz", "/readyz", "/metrics"):
        assert traced.client.get(path).status_code == 200
    assert traced.spans() == []


def test_a_batch_is_a_span_of_each_of_its_requests() -> None:
    exporter, provider = InMemorySpanExporter(), discreet_provider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    first, second = (provider.get_tracer("test").start_span(name) for name in ("first", "second"))
    contexts = [one.get_span_context() for one in (first, first, second)]
    Spans(provider).add_batch([*contexts, INVALID_SPAN_CONTEXT], 4, 0.5, 0.0)
    spans = exporter.get_finished_spans()
    parents = [span.parent.span_id for span in spans if span.parent is not None]
    assert parents == [first.get_span_context().span_id, second.get_span_context().span_id]
    assert [told(span) for span in spans] == [{"sanet.batch.images": 4}] * 2
    assert all(end - start == 500_000_000 for start, end in map(times, spans))


def test_where_no_endpoint_is_set_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    assert provider_of_environment() is None
    Spans(None).add("search", 1, 0)
    Spans(None).add_batch([INVALID_SPAN_CONTEXT], 1, 1, 0)


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_what_cannot_be_sent_is_one_line_at_the_start(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
        with pytest.raises(TracingError, match=f"^{name} is set, .* not installed: install the extra tracing") as error:
            provider_of_environment()
        assert "\n" not in str(error.value)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(TracingError, match="the protocol grpc"):
        provider_of_environment()


def test_a_collector_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.tracing._LAST_SPANS_S", 0.01)
    answers = threading.Event()
    provider = discreet_provider()
    monkeypatch.setattr(provider, "shutdown", answers.wait)
    end_tracing(provider)
    answers.set()


@contextmanager
def collector(received: list[ExportTraceServiceRequest]) -> Iterator[str]:
    """The address of what takes traces."""

    class Takes(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Takes) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_traces_arrive_and_a_collector_that_is_away_harms_nothing(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[ExportTraceServiceRequest] = []
    with collector(received) as address:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        with LiveService(small_checkpoint, tmp_path / "data") as service:
            assert service.client.post("/query", files={"image": png(1)}).status_code == 200
            assert service.end(signal.SIGTERM) == 0
    resources = [resource for request in received for resource in request.resource_spans]
    names = {span.name for resource in resources for scope in resource.scope_spans for span in scope.spans}
    assert names == {"POST /query", "decode", "embed", "embed batch", "search"}
    attributes = {one.key: one.value.string_value for one in resources[0].resource.attributes}
    assert attributes["service.name"] == "sanet-retrieval"
    # Now nobody takes them.
    with LiveService(small_checkpoint, tmp_path / "data") as service:
        assert service.client.post("/query", files={"image": png(1)}).status_code == 200
        assert service.end(signal.SIGTERM) == 0
