"""Series in the store, asked for by Prometheus' API: against a real Prometheus, with OpenTelemetry's exporters, as Grafana asks."""

import json
import math
import socket
import subprocess
import urllib.parse

import pytest
import requests

from conftest import SKEIN, free_port, http_get, mesh, wait_for


def api(port, path, form=None, **parameters):
    """The answer's JSON, whatever its status. `form`: POSTed."""
    query = urllib.parse.urlencode(parameters, doseq=True)
    if form is None:
        return json.loads(http_get(port, f"/api/v1/{path}?{query}")[2])
    body = urllib.parse.urlencode(form, doseq=True)
    return json.loads(http_get(port, f"/api/v1/{path}", {"Content-Type": "application/x-www-form-urlencoded"}, method="POST", body=body)[2])


def value(port, query, **parameters):
    """The number that a query comes to; None without one."""
    answer = api(port, "query", query=query, **parameters)
    assert answer["status"] == "success", answer
    result = answer["data"]["result"]
    return float(result[0]["value"][1]) if result else None


@pytest.fixture
def recording(backend, start):
    skein = start(mesh(backend.port), ["--metrics-interval", "1"])
    skein.query_port = skein.ports["zipkin"]
    return skein


class TestOwnMetrics:
    def test_requests_sent_are_requests_counted(self, recording):
        for _ in range(25):
            assert recording.get("/a")[0] == 200
        total = 'sum(istio_requests_total{destination_service="web.local",response_code="200"})'
        wait_for(lambda: value(recording.query_port, total) == 25, what="25 requests in the store")
        count = 'sum(istio_request_duration_milliseconds_count{destination_service="web.local"})'
        assert value(recording.query_port, count) == 25
        buckets = 'sum(istio_request_duration_milliseconds_bucket{destination_service="web.local",le="+Inf"})'
        assert value(recording.query_port, buckets) == 25
        assert value(recording.query_port, "up") == 1

    def test_the_last_requests_before_an_orderly_end_are_there_after_it(self, recording, start, backend):
        for _ in range(7):
            assert recording.get("/a")[0] == 200
        assert recording.stop() == 0
        again = start(mesh(backend.port), ["--metrics-interval", "1"], directory=recording.directory)
        total = 'sum(max_over_time(istio_requests_total{destination_service="web.local"}[10m]))'
        wait_for(lambda: value(again.ports["zipkin"], total) == 7, what="7 requests of the process before")

    def test_kill_keeps_what_was_recorded(self, recording, start, backend):
        for _ in range(5):
            recording.get("/a")
        total = 'sum(istio_requests_total{destination_service="web.local"})'
        wait_for(lambda: value(recording.query_port, total) == 5, what="5 requests in the store")
        recording.process.kill()
        recording.process.wait()
        again = start(mesh(backend.port), ["--metrics-interval", "1"], directory=recording.directory)
        total = 'sum(max_over_time(istio_requests_total{destination_service="web.local"}[10m]))'
        assert value(again.ports["zipkin"], total) == 5

    def test_the_command_line_asks(self, recording):
        for _ in range(3):
            recording.get("/a")
        total = 'sum by (response_code) (istio_requests_total{destination_service="web.local"})'
        wait_for(lambda: value(recording.query_port, total) == 3, what="3 requests in the store")
        server = ["--server", f"127.0.0.1:{recording.query_port}"]
        shown = subprocess.run([SKEIN, "query", total, *server], capture_output=True, text=True, check=True).stdout.splitlines()
        assert shown[0].split() == ["RESPONSE_CODE", "VALUE"] and shown[1].split() == ["200", "3"]
        ranged = subprocess.run([SKEIN, "query", total, "--range", "1m", "--step", "1s", *server], capture_output=True, text=True, check=True).stdout
        assert "TREND" in ranged and "█" in ranged or "▁" in ranged
        wrong = subprocess.run([SKEIN, "query", "sum(", *server], capture_output=True, text=True)
        assert wrong.returncode == 65 and "parse error" in wrong.stderr


class TestReports:
    """A proxy without a store reports to a collector."""

    TOTAL = 'sum(istio_requests_total{destination_service="web.local"})'

    def reporting(self, start, backend, collector_port):
        return start(mesh(backend.port), ["--no-store", "--metrics-interval", "1", "--collector", f"127.0.0.1:{collector_port}"])

    def test_requests_sent_are_requests_counted_elsewhere(self, start, backend):
        collector = start(None, ["--metrics-interval", "0"])
        one, two = (self.reporting(start, backend, collector.ports["zipkin"]) for _ in range(2))
        for _ in range(9):
            one.get("/a")
        for _ in range(4):
            two.get("/a")
        wait_for(lambda: value(collector.ports["zipkin"], self.TOTAL) == 13, what="13 requests of two proxies")
        instances = api(collector.ports["zipkin"], "label/instance/values")["data"]
        assert sorted(instances) == sorted(f"127.0.0.1:{skein.ports['metrics']}" for skein in (one, two))
        one.get("/a")
        assert one.stop() == 0
        peak = 'sum(max_over_time(istio_requests_total{destination_service="web.local"}[5m]))'
        assert value(collector.ports["zipkin"], peak) == 14, "the last report is sent before an orderly end"

    def test_a_proxy_that_was_killed_leaves_a_gap_that_is_told(self, start, backend):
        collector = start(None, ["--metrics-interval", "0"])
        arguments = ["--no-store", "--metrics-interval", "1", "--collector", f"127.0.0.1:{collector.ports['zipkin']}"]
        proxy = start(mesh(backend.port), arguments)
        wait_for(lambda: collector.samples("skein_series_samples_total") or 0, what="a report")
        same = [*arguments, "--metrics-port", str(proxy.ports["metrics"])]
        instance = f"127.0.0.1:{proxy.ports['metrics']}"
        reports = f'count_over_time(up{{instance="{instance}"}}[5m])'
        assert proxy.stop() == 0
        before = value(collector.ports["zipkin"], reports)
        proxy = start(mesh(backend.port), same)
        wait_for(lambda: value(collector.ports["zipkin"], reports) >= before + 3, what="three reports of the second one")
        proxy.process.kill()
        proxy.process.wait()
        wait_for(lambda: collector.samples("skein_reporters", state="late") == 1, seconds=60, what="a report that is late")
        assert collector.samples("skein_reporter_silence_seconds", reporter=instance) > 3
        assert f"{instance} has sent no report for" in collector.log()
        assert collector.samples("skein_reporter_gaps_total") == 0, "an orderly end leaves none"
        start(mesh(backend.port), same)
        wait_for(lambda: collector.samples("skein_reporter_gaps_total") == 1, seconds=60, what="the gap")
        assert f"{instance} began anew without a last report: what it counted after 20" in collector.log()

    def test_a_collector_that_was_away_gets_all(self, start, backend):
        port = free_port()
        proxy = self.reporting(start, backend, port)
        for _ in range(6):
            proxy.get("/a")
        wait_for(lambda: "exporter collector" in proxy.log(), what="the log to say that nobody answers")
        start(None, ["--metrics-interval", "0", "--zipkin-port", str(port)])
        wait_for(lambda: value(port, self.TOTAL) == 6, seconds=30, what="6 requests")

    def test_a_report_that_comes_twice_counts_once(self, recording):
        import struct
        import time

        def varint(number):
            head = bytes([number & 127 | (128 if number > 127 else 0)])
            return head + (varint(number >> 7) if number > 127 else b"")

        def report(sequence, number, at):
            identity = b"\x00" + b"\x08__name__" + b"\x09dup_total"
            point = varint(0) + varint(2 * at) + varint(0) + struct.pack("<d", number)
            return b"SKR1\x01a" + varint(sequence) + varint(1) + varint(len(identity)) + identity + varint(1) + point

        def send(body):
            status, _, answer = http_get(recording.query_port, "/v1/report", method="POST", body=body)
            return status, json.loads(answer)["sequence"]

        now = int(time.time() * 1000)
        assert send(report(7, 5.0, now - 3000)) == (200, 7)
        assert send(report(7, 99.0, now - 2000)) == (200, 7)
        assert send(report(6, 98.0, now - 1000)) == (200, 6)
        assert value(recording.query_port, "dup_total") == 5
        assert send(report(8, 9.0, now)) == (200, 8)
        assert value(recording.query_port, "dup_total") == 9
        wait_for(lambda: recording.samples("skein_series_reports_repeated_total") == 2, what="two reports counted as repeated")

    @pytest.mark.parametrize("body, text", [(b"", "no report of this version"), (b"SKR1\x01a\x00", "1 at least"), (b"SKR1\x01a\x01\x05", "more items")])
    def test_what_is_no_report_is_refused(self, recording, body, text):
        status, _, answer = http_get(recording.query_port, "/v1/report", method="POST", body=body)
        assert status == 400 and text in answer.decode()

    @pytest.mark.parametrize("address", ["", "nowhere", "a:b", "a:0", "http://a:1/x"])
    def test_a_wrong_address_is_told(self, address):
        run = subprocess.run([SKEIN, "run", "--collector", address], capture_output=True, text=True)
        assert run.returncode == 64 and "HOST:PORT" in run.stderr


class TestGrafana:
    def test_save_and_test(self, recording):
        port = recording.query_port
        assert api(port, "query", {"query": "1+1", "time": "4"})["data"] == {"resultType": "scalar", "result": [4, "2"]}
        build = api(port, "status/buildinfo")
        assert build["status"] == "success" and build["data"]["version"].startswith("3.") and "features" not in build["data"]

    def test_the_editor(self, recording):
        port = recording.query_port
        recording.get("/a")
        wait_for(lambda: value(port, "sum(istio_requests_total)") == 1, what="a request in the store")
        names = api(port, "label/__name__/values", limit=40000)["data"]
        assert "istio_requests_total" in names and "up" in names and "istio_request_duration_milliseconds_bucket" in names
        labels = api(port, "labels", **{"match[]": "istio_requests_total"})["data"]
        assert "destination_service" in labels and "job" in labels and labels == sorted(labels)
        services = api(port, "label/destination_service/values", **{"match[]": "istio_requests_total"})["data"]
        assert services == ["web.local"]
        series = api(port, "series", **{"match[]": 'istio_requests_total{response_code="200"}'})["data"]
        assert len(series) == 1 and series[0]["destination_service"] == "web.local" and series[0]["job"] == "skein"
        assert api(port, "metadata", metric="istio_requests_total")["data"]["istio_requests_total"][0]["type"] == "counter"
        assert api(port, "rules")["data"] == {"groups": []}
        assert api(port, "series")["errorType"] == "bad_data"

    def test_a_panel_and_below_a_prefix(self, recording):
        import time

        port = recording.query_port
        for _ in range(4):
            recording.get("/a")
        wait_for(lambda: value(port, "sum(istio_requests_total)") == 4, what="requests in the store")
        now = time.time()
        form = {"query": "sum(istio_requests_total)", "start": now - 30, "end": now, "step": "1"}
        answer = api(port, "query_range", form)
        assert answer["data"]["resultType"] == "matrix" and answer["data"]["result"][0]["values"][-1][1] == "4"
        status, headers, body = http_get(port, "/prometheus/api/v1/query?query=sum(istio_requests_total)")
        assert status == 200 and json.loads(body)["data"]["result"][0]["value"][1] == "4"

    @pytest.mark.parametrize(
        "path, parameters, status, kind, text",
        [
            ("query", {"query": "sum("}, 400, "bad_data", 'invalid parameter "query": 1:5: parse error: unclosed left parenthesis'),
            ("query", {"query": ""}, 400, "bad_data", "no expression found in input"),
            ("query", {"query": "up", "time": "foo"}, 400, "bad_data", 'invalid parameter "time": cannot parse "foo" to a valid timestamp'),
            ("query_range", {"query": "up", "start": 2, "end": 1, "step": 1}, 400, "bad_data", 'invalid parameter "end": end timestamp must not be before start time'),
            ("query_range", {"query": "up", "start": 1, "end": 2, "step": 0}, 400, "bad_data", "zero or negative query resolution step widths are not accepted"),
            ("query_range", {"query": "up", "start": 0, "end": 20000, "step": 1}, 400, "bad_data", "exceeded maximum resolution of 11,000 points"),
            ("query", {"query": "label_replace(up, \"a\", \"b\", \"c\", \"(\")"}, 422, "execution", "invalid regular expression"),
        ],
    )
    def test_errors_are_prometheus_own(self, recording, path, parameters, status, kind, text):
        got, _, body = http_get(recording.query_port, f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        answer = json.loads(body)
        assert (got, answer["status"], answer["errorType"]) == (status, "error", kind) and text in answer["error"], answer


class TestReceivers:
    def meter(self, exporter, **resource):
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource

        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
        return MeterProvider([reader], Resource(resource)), reader

    @pytest.mark.parametrize("transport", ["http", "grpc"])
    def test_opentelemetrys_exporters(self, recording, transport):
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as OverGRPC
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as OverHTTP

        if transport == "http":
            exporter = OverHTTP(f"http://127.0.0.1:{recording.ports['otlp']}/v1/metrics")
        else:
            exporter = OverGRPC(f"http://127.0.0.1:{recording.ports['otlp-grpc']}", insecure=True)
        attributes = {"service.name": "shop", "service.namespace": "eu", "service.instance.id": "a-1", "host.name": "h7"}
        provider, _ = self.meter(exporter, **attributes)
        meter = provider.get_meter("test")
        meter.create_counter("orders.placed", unit="1").add(5, {"kind": "new"})
        meter.create_histogram("checkout.duration", unit="ms").record(42, {"ok": True})
        meter.create_up_down_counter("carts.open").add(3)
        assert provider.force_flush()
        port = recording.query_port
        target = 'job="eu/shop",instance="a-1"'
        assert value(port, f'orders_placed_total{{{target},kind="new"}}') == 5
        assert value(port, f"checkout_duration_milliseconds_sum{{{target}}}") == 42
        assert value(port, f'checkout_duration_milliseconds_bucket{{{target},ok="true",le="50"}}') == 1
        assert value(port, f'checkout_duration_milliseconds_bucket{{{target},le="25"}}') == 0
        assert value(port, f"carts_open{{{target}}}") == 3
        assert value(port, f'target_info{{{target},host_name="h7"}}') == 1
        provider.shutdown()

    def test_json_and_exponential_histograms(self, recording):
        import time

        now = str(time.time_ns())
        point = {"timeUnixNano": now, "count": "3", "sum": 6.0, "scale": 0, "zeroCount": "1", "positive": {"offset": 0, "bucketCounts": ["1", "1"]}}
        metrics = [
            {"name": "sizes", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [point]}},
            {"name": "temp", "unit": "Cel", "gauge": {"dataPoints": [{"timeUnixNano": now, "asInt": "-5"}]}},
        ]
        body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}
        answer = requests.post(f"http://127.0.0.1:{recording.ports['otlp']}/v1/metrics", json=body, timeout=10)
        assert (answer.status_code, answer.json()) == (200, {})
        assert value(recording.query_port, "temp_celsius") == -5
        assert value(recording.query_port, "histogram_count(sizes)") == 3
        histogram = api(recording.query_port, "query", query="sizes")["data"]["result"][0]["histogram"][1]
        assert histogram["sum"] == "6" and [2, 4] == [float(x) for x in histogram["buckets"][-1][1:3]]

    def test_what_cannot_be_taken_is_said(self, recording):
        point = {"timeUnixNano": "1", "count": "3", "bucketCounts": ["1"], "explicitBounds": [1, 2]}
        body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": [point]}}]}]}]}
        answer = requests.post(f"http://127.0.0.1:{recording.ports['otlp']}/v1/metrics", json=body, timeout=10)
        assert answer.status_code == 200
        partial = answer.json()["partialSuccess"]
        assert partial["rejectedDataPoints"] == "1" and "expected one more than bounds" in partial["errorMessage"]

    @pytest.mark.parametrize(
        "headers, body, status",
        [
            ({"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}, b"\x01\x00", 400),
            ({"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}, b"", 415),
            ({"Content-Type": "application/json", "Content-Encoding": "snappy"}, b"", 415),
            ({"Content-Type": "application/x-protobuf;proto=foo", "Content-Encoding": "snappy"}, b"", 415),
            ({"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}, b"\xff\xff\xff\xff\x0f\x00", 413),
        ],
    )
    def test_remote_write_refuses(self, recording, headers, body, status):
        assert http_get(recording.query_port, "/api/v1/write", headers, method="POST", body=body)[0] == status


# Queries over what Prometheus scraped of itself. Where 2.42 differs from 3.x they are left out: a sample exactly as old as the range (times lie between
# scrapes), windows that begin before a series does (extrapolation to zero, prometheus#13725), atan2 (it kept the metric's name).
COUNTER = "prometheus_http_requests_total"
BUCKET = "prometheus_http_request_duration_seconds_bucket"
GAUGE = "go_goroutines"
RANGE = ["rate", "increase", "irate", "resets", "changes"]
GAUGE_RANGE = ["delta", "idelta", "deriv", "avg_over_time", "min_over_time", "max_over_time", "sum_over_time", "count_over_time", "last_over_time",
               "stddev_over_time", "stdvar_over_time", "present_over_time", "absent_over_time"]
MATH = ["abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sgn", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh",
        "acosh", "atanh", "deg", "rad", "round", "timestamp", "day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute", "month",
        "year", "sort", "sort_desc", "absent", "scalar"]
AGGREGATIONS = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]
QUERIES = (
    [f"{f}({COUNTER}[{r}])" for f in RANGE for r in ["4s", "9s"]]
    + [f"{f}({GAUGE}[{r}])" for f in GAUGE_RANGE for r in ["4s", "10s"]]
    + [f"{f}({GAUGE})" for f in MATH]
    + [f"{a}({COUNTER})" for a in AGGREGATIONS]
    + [f"{a} by (handler) ({COUNTER})" for a in AGGREGATIONS]
    + [f"{a} without (handler, instance) (rate({BUCKET}[5s]))" for a in AGGREGATIONS]
    + [f"{left} {op} {right}" for op in ["+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<=", "== bool", "> bool"]
       for left, right in [(GAUGE, "7"), ("2", GAUGE), (GAUGE, GAUGE), (COUNTER, f"{COUNTER} offset 3s")] if not (left == "2" and op in ["==", "!="])]
    + [
        "1 + 2 * 3 ^ 2", "-1 ^ 2", "vector(1)", "time()", "pi()", "up", "up == 1", "up * on (job) group_left (instance) up", "{__name__=~\"go_.*\"}",
        f"sum(topk(3, {COUNTER}))", f"sum(bottomk(2, {COUNTER}))", f"sum by (code) (topk by (code) (1, {COUNTER}))", f"quantile(0.9, {COUNTER})", f"count_values(\"v\", {COUNTER})",
        f"histogram_quantile(0.9, {BUCKET})", f"histogram_quantile(0.5, sum by (le, handler) (rate({BUCKET}[5s])))", f"histogram_quantile(2, {BUCKET})",
        f"quantile_over_time(0.3, {GAUGE}[8s])", f"predict_linear({GAUGE}[8s], 60)", f"clamp({GAUGE}, 3, 20)", f"clamp_min({GAUGE}, 20)", f"clamp_max({GAUGE}, 20)",
        f"label_replace({GAUGE}, \"a\", \"$1-x\", \"job\", \"(.*)theus\")", f"label_join({GAUGE}, \"b\", \"-\", \"job\", \"instance\")", f"round({GAUGE}, 5)",
        f"{COUNTER} and on (handler) {COUNTER}{{code=\"200\"}}", f"{COUNTER} unless {COUNTER}{{code=\"200\"}}", f"{COUNTER} or {GAUGE}",
        f"{COUNTER} / ignoring (handler) group_left sum without (handler) ({COUNTER})", f"max_over_time(rate({COUNTER}[4s])[8s:2s])",
        f"sum_over_time({GAUGE}[8s:3s])", f"{GAUGE} offset 2s", f"{GAUGE} @ start()", f"rate({COUNTER}[5s] @ end())", f"{GAUGE}[6s]", f"{COUNTER}[6s] offset 1s",
        f"sum({COUNTER}) by (code) > 1", f"avg(rate({COUNTER}[5s])) by (handler)", f"absent(nonexistent{{a=\"b\"}})", f"absent_over_time(nonexistent[5s])",
        f"{COUNTER}{{handler!~\"/api.*\"}}", f"{COUNTER}{{handler=\"\"}}", f"count({{job=\"prometheus\"}}) > 100", "go_gc_duration_seconds", "rate(go_gc_duration_seconds_count[10s])",
    ]
)


def same(mine, theirs):
    """Whether two results agree; sums of floats may differ in their last digits."""
    def number(text):
        return {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf}.get(text) if text in ("NaN", "+Inf", "-Inf") else float(text)

    def close(a, b):
        a, b = number(a), number(b)
        return a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)

    def points(series):
        return series.get("values") or [series["value"]]

    if mine["resultType"] != theirs["resultType"]:
        return False
    if mine["resultType"] in ("scalar", "string"):
        return close(mine["result"][1], theirs["result"][1])
    key = lambda series: sorted(series["metric"].items())
    left, right = sorted(mine["result"], key=key), sorted(theirs["result"], key=key)
    return len(left) == len(right) and all(
        a["metric"] == b["metric"] and len(points(a)) == len(points(b)) and all(p[0] == q[0] and close(p[1], q[1]) for p, q in zip(points(a), points(b)))
        for a, b in zip(left, right)
    )


class TestAgainstPrometheus:
    @pytest.fixture(scope="class")
    def pair(self, tmp_path_factory):
        """A Prometheus that scrapes itself each second and writes what it has to Skein, a while later; and a moment between two scrapes."""
        from conftest import Skein

        directory = tmp_path_factory.mktemp("pair")
        skein = Skein(tmp_path_factory.mktemp("skein"), None, ["--metrics-interval", "0"]).wait_ready()
        port = free_port()
        (directory / "prometheus.yml").write_text(
            f"""
global: {{scrape_interval: 1s}}
scrape_configs:
- job_name: prometheus
  static_configs: [{{targets: ['127.0.0.1:{port}']}}]
remote_write:
- url: http://127.0.0.1:{skein.ports['zipkin']}/api/v1/write
  queue_config: {{batch_send_deadline: 200ms}}
""")
        log = open(directory / "log", "wb")
        prometheus = subprocess.Popen(
            ["prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/tsdb", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=log)
        try:
            wait_for(lambda: http_get(port, "/-/ready")[0] == 200, seconds=30, what="Prometheus")
            wait_for(lambda: (value(port, "count_over_time(up[5m])") or 0) >= 26, seconds=60, what="26 scrapes")
            last = float(api(port, "query", query="timestamp(up)")["data"]["result"][0]["value"][1])
            wait_for(lambda: (value(skein.ports["zipkin"], "timestamp(up)") or 0) >= last, seconds=30, what="the last scrape in Skein")
            yield skein.ports["zipkin"], port, last - 0.4
        finally:
            prometheus.kill()
            prometheus.wait()
            skein.stop()

    @pytest.mark.parametrize("query", QUERIES)
    def test_instant(self, pair, query):
        mine, theirs, now = pair
        a, b = (api(port, "query", {"query": query, "time": now}) for port in (mine, theirs))
        assert a["status"] == b["status"], (a, b)
        if a["status"] == "success":
            assert same(a["data"], b["data"]), (a["data"], b["data"])

    @pytest.mark.parametrize(
        "query", [COUNTER, f"sum(rate({BUCKET}[5s]))", f"{GAUGE}[6s]", "1", f"max_over_time({GAUGE}[6s])", f"{COUNTER} / {COUNTER}"])
    def test_what_a_query_costs(self, pair, query):
        mine, theirs, now = pair
        a, b = (api(port, "query", {"query": query, "time": now, "stats": "all"})["data"]["stats"] for port in (mine, theirs))
        assert set(a["timings"]) == set(b["timings"]) and all(0 <= seconds < 10 for seconds in a["timings"].values())
        assert a["samples"]["totalQueryableSamples"] == b["samples"]["totalQueryableSamples"], (a, b)
        assert (a["samples"]["peakSamples"] > 0) == (b["samples"]["peakSamples"] > 0)
        assert "stats" not in api(mine, "query", {"query": query, "time": now})["data"]
        if not query.endswith("]"):
            form = {"query": query, "start": now - 8, "end": now, "step": "1.3", "stats": "true"}
            a, b = (api(port, "query_range", form)["data"]["stats"]["samples"]["totalQueryableSamples"] for port in (mine, theirs))
            assert a == b

    def test_the_census(self, pair):
        mine, theirs, _ = pair
        a, b = (api(port, "status/tsdb", limit=10_000)["data"] for port in (mine, theirs))
        assert set(a) == set(b) and set(a["headStats"]) == set(b["headStats"])
        names = {one["name"]: one["value"] for one in b["seriesCountByMetricName"]}
        mine_names = {one["name"]: one["value"] for one in a["seriesCountByMetricName"]}
        assert all(mine_names[name] == count for name, count in names.items() if not name.endswith(("_bucket", "_sum", "_count"))), (a, b)
        values = {one["name"]: one["value"] for one in b["labelValueCountByLabelName"]}
        mine_values = {one["name"]: one["value"] for one in a["labelValueCountByLabelName"]}
        assert all(mine_values[name] == count for name, count in values.items() if name not in ("__name__", "le")), (mine_values, values)
        pairs = [one["value"] for one in a["seriesCountByLabelValuePair"]]
        assert pairs == sorted(pairs, reverse=True)
        assert len(api(mine, "status/tsdb")["data"]["seriesCountByLabelValuePair"]) == 10
        assert api(mine, "status/tsdb", limit=0)["errorType"] == "bad_data"

    @pytest.mark.parametrize("query", [q for q in QUERIES if not q.endswith("]") and "offset 1s" not in q])
    def test_range(self, pair, query):
        mine, theirs, now = pair
        form = {"query": query, "start": now - 8, "end": now, "step": "1.3"}
        a, b = (api(port, "query_range", form) for port in (mine, theirs))
        assert a["status"] == b["status"], (a, b)
        if a["status"] == "success":
            assert same(a["data"], b["data"]), (a["data"], b["data"])

    @pytest.mark.parametrize(
        "path, parameters",
        [
            ("labels", {}), ("label/job/values", {}), ("label/__name__/values", {}), ("label/handler/values", {"match[]": COUNTER}),
            ("labels", {"match[]": BUCKET}), ("series", {"match[]": [COUNTER, GAUGE]}),
        ],
    )
    def test_what_there_is(self, pair, path, parameters):
        mine, theirs, now = pair
        a, b = (api(port, path, start=now - 10, end=now, **parameters)["data"] for port in (mine, theirs))
        a, b = ({json.dumps(item, sort_keys=True) for item in answer} for answer in (a, b))
        # A series that began just behind the range may be told of: both look at when a series was met, not at its samples.
        assert b <= a and (path == "series" or a == b)


class TestScrapes:
    def test_another_program_is_scraped(self, start, tmp_path):
        other = start(None, ["--metrics-interval", "0"])
        target = f"other=http://127.0.0.1:{other.ports['metrics']}/metrics"
        skein = start(None, ["--metrics-interval", "0", "--scrape", target, "--scrape-interval", "1"])
        port = skein.ports["zipkin"]
        wait_for(lambda: value(port, 'up{job="other"}') == 1, what="a scrape")
        instance = f'127.0.0.1:{other.ports["metrics"]}'
        assert value(port, f'skein_build_info{{job="other",instance="{instance}"}}') == 1
        other.stop()
        wait_for(lambda: value(port, 'up{job="other"}') == 0, what="a scrape that fails")
        assert value(port, 'skein_build_info{job="other"}') is None, "what has gone ends at once"
        assert "cannot scrape other" in skein.log()

    def test_a_target_that_does_not_answer_holds_up_no_other(self, start):
        good = start(None, ["--metrics-interval", "0"])
        with socket.create_server(("127.0.0.1", 0)) as silent:
            targets = [f"silent=http://127.0.0.1:{silent.getsockname()[1]}/", f"good=http://127.0.0.1:{good.ports['metrics']}/metrics"]
            arguments = [word for target in targets for word in ("--scrape", target)]
            skein = start(None, ["--metrics-interval", "0", "--scrape-interval", "1", *arguments])
            port = skein.ports["zipkin"]
            held, _ = silent.accept()
            with held:
                scrapes = 'count_over_time(up{job="good"}[1m]) or vector(0)'
                before = value(port, scrapes)
                wait_for(lambda: value(port, scrapes) >= before + 3, what="three scrapes of the one that answers")
                # The first scrape of the silent one is still under way.
                assert value(port, 'up{job="silent"}') is None
            wait_for(lambda: value(port, 'up{job="silent"}') == 0, what="a scrape that fails")

    def test_targets_are_read_again(self, start, tmp_path):
        """A target comes and goes with its file, a bad file changes nothing, and one that stays is not begun anew."""
        import signal

        one, two = start(None, ["--metrics-interval", "0"]), start(None, ["--metrics-interval", "0"])
        file = tmp_path / "prometheus.yml"

        def write(*others):
            jobs = "".join(f"  - {{job_name: {name}, static_configs: [{{targets: ['127.0.0.1:{skein.ports['metrics']}']}}]}}\n" for name, skein in others)
            new = tmp_path / "new"
            new.write_text("global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n" + jobs)
            new.rename(file)

        write(("one", one))
        skein = start(None, ["--metrics-interval", "0", "--scrape-config", str(file)])
        port = skein.ports["zipkin"]
        wait_for(lambda: value(port, 'up{job="one"}') == 1, what="a scrape")
        write(("one", one), ("two", two))
        wait_for(lambda: value(port, 'up{job="two"}') == 1, what="a scrape of the one that came")
        file.write_text("scrape_configs: [{job_name: x, kubernetes_sd_configs: []}]\n")
        wait_for(lambda: "the last good ones are scraped on" in skein.log() and "kubernetes_sd_configs" in skein.log(), what="the reason")
        assert skein.samples("skein_scrape_reloads_total", outcome="refused") >= 1
        scrapes = 'count_over_time(up{job="two"}[1m])'
        before = value(port, scrapes)
        wait_for(lambda: value(port, scrapes) >= before + 2, what="scrapes of the last good targets")
        new = tmp_path / "new"
        new.write_text("global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n  - {job_name: two, static_configs: [{targets: ['127.0.0.1:%d']}]}\n" % two.ports["metrics"])
        new.rename(file)
        skein.process.send_signal(signal.SIGHUP)
        wait_for(lambda: value(port, 'up{job="one"}') is None, seconds=5, what="the end of the one that went")
        assert value(port, 'skein_build_info{job="one"}') is None and value(port, 'up{job="two"}') == 1
        # Nothing of it ended in between: a marker would leave a gap in a range.
        assert value(port, 'resets(up{job="two"}[1m]) + changes(up{job="two"}[1m])') == 0

    @pytest.mark.parametrize("target", ["ftp://a/b", "http://", "http://a:x/", "http://a:0/"])
    def test_a_wrong_target_is_told(self, target):
        run = subprocess.run([SKEIN, "run", "--scrape", target], capture_output=True, text=True)
        assert run.returncode == 64 and "--scrape" in run.stderr


class TestExemplars:
    def test_every_exemplar_resolves(self, recording):
        """Each bucket that a sampled request fell into has one, and its trace can be shown."""
        import time

        port = recording.query_port
        for _ in range(30):
            recording.get("/a")
        query = "histogram_quantile(0.9, sum by (le) (rate(istio_request_duration_milliseconds_bucket[1m])))"

        def found():
            answer = api(port, "query_exemplars", {"query": query, "start": time.time() - 60, "end": time.time() + 1})
            assert answer["status"] == "success"
            return answer["data"]

        data = wait_for(found, what="exemplars")
        counts = api(port, "query", {"query": "istio_request_duration_milliseconds_bucket"})["data"]["result"]
        below, filled = 0, []
        for one in sorted(counts, key=lambda one: float(one["metric"]["le"])):
            if float(one["value"][1]) > below:
                filled.append(one["metric"]["le"])
            below = float(one["value"][1])
        assert {one["seriesLabels"]["le"] for one in data} == set(filled)
        for one in data:
            assert one["seriesLabels"]["__name__"] == "istio_request_duration_milliseconds_bucket"
            for exemplar in one["exemplars"]:
                assert float(exemplar["value"]) <= float(one["seriesLabels"]["le"]) and exemplar["timestamp"] > time.time() - 60
                status, _, body = http_get(port, "/api/v2/trace/" + exemplar["labels"]["trace_id"])
                assert status == 200 and any(span["id"] == exemplar["labels"]["span_id"] for span in json.loads(body))

    def test_without_its_trace_none_is_shown(self, start):
        """A scraped exemplar appears when its trace is there, and not before."""
        import http.server
        import threading
        import time

        page = '# TYPE h histogram\nh_bucket{le="+Inf"} 1 # {trace_id="00000000000000bb"} 7\nh_sum 7\nh_count 1\n# EOF\n'

        class Target(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                assert "application/openmetrics-text" in self.headers["Accept"]
                self.send_response(200)
                self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
                self.end_headers()
                self.wfile.write(page.encode())

            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Target)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            target = f"other=http://127.0.0.1:{server.server_port}/metrics"
            skein = start(None, ["--metrics-interval", "0", "--scrape", target, "--scrape-interval", "1"])
            port = skein.ports["zipkin"]
            wait_for(lambda: value(port, "h_count") == 1, what="a scrape")
            question = {"query": "h_bucket", "start": time.time() - 60, "end": time.time() + 60}
            assert api(port, "query_exemplars", question)["data"] == []
            span = {"traceId": "00000000000000bb", "id": "00000000000000bb", "timestamp": int(time.time() * 1e6), "localEndpoint": {"serviceName": "a"}}
            assert http_get(port, "/api/v2/spans", method="POST", body=json.dumps([span]), headers={"Content-Type": "application/json"})[0] == 202
            (series,) = api(port, "query_exemplars", question)["data"]
            assert series["seriesLabels"] == {"__name__": "h_bucket", "le": "+Inf", "job": "other", "instance": f"127.0.0.1:{server.server_port}"}
            assert [one["labels"] for one in series["exemplars"]][:1] == [{"trace_id": "00000000000000bb"}]
            assert series["exemplars"][0]["value"] == "7"
        finally:
            server.shutdown()
        assert api(port, "query_exemplars", {"query": "up{", "start": 0, "end": time.time()})["errorType"] == "bad_data"

    def test_those_of_otlp_and_remote_write(self, start):
        """Of a histogram's point, and of a series that brings nothing else."""
        import time

        import snappy
        from test_metrics_clients import field, varint

        skein = start(None, ["--metrics-interval", "0"])
        port, now = skein.ports["zipkin"], time.time()
        traces = ["0123456789abcdef0123456789abcdef", "00000000000000000000000000000abc"]
        spans = [{"traceId": t, "id": "00000000000000aa", "timestamp": int(now * 1e6), "localEndpoint": {"serviceName": "a"}} for t in traces]
        json_type = {"Content-Type": "application/json"}
        assert http_get(port, "/api/v2/spans", method="POST", body=json.dumps(spans), headers=json_type)[0] == 202
        at = str(int(now * 1e9))
        exemplar = {"timeUnixNano": at, "asDouble": 7, "traceId": traces[0], "spanId": "00000000000000aa"}
        point = {"timeUnixNano": at, "count": "2", "sum": 8, "bucketCounts": ["1", "1", "0"], "explicitBounds": [5, 10], "exemplars": [exemplar]}
        metric = {"name": "sizes", "histogram": {"aggregationTemporality": 2, "dataPoints": [point]}}
        body = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]})
        assert http_get(skein.ports["otlp"], "/v1/metrics", method="POST", body=body, headers=json_type)[0] == 200
        symbols = ["", "__name__", "jobs_total", "trace_id", traces[1]]
        series = field(1, varint(1) + varint(2)) + field(4, field(1, varint(3) + varint(4)) + field(2, 1.0) + field(3, int(now * 1000)))
        request = b"".join(field(4, symbol.encode()) for symbol in symbols) + field(5, series)
        headers = {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request", "Content-Encoding": "snappy"}
        status, answered, _ = http_get(port, "/api/v1/write", method="POST", body=snappy.compress(request), headers=headers)
        assert status == 204 and answered["x-prometheus-remote-write-exemplars-written"] == "1"
        question = {"query": "sizes_bucket or jobs_total", "start": now - 60, "end": now + 60}
        found = {one["seriesLabels"]["__name__"]: one for one in api(port, "query_exemplars", question)["data"]}
        assert found["sizes_bucket"]["seriesLabels"]["le"] == "10"
        assert [one["labels"] for one in found["sizes_bucket"]["exemplars"]] == [{"trace_id": traces[0], "span_id": "00000000000000aa"}]
        assert [one["labels"]["trace_id"] for one in found["jobs_total"]["exemplars"]] == ["0000000000000abc"]
