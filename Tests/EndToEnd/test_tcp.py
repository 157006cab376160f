"""Connections that are not read as HTTP: TCP ports, server names, undeclared protocols, and redirected connections in network namespaces."""

import contextlib
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


def test_bulk_with_a_slow_reader(start):
    size = 64 << 20

    def pour(s):
        block = b"x" * 65536
        for _ in range(size // 65536):
            s.sendall(block)

    echo = Echo(handle=pour)
    port = free_port()
    skein = start(config(port, "TCP", [echo.port]), arguments=["--workers", "1"])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
        s.recv(1000)
        before = rss(skein)
        wait_for(lambda: stalled(skein), what="the pause of the sender")
        assert rss(skein) - before < 4096, "KiB for a slow reader"
        got = 1000 + len(read_all(s))
    assert got >= size, got


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
  hosts: [a.example]
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
    # A name nobody has.
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        with pytest.raises((ssl.SSLError, OSError)):
            ssl.create_default_context().wrap_socket(raw, server_hostname="c.example")
