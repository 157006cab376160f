"""The detectors that Envoy has, beside one reporting proxy: the same endpoint is ejected, in the same interval or the next."""

import json
import threading
import time

import pytest

from conftest import Backend, free_port, http_get, mesh, wait_for
from envoy_peer import Envoy, cluster
from test_outliers_mesh import NO_RETRIES
from test_traffic import OK, policy, rule, service, status

INTERVAL = 2
# What the first of six endpoints answers to its n-th request, DestinationRule, UpstreamPolicy, Envoy's settings.
CASES = {
    "consecutive_5xx": (lambda n: 500, "consecutive5xxErrors: 5", "", {"consecutive_5xx": 5}),
    "consecutive_gateway_failure": (
        lambda n: 503, "consecutive5xxErrors: 0, consecutiveGatewayErrors: 4", "",
        {"enforcing_consecutive_5xx": 0, "consecutive_gateway_failure": 4, "enforcing_consecutive_gateway_failure": 100}),
    # Every second request, so that no row of errors grows.
    "success_rate": (
        lambda n: 500 if n % 2 else 200, "consecutive5xxErrors: 0", "successRate: {requestVolume: 10}",
        {"enforcing_consecutive_5xx": 0, "enforcing_success_rate": 100, "success_rate_request_volume": 10,
         "success_rate_minimum_hosts": 5}),
    "failure_percentage": (
        lambda n: 500 if n % 10 else 200, "consecutive5xxErrors: 0", "failurePercentage: {requestVolume: 10, threshold: 60}",
        {"enforcing_consecutive_5xx": 0, "enforcing_failure_percentage": 100, "failure_percentage_request_volume": 10,
         "failure_percentage_threshold": 60, "failure_percentage_minimum_hosts": 5, "enforcing_success_rate": 0}),
}


def endpoints(answer):
    """The first answers as the case says, the others always 200."""
    lock, asked = threading.Lock(), [0]

    def respond(line, body):
        with lock:
            asked[0] += 1
            code = answer(asked[0])
        return OK if code == 200 else status(code)

    return [Backend(respond), *[Backend() for _ in range(5)]]


@pytest.mark.parametrize("reason", CASES)
def test_the_same_endpoint_in_the_same_interval(start, tmp_path, reason):
    answer, rule_fields, policy_fields, envoy_fields = CASES[reason]
    ours, theirs = endpoints(answer), endpoints(answer)
    collector = start(None, ["--metrics-interval", "0"])
    own = f"""
---
apiVersion: skein.io/v1
kind: UpstreamPolicy
metadata: {{name: many, namespace: default}}
spec: {{host: many.local, outlierDetection: {{{policy_fields}}}}}
"""
    detection = f"{{{rule_fields}, interval: {INTERVAL}s, baseEjectionTime: 60s, maxEjectionPercent: 50}}"
    skein = start(
        mesh(
            ours[0].port,
            service("many.local", [e.port for e in ours])
            + policy(f"    loadBalancer: {{simple: ROUND_ROBIN}}\n    outlierDetection: {detection}", host="many.local")
            + rule(NO_RETRIES, host="many.local", name="many") + (own if policy_fields else "")),
        ["--no-store", "--workers", "1", "--metrics-interval", "1", "--collector", f"127.0.0.1:{collector.ports['zipkin']}"])
    admin = free_port()
    envoy = Envoy(
        tmp_path, [("many", ["*"], [{"match": {"prefix": "/"}, "route": {"cluster": "many"}}])],
        [cluster("many", [e.port for e in theirs], lb_policy="ROUND_ROBIN", outlier_detection={
            "interval": f"{INTERVAL}s", "base_ejection_time": "60s", "max_ejection_percent": 50, "enforcing_success_rate": 0,
            **envoy_fields})],
        admin=admin)
    done = threading.Event()

    def drive(port):
        while not done.wait(0.01):
            http_get(port, "/", {"Host": "many.local"})

    def at(condition, what):
        wait_for(condition, seconds=20, what=what)
        return time.monotonic()

    def envoy_ejected():
        statuses = json.loads(http_get(admin, "/clusters?format=json")[2])["cluster_statuses"]
        hosts = next(s for s in statuses if s["name"] == "many")["host_statuses"]
        return [h["address"]["socket_address"]["port_value"] for h in hosts if h["health_status"].get("failed_outlier_check")]

    def decision():
        found = json.loads(http_get(collector.ports["zipkin"], "/v1/outliers")[2])["decisions"]
        return [d for d in found if d["outcome"] == "ejected"]

    def locally():
        return skein.samples("skein_outlier_ejections_total") > 0

    times, threads = {}, [threading.Thread(target=drive, args=(port,)) for port in (skein.ports["outbound"], envoy.port)]
    watchers = [
        threading.Thread(target=lambda: times.update(envoy=at(envoy_ejected, "Envoy's ejection"))),
        threading.Thread(target=lambda: times.update(local=at(locally, "the local one"))),
        threading.Thread(target=lambda: times.update(mesh=at(decision, "the mesh's"))),
    ]
    try:
        for thread in threads + watchers:
            thread.start()
        for thread in watchers:
            thread.join()
        assert set(times) == {"envoy", "local", "mesh"}, times
        assert envoy_ejected() == [theirs[0].port]
        assert [d["endpoint"] for d in decision()] == [f"127.0.0.1:{ours[0].port}"]
        assert decision()[0]["reason"] == reason, decision()
        # The mesh hears with a report, a second later at most, and decides at the end of its window.
        assert abs(times["local"] - times["envoy"]) <= INTERVAL + 0.5, times
        assert times["mesh"] - times["local"] <= INTERVAL + 1.5 and times["mesh"] - times["envoy"] <= 2 * INTERVAL + 1.5, times
    finally:
        done.set()
        for thread in threads:
            thread.join()
        envoy.stop()
