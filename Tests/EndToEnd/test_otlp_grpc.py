"""Spans by OTLP over gRPC, and HTTP/2 on every port: grpcio and OpenTelemetry's SDK, curl, nghttp and h2load."""

import os
import resource
import subprocess
import threading
import time

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from conftest import Skein, free_port, http_get, mesh, wait_for

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@pytest.fixture
def start(tmp_path):
    running = []

    def begin(config=None, directory=tmp_path, **more):
        skein = Skein(directory, config, **more)
        running.append(skein)
        return skein.wait_ready()

    yield begin
    for skein in running:
        skein.stop()


def batch(traces, noise=0):
    """An export request with a span for each trace id."""
    request = service.ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    request.resource_spans[0].resource.attributes.add(key="service.name").value.string_value = "grpc-app"
    now = time.time_ns()
    for trace in traces:
        span = spans.add(trace_id=trace, span_id=os.urandom(8), name="get", start_time_unix_nano=now - 1_000_000, end_time_unix_nano=now)
        if noise:
            span.attributes.add(key="noise").value.string_value = os.urandom(noise).hex()
    return request


class Client:
    """One channel, which is one connection."""

    def __init__(self, skein, compression=None):
        self.channel = grpc.insecure_channel(f"127.0.0.1:{skein.ports['otlp-grpc']}", compression=compression)
        self.export = self.channel.unary_unary(
            EXPORT, request_serializer=lambda m: m.SerializeToString(), response_deserializer=service.ExportTraceServiceResponse.FromString)

    def close(self):
        self.channel.close()


def ended_spans(count):
    """Spans as the SDK hands them to an exporter."""
    found = []

    class Keep(SpanExporter):
        def export(self, spans):
            found.extend(spans)
            return SpanExportResult.SUCCESS

    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "otel-app"}))
    provider.add_span_processor(SimpleSpanProcessor(Keep()))
    for _ in range(count):
        with provider.get_tracer("test").start_as_current_span("one") as span:
            span.set_attribute("number", 7)
    return found


def names(skein, service_name):
    return http_get(skein.ports["zipkin"], f"/api/v2/spans?serviceName={service_name}")[2]


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_opentelemetrys_exporter(start, compression):
    skein = start()
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{skein.ports['otlp-grpc']}", insecure=True, compression=compression)
    assert exporter.export(ended_spans(50)) is SpanExportResult.SUCCESS
    exporter.shutdown()
    # Acknowledged is stored: no waiting.
    assert names(skein, "otel-app") == b'["one"]'
    assert skein.samples("skein_receiver_spans_total", receiver="otlp", transport="grpc") == 50
    assert "OTLP/gRPC 127.0.0.1:" in skein.log()


def test_ten_thousand_spans_over_one_connection(start):
    skein = start()
    client = Client(skein)
    traces = [os.urandom(16) for _ in range(10_000)]
    calls = [client.export.future(batch(traces[n : n + 100]), timeout=60) for n in range(0, 10_000, 100)]
    assert all(not call.result(60).HasField("partial_success") for call in calls)
    assert skein.samples("skein_receiver_spans_total", transport="grpc") == 10_000
    for trace in traces[::97]:
        assert http_get(skein.ports["zipkin"], f"/api/v2/trace/{trace.hex()}")[0] == 200
    client.close()


def test_what_is_no_span_and_no_method(start):
    skein = start()
    client = Client(skein)
    bad = batch([os.urandom(16), os.urandom(16)])
    bad.resource_spans[0].scope_spans[0].spans[1].span_id = b"short"
    partial = client.export(bad, timeout=10).partial_success
    assert partial.rejected_spans == 1 and partial.error_message
    raw = lambda path, body, **more: client.channel.unary_unary(path)(body, timeout=10, **more)
    for path, body, code in [
        (EXPORT, b"\xff\xff", grpc.StatusCode.INVALID_ARGUMENT), ("/opentelemetry.proto.collector.logs.v1.LogsService/Export", b"", grpc.StatusCode.UNIMPLEMENTED),
        ("/grpc.health.v1.Health/Check", b"\x0a\x01x", grpc.StatusCode.NOT_FOUND)]:
        with pytest.raises(grpc.RpcError) as error:
            raw(path, body)
        assert error.value.code() == code and error.value.details()
    with pytest.raises(grpc.RpcError) as error:
        raw(EXPORT, b"", compression=grpc.Compression.Deflate)
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED and "gzip" in error.value.details()
    assert raw("/grpc.health.v1.Health/Check", b"") == b"\x08\x01"
    assert len(client.export(batch([os.urandom(16)]), timeout=10).ListFields()) == 0
    client.close()


def test_a_message_beyond_the_limit_is_final(start):
    skein = start()
    client = Client(skein)
    for compression in (None, grpc.Compression.Gzip):
        with pytest.raises(grpc.RpcError) as error:
            client.channel.unary_unary(EXPORT)(bytes(65 << 20), timeout=60, compression=compression)
        assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and "smaller batches" in error.value.details()
        assert "grpc-status-details-bin" not in dict(error.value.trailing_metadata())
    # The connection is as good as before.
    client.export(batch([os.urandom(16)]), timeout=10)
    client.close()


def test_a_full_disk_is_back_pressure_and_the_sdk_comes_back(start):
    skein = start()
    limit = lambda size: resource.prlimit(skein.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    client = Client(skein)
    client.export(batch([os.urandom(16)]), timeout=10)
    # No file may grow beyond this: what a full disk looks like to one process.
    limit(1 << 20)
    kept = []

    def refused():
        trace = os.urandom(16)
        try:
            client.export(batch([trace] * 100, noise=400), timeout=20)
            kept.append(trace)
        except grpc.RpcError as error:
            return error

    error = wait_for(refused, seconds=30, what="a refusal")
    assert error.code() == grpc.StatusCode.UNAVAILABLE and "nothing of the request was kept" in error.details()
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    assert status.code == 14 and status.message == error.details()
    retry = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(retry) and retry.retry_delay.seconds == 5
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{skein.ports['otlp-grpc']}", insecure=True, timeout=60)
    results = []
    before = skein.samples("skein_receiver_requests_total", transport="grpc", outcome="unavailable")
    begun = time.monotonic()
    sending = threading.Thread(target=lambda: results.append(exporter.export(ended_spans(3))))
    sending.start()
    wait_for(lambda: skein.samples("skein_receiver_requests_total", transport="grpc", outcome="unavailable") > before, what="the exporter's refusal")
    limit(resource.RLIM_INFINITY)
    sending.join(60)
    assert results == [SpanExportResult.SUCCESS]
    assert time.monotonic() - begun >= 5, "the delay that the collector named"
    assert names(skein, "otel-app") == b'["one"]'
    for trace in kept:
        assert http_get(skein.ports["zipkin"], f"/api/v2/trace/{trace.hex()}")[0] == 200
    exporter.shutdown()
    client.close()


def test_the_sdk_waits_for_a_collector_that_comes_back(start, tmp_path):
    port = free_port()
    skein = start(arguments=("--otlp-grpc-port", str(port)))
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{port}", insecure=True, timeout=60)
    assert exporter.export(ended_spans(1)) is SpanExportResult.SUCCESS
    assert skein.stop() == 0
    results = []
    sending = threading.Thread(target=lambda: results.append(exporter.export(ended_spans(2))))
    sending.start()
    skein = start(arguments=("--otlp-grpc-port", str(port)))
    sending.join(60)
    assert results == [SpanExportResult.SUCCESS]
    assert skein.samples("skein_receiver_spans_total", transport="grpc") == 2
    exporter.shutdown()


def test_a_kill_loses_nothing_that_was_acknowledged(start):
    acknowledged = []
    for round in range(2):
        skein = start()
        stop = threading.Event()
        client = Client(skein)

        def send():
            while not stop.is_set():
                traces = [os.urandom(16) for _ in range(20)]
                try:
                    client.export(batch(traces), timeout=10)
                except grpc.RpcError:
                    return
                acknowledged.extend(traces)

        threads = [threading.Thread(target=send) for _ in range(3)]
        before = len(acknowledged)
        for thread in threads:
            thread.start()
        wait_for(lambda: len(acknowledged) - before > 600, what="acknowledged spans")
        skein.process.kill()
        skein.process.wait()
        stop.set()
        for thread in threads:
            thread.join()
        client.close()
    skein = start()
    missing = [trace.hex() for trace in acknowledged if http_get(skein.ports["zipkin"], f"/api/v2/trace/{trace.hex()}")[0] != 200]
    assert missing == [], f"{len(missing)} of {len(acknowledged)}"


def test_draining_answers_what_was_sent(start):
    skein = start()
    client = Client(skein)
    client.export(batch([os.urandom(16)]), timeout=10)
    calls = [client.export.future(batch([os.urandom(16) for _ in range(200)]), timeout=20) for _ in range(20)]
    wait_for(lambda: any(call.done() for call in calls), what="the first answer")
    assert skein.stop() == 0
    answered = 0
    for call in calls:
        try:
            call.result(20)
            answered += 1
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE, "only what was not begun, which the client may send again"
    skein = start()
    client.close()
    assert answered >= 1


# --- HTTP/2 by prior knowledge ------------------------------------------------------------------------------------------


def tool(*command, **more):
    result = subprocess.run([*map(str, command)], capture_output=True, timeout=60, **more)
    assert result.returncode == 0, (command, result.stdout, result.stderr)
    return result.stdout


@pytest.mark.parametrize("name, path", [
    ("otlp", "/health"), ("otlp-grpc", "/health"), ("zipkin", "/health"), ("admin", "/config_dump"), ("readiness", "/healthz/ready"), ("metrics", "/stats/prometheus")])
def test_every_port_speaks_both_versions(start, name, path):
    skein = start()
    url = f"http://127.0.0.1:{skein.ports[name]}{path}"
    for flag, version in (("--http2-prior-knowledge", b"2"), ("--http1.1", b"1.1"), ("--http1.0", b"1.1")):
        assert tool("curl", "-s", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", flag, url) in (version + b" 200", b"1.0 200"), flag
    # No upgrade from the one to the other.
    assert tool("curl", "-s", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", "--http2", url) == b"1.1 200"
    head = tool("curl", "-s", "-I", "--http2-prior-knowledge", url)
    assert b"HTTP/2 200" in head


def test_spans_by_http2_and_expect(start, tmp_path):
    skein = start()
    body = tmp_path / "body"
    body.write_bytes(batch([os.urandom(16) for _ in range(3000)]).SerializeToString())
    url = f"http://127.0.0.1:{skein.ports['otlp']}/v1/traces"
    for flags in (("--http2-prior-knowledge",), ("-H", "Expect: 100-continue"), ("-H", "Transfer-Encoding: chunked")):
        assert tool("curl", "-s", "-w", "%{http_code}", *flags, "-H", "Content-Type: application/x-protobuf", "--data-binary", f"@{body}", url) == b"200"
    assert skein.samples("skein_receiver_spans_total", receiver="otlp", transport="http") == 9000


def test_h2load_and_nghttp(start, tmp_path):
    skein = start(mesh(1))
    # Many streams, and pipelines of HTTP/1.1, on a few connections.
    for flags in (("-m", "50"), ("--h1", "-m", "10")):
        told = tool("h2load", "-n", "3000", "-c", "3", *flags, f"http://127.0.0.1:{skein.ports['readiness']}/healthz/ready")
        assert b"3000 succeeded, 0 failed, 0 errored" in told and b"3000 2xx" in told
    told = tool("h2load", "-n", "200", "-c", "2", "-m", "20", f"http://127.0.0.1:{skein.ports['metrics']}/metrics")
    assert b"200 succeeded, 0 failed, 0 errored" in told
    message = batch([os.urandom(16) for _ in range(100)]).SerializeToString()
    body = tmp_path / "body"
    body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    told = tool("h2load", "-n", "100", "-c", "1", "-m", "10", "-d", body, "-H", "content-type: application/grpc", "-H", "te: trailers",
                f"http://127.0.0.1:{skein.ports['otlp-grpc']}{EXPORT}")
    assert b"100 succeeded, 0 failed" in told
    assert skein.samples("skein_receiver_spans_total", transport="grpc") == 10_000
    trace = tool("nghttp", "-nv", "-H", "content-type: application/grpc", "-d", body, f"http://127.0.0.1:{skein.ports['otlp-grpc']}{EXPORT}")
    assert b"grpc-status: 0" in trace


def test_a_log_is_followed_by_http2(start):
    skein = start(mesh(1))
    following = subprocess.Popen(
        ["curl", "-sN", "--http2-prior-knowledge", f"http://127.0.0.1:{skein.ports['admin']}/logs?follow=true&format=json"], stdout=subprocess.PIPE)
    try:
        def seen():
            skein.get("/nothing")
            return os.read(following.stdout.fileno(), 65536)

        assert wait_for(seen, what="a line")
    finally:
        following.kill()
        following.wait()


def test_the_page_says_where_spans_go_and_nothing_of_ports_that_are_off(start):
    skein = start()
    page = http_get(skein.ports["zipkin"], "/")[2].decode()
    assert f"OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{skein.ports['otlp-grpc']}" in page
    skein.stop()
    skein = start(arguments=("--otlp-grpc-port", "0", "--metrics-port", "0"))
    page = http_get(skein.ports["zipkin"], "/")[2].decode()
    assert "PROTOCOL=grpc" not in page and "127.0.0.1:0" not in page
    assert "OTLP/gRPC" not in skein.log().rsplit("ready:", 1)[1]
