"""The spans that the tests of Jaeger's and Tempo's faces look for: a shop by the OpenTelemetry SDK, older services by Zipkin."""

import json
import time

from conftest import http_get

HOSTILE = "</script><b>\u202e\u0000\U0001f600 \"quoted\" \\ " + "x" * 10_000


def send_otel(skein):
    """A checkout: web (server) -> web (client) -> cart (server, failed), with an event and a link. Its trace id as hex."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

    def tracer(service):
        provider = TracerProvider(resource=Resource.create({"service.name": service, "service.version": "1.2", "host.name": "h1"}))
        provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"http://127.0.0.1:{skein.ports['otlp']}/v1/traces")))
        return provider.get_tracer("shop.lib", "0.9")

    web, cart = tracer("web"), tracer("cart")
    earlier = SpanContext(0xABC, 0xDEF, True, TraceFlags(1))
    with web.start_as_current_span("get /checkout", kind=SpanKind.SERVER, attributes={"http.request.method": "GET", "shop.items": 3}) as root:
        with web.start_as_current_span("call cart", kind=SpanKind.CLIENT, attributes={"shop.paid": False}):
            with cart.start_as_current_span("post /cart", kind=SpanKind.SERVER, links=[Link(earlier, {"why": "retry"})]) as failed:
                failed.set_attribute("http.response.status_code", 503)
                failed.add_event("exception", {"exception.type": "Timeout", "n": 2})
                failed.set_status(Status(StatusCode.ERROR, "cart is gone"))
                time.sleep(0.02)
    return format(root.get_span_context().trace_id, "032x")


def zipkin_span(trace, id, service, name, now, **more):
    return {"traceId": trace, "id": id, "name": name, "timestamp": now, "duration": 1000, "localEndpoint": {"serviceName": service}, **more}


def send_zipkin(skein, spans):
    status, _, body = http_get(
        skein.ports["zipkin"], "/api/v2/spans", {"Content-Type": "application/json"}, method="POST", body=json.dumps(spans)
    )
    assert status == 202, body


def get_json(port, path, headers=None, status=200):
    got, fields, body = http_get(port, path, headers)
    assert got == status, (path, got, body[:500])
    return json.loads(body)
