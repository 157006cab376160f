"""Unix domain sockets wherever Istio's resources name them: endpoints, the application behind a Sidecar's ingress, listeners of its egress."""

import collections
import concurrent.futures
import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import socketserver
import subprocess
import threading
import time

import grpc
import pytest

from conftest import SKEIN, Backend, access_log, free_port, http_get, mesh, wait_for

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FIELDS = '''            remote: "%DOWNSTREAM_REMOTE_ADDRESS%"
            local: "%DOWNSTREAM_LOCAL_ADDRESS%"
            localport: "%DOWNSTREAM_LOCAL_PORT%"
            upstreamport: "%UPSTREAM_REMOTE_PORT%"
            hosts: "%UPSTREAM_HOSTS_ATTEMPTED%"
            attempts: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"
            failure: "%UPSTREAM_TRANSPORT_FAILURE_REASON%"
            forwarded: "%REQ(X-FORWARDED-FOR)%"
'''


def config(text, port=9):
    return mesh(port, text).replace("          labels:\n", "          labels:\n" + FIELDS)


def service(name, endpoints, protocol="HTTP", number=80):
    """`endpoints`: ports on loopback, paths, or `@names`."""
    lines = "".join(
        f"  - {{address: 127.0.0.1, ports: {{p: {e}}}}}\n" if isinstance(e, int) else f"  - {{address: 'unix://{e}'}}\n" for e in endpoints)
    return f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name.split(".")[0]}, namespace: default}}
spec:
  hosts: [{name}]
  ports: [{{number: {number}, name: p, protocol: {protocol}}}]
  resolution: STATIC
  endpoints:
{lines}"""


def rule(name, text):
    return f"""
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name.split(".")[0]}, namespace: default}}
spec:
  hosts: [{name}]
  http:
  - route: [{{destination: {{host: {name}}}}}]
    {text}
"""


def policy(name, text):
    return f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name.split(".")[0]}, namespace: default}}
spec:
  host: {name}
  trafficPolicy: {text}
"""


def egress(*listeners, common=True):
    """`listeners`: (path, protocol, hosts). With `common`, the outbound port serves everything besides."""
    lines = "".join(f"  - {{port: {{number: 0, protocol: {protocol}, name: uds}}, bind: 'unix://{path}', hosts: {json.dumps(hosts)}}}\n" for path, protocol, hosts in listeners)
    return f"""
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: default, namespace: default}}
spec:
  egress:
{lines}{'  - hosts: ["*/*"]' if common else ''}
"""


def dial(path, timeout=10):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(timeout)
    s.connect("\0" + str(path)[1:] if str(path).startswith("@") else str(path))
    return s


class UnixHTTP(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = dial(self.path)


def get(path, target="/", host="web.local", **headers):
    connection = UnixHTTP(path)
    with contextlib.closing(connection):
        connection.request("GET", target, headers={"Host": host, **headers})
        response = connection.getresponse()
        return response.status, response.read()


def curl(path, *arguments):
    return subprocess.run(["curl", "-sS", "--unix-socket" if not str(path).startswith("@") else "--abstract-unix-socket", str(path).lstrip("@"), *arguments],
                          capture_output=True, text=True, timeout=30)


def leave_stale(path):
    """As a killed process leaves it."""
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(path))
    s.listen()
    s.close()


class Echo:
    """A stream server on a Unix socket: sends back what it gets until the client's end, then a farewell."""

    def __init__(self, path, handle=None):
        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                with contextlib.suppress(OSError):
                    if handle:
                        handle(self.request)
                        return
                    while data := self.request.recv(65536):
                        self.request.sendall(data)
                    self.request.sendall(b"bye")

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            request_queue_size = 1024

        self.server = Server(str(path), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def read_all(s):
    out = b""
    while piece := s.recv(65536):
        out += piece
    return out


def traces(skein):
    return json.loads(http_get(skein.ports["zipkin"], "/api/v2/traces?limit=50")[2])


# Endpoints


def test_sockets_among_addresses_share_the_load(start, sockets):
    file, abstract = f"{sockets}/app.sock", f"@{sockets}/app"
    backends = [Backend(path=file), Backend(path=abstract), Backend()]
    port = backends[2].port
    skein = start(config(service("app.local", [file, abstract, port]) + policy("app.local", "{loadBalancer: {simple: ROUND_ROBIN}}")), arguments=["--workers", "1"])
    for n in range(30):
        status, _, body = skein.get(f"/{n}", host="app.local")
        assert (status, body) == (200, b"ok")
    assert [len(b.requests) for b in backends] == [10, 10, 10]
    assert [b.connections for b in backends] == [1, 1, 1], "connections are kept for the next request"
    assert all(b.requests[0][3][b"x-forwarded-for"] == b"127.0.0.1" for b in backends)
    lines = access_log(skein, 30)
    assert collections.Counter(line["upstream"] for line in lines) == {file: 10, abstract: 10, f"127.0.0.1:{port}": 10}
    on_file = next(line for line in lines if line["upstream"] == file)
    assert on_file["upstreamport"] is None and on_file["cluster"] == "outbound|80||app.local" and on_file["hosts"] == file and on_file["details"] == "via_upstream"
    assert skein.samples("istio_requests_total", destination_service="app.local", response_code="200") == 30
    spans = wait_for(lambda: (found := [t[0] for t in traces(skein)]) and len(found) == 30 and found, what="the traces")
    by_tag = collections.Counter(s["tags"].get("upstream_address") for s in spans)
    assert by_tag == {file: 10, abstract: 10, None: 10}
    assert all(("remoteEndpoint" in s) == ("upstream_address" not in s["tags"]) for s in spans)


def test_bodies_both_ways_and_pipelined_work(start, sockets):
    """More than any socket buffer, at once: what does not fit must wait for the socket to be writable again."""
    file = f"{sockets}/big.sock"
    answer = os.urandom(8 << 20)
    backend = Backend(lambda line, body: b"HTTP/1.1 200 OK\r\nX-Digest: " + hashlib.sha256(body).hexdigest().encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer, path=file)
    skein = start(config(service("big.local", [file])))
    sent = os.urandom(8 << 20)

    def ask(_):
        status, headers, body = skein.get("/", host="big.local", method="POST", body=sent)
        return status, headers["x-digest"] == hashlib.sha256(sent).hexdigest(), body == answer

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(8))) == [(200, True, True)] * 8
    assert len(backend.requests) == 8


def test_a_workload_on_a_socket_and_http2_to_it(start, sockets):
    """gRPC's own server and client: HTTP/2 to a socket, trailers and streams included; the client comes to a socket as well."""
    file, door = f"{sockets}/grpc.sock", f"{sockets}/door.sock"

    class Service(grpc.GenericRpcHandler):
        def service(self, details):
            if details.method.endswith("/Unary"):
                return grpc.unary_unary_rpc_method_handler(lambda message, context: message[::-1])
            if details.method.endswith("/Fail"):
                return grpc.unary_unary_rpc_method_handler(lambda message, context: context.abort(grpc.StatusCode.DATA_LOSS, "lost"))
            return grpc.stream_stream_rpc_method_handler(lambda messages, context: (m.upper() for m in messages))

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), handlers=(Service(),))
    server.add_insecure_port(f"unix:{file}")
    server.start()
    workload = f"""
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: g1, namespace: default}}
spec: {{address: 'unix://{file}', labels: {{app: g}}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: g, namespace: default}}
spec:
  hosts: [g.local]
  ports: [{{number: 80, name: grpc, protocol: GRPC}}]
  resolution: STATIC
  workloadSelector: {{labels: {{app: g}}}}
"""
    skein = start(config(workload + egress((door, "GRPC", ["./g.local"]))))
    for target in (f"127.0.0.1:{skein.ports['outbound']}", f"unix:{door}"):
        with grpc.insecure_channel(target, options=[("grpc.default_authority", "g.local")]) as channel:
            assert channel.unary_unary("/s/Unary")(b"abc", timeout=10) == b"cba"
            assert list(channel.stream_stream("/s/Chat")(iter([b"a", b"b"]), timeout=10)) == [b"A", b"B"]
            with pytest.raises(grpc.RpcError) as error:
                channel.unary_unary("/s/Fail")(b"", timeout=10)
            assert error.value.code() is grpc.StatusCode.DATA_LOSS and error.value.details() == "lost"
    assert {line["upstream"] for line in access_log(skein, 6)} == {file}
    assert skein.samples("istio_requests_total", destination_service="g.local", grpc_response_status="15") == 2
    server.stop(None)


def test_a_hash_stays_with_its_socket(start, sockets):
    files = [f"{sockets}/{n}.sock" for n in range(4)]
    backends = [Backend(path=f) for f in files]
    skein = start(config(service("sticky.local", files) + policy("sticky.local", "{loadBalancer: {consistentHash: {httpHeaderName: x-user}}}")))
    for user in range(20):
        for _ in range(3):
            assert skein.get(f"/{user}", host="sticky.local", headers={"X-User": str(user)})[0] == 200
    seen = [{r[0] for r in b.requests} for b in backends]
    assert sum(len(s) for s in seen) == 20, "no user met two of them"
    assert sum(1 for s in seen if s) >= 3


def test_outlier_detection_and_health_checks_find_sick_sockets(start, sockets):
    sick, well, ill = f"{sockets}/sick.sock", f"{sockets}/well.sock", f"{sockets}/ill.sock"
    refusing = Backend(lambda line, body: b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", path=sick)
    Backend(path=well)
    checked = Backend(lambda line, body: b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n" if b"/healthz" in line else OK, path=ill)
    text = service("ejects.local", [sick, well]) + policy("ejects.local", "{outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 60s, maxEjectionPercent: 50}}")
    text += rule("ejects.local", "retries: {attempts: 0}") + service("checked.local", [ill, well]) + service("down.local", [f"{sockets}/none.sock"])
    for host, probe in (("checked", "http: {path: /healthz}"), ("down", "tcp: {}")):
        text += f"""
---
apiVersion: skein.io/v1
kind: UpstreamPolicy
metadata: {{name: {host}, namespace: default}}
spec:
  host: {host}.local
  healthCheck: {{interval: 100ms, timeout: 1s, unhealthyThreshold: 2, healthyThreshold: 1, {probe}}}
"""
    skein = start(config(text), arguments=["--workers", "2"])
    codes = [skein.get("/", host="ejects.local")[0] for _ in range(40)]
    assert codes.count(503) == 3 and len(refusing.requests) == 3
    wait_for(lambda: skein.samples("skein_endpoints_unhealthy") == 2, what="the ill socket and the missing one to be found out")
    before = sum(b"/healthz" not in r[0] for r in checked.requests)
    assert [skein.get("/", host="checked.local")[0] for _ in range(20)] == [200] * 20
    assert sum(b"/healthz" not in r[0] for r in checked.requests) == before
    assert skein.get("/", host="down.local")[0] == 503
    # Its server comes: a probe sees it, and requests go there.
    Backend(path=f"{sockets}/none.sock")
    wait_for(lambda: skein.get("/", host="down.local")[0] == 200, what="the socket that came")


def test_connecting_fails_as_what_it_is(start, sockets):
    """Three ways for a socket not to take a connection, each told; tried again elsewhere when the route says so."""
    missing, stale, full, well = (f"{sockets}/{n}.sock" for n in ("missing", "stale", "full", "well"))
    leave_stale(stale)
    busy = socket.socket(socket.AF_UNIX)
    busy.bind(full)
    busy.listen(0)
    waiting = []
    with contextlib.suppress(BlockingIOError):
        while True:
            s = socket.socket(socket.AF_UNIX)
            s.setblocking(False)
            s.connect(full)
            waiting.append(s)
    backend = Backend(path=well)
    text = ""
    for name, path in (("missing", missing), ("stale", stale), ("full", full)):
        text += service(f"{name}.local", [path]) + rule(f"{name}.local", "retries: {attempts: 0}")
    text += service("h2.local", [missing], protocol="HTTP2") + rule("h2.local", "retries: {attempts: 0}")
    text += service("again.local", [missing, stale, full, well]) + rule("again.local", "retries: {attempts: 4, retryOn: connect-failure}")
    skein = start(config(text), arguments=["--workers", "1"])
    reasons = {"missing": "No_such_file_or_directory", "stale": "Connection_refused", "full": "Resource_temporarily_unavailable", "h2": "No_such_file_or_directory"}
    for name in reasons:
        begin = time.monotonic()
        status, _, body = skein.get(f"/{name}", host=f"{name}.local")
        assert status == 503 and b"remote connection failure" in body, (name, body)
        assert time.monotonic() - begin < 5, "nobody waited for a connection that cannot come"
    for line, (name, reason) in zip(access_log(skein, len(reasons)), reasons.items()):
        assert line["flags"] == "UF" and line["attempts"] == 1, line
        assert line["details"] == f"upstream_reset_before_response_started{{remote_connection_failure|immediate_connect_error:_{reason}}}"
        assert line["failure"] == f"immediate_connect_error:_{reason}"
    assert skein.samples("skein_proxy_upstream_connect_failures_total") == 4
    assert [skein.get("/", host="again.local")[0] for _ in range(20)] == [200] * 20
    assert len(backend.requests) == 20
    tried = [line for line in access_log(skein, len(reasons) + 20) if line["authority"] == "again.local"]
    assert all(line["hosts"].endswith(well) and line["attempts"] == line["hosts"].count(",") + 1 for line in tried)
    assert any("," in line["hosts"] for line in tried)
    # At once means before the body has come: as with every answer before it, the connection ends behind it. Without a body it goes on.
    status, headers, _ = skein.get("/", host="missing.local", method="POST", body=bytes(60_000))
    assert status == 503 and headers["connection"] == "close"
    both = skein.raw(b"GET / HTTP/1.1\r\nHost: stale.local\r\n\r\nGET / HTTP/1.1\r\nHost: missing.local\r\nConnection: close\r\n\r\n")
    assert both.count(b"HTTP/1.1 503 ") == 2
    out = f"http://127.0.0.1:{skein.ports['outbound']}/"
    told = subprocess.run(["curl", "-s", "--http2-prior-knowledge", "-w", " %{http_code}.", "-H", "Host: h2.local", out], capture_output=True, text=True, timeout=30)
    assert told.stdout.endswith("remote connection failure 503."), told
    # No connection was left counted: its server comes, and all is well.
    for s in [busy, *waiting]:
        s.close()
    Backend(path=missing)
    assert skein.get("/", host="missing.local")[0] == 200


def test_connection_limits_count_sockets(start, sockets):
    file = f"{sockets}/slow.sock"
    gate = threading.Event()
    Backend(lambda line, body: gate.wait(10) and OK or OK, path=file)
    skein = start(config(service("slow.local", [file]) + policy("slow.local", "{connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}}")), arguments=["--workers", "2"])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(skein.get, "/", "slow.local") for _ in range(6)]
        wait_for(lambda: sum(f.done() for f in asked) == 4, what="those beyond the limit to be refused")
        gate.set()
        codes = collections.Counter(f.result()[0] for f in asked)
    assert codes == {200: 2, 503: 4}
    assert {line["flags"] for line in access_log(skein, 6) if line["code"] == 503} == {"UO"}


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_the_proxy_protocol_knows_no_paths(start, sockets, version):
    """A client by TCP has an address that a server on a socket may know; a client by a socket has none."""
    file, door = f"{sockets}/pp.sock", f"{sockets}/door.sock"
    seen = []

    def take(s):
        data = s.recv(65536)
        seen.append(data[: data.index(b"GET")])
        s.sendall(OK)

    Echo(file, take)
    skein = start(config(service("pp.local", [file]) + policy("pp.local", f"{{proxyProtocol: {{version: {version}}}}}") + egress((door, "HTTP", ["*/*"]))))
    assert get(door, host="pp.local")[0] == 200
    assert skein.get("/", host="pp.local")[0] == 200
    if version == "V1":
        assert seen[0] == b"PROXY UNKNOWN\r\n" and seen[1].startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 ")
    else:
        assert seen[0] == b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0" and seen[1].startswith(b"\r\n\r\n\0\r\nQUIT\n\x21\x11")


# Listeners


def test_curl_by_a_socket_reaches_every_port_of_its_hosts(start, sockets):
    door, back = f"{sockets}/door.sock", f"{sockets}/web.sock"
    first, second, hidden = Backend(path=back), Backend(), Backend()
    text = service("web2.local", [back]) + service("more.local", [second.port], number=8081) + service("hidden.local", [hidden.port])
    skein = start(config(text + egress((door, "HTTP", ["./web2.local", "./more.local"]), (f"@{sockets}/abstract", "HTTP", ["*/*"]))))
    assert curl(door, "http://web2.local/a?b=1").stdout == "ok"
    assert curl(door, "http://more.local:8081/").stdout == "ok"
    assert curl(door, "-o", "/dev/null", "-w", "%{http_code}", "http://hidden.local/").stdout == "404"
    assert curl(door, "-o", "/dev/null", "-w", "%{http_code}", "http://more.local:9999/").stdout == "404"
    assert curl(f"@{sockets}/abstract", "http://hidden.local/").stdout == "ok"
    assert curl(door, "--http2-prior-knowledge", "-w", " %{http_version}", "http://web2.local/two").stdout == "ok 2"
    # Who comes to a socket has no address: nothing is added to what came along, and without it there is no field.
    assert b"x-forwarded-for" not in first.requests[0][3]
    assert curl(door, "-H", "X-Forwarded-For: 10.1.2.3", "-H", "X-Forwarded-For: 10.4.5.6", "http://web2.local/").stdout == "ok"
    assert first.requests[-1][3][b"x-forwarded-for"] == b"10.1.2.3,10.4.5.6"
    lines = access_log(skein, 7)
    first_line = next(line for line in lines if line["path"] == "/a?b=1")
    assert (first_line["local"], first_line["localport"], first_line["remote"], first_line["upstream"]) == (door, None, None, back)
    assert first_line["forwarded"] is None and [line["forwarded"] for line in lines if line["forwarded"]] == ["10.1.2.3,10.4.5.6"]
    assert {line["local"] for line in lines} == {door, f"@{sockets}/abstract"}
    assert skein.samples("istio_requests_total", reporter="source", destination_service="web2.local") == 3
    span = wait_for(lambda: next((t[0] for t in traces(skein) if t[0]["tags"].get("http.url", "").endswith("/a?b=1")), None), what="the trace")
    assert span["tags"]["upstream_address"] == back and "peer.address" not in span["tags"]
    assert oct(os.stat(door).st_mode & 0o170000) == "0o140000"


def test_header_values_of_addresses(start, sockets):
    """A rule may put addresses into header fields: a path as it is, ports and unnamed clients as nothing."""
    door, back = f"{sockets}/door.sock", f"{sockets}/web.sock"
    backend = Backend(path=back)
    edits = ("headers: {request: {set: {x-local: 'l=%DOWNSTREAM_LOCAL_ADDRESS%', x-port: 'p=%DOWNSTREAM_LOCAL_PORT%', x-remote: 'r=%DOWNSTREAM_REMOTE_ADDRESS%'}}, "
             "response: {set: {x-host: 'h=%UPSTREAM_REMOTE_ADDRESS%'}}}")
    start(config(service("edit.local", [back]) + rule("edit.local", edits) + egress((door, "HTTP", ["*/*"]))))
    answer = curl(door, "-i", "http://edit.local/").stdout
    assert f"h={back}" in answer
    fields = backend.requests[0][3]
    assert (fields[b"x-local"], fields[b"x-port"], fields[b"x-remote"]) == (f"l={door}".encode(), b"p=", b"r=")


def test_tcp_by_a_socket_to_a_socket(start, sockets):
    door, back = f"{sockets}/door.sock", f"{sockets}/db.sock"
    Echo(back)
    skein = start(config(service("db.local", [back], protocol="TCP", number=5432) + egress((door, "TCP", ["./db.local"]))), arguments=["--workers", "1"])
    with dial(door) as s:
        s.sendall(b"hello")
        assert s.recv(100) == b"hello"
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"bye", "half-closed, the answer still comes"
    line = access_log(skein)[0]
    assert (line["local"], line["upstream"], line["cluster"]) == (door, back, "outbound|5432||db.local") and line["received"] == 5 and line["sent"] == 8
    assert skein.samples("istio_tcp_connections_opened_total", destination_service="db.local") == 1
    # Much at once, both ways: the bytes move inside the kernel, in order.
    block = os.urandom(1 << 20)
    count = 48
    with dial(door, timeout=60) as s:

        def pour():
            for _ in range(count):
                s.sendall(block)
            s.shutdown(socket.SHUT_WR)

        threading.Thread(target=pour, daemon=True).start()
        digest, total = hashlib.sha256(), 0
        while piece := s.recv(1 << 20):
            digest.update(piece)
            total += len(piece)
    assert total == count * len(block) + 3
    expected = hashlib.sha256()
    for _ in range(count):
        expected.update(block)
    expected.update(b"bye")
    assert digest.digest() == expected.digest()
    assert skein.samples("skein_proxy_spliced_bytes_total") > len(block)


def test_tcp_to_a_missing_socket_ends_at_once(start, sockets):
    door = f"{sockets}/door.sock"
    skein = start(config(service("db.local", [f"{sockets}/none.sock"], protocol="TCP", number=5432) + egress((door, "TCP", ["./db.local"]))))
    with dial(door) as s:
        with contextlib.suppress(ConnectionResetError):
            assert s.recv(10) == b""
    line = access_log(skein)[0]
    assert line["flags"] == "UF" and line["failure"] == "immediate_connect_error:_No_such_file_or_directory"


def test_websockets_by_a_socket_to_a_socket(start, sockets):
    door, back = f"{sockets}/door.sock", f"{sockets}/ws.sock"

    def upgrade(s):
        data = b""
        while b"\r\n\r\n" not in data:
            data += s.recv(65536)
        assert b"upgrade: websocket" in data.lower()
        s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
        while data := s.recv(65536):
            s.sendall(data.upper())

    Echo(back, upgrade)
    start(config(service("ws.local", [back]) + egress((door, "HTTP", ["*/*"]))))
    with dial(door) as s:
        s.sendall(b"GET /chat HTTP/1.1\r\nHost: ws.local\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        got = b""
        while not got.endswith(b"hello"):
            got += s.recv(65536)
        assert got.startswith(b"HTTP/1.1 101 ")
        for word in (b"abc", b"def"):
            s.sendall(word)
            assert s.recv(100) == word.upper()


def test_the_application_behind_an_ingress_listens_on_a_socket(start, sockets):
    app = f"{sockets}/app.sock"
    backend = Backend(path=app)
    Echo(f"{sockets}/tcp.sock")
    port, raw = free_port(), free_port()
    text = f"""
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: app, namespace: default, labels: {{app: app}}}}
spec: {{address: 127.0.0.1, labels: {{app: app}}}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: app, namespace: default}}
spec:
  workloadSelector: {{labels: {{app: app}}}}
  ingress:
  - {{port: {{number: {port}, protocol: HTTP, name: http}}, bind: 127.0.0.1, defaultEndpoint: 'unix://{app}'}}
  - {{port: {{number: {raw}, protocol: TCP, name: tcp}}, bind: 127.0.0.1, defaultEndpoint: 'unix://{sockets}/tcp.sock'}}
"""
    skein = start(config(text), arguments=["--node", "app"])
    assert http_get(port, "/in", {"Host": "whatever"})[0] == 200
    assert len(backend.requests) == 1 and backend.requests[0][3][b"x-forwarded-for"] == b"127.0.0.1"
    with socket.create_connection(("127.0.0.1", raw), timeout=10) as s:
        s.sendall(b"x")
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"xbye"
    lines = access_log(skein, 2)
    assert {(line["cluster"], line["upstream"]) for line in lines} == {(f"inbound|{port}||", app), (f"inbound|{raw}||", f"{sockets}/tcp.sock")}
    assert skein.samples("istio_requests_total", reporter="destination") == 1
    # The application restarts: the file is made anew, and what was connected to the old one is gone.
    backend.crash()
    os.unlink(app)
    assert http_get(port, "/gone")[0] == 503
    again = Backend(path=app)
    assert http_get(port, "/back")[0] == 200 and len(again.requests) == 1


def test_a_gateway_on_a_socket(start, sockets):
    door = f"{sockets}/gateway.sock"
    backend = Backend()
    text = f"""
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge, namespace: default}}
spec:
  servers:
  - {{port: {{number: 0, protocol: HTTP, name: http}}, bind: 'unix://{door}', hosts: ["*"]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: edge, namespace: default}}
spec:
  hosts: [shop.example]
  gateways: [edge]
  http: [{{route: [{{destination: {{host: web.local}}}}]}}]
"""
    start(config(text, backend.port))
    assert curl(door, "http://shop.example/").stdout == "ok"
    assert curl(door, "-o", "/dev/null", "-w", "%{http_code}", "http://web.local/").stdout == "404"


def test_both_workers_serve_a_socket(start, sockets):
    """One socket, and nobody spreads its connections but us: each of them in turn, also when they come one by one."""
    door = f"{sockets}/door.sock"
    backend = Backend()
    skein = start(config(egress((door, "HTTP", ["*/*"])), backend.port), arguments=["--workers", "2"])
    connections = []
    for _ in range(40):
        connection = UnixHTTP(door)
        connection.request("GET", "/", headers={"Host": "web.local"})
        assert connection.getresponse().read() == b"ok"
        connections.append(connection)
    shares = [skein.samples("skein_proxy_downstream_connections_total", worker=str(n)) for n in range(2)]
    assert sum(shares) == 40 and min(shares) >= 10, shares
    for connection in connections:
        connection.close()
    # And many at once: none is lost, none is taken twice.
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        assert set(pool.map(lambda n: get(door, f"/{n}"), range(600))) == {(200, b"ok")}
    assert len(backend.requests) == 640


# What becomes of the file


def test_reloads_make_and_remove_sockets(start, sockets):
    first, second = f"{sockets}/first.sock", f"{sockets}/second.sock"
    backend = Backend()

    def text(*listeners, more=""):
        return config(egress(*[(path, "HTTP", ["*/*"]) for path in listeners]) + more, backend.port)

    skein = start(text(first), arguments=["--workers", "2"])
    kept = UnixHTTP(first)
    kept.request("GET", "/", headers={"Host": "web.local"})
    kept.getresponse().read()
    inode = os.stat(first).st_ino
    (skein.config / "mesh.yaml").write_text(text(first, second))
    wait_for(lambda: os.path.exists(second) and get(second)[0] == 200, what="the second socket")
    assert os.stat(first).st_ino == inode, "the first was not touched"
    kept.request("GET", "/", headers={"Host": "web.local"})
    assert kept.getresponse().read() == b"ok"
    (skein.config / "mesh.yaml").write_text(text(second))
    wait_for(lambda: not os.path.exists(first), what="the first to go")
    assert get(second)[0] == 200
    # What cannot be opened is said; everything else goes on.
    os.mkdir(first)
    (skein.config / "mesh.yaml").write_text(text(first, second))
    said = f"listener outbound_{first} on {first}: bind: Address already in use; what is there is no socket and is left alone"
    wait_for(lambda: said in skein.log(), what="the reason")
    assert skein.log().count(said) == 1, "once, not by every worker"
    assert get(second)[0] == 200 and os.path.isdir(first)
    os.rmdir(first)
    (skein.config / "mesh.yaml").write_text(text(first, second, more="# changed\n"))
    wait_for(lambda: os.path.exists(first) and get(first)[0] == 200, what="the next configuration's try")
    assert skein.stop() == 0
    assert os.listdir(sockets) == []


def test_endpoints_come_and_go_by_reloads(start, sockets):
    files = [f"{sockets}/{n}.sock" for n in range(3)]
    backends = [Backend(path=f) for f in files]
    skein = start(config(service("app.local", files[:2])), arguments=["--workers", "1"])
    for _ in range(20):
        assert skein.get("/", host="app.local")[0] == 200
    assert not backends[2].requests and backends[0].requests and backends[1].requests
    connected = backends[1].connections
    (skein.config / "mesh.yaml").write_text(config(service("app.local", files[1:])))
    wait_for(lambda: skein.get("/", host="app.local")[0] == 200 and backends[2].requests, what="the new socket")
    before = len(backends[0].requests)
    for _ in range(20):
        assert skein.get("/", host="app.local")[0] == 200
    assert len(backends[0].requests) == before
    assert backends[1].connections == connected, "its connections were kept"


def test_what_a_killed_process_leaves_is_replaced(start, sockets):
    door = f"{sockets}/door.sock"
    backend = Backend()
    text = config(egress((door, "HTTP", ["*/*"])), backend.port)
    first = start(text)
    assert get(door)[0] == 200
    # A second one must not take a living socket away, and says what to do.
    rival = start(text, ready=False)
    assert rival.process.wait(20) == 70
    assert f"listener outbound_{door} on {door}: bind: Address already in use; another process listens there: stop it, or write another path" in rival.log()
    assert get(door)[0] == 200
    first.process.kill()
    first.process.wait()
    assert os.path.exists(door)
    with pytest.raises(ConnectionRefusedError):
        dial(door)
    second = start(text)
    assert get(door)[0] == 200
    # In flight while it drains: the file goes at once, the request is finished.
    gate = threading.Event()
    backend.respond = lambda line, body: gate.wait(10) and OK
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(get, door)
        wait_for(lambda: len(backend.requests) == 4, what="the request to be under way")
        second.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not os.path.exists(door), what="the file to go")
        gate.set()
        assert asked.result() == (200, b"ok")
    assert second.process.wait(20) == 0


@pytest.mark.parametrize("there, said", [
    ("file", "what is there is no socket and is left alone: remove it, or write another path"),
    ("nothing", "its directory does not exist: create it"),
])
def test_a_path_that_cannot_be_listened_on_ends_the_start(start, sockets, there, said):
    path = f"{sockets}/directory/door.sock"
    if there == "file":
        os.mkdir(f"{sockets}/directory")
        open(path, "w").close()
    skein = start(config(egress((path, "HTTP", ["*/*"]))), ready=False)
    assert skein.process.wait(20) == 70
    assert f"on {path}: bind: " in skein.log() and said in skein.log()
    assert os.path.exists(path) == (there == "file")


# Tools


def run(*arguments):
    return subprocess.run([SKEIN, *map(str, arguments)], capture_output=True, text=True, timeout=60)


def test_the_tools_know_sockets(start, sockets, tmp_path):
    file, door = f"{sockets}/app.sock", f"{sockets}/door.sock"
    Backend(path=file)
    text = config(service("app.local", [file, "@other"]) + egress((door, "HTTP", ["*/*"]), common=False))
    (tmp_path / "mesh.yaml").write_text(text)
    checked = run("validate", tmp_path)
    assert checked.returncode == 0 and "unix" not in checked.stdout.lower() and "SKN0201" not in checked.stdout, checked.stdout
    analysed = run("analyze", tmp_path)
    assert analysed.returncode == 0 and "Unix" not in analysed.stdout and "SKN0201" not in analysed.stdout, analysed.stdout
    told = run("explain", "-c", tmp_path, "http://app.local/")
    assert told.returncode == 0 and f"outbound_{door} {door}" in told.stdout and "outbound|80||app.local" in told.stdout, told.stdout
    assert file in told.stdout and "@other" in told.stdout, told.stdout
    skein = start(text)
    live = run("explain", "--server", f"127.0.0.1:{skein.ports['admin']}", "http://app.local/")
    assert live.returncode == 0 and file in live.stdout, live.stdout
    assert f"outbound {door}" in skein.log()
    assert get(door, host="app.local", **{"X-Request-Id": "one"})[0] == 200
    server = ["explain", "--server", f"127.0.0.1:{skein.ports['admin']}", "--request-id", "one"]
    served = wait_for(lambda: "attempt 1 " in (told := run(*server).stdout) and told, what="the served request")
    assert file in served or "@other" in served
    dump = http_get(skein.ports["admin"], "/config_dump")[2].decode()
    assert file in dump and "@other" in dump and door in dump
