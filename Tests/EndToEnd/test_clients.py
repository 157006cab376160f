"""Clients and servers nobody here wrote: Prometheus, promtool, OpenTelemetry, py-zipkin, aiozipkin, Envoy, curl, wrk."""

import asyncio
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from conftest import ROOT, Backend, access_log, free_port, http_get, mesh, wait_for


def traces(skein, query="limit=100"):
    status, _, body = http_get(skein.ports["zipkin"], f"/api/v2/traces?{query}")
    assert status == 200, body
    return json.loads(body)


def spans_of(skein, service):
    return [s for t in traces(skein, f"serviceName={service}&limit=100") for s in t]


# --- Prometheus ---------------------------------------------------------------------------------------------------------


def test_promtool_accepts_the_metrics(proxy):
    for index in range(20):
        proxy.get(f"/{index}")
    proxy.get("/", host="nowhere")
    text = proxy.metrics()[2]
    assert b"istio_requests_total" in text and b"# EOF" not in text
    result = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    complaints = [l for l in (result.stdout + result.stderr).decode().splitlines() if l and "request_duration_milliseconds" not in l]
    assert complaints == []


def test_openmetrics_parses_and_carries_exemplars(proxy):
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    for _ in range(5):
        proxy.get("/")

    def shown():
        status, headers, body = proxy.metrics("application/openmetrics-text; version=1.0.0")
        assert headers["content-type"].startswith("application/openmetrics-text") and body.endswith(b"# EOF\n")
        families = {f.name: f for f in text_string_to_metric_families(body.decode())}
        return [s.exemplar for s in families["istio_request_duration_milliseconds"].samples if s.exemplar]

    # The records' thread notes them, some milliseconds later.
    exemplars = wait_for(shown, what="an exemplar")
    assert len(exemplars[0].labels["trace_id"]) == 32
    found = wait_for(lambda: http_get(proxy.ports["zipkin"], "/api/v2/trace/" + exemplars[0].labels["trace_id"])[0] == 200, what="the exemplar's trace")
    assert found


def test_a_real_prometheus_scrapes_it(proxy, tmp_path):
    for _ in range(30):
        proxy.get("/")
    port = free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        f"global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: skein\n  metrics_path: /stats/prometheus\n  static_configs: [{{targets: ['127.0.0.1:{proxy.ports['metrics']}']}}]\n"
    )
    prometheus = subprocess.Popen(
        ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/tsdb", f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        def value():
            status, _, body = http_get(port, "/api/v1/query?query=sum(istio_requests_total)")
            if status != 200:
                return False
            result = json.loads(body)["data"]["result"]
            return result and float(result[0]["value"][1]) == 30

        wait_for(value, seconds=40, what="Prometheus seeing 30 requests")
    finally:
        prometheus.terminate()
        prometheus.wait()


# --- Span senders -------------------------------------------------------------------------------------------------------


def provider(exporter):
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "otel-app"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def emit(provider):
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("parent") as parent:
        parent.set_attribute("number", 7)
        with tracer.start_as_current_span("child") as child:
            child.add_event("something happened")
            child.set_attribute("http.status_code", 503)
    provider.shutdown()


def test_opentelemetry_zipkin_json_exporter(start):
    from opentelemetry.exporter.zipkin.json import ZipkinExporter

    skein = start()
    emit(provider(ZipkinExporter(endpoint=f"http://127.0.0.1:{skein.ports['zipkin']}/api/v2/spans")))
    spans = wait_for(lambda: spans_of(skein, "otel-app"), what="spans")
    assert sorted(s["name"] for s in spans) == ["child", "parent"]
    child = next(s for s in spans if s["name"] == "child")
    assert child["parentId"] == next(s for s in spans if s["name"] == "parent")["id"]
    assert child["tags"]["http.status_code"] == "503" and "something happened" in child["annotations"][0]["value"]


def test_opentelemetry_otlp_http_exporter(start):
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    skein = start()
    for compression in (Compression.NoCompression, Compression.Gzip):
        emit(provider(OTLPSpanExporter(endpoint=f"http://127.0.0.1:{skein.ports['otlp']}/v1/traces", compression=compression)))
    spans = wait_for(lambda: (lambda s: s if len(s) == 4 else None)(spans_of(skein, "otel-app")), what="four spans")
    child = next(s for s in spans if s["name"] == "child")
    assert child["tags"]["http.status_code"] == "503" and child["annotations"][0]["value"].find("something happened") >= 0


def test_opentelemetry_spans_lose_nothing(start):
    """Links, trace state, scope, status and peers of OpenTelemetry's SDK; an attribute `error` is no failure, a status is one."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

    skein = start()
    exporter = provider(OTLPSpanExporter(endpoint=f"http://127.0.0.1:{skein.ports['otlp']}/v1/traces/"))
    tracer = exporter.get_tracer("lib", "1.0", attributes={"scope.key": "x"})
    # Of a link its exporter sends no trace state.
    other = SpanContext(0x0102030405060708090A0B0C0D0E0F10, 0x0102030405060708, True, TraceFlags(1))
    with tracer.start_as_current_span("fine", kind=SpanKind.CLIENT, links=[Link(other, {"k": "v"})]) as fine:
        fine.set_attributes({"error": False, "peer.service": "Good-Peer"})
    with tracer.start_as_current_span("broken", kind=SpanKind.CLIENT) as broken:
        broken.set_attributes({"server.address": "bad-peer", "server.port": 81})
        broken.set_status(Status(StatusCode.ERROR, "boom"))
    exporter.shutdown()
    spans = {s["name"]: s for s in wait_for(lambda: (lambda s: s if len(s) == 2 else None)(spans_of(skein, "otel-app")), what="two spans")}
    tags = spans["fine"]["tags"]
    assert "error" not in tags and tags["scope.key"] == "x"
    assert tags["otlp.link.0"] == '0102030405060708090a0b0c0d0e0f10|0102030405060708||{"k":"v"}|0'
    assert {tags[k] for k in ("otel.scope.name", "otel.library.name")} == {"lib"} and tags["otel.library.version"] == "1.0"
    assert spans["fine"]["remoteEndpoint"] == {"serviceName": "good-peer"} and spans["broken"]["remoteEndpoint"] == {"serviceName": "bad-peer", "port": 81}
    assert spans["broken"]["tags"]["error"] == "boom" == spans["broken"]["tags"]["otel.status_description"]
    status, _, body = http_get(skein.ports["zipkin"], f"/api/v2/dependencies?endTs={int(time.time() * 1000) + 60000}&lookback=86400000")
    links = {link["child"]: link.get("errorCount", 0) for link in json.loads(body)}
    assert status == 200 and links == {"good-peer": 0, "bad-peer": 1}


@pytest.mark.parametrize("encoding", ["V1_JSON", "V2_JSON", "V2_PROTO3"])
def test_py_zipkin(start, encoding):
    from py_zipkin import Encoding, Kind
    from py_zipkin.transport import SimpleHTTPTransport
    from py_zipkin.zipkin import zipkin_span

    skein = start()
    with zipkin_span(
        service_name="py-zipkin-app", span_name="work", transport_handler=SimpleHTTPTransport("127.0.0.1", skein.ports["zipkin"]),
        sample_rate=100.0, encoding=Encoding[encoding], kind=Kind.SERVER, binary_annotations={"k": "v"},
    ):
        with zipkin_span(service_name="py-zipkin-app", span_name="inner", kind=Kind.CLIENT, annotations={"something": time.time()}) as inner:
            inner.add_sa_binary_annotation(port=81, service_name="back", host="10.0.0.9")
    spans = {s["name"]: s for s in wait_for(lambda: (lambda s: s if len(s) == 2 else None)(spans_of(skein, "py-zipkin-app")), what="two spans")}
    work, inner = spans["work"], spans["inner"]
    assert work["kind"] == "SERVER" and work["tags"] == {"k": "v"} and work["duration"] >= inner["duration"] > 0
    assert inner["kind"] == "CLIENT" and inner["parentId"] == work["id"] and inner["annotations"][0]["value"] == "something"
    assert inner["remoteEndpoint"] == {"serviceName": "back", "ipv4": "10.0.0.9", "port": 81}
    assert abs(work["timestamp"] - time.time() * 1e6) < 60e6


def test_aiozipkin(start):
    import aiozipkin

    skein = start()

    async def main():
        endpoint = aiozipkin.create_endpoint("aiozipkin-app", ipv4="127.0.0.1", port=80)
        tracer = await aiozipkin.create(f"http://127.0.0.1:{skein.ports['zipkin']}/api/v2/spans", endpoint, sample_rate=1.0)
        with tracer.new_trace(sampled=True) as span:
            span.name("aio")
            span.kind(aiozipkin.CLIENT)
            span.tag("k", "v")
        await tracer.close()

    asyncio.run(main())
    spans = wait_for(lambda: spans_of(skein, "aiozipkin-app"), what="spans")
    assert spans[0]["tags"] == {"k": "v"} and spans[0]["kind"] == "CLIENT"


ENVOY = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {listen}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          generate_request_id: true
          tracing:
            random_sampling: {{value: 100}}
            provider:
              name: envoy.tracers.zipkin
              typed_config:
                "@type": type.googleapis.com/envoy.config.trace.v3.ZipkinConfig
                collector_cluster: zipkin
                collector_endpoint: /api/v2/spans
                collector_endpoint_version: HTTP_JSON
                trace_id_128bit: true
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: /}}, direct_response: {{status: 200}}, decorator: {{operation: envoy-op}}}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: zipkin
    type: STATIC
    load_assignment:
      cluster_name: zipkin
      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {zipkin}}}}}}}}}]}}]
node: {{id: envoy-node, cluster: envoy-app}}
"""


def test_envoys_zipkin_tracer_sends_here(start, tmp_path):
    skein = start()
    listen = free_port()
    config = tmp_path / "envoy.yaml"
    config.write_text(ENVOY.format(listen=listen, zipkin=skein.ports["zipkin"]))
    program = os.path.join(os.path.dirname(sys.executable), "envoy")
    envoy = subprocess.Popen([program, "-c", str(config), "--concurrency", "1", "-l", "error", "--use-dynamic-base-id"], stderr=open(tmp_path / "log", "wb"))
    try:
        wait_for(lambda: http_get(listen, "/")[0] == 200, seconds=30, what="Envoy")
        for _ in range(10):
            http_get(listen, "/hello")
        spans = wait_for(lambda: (lambda s: s if len(s) >= 10 else None)(spans_of(skein, "envoy-app")), seconds=30, what="Envoy's spans")
        assert any(s["tags"].get("http.url", "").endswith("/hello") for s in spans)
    finally:
        envoy.terminate()
        envoy.wait()


# --- The Zipkin API, as its users call it -------------------------------------------------------------------------------


def post(skein, body, headers=None, path="/api/v2/spans"):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return http_get(skein.ports["zipkin"], path, {"Content-Type": "application/json", **(headers or {})}, method="POST", body=body)


def span(trace="463ac35c9f6413ad48485a3953bb6124", id="48485a3953bb6124", **rest):
    return {"traceId": trace, "id": id, "name": "get", "timestamp": int(time.time() * 1e6), "duration": 1000, "localEndpoint": {"serviceName": "front"}, **rest}


def test_a_span_is_readable_the_moment_it_is_acknowledged(start):
    skein = start()
    for index in range(200):
        trace = f"{index + 1:032x}"
        assert post(skein, [span(trace)])[0] == 202
        status, _, body = http_get(skein.ports["zipkin"], f"/api/v2/trace/{trace}")
        assert status == 200 and json.loads(body)[0]["traceId"] == trace.lstrip("0").rjust(16, "0")


def test_zipkin_write_forms(start):
    skein = start()
    assert post(skein, [])[0] == 202
    assert post(skein, b"")[0] == 202
    assert post(skein, gzip.compress(json.dumps([span()]).encode()), {"Content-Encoding": "gzip"})[0] == 202
    assert post(skein, [span(id="1", parentId=None, kind=None, tags=None, annotations=None, debug=None, shared=None, remoteEndpoint=None)])[0] in (202, 400)
    assert post(skein, [span(id="00000000000000a1", parentId=None, kind=None, tags=None, annotations=None, debug=None, shared=None, remoteEndpoint=None)])[0] == 202
    # Chunked, as aiohttp and many HTTP clients send it.
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", skein.ports["zipkin"])
    connection.request("POST", "/zipkin/api/v2/spans", body=iter([json.dumps([span()]).encode()]), headers={"Content-Type": "application/json"}, encode_chunked=True)
    assert connection.getresponse().status == 202
    for bad, reason in ((b"{", b""), (b"not json", b""), (json.dumps([{"id": "1"}]).encode(), b"traceId"), (b"\x1f\x8b", b"")):
        status, _, text = post(skein, bad)
        assert status == 400 and text.strip() and reason in text, (bad, text)
    assert post(skein, b"garbage", {"Content-Encoding": "gzip"})[0] == 400
    # Nothing good was lost and the process lives.
    assert len(traces(skein)) == 1


def test_one_odd_value_costs_itself(start):
    """What is no text, too deep or too many costs that, and its neighbours are stored as if it were not there."""
    skein = start()
    half = json.dumps("cut\U0001f600")[:-7] + '"'
    assert half == '"cut\\ud83d"'
    odd = json.dumps([span(id="1", name="NAME", tags={"KEY": "VALUE", "t": True, "n": None, "l": [1, {"a": 2}]}), span(id="2")]).replace('"NAME"', half).replace('"KEY"', half)
    assert post(skein, odd.replace('"VALUE"', half).encode())[0] == 202
    assert post(skein, odd.encode().replace(b"VALUE", b"\xff\xe2\x82"))[0] == 202
    assert post(skein, b"\xef\xbb\xbf" + json.dumps([span(id="3", timestamp=1.5e15 + 0.5, x=json.loads("[" * 400 + "]" * 400))]).encode())[0] == 202
    found = {s["id"][-1]: s for s in json.loads(http_get(skein.ports["zipkin"], f"/api/v2/trace/{span()['traceId']}")[2])}
    assert set(found) == {"1", "2", "3"} and found["1"]["name"] == "cut\ufffd"
    assert found["1"]["tags"]["t"] == "true" and found["1"]["tags"]["l"] == '[1, {"a": 2}]' and "n" not in found["1"]["tags"]
    assert found["1"]["tags"]["cut\ufffd"] in ("cut\ufffd", "\ufffd\ufffd")

    deep = {"stringValue": "x"}
    for _ in range(48):
        deep = {"arrayValue": {"values": [deep]}}
    def attribute(key, value):
        return {"key": key, "value": value}
    def otlp(*attributes):
        one = {"traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708", "name": "otlp", "attributes": list(attributes)}
        return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]})
    def send(body):
        return http_get(skein.ports["otlp"], "/v1/traces", {"Content-Type": "application/json"}, method="POST", body=body)
    status, _, body = send(otlp(attribute("deep", deep), attribute("half", {"stringValue": "HALF"})).replace('"HALF"', half))
    assert (status, json.loads(body)) == (200, {})
    status, _, body = send(otlp(*[attribute(f"k{n}", {"intValue": n}) for n in range(4097)], attribute("deeper", {"arrayValue": {"values": [deep] * 2}})))
    assert status == 200 and "2 attributes" in json.loads(body)["partialSuccess"]["errorMessage"]
    assert int(json.loads(body)["partialSuccess"].get("rejectedSpans", 0)) == 0
    parts = json.loads(http_get(skein.ports["zipkin"], "/api/v2/trace/0102030405060708090a0b0c0d0e0f10")[2])
    tags = {key: value for part in parts for key, value in part["tags"].items()}
    assert tags["deep"] == "[" * 48 + '"x"' + "]" * 48 and tags["half"] == "cut\ufffd"
    assert tags["k4095"] == "4095" and tags["otel.dropped_attributes_count"] == "2"
    metrics = http_get(skein.ports["metrics"], "/metrics")[2].decode()
    assert re.search(r'skein_receiver_parts_dropped_total\{[^}]*part="attributes"[^}]*\} 2\b', metrics), metrics


def test_receivers_take_what_browsers_and_collectors_send(start):
    import zstandard

    skein = start()
    packed = zstandard.compress(json.dumps([span()]).encode())
    assert post(skein, packed, {"Content-Encoding": "zstd"})[0] == 202
    assert post(skein, packed[:-3], {"Content-Encoding": "zstd"})[0] == 400
    assert post(skein, zstandard.compress(b" " * (65 << 20)), {"Content-Encoding": "zstd"})[0] == 413
    assert post(skein, [span(id="2")], path="/api/v2/spans/")[0] == 202
    assert http_get(skein.ports["otlp"], "/v1/traces/", {"Content-Type": "application/json"}, method="POST", body="{}")[0] == 200
    # A beacon: the preflight of a POST names the origin and lets credentials in; that of a read does neither.
    for port, path in ((skein.ports["zipkin"], "/api/v2/spans"), (skein.ports["otlp"], "/v1/traces")):
        asks = {"Origin": "https://shop.test", "Access-Control-Request-Headers": "content-type"}
        status, headers, _ = http_get(port, path, {**asks, "Access-Control-Request-Method": "POST"}, method="OPTIONS")
        assert status == 204 and headers["access-control-allow-origin"] == "https://shop.test" and headers["vary"] == "Origin"
        assert headers["access-control-allow-credentials"] == "true" and headers["access-control-allow-headers"] == "content-type"
    status, headers, _ = http_get(skein.ports["zipkin"], "/api/v2/spans", {**asks, "Access-Control-Request-Method": "GET"}, method="OPTIONS")
    assert status == 204 and headers["access-control-allow-origin"] == "*" and "access-control-allow-credentials" not in headers
    status, headers, _ = http_get(skein.ports["zipkin"], "/api/v2/services", {"Origin": "https://shop.test"})
    assert headers["access-control-allow-origin"] == "*" and "access-control-allow-credentials" not in headers
    # Each version says which it got.
    v1 = [{"traceId": "a", "id": "b", "binaryAnnotations": []}]
    assert post(skein, v1)[::2] == (400, b"Expected a JSON_V2 encoded list, but received: JSON_V1\n")
    assert post(skein, [span()], path="/api/v1/spans")[::2] == (400, b"Expected a JSON_V1 encoded list, but received: JSON_V2\n")
    assert post(skein, b"x", {"Content-Type": "application/x-thrift"}, path="/api/v1/spans")[0] == 415
    assert post(skein, v1, path="/api/v1/spans")[0] == 202
    assert http_get(skein.ports["zipkin"], "/api/v2/autocompleteValues?key=")[::2] == (400, b"key was empty")


def test_a_bad_span_costs_itself_and_not_its_batch(start):
    """Every span sent is in the store or counted under a reason, whatever its neighbours were."""
    skein = start()
    sent = bad = 0
    breakages = [{"id": "xyz"}, {"traceId": None}, {"timestamp": "soon"}, {"kind": "client"}, {"tags": ["a"]}, {"annotations": [{"value": "v"}]}, {"localEndpoint": {"port": 1 << 16}}]
    for round in range(20):
        batch = []
        for index in range(50):
            breakage = breakages[(round + index) % len(breakages)] if index % (round + 2) == 1 else {}
            batch.append(span(f"{round + 1:016x}", f"{index + 1:016x}") | breakage)
            bad += bool(breakage)
        sent += len(batch)
        status, _, text = post(skein, batch)
        assert status == 400 and b" spans refused, " in text and b"span 1, field " in text, text
        # Stored before the answer, and only the good ones.
        status, _, found = http_get(skein.ports["zipkin"], f"/api/v2/trace/{round + 1:016x}")
        assert status == 200 and len(json.loads(found)) == sum(index % (round + 2) != 1 for index in range(50))
    # JSON that breaks is refused whole.
    assert post(skein, json.dumps([span("ff"), span("ff", "2")]).encode()[:-1])[0] == 400
    assert http_get(skein.ports["zipkin"], "/api/v2/trace/00000000000000ff")[0] == 404
    counted = {}
    for line in http_get(skein.ports["metrics"], "/metrics")[2].decode().splitlines():
        if line.startswith("skein_receiver_spans") and 'receiver="zipkin"' in line:
            name = "rejected" if "rejected" in line else "stored"
            counted[name] = counted.get(name, 0) + float(line.rsplit(" ", 1)[1])
    assert counted == {"stored": sent - bad, "rejected": bad}


def test_zipkin_query_api(start):
    skein = start(arguments=["--autocomplete-keys", "http.method"])
    now = int(time.time() * 1e6)
    front = span(id="000000000000000a", kind="SERVER", tags={"http.method": "GET"}, duration=5000)
    call = span(id="000000000000000b", parentId="000000000000000a", kind="CLIENT", remoteEndpoint={"serviceName": "back"}, duration=3000, tags={"error": "x"})
    back = span(id="000000000000000c", parentId="000000000000000b", kind="SERVER", localEndpoint={"serviceName": "back"}, duration=2000, name="post")
    assert post(skein, [front, call, back])[0] == 202
    base = skein.ports["zipkin"]

    def get(path):
        status, headers, body = http_get(base, path)
        assert status == 200, (path, body)
        assert headers.get("access-control-allow-origin") == "*"
        return json.loads(body)

    for prefix in ("/api/v2", "/zipkin/api/v2"):
        assert get(prefix + "/services") == ["back", "front"]
        assert get(prefix + "/spans?serviceName=back") == ["post"]
        assert get(prefix + "/remoteServices?serviceName=front") == ["back"]
        assert len(get(prefix + "/traces?serviceName=front&spanName=get&annotationQuery=http.method%3DGET&minDuration=4000")) == 1
        assert get(prefix + "/traces?serviceName=back&annotationQuery=http.method%3DGET") == []
        assert len(get(prefix + "/trace/" + front["traceId"])) == 3
        assert get(prefix + f"/dependencies?endTs={now // 1000 + 1000}") == [{"parent": "front", "child": "back", "callCount": 1, "errorCount": 1}]
        assert get(prefix + "/autocompleteKeys") == ["http.method"]
        assert get(prefix + "/autocompleteValues?key=http.method") == ["GET"]
    assert http_get(base, "/api/v2/trace/00000000000000ff")[0] == 404
    assert http_get(base, "/api/v2/trace/xyz")[0] == 400
    assert http_get(base, "/api/v2/traces?limit=0")[0] == 400
    assert http_get(base, "/api/v2/traceMany?traceIds=" + front["traceId"])[0] == 400
    assert http_get(base, "/health")[0] == 200 and http_get(base, "/info")[0] == 200
    assert json.loads(http_get(base, "/zipkin/config.json")[2])
    for page in ("/", "/zipkin/"):
        status, headers, body = http_get(base, page)
        assert status == 200 and headers["content-type"].startswith("text/html") and b"front" in body


def test_otlp_errors(start):
    skein = start()
    status, headers, body = http_get(skein.ports["otlp"], "/v1/traces", {"Content-Type": "application/x-protobuf"}, method="POST", body=b"\xff\xff\xff")
    assert status == 400 and headers["content-type"] == "application/x-protobuf"
    assert http_get(skein.ports["otlp"], "/v1/traces", {"Content-Type": "application/x-protobuf"}, method="POST", body=b"")[0] == 200
    assert http_get(skein.ports["otlp"], "/v1/traces", {"Content-Type": "text/plain"}, method="POST", body=b"x")[0] == 415
    # 5 KB of nesting that would overflow a recursive decoder.
    nested = b""
    for _ in range(2000):
        nested = b"\x2a" + varint(len(nested) + 1 + len(varint(len(nested)))) + b"\x0a" + varint(len(nested)) + nested if nested else b"\x0a\x00"
    assert http_get(skein.ports["otlp"], "/v1/traces", {"Content-Type": "application/x-protobuf"}, method="POST", body=nested)[0] in (200, 400)
    assert http_get(skein.ports["zipkin"], "/health")[0] == 200


def varint(value):
    out = b""
    while True:
        out += bytes([value & 127 | (128 if value > 127 else 0)])
        value >>= 7
        if not value:
            return out


# --- curl and wrk -------------------------------------------------------------------------------------------------------


def test_curl_as_http_proxy(proxy):
    result = subprocess.run(
        ["curl", "-sS", "-x", f"http://127.0.0.1:{proxy.ports['outbound']}", "-w", "%{http_code}", "http://web.local/x"], capture_output=True, timeout=20
    )
    assert result.stdout == b"ok200", result


def test_wrk_counts_agree_to_the_unit(start):
    backend = Backend()
    skein = start(mesh(backend.port), arguments=["--workers", "2"])
    script = skein.directory / "count.lua"
    script.write_text('wrk.headers["Host"] = "web.local"\nfunction done(s) io.write(string.format("requests=%d errors=%d\\n", s.requests, s.errors.connect + s.errors.read + s.errors.write + s.errors.status + s.errors.timeout)) end\n')
    out = subprocess.run(["wrk", "-t1", "-c16", "-d3s", "-s", str(script), f"http://127.0.0.1:{skein.ports['outbound']}/"], capture_output=True, text=True).stdout
    sent, errors = map(int, re.search(r"requests=(\d+) errors=(\d+)", out).groups())
    assert errors == 0 and sent > 100
    # wrk leaves up to one request a connection in flight when it stops: what is counted is final when its connections are gone.
    wait_for(lambda: skein.samples("skein_proxy_downstream_connections_active") == 0, what="the end of wrk's connections")
    counted = skein.samples("istio_requests_total")
    assert sent <= counted <= sent + 16 and sent <= len(backend.requests) <= counted
    # Everything is written when the process has ended.
    assert skein.stop() == 0
    lines = len((skein.directory / "access.log").read_text().splitlines())
    assert lines == counted
    backend.close()


def test_received_spans_reach_the_zipkin_of_the_provider(start):
    """A provider that points elsewhere gets what applications send here as well, and what is stored stays stored."""
    there = start()
    config = f"""
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh, namespace: istio-system}}
spec:
  meshConfig:
    defaultProviders: {{tracing: [away]}}
    extensionProviders:
    - name: away
      zipkin: {{service: 127.0.0.1, port: {there.ports['zipkin']}}}
"""
    here = start(config)
    span = [{"traceId": "00000000000000aa", "id": "00000000000000bb", "name": "get", "timestamp": int(time.time() * 1e6), "duration": 5, "localEndpoint": {"serviceName": "app"}}]
    assert http_get(here.ports["zipkin"], "/api/v2/spans", {"Content-Type": "application/json"}, method="POST", body=json.dumps(span))[0] == 202
    for skein in (here, there):
        wait_for(lambda: http_get(skein.ports["zipkin"], "/api/v2/trace/00000000000000aa")[0] == 200, what="the trace")


def test_answers_are_gzip_for_clients_that_take_it(start):
    skein = start()
    for index in range(40):
        assert post(skein, [span(f"{index + 1:016x}", f"{index + 1:016x}", tags={"http.path": "/a/rather/long/path/that/repeats"})])[0] == 202
    same = {"zipkin": ["/api/v2/traces?serviceName=front&limit=100", "/zipkin/api/v2/traces?limit=100"]}
    for port, paths in same.items():
        for path in paths:
            status, headers, plain = http_get(skein.ports[port], path)
            assert status == 200 and "content-encoding" not in headers and "accept-encoding" in headers["vary"].lower()
            for accepted, coded in (("gzip", True), ("deflate, gzip;q=0.5", True), ("*", True), ("gzip;q=0", False), ("gzip;q=0, *", False), ("br", False)):
                status, headers, body = http_get(skein.ports[port], path, {"Accept-Encoding": accepted})
                assert status == 200 and (headers.get("content-encoding") == "gzip") == coded, (path, accepted)
                assert "accept-encoding" in headers["vary"].lower()
                assert (gzip.decompress(body) if coded else body) == plain and (len(body) < len(plain) / 4) == coded
    # Not worth it.
    assert "content-encoding" not in http_get(skein.ports["zipkin"], "/api/v2/services", {"Accept-Encoding": "gzip"})[1]
    for path in ("/metrics", "/stats/prometheus"):
        _, headers, body = http_get(skein.ports["metrics"], path, {"Accept-Encoding": "gzip"})
        assert headers["content-encoding"] == "gzip" and b"skein_receiver_spans_total" in gzip.decompress(body)
        assert {part.strip().lower() for part in headers["vary"].split(",")} == {"accept", "accept-encoding"}
