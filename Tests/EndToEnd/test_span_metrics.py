"""Metrics that are made from spans, asked for as Grafana's service graph asks."""

import json
import math
import time

import pytest

from conftest import http_get, mesh, wait_for
from test_series import api, value

# Halves of edges wait ten seconds for the other one.
ALONE = 25


def vector(port, query):
    """What an instant query answers: number by labels, the metric's name left out."""
    answer = api(port, "query", form={"query": query})
    assert answer["status"] == "success", answer
    found = {}
    for series in answer["data"]["result"]:
        labels = {name: text for name, text in series["metric"].items() if name != "__name__"}
        found[tuple(sorted(labels.items()))] = float(series["value"][1])
    return found


def labels(**pairs):
    return tuple(sorted(pairs.items()))


def zipkin(port, *spans):
    status, _, body = http_get(port, "/api/v2/spans", {"Content-Type": "application/json"}, method="POST", body=json.dumps(spans))
    assert status == 202, body


class Trace:
    """Zipkin spans of one trace. Times are milliseconds."""

    def __init__(self, number):
        self.id = f"{number:032x}"
        self.start = int(time.time() * 1e6)

    def span(self, number, kind, service, name, parent=None, took=10, remote=None, **tags):
        span = {
            "traceId": self.id, "id": f"{number:016x}", "name": name, "timestamp": self.start, "duration": took * 1000,
            "localEndpoint": {"serviceName": service}, "tags": {key.replace("_", "."): text for key, text in tags.items()},
        }
        if kind:
            span["kind"] = kind
        if parent:
            span["parentId"] = f"{parent:016x}"
        if remote:
            span["remoteEndpoint"] = {"serviceName": remote}
        return span


@pytest.fixture
def skein(start):
    return start(None, ["--metrics-interval", "1"])


@pytest.fixture
def port(skein):
    return skein.ports["zipkin"]


def shop(port, number, status=None):
    """user → frontend → cart → redis, and frontend → payments.example, which sends no spans."""
    trace = Trace(number)
    errors = {"error": status} if status else {}
    zipkin(
        port,
        trace.span(1, "SERVER", "frontend", "get /cart", took=300),
        trace.span(2, "CLIENT", "frontend", "call cart", parent=1, took=250),
        trace.span(4, "CLIENT", "cart", "hget", parent=3, took=3, db_system="redis"),
        trace.span(5, "CLIENT", "frontend", "post", parent=1, took=40, remote="payments.example"),
    )
    # Another reporter, later.
    zipkin(port, trace.span(3, "SERVER", "cart", "get cart", parent=2, took=150, **errors))


class TestServiceGraph:
    def test_edges_are_what_grafana_asks_for(self, port):
        for number in range(1, 5):
            shop(port, number, status="500" if number == 4 else None)
        total = "sum by (client, server) (traces_service_graph_request_total)"
        everything = {
            labels(client="frontend", server="cart"): 4,
            labels(client="cart", server="redis"): 4,
            labels(client="frontend", server="payments.example"): 4,
            labels(client="user", server="frontend"): 4,
        }
        wait_for(lambda: vector(port, total) == everything, seconds=ALONE, what="all edges")
        assert vector(port, 'sum by (client, server, connection_type) (traces_service_graph_request_total)') == {
            labels(client="frontend", server="cart"): 4,
            labels(client="cart", server="redis", connection_type="database"): 4,
            labels(client="frontend", server="payments.example", connection_type="virtual_node"): 4,
            labels(client="user", server="frontend", connection_type="virtual_node"): 4,
        }
        failed = "sum by (client, server) (traces_service_graph_request_failed_total) > 0"
        assert vector(port, failed) == {labels(client="frontend", server="cart"): 1}
        seconds = "sum by (client, server) (traces_service_graph_request_server_seconds_sum)"
        assert math.isclose(vector(port, seconds)[labels(client="frontend", server="cart")], 0.6)
        assert vector(port, "sum by (client, server) (traces_service_graph_request_server_seconds_count)") == everything
        buckets = 'sum by (le) (traces_service_graph_request_server_seconds_bucket{client="frontend",server="cart"})'
        found = {dict(series)["le"]: number for series, number in vector(port, buckets).items()}
        assert found == {"0.1": 0, "0.2": 4, "0.4": 4, "0.8": 4, "1.6": 4, "3.2": 4, "6.4": 4, "12.8": 4, "+Inf": 4}

    def test_every_bucket_leads_to_a_trace(self, port):
        """Each bucket that a span or a call fell into has an exemplar, and its trace and span can be shown."""
        for number in range(0x51, 0x55):
            shop(port, number)
        for metric in ("traces_spanmetrics_latency_bucket", "traces_service_graph_request_server_seconds_bucket"):

            def found():
                answer = api(port, "query_exemplars", {"query": metric, "start": time.time() - 60, "end": time.time() + 1})
                return {frozenset(one["seriesLabels"].items()): one["exemplars"] for one in answer["data"]}

            exemplars = wait_for(found, what="exemplars")
            below, filled = {}, set()
            counts = api(port, "query", {"query": metric})["data"]["result"]
            for one in sorted(counts, key=lambda one: float(one["metric"]["le"])):
                series = frozenset((name, text) for name, text in one["metric"].items() if name != "le")
                if float(one["value"][1]) > below.get(series, 0):
                    filled.add(frozenset(one["metric"].items()))
                below[series] = float(one["value"][1])
            assert set(exemplars) == filled and filled
            for series, those in exemplars.items():
                for exemplar in those:
                    assert float(exemplar["value"]) <= float(dict(series)["le"])
                    status, _, body = http_get(port, "/api/v2/trace/" + exemplar["labels"]["trace_id"])
                    assert status == 200 and any(span["id"] == exemplar["labels"]["span_id"] for span in json.loads(body))

    def test_rates_begin_with_the_first_call(self, port):
        """Grafana asks for rates over its range: the first calls of a new edge are an increase as well."""
        trace = Trace(9)
        zipkin(port, trace.span(1, "CLIENT", "a", "call"), trace.span(2, "SERVER", "b", "serve", parent=1))
        increase = "sum(max_over_time(traces_service_graph_request_total[1m])) - sum(min_over_time(traces_service_graph_request_total[1m]))"
        wait_for(lambda: value(port, increase) == 1, what="an edge that came from zero")
        rate = 'sum(rate(traces_service_graph_request_total{client="a",server="b"}[1m])) by (client, server)'
        wait_for(lambda: (value(port, rate) or 0) > 0, what="a rate of the edge")

    def test_operations_are_what_grafanas_table_asks_for(self, port):
        for number in range(1, 4):
            shop(port, number, status="boom" if number == 1 else None)
        calls = 'sum by (span_name) (traces_spanmetrics_calls_total{span_kind="SPAN_KIND_SERVER"})'
        wait_for(lambda: vector(port, calls) == {labels(span_name="get /cart"): 3, labels(span_name="get cart"): 3}, what="calls")
        failed = 'traces_spanmetrics_calls_total{status_code="STATUS_CODE_ERROR",span_name=~"get /cart|get cart"}'
        assert vector(port, f"topk(5, sum by (span_name) ({failed}))") == {labels(span_name="get cart"): 1}
        quantile = 'histogram_quantile(.9, sum by (le) (traces_spanmetrics_latency_bucket{span_name="get cart"}))'
        assert 0.128 < value(port, quantile) <= 0.256
        seconds = vector(port, 'sum by (service, span_kind, status_code) (traces_spanmetrics_latency_sum{service="frontend"})')
        assert seconds[labels(service="frontend", span_kind="SPAN_KIND_SERVER", status_code="STATUS_CODE_UNSET")] == pytest.approx(0.9)

    def test_its_own_counters_tell_what_it_does(self, skein, port):
        shop(port, 1)
        wait_for(lambda: skein.samples("skein_span_metrics_spans_total") == 5, what="five spans counted")
        assert skein.samples("skein_span_metrics_edges_total", outcome="paired") == 1
        assert skein.samples("skein_span_metrics_edges_total", outcome="database") == 1
        # The frontend's server span and its call of payments wait for sides that never come.
        assert skein.samples("skein_span_metrics_edges_open") == 2
        wait_for(lambda: skein.samples("skein_span_metrics_edges_open") == 0, seconds=ALONE, what="lone spans judged")
        assert skein.samples("skein_span_metrics_edges_total", outcome="user") == 1
        wait_for(lambda: skein.samples("skein_span_metrics_recordings_total", outcome="stored") > 0, what="a recording")
        metadata = api(port, "metadata")["data"]
        assert metadata["traces_service_graph_request_total"][0]["type"] == "counter"
        assert metadata["traces_spanmetrics_latency"][0]["type"] == "histogram"


class TestOpenTelemetry:
    def send(self, skein, weight=None, protocol="http"):
        """A client's and a server's span by OpenTelemetry's SDK, under one trace with this sampling threshold."""
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

        if protocol == "http":
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{skein.ports['otlp']}/v1/traces")
        else:
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

            exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{skein.ports['otlp-grpc']}", insecure=True)

        def tracer(service):
            provider = TracerProvider(resource=Resource({"service.name": service}))
            provider.add_span_processor(SimpleSpanProcessor(exporter))
            return provider, provider.get_tracer("test")

        ids = RandomIdGenerator()
        state = trace.TraceState([("ot", weight)]) if weight else None
        root = trace.SpanContext(ids.generate_trace_id(), ids.generate_span_id(), True, trace.TraceFlags(1), state)
        above = trace.set_span_in_context(trace.NonRecordingSpan(root))
        (one, client), (two, server) = tracer("checkout"), tracer("shipping")
        with client.start_as_current_span("POST /ship", context=above, kind=trace.SpanKind.CLIENT) as outer:
            with server.start_as_current_span("ship", context=trace.set_span_in_context(outer), kind=trace.SpanKind.SERVER) as inner:
                inner.set_status(trace.StatusCode.ERROR, "no parcels")
        for provider in (one, two):
            provider.shutdown()

    @pytest.mark.parametrize("protocol", ["http", "grpc"])
    def test_spans_of_an_sdk_become_an_edge(self, skein, port, protocol):
        self.send(skein, protocol=protocol)
        total = "sum by (client, server) (traces_service_graph_request_total)"
        edge = labels(client="checkout", server="shipping")
        wait_for(lambda: vector(port, total) == {edge: 1}, what="the edge")
        assert vector(port, "sum by (client, server) (traces_service_graph_request_failed_total)") == {edge: 1}
        assert vector(port, "traces_spanmetrics_calls_total") == {
            labels(service="checkout", span_name="post /ship", span_kind="SPAN_KIND_CLIENT", status_code="STATUS_CODE_UNSET"): 1,
            labels(service="shipping", span_name="ship", span_kind="SPAN_KIND_SERVER", status_code="STATUS_CODE_ERROR"): 1,
        }

    def test_sampled_spans_count_for_those_left_out(self, skein, port):
        self.send(skein, weight="th:8")
        self.send(skein, weight="th:c;rv:e0000000000000")
        wait_for(lambda: value(port, "sum(traces_service_graph_request_total)") == 2 + 4, what="weighted edges")
        assert value(port, 'traces_spanmetrics_calls_total{service="checkout"}') == 6
        assert value(port, 'traces_spanmetrics_latency_count{service="shipping"}') == 6

    def test_a_hostile_threshold_counts_once(self, skein, port):
        self.send(skein, weight="th:ffffffffffffff")
        wait_for(lambda: value(port, "sum(traces_service_graph_request_total)") == 1, what="the edge")
        assert skein.samples("skein_span_metrics_weights_refused_total") == 2


class TestSwitch:
    def test_opentelemetrys_names(self, start):
        skein = start(None, ["--metrics-interval", "1", "--span-metrics", "otel"])
        port = skein.ports["zipkin"]
        shop(port, 1)
        calls = 'sum by (service_name, span_name) (traces_span_metrics_calls_total{span_kind="SPAN_KIND_SERVER"})'
        wait_for(lambda: len(vector(port, calls)) == 2, what="calls")
        assert vector(port, calls)[labels(service_name="cart", span_name="get cart")] == 1
        assert value(port, 'traces_span_metrics_duration_milliseconds_sum{service_name="cart",span_name="get cart"}') == 150
        assert value(port, 'traces_span_metrics_duration_milliseconds_bucket{span_name="get cart",le="200"}') == 1
        assert value(port, 'traces_service_graph_request_total{client="frontend",server="cart"}') == 1
        assert vector(port, '{__name__=~"traces_spanmetrics_.*"}') == {}

    @pytest.mark.parametrize("arguments", [["--span-metrics", "off"], ["--metrics-interval", "0"]])
    def test_none(self, start, arguments):
        skein = start(None, ["--metrics-interval", "1", *arguments])
        shop(skein.ports["zipkin"], 1)
        wait_for(lambda: skein.samples("skein_receiver_spans_total") == 5, what="five spans stored")
        assert skein.samples("skein_span_metrics_spans_total") == 0
        assert "skein_span_metrics" not in skein.metrics()[2].decode()


class TestProxy:
    def test_spans_of_this_proxy_are_counted_and_its_callers_call_not_twice(self, start, backend):
        """The application's client span, the proxy's, and the called application's: one edge, of the proxy and whom it called."""
        skein = start(mesh(backend.port), ["--metrics-interval", "1"])
        port = skein.ports["zipkin"]
        trace = Trace(77)
        sent = {"X-B3-TraceId": trace.id, "X-B3-SpanId": f"{1:016x}", "X-B3-Sampled": "1"}
        assert skein.get("/a", headers=sent)[0] == 200
        received = backend.requests[-1][3]
        assert received[b"x-b3-parentspanid"] == f"{1:016x}".encode()
        wait_for(lambda: value(port, 'traces_spanmetrics_calls_total{service="skein",span_kind="SPAN_KIND_CLIENT"}') == 1, what="its span")
        zipkin(
            port, trace.span(99, "SERVER", "web", "serve", parent=int(received[b"x-b3-spanid"], 16)),
            trace.span(1, "CLIENT", "app", "call", remote="web.local"))
        total = "sum by (client, server) (traces_service_graph_request_total)"
        wait_for(lambda: vector(port, total) == {labels(client="skein", server="web"): 1}, what="the edge")
        judged = lambda: skein.samples("skein_span_metrics_edges_total", outcome="proxied") == 1
        wait_for(judged, seconds=ALONE, what="the caller's span judged")
        assert vector(port, total) == {labels(client="skein", server="web"): 1}

    def test_the_last_spans_before_an_orderly_end_are_counted(self, start):
        skein = start(None, ["--metrics-interval", "3600"])
        trace = Trace(5)
        zipkin(skein.ports["zipkin"], trace.span(1, "CLIENT", "a", "x"), trace.span(2, "SERVER", "b", "y", parent=1))
        assert skein.stop() == 0
        again = start(None, ["--metrics-interval", "0"], directory=skein.directory)
        peak = 'max_over_time(traces_service_graph_request_total{client="a",server="b"}[5m])'
        assert value(again.ports["zipkin"], peak) == 1
