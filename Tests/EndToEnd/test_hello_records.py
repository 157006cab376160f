"""A ClientHello in several TLS records (RFC 8446 5.1) goes where the whole one goes, whoever looks at its server name and protocols."""

import contextlib
import socket
import ssl

import pytest

from conftest import free_port, wait_for
from mesh_ca import MeshCA
from test_mtls import ISTIO, server_side

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge, namespace: default}}
spec:
  selector: {{}}
  servers:
  - port: {{number: {port}, name: https, protocol: HTTPS}}
    hosts: [one.example, two.example]
    tls: {{mode: SIMPLE, credentialName: web}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: one, namespace: default}}
spec: {{hosts: [one.example], gateways: [edge], http: [{{directResponse: {{status: 200, body: {{string: one}}}}}}]}}
"""

# How the message is cut: lengths of records, the last of them again and again.
CUTS = {"one byte each": [1], "within its header": [3, 4000], "two halves": [120, 4000], "uneven": [7, 50, 1, 90]}


class Recording:
    """Carries a TLS session's bytes to a server, its first flight in other records."""

    def __init__(self, port, context, name, cut, pieces=4096):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.session.do_handshake()
        flight = recut(self.outgoing.read(), cut)
        for place in range(0, len(flight), pieces):
            self.socket.sendall(flight[place : place + pieces])
        self.drive(self.session.do_handshake)

    def drive(self, step):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                if sent := self.outgoing.read():
                    self.socket.sendall(sent)
                if not (received := self.socket.recv(65536)):
                    raise ConnectionError("the connection ended") from None
                self.incoming.write(received)

    def ask(self, host):
        self.session.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        self.socket.sendall(self.outgoing.read())
        return self.drive(lambda: self.session.read(65536))


def recut(flight, cut):
    """A flight of one record, its content in records of these lengths."""
    assert flight[0] == 22 and int.from_bytes(flight[3:5], "big") == len(flight) - 5
    content, lengths = flight[5:], list(cut)
    out = b""
    while content:
        length = lengths.pop(0) if len(lengths) > 1 else lengths[0]
        piece, content = content[:length], content[length:]
        out += flight[:3] + len(piece).to_bytes(2, "big") + piece
    return out


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return MeshCA(tmp_path_factory.mktemp("ca"))


def test_a_gateway_reads_the_server_name(start, ca, tmp_path):
    port = free_port()
    ca.issue(tmp_path / "credentials/web", ["DNS:one.example", "DNS:two.example"])
    skein = start(GATEWAY.format(port=port), ["--credentials", str(tmp_path / "credentials"), "--workers", "1"])
    context = ssl.create_default_context(cafile=ca.certificate)
    for what, cut in CUTS.items():
        for pieces in (1, 4096):
            assert Recording(port, context, "one.example", cut, pieces).ask("one.example").endswith(b"one"), what
    # A name of nobody is refused with the same alert as in one record.
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
        Recording(port, context, "three.example", [1])
    wait_for(lambda: "the server name three.example is none of a Gateway's server there" in skein.log(), what="the reason")


@pytest.mark.parametrize("mode", ["STRICT", "PERMISSIVE"])
def test_mutual_tls_of_the_mesh_is_known(start, backend, ca, tmp_path, mode):
    identity, client = ca.workload(tmp_path / "web", "web"), ca.workload(tmp_path / "client", "client")
    port = free_port()
    start(server_side(port, backend.port, mode), ["--identity", str(identity), "--node", "web", "--workers", "1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(str(ca.certificate))
    context.load_cert_chain(str(client / "tls.crt"), str(client / "tls.key"))
    context.set_alpn_protocols(ISTIO)
    for what, cut in CUTS.items():
        secure = Recording(port, context, "web.local", cut)
        assert secure.session.selected_alpn_protocol() == "istio-http/1.1", what
        assert secure.ask("web.local").startswith(b"HTTP/1.1 200"), what


@pytest.mark.parametrize("mode", ["STRICT", "PERMISSIVE"])
@pytest.mark.parametrize(
    "beginning, reason",
    [
        (b"\x16\x03\x01\x00\x04\x01\x00\x40\x00", "a ClientHello of more than 16384 bytes"),
        # Of 12 KiB by its header, a byte in each record.
        (b"".join(b"\x16\x03\x01\x00\x01%c" % byte for byte in b"\x01\x00\x30" + bytes(2046)), "a ClientHello in more than 2048 records"),
        (b"\x16\x03\x01\x00\x04\x01\x00\x02\x00\x17\x03\x03\x00\x01\x00", "a ClientHello that ends within its records"),
    ],
)
def test_a_hello_without_end_is_refused(start, backend, ca, tmp_path, mode, beginning, reason):
    identity = ca.workload(tmp_path / "web", "web")
    port = free_port()
    skein = start(server_side(port, backend.port, mode), ["--identity", str(identity), "--node", "web", "--workers", "1"])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(beginning)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""
    wait_for(lambda: reason in skein.log(), what="the reason")
    assert skein.samples("skein_proxy_tls_handshake_failures_total") == 1
    assert backend.connections == 0
