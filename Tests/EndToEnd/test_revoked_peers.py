"""A peer whose certificate is taken back is cut off from what it has open: a stolen key is worth nothing from then on."""

import contextlib
import socket
import ssl

import pytest

from conftest import Backend, free_port, mesh, wait_for
from mesh_ca import MeshCA
from test_mtls import ISTIO, connection, server_side
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
