"""MeshOutlierDetection with real proxies: slow and failing endpoints, found over the mesh, reported or ejected."""

import json
import subprocess
import threading
import time

from conftest import SKEIN, Backend, free_port, http_get, mesh, wait_for
from test_outliers_mesh import NO_RETRIES, everywhere, mesh_ejected
from test_traffic import OK, policy, rule, service, status

BALANCER = policy("    loadBalancer: {simple: ROUND_ROBIN}", host="many.local")


def resource(spec):
    return f"""
---
apiVersion: skein.io/v1
kind: MeshOutlierDetection
metadata: {{name: many, namespace: default}}
spec: {{host: many.local, interval: 1s, baseEjectionTime: 60s, maxEjectionPercent: 50, {spec}}}
"""


class World:
    """One service without outlierDetection, several proxies before it, and their collector."""

    def __init__(self, start, endpoints, spec, proxies=3):
        self.endpoints = endpoints
        self.port = free_port()
        self.collector = start(None, ["--metrics-interval", "1", "--zipkin-port", str(self.port)])
        arguments = ["--no-store", "--workers", "1", "--metrics-interval", "1", "--collector", f"127.0.0.1:{self.port}"]
        self.proxies = [start(self.text(spec), arguments) for _ in range(proxies)]

    def text(self, spec):
        ports = [e.port for e in self.endpoints]
        return mesh(ports[0], service("many.local", ports) + BALANCER + rule(NO_RETRIES, host="many.local", name="many") + resource(spec))

    def reload(self, spec):
        for proxy in self.proxies:
            (proxy.config / "mesh.yaml").write_text(self.text(spec))

    def picture(self):
        return json.loads(http_get(self.port, "/v1/outliers")[2])

    def ejected(self):
        return {e["endpoint"]: e["reason"] for e in self.picture()["ejections"]}

    def decisions(self, outcome):
        return [d for d in self.picture()["decisions"] if d["outcome"] == outcome]


class Load:
    """Requests through each proxy, one after the other, until it is left."""

    def __init__(self, proxies, threads=2):
        self.done = threading.Event()
        self.codes = []
        self.threads = [threading.Thread(target=self.run, args=(proxy,)) for proxy in proxies for _ in range(threads)]

    def run(self, proxy):
        while not self.done.wait(0.005):
            try:
                self.codes.append(proxy.get("/", host="many.local")[0])
            except OSError:
                self.codes.append(0)

    def __enter__(self):
        self.began = time.time()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for thread in self.threads:
            thread.join()


def slow(seconds):
    return lambda line, body: time.sleep(seconds) or OK


def test_a_slow_endpoint_is_reported_then_ejected(start):
    endpoints = [Backend(slow(0.12)), *[Backend() for _ in range(4)]]
    address = f"127.0.0.1:{endpoints[0].port}"
    detector = "latency: {minimumVolume: 5}"
    world = World(start, endpoints, detector + ", mode: REPORT_ONLY")
    with Load(world.proxies) as load:
        found = wait_for(lambda: world.decisions("not_enforced"), seconds=10, what="the slow endpoint being found")[0]
        assert found["endpoint"] == address and found["reason"] == "latency", found
        assert found["value"] >= found["threshold"] >= 25 and found["agreeing"] == found["reporters"] >= 2
        # Three windows of a second, and a report that is on its way.
        assert found["atUnixMilliseconds"] / 1000 - load.began < 5, found
        assert not world.ejected() and not mesh_ejected(world.proxies[0], address)

        explained = subprocess.run(
            [SKEIN, "explain", "--server", f'127.0.0.1:{world.proxies[0].ports["admin"]}', "http://many.local/"],
            capture_output=True, text=True)
        assert "REPORT_ONLY, latency from 3.0 x the median" in explained.stdout, explained.stdout + explained.stderr
        assert "MeshOutlierDetection default/many" in explained.stdout and "by the mesh alone" in explained.stdout

        world.reload(detector)
        wait_for(lambda: everywhere(world, address), seconds=15, what="the slow endpoint being out at all proxies")
        assert world.ejected() == {address: "latency"}
    assert set(load.codes) == {200}


def test_a_host_that_is_switched_off_is_not_reported(start):
    world = World(start, [Backend(lambda line, body: status(500)), Backend()], "errorRate: {minimumVolume: 5}, mode: \"OFF\"", proxies=1)
    with Load(world.proxies):
        wait_for(lambda: world.collector.samples("skein_outlier_judge_reports_total", outcome="taken") >= 3, what="reports")
        assert world.picture()["endpoints"] == 0
        world.reload("errorRate: {minimumVolume: 5}")
        wait_for(lambda: list(world.ejected().values()) == ["error_rate"], what="the ejection")
        # Off again: the proxy admits it, and its cluster is not judged any more.
        world.reload("errorRate: {minimumVolume: 5}, mode: \"OFF\"")
        address = f"127.0.0.1:{world.endpoints[0].port}"
        wait_for(lambda: not mesh_ejected(world.proxies[0], address), what="the endpoint being admitted")


def test_five_proxies_with_a_slow_and_a_failing_endpoint(start):
    """As `skein init` has it: one service, some endpoints, and what a person who watches sees."""
    endpoints = [Backend(slow(0.12)), Backend(lambda line, body: status(500)), *[Backend() for _ in range(4)]]
    late, failing = (f"127.0.0.1:{e.port}" for e in endpoints[:2])
    world = World(start, endpoints, "errorRate: {minimumVolume: 20}, latency: {minimumVolume: 5}", proxies=5)

    def run(*arguments):
        done = subprocess.run([SKEIN, *arguments, "-o", "json", "--server", f"127.0.0.1:{world.port}"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    with Load(world.proxies, threads=1) as load:
        wait_for(lambda: world.ejected() == {late: "latency", failing: "error_rate"}, seconds=20, what="both being found")
        wait_for(lambda: everywhere(world, late) and everywhere(world, failing), seconds=10, what="both being out everywhere")
        picture = run("outliers")
        assert {e["endpoint"]: e["reason"] for e in picture["ejections"]} == {late: "latency", failing: "error_rate"}
        assert picture["reporters"] == 5
        for decision in picture["decisions"]:
            if decision["outcome"] == "ejected":
                assert decision["voicesAgreeing"] * 2 > decision["voices"] and decision["reports"] and decision["text"], decision

        def rows():
            shown = run("top", "--by", "endpoint", "--window", "1m")["rows"]
            return {r["labels"]["endpoint"]: r for r in shown if "many.local" in r["labels"]["cluster"]}

        def shown():
            found = rows()
            return {late, failing} <= {name for name in found if found[name].get("ejected")}

        wait_for(shown, seconds=15, what="both being shown as ejected by skein top")
        found = rows()
        healthy = [f"127.0.0.1:{e.port}" for e in endpoints[2:]]
        assert found[failing]["success_rate"] < 0.1 and all(not found[h].get("ejected") for h in healthy), found
        assert found[late]["p95_ms"] > 3 * max(found[h]["p50_ms"] for h in healthy)
        before = [len(e.requests) for e in endpoints[:2]]
        count = len(load.codes)
        wait_for(lambda: len(load.codes) > count + 100, what="more requests")
        assert [len(e.requests) for e in endpoints[:2]] == before and set(load.codes[count:]) == {200}
