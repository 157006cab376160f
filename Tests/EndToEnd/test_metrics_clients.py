"""Metrics of real senders, and real askers: OpenTelemetry's SDK, remote write of both versions, Envoy's pages and its stat sink, promtool,
prometheus-api-client. What was counted there is what a query answers here."""

import json
import struct
import subprocess
import time

import pytest
import requests

from conftest import free_port, http_get, wait_for
from envoy_peer import ENVOY
from test_series import api, value

TARGET = 'job="eu/shop",instance="a-1"'
RESOURCE = {"service.name": "shop", "service.namespace": "eu", "service.instance.id": "a-1", "host.name": "h7"}


@pytest.fixture
def collector(start):
    skein = start(None, ["--metrics-interval", "0"])
    skein.query_port = skein.ports["zipkin"]
    return skein


def every_temporality(delta):
    from opentelemetry.sdk.metrics import Counter, Histogram, ObservableCounter, ObservableUpDownCounter, UpDownCounter
    from opentelemetry.sdk.metrics.export import AggregationTemporality

    wanted = AggregationTemporality.DELTA if delta else AggregationTemporality.CUMULATIVE
    return {kind: wanted for kind in (Counter, UpDownCounter, Histogram, ObservableCounter, ObservableUpDownCounter)}


def otlp_exporter(skein, transport, delta):
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as OverGRPC
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as OverHTTP

    if transport == "http":
        return OverHTTP(f"http://127.0.0.1:{skein.ports['otlp']}/v1/metrics", preferred_temporality=every_temporality(delta))
    return OverGRPC(f"http://127.0.0.1:{skein.ports['otlp-grpc']}", insecure=True, preferred_temporality=every_temporality(delta))


def provider(exporter):
    """Exports when it is flushed, and no sooner. Instruments that end in `.exponential` have exponential buckets."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
    from opentelemetry.sdk.resources import Resource

    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    view = View(instrument_name="*.exponential", aggregation=ExponentialBucketHistogramAggregation())
    return MeterProvider([reader], Resource(RESOURCE), views=[view])


def pause():
    """Milliseconds are what tells two points of a series apart."""
    time.sleep(0.005)


class TestOpenTelemetrySDK:
    @pytest.mark.parametrize("delta", [False, True], ids=["cumulative", "delta"])
    @pytest.mark.parametrize("transport", ["http", "grpc"])
    def test_what_is_counted_is_what_is_answered(self, collector, transport, delta):
        from opentelemetry.metrics import Observation

        port = collector.query_port
        made = provider(otlp_exporter(collector, transport, delta))
        meter = made.get_meter("test")
        observed = [0]
        orders = meter.create_counter("orders.placed", unit="1")
        carts = meter.create_up_down_counter("carts.open")
        latency = meter.create_histogram("checkout.duration", unit="ms", explicit_bucket_boundaries_advisory=[10, 100])
        sizes = meter.create_histogram("body.exponential", unit="By")
        room = meter.create_gauge("room.temperature", unit="Cel")
        meter.create_observable_counter("disk.read", unit="By", callbacks=[lambda _: [Observation(observed[0])]])
        latencies = [[5, 50, 500], [7], [], [10, 11]]
        for step, some in enumerate(latencies):
            orders.add(5, {"kind": "new"})
            if step % 2 == 0:
                orders.add(2, {"kind": "again"})
            carts.add(3 if step < 3 else -7)
            for one in some:
                latency.record(one)
                sizes.record(one)
            room.set(20.5 - step)
            observed[0] += 1000
            pause()
            assert made.force_flush()
            so_far = sum(latencies[: step + 1], [])
            assert value(port, f'orders_placed_total{{{TARGET},kind="new"}}') == 5 * (step + 1)
            assert value(port, f'orders_placed_total{{{TARGET},kind="again"}}') == 2 * (step // 2 + 1)
            assert value(port, f"carts_open{{{TARGET}}}") == [3, 6, 9, 2][step]
            assert value(port, f"room_temperature_celsius{{{TARGET}}}") == 20.5 - step
            assert value(port, f"disk_read_bytes_total{{{TARGET}}}") == 1000 * (step + 1)
            assert value(port, f"checkout_duration_milliseconds_count{{{TARGET}}}") == len(so_far)
            assert value(port, f"checkout_duration_milliseconds_sum{{{TARGET}}}") == sum(so_far)
            for bound in (10, 100):
                expected = sum(one <= bound for one in so_far)
                assert value(port, f'checkout_duration_milliseconds_bucket{{{TARGET},le="{bound}"}}') == expected
            assert value(port, f"histogram_count(body_exponential_bytes{{{TARGET}}})") == len(so_far)
            assert value(port, f"histogram_sum(body_exponential_bytes{{{TARGET}}})") == sum(so_far)
            assert value(port, f"histogram_fraction(0, 100.5, body_exponential_bytes{{{TARGET}}})") == pytest.approx(
                sum(one <= 100.5 for one in so_far) / len(so_far), abs=0.01)
        # Nothing began anew in between.
        assert value(port, f'resets(orders_placed_total{{{TARGET},kind="new"}}[5m])') == 0
        assert value(port, f'target_info{{{TARGET},host_name="h7"}}') == 1
        made.shutdown()
        assert collector.samples("skein_receiver_metric_points_rejected_total") == 0
        assert collector.samples("skein_delta_series") == (6 if delta else 0)

    def test_a_restart_is_a_reset(self, collector, start):
        """Totals of increases live in memory: after a restart they begin anew, and a rate counts what came since."""
        made = provider(otlp_exporter(collector, "http", True))
        counter = made.get_meter("test").create_counter("orders")
        for _ in range(2):
            counter.add(4)
            pause()
            assert made.force_flush()
        assert value(collector.query_port, f"orders_total{{{TARGET}}}") == 8
        collector.process.kill()
        collector.process.wait()
        ports = [argument for name in ("otlp",) for argument in (f"--{name}-port", str(collector.ports[name]))]
        again = start(None, ["--metrics-interval", "0", *ports], directory=collector.directory)
        # More than before, so that no fall gives the reset away.
        counter.add(20)
        pause()
        assert made.force_flush()
        port = again.ports["zipkin"]
        assert value(port, f"orders_total{{{TARGET}}}") == 20
        assert value(port, f"resets(orders_total{{{TARGET}}}[5m])") == 1
        made.shutdown()

    def test_remote_write_of_the_sdk(self, collector):
        from opentelemetry.exporter.prometheus_remote_write import PrometheusRemoteWriteMetricsExporter

        made = provider(PrometheusRemoteWriteMetricsExporter(f"http://127.0.0.1:{collector.query_port}/api/v1/write"))
        meter = made.get_meter("test")
        meter.create_counter("orders").add(5, {"kind": "new"})
        meter.create_histogram("latency").record(42)
        assert made.force_flush()
        port = collector.query_port
        assert value(port, 'sum({__name__=~"orders.*",kind="new"})') == 5
        assert value(port, 'sum({__name__=~"latency_sum"})') == 42
        assert value(port, 'sum({__name__=~"latency_count"})') == 1
        made.shutdown()


class TestTranslations:
    @pytest.mark.parametrize(
        "options, expected",
        [
            ([], 'http_server_duration_milliseconds_count{http_method="GET"}'),
            (["--otlp-translation-strategy", "UnderscoreEscapingWithoutSuffixes"], 'http_server_duration_count{http_method="GET"}'),
            (["--otlp-translation-strategy", "NoUTF8EscapingWithSuffixes"], '{"http.server.duration_milliseconds_count","http.method"="GET"}'),
            (["--otlp-translation-strategy", "NoTranslation"], '{"http.server.duration_count","http.method"="GET"}'),
            (["--otlp-promote-resource-attribute", "host.name"], 'http_server_duration_milliseconds_count{host_name="h7"}'),
            (["--otlp-promote-all-resource-attributes", "--otlp-ignore-resource-attribute", "host.name"],
             'http_server_duration_milliseconds_count{host_name="",service_name="shop"}'),
            (["--otlp-keep-identifying-resource-attributes"], 'target_info{service_name="shop",host_name="h7"}'),
            (["--otlp-convert-histograms-to-nhcb"], "histogram_count(http_server_duration_milliseconds)"),
            (["--otlp-promote-scope-metadata"], 'http_server_duration_milliseconds_count{otel_scope_name="test"}'),
        ],
    )
    def test_names_are_as_asked_for(self, start, options, expected):
        skein = start(None, ["--metrics-interval", "0", *options])
        made = provider(otlp_exporter(skein, "http", False))
        made.get_meter("test").create_histogram("http.server.duration", unit="ms").record(3, {"http.method": "GET"})
        assert made.force_flush()
        assert value(skein.ports["zipkin"], expected) == 1, api(skein.ports["zipkin"], "label/__name__/values")
        made.shutdown()

    @pytest.mark.parametrize(
        "options, text",
        [
            (["--otlp-translation-strategy", "None"], "expected one of UnderscoreEscapingWithSuffixes, "),
            (["--otlp-ignore-resource-attribute", "a"], "needs --otlp-promote-all-resource-attributes"),
            (["--otlp-promote-all-resource-attributes", "--otlp-promote-resource-attribute", "a"], "all are promoted already"),
        ],
    )
    def test_options_that_contradict_each_other_are_told(self, options, text):
        from conftest import SKEIN

        run = subprocess.run([SKEIN, "run", *options], capture_output=True, text=True)
        assert run.returncode == 64 and text in run.stderr


# --- Remote write 2.0: no sender of it is in Debian or on PyPI, so its messages are made here ------------------------------


def varint(number):
    number &= (1 << 64) - 1
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, content):
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    if isinstance(content, float):
        return varint(number << 3 | 1) + struct.pack("<d", content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def zigzag(number):
    return number << 1 ^ number >> 63


class TestRemoteWrite2:
    TYPE = "application/x-protobuf;proto=io.prometheus.write.v2.Request"

    def send(self, port, symbols, series, content_type=TYPE):
        import snappy

        body = b"".join(field(4, symbol.encode()) for symbol in symbols) + b"".join(field(5, one) for one in series)
        headers = {"Content-Type": content_type, "Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "2.0.0"}
        return requests.post(f"http://127.0.0.1:{port}/api/v1/write", data=snappy.compress(body), headers=headers, timeout=10)

    @staticmethod
    def written(answer):
        return [answer.headers.get(f"X-Prometheus-Remote-Write-{kind}-Written") for kind in ("Samples", "Histograms", "Exemplars")]

    def test_samples_and_native_histograms(self, collector):
        now = int(time.time() * 1000)
        symbols = ["", "__name__", "jobs_total", "job", "batch", "sizes"]
        sample = lambda number, at: field(2, field(1, float(number)) + field(2, at) + field(3, now - 60_000))
        # Whole counts: 3 in (1, 2], 1 in (2, 4], one zero.
        histogram = (field(1, 5) + field(3, 9.5) + field(4, zigzag(0)) + field(5, 0.001) + field(6, 1) + field(11, field(1, zigzag(1)) + field(2, 2))
                     + field(12, varint(zigzag(3)) + varint(zigzag(-2))) + field(15, now))
        series = [
            field(1, varint(1) + varint(2) + varint(3) + varint(4)) + sample(7, now - 1000) + sample(9, now) + field(5, field(1, 1)),
            field(1, varint(1) + varint(5)) + field(3, histogram) + field(4, field(1, b"") + field(2, 1.0)),
        ]
        answer = self.send(collector.query_port, symbols, series)
        assert answer.status_code == 204 and self.written(answer) == ["2", "1", "0"]
        port = collector.query_port
        assert value(port, 'jobs_total{job="batch"}') == 9
        assert value(port, "histogram_count(sizes)") == 5 and value(port, "histogram_sum(sizes)") == 9.5
        assert value(port, "histogram_quantile(0.8, sizes)") == pytest.approx(2)
        # It began a minute ago with nothing: what it had by its first sample is an increase.
        assert value(port, "resets(jobs_total[5m])") == 0 and value(port, "count_over_time(jobs_total[5m])") == 3
        assert collector.samples("skein_receiver_parts_dropped_total", part="exemplars") == 1

    def test_what_is_refused_is_said_with_what_was_written(self, collector):
        wrong = self.send(collector.query_port, ["", "__name__"], [field(1, varint(1) + varint(9)) + field(2, field(1, 1.0))])
        assert wrong.status_code == 400 and "symbol" in wrong.text and self.written(wrong) == ["0", "0", "0"]
        other = self.send(collector.query_port, [], [], "application/x-protobuf;proto=io.prometheus.write.v3.Request")
        assert other.status_code == 415
        now = int(time.time() * 1000)
        nameless = [
            field(1, varint(1) + varint(2)) + field(2, field(1, 1.0) + field(2, now)), field(1, varint(3) + varint(2)) + field(2, field(1, 1.0) + field(2, now))]
        partly = self.send(collector.query_port, ["", "__name__", "x", "job"], nameless)
        assert partly.status_code == 400 and "its series has no name" in partly.text and self.written(partly) == ["1", "0", "0"]
        assert value(collector.query_port, "x") == 1, "what was right is stored"


# --- Envoy -----------------------------------------------------------------------------------------------------------------


class Envoy:
    """Answers every request itself; its statistics are on its admin port, and go to `sink`, a port of OTLP over gRPC."""

    def __init__(self, directory, sink=None, deltas=False):
        self.port, self.admin_port = free_port(), free_port()
        route = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
        manager = {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "front", "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
            "http_filters": [{"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
        }
        listener = {"address": self.address(self.port), "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}
        config = {"admin": {"address": self.address(self.admin_port)}, "static_resources": {"listeners": [listener]}, "stats_flush_interval": "0.5s"}
        if sink:
            protocol = {"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}
            endpoint = {"endpoint": {"address": self.address(sink)}}
            config["static_resources"]["clusters"] = [{
                "name": "otlp", "connect_timeout": "1s", "load_assignment": {"cluster_name": "otlp", "endpoints": [{"lb_endpoints": [endpoint]}]},
                "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
            }]
            typed = {
                "@type": "type.googleapis.com/envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig",
                "grpc_service": {"envoy_grpc": {"cluster_name": "otlp"}}, "report_counters_as_deltas": deltas, "report_histograms_as_deltas": deltas,
                "emit_tags_as_attributes": True,
            }
            config["stats_sinks"] = [{"name": "envoy.stat_sinks.open_telemetry", "typed_config": typed}]
        path = directory / "envoy.json"
        path.write_text(json.dumps(config))
        self.log = open(directory / "envoy.log", "ab")
        self.process = subprocess.Popen(
            [ENVOY, "-c", path, "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"], stdout=self.log, stderr=self.log)
        wait_for(lambda: http_get(self.admin_port, "/ready")[0] == 200, seconds=30, what="Envoy")

    @staticmethod
    def address(port):
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    def send(self, count):
        for _ in range(count):
            assert http_get(self.port, "/")[0] == 200

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def envoy(tmp_path):
    running = []

    def begin(*arguments, **options):
        running.append(Envoy(tmp_path, *arguments, **options))
        return running[-1]

    yield begin
    for one in running:
        one.kill()


class TestEnvoy:
    def test_its_page_is_scraped_and_its_end_is_noticed(self, start, envoy):
        peer = envoy()
        target = f"envoy=http://127.0.0.1:{peer.admin_port}/stats/prometheus"
        skein = start(None, ["--metrics-interval", "0", "--scrape", target, "--scrape-interval", "1"])
        port = skein.ports["zipkin"]
        peer.send(7)
        requests_seen = 'envoy_http_downstream_rq_xx{job="envoy",envoy_http_conn_manager_prefix="front",envoy_response_code_class="2"}'
        wait_for(lambda: value(port, requests_seen) == 7, what="7 requests scraped")
        assert value(port, 'envoy_http_downstream_rq_time_count{job="envoy",envoy_http_conn_manager_prefix="front"}') == 7
        buckets = 'envoy_http_downstream_rq_time_bucket{job="envoy",envoy_http_conn_manager_prefix="front",le="+Inf"}'
        assert value(port, buckets) == 7
        # All that the page has is there.
        page = http_get(peer.admin_port, "/stats/prometheus")[2].decode()
        samples = sum(1 for line in page.splitlines() if line and not line.startswith("#"))
        assert value(port, 'scrape_samples_scraped{job="envoy"}') == pytest.approx(samples, abs=60)
        assert value(port, 'count({job="envoy"})') >= 0.9 * samples
        peer.kill()
        wait_for(lambda: value(port, 'up{job="envoy"}') == 0, what="a scrape that fails")
        assert value(port, requests_seen) is None and value(port, buckets) is None, "what has gone ends at once"

    @pytest.mark.parametrize("deltas", [False, True], ids=["cumulative", "delta"])
    def test_its_opentelemetry_stat_sink(self, collector, envoy, deltas):
        peer = envoy(collector.ports["otlp-grpc"], deltas=deltas)
        port = collector.query_port
        seen = 'sum({__name__=~"(envoy_)?http_downstream_rq_completed_total"})'
        peer.send(5)
        wait_for(lambda: (value(port, seen) or 0) >= 5, what=f"5 requests: {collector.log()}")
        before = value(port, seen)
        peer.send(4)
        wait_for(lambda: value(port, seen) == before + 4, what="4 more requests")
        assert collector.samples("skein_receiver_metric_points_total", transport="grpc") > 0
        assert collector.samples("skein_receiver_metric_points_rejected_total") == 0, collector.metrics()[2].decode()


class TestScrapeConfiguration:
    """Targets from a file in Prometheus' own form; what a file says is what Debian's Prometheus takes it for."""

    def test_jobs_of_a_file_are_scraped(self, start, tmp_path, envoy):
        from conftest import Backend

        page = b'# TYPE a gauge\na{job="own"} 1\n# TYPE b gauge\nb 2 1000\n'
        program = Backend(lambda head, body: b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))
        peer = envoy()
        path = tmp_path / "prometheus.yml"
        path.write_text(
            f"""
global: {{scrape_interval: 1s}}
scrape_configs:
- job_name: envoy
  metrics_path: /stats/prometheus
  params: {{usedonly: [""]}}
  static_configs: [{{targets: ["127.0.0.1:{peer.admin_port}"], labels: {{zone: z1}}}}]
- job_name: honest
  honor_labels: true
  honor_timestamps: false
  static_configs: [{{targets: ["127.0.0.1:{program.port}"]}}]
- job_name: small
  sample_limit: 1
  static_configs: [{{targets: ["127.0.0.1:{program.port}"], labels: {{instance: s}}}}]
""")
        assert subprocess.run(["promtool", "check", "config", path], capture_output=True).returncode == 0
        skein = start(None, ["--metrics-interval", "0", "--scrape-config", str(path)])
        port = skein.ports["zipkin"]
        try:
            wait_for(lambda: value(port, 'up{job="envoy",zone="z1"}') == 1, what="a scrape of Envoy")
            assert value(port, 'envoy_server_live{job="envoy",zone="z1"}') == 1
            wait_for(lambda: value(port, 'a{job="own"}') == 1, what="a page whose labels are honoured")
            assert value(port, 'b{job="honest"}') == 2, "a time of 1970 does not count"
            wait_for(lambda: value(port, 'up{job="small",instance="s"}') == 0, what="a page above its limit")
            assert "sample_limit" in skein.log()
        finally:
            program.close()

    def test_what_is_not_supported_is_told_with_its_place(self, tmp_path):
        from conftest import SKEIN

        path = tmp_path / "p.yml"
        path.write_text("scrape_configs:\n- job_name: a\n  scheme: ftp\n  kubernetes_sd_configs: []\n  static_configs: []\n")
        ports = [item for name in ("outbound", "inbound", "admin", "readiness", "metrics", "zipkin", "otlp", "otlp-grpc") for item in (f"--{name}-port", str(free_port()))]
        run = subprocess.run([SKEIN, "run", "--data", str(tmp_path / "d"), "--scrape-config", str(path), *ports], capture_output=True, text=True, timeout=20)
        assert run.returncode == 65, run.stderr
        assert f"{path}:3:11: scheme ftp is not supported: accepted are http, https" in run.stderr
        assert f"{path}:4:3: scrape_configs.kubernetes_sd_configs is not supported: accepted are job_name, " in run.stderr


# --- Prometheus' own tools, and a client's --------------------------------------------------------------------------------


class TestAskers:
    @pytest.fixture
    def filled(self, collector):
        made = provider(otlp_exporter(collector, "http", False))
        counter = made.get_meter("test").create_counter("orders")
        for _ in range(3):
            counter.add(4, {"kind": "new"})
            pause()
            assert made.force_flush()
        made.shutdown()
        return collector.query_port

    @staticmethod
    def promtool(*arguments):
        run = subprocess.run(["promtool", "query", *arguments], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return run.stdout

    def test_promtool(self, filled):
        server = f"http://127.0.0.1:{filled}"
        instant = self.promtool("instant", server, f"orders_total{{{TARGET}}}")
        assert instant.startswith('orders_total{instance="a-1", job="eu/shop", kind="new"} => 12 @[')
        assert json.loads(self.promtool("--format=json", "instant", server, "sum(orders_total)"))[0]["value"][1] == "12"
        end = time.time()
        ranged = self.promtool("range", f"--start={end - 5:.3f}", f"--end={end:.3f}", "--step=1s", server, "orders_total")
        assert ranged.startswith("orders_total{") and "12 @[" in ranged
        series = self.promtool("series", "--match=orders_total", server)
        assert series.strip() == '{__name__="orders_total", instance="a-1", job="eu/shop", kind="new"}'
        assert self.promtool("labels", server, "kind").split() == ["new"]
        wrong = subprocess.run(["promtool", "query", "instant", server, "sum("], capture_output=True, text=True)
        assert wrong.returncode == 1 and "parse error" in wrong.stderr

    def test_prometheus_api_client(self, filled):
        from prometheus_api_client import PrometheusConnect

        server = PrometheusConnect(url=f"http://127.0.0.1:{filled}", disable_ssl=True)
        assert server.check_prometheus_connection()
        assert {"orders_total", "target_info"} <= set(server.all_metrics())
        assert server.get_current_metric_value("orders_total", label_config={"kind": "new"})[0]["value"][1] == "12"
        assert server.custom_query("sum(orders_total)")[0]["value"][1] == "12"
        assert server.get_label_values("kind") == ["new"]
        import datetime

        now = datetime.datetime.now()
        data = server.get_metric_range_data("orders_total", start_time=now - datetime.timedelta(minutes=1), end_time=now + datetime.timedelta(seconds=1))
        assert [float(number) for _, number in data[0]["values"]][-1] == 12
        assert server.custom_query_range("orders_total", now - datetime.timedelta(seconds=5), now + datetime.timedelta(seconds=1), "1s")[0]["values"][-1][1] == "12"
