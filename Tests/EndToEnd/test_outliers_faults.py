"""Faults of mesh-wide outlier detection that cross processes: identities, two collectors by mistake, an endpoint that flaps."""

import http.client
import http.server
import json
import signal
import threading

import requests

from conftest import Backend, http_get, mesh, wait_for
from mesh_ca import MeshCA
from test_outliers_mesh import NO_RETRIES, Steady, World, everywhere
from test_outliers_resource import resource
from test_traffic import OK, policy, rule, service, status


def refusing_some(line, body):
    return status(503) if b"broken" in line else OK


def test_processes_of_one_certificate_have_one_voice(start, tmp_path):
    # Three of five proxies see failures only. By their certificates they are one of three.
    ca = MeshCA(tmp_path / "ca")
    files = ca.issue(tmp_path / "collector", ["IP:127.0.0.1"])
    collector = start(
        None,
        ["--metrics-interval", "0", "--tls-certificate", str(files / "tls.crt"), "--tls-key", str(files / "tls.key"),
         "--tls-client-ca", str(files / "ca.crt")],
    )
    url = f"https://127.0.0.1:{collector.ports['zipkin']}"
    backends = [Backend(refusing_some) for _ in range(2)]
    text = mesh(
        backends[0].port,
        service("many.local", [b.port for b in backends]) + rule(NO_RETRIES, host="many.local", name="many")
        + resource("errorRate: {threshold: 50, minimumVolume: 10, windows: 2}"),
    )
    identities = {name: ca.workload(tmp_path / name, name) for name in ("broken", "a", "b")}

    def proxy(name):
        return start(
            text,
            ["--no-store", "--workers", "1", "--metrics-interval", "1", "--collector", url, "--identity", str(identities[name]),
             "--https-ca", str(ca.certificate)],
        )

    broken, healthy = [proxy("broken") for _ in range(3)], [proxy("a"), proxy("b")]

    def client(name):
        files = identities[name]
        return {"cert": (str(files / "tls.crt"), str(files / "tls.key")), "verify": str(ca.certificate), "timeout": 10}

    def picture():
        return requests.get(f"{url}/v1/outliers", **client("a")).json()

    with Steady(healthy) as load:
        wait_for(lambda: picture()["reporters"] == 5 and picture()["endpoints"] == 2, what="five reporters")

        def fail():
            for one in broken:
                for _ in range(8):
                    one.get("/broken", host="many.local")

        def outvoted():
            fail()
            return [d for d in picture()["decisions"] if d["outcome"] == "outvoted" and d["voices"] >= 2]

        # A suspicion is shown once, when it begins, with those who had reported by then: perhaps one of the three.
        decision = wait_for(outvoted, seconds=30, what="the broken ones being outvoted")[0]
        assert decision["reason"] == "error_rate" and decision["voicesAgreeing"] == 1 and decision["value"] >= 50, decision
        assert any("cluster.local/ns/default/sa/broken@" in report["reporter"] for report in decision["reports"])

        def taken():
            page = requests.get(f"https://127.0.0.1:{collector.ports['metrics']}/metrics", **client("a")).text
            return float(next(line.rsplit(" ", 1)[1] for line in page.splitlines() if 'judge_reports_total{outcome="taken"}' in line))

        # All three go on failing, and are most of the five processes.
        before = taken()
        wait_for(lambda: fail() or taken() >= before + 25, seconds=30, what="five more reports of each")
        assert not picture()["ejections"] and set(load.codes) == {200}

        # Another's identity: refused, and no reporter more.
        name = b"cluster.local/ns/default/sa/a@10.0.0.1:1/1"
        body = b"SKR1" + bytes([len(name)]) + name + bytes([1, 0, 0, 0])
        assert requests.post(f"{url}/v1/report", data=body, **client("broken")).status_code == 403
        assert picture()["reporters"] == 5


class Turns(http.server.BaseHTTPRequestHandler):
    """Passes requests on to collectors in turns, as a name with two addresses may."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        # One of these serves a connection, and each proxy has one.
        self.turn = getattr(self, "turn", 0) + 1
        port = self.server.targets[self.turn % len(self.server.targets)]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        fields = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection", "content-length")}
        connection.request("POST", self.path, body=body, headers=fields)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.getheader("Content-Type"))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def test_two_collectors_by_mistake_are_noticed_and_the_failing_endpoint_is_out(start):
    collectors = [start(None, ["--metrics-interval", "0"]) for _ in range(2)]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Turns)
    server.targets = [c.ports["zipkin"] for c in collectors]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    bad = Backend(lambda line, body: status(503))
    good = [Backend() for _ in range(3)]
    detection = "{consecutive5xxErrors: 5, interval: 1s, baseEjectionTime: 60s, maxEjectionPercent: 50}"
    text = mesh(
        bad.port,
        service("many.local", [bad.port, *[b.port for b in good]])
        + policy(f"    outlierDetection: {detection}", host="many.local")
        + rule(NO_RETRIES, host="many.local", name="many"),
    )
    arguments = ["--no-store", "--workers", "1", "--metrics-interval", "1", "--collector", f"127.0.0.1:{server.server_address[1]}"]
    proxies = [start(text, arguments) for _ in range(2)]
    try:
        with Steady(proxies, pause=0.02):
            for proxy in proxies:
                wait_for(lambda: "two collectors answer in turns" in proxy.log(), seconds=20, what="the log to say so")
                wait_for(lambda: proxy.samples("skein_outlier_collectors_alternating_total") > 0, what="the count")
            for collector in collectors:
                port = collector.ports["zipkin"]
                found = wait_for(
                    lambda: json.loads(http_get(port, "/v1/outliers")[2])["ejections"], seconds=20, what="the ejection")
                assert [e["endpoint"] for e in found] == [f"127.0.0.1:{bad.port}"]
        before = len(bad.requests)
        assert [proxy.get("/", host="many.local")[0] for proxy in proxies for _ in range(12)] == [200] * 24
        assert len(bad.requests) == before
    finally:
        server.shutdown()
        server.server_close()


def test_a_collector_that_starts_empty_is_told_what_was_out(start):
    # No proxy found the endpoint by itself, and nobody asks it any more.
    bad = Backend(lambda line, body: status(503))
    world = World(
        start, [bad, *[Backend() for _ in range(3)]],
        "{consecutive5xxErrors: 5, interval: 1s, baseEjectionTime: 60s, maxEjectionPercent: 50}")
    address = f"127.0.0.1:{bad.port}"
    for proxy in world.proxies:
        seen = 0
        while seen < 2:
            seen += proxy.get("/", host="many.local")[0] == 503
    wait_for(lambda: everywhere(world, address), seconds=8, what="the endpoint being out at all proxies")
    before = len(bad.requests)
    with Steady(world.proxies) as load:
        world.collector.stop(signal.SIGKILL)
        world.collector = world.collect()
        wait_for(lambda: world.ejected() == {address}, what="the new collector having it out")
        wait_for(lambda: everywhere(world, address), what="all proxies having it out by its word")
    assert len(bad.requests) == before and set(load.codes) == {200}
    assert all(proxy.samples("skein_outlier_ejections_total") == 0 for proxy in world.proxies), "no local verdict"


def test_a_flapping_endpoint_stays_out_longer_each_time(start):
    # It is well for as long as nobody asks it.
    bad = Backend(lambda line, body: status(503))
    world = World(
        start, [bad, *[Backend() for _ in range(3)]],
        "{consecutive5xxErrors: 5, interval: 1s, baseEjectionTime: 1s, maxEjectionPercent: 50}", proxies=2)
    address = f"127.0.0.1:{bad.port}"

    def seconds():
        found = [d for d in world.picture()["decisions"] if d["outcome"] == "ejected"]
        assert {d["endpoint"] for d in found} <= {address}
        return [round((d["untilUnixMilliseconds"] - d["atUnixMilliseconds"]) / 1000) for d in found]

    with Steady(world.proxies, pause=0.01) as load:
        # Where a window passes before it fails again, its time shrinks by one.
        wait_for(lambda: max(seconds(), default=0) >= 3, seconds=60, what="an ejection of three seconds")
    assert seconds()[0] == 1 and 2 in seconds(), seconds()
    ends = [d for d in world.picture()["decisions"] if d["outcome"] == "unejected"]
    assert len(ends) >= 2 and all(d["cause"] == "timeOver" for d in ends), ends
    assert load.codes.count(200) > load.codes.count(503) > 0
