"""`headers.request` and `headers.response` have the last word: on what the peer sent, and on what the proxy itself writes."""

import http.client
import socket

import pytest

from conftest import Backend, access_log, free_port, mesh, wait_for
from envoy_peer import scripted
from http2_peers import H2Backend, H2Client
from test_ratelimit import limit
from test_traffic import policy, rule, service

BOTH = "USE_B3_WITH_W3C_PROPAGATION"
# Everything that the proxy writes into a request of its own accord.
OF_REQUESTS = [
    "x-forwarded-for", "x-forwarded-proto", "x-request-id", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "traceparent", "tracestate",
    "x-envoy-attempt-count", "x-envoy-expected-rq-timeout-ms", "x-envoy-original-path", "x-envoy-original-host", "expect"]
# What a client sends for all of them to be there, each of it the proxy's to change.
BROUGHT = [
    ("x-forwarded-for", "9.9.9.9"), ("x-forwarded-proto", "http"), ("x-request-id", "client"), ("traceparent", "00-" + "1" * 32 + "-" + "2" * 16 + "-01"), ("tracestate", "a=1"),
    ("x-envoy-attempt-count", "77"), ("x-envoy-expected-rq-timeout-ms", "66"), ("x-envoy-original-path", "/forged"), ("x-envoy-original-host", "forged"), ("expect", "100-continue")]


def configuration(port, http, protocol="HTTP", extra="", **more):
    text = mesh(port, rule(http, **more) + extra, protocol=protocol)
    tracer = f"""
    - name: tracer
      zipkin: {{service: web.local, port: 80, traceContextOption: {BOTH}}}
"""
    return text.replace("  - randomSamplingPercentage: 100", "  - providers: [{name: tracer}]\n    randomSamplingPercentage: 100").replace("    extensionProviders:", "    extensionProviders:" + tracer)


def operations(what, names, side, indent=4):
    """`headers` of a rule that does the same with each name."""
    listed = ", ".join(names) if what == "remove" else "{" + ", ".join(f"{name}: operator" for name in names) + "}"
    return " " * indent + f"headers: {{{side}: {{{what}: {'[' + listed + ']' if what == 'remove' else listed}}}}}\n"


def ask(skein, version, path="/a", host="web.local", headers=(), body=None, method=None):
    """(status, the answer's fields, one after the other)"""
    port, method = skein.ports["outbound"], method or ("GET" if body is None else "POST")
    if version == "h2":
        with H2Client(port) as client:
            length = [("content-length", str(len(body)))] if body is not None else []
            answer = client.request(path, method, host, [(k.encode(), v.encode()) for k, v in [*headers, *length]], body)
            return answer.status, [(k.decode(), v.decode()) for k, v in answer.headers if not k.startswith(b":")]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in [("Host", host), *headers, *([("Content-Length", str(len(body)))] if body is not None else [])]:
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, [(k.lower(), v) for k, v in answer.getheaders()]


def serve(version, respond=None):
    return H2Backend() if version == "h2" else Backend(respond)


def reached(backend):
    """The fields of the last request as they stood on the wire."""
    if isinstance(backend, H2Backend):
        return [(k.decode(), v.decode()) for k, v in backend.streams[-1].headers if not k.startswith(b":")]
    return [(k.decode().lower(), v.decode()) for k, v in backend.requests[-1][1]]


def values(fields, name):
    return [value for key, value in fields if key == name]


REWRITES = "    rewrite: {uri: /rewritten, authority: other.local}\n    timeout: 9s\n    route: [{destination: {host: web.local}}]\n"
PAIRS = [("h1", "h1"), ("h2", "h1"), ("h1", "h2"), ("h2", "h2")]


@pytest.mark.parametrize("front, behind", PAIRS)
@pytest.mark.parametrize("what", ["set", "remove", "add"])
def test_requests(start, front, behind, what):
    """A request with two X-Forwarded-Proto is read one way by the server and another by what stands in front of it."""
    backend = serve(behind)
    edited = operations(what, OF_REQUESTS, "request").replace("    headers", "  - headers", 1)
    plain = service("plain.local", [backend.port], "HTTP2" if behind == "h2" else "HTTP") + rule(
        "  - " + REWRITES.strip().replace("web.local", "plain.local") + "\n", host="plain.local", name="plain")
    skein = start(configuration(backend.port, edited + REWRITES, "HTTP2" if behind == "h2" else "HTTP", plain), arguments=["--workers", "1"])
    # Without the operation all of them are there, or the test would test nothing.
    assert ask(skein, front, host="plain.local", headers=BROUGHT, body=b"abc")[0] == 200
    usual = reached(backend)
    assert [len(values(usual, name)) for name in OF_REQUESTS] == [1] * len(OF_REQUESTS), usual
    assert ask(skein, front, headers=BROUGHT, body=b"abc")[0] == 200
    fields = reached(backend)
    for name in OF_REQUESTS:
        found = values(fields, name)
        if what == "set":
            assert found == ["operator"], (name, fields)
        elif what == "remove":
            assert found == [], (name, fields)
        else:
            assert len(found) == 2 and "operator" in found and values(usual, name)[0] not in ("", "operator"), (name, fields)
    # Nothing else went with them.
    assert values(fields, "content-length") == ["3"]
    entry = access_log(skein, 2)[1]
    assert entry["request_id"] == {"set": "operator", "remove": None, "add": "client"}[what]


def test_a_value_is_made_of_what_it_replaces(start):
    """As Envoy: what `remove` takes is gone before, what `set` replaces is still there to be read."""
    backend = Backend()
    edits = """  - headers:
      request:
        set: {x-forwarded-for: "%REQ(x-forwarded-for)%, 10.0.0.1", x-a: "<%REQ(x-a)%>", x-b: "<%REQ(x-b)%>", x-id: "%REQ(x-request-id)%"}
        remove: [x-b, x-request-id]
    route: [{destination: {host: web.local}}]
"""
    skein = start(configuration(backend.port, edits), arguments=["--workers", "1"])
    assert ask(skein, "h1", headers=[("x-a", "one"), ("x-b", "two"), ("X-Forwarded-For", "9.9.9.9")])[0] == 200
    fields = reached(backend)
    assert values(fields, "x-forwarded-for") == ["9.9.9.9,127.0.0.1, 10.0.0.1"]
    assert (values(fields, "x-a"), values(fields, "x-b"), values(fields, "x-request-id")) == (["<one>"], ["<>"], [])


def test_every_attempt_and_every_copy(start):
    answers = [b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]
    backend, copies = Backend(lambda line, body: answers.pop(0)), Backend()
    edits = """  - headers: {request: {remove: [x-envoy-attempt-count, x-forwarded-for]}}
    retries: {attempts: 2, retryOn: 5xx, backoff: 1ms}
    mirror: {host: copy.local}
    route: [{destination: {host: web.local}}]
"""
    skein = start(configuration(backend.port, edits, extra=service("copy.local", [copies.port])), arguments=["--workers", "1"])
    assert ask(skein, "h1")[0] == 200
    assert len(backend.requests) == 2
    wait_for(lambda: copies.requests, what="the copy")
    for request in [*backend.requests, *copies.requests]:
        assert not {b"x-envoy-attempt-count", b"x-forwarded-for"} & request[3].keys(), request


# (what is asked for, the fields that the proxy writes into that answer)
OF_RESPONSES = {
    "/proxied": (200, ["date", "x-envoy-upstream-service-time"]),
    "/direct": (418, ["date", "server", "content-type"]),
    "/redirect": (301, ["date", "server", "location"]),
    "/dead": (503, ["date", "server", "content-type"]),
    "/limited": (429, ["date", "server", "content-type", "retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]),
    "/hashed": (200, ["date", "x-envoy-upstream-service-time", "set-cookie"]),
    "/full": (503, ["date", "server", "content-type", "x-envoy-overloaded"]),
}


def answers_of(port, what):
    """Rules for all of these, with the operation if there is one."""
    def edits(path):
        return operations(what, OF_RESPONSES[path][1], "response") if what else ""

    web = "    route: [{destination: {host: web.local}}]\n"
    return "".join([
        "  - match: [{uri: {prefix: /proxied}}]\n" + edits("/proxied") + web,
        "  - match: [{uri: {prefix: /direct}}]\n" + edits("/direct") + "    directResponse: {status: 418, body: {string: tea}}\n",
        "  - match: [{uri: {prefix: /redirect}}]\n" + edits("/redirect") + "    redirect: {uri: /elsewhere}\n",
        "  - match: [{uri: {prefix: /dead}}]\n" + edits("/dead") + "    retries: {attempts: 0}\n    route: [{destination: {host: dead.local}}]\n",
        "  - match: [{uri: {prefix: /limited}}]\n" + edits("/limited") + web,
        "  - match: [{uri: {prefix: /hashed}}]\n" + edits("/hashed") + "    route: [{destination: {host: hashed.local}}]\n",
        "  - match: [{uri: {prefix: /full}}]\n" + edits("/full") + "    retries: {attempts: 0}\n    route: [{destination: {host: full.local}}]\n",
    ])


@pytest.mark.parametrize("front", ["h1", "h2"])
def test_responses(start, front):
    backend = Backend(lambda line, body: scripted("hang" if b"hold" in line else "200"))
    others = (
        service("dead.local", [free_port()]) + service("hashed.local", [backend.port]) + service("full.local", [backend.port])
        + policy("    loadBalancer: {consistentHash: {httpCookie: {name: sid, ttl: 60s}}}\n", host="hashed.local").replace("name: web,", "name: hashed,")
        + policy("    connectionPool: {http: {http2MaxRequests: 1}}\n", host="full.local").replace("name: web,", "name: full,")
        + limit('  side: OUTBOUND\n  limits: [{requests: 1, per: 1h, match: {uri: {prefix: /limited}}}]'))
    found = {}
    for what in (None, "set", "remove", "add"):
        skein = start(configuration(backend.port, answers_of(backend.port, what), extra=others), arguments=["--workers", "1"])
        ask(skein, front, "/limited")
        # One is all that the endpoint may have at once.
        with socket.create_connection(("127.0.0.1", skein.ports["outbound"])) as held:
            seen = len(backend.requests)
            held.sendall(b"GET /full/hold HTTP/1.1\r\nHost: web.local\r\n\r\n")
            wait_for(lambda: any(b"hold" in request[0] for request in backend.requests[seen:]), what="the request that holds the place")
            found[what] = {path: ask(skein, front, path) for path in OF_RESPONSES}
    for path, (status, names) in OF_RESPONSES.items():
        assert [found[what][path][0] for what in found] == [status] * 4, (path, found[None][path])
        for name in names:
            usual, replaced, removed, beside = (values(found[what][path][1], name) for what in (None, "set", "remove", "add"))
            assert len(usual) == 1 and usual != ["operator"], (path, name, found[None][path])
            assert replaced == ["operator"], (path, name, found["set"][path])
            assert removed == [], (path, name, found["remove"][path])
            # A type that the operator adds is the answer's type: nobody needs ours beside it.
            assert beside == ["operator"] if name == "content-type" else len(beside) == 2 and "operator" in beside, (path, name, found["add"][path])


@pytest.mark.parametrize("front", ["h1", "h2"])
def test_a_cors_policy_stands_alone(start, front):
    """Envoy's filter writes last: a browser that got two allowed origins would take neither."""
    edits = """  - headers: {response: {set: {access-control-allow-origin: "*", x-why: a}, add: {access-control-allow-credentials: "false"}}}
    corsPolicy: {allowOrigins: [{exact: "https://good.example"}], allowCredentials: true}
    route: [{destination: {host: web.local}}]
"""
    backend = Backend()
    skein = start(configuration(backend.port, edits), arguments=["--workers", "1"])
    _, fields = ask(skein, front, headers=[("origin", "https://good.example")])
    assert values(fields, "access-control-allow-origin") == ["https://good.example"] and values(fields, "access-control-allow-credentials") == ["true"]
    assert values(fields, "x-why") == ["a"]
    _, fields = ask(skein, front, headers=[("origin", "https://other.example")])
    assert values(fields, "access-control-allow-origin") == ["*"]


def test_a_switch_of_protocols(start):
    def upgrade(connection):
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Secret: 1\r\nX-Kept: 2\r\n\r\n")

    backend = Backend(lambda line, body: upgrade)
    edits = "  - headers: {response: {remove: [x-secret], set: {x-kept: operator}, add: {x-more: a}}}\n    route: [{destination: {host: web.local}}]\n"
    skein = start(configuration(backend.port, edits), arguments=["--workers", "1"])
    head = skein.raw(b"GET /ws HTTP/1.1\r\nHost: web.local\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", timeout=5).lower()
    assert head.startswith(b"http/1.1 101 ") and b"x-secret" not in head and head.count(b"x-kept: operator\r\n") == 1 and b"x-kept: 2" not in head
    assert b"x-more: a\r\n" in head and head.count(b"upgrade: websocket\r\n") == 1
