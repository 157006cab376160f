"""The canary judge with a real proxy and its store: a canary that is good, one that fails, one that is slow, and one without traffic."""

import json
import subprocess
import threading
import time

import pytest

from conftest import SKEIN, Backend, free_port, http_get, mesh, wait_for
from test_traffic import OK, rule, status

# As fast as a test wants it: metrics and steps of a second.
ARGUMENTS = ["--metrics-interval", "1"]


def weighted(stable, canary, weight=10):
    """A service of two subsets, and a VirtualService that gives the second one `weight` of a hundred requests."""
    return f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: shop, namespace: default}}
spec:
  hosts: [shop.local]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints:
  - {{address: 127.0.0.1, ports: {{http: {stable}}}, labels: {{version: v1}}}}
  - {{address: 127.0.0.1, ports: {{http: {canary}}}, labels: {{version: v2}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: shop, namespace: default}}
spec:
  host: shop.local
  subsets:
  - {{name: v1, labels: {{version: v1}}}}
  - {{name: v2, labels: {{version: v2}}}}
""" + rule(
        "  - name: checkout\n    retries: {attempts: 0}\n    route:\n"
        f"    - {{destination: {{host: shop.local, subset: v1}}, weight: {100 - weight}}}\n"
        f"    - {{destination: {{host: shop.local, subset: v2}}, weight: {weight}}}\n",
        host="shop.local",
        name="shop",
    )


class Shop:
    """Backends of both versions, and a proxy with a store before them."""

    def __init__(self, start, stable=None, canary=None, weight=10, arguments=()):
        self.stable, self.canary = Backend(stable), Backend(canary)
        self.skein = start(mesh(self.stable.port, weighted(self.stable.port, self.canary.port, weight)), [*ARGUMENTS, *arguments])

    def ask(self, *arguments, format="json", seconds=60):
        server = f"127.0.0.1:{self.skein.ports['zipkin']}"
        command = [SKEIN, "canary", "--step", "1s", "--since", "10m", "-o", format, "--server", server, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds)

    def verdict(self, *arguments):
        result = self.ask("--route", "default/shop", *arguments)
        assert result.stdout, result.stderr
        return json.loads(result.stdout)


class Load:
    """Requests one after the other on a few connections, until it is left."""

    def __init__(self, skein, threads=4, pause=0.0, host="shop.local"):
        self.skein, self.count, self.pause, self.host = skein, threads, pause, host
        self.done = threading.Event()

    def __enter__(self):
        self.threads = [threading.Thread(target=self.run) for _ in range(self.count)]
        for thread in self.threads:
            thread.start()
        return self

    def run(self):
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", self.skein.ports["outbound"], timeout=20)
        while not self.done.wait(self.pause):
            connection.request("GET", "/", headers={"Host": self.host})
            connection.getresponse().read()
        connection.close()

    def __exit__(self, *_):
        self.done.set()
        for thread in self.threads:
            thread.join()


def slowly(seconds):
    def respond(head, body):
        time.sleep(seconds)
        return OK

    return respond


def failing(every):
    """500 to each `every`th request."""
    seen = iter(range(1, 1 << 40))
    return lambda head, body: status(500) if next(seen) % every == 0 else OK


def test_a_failing_canary_is_rolled_back_with_evidence(start):
    shop = Shop(start, slowly(0.002), failing(5))
    with Load(shop.skein):
        picture = wait_for(lambda: (p := shop.verdict())["verdict"] == "rollback" and p, seconds=60, what="a rollback")
    assert picture["reason"].startswith("errors: ") and picture["subject"] == "route default/shop"
    # The smaller weight is the canary's.
    assert picture["canary"]["name"] == "v2 of shop.local:80" and picture["stable"]["name"] == "v1 of shop.local:80"
    errors = picture["tests"][0]
    assert errors["measure"] == "errors" and errors["outcome"] == "worse" and errors["stable"] == 0
    assert 0.1 < errors["canary"] < 0.35 and errors["differenceLow"] > errors["margin"] == 0.005
    assert picture["stable"]["errors"] == 0 < picture["canary"]["errors"] <= len(shop.canary.requests) / 5 + 1

    shown = shop.ask("--route", "default/shop", format="text")
    assert shown.returncode == 2 and shown.stdout.startswith("ROLLBACK  errors: "), shown.stdout + shown.stderr
    assert "v2 of shop.local:80" in shown.stdout and "worse" in shown.stdout and "\x1b" not in shown.stdout

    # The same by names of the metrics, for a collector that knows no configuration, and by versions of the service.
    named = shop.ask("--route", "checkout", "--host", "shop.local")
    assert named.returncode == 2 and json.loads(named.stdout)["canary"]["requests"] >= picture["canary"]["requests"], named.stderr
    versions = shop.ask("--service", "shop.local", "--stable", "v1", "--canary", "v2")
    assert versions.returncode == 2 and json.loads(versions.stdout)["canary"]["name"] == "v2 of shop.local", versions.stderr


def test_a_good_canary_is_promoted(start):
    shop = Shop(start, weight=30)
    with Load(shop.skein):
        watch = shop.ask("--route", "default/shop", "--error-margin", "2%", "--watch", seconds=240)
    picture = json.loads(watch.stdout)
    assert watch.returncode == 0 and picture["verdict"] == "promote", watch.stdout + watch.stderr
    assert all(test["outcome"] == "within" for test in picture["tests"]) and picture["canary"]["requests"] >= 200
    assert all(test["differenceHigh"] < test["margin"] for test in picture["tests"] if test["measure"] == "errors")
    # The proxy's weights are as they were.
    assert "weight 30" in json.dumps(json.loads(http_get(shop.skein.ports["admin"], "/routes?format=json")[2]))


def test_a_slow_canary_is_rolled_back_for_its_latency(start):
    shop = Shop(start, slowly(0.02), slowly(0.04), weight=30)
    with Load(shop.skein, threads=8):
        picture = wait_for(lambda: (p := shop.verdict())["verdict"] == "rollback" and p, seconds=90, what="a rollback")
    assert picture["reason"].startswith("latency: ") and picture["tests"][0]["outcome"] != "worse", picture
    assert picture["meanRatio"] > 1.5 and picture["canary"]["p95Milliseconds"]["value"] > picture["stable"]["p95Milliseconds"]["value"]


def test_too_little_traffic_waits_and_none_is_no_data(start):
    shop = Shop(start, weight=30)
    nothing = shop.ask("--route", "default/shop")
    assert nothing.returncode == 3 and json.loads(nothing.stdout)["verdict"] == "no_data", nothing.stdout + nothing.stderr
    for _ in range(60):
        shop.skein.get("/", host="shop.local")
    picture = wait_for(lambda: (p := shop.verdict())["canary"]["requests"] == len(shop.canary.requests) and p, what="all requests counted")
    assert picture["verdict"] == "wait" and picture["reason"].startswith("too few requests: ")
    assert picture["stable"]["requests"] == len(shop.stable.requests)
    assert shop.ask("--route", "default/shop", format="text").returncode == 3


def test_a_watched_canary_is_metrics_and_a_line_of_the_log(start):
    shop = Shop(start, slowly(0.002), failing(2), arguments=["--judge-canary", "route=default/shop,step=1s,max=10m"])
    plain = Shop(start)
    with Load(shop.skein):
        wait_for(lambda: shop.skein.samples("skein_canary_verdict", verdict="rollback") == 1, seconds=60, what="the verdict as a metric")
    assert shop.skein.samples("skein_canary_verdict") == 1
    assert shop.skein.samples("skein_canary_error_ratio", destination="canary") > 0.3
    assert shop.skein.samples("skein_canary_evidence_ratio", measure="errors", **{"for": "worse"}) >= 1
    assert "canary of route default/shop: rollback, errors: " in shop.skein.log()
    assert b"skein_canary_" not in plain.skein.metrics()[2], "off unless asked for"


def test_a_collector_judges_what_proxies_report(start):
    port = free_port()
    collector = start(None, ["--metrics-interval", "0", "--zipkin-port", str(port)])
    stable, canary = Backend(slowly(0.002)), Backend(failing(3))
    proxy = start(
        mesh(stable.port, weighted(stable.port, canary.port)), ["--no-store", "--metrics-interval", "1", "--collector", f"127.0.0.1:{port}"]
    )

    def ask(*arguments):
        command = [SKEIN, "canary", "--step", "1s", "-o", "json", "--server", f"127.0.0.1:{port}", *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    with Load(proxy):
        wait_for(lambda: ask("--route", "checkout", "--canary", "v2").returncode == 2, seconds=60, what="the collector's verdict")
    # It has no configuration, so it does not know the resource.
    unknown = ask("--route", "default/shop")
    assert unknown.returncode == 65 and "has no VirtualService default/shop" in unknown.stderr, unknown.stderr


def test_a_service_of_very_many_series_is_answered(start):
    """Six hundred clients of two versions: more than ten thousand series, all of which a question reads."""
    begun = time.monotonic()
    bounds = ["5", "10", "25", "50", "100", "250", "500", "1000", "2500", "+Inf"]

    def page(head, body):
        turn = int((time.monotonic() - begun) * 10) + 1
        lines = []
        for version in ("v1", "v2"):
            for client in range(600):
                labels = f'destination_service="shop.local",destination_version="{version}",reporter="source",source_workload="c{client}"'
                lines.append(f'istio_requests_total{{{labels},response_code="200",request_protocol="http"}} {turn}')
                for bound in bounds:
                    count = turn if bound not in ("5", "10") else 0
                    lines.append(f'istio_request_duration_milliseconds_bucket{{{labels},le="{bound}"}} {count}')
                lines.append(f"istio_request_duration_milliseconds_sum{{{labels}}} {20 * turn}")
        text = ("\n".join(lines) + "\n").encode()
        return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)

    target = Backend(page)
    skein = start(None, ["--scrape", f"mesh=http://127.0.0.1:{target.port}/metrics", "--scrape-interval", "1"])
    query = "/v1/canary?service=shop.local&canary=v2&stable=v1&step=1s&since=5m"

    def promoted():
        asked = time.monotonic()
        answer = json.loads(http_get(skein.ports["zipkin"], query)[2])
        return answer["verdict"] == "promote" and (answer, time.monotonic() - asked)

    answer, seconds = wait_for(promoted, seconds=90, what="a verdict over all clients")
    assert answer["canary"]["requests"] >= 600 and answer["canary"]["requests"] == answer["stable"]["requests"]
    assert answer["meanRatio"] == 1 and seconds < 15


@pytest.mark.parametrize(
    "query, status",
    [
        ("", 400),
        ("route=a&service=b", 400),
        ("route=default/x", 400),
        ("route=a//b", 400),
        ("route=a&confidence=1", 400),
        ("route=a&confidence=nan", 400),
        ("route=a&error_margin=1e999", 400),
        ("route=a&min_requests=99999999999999999999", 400),
        ("route=a&step=1ms", 400),
        ("route=a&max=400d", 400),
        ("route=a&since=99999999999h", 400),
        ("route=a&since=10y", 400),
        ("route=a&start=-9e18", 400),
        ("route=a&start=1&since=1h", 400),
        ("route=a&typo=1", 400),
        ("route=" + "a" * 600, 400),
        ("route=a&canary=b&stable=b", 400),
        ("route=nobody&since=24h&step=1s", 200),
        ("service=" + "%5B(*" * 50, 200),
    ],
)
def test_questions_that_make_no_sense_are_refused_by_name(proxy, query, status):
    code, _, body = http_get(proxy.ports["zipkin"], "/v1/canary?" + query)
    assert code == status, body
    answer = json.loads(body)
    assert (answer["error"] if status == 400 else answer["verdict"] == "no_data"), body


def test_exit_codes_and_usage(start, proxy):
    server = ["--server", f"127.0.0.1:{proxy.ports['zipkin']}"]
    run = lambda *arguments: subprocess.run([SKEIN, *arguments], capture_output=True, text=True)
    assert run("canary").returncode == 64 and run("canary", "--route", "a", "--service", "b").returncode == 64
    assert run("canary", "--route", "a", "--confidence", "2", *server).returncode == 65
    assert run("canary", "--route", "a", "--server", f"127.0.0.1:{free_port()}").returncode == 69
    assert run("run", "--judge-canary", "route").returncode == 64
    assert run("run", "--judge-canary", "route=a,confidence=7").returncode == 64
    assert run("run", *["--judge-canary", "route=a"] * 17).returncode == 64
