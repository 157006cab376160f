"""A peer whose certificate is taken back is cut off from what it has open: a stolen key is worth nothing from then on."""

import contextlib
import socket
import ssl

import pytest

from conftest import Backend, free_port, mesh, wait_for
from mesh_ca import MeshCA
from test_gateway import edge, rule, service
from test_gateway_tls import server
from test_mtls import ISTIO, client_side, connection, https_server, server_side, simple
from test_tcp import Echo


@pytest.fixture
def ca(tmp_path):
    return MeshCA(tmp_path / "authority")


def take_back(ca, identity, *revoked):
    """Puts the list beside a workload's certificate, whole."""
    ca.revoke(identity / "ca.crl.new", *revoked)
    (identity / "ca.crl.new").rename(identity / "ca.crl")


def has_ended(secure):
    """Whether the other end has closed, whatever it sent before."""
    secure.settimeout(0.05)
    try:
        while secure.recv(65536):
            pass
        return True
    except (TimeoutError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True


def open_stream(secure, path):
    secure.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert secure.recv(65536).startswith(b"HTTP/1.1 200")


def test_own_ports_let_go_of_a_revoked_client(start, ca, tmp_path):
    identity, client, thief = (ca.workload(tmp_path / name, name) for name in ("web", "client", "thief"))
    skein = start(mesh(9), ["--identity", str(identity), "--tls-identity"])
    with contextlib.ExitStack() as open_now:

        def connect(port, who):
            return open_now.enter_context(connection(skein.ports[port], ca, who, alpn=["http/1.1"]))

        # A stream that waits for what is to come, connections that have had an answer, and one that has asked nothing yet.
        followed = {who: connect("admin", who) for who in (client, thief)}
        idle = {(port, who): connect(port, who) for port in ("zipkin", "otlp", "metrics") for who in (client, thief)}
        silent = connect("otlp-grpc", thief)
        for secure in followed.values():
            open_stream(secure, "/logs?follow=true")
        for (port, _), secure in idle.items():
            secure.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert secure.recv(65536).startswith(b"HTTP/1.1 ")
        take_back(ca, identity, thief)
        gone = [followed[thief], silent, *(secure for (_, who), secure in idle.items() if who == thief)]
        wait_for(lambda: all(has_ended(secure) for secure in gone), seconds=30, what="the thief's connections to end")
        assert not any(has_ended(secure) for secure in (followed[client], *(s for (_, who), s in idle.items() if who == client)))
        wait_for(lambda: "connections of clients whose certificates were revoked are ended" in skein.log(), what="a line")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            open_stream(connect("admin", thief), "/server_info")
        with connection(skein.ports["metrics"], ca, client, alpn=["http/1.1"]) as secure:
            secure.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            page = b""
            with contextlib.suppress(ssl.SSLEOFError):
                while piece := secure.recv(65536):
                    page += piece
        ended = [line for line in page.decode().splitlines() if line.startswith("skein_server_tls_revoked_connections_ended_total{")]
        assert sum(int(line.rsplit(" ", 1)[1]) for line in ended) == len(gone), ended


def test_a_session_does_not_outlive_a_revocation(start, ca, tmp_path):
    """A ticket is no way in for a client that was taken back after it got it."""
    identity = ca.workload(tmp_path / "web", "web")
    skein = start(None, ["--identity", str(identity), "--tls-identity"])
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        thief = ca.workload(tmp_path / f"thief-{version.value}", "thief")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(str(ca.certificate))
        context.load_cert_chain(str(thief / "tls.crt"), str(thief / "tls.key"))
        context.minimum_version = context.maximum_version = version

        def visit(session=None):
            plain = socket.create_connection(("127.0.0.1", skein.ports["admin"]), timeout=10)
            with context.wrap_socket(plain, session=session) as secure:
                open_stream(secure, "/server_info")
                return secure.session

        ticket = visit()
        visit(ticket)
        take_back(ca, identity, thief)
        def is_refused():
            try:
                visit(ticket)
            except (OSError, AssertionError):
                return True

        wait_for(is_refused, seconds=20, what="the refusal")


def test_a_stream_and_a_tunnel_through_the_proxy_end(start, ca, tmp_path):
    identity, client = (ca.workload(tmp_path / name, name) for name in ("web", "client"))

    def endless(head, body):
        """An answer that is never complete."""

        def answer(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            connection.recv(1)

        return answer

    backend, echo = Backend(endless), Echo()
    for inner, http in ((backend.port, True), (echo.port, False)):
        port, thief = free_port(), ca.workload(tmp_path / f"thief-{inner}", "thief")
        text = server_side(port, inner, "STRICT")
        if not http:
            text = text.replace(f"number: {port}, protocol: HTTP, name: http", f"number: {port}, protocol: TCP, name: tcp")
        skein = start(text, ["--identity", str(identity), "--node", "web", "--workers", "1"])
        alpn = ISTIO if http else ["istio"]
        with connection(port, ca, client, alpn=alpn) as good, connection(port, ca, thief, alpn=alpn) as bad:
            for secure in (good, bad):
                if http:
                    open_stream(secure, "/")
                else:
                    secure.sendall(b"hello")
                    assert secure.recv(100) == b"hello"
            take_back(ca, identity, thief)
            wait_for(lambda: has_ended(bad), seconds=30, what="the thief's connection to end")
            assert not has_ended(good)
            wait_for(lambda: skein.samples("skein_proxy_revoked_connections_ended_total") == 1, what="the count")
        (identity / "ca.crl").unlink()
        skein.stop()
    backend.close()


def below(ca, directory):
    """An intermediate of an authority, and the directory of its certificate."""
    ca.issue(directory, [], usage="keyCertSign,cRLSign", authority=True, extended=None, subject="/O=cluster.local/CN=between")
    between = MeshCA.__new__(MeshCA)
    between.directory, between.domain = directory, ca.domain
    between.key, between.certificate = directory / "tls.key", directory / "tls.crt"
    return between


def with_chain(identity, between, ca):
    """A certificate that is shown with the intermediate that signed it."""
    leaf = identity / "tls.crt"
    leaf.write_bytes(leaf.read_bytes() + between.certificate.read_bytes())
    (identity / "ca.crt").write_bytes(ca.certificate.read_bytes())
    return identity


def client_of(authority, out):
    return authority.issue(out, [f"DNS:{out.name}"], extended="clientAuth", subject=f"/CN={out.name}")


def visit(port, context, session=None):
    """A connection that has had an answer."""
    secure = context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=10), session=session)
    secure.sendall(b"GET / HTTP/1.1\r\nHost: web.example\r\n\r\n")
    assert secure.recv(65536).startswith(b"HTTP/1.1 200")
    return secure


def trusting(ca, client, version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(str(ca.certificate))
    context.load_cert_chain(str(client / "tls.crt"), str(client / "tls.key"))
    if version:
        context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_an_intermediate_ends_what_is_below_it(start, backend, ca, tmp_path, version):
    """At a gateway, by the list in its credential: clients under a revoked intermediate go, also one that came back by a ticket."""
    between = below(ca, tmp_path / "between")
    credential = tmp_path / "credentials/web"
    ca.issue(credential, ["DNS:web.example"])
    port = free_port()
    servers = server("https", '["*"]', "{mode: MUTUAL, credentialName: web}", number=port)
    text = mesh(9, edge(port, servers, rule("web", '["*"]', "api.local"), service("api.local", backend.port), ports="{}"))
    skein = start(text, ["--node", "edge", "--workers", "1", "--credentials", str(tmp_path / "credentials")])
    good = visit(port, trusting(ca, client_of(ca, tmp_path / "good"), version))
    context = trusting(ca, with_chain(client_of(between, tmp_path / "thief"), between, ca), version)
    first = visit(port, context)
    resumed = visit(port, context, first.session)
    assert resumed.session_reused
    take_back(ca, credential, tmp_path / "between")
    wait_for(lambda: has_ended(first) and has_ended(resumed), seconds=30, what="the connections below the intermediate to end")
    assert not has_ended(good)
    wait_for(lambda: skein.samples("skein_proxy_revoked_connections_ended_total") == 2, what="the count")
    with pytest.raises((OSError, AssertionError)):
        visit(port, context, first.session)


def test_a_workload_below_a_revoked_intermediate_is_let_go(start, backend, ca, tmp_path):
    between, port = below(ca, tmp_path / "between"), free_port()
    identity, client = ca.workload(tmp_path / "web", "web"), ca.workload(tmp_path / "client", "client")
    thief = with_chain(between.workload(tmp_path / "thief", "thief"), between, ca)
    start(server_side(port, backend.port, "STRICT"), ["--identity", str(identity), "--node", "web", "--workers", "1"])
    with connection(port, ca, client) as good, connection(port, ca, thief) as bad:
        for secure in (good, bad):
            open_stream(secure, "/")
        take_back(ca, identity, tmp_path / "between")
        wait_for(lambda: has_ended(bad), seconds=30, what="the thief's connection to end")
        assert not has_ended(good)


def test_an_endpoint_is_let_go(start, ca, tmp_path):
    """By `caCrl` of a DestinationRule: the connection that waits in the pool is closed, and no other is made."""
    served, lists = ca.issue(tmp_path / "served", ["DNS:api.local"]), tmp_path / "list.pem"
    ca.revoke(lists)
    with https_server(served / "tls.crt", served / "tls.key") as port:
        text = client_side([port], label="none", rule=simple(f"{ca.certificate}, caCrl: {lists}"))
        skein = start(text, ["--workers", "1"])
        assert skein.get("/", host="api.local")[0] == 200
        ca.revoke(tmp_path / "new.pem", served)
        (tmp_path / "new.pem").rename(lists)
        wait_for(lambda: skein.samples("skein_proxy_revoked_connections_ended_total") == 1, seconds=30, what="the end")
        assert skein.get("/", host="api.local")[0] == 503
        wait_for(lambda: "certificate revoked" in skein.log(), what="the reason")


def test_own_ports_with_authorities_of_clients(start, ca, tmp_path):
    """`ca.crl` beside the file of --tls-client-ca, put there while clients are connected."""
    served, clients = ca.issue(tmp_path / "served", ["DNS:localhost"]), tmp_path / "clients"
    clients.mkdir()
    (clients / "ca.crt").write_bytes(ca.certificate.read_bytes())
    skein = start(mesh(9), [
        "--tls-certificate", str(served / "tls.crt"), "--tls-key", str(served / "tls.key"), "--tls-client-ca", str(clients / "ca.crt")])
    good, thief = client_of(ca, tmp_path / "good"), client_of(ca, tmp_path / "thief")
    with contextlib.ExitStack() as opened:
        kept, gone = (
            opened.enter_context(connection(skein.ports["admin"], ca, who, alpn=["http/1.1"])) for who in (good, thief))
        for secure in (kept, gone):
            open_stream(secure, "/logs?follow=true")
        take_back(ca, clients, thief)
        wait_for(lambda: has_ended(gone), seconds=30, what="the thief's connection to end")
        assert not has_ended(kept)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            open_stream(opened.enter_context(connection(skein.ports["admin"], ca, thief, alpn=["http/1.1"])), "/server_info")
        # Without the list everybody of the authority is taken again.
        (clients / "ca.crl").unlink()

        def is_taken():
            try:
                with connection(skein.ports["admin"], ca, thief, alpn=["http/1.1"]) as secure:
                    open_stream(secure, "/server_info")
                return True
            except (OSError, AssertionError):
                return False

        wait_for(is_taken, seconds=20, what="the end of the list")
