"""Connections that are not read as HTTP: TCP ports, server names, undeclared protocols, and redirected connections in network namespaces."""

import contextlib
import hashlib
import os
import pathlib
import shutil
import socket
import socketserver
import ssl
import struct
import subprocess
import threading
import time

import pytest

from conftest import SKEIN, Backend, access_log, free_port, http_get, mesh, wait_for


class Echo:
    """A TCP server that sends a greeting (if any), then what it gets, prefixed by its name, until the client's end; then a farewell."""

    def __init__(self, name=b"", greeting=b"", handle=None):
        outer = self
        self.connections = 0

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                outer.connections += 1
                with contextlib.suppress(OSError):
                    if handle:
                        handle(self.request)
                        return
                    if greeting:
                        self.request.sendall(greeting)
                    while True:
                        data = self.request.recv(65536)
                        if not data:
                            break
                        self.request.sendall(name + data)
                    self.request.sendall(b"bye")

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 1024

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def config(listener, protocol, ports, extra="", name="db.local", number=5000):
    endpoints = ", ".join("{address: 127.0.0.1, labels: {version: v%d}, ports: {p: %d}}" % (i + 1, p) for i, p in enumerate(ports))
    return mesh(
        9,
        f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: db, namespace: default}}
spec:
  hosts: [{name}]
  ports: [{{number: {listener}, name: p, protocol: {protocol}}}]
  resolution: STATIC
  endpoints: [{endpoints}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: default, namespace: default}}
spec:
  egress:
  - port: {{number: {listener}, protocol: {protocol}, name: p}}
    bind: 127.0.0.1
    hosts: ["./{name}"]
  - hosts: ["*/*"]
{extra}
""",
    )


def read_all(s):
    out = b""
    while True:
        piece = s.recv(65536)
        if not piece:
            return out
        out += piece


def test_tcp_both_ways_half_close_and_metrics(start):
    echo = Echo(b">")
    port = free_port()
    skein = start(config(port, "TCP", [echo.port]), arguments=["--workers", "1"])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(b"hello")
        assert s.recv(100) == b">hello"
        s.sendall(b"again")
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b">againbye"
    wait_for(lambda: skein.samples("istio_tcp_connections_closed_total") == 1, what="the closed connection")
    assert skein.samples("istio_tcp_connections_opened_total", destination_service="db.local") == 1
    assert skein.samples("istio_tcp_received_bytes_total", request_protocol="tcp") == 10
    assert skein.samples("istio_tcp_sent_bytes_total", reporter="source") == 15
    assert skein.samples("istio_requests_total") == 0
    entry = access_log(skein)[0]
    assert entry["cluster"] == f"outbound|{port}||db.local" and entry["received"] == 10 and entry["sent"] == 15, entry


# The store's first recording of the process' own metrics takes some megabytes, which are none of the connection's.
ALONE = ["--metrics-interval", "0"]


def test_bulk_with_a_slow_reader(start):
    size = 64 << 20

    def pour(s):
        block = b"x" * 65536
        for _ in range(size // 65536):
            s.sendall(block)

    echo = Echo(handle=pour)
    port = free_port()
    skein = start(config(port, "TCP", [echo.port]), arguments=["--workers", "1", *ALONE])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
        s.recv(1000)
        before = settled(skein)
        wait_for(lambda: stalled(skein), what="the pause of the sender")
        assert rss(skein) - before < 4096, "KiB for a slow reader"
        got = 1000 + sum(len(piece) for piece in received(s))
    assert got >= size, got


def stream(seed, size):
    """Bytes that tell when one is missing, twice there or out of order."""
    block = hashlib.sha256(str(seed).encode()).digest() * 2048
    sent = 0
    while sent < size:
        piece = sent.to_bytes(8, "big") + block[8:]
        yield piece[: size - sent]
        sent += len(piece)


def digest(pieces):
    total = hashlib.sha256()
    count = 0
    for piece in pieces:
        total.update(piece)
        count += len(piece)
    return count, total.hexdigest()


def received(s):
    while piece := s.recv(1 << 18):
        yield piece


def test_bulk_moves_inside_the_kernel_and_arrives_whole_both_ways_at_once(start):
    """Large transfers are spliced; what goes through the pipe must keep its order with what is copied before and after, and the ends must come last."""
    size = 48 << 20
    seen = []

    def both(s):
        reader = threading.Thread(target=lambda: seen.append(digest(received(s))))
        reader.start()
        for piece in stream("down", size):
            s.sendall(piece)
        s.sendall(b"end")
        s.shutdown(socket.SHUT_WR)
        reader.join()

    echo = Echo(handle=both)
    port = free_port()
    skein = start(config(port, "TCP", [echo.port]), arguments=["--workers", "1"])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as s:

        def send():
            for piece in stream("up", size):
                s.sendall(piece)
            s.sendall(b"end")
            s.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        got = digest(received(s))
        sender.join()
    assert got == digest([*stream("down", size), b"end"])
    wait_for(lambda: seen, what="the server's end")
    assert seen == [digest([*stream("up", size), b"end"])]
    assert skein.samples("skein_proxy_spliced_bytes_total") > size
    wait_for(lambda: skein.samples("istio_tcp_connections_closed_total") == 1, what="the closed connection")
    assert skein.samples("istio_tcp_sent_bytes_total") == skein.samples("istio_tcp_received_bytes_total") == size + 3


def test_more_bulk_than_pipes_and_peers_that_leave_in_the_middle(start):
    """Pipes are few: the rest is copied. Whoever leaves in the middle leaves no descriptor behind, and none of its bytes to the next tunnel."""

    def pour(s):
        for piece in stream("many", 2 << 20):
            s.sendall(piece)

    echo = Echo(handle=pour)
    port = free_port()
    skein = start(config(port, "TCP", [echo.port]), arguments=["--workers", "1"])

    def descriptors():
        return len(list(pathlib.Path(f"/proc/{skein.process.pid}/fd").iterdir()))

    before = descriptors()
    for _ in range(2):
        clients = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(100)]
        wait_for(lambda: stalled(skein), what="senders that wait")
        for client in clients[::2]:
            client.close()
        expected = digest(stream("many", 2 << 20))
        for client in clients[1::2]:
            assert digest(received(client)) == expected
            client.close()
    wait_for(lambda: skein.samples("istio_tcp_connections_closed_total") == 200, what="the ends")
    # Two ends of each pipe that is kept for the next tunnel.
    assert descriptors() <= before + 2 * 64
    assert skein.samples("skein_proxy_spliced_bytes_total") > 0


@pytest.mark.parametrize("size", [3000, 24 << 20])
def test_what_a_client_sent_before_its_end_arrives_though_the_server_ended_first(start, size):
    """Each direction ends on its own: the server says its end at once and then reads slowly what the client had sent before its own end."""
    go, seen = threading.Event(), []

    def early(s):
        s.sendall(b"done")
        s.shutdown(socket.SHUT_WR)
        go.wait(20)
        seen.append(digest(received(s)))

    echo = Echo(handle=early)
    port = free_port()
    skein = start(config(port, "TCP", [echo.port]), arguments=["--workers", "1"])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
        assert read_all(s) == b"done"

        def send():
            for piece in stream("late", size):
                s.sendall(piece)
            s.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        wait_for(lambda: stalled(skein), what="the pause")
        go.set()
        sender.join()
        wait_for(lambda: seen, what="the server's end")
    assert seen == [digest(stream("late", size))]
    wait_for(lambda: skein.samples("istio_tcp_connections_closed_total") == 1, what="the closed connection")
    assert skein.samples("istio_tcp_received_bytes_total") == size


def test_a_slow_server_holds_back_its_client(start):
    begun, release = threading.Event(), threading.Event()
    seen = []

    def slow(s):
        s.recv(1 << 16)
        begun.set()
        release.wait(30)
        seen.append(sum(len(piece) for piece in received(s)))

    echo = Echo(handle=slow)
    port = free_port()
    skein = start(config(port, "TCP", [echo.port]), arguments=["--workers", "1", *ALONE])
    size = 64 << 20
    with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
        # What the process needs to begin with, and for any tunnel, is none of the waiting bytes'.
        s.sendall(b"x")
        assert begun.wait(10)
        before = settled(skein)
        sender = threading.Thread(target=lambda: [s.sendall(piece) for piece in stream("slow", size)] and s.shutdown(socket.SHUT_WR))
        sender.start()
        wait_for(lambda: stalled(skein), what="the pause of the client")
        assert rss(skein) - before < 4096, "KiB for a slow server"
        release.set()
        sender.join()
        wait_for(lambda: seen, what="the server's end")
    assert seen[0] == size


def settled(skein):
    """KiB of memory once the process has given back what its start took: the same for half a second."""
    readings = []

    def same():
        readings.append(rss(skein))
        return len(readings) > 25 and len(set(readings[-25:])) == 1

    wait_for(same, what="memory that stays")
    return readings[-1]


def rss(skein):
    for line in open(f"/proc/{skein.process.pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1])


def stalled(skein):
    """No CPU in a moment: nothing moves any more."""
    first = pathlib.Path(f"/proc/{skein.process.pid}/stat").read_text().split()[13:15]
    time.sleep(0.3)
    return first == pathlib.Path(f"/proc/{skein.process.pid}/stat").read_text().split()[13:15]


def test_weights_and_subsets(start):
    one, two = Echo(b"1"), Echo(b"2")
    port = free_port()
    extra = f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: db, namespace: default}}
spec:
  host: db.local
  subsets: [{{name: v1, labels: {{version: v1}}}}, {{name: v2, labels: {{version: v2}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: db, namespace: default}}
spec:
  hosts: [db.local]
  tcp:
  - match: [{{port: {port}}}]
    route:
    - destination: {{host: db.local, subset: v1}}
      weight: 80
    - destination: {{host: db.local, subset: v2}}
      weight: 20
"""
    skein = start(config(port, "TCP", [one.port, two.port], extra), arguments=["--workers", "1", "--seed", "5"])
    for _ in range(200):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
            s.sendall(b"x")
            assert s.recv(10)[1:] == b"x"
    # Binomial(200, 0.8): five standard deviations are 28.
    assert abs(one.connections - 160) < 28, (one.connections, two.connections)
    assert one.connections + two.connections == 200


def test_dead_endpoint_closes_and_is_flagged(start):
    port = free_port()
    skein = start(config(port, "TCP", [free_port()]), arguments=["--workers", "1"])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        with contextlib.suppress(ConnectionResetError):
            assert s.recv(10) == b""
    assert access_log(skein)[0]["flags"].startswith("UF")


@pytest.mark.parametrize("declared", ["", "TCP"])
def test_server_first_does_not_hang(start, declared):
    echo = Echo(b">", greeting=b"220 hello\r\n")
    port = free_port()
    skein = start(config(port, declared or '""', [echo.port]), arguments=["--workers", "1"])
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        assert s.recv(100) == b"220 hello\r\n"
        assert time.monotonic() - began < 3
        s.sendall(b"EHLO\r\n")
        assert s.recv(100) == b">EHLO\r\n"


def test_undeclared_port_speaks_http_and_anything_else(start):
    backend = Backend()
    port = free_port()
    skein = start(config(port, '""', [backend.port]), arguments=["--workers", "1"])
    assert http_get(port, "/x", {"Host": "db.local"})[0] == 200
    # In pieces, too.
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        for byte in b"GET /y HTTP/1.1\r\nHost: db.local\r\nConnection: close\r\n\r\n":
            s.sendall(bytes([byte]))
        assert read_all(s).startswith(b"HTTP/1.1 200")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(b"get key\r\n\r\n")
        # To the backend as it is, which is a web server and finds it strange.
        wait_for(lambda: any(r[0] == b"get key" for r in backend.requests), what="the raw bytes")
    assert skein.samples("istio_requests_total", response_code="200") == 2
    assert skein.samples("istio_tcp_connections_opened_total") == 1


def certificate(directory, name):
    key, cert = directory / f"{name}.key", directory / f"{name}.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", f"/CN={name}",
         "-addext", f"subjectAltName=DNS:{name}"], check=True, capture_output=True)
    return key, cert


def test_server_names_choose_the_route(start, tmp_path):
    made = {}
    for name in ("a.example", "b.example"):
        key, cert = certificate(tmp_path, name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)

        def serve(raw, context=context, name=name):
            with context.wrap_socket(raw, server_side=True) as s:
                s.sendall(name.encode() + b":" + s.recv(100))

        made[name] = (Echo(handle=serve), cert)
    port = free_port()
    extra = "".join(
        f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name[0]}, namespace: default}}
spec:
  hosts: [{name}]
  ports: [{{number: {port}, name: tls, protocol: TLS}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{tls: {made[name][0].port}}}}}]
"""
        for name in made
    ) + f"""
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: names, namespace: default}}
spec:
  hosts: [a.example, alias.example, "*.a.example"]
  tls:
  - match: [{{port: {port}, sniHosts: [alias.example, "*.a.example"]}}]
    route: [{{destination: {{host: a.example}}}}]
"""
    text = config(port, "TLS", [1], extra).replace('hosts: ["./db.local"]', 'hosts: ["*/a.example", "*/b.example"]').replace("hosts: [db.local]", "hosts: [unused.local]")
    skein = start(text, arguments=["--workers", "1"])
    for asked, served in (("a.example", "a.example"), ("b.example", "b.example"), ("alias.example", "a.example"), ("x.a.example", "a.example")):
        context = ssl.create_default_context(cafile=made[served][1])
        context.check_hostname = asked == served
        with context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=10), server_hostname=asked) as s:
            s.sendall(b"hi")
            assert s.recv(100) == served.encode() + b":hi"
    names = [entry["sni"] for entry in access_log(skein, 4)]
    assert sorted(names) == ["a.example", "alias.example", "b.example", "x.a.example"], names
    # A name nobody has.
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        with pytest.raises((ssl.SSLError, OSError)):
            ssl.create_default_context().wrap_socket(raw, server_hostname="c.example")


class Connecting:
    """An HTTP proxy that answers CONNECT as told, and connects where it was asked to."""

    def __init__(self, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"):
        self.heads = []
        self.answer = answer
        self.echo = Echo(handle=self.serve)

    def serve(self, s):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = s.recv(1)
            if not piece:
                return
            data += piece
        self.heads.append(data)
        if self.answer is None:
            s.recv(1)
            return
        # In pieces, with an interim answer first.
        for piece in (b"HTTP/1.1 103 Early Hints\r\n\r\n", self.answer[:9], self.answer[9:]):
            s.sendall(piece)
        if b" 200 " not in self.answer:
            return
        s.sendall(b"hello,")
        for piece in received(s):
            s.sendall(piece)


def tunnel(port, proxy, extra=""):
    return config(port, "TCP", [proxy.echo.port], f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: db, namespace: default}}
spec:
  host: db.local
  trafficPolicy:
    tunnel: {{protocol: CONNECT, targetHost: far.example, targetPort: 443}}
{extra}
""")


def test_tcp_goes_on_through_an_http_proxy(start):
    """DestinationRule `tunnel`: CONNECT first; nothing of the client goes out before the proxy has agreed, nothing of its answer reaches the client."""
    proxy = Connecting()
    port = free_port()
    skein = start(tunnel(port, proxy), arguments=["--workers", "1"])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(b"early")
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"hello,early"
    assert proxy.heads == [b"CONNECT far.example:443 HTTP/1.1\r\nHost: far.example:443\r\n\r\n"]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        # The server speaks first.
        assert s.recv(6) == b"hello,"
        s.sendall(b"then")
        assert s.recv(4) == b"then"
    wait_for(lambda: skein.samples("istio_tcp_connections_closed_total") == 2, what="the ends")
    assert skein.samples("istio_tcp_received_bytes_total") == 9


@pytest.mark.parametrize("answer", [b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", b"SSH-2.0-x\r\n\r\n", None])
def test_a_proxy_that_refuses_or_says_nothing_is_a_failed_connection(start, answer):
    proxy = Connecting(answer)
    port = free_port()
    skein = start(tunnel(port, proxy, "    connectionPool: {tcp: {connectTimeout: 500ms}}"), arguments=["--workers", "1"])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(b"secret")
        with contextlib.suppress(ConnectionResetError):
            assert read_all(s) == b""
    assert all(b"secret" not in head for head in proxy.heads)
    assert access_log(skein)[0]["flags"] == "UF"
