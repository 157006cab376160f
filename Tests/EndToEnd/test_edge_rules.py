"""Ways around a rule: what a peer may not switch to, name, strip, append or count up to, in either version of HTTP and in either direction."""

import contextlib
import re
import signal
import socket
import threading

import pytest

from conftest import Backend, Skein, access_log, free_port, mesh, wait_for
from http2_peers import H2Backend, H2Client, encode, frame, frames
from test_gateway import edge, rule, service

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HOST = b"Host: web.local\r\n"


def statuses(data):
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


def names(request):
    return [name.lower() for name, _ in request[1]]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    backend = Backend()
    skein = Skein(tmp_path_factory.mktemp("skein"), mesh(backend.port), ["--workers", "1"]).wait_ready()
    skein.backend = backend
    yield skein
    skein.stop(signal.SIGKILL)
    backend.close()


@pytest.fixture(scope="module")
def behind(tmp_path_factory):
    """In front of an upstream that speaks HTTP/2."""
    backend = H2Backend()
    skein = Skein(tmp_path_factory.mktemp("skein"), mesh(backend.port, protocol="HTTP2"), ["--workers", "1"]).wait_ready()
    skein.backend = backend
    yield skein
    skein.stop(signal.SIGKILL)
    backend.close()


# Upgrade


def switching(answer):
    def respond(line, body):
        def serve(connection):
            connection.sendall(answer)
            while data := connection.recv(4096):
                connection.sendall(data[::-1])

        return serve

    return Backend(respond)


def test_h2c_is_never_a_tunnel(start):
    """The upstream would switch: then HTTP/2 frames for any path would pass the routes unseen."""
    backend = switching(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    skein = start(mesh(backend.port))
    for token in [b"h2c", b"H2C", b"h2c, TLS/1.0", b"HTTP/2.0", b"unknown", b"websockets"]:
        answer = skein.raw(b"GET /x HTTP/1.1\r\n" + HOST + b"Connection: Upgrade, HTTP2-Settings, close\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nUpgrade: " + token + b"\r\n\r\n")
        assert statuses(answer) == [502], answer
        for gone in (b"upgrade", b"http2-settings", b"connection"):
            assert gone not in names(backend.requests[-1]), (token, gone)
    assert {line["flags"] for line in access_log(skein, 6)} == {"UPE"}
    backend.close()


def test_a_request_that_wants_h2c_is_served_without_it(shared):
    answer = shared.raw(b"GET /plain HTTP/1.1\r\n" + HOST + b"Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")
    assert statuses(answer) == [200] and answer.endswith(b"ok")


@pytest.mark.parametrize(
    "head",
    [
        b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
        b"Connection: Upgrade\r\n",
        b"Upgrade: websocket\r\n",
        b"Connection: Upgrade\r\nUpgrade: \r\n",
        b"",
    ],
)
def test_a_101_for_something_else_is_no_tunnel(start, head):
    backend = switching(b"HTTP/1.1 101 Switching Protocols\r\n" + head + b"\r\n")
    skein = start(mesh(backend.port))
    with socket.create_connection(("127.0.0.1", skein.ports["outbound"]), timeout=10) as s:
        s.sendall(b"GET /ws HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        answer = s.recv(4096)
    assert statuses(answer) == [502], answer
    assert access_log(skein)[0]["flags"] == "UPE"
    backend.close()


def tunnels(skein, upgrade, lines=b"Connection: Upgrade\r\n"):
    with socket.create_connection(("127.0.0.1", skein.ports["outbound"]), timeout=10) as s:
        s.sendall(b"GET /ws HTTP/1.1\r\n" + HOST + lines + b"Upgrade: " + upgrade + b"\r\n\r\nabc")
        got = b""
        while not got.endswith(b"cba") and (piece := s.recv(4096)):
            got += piece
    return got


def test_of_what_a_client_asks_for_the_known_is_asked_for(start):
    backend = switching(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n")
    skein = start(mesh(backend.port))
    for asked in [b"websocket", b"WEBSOCKET", b"h2c, websocket", b"websocket,unknown/1"]:
        assert statuses(tunnels(skein, asked)) == [101]
        assert backend.requests[-1][3][b"upgrade"] == b"websocket" and backend.requests[-1][3][b"connection"].lower() == b"upgrade"
    backend.close()


def test_other_protocols_are_tunnelled_when_the_operator_says_so(start):
    backend = switching(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x-raw/1\r\n\r\n")
    skein = start(mesh(backend.port), arguments=["--upgrade-protocols", "x-raw/1"])
    assert statuses(tunnels(skein, b"x-raw/1")) == [101]
    backend.close()


@pytest.mark.parametrize("token", ["h2c", "HTTP/2.0", "a b", ""])
def test_what_carries_requests_cannot_be_configured(tmp_path, token):
    import subprocess

    from conftest import SKEIN

    done = subprocess.run([SKEIN, "run", "--data", str(tmp_path), "--upgrade-protocols", "websocket", token], capture_output=True, text=True, timeout=20)
    assert done.returncode == 64 and "--upgrade-protocols" in done.stderr and f'"{token}"' in done.stderr


def test_a_101_before_the_request_is_whole_is_no_tunnel(start):
    class Hasty(Backend):
        def serve(self, connection):
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            connection.recv(4096)

    backend = Hasty()
    skein = start(mesh(backend.port))
    with socket.create_connection(("127.0.0.1", skein.ports["outbound"]), timeout=10) as s:
        s.sendall(b"POST /ws HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nabc")
        assert statuses(s.recv(4096)) == [502]
    backend.close()


def test_extended_connect_opens_nothing(shared):
    before = len(shared.backend.requests)
    with H2Client(shared.ports["outbound"]) as client:
        fields = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"http"), (b":authority", b"web.local"), (b":path", b"/ws")]
        client.socket.sendall(frame(1, 4, 1, encode(fields)))
        client.socket.settimeout(5)
        data = b""
        while not any((kind == 3 and stream == 1) or kind == 7 for kind, _, stream, _ in frames(data)):
            data += client.socket.recv(65536)
    assert len(shared.backend.requests) == before


# Connection


END_TO_END = [
    (b"Authorization", b"Basic eA=="), (b"Cookie", b"a=b"), (b"X-Forwarded-For", b"10.1.1.1"), (b"X-Forwarded-Host", b"h"), (b"X-Forwarded-Proto", b"https"), (b"X-Request-Id", b"1234"),
    (b"X-B3-TraceId", b"00000000000000aa"), (b"Content-Type", b"text/plain"), (b"Cache-Control", b"no-store"), (b"Accept", b"a/b"), (b"User-Agent", b"u"),
    (b"Forwarded", b"for=x"), (b"Content-Length", b"0"), (b"Host", b"web.local")]


@pytest.mark.parametrize("name,value", END_TO_END)
def test_a_connection_field_strips_nothing_that_is_for_everybody(shared, name, value):
    line = b"" if name == b"Host" else name + b": " + value + b"\r\n"
    span = b"X-B3-SpanId: 00000000000000ab\r\n" if name.startswith(b"X-B3") else b""
    shared.raw(b"GET /c HTTP/1.1\r\n" + HOST + b"Connection: close, " + name + b", X-Hop\r\nX-Hop: 1\r\n" + span + line + b"\r\n")
    request = shared.backend.requests[-1]
    assert value in request[3][name.lower()], request
    assert b"x-hop" not in names(request) and b"connection" not in names(request)


def test_a_client_speaks_for_no_certificate(shared):
    """x-forwarded-client-cert is the proxy's own, and none is sent on by the side of applications (semantics 2.7)."""
    shared.raw(b"GET /c HTTP/1.1\r\n" + HOST + b"X-Forwarded-Client-Cert: By=x\r\nConnection: close\r\n\r\n")
    assert b"x-forwarded-client-cert" not in names(shared.backend.requests[-1])


def test_a_responses_connection_field_strips_no_cookie(start):
    backend = Backend(lambda line, body: b"HTTP/1.1 200 OK\r\nConnection: Set-Cookie, X-Hop\r\nSet-Cookie: a=b\r\nX-Hop: 1\r\nContent-Length: 0\r\n\r\n")
    skein = start(mesh(backend.port))
    _, headers, _ = skein.get("/")
    assert headers["set-cookie"] == "a=b" and "x-hop" not in headers
    backend.close()


# Host


RULES = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: all}
spec:
  hosts: ["*.test"]
  http:
  - route: [{destination: {host: web.local}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: guarded}
spec:
  hosts: [a.test]
  http:
  - directResponse: {status: 403}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a}
spec:
  hosts: [a.test]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {http: 1}}]
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """Every name but `a.test` is open."""
    backend = Backend()
    skein = Skein(tmp_path_factory.mktemp("skein"), mesh(backend.port, RULES), ["--workers", "1"]).wait_ready()
    skein.backend = backend
    yield skein
    skein.stop(signal.SIGKILL)
    backend.close()


BAD_HOSTS = [
    b"a.test:x", b"a.test:0", b"a.test:80:80", b"a.test:65536", b"a.test:+80", b"a.test:-80", b"a.test:080808", b"[::1", b"a]", b"]", b"[", b"[]", b"[a.test]", b"[::1%25eth0]",
    b"[::1]a", b":80", b":", b"u@a.test", b"u:p@a.test", b"@a.test", b"a.test,b", b"a%zz", b"a%2", b"a.test/", b"a.test?", b"a.test#", b"a\\b", b"a\"b", b"a<b", b"a\x80",
    b"a" * 256]


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_what_is_no_host_is_400_wherever_it_stands(guarded, host):
    before = len(guarded.backend.requests)
    port = guarded.ports["outbound"]
    answers = [guarded.raw(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")]
    answers.append(guarded.raw(b"GET / HTTP/1.1\r\nHost: a.test\r\nX: http://" + host + b"\r\nConnection: close\r\n\r\n"))
    assert statuses(answers[0]) == [400] and statuses(answers[1]) in ([403], [400])
    if not any(mark in host for mark in b"/?#"):
        assert statuses(guarded.raw(b"GET http://" + host + b"/ HTTP/1.1\r\nHost: web.local\r\nConnection: close\r\n\r\n")) == [400]
    for fields in ([(b":authority", host)], [(b"host", host)], [(b":authority", b"web.local"), (b"host", host)], [(b":authority", host), (b"host", host)]):
        pseudo = [(b":method", b"GET"), (b":scheme", b"http"), *[f for f in fields if f[0][:1] == b":"], (b":path", b"/"), *[f for f in fields if f[0][:1] != b":"]]
        with H2Client(port) as client:
            client.socket.sendall(frame(1, 5, 1, encode(pseudo)))
            client.socket.settimeout(5)
            data = b""
            while not any((kind in (1, 3) and stream == 1) or kind == 7 for kind, _, stream, _ in frames(data)):
                piece = client.socket.recv(65536)
                if not piece:
                    break
                data += piece
        heads = [payload for kind, _, stream, payload in frames(data) if kind == 1 and stream == 1]
        if heads:
            import hpack

            assert dict(hpack.Decoder().decode(heads[0]))[":status"] == "400", fields
    assert len(guarded.backend.requests) == before


@pytest.mark.parametrize("host,status", [(b"a.test", 403), (b"a.test:80", 403), (b"A.Test.", 403), (b"a.test:", 403), (b"a.test:0080", 403), (b"a.test:81", 404), (b"a.test:8080", 404),
                                         (b"b.test", 200), (b"b.test:81", 200), (b"b_c.test", 200), (b"b%2eb.test", 200), (b"[::1]:80", 404), (b"elsewhere", 404)])
def test_a_valid_host_goes_by_its_rules(guarded, host, status):
    answers = [guarded.raw(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"),
               guarded.raw(b"GET http://" + host + b"/ HTTP/1.1\r\nHost: b.test\r\nConnection: close\r\n\r\n")]
    assert [statuses(a) for a in answers] == [[status], [status]]
    with H2Client(guarded.ports["outbound"]) as client:
        assert client.request("/", authority=host).status == status
    if status == 200:
        # What was routed is what the upstream sees.
        assert [r[3][b"host"] for r in guarded.backend.requests[-3:]] == [host] * 3


def test_a_port_that_the_service_lacks_is_a_route_not_found(guarded):
    guarded.raw(b"GET /lacks HTTP/1.1\r\nHost: a.test:81\r\nConnection: close\r\n\r\n")
    line = wait_for(lambda: [e for e in access_log(guarded) if e["path"] == "/lacks"], what="the line")[0]
    assert (line["code"], line["flags"], line["authority"]) == (404, "NR", "a.test:81")


@pytest.mark.parametrize("host,status", [(b"web.local", 200), (b"WEB.local:80", 200), (b"web.local:", 200), (b"evil.example", 400), (b"web.local:81", 400)])
def test_host_and_authority_name_one_thing(shared, host, status):
    """RFC 9113 8.3.1: two different names are a malformed request."""
    with H2Client(shared.ports["outbound"]) as client:
        assert client.request("/", headers=[(b"host", host)]).status == status
    if status == 200:
        assert shared.backend.requests[-1][3][b"host"] == b"web.local" and names(shared.backend.requests[-1]).count(b"host") == 1


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    backend = Backend()
    port = free_port()
    config = edge(port, "  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}", rule("front", "[a.test]", "web.local", http="  - directResponse: {status: 403}")
                  + rule("open", "['*']", "web.local"), service("web.local", backend.port))
    skein = Skein(tmp_path_factory.mktemp("skein"), config, ["--node", "ingress/edge", "--workers", "1"]).wait_ready()
    skein.backend = backend
    skein.edge = port

    def ask(data):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
            s.sendall(data)
            answer = b""
            while piece := s.recv(65536):
                answer += piece
        return answer

    skein.ask = ask
    yield skein
    skein.stop(signal.SIGKILL)
    backend.close()


@pytest.mark.parametrize("host,status", [(b"a.test", 403), (b"a.test:80", 403), (b"a.test:8443", 403), (b"a.test:", 403), (b"a.test:x", 400), (b"a.test:0", 400), (b"b.test:9", 200), (b"[::1]:8080", 200), (b"[::ffff:1.2.3.4]", 200), (b"[::1", 400), (b":80", 400)])
def test_a_gateway_ignores_the_port_when_it_chooses(gateway, host, status):
    assert statuses(gateway.ask(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")) == [status]


# Names with underscores


@pytest.mark.parametrize("name", [b"Transfer_Encoding", b"content_length", b"X_Forwarded_For", b"x_custom"])
def test_a_gateway_refuses_names_with_underscores(gateway, name):
    before = len(gateway.backend.requests)
    assert statuses(gateway.ask(b"GET / HTTP/1.1\r\nHost: b.test\r\nConnection: close\r\n" + name + b": 1\r\n\r\n")) == [400]
    with H2Client(gateway.edge) as client:
        assert client.request("/", authority="b.test", headers=[(name.lower(), b"1")]).status == 400
    assert len(gateway.backend.requests) == before


def test_inside_the_mesh_only_what_looks_like_our_own_is_left_out(shared):
    before = shared.samples("skein_proxy_fields_dropped_total")
    shared.raw(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\nTransfer_Encoding: chunked\r\ncontent_length: 5\r\nX_Forwarded-For: 1\r\nX_B3_TraceId: 1\r\nx_custom: kept\r\nuser_id: 7\r\n\r\n")
    found = names(shared.backend.requests[-1])
    assert b"x_custom" in found and b"user_id" in found
    assert not {b"transfer_encoding", b"content_length", b"x_forwarded-for", b"x_b3_traceid"} & set(found)
    assert shared.samples("skein_proxy_fields_dropped_total") == before + 4


# Trailers


FORBIDDEN = [
    (b"X-Forwarded-For", b"1.2.3.4"), (b"X-Forwarded-Proto", b"https"), (b"X-Envoy-Internal", b"true"), (b"Authorization", b"Basic eA=="), (b"Cookie", b"a=b"), (b"Host", b"evil"),
    (b"Content-Length", b"5"), (b"Content-Type", b"a/b"), (b"X-Request-Id", b"1"), (b"traceparent", b"00-x"), (b"Max-Forwards", b"1"), (b"Set-Cookie", b"a=b"),
    (b"Cache-Control", b"no-store"), (b"X_Forwarded_For", b"1.2.3.4"), (b"Via", b"x"), (b"Range", b"bytes=0-"), (b"X-B3-TraceId", b"1"), (b"Proxy-Authorization", b"x")]
# nghttp2 holds a body to the length that its trailers name.
OVER_HTTP2 = [field for field in FORBIDDEN if field[0] != b"Content-Length"]
ALLOWED = [(b"x-sum", b"1"), (b"grpc-status", b"0"), (b"grpc-message", b"fine"), (b"etag", b'"a"')]


def lines(fields):
    return b"".join(name + b": " + value + b"\r\n" for name, value in fields)


def lower(fields):
    return [(name.lower(), value) for name, value in fields]


def trailer_names(text):
    return [line.split(b":")[0].lower() for line in text.split(b"\r\n") if line]


KEPT = [name for name, _ in ALLOWED]


def test_request_trailers_bring_nothing_that_a_head_is_cleaned_of(shared, behind):
    for skein in (shared, behind):
        skein.raw(b"POST / HTTP/1.1\r\n" + HOST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + lines(FORBIDDEN + ALLOWED) + b"Transfer-Encoding: chunked\r\n\r\n")
        with H2Client(skein.ports["outbound"]) as client:
            assert client.request("/", "POST", body=b"a", trailers=lower(OVER_HTTP2 + ALLOWED)).status == 200
    assert [trailer_names(r[3][b":trailers"]) for r in shared.backend.requests[-2:]] == [KEPT, KEPT]
    assert [[name for name, _ in stream.trailers] for stream in behind.backend.streams[-2:]] == [KEPT, KEPT]


def test_response_trailers_bring_nothing_either(start):
    respond = lambda line, body: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + lines(FORBIDDEN + ALLOWED) + b"\r\n"
    one = Backend(respond)
    two = H2Backend(lambda stream, c: c.answer(stream, body=b"a", trailers=lower(OVER_HTTP2 + ALLOWED)))
    for skein, sent in ((start(mesh(one.port)), FORBIDDEN), (start(mesh(two.port, protocol="HTTP2")), OVER_HTTP2)):
        answer = skein.raw(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        assert trailer_names(answer.split(b"\r\n0\r\n")[1]) == KEPT
        with H2Client(skein.ports["outbound"]) as client:
            assert [name for name, _ in client.request("/").trailers] == KEPT
        assert skein.samples("skein_proxy_fields_dropped_total") == 2 * len(sent)
    one.close()
    two.close()


def test_what_a_route_removes_or_sets_does_not_come_behind_the_body(start, backend):
    skein = start(mesh(backend.port, """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v}
spec:
  hosts: [web.local]
  http:
  - headers: {request: {remove: [x-secret], set: {x-user: nobody}}}
    route: [{destination: {host: web.local}}]
"""))
    skein.raw(b"POST / HTTP/1.1\r\n" + HOST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Secret: 1\r\nX-User: root\r\nX-Sum: 1\r\n\r\n")
    assert trailer_names(backend.requests[-1][3][b":trailers"]) == [b"x-sum"] and backend.requests[-1][3][b"x-user"] == b"nobody"


# Statuses


SMUGGLED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Evil: 1\r\n\r\nowned"


@pytest.mark.parametrize("status", [b"000", b"001", b"042", b"099", b"101", b"1x1", b"20", b"2000", b""])
def test_an_http2_status_that_is_none_is_an_upstreams_protocol_error(start, status):
    def respond(stream, connection):
        with connection.lock:
            # By hand: the library would not send it.
            connection.socket.sendall(frame(1, 4, stream.id, encode([(b":status", status), (b"x-a", b"b")])) + frame(0, 1, stream.id, SMUGGLED))

    backend = H2Backend(respond)
    skein = start(mesh(backend.port, protocol="HTTP2"))
    answer = skein.raw(b"GET /s HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    assert statuses(answer)[:1] == [502] and b"owned" not in answer and b"X-Evil" not in answer, answer
    with H2Client(skein.ports["outbound"]) as client:
        stream = client.request("/s")
        assert stream.status == 502 and b"owned" not in stream.body
    assert {(line["code"], line["flags"]) for line in access_log(skein, 2)} == {(502, "UPE")}
    backend.close()


@pytest.mark.parametrize("status", [b"000", b"099", b"20", b"2000", b"1x1", b"-10", b"+20", b" 200"])
def test_an_http1_status_that_is_none_is_one_too(start, status):
    backend = Backend(lambda line, body: b"HTTP/1.1 " + status + b" x\r\nContent-Length: 0\r\n\r\n")
    skein = start(mesh(backend.port))
    assert skein.get("/s")[0] == 502
    assert access_log(skein)[0]["flags"] == "UPE"
    backend.close()


# Targets


def test_high_bytes_are_encoded_in_path_and_query_alike(shared):
    shared.raw(b"GET /\xc3\xa9?a=\xc3\xa9&b=\xff HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    with H2Client(shared.ports["outbound"]) as client:
        assert client.request(b"/\xc3\xa9?a=\xc3\xa9&b=\xff").status == 200
    assert [r[0] for r in shared.backend.requests[-2:]] == [b"GET /%C3%A9?a=%C3%A9&b=%FF HTTP/1.1"] * 2


def test_an_http2_target_has_the_bound_of_any(shared):
    """50 KB that would become 150 when they are encoded."""
    before = len(shared.backend.requests)
    with H2Client(shared.ports["outbound"]) as client:
        assert client.request(b"/" + b"\"" * 50_000).status == 414
        assert client.request(b"/?" + b"\"" * 50_000).status == 414
        assert client.request("/alive").status == 200
    assert [r[0] for r in shared.backend.requests[before:]] == [b"GET /alive HTTP/1.1"]
    line = wait_for(lambda: [e for e in access_log(shared) if e["code"] == 414], what="the line")[0]
    assert line["method"] == "GET" and line["path"].startswith('/""""')


@pytest.mark.parametrize("target,expected", [(b"http://web.local", b"OPTIONS * HTTP/1.1"), (b"http://web.local:80", b"OPTIONS * HTTP/1.1"), (b"http://web.local/", b"OPTIONS / HTTP/1.1"),
                                             (b"http://web.local?", b"OPTIONS /? HTTP/1.1"), (b"*", b"OPTIONS * HTTP/1.1"), (b"/", b"OPTIONS / HTTP/1.1")])
def test_options_for_the_server_itself(shared, target, expected):
    shared.raw(b"OPTIONS " + target + b" HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    assert shared.backend.requests[-1][0] == expected


@pytest.mark.parametrize("method", [b"OPTIONS", b"TRACE"])
def test_max_forwards_counts_down_and_ends_here(shared, method):
    before = len(shared.backend.requests)
    secret = b"Authorization: Basic eA==\r\nCookie: a=b\r\n"
    ask = lambda left: shared.raw(method + b" /m HTTP/1.1\r\n" + HOST + secret + b"Max-Forwards: " + left + b"\r\nConnection: close\r\n\r\n")
    assert statuses(ask(b"2")) == [200] and shared.backend.requests[-1][3][b"max-forwards"] == b"1"
    assert statuses(ask(b"1")) == [200] and shared.backend.requests[-1][3][b"max-forwards"] == b"0"
    last = ask(b"0")
    assert statuses(last) == [200] and len(shared.backend.requests) == before + 2
    body = last.split(b"\r\n\r\n", 1)[1]
    assert body == b"" if method == b"OPTIONS" else body.startswith(b"TRACE /m HTTP/1.1\r\nHost: web.local\r\n") and b"eA==" not in body and b"a=b" not in body
    with H2Client(shared.ports["outbound"]) as client:
        assert client.request("/m", method.decode(), headers=[(b"max-forwards", b"0")]).status == 200
        assert client.request("/m", method.decode(), headers=[(b"max-forwards", b"7")]).status == 200
    assert len(shared.backend.requests) == before + 3 and shared.backend.requests[-1][3][b"max-forwards"] == b"6"
    assert names(shared.backend.requests[-1]).count(b"max-forwards") == 1


def test_max_forwards_of_other_methods_says_nothing(shared):
    assert statuses(shared.raw(b"GET /m HTTP/1.1\r\n" + HOST + b"Max-Forwards: 0\r\nConnection: close\r\n\r\n")) == [200]
    assert shared.backend.requests[-1][3][b"max-forwards"] == b"0"


def test_a_stream_number_that_goes_back_ends_the_connection(shared):
    before = len(shared.backend.requests)
    request = encode([(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"web.local"), (b":path", b"/back")])
    with H2Client(shared.ports["outbound"]) as client:
        client.socket.sendall(frame(1, 5, 5, request))
        wait_for(lambda: len(shared.backend.requests) == before + 1, what="the request")
        client.socket.sendall(frame(1, 5, 3, request))
        client.socket.settimeout(5)
        data = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := client.socket.recv(65536):
                data += piece
    away = [payload for kind, _, _, payload in frames(data) if kind == 7]
    assert away and int.from_bytes(away[0][4:8], "big") == 1
    assert len(shared.backend.requests) == before + 1


# Tracing


TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = b"traceparent: 00-" + TRACE + b"-00f067aa0ba902b7-01\r\n"
@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    backend = Backend()
    text = mesh(backend.port, """
    - name: both
      zipkin: {service: web.local, port: 80, traceContextOption: USE_B3_WITH_W3C_PROPAGATION}
""").replace("  - randomSampling", "  - providers: [{name: both}]\n    randomSampling")
    skein = Skein(tmp_path_factory.mktemp("skein"), text, ["--workers", "1"]).wait_ready()
    skein.backend = backend
    yield skein
    skein.stop(signal.SIGKILL)
    backend.close()


def sent_on(skein, head):
    skein.raw(b"GET /t HTTP/1.1\r\n" + HOST + head + b"Connection: close\r\n\r\n")
    request = skein.backend.requests[-1]
    return request[3], [value for name, value in request[1] if name.lower() == b"tracestate"]


def test_tracestate_is_one_list_over_all_its_lines(traced):
    line = lambda start, count: b"tracestate: " + b",".join(b"k%d=v" % i for i in range(start, start + count)) + b"\r\n"
    fields, state = sent_on(traced, PARENT + line(0, 16) + line(16, 16))
    assert fields[b"x-b3-traceid"] == TRACE and b",".join(state).count(b"=") == 32
    for bad in (line(0, 16) + line(16, 17), b"tracestate: a=1\r\ntracestate: a=2\r\n", b"tracestate: a=1\r\ntracestate: B=2\r\n"):
        fields, state = sent_on(traced, PARENT + bad)
        assert fields[b"x-b3-traceid"] == TRACE and state == [], bad
    fields, state = sent_on(traced, PARENT + b"tracestate: \r\ntracestate: a=1\r\n")
    assert b"a=1" in b",".join(state)


@pytest.mark.parametrize("head", [PARENT + PARENT, PARENT + b"traceparent: \r\n", b"traceparent: \r\n" + PARENT, PARENT + PARENT.replace(b"4bf", b"5bf")])
def test_several_traceparents_begin_a_new_trace(traced, head):
    fields, state = sent_on(traced, head + b"tracestate: a=1\r\n")
    assert fields[b"x-b3-traceid"] != TRACE and fields[b"traceparent"].split(b"-")[1] == fields[b"x-b3-traceid"] and state == []


def test_a_trace_goes_on_by_whichever_family_an_application_hands_on(traced):
    first, _ = sent_on(traced, b"X-B3-TraceId: " + TRACE + b"\r\nX-B3-SpanId: 00f067aa0ba902b7\r\nX-B3-Sampled: 1\r\n" + PARENT.replace(b"4bf", b"5bf"))
    trace, span = first[b"x-b3-traceid"], first[b"x-b3-spanid"]
    assert trace == TRACE and first[b"traceparent"].split(b"-")[1:3] == [trace, span]
    only_w3c, _ = sent_on(traced, b"traceparent: " + first[b"traceparent"] + b"\r\n")
    only_b3, _ = sent_on(traced, b"".join(b"%s: %s\r\n" % (name, first[name]) for name in (b"x-b3-traceid", b"x-b3-spanid", b"x-b3-sampled")))
    for fields in (only_w3c, only_b3):
        assert fields[b"x-b3-traceid"] == trace and fields[b"x-b3-parentspanid"] == span


@pytest.mark.parametrize("sent,expected", [(TRACE.upper(), TRACE), (b"AB", b"00000000000000ab"), (b"463AC35C9F6413AD", b"463ac35c9f6413ad")])
def test_b3_in_capitals_or_short_goes_on(shared, sent, expected):
    for head in (b"X-B3-TraceId: " + sent + b"\r\nX-B3-SpanId: CD\r\n", b"b3: " + sent + b"-CD-1\r\n"):
        fields, _ = sent_on(shared, head)
        assert fields[b"x-b3-traceid"] == expected and fields[b"x-b3-parentspanid"] == b"00000000000000cd"


# The log of what was refused


@pytest.mark.parametrize("name,data,code,path", [
    ("target", b"GET /long" + b"a" * 20000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "/long"),
    ("head", b"PUT /head?x=1 HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 70000 + b"\r\n\r\n", 431, "/head?x=1"),
    ("fields", b"PUT /fields HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: y\r\n" % i for i in range(100)) + b"\r\n", 431, "/fields"),
    ("value", b"PUT /value HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n", 400, "/value"),
    ("host", b"PUT /host HTTP/1.1\r\nHost: web.local:x\r\n\r\n", 400, "/host")])
def test_lines_of_refusals_say_who_asked_for_what(shared, name, data, code, path):
    assert statuses(shared.raw(data)) == [code]
    line = wait_for(lambda: [e for e in access_log(shared) if e["path"].startswith(path)], what="the line")[0]
    assert (line["code"], line["flags"], line["method"]) == (code, "DPE", data.split()[0].decode())
    assert (line["authority"] or "").startswith("web.local") or name == "target"


def test_a_refused_http2_head_says_so_too(shared):
    with H2Client(shared.ports["outbound"]) as client:
        assert client.request("/toomany", "PUT", headers=[(b"x-%d" % i, b"v") for i in range(120)]).status == 431
    line = wait_for(lambda: [e for e in access_log(shared) if e["path"] == "/toomany"], what="the line")[0]
    assert (line["code"], line["method"], line["authority"]) == (431, "PUT", "web.local")
