"""Traces in OpenTelemetry's form, sent where ``OTEL_EXPORTER_OTLP_ENDPOINT`` says: what a request waits for."""

import os
import threading
import time
from collections.abc import Iterable
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import NonRecordingSpan, SpanContext, Tracer, TracerProvider, set_span_in_context

from service.access.key import hide_secrets

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL: Final = "http/protobuf"
_LAST_SPANS_S: Final = 3.0

# Asked every few seconds by machines.
_NOT_TRACED: Final = ("/healthz", "/readyz", "/metrics")


class TracingError(ValueError):
    """Traces were asked for and cannot be sent; one line says what to do."""


class Spans:
    """Spans below that of the request that is answered; none where nobody asked for traces."""

    def __init__(self, provider: TracerProvider | None) -> None:
        self._tracer: Tracer | None = None if provider is None else provider.get_tracer("sanet")

    def add(self, name: str, seconds: float, ended_at: float) -> None:
        """What the request that is answered has done: it took `seconds` until `ended_at` (`time.perf_counter`)."""
        if self._tracer is not None:
            self._add(self._tracer, name, seconds, ended_at)

    def add_batch(self, requests: Iterable[SpanContext], num_images: int, seconds: float, ended_at: float) -> None:
        """A batch of the network, which holds images of all these requests: a span for each of them."""
        if self._tracer is None:
            return
        for parent in {context.span_id: context for context in requests if context.is_valid}.values():
            context = set_span_in_context(NonRecordingSpan(parent))
            attributes = {"sanet.batch.images": num_images}
            self._add(self._tracer, "embed batch", seconds, ended_at, context=context, attributes=attributes)

    @staticmethod
    def _add(tracer: Tracer, name: str, seconds: float, ended_at: float, **more: Any) -> None:
        ended_ns = time.time_ns() - round(1e9 * (time.perf_counter() - ended_at))
        tracer.start_span(name, start_time=ended_ns - round(1e9 * seconds), **more).end(ended_ns)


def telemetry(provider: TracerProvider | None) -> TelemetryConfig:
    """FastAPI's own spans, one for each request, and nothing else of what it could send."""
    return {
        "tracer_provider": provider,
        "tracing": provider is not None,
        "operation_spans": False,
        "metrics": False,
        "logs": False,
        "auto_configure": False,
        "exclude": lambda scope: scope["path"] in _NOT_TRACED,
    }


def provider_of_environment() -> "SdkTracerProvider | None":
    """What sends traces, as the variables of OpenTelemetry say; None where no endpoint is set.

    Raises:
        TracingError: the packages are not installed, or another protocol is asked for.
    """
    endpoint = next((name for name in _ENDPOINTS if os.environ.get(name)), None)
    if endpoint is None:
        return None
    protocol = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), _PROTOCOL)
    if protocol != _PROTOCOL:
        raise TracingError(f"{endpoint} is set with the protocol {protocol}: traces are sent by {_PROTOCOL} only")
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise TracingError(
            f"{endpoint} is set, and the packages that send traces are not installed: install the extra tracing "
            "(pip install 'sanet-retrieval[tracing]'), or do not set it"
        ) from None
    resource = {"service.version": metadata.version("sanet-retrieval")}
    if not os.environ.get("OTEL_SERVICE_NAME"):
        resource["service.name"] = "sanet-retrieval"
    provider = discreet_provider(Resource.create(resource))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def discreet_provider(resource: Any = None) -> "SdkTracerProvider":
    """A provider, without anything that sends, whose spans have no query string and no secret of a key."""
    from opentelemetry.sdk.trace import Span, SpanProcessor
    from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider

    class Discreet(SpanProcessor):
        def on_start(self, span: Span, parent_context: Any = None) -> None:  # noqa: ARG002
            attributes = span.attributes or {}
            if "url.query" in attributes:
                span.set_attribute("url.query", "***")
            if "url.path" in attributes:
                span.set_attribute("url.path", hide_secrets(str(attributes["url.path"])))

    provider = SdkTracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(Discreet())
    return provider


def end_tracing(provider: "SdkTracerProvider | None") -> None:
    """Sends the last spans, for a few seconds at most."""
    if provider is not None:
        # A daemon: a collector that does not answer is waited for much longer than the service has for its end.
        sending = threading.Thread(target=provider.shutdown, name="last-spans", daemon=True)
        sending.start()
        sending.join(_LAST_SPANS_S)
