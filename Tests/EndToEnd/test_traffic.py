"""Traffic management as its users see it: VirtualService and DestinationRule fields against backends that misbehave on demand."""

import collections
import itertools
import re
import socket
import socketserver
import subprocess
import threading
import time

import pytest

from conftest import SKEIN, Backend, access_log, free_port, http_get, mesh, wait_for

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def status(code, extra=b""):
    return b"HTTP/1.1 %d X\r\n%sContent-Length: 0\r\n\r\n" % (code, extra)


def rule(http, host="web.local", name="web"):
    return f"""
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: default}}
spec:
  hosts: [{host}]
  http:
{http}
"""


def policy(text, host="web.local", subsets=""):
    return f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: web, namespace: default}}
spec:
  host: {host}
  trafficPolicy:
{text}
{subsets}
"""


def service(name, ports, protocol="HTTP"):
    endpoints = ", ".join("{address: 127.0.0.1, ports: {http: %d}}" % port for port in ports)
    return f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name.split(".")[0]}, namespace: default}}
spec:
  hosts: [{name}]
  ports: [{{number: 80, name: http, protocol: {protocol}}}]
  resolution: STATIC
  endpoints: [{endpoints}]
"""


ROUTE = "    route: [{destination: {host: web.local}}]\n"


class Script:
    """Answers requests by a list, then for ever by its last entry."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.lock = threading.Lock()

    def __call__(self, line, body):
        with self.lock:
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def backends(*responds):
    made = [Backend(respond) for respond in responds]
    return made


# Retries


def test_retry_on_5xx_and_the_attempt_header(start):
    backend = Backend(Script(status(503), status(500), OK))
    skein = start(mesh(backend.port, rule("  - retries: {attempts: 3, retryOn: 5xx, backoff: 1ms}\n" + ROUTE)), arguments=["--workers", "1"])
    code, _, body = skein.get("/api")
    assert (code, body) == (200, b"ok")
    assert [r[3][b"x-envoy-attempt-count"] for r in backend.requests] == [b"1", b"2", b"3"]
    entry = access_log(skein)[0]
    assert entry["flags"] in (None, "-"), entry
    assert skein.samples("istio_requests_total", response_code="200") == 1


def test_retries_end_and_the_last_response_passes(start):
    backend = Backend(lambda line, body: status(503, b"X-Answer: mine\r\n"))
    skein = start(mesh(backend.port, rule("  - retries: {attempts: 2, retryOn: '503', backoff: 1ms}\n" + ROUTE)), arguments=["--workers", "1"])
    code, headers, _ = skein.get("/")
    assert code == 503 and headers["x-answer"] == "mine"
    assert len(backend.requests) == 3
    assert access_log(skein)[0]["flags"] == "URX"


def test_attempts_zero_and_conditions_that_do_not_hold(start):
    backend = Backend(lambda line, body: status(503))
    config = mesh(
        backend.port,
        rule("  - match: [{uri: {prefix: /off}}]\n    retries: {attempts: 0}\n" + ROUTE + "  - retries: {attempts: 3, retryOn: 'connect-failure,409'}\n" + ROUTE),
    )
    skein = start(config, arguments=["--workers", "1"])
    assert skein.get("/off")[0] == 503 and len(backend.requests) == 1
    assert skein.get("/on")[0] == 503 and len(backend.requests) == 2


def test_a_body_is_sent_again(start):
    backend = Backend(Script(status(502), OK))
    skein = start(mesh(backend.port, rule("  - retries: {attempts: 1, retryOn: gateway-error}\n" + ROUTE)), arguments=["--workers", "1"])
    payload = bytes(range(256)) * 800
    assert skein.get("/", method="POST", body=payload)[0] == 200
    assert [len(r[2]) for r in backend.requests] == [len(payload)] * 2 and backend.requests[1][2] == payload


def test_chunked_body_is_sent_again(start):
    backend = Backend(Script(status(502), OK))
    skein = start(mesh(backend.port, rule("  - retries: {attempts: 1, retryOn: gateway-error}\n" + ROUTE)), arguments=["--workers", "1"])
    data = skein.raw(
        b"POST / HTTP/1.1\r\nHost: web.local\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX-T: 1\r\n\r\n"
    )
    assert data.startswith(b"HTTP/1.1 200"), data
    assert [r[2] for r in backend.requests] == [b"hello world"] * 2


def test_post_is_not_retried_after_it_was_received(start):
    """The default policy: a reset after the request was sent may have been acted upon."""

    def cut(line, body):
        return None

    backend = Backend(cut)
    skein = start(mesh(backend.port), arguments=["--workers", "1"])
    assert skein.get("/", method="POST", body=b"pay")[0] == 503
    assert len(backend.requests) == 1
    assert access_log(skein)[0]["flags"] == "UC"


def test_connect_failures_go_to_another_host(start):
    backend = Backend()
    dead = free_port()
    skein = start(mesh(backend.port) + service("two.local", [dead, backend.port]), arguments=["--workers", "1"])
    for _ in range(40):
        assert skein.get("/", host="two.local", method="POST", body=b"x")[0] == 200


def test_per_try_timeout(start):
    def slow(line, body):
        if len(backend.requests) == 1:
            time.sleep(1.5)
        return OK

    backend = Backend(slow)
    skein = start(
        mesh(backend.port, rule("  - retries: {attempts: 2, perTryTimeout: 200ms, retryOn: 5xx}\n" + ROUTE)), arguments=["--workers", "1"]
    )
    began = time.monotonic()
    assert skein.get("/")[0] == 200
    assert time.monotonic() - began < 1.2 and len(backend.requests) == 2


def test_per_try_timeout_without_retries(start):
    backend = Backend(lambda line, body: time.sleep(2) or OK)
    skein = start(
        mesh(backend.port, rule("  - retries: {attempts: 1, perTryTimeout: 100ms, retryOn: connect-failure}\n" + ROUTE)), arguments=["--workers", "1"]
    )
    assert skein.get("/")[0] == 504
    entry = access_log(skein)[0]
    assert (entry["flags"], entry["details"]) == ("UT", "upstream_per_try_timeout")


def test_route_timeout_covers_the_tries(start):
    backend = Backend(lambda line, body: time.sleep(0.4) or status(503))
    skein = start(
        mesh(backend.port, rule("  - timeout: 600ms\n    retries: {attempts: 10, retryOn: 5xx}\n" + ROUTE)), arguments=["--workers", "1"]
    )
    began = time.monotonic()
    assert skein.get("/")[0] == 504 and time.monotonic() - began < 1.5
    assert access_log(skein)[0]["flags"] == "UT"


# Faults


def test_fault_abort_and_its_flag(start):
    backend = Backend()
    skein = start(
        mesh(backend.port, rule("  - fault: {abort: {percentage: {value: 100}, httpStatus: 418}}\n    retries: {attempts: 3, retryOn: 5xx}\n" + ROUTE)),
        arguments=["--workers", "1"],
    )
    code, _, body = skein.get("/")
    assert (code, body) == (418, b"fault filter abort") and not backend.requests
    entry = access_log(skein)[0]
    assert (entry["flags"], entry["details"]) == ("FI", "fault_filter_abort")


def test_fault_delay_then_answer(start):
    backend = Backend()
    skein = start(mesh(backend.port, rule("  - fault: {delay: {percentage: {value: 100}, fixedDelay: 300ms}}\n" + ROUTE)), arguments=["--workers", "1"])
    began = time.monotonic()
    assert skein.get("/", method="POST", body=b"x" * 100000)[0] == 200
    assert time.monotonic() - began >= 0.3 and backend.requests[0][2] == b"x" * 100000
    assert access_log(skein)[0]["flags"] == "DI"


def test_fault_percentage(start):
    backend = Backend()
    skein = start(
        mesh(backend.port, rule("  - fault: {abort: {percentage: {value: 20}, httpStatus: 500}}\n" + ROUTE)), arguments=["--workers", "1", "--seed", "7"]
    )
    counts = collections.Counter(skein.get("/")[0] for _ in range(500))
    # Binomial(500, 0.2): five standard deviations are 45.
    assert abs(counts[500] - 100) < 45, counts


# Mirrors


def test_mirror_is_a_shadow(start):
    backend, shadow = Backend(), Backend(lambda line, body: status(500))
    skein = start(
        mesh(backend.port, service("shadow.local", [shadow.port]) + rule("  - mirror: {host: shadow.local}\n" + ROUTE)), arguments=["--workers", "1"]
    )
    assert skein.get("/a?b=c", method="POST", body=b"body" * 5000)[0] == 200
    wait_for(lambda: shadow.requests, what="the mirrored request")
    line, fields, body, headers = shadow.requests[0]
    assert line == b"POST /a?b=c HTTP/1.1" and body == b"body" * 5000
    assert headers[b"host"] == b"web.local-shadow"
    assert headers[b"x-request-id"] == backend.requests[0][3][b"x-request-id"]
    assert skein.samples("istio_requests_total") == 1


def test_mirror_percentage_and_a_dead_mirror(start):
    backend, shadow = Backend(), Backend()
    text = rule("  - match: [{uri: {prefix: /dead}}]\n    mirror: {host: dead.local}\n" + ROUTE + "  - mirrors: [{destination: {host: shadow.local}, percentage: {value: 25}}]\n" + ROUTE)
    skein = start(mesh(backend.port, service("shadow.local", [shadow.port]) + service("dead.local", [free_port()]) + text), arguments=["--workers", "1", "--seed", "3"])
    assert all(skein.get("/dead")[0] == 200 for _ in range(5))
    for _ in range(300):
        assert skein.get("/")[0] == 200
    wait_for(lambda: abs(len(shadow.requests) - 75) < 40, what="a quarter of the requests")


# Rewrites, redirects, direct responses, headers, CORS


def test_rewrites(start):
    backend = Backend()
    text = rule(
        """  - match: [{uri: {prefix: /old/}}]
    rewrite: {uri: /new/, authority: other.local}
"""
        + ROUTE
        + """  - match: [{uri: {regex: "/users/[0-9]+/.*"}}]
    rewrite: {uriRegexRewrite: {match: "^/users/([0-9]+)/(.*)$", rewrite: '/u/\\2/\\1'}}
"""
        + ROUTE
        + ROUTE.replace("    route", "  - route")
    )
    skein = start(mesh(backend.port, text), arguments=["--workers", "1"])
    assert skein.get("/old/a/b?x=1")[0] == 200
    assert skein.get("/users/42/name?y=2")[0] == 200
    assert skein.get("/plain")[0] == 200
    lines = [r[0] for r in backend.requests]
    assert lines == [b"GET /new/a/b?x=1 HTTP/1.1", b"GET /u/name/42?y=2 HTTP/1.1", b"GET /plain HTTP/1.1"]
    assert backend.requests[0][3][b"host"] == b"other.local"
    assert backend.requests[0][3][b"x-envoy-original-path"] == b"/old/a/b?x=1"
    assert b"x-envoy-original-path" not in backend.requests[2][3]


def test_redirects_and_direct_responses(start):
    backend = Backend()
    text = rule(
        """  - match: [{uri: {prefix: /a}}]
    redirect: {uri: /b, authority: new.local, redirectCode: 308}
  - match: [{uri: {prefix: /tls}}]
    redirect: {scheme: https}
  - match: [{uri: {prefix: /port}}]
    redirect: {port: 8443}
  - match: [{uri: {prefix: /direct}}]
    directResponse: {status: 503, body: {string: "closed for today"}}
    headers: {response: {set: {x-why: sunday}}}
  - match: [{uri: {prefix: /json}}]
    directResponse: {status: 200, body: {string: "{}"}}
    headers: {response: {set: {content-type: application/json}}}
"""
        + ROUTE.replace("    route", "  - route")
    )
    skein = start(mesh(backend.port, text), arguments=["--workers", "1"])
    code, headers, _ = skein.get("/a/x?q=1")
    assert (code, headers["location"]) == (308, "http://new.local/b?q=1")
    assert skein.get("/tls/x")[1]["location"] == "https://web.local/tls/x"
    assert skein.get("/port")[1]["location"] == "http://web.local:8443/port"
    code, headers, body = skein.get("/direct")
    assert (code, body, headers["x-why"]) == (503, b"closed for today", "sunday")
    # A type that the configuration gives is the only one.
    types = [line for line in skein.raw(b"GET /json HTTP/1.1\r\nHost: web.local\r\nConnection: close\r\n\r\n").lower().split(b"\r\n") if line.startswith(b"content-type")]
    assert types == [b"content-type: application/json"]
    ours = subprocess.run(
        ["curl", "-s", "-i", "--http2-prior-knowledge", "-H", "Host: web.local", f"http://127.0.0.1:{skein.ports['outbound']}/json"], capture_output=True, text=True)
    assert ours.stdout.count("content-type:") == 1 and "content-type: application/json" in ours.stdout
    assert not backend.requests


def test_header_operations(start):
    backend = Backend(lambda line, body: b"HTTP/1.1 200 OK\r\nX-Powered-By: php\r\nX-Old: 1\r\nContent-Length: 2\r\n\r\nok")
    text = rule(
        """  - headers:
      request: {set: {x-set: route}, add: {x-add: route}, remove: [x-drop]}
      response: {remove: [x-powered-by], set: {x-old: "2"}, add: {x-new: "3"}}
    route:
    - destination: {host: web.local}
      headers:
        request: {set: {x-set: destination, x-own: destination}, add: {x-add: destination}}
"""
    )
    skein = start(mesh(backend.port, text), arguments=["--workers", "1"])
    code, headers, _ = skein.get("/", headers={"X-Set": "client", "X-Drop": "client", "X-Add": "client"})
    assert code == 200
    assert headers["x-old"] == "2" and headers["x-new"] == "3" and "x-powered-by" not in headers
    sent = [(k.lower(), v) for k, v in backend.requests[0][1]]
    # The rule's only destination has the last word, as in what istiod makes of it.
    assert [v for k, v in sent if k == b"x-set"] == [b"destination"]
    assert [v for k, v in sent if k == b"x-own"] == [b"destination"]
    assert [v for k, v in sent if k == b"x-add"] == [b"client", b"route", b"destination"]
    assert not [v for k, v in sent if k == b"x-drop"]


def test_cors(start):
    backend = Backend(lambda line, body: b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: app\r\nContent-Length: 2\r\n\r\nok")
    text = rule(
        """  - corsPolicy:
      allowOrigins: [{exact: "https://good.example"}, {regex: "https://[a-z]+[.]good[.]example"}]
      allowMethods: [GET, POST]
      allowHeaders: [x-token]
      exposeHeaders: [x-total]
      maxAge: 24h
      allowCredentials: true
"""
        + ROUTE
    )
    skein = start(mesh(backend.port, text), arguments=["--workers", "1"])
    asked = {"Origin": "https://api.good.example", "Access-Control-Request-Method": "POST"}
    code, headers, _ = skein.get("/", method="OPTIONS", headers=asked)
    assert code == 200 and not backend.requests
    assert headers["access-control-allow-origin"] == "https://api.good.example"
    assert headers["access-control-allow-methods"] == "GET,POST" and headers["access-control-allow-headers"] == "x-token"
    assert headers["access-control-max-age"] == "86400" and headers["access-control-allow-credentials"] == "true"
    code, headers, _ = skein.get("/", headers={"Origin": "https://good.example"})
    assert headers["access-control-allow-origin"] == "https://good.example" and headers["access-control-expose-headers"] == "x-total"
    code, headers, _ = skein.get("/", headers={"Origin": "https://evil.example"})
    assert code == 200 and headers["access-control-allow-origin"] == "app"


def test_delegates(start):
    backend = Backend()
    text = rule(
        """  - match: [{uri: {prefix: /team}}]
    delegate: {name: team, namespace: default}
  - directResponse: {status: 404}
"""
    ) + """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: team, namespace: default}
spec:
  http:
  - match: [{uri: {prefix: /team/a}}]
    rewrite: {uri: /A}
    route: [{destination: {host: web.local}}]
  - match: [{uri: {prefix: /other}}]
    route: [{destination: {host: web.local}}]
"""
    skein = start(mesh(backend.port, text), arguments=["--workers", "1"])
    assert skein.get("/team/a/x")[0] == 200 and backend.requests[0][0] == b"GET /A/x HTTP/1.1"
    assert skein.get("/other")[0] == 404 and skein.get("/team/b")[0] == 404


# Circuit breakers


class Gate:
    """A backend that holds its answers until it is opened."""

    def __init__(self):
        self.open = threading.Event()
        self.now = 0
        self.peak = 0
        self.lock = threading.Lock()

    def __call__(self, line, body):
        with self.lock:
            self.now += 1
            self.peak = max(self.peak, self.now)
        self.open.wait(20)
        with self.lock:
            self.now -= 1
        return OK


def flood(skein, count):
    results = []
    lock = threading.Lock()

    def one():
        answer = skein.get("/")
        with lock:
            results.append(answer)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, results


@pytest.mark.parametrize("workers", ["1", "4"])
def test_limits_hold_across_workers(start, workers):
    gate = Gate()
    backend = Backend(gate)
    text = policy("    connectionPool: {tcp: {maxConnections: 3}, http: {http1MaxPendingRequests: 2}}")
    skein = start(mesh(backend.port, text), arguments=["--workers", workers])
    # One after the other: a request pends until its connection is there, as in Envoy, so that three in one turn of a worker would be one too many (15 to 17
    # of 20 at once are refused).
    served = []
    for count in range(1, 4):
        served.append(flood(skein, 1))
        wait_for(lambda: gate.now == count, what="a request at the backend")
    threads, results = flood(skein, 17)
    wait_for(lambda: len(results) == 15, what="15 refusals")
    assert {code for code, _, _ in results} == {503}
    assert all(headers["x-envoy-overloaded"] == "true" for _, headers, _ in results)
    gate.open.set()
    for thread in threads + [thread for started, _ in served for thread in started]:
        thread.join()
    answers = results + [answer for _, answered in served for answer in answered]
    assert collections.Counter(code for code, _, _ in answers) == {503: 15, 200: 5}
    assert gate.peak <= 3 and backend.connections <= 5
    flags = collections.Counter(entry["flags"] for entry in access_log(skein, 20))
    assert flags["UO"] == 15, flags
    # What was held is given back.
    assert [skein.get("/")[0] for _ in range(20)] == [200] * 20


def test_request_limit(start):
    gate = Gate()
    backend = Backend(gate)
    skein = start(mesh(backend.port, policy("    connectionPool: {http: {http2MaxRequests: 4}}")), arguments=["--workers", "2"])
    threads, results = flood(skein, 12)
    wait_for(lambda: len(results) == 8, what="8 refusals")
    gate.open.set()
    for thread in threads:
        thread.join()
    assert collections.Counter(code for code, _, _ in results) == {503: 8, 200: 4}


def test_retry_limit(start):
    backend = Backend(lambda line, body: time.sleep(0.05) or status(503))
    text = policy("    connectionPool: {http: {maxRetries: 1}}") + rule("  - retries: {attempts: 5, retryOn: 5xx}\n" + ROUTE)
    skein = start(mesh(backend.port, text), arguments=["--workers", "2"])
    threads, results = flood(skein, 20)
    for thread in threads:
        thread.join()
    # One request at a time may be retrying.
    assert len(backend.requests) < 20 + 20 * 3, len(backend.requests)
    assert "UO" in {entry["flags"] for entry in access_log(skein, 20)}


# Outlier detection


def test_consecutive_errors_eject_and_the_seed_number_is_honoured(start):
    bad = Backend(lambda line, body: status(503))
    good = Backend()
    text = service("two.local", [bad.port, good.port]) + policy(
        "    outlierDetection: {consecutiveErrors: 3, interval: 1s, baseEjectionTime: 60s, maxEjectionPercent: 50}", host="two.local"
    ) + rule("  - retries: {attempts: 0}\n    route: [{destination: {host: two.local}}]\n", host="two.local", name="two")
    skein = start(mesh(good.port, text), arguments=["--workers", "2"])
    codes = [skein.get("/", host="two.local")[0] for _ in range(60)]
    assert codes.count(503) == 3, codes
    assert len(bad.requests) == 3


def test_ejected_endpoints_come_back(start):
    bad = Backend(Script(status(503), status(503), OK))
    good = Backend()
    text = service("two.local", [bad.port, good.port]) + policy(
        "    outlierDetection: {consecutive5xxErrors: 2, interval: 200ms, baseEjectionTime: 500ms, maxEjectionPercent: 100}", host="two.local"
    ) + rule("  - retries: {attempts: 0}\n    route: [{destination: {host: two.local}}]\n", host="two.local", name="two")
    skein = start(mesh(good.port, text), arguments=["--workers", "1"])
    while len(bad.requests) < 2:
        skein.get("/", host="two.local")
    assert [skein.get("/", host="two.local")[0] for _ in range(20)] == [200] * 20 and len(bad.requests) == 2
    wait_for(lambda: skein.get("/", host="two.local")[0] == 200 and len(bad.requests) > 2, what="the ejection's end")


def test_max_ejection_percent(start):
    bad = [Backend(lambda line, body: status(500)) for _ in range(3)]
    text = service("three.local", [b.port for b in bad]) + policy(
        "    outlierDetection: {consecutive5xxErrors: 1, interval: 10s, baseEjectionTime: 60s, maxEjectionPercent: 50}", host="three.local"
    )
    skein = start(mesh(bad[0].port, text), arguments=["--workers", "1"])
    for _ in range(60):
        assert skein.get("/", host="three.local")[0] == 500
    counts = sorted(len(b.requests) for b in bad)
    assert counts[0] == 1 and counts[1] > 10, counts


# Reload under waits


def test_a_reload_does_not_disturb_what_waits(start):
    backend = Backend()
    config = mesh(backend.port, rule("  - fault: {delay: {percentage: {value: 100}, fixedDelay: 800ms}}\n" + ROUTE))
    skein = start(config, arguments=["--workers", "1"])
    answers = []
    thread = threading.Thread(target=lambda: answers.append(skein.get("/waits")))
    thread.start()
    (skein.config / "mesh.yaml").write_text(mesh(backend.port, rule("  - directResponse: {status: 204}\n")))
    wait_for(lambda: skein.get("/new")[0] == 204, what="the new configuration")
    thread.join()
    assert answers[0][0] == 200, "a request keeps the configuration it began with"


# Consistent hashing


def test_one_user_one_endpoint_and_a_cookie_for_who_has_none(start):
    servers = [Backend(lambda line, body, n=n: b"HTTP/1.1 200 OK\r\nX-Who: %d\r\nContent-Length: 0\r\n\r\n" % n) for n in range(4)]
    text = service("many.local", [b.port for b in servers]) + policy(
        "    loadBalancer: {consistentHash: {httpCookie: {name: sid, ttl: 60s, path: /}}}", host="many.local")
    skein = start(mesh(servers[0].port, text), arguments=["--workers", "2"])
    seen = set()
    for _ in range(12):
        code, headers, _ = skein.get("/", host="many.local")
        name, value = headers["set-cookie"].split(";")[0].split("=")
        assert code == 200 and name == "sid" and len(value) == 16 and "Max-Age=60" in headers["set-cookie"] and "Path=/" in headers["set-cookie"]
        again = [skein.get("/", host="many.local", headers={"Cookie": f"a=b; sid={value}"}) for _ in range(5)]
        assert {h["x-who"] for _, h, _ in again} == {headers["x-who"]} and "set-cookie" not in again[0][1]
        seen.add(headers["x-who"])
    assert len(seen) > 1, "twelve clients on one of four endpoints"


def test_a_workload_sets_the_limits_of_its_own_request(start):
    """Envoy's request headers, which Istio's documents offer applications: time limit, tries and conditions in place of the route's."""
    made = Backend(Script(status(503), status(503), OK))
    skein = start(mesh(made.port))
    # The route's own retries do not cover 503.
    assert skein.get("/")[0] == 503
    asked = {"x-envoy-retry-on": "gateway-error", "x-envoy-max-retries": "3"}
    assert skein.get("/", headers=asked)[0] == 200
    assert not any(k.lower().startswith(b"x-envoy-retry") or k.lower().startswith(b"x-envoy-max") for r in made.requests for k, _ in r[1])
    slow = Backend(lambda line, body: time.sleep(3) or OK)
    other = start(mesh(slow.port))
    code, headers, _ = other.get("/", headers={"x-envoy-upstream-rq-timeout-ms": "150"})
    assert code == 504
    assert dict((k.lower(), v) for k, v in slow.requests[0][1])[b"x-envoy-expected-rq-timeout-ms"] == b"150"
    line = access_log(other)[0]
    assert line["flags"] == "UT"
    # Nonsense asks for nothing.
    made.respond = Script(OK)
    assert skein.get("/", headers={"x-envoy-upstream-rq-timeout-ms": "-1", "x-envoy-max-retries": "18446744073709551616", "x-envoy-retry-on": ",,x,"})[0] == 200


def test_codes_that_a_request_wants_tried_again(start):
    made = Backend(Script(status(418), OK))
    skein = start(mesh(made.port))
    assert skein.get("/", headers={"x-envoy-retry-on": "retriable-status-codes", "x-envoy-retriable-status-codes": "418, 9999"})[0] == 200
    assert len(made.requests) == 2


class ProxyHeaderServer:
    """An HTTP server behind a load balancer: every connection begins with who its client is."""

    def __init__(self):
        outer = self
        self.headers = []

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                data = b""
                while b"\r\n\r\n" not in data or (data.startswith(b"PROXY") and data.count(b"\r\n") < 3):
                    piece = self.request.recv(65536)
                    if not piece:
                        return
                    data += piece
                if data.startswith(b"\r\n\r\n\0\r\nQUIT\n"):
                    size = 16 + int.from_bytes(data[14:16], "big")
                    while b"\r\n\r\n" not in data[size:]:
                        data += self.request.recv(65536)
                    outer.headers.append(data[:size])
                else:
                    outer.headers.append(data.split(b"\r\n", 1)[0])
                self.request.sendall(OK)
                self.request.recv(1)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_endpoints_are_told_the_client_by_the_proxy_protocol(start, version):
    server = ProxyHeaderServer()
    skein = start(mesh(server.port, policy(f"    proxyProtocol: {{version: {version}}}")), arguments=["--workers", "1"])
    clients = []
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", skein.ports["outbound"]), timeout=10) as s:
            clients.append(s.getsockname()[1])
            s.sendall(b"GET / HTTP/1.1\r\nHost: web.local\r\nConnection: close\r\n\r\n")
            assert s.recv(4096).startswith(b"HTTP/1.1 200")
    own = skein.ports["outbound"]
    if version == "V1":
        assert server.headers == [b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d" % (port, own) for port in clients]
    else:
        local = bytes([127, 0, 0, 1])
        assert server.headers == [
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + local + local + port.to_bytes(2, "big") + own.to_bytes(2, "big") for port in clients]


def test_a_retry_budget_counts_the_requests_of_its_interval(start):
    """20 % of what came within the interval may be retried at once, and the least number always; zero percent leaves that least."""
    budget = "    retryBudget: {percent: %d, minRetryConcurrency: 1, budgetInterval: 60s}"
    retries = "  - retries: {attempts: 1, retryOn: 5xx, perTryTimeout: 50s}\n" + ROUTE

    def burst(percent):
        """How many of 40 requests that fail at one time are retried, while no retry ends."""
        numbers, everyone, end = itertools.count(1), threading.Event(), threading.Event()
        retried = []

        def respond(line, body):
            number = next(numbers)
            if number > 40:
                retried.append(number)
                end.wait(40)
            elif number == 40:
                everyone.set()
            else:
                everyone.wait(40)
            return status(503)

        backend = Backend(respond)
        skein = start(mesh(backend.port, rule(retries) + policy(budget % percent)), arguments=["--workers", "2"])
        threads = [threading.Thread(target=skein.get, args=("/",)) for _ in range(40)]
        [t.start() for t in threads]
        try:
            wait_for(lambda: len(retried) + skein.samples("skein_cluster_overflow_total") == 40, what="a retry or its refusal for each")
        finally:
            end.set()
            [t.join() for t in threads]
            backend.close()
        return len(retried)

    assert burst(50) == 20
    assert burst(0) == 1


def test_the_cookie_says_what_its_attributes_ask(start):
    made = [Backend(), Backend()]
    text = """    loadBalancer:
      consistentHash:
        httpCookie:
          name: who
          path: /
          ttl: 60s
          attributes: [{name: SameSite, value: Strict}, {name: Secure}]
"""
    skein = start(mesh(9, rule("  - " + ROUTE.strip() + "\n", host="two.local", name="two") .replace("web.local", "two.local") + service("two.local", [b.port for b in made]) + policy(text, host="two.local")))
    _, headers, _ = skein.get("/", host="two.local")
    assert re.fullmatch(r"who=[0-9a-f]{16}; Max-Age=60; Path=/; SameSite=Strict; Secure; HttpOnly", headers["set-cookie"])


OPERATORS = """
  - headers:
      request:
        set:
          x-client: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
          x-both: "a=%REQ(X-A)%, b=%REQ(x-none?x-b):3%; 100%%"
          x-line: "%REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)% %PROTOCOL%"
          x-start: "t=%START_TIME(%s.%3f)%"
        add:
          x-nothing: "%REQ(x-none)%%RESP(x-a)%"
          x-percent: "50%%"
      response:
        set:
          x-from: "%UPSTREAM_HOST%"
          x-code: "%RESPONSE_CODE% %RESP(x-answer)%"
          x-echo: "%REQ(x-a)%"
    route: [{destination: {host: web.local}}]
"""


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_header_values_say_what_envoys_operators_mean(start, version):
    made = Backend(lambda line, body: b"HTTP/1.1 200 OK\r\nX-Answer: yes\r\nContent-Length: 2\r\n\r\nok")
    skein = start(mesh(made.port, rule(OPERATORS)), arguments=["--workers", "1"])
    before = time.time()
    out = subprocess.run(
        ["curl", "-s", "-D", "-", "-o", "/dev/null", version, "-H", "Host: web.local", "-H", "x-a: one", "-H", "x-b: twofold", "-H", "x-percent: 10",
         f"http://127.0.0.1:{skein.ports['outbound']}/p?q=1"], capture_output=True, text=True, timeout=20).stdout.lower()
    head = [(k.lower(), v) for k, v in made.requests[0][1]]
    sent = dict(head)
    assert sent[b"x-client"] == b"127.0.0.1" and sent[b"x-both"] == b"a=one, b=two; 100%"
    assert sent[b"x-line"] == b"GET /p?q=1 web.local HTTP/" + (b"2" if "2" in version else b"1.1")
    assert before - 1 < float(sent[b"x-start"].removeprefix(b"t=")) < time.time() + 1
    # What comes to nothing is not sent.
    assert b"x-nothing" not in sent and [v for k, v in head if k == b"x-percent"] == [b"10", b"50%"]
    assert f"x-from: 127.0.0.1:{made.port}" in out and "x-code: 200 yes" in out and "x-echo: one" in out


def test_unknown_operators_are_errors_with_the_known_ones(tmp_path):
    path = tmp_path / "mesh.yaml"
    for bad in ("%NOPE%", "50%", "%REQ()%", "%REQ(x):0%", "%HOSTNAME% %NOPE%"):
        path.write_text(mesh(1, rule('  - headers: {request: {set: {x: "' + bad + '"}}}\n    route: [{destination: {host: web.local}}]\n')))
        out = subprocess.run([SKEIN, "validate", str(path)], capture_output=True, text=True)
        assert out.returncode == 65 and re.search(r"mesh.yaml:\d+:\d+: error \[SKN0316\].*DOWNSTREAM_REMOTE_ADDRESS.*%%", out.stdout), (bad, out.stdout)


def test_fields_with_operators_of_envoys_own_are_left_out(start, tmp_path):
    """A rule that is right for Istio's proxies starts here as well, and says which field it has lost."""
    made = Backend(lambda head, body: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    values = {"x-host": "%HOSTNAME%", "x-env": "a-%ENVIRONMENT(HOME):2%", "x-peer": "%DOWNSTREAM_PEER_SUBJECT%", "x-year": "%START_TIME(%Y)%", "x-kept": "%REQUEST_HEADER(x-a)%"}
    headers = ", ".join(f'{name}: "{value}"' for name, value in values.items())
    text = mesh(made.port, rule("  - headers: {request: {set: {" + headers + "}}}\n    route: [{destination: {host: web.local}}]\n"))
    skein = start(text, arguments=["--workers", "1"])
    assert http_get(skein.ports["outbound"], "/", {"Host": "web.local", "x-a": "one"})[0] == 200
    sent = {k.lower(): v for k, v in made.requests[0][1]}
    assert sent[b"x-kept"] == b"one" and not {b"x-host", b"x-env", b"x-peer", b"x-year"} & set(sent)
    path = tmp_path / "mesh.yaml"
    path.write_text(text)
    out = subprocess.run([SKEIN, "validate", str(path)], capture_output=True, text=True)
    assert out.returncode == 0 and len(re.findall(r"warning \[SKN0316\].*left out", out.stdout)) == 4, out.stdout
