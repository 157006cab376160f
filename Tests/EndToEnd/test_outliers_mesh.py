"""Mesh-wide outlier detection: proxies that report to one collector, and what it has them leave out."""

import json
import os
import signal
import subprocess
import threading

from conftest import SKEIN, Backend, free_port, http_get, mesh, wait_for
from test_traffic import policy, rule, service, status

NO_RETRIES = "  - retries: {attempts: 0}\n    route: [{destination: {host: many.local}}]\n"


class World:
    """One service of several endpoints, three proxies before it, and their collector."""

    def __init__(self, start, endpoints, detection, proxies=3):
        self.start = start
        self.port = free_port()
        self.collector = self.collect()
        self.text = mesh(
            endpoints[0].port,
            service("many.local", [e.port for e in endpoints])
            + policy("    outlierDetection: " + detection, host="many.local")
            + rule(NO_RETRIES, host="many.local", name="many"),
        )
        self.proxies = [self.proxy() for _ in range(proxies)]

    def collect(self):
        return self.start(None, ["--metrics-interval", "0", "--zipkin-port", str(self.port)])

    def proxy(self):
        return self.start(self.text, ["--no-store", "--workers", "1", "--metrics-interval", "1", "--collector", f"127.0.0.1:{self.port}"])

    def picture(self, **parameters):
        query = "&".join(f"{k}={v}" for k, v in parameters.items())
        return json.loads(http_get(self.port, f"/v1/outliers?{query}")[2])

    def ejected(self):
        return {e["endpoint"] for e in self.picture()["ejections"]}


def mesh_ejected(proxy, endpoint):
    """Whether the proxy has it out because the collector said so."""
    page = json.loads(http_get(proxy.ports["admin"], "/clusters?format=json")[2])
    for cluster in page["cluster_statuses"]:
        for host in cluster["host_statuses"]:
            address = host["address"]["socket_address"]
            if f'{address["address"]}:{address["port_value"]}' == endpoint and "mesh_ejected_for_ms" in host:
                return True
    return False


def everywhere(world, endpoint):
    return all(mesh_ejected(proxy, endpoint) for proxy in world.proxies)


class Steady:
    """A few requests a second through each proxy, until it is left."""

    def __init__(self, proxies, host="many.local", pause=0.05):
        self.proxies, self.host, self.pause = proxies, host, pause
        self.done = threading.Event()
        self.codes = []

    def __enter__(self):
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def run(self):
        while not self.done.wait(self.pause):
            for proxy in self.proxies:
                try:
                    self.codes.append(proxy.get("/", host=self.host)[0])
                except OSError:
                    self.codes.append(0)

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()


def test_failures_spread_over_proxies_eject_at_all_of_them(start):
    # Out of five requests in a row none fails five times at one proxy: two each, and the local threshold is five.
    bad = Backend(lambda line, body: status(503))
    good = [Backend() for _ in range(3)]
    world = World(start, [bad, *good], "{consecutive5xxErrors: 5, interval: 1s, baseEjectionTime: 60s, maxEjectionPercent: 50}")
    address = f"127.0.0.1:{bad.port}"
    for proxy in world.proxies:
        seen = 0
        while seen < 2:
            seen += proxy.get("/", host="many.local")[0] == 503
    wait_for(lambda: everywhere(world, address), seconds=8, what="the endpoint being out at all proxies")
    assert all(proxy.samples("skein_outlier_ejections_total") == 0 for proxy in world.proxies), "no local verdict"
    before = len(bad.requests)
    assert [proxy.get("/", host="many.local")[0] for proxy in world.proxies for _ in range(12)] == [200] * 36
    assert len(bad.requests) == before == 6

    decision = next(d for d in world.picture()["decisions"] if d["outcome"] == "ejected")
    assert decision["endpoint"] == address and decision["reason"] == "consecutive_5xx" and decision["value"] >= 5
    assert decision["agreeing"] == decision["reporters"] and len(decision["reports"]) == decision["reporters"] >= 2

    shown = subprocess.run([SKEIN, "outliers", "--server", f"127.0.0.1:{world.port}"], capture_output=True, text=True)
    assert shown.returncode == 0 and address in shown.stdout and "consecutive_5xx" in shown.stdout and "reporters agree" in shown.stdout
    as_json = subprocess.run([SKEIN, "outliers", "-o", "json", "--server", f"127.0.0.1:{world.port}"], capture_output=True, text=True)
    assert json.loads(as_json.stdout)["ejections"][0]["endpoint"] == address
    explained = subprocess.run(
        [SKEIN, "explain", "--server", f'127.0.0.1:{world.proxies[0].ports["admin"]}', "http://many.local/"], capture_output=True, text=True
    )
    assert "EJECTED mesh-wide (consecutive_5xx)" in explained.stdout, explained.stdout + explained.stderr
    endpoints = subprocess.run(
        [SKEIN, "proxy-config", "endpoints", "--server", f'127.0.0.1:{world.proxies[0].ports["admin"]}'], capture_output=True, text=True
    )
    assert any(address in line and "ejected mesh-wide" in line for line in endpoints.stdout.splitlines()), endpoints.stdout + endpoints.stderr
    assert world.proxies[0].samples("skein_outlier_mesh_ejections_active") == 1
    assert world.collector.samples("skein_outlier_judge_ejected") == 1


def test_one_broken_client_ejects_nobody(start):
    # A client whose requests the endpoints refuse, where they answer everybody else's.
    def respond(line, body):
        return status(503) if b"broken" in line else b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    servers = [Backend(respond) for _ in range(3)]
    world = World(start, servers, "{consecutive5xxErrors: 5, interval: 1s, baseEjectionTime: 60s, maxEjectionPercent: 100}")
    with Steady(world.proxies[:2]) as healthy:
        wait_for(lambda: world.picture()["endpoints"] == 3, what="the collector to know the endpoints")
        for _ in range(40):
            world.proxies[2].get("/broken", host="many.local")
        wait_for(lambda: world.collector.samples("skein_outlier_judge_reports_total", outcome="taken") >= 15, what="some more reports")
        assert world.proxies[2].samples("skein_outlier_ejections_total") > 0, "the broken client's own proxy goes by what it sees"
    assert not world.ejected() and set(healthy.codes) == {200}
    assert world.collector.samples("skein_outlier_judge_ejections_total") == 0


def test_a_silent_collector_leaves_local_detection_alone_and_an_empty_one_converges(start):
    bad = Backend(lambda line, body: status(503))
    good = [Backend() for _ in range(3)]
    world = World(start, [bad, *good], "{consecutive5xxErrors: 5, interval: 1s, baseEjectionTime: 60s, maxEjectionPercent: 50}")
    address = f"127.0.0.1:{bad.port}"
    for proxy in world.proxies:
        seen = 0
        while seen < 2:
            seen += proxy.get("/", host="many.local")[0] == 503
    wait_for(lambda: everywhere(world, address), seconds=8, what="the endpoint being out at all proxies")

    world.collector.stop(signal.SIGKILL)
    for proxy in world.proxies:
        wait_for(lambda: "local detection decides alone" in proxy.log(), what="the log to say so")
        wait_for(lambda: not mesh_ejected(proxy, address), what="the collector's ejection being over")
        assert proxy.samples("skein_outlier_local_alone") == 1, proxy.log() + proxy.metrics()[2].decode()
        assert proxy.samples("skein_outlier_collector_silences_total") == 1

    world.collector = world.collect()
    with Steady(world.proxies):
        wait_for(lambda: all(p.samples("skein_outlier_local_alone") == 0 for p in world.proxies), seconds=30, what="its words")
        # Local detection has the endpoint out at each proxy by now, and the new collector hears it from most of them.
        wait_for(lambda: everywhere(world, address), seconds=30, what="the endpoint being out at all proxies again")


def test_an_answer_without_news_is_small(start):
    good = [Backend() for _ in range(2)]
    world = World(start, good, "{interval: 1s}", proxies=1)
    wait_for(lambda: world.collector.samples("skein_outlier_judge_reports_total", outcome="taken") >= 2, what="reports")

    import struct

    def varint(number):
        head = bytes([number & 127 | (128 if number > 127 else 0)])
        return head + (varint(number >> 7) if number > 127 else b"")

    def send(sequence, epoch, generation):
        part = b"\x01" + varint(1000) + struct.pack("<Q", epoch) + varint(generation) + b"\x00"
        body = b"SKR1\x04test" + varint(sequence) + b"\x00\x00\x00" + b"\x01\x01" + varint(len(part)) + part
        code, fields, answer = http_get(world.port, "/v1/report", method="POST", body=body)
        assert code == 200 and fields["content-type"] == "application/vnd.skein.report-answer", answer
        return answer

    whole = send(1, 0, 0)
    assert whole[:5] == b"SKA1\x01" and whole[-2:] == b"\x00\x00"
    epoch, generation = struct.unpack("<Q", whole[5:13])[0], whole[13]
    same = send(2, epoch, generation)
    assert len(same) == 15 and same[-1:] == b"\x01"
    # A part that is none is told, and does not count as a report.
    body = b"SKR1\x04test\x03\x00\x00\x00\x01\x01\x02\x01\x01"
    code, _, answer = http_get(world.port, "/v1/report", method="POST", body=body)
    assert code == 400 and b"not a report" in answer


def test_detectors_to_enforce_are_told_when_they_are_not_known():
    run = subprocess.run([SKEIN, "run", "--enforce-outliers", "moon"], capture_output=True, text=True, env={**os.environ})
    assert run.returncode == 64 and "error-rate, latency" in run.stderr
