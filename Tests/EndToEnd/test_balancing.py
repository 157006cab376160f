"""Which endpoint gets the request: priorities, health checks, slow start, latency, settings of connections to endpoints."""

import collections
import signal
import socket
import subprocess
import threading
import time

from conftest import Backend, access_log, free_port, mesh, wait_for
from test_traffic import OK, policy, rule, service, status

ONE = ["--workers", "1"]


def located(name, endpoints, protocol="HTTP"):
    lines = "\n".join(f"  - {{address: 127.0.0.1, ports: {{http: {port}}}, locality: {place}}}" for port, place in endpoints)
    return f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name.split(".")[0]}, namespace: default}}
spec:
  hosts: [{name}]
  ports: [{{number: 80, name: http, protocol: {protocol}}}]
  resolution: STATIC
  endpoints:
{lines}
"""


def node(place):
    return f"""
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: me, namespace: default, labels: {{app: me}}}}
spec: {{address: 127.0.0.9, locality: {place}, labels: {{app: me}}}}
"""


def upstream_policy(host, text):
    return f"""
---
apiVersion: skein.io/v1
kind: UpstreamPolicy
metadata: {{name: {host.split(".")[0]}, namespace: default}}
spec:
  host: {host}
{text}
"""


def spread(skein, host, count=60):
    seen = collections.Counter(skein.get("/", host=host)[0] for _ in range(count))
    return seen


def test_failover_to_the_next_locality_and_back(start):
    """The nearest serve everything until they are ejected; then the next; and again when they are back."""
    down = threading.Event()
    near = Backend(lambda line, body: status(500) if down.is_set() else OK)
    far = Backend()
    config = (
        mesh(near.port)
        + located("geo.local", [(far.port, "us/x"), (near.port, "eu/a")])
        + node("eu/a")
        + policy("    outlierDetection: {consecutive5xxErrors: 2, interval: 200ms, baseEjectionTime: 500ms, maxEjectionPercent: 100}\n", host="geo.local")
    )
    skein = start(config, arguments=ONE + ["--node", "me"])
    assert spread(skein, "geo.local", 40) == {200: 40}
    assert len(near.requests) == 40 and len(far.requests) == 0
    down.set()
    seen = spread(skein, "geo.local", 30)
    assert seen[500] == 2 and seen[200] == 28, seen
    assert len(far.requests) == 28
    down.clear()
    wait_for(lambda: skein.get("/", host="geo.local") and len(near.requests) > 45, what="the nearest to be used again")


def test_distribution_by_locality(start):
    backends = {place: Backend() for place in ["eu/a", "eu/b", "us/x"]}
    config = (
        mesh(backends["eu/a"].port)
        + located("geo.local", [(b.port, place) for place, b in backends.items()])
        + node("eu/a")
        + policy("    loadBalancer: {localityLbSetting: {distribute: [{from: eu/a/*, to: {'eu/a/*': 80, 'eu/b/*': 20}}]}}\n", host="geo.local")
    )
    skein = start(config, arguments=ONE + ["--node", "me"])
    assert spread(skein, "geo.local", 1000) == {200: 1000}
    counts = {place: len(b.requests) for place, b in backends.items()}
    # 3.5 standard deviations of a binomial of 1,000 at 0.8.
    assert counts["us/x"] == 0 and abs(counts["eu/a"] - 800) < 45, counts


def test_retry_goes_to_another_locality(start):
    near = [Backend(lambda line, body: status(503)) for _ in range(2)]
    far = Backend()
    config = (
        mesh(near[0].port)
        + located("geo.local", [(near[0].port, "eu/a"), (near[1].port, "eu/a"), (far.port, "us/x")])
        + node("eu/a")
        + policy("    outlierDetection: {consecutive5xxErrors: 1000}\n", host="geo.local")
        + rule("  - retries: {attempts: 1, retryOn: 5xx, retryRemoteLocalities: true, backoff: 1ms}\n    route: [{destination: {host: geo.local}}]\n", host="geo.local", name="geo")
    )
    skein = start(config, arguments=ONE + ["--node", "me"])
    assert spread(skein, "geo.local", 20) == {200: 20}
    assert len(far.requests) == 20


def test_active_health_checks(start):
    ill = threading.Event()
    probes = []

    def answer(line, body):
        if b"/healthz" in line:
            probes.append(line)
            return status(503) if ill.is_set() else OK
        return OK

    first, second = Backend(answer), Backend()
    config = (
        mesh(first.port)
        + service("checked.local", [first.port, second.port])
        + upstream_policy("checked.local", "  healthCheck: {interval: 100ms, timeout: 1s, unhealthyThreshold: 2, healthyThreshold: 2, http: {path: /healthz, host: probe.me}}\n")
    )
    skein = start(config, arguments=ONE)
    wait_for(lambda: len(probes) >= 3, what="probes")
    assert next(r for r in first.requests if b"/healthz" in r[0])[3][b"host"] == b"probe.me"
    assert skein.samples("skein_endpoints_unhealthy") == 0
    ill.set()
    wait_for(lambda: skein.samples("skein_endpoints_unhealthy") == 1, what="the endpoint to be found ill")
    before = sum(b"/healthz" not in r[0] for r in first.requests)
    assert spread(skein, "checked.local", 30) == {200: 30}
    assert sum(b"/healthz" not in r[0] for r in first.requests) == before
    ill.clear()
    wait_for(lambda: skein.samples("skein_endpoints_unhealthy") == 0, what="the endpoint to be found well")
    spread(skein, "checked.local", 40)
    assert sum(b"/healthz" not in r[0] for r in first.requests) > before
    assert skein.samples("skein_health_checks_total", result="failed") >= 2


def test_tcp_health_checks_and_nobody_left(start):
    backend = Backend()
    dead = free_port()
    config = (
        mesh(backend.port)
        + service("one.local", [dead])
        + upstream_policy("one.local", "  healthCheck: {interval: 100ms, tcp: {}}\n")
    )
    skein = start(config, arguments=ONE)
    wait_for(lambda: skein.samples("skein_endpoints_unhealthy") == 1, what="the endpoint to be found dead")
    assert skein.get("/", host="one.local")[0] == 503
    assert access_log(skein)[-1]["flags"] == "UH"


def test_slow_start(start):
    """An endpoint that a reload adds gets little at first, an equal share in the end."""
    old, new = Backend(), Backend()

    def config(ports):
        return mesh(old.port) + service("grow.local", ports) + policy("    loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 2s}}\n", host="grow.local")

    skein = start(config([old.port]), arguments=ONE)
    began = time.monotonic()
    wait_for(lambda: time.monotonic() - began > 2.2, what="the first endpoint to be warm")
    (skein.config / "mesh.yaml").write_text(config([old.port, new.port]))
    skein.process.send_signal(signal.SIGHUP)
    wait_for(lambda: skein.get("/", host="grow.local") and len(new.requests) > 0, what="the new endpoint's first request")

    def share(count):
        before = len(new.requests)
        assert spread(skein, "grow.local", count) == {200: count}
        return (len(new.requests) - before) / count

    assert share(40) < 0.35
    wait_for(lambda: abs(share(100) - 0.5) < 0.02, what="an equal share")


def test_latency_aware_balancing_avoids_the_slow(start):
    slow = Backend(lambda line, body: time.sleep(0.05) or OK)
    fast = [Backend() for _ in range(3)]
    config = (
        mesh(slow.port)
        + service("lat.local", [slow.port] + [b.port for b in fast])
        + upstream_policy("lat.local", "  loadBalancer: PEAK_EWMA\n")
    )
    skein = start(config, arguments=ONE)
    assert spread(skein, "lat.local", 300) == {200: 300}
    assert len(slow.requests) <= 10, [len(slow.requests)] + [len(b.requests) for b in fast]


def test_connections_end_at_their_maximum_age(start):
    backend = Backend()
    skein = start(mesh(backend.port) + policy("    connectionPool: {tcp: {maxConnectionDuration: 300ms}}\n"), arguments=ONE)
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        assert skein.get("/")[0] == 200
    assert 4 <= backend.connections <= 8, backend.connections


def test_tcp_connections_end_at_their_maximum_age_and_when_idle(start):
    for setting, flag in (("maxConnectionDuration: 300ms", "DT"), ("idleTimeout: 300ms", "SI")):
        echo = Backend(lambda line, body: OK)
        port = free_port()
        config = mesh(echo.port) + f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: db, namespace: default}}
spec:
  hosts: [db.local]
  ports: [{{number: {port}, name: tcp, protocol: TCP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{tcp: {echo.port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: default, namespace: default}}
spec:
  egress:
  - port: {{number: {port}, protocol: TCP, name: tcp}}
    bind: 127.0.0.1
    hosts: ["*/db.local"]
  - hosts: ["*/*"]
""" + policy(f"    connectionPool: {{tcp: {{{setting}}}}}\n", host="db.local")
        skein = start(config, arguments=ONE)
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
            began = time.monotonic()
            while client.recv(1000):
                pass
            assert time.monotonic() - began < 5
        assert wait_for(lambda: access_log(skein), what="the record")[-1]["flags"] == flag


def test_keepalive_is_set_on_upstream_sockets(start):
    backend = Backend()
    skein = start(mesh(backend.port) + policy("    connectionPool: {tcp: {tcpKeepalive: {time: 77s, interval: 5s, probes: 3}}}\n"), arguments=ONE)
    assert skein.get("/")[0] == 200
    # `ss -o` shows a keepalive timer on the idle upstream connection.
    def timers():
        text = subprocess.run(["ss", "-tnoH", "dst", f"127.0.0.1:{backend.port}"], capture_output=True, text=True).stdout
        return [line for line in text.splitlines() if "timer:(keepalive" in line]

    found = wait_for(timers, what="a keepalive timer")
    assert "min" in found[0] or "sec" in found[0], found
