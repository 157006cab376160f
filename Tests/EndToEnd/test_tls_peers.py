"""TLS with implementations of others: HAProxy on both sides, nghttp with a client's certificate, and clocks that are an hour off."""

import contextlib
import os
import re
import shutil
import socket
import subprocess

import pytest

from conftest import Backend, free_port, http_get, wait_for
from test_gateway import rule, service
from test_gateway_tls import ask, certificates, credentials, gateway, server, status, trusting  # noqa: F401
from test_mtls import client_side
from test_slow_authority import dated


@contextlib.contextmanager
def haproxy(directory, text):
    """HAProxy with what `text` says of frontends and backends, once it has read it."""
    path = directory / "haproxy.cfg"
    path.write_text(
        "global\n  maxconn 1000\n  nbthread 1\n"
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 10s\n  timeout server 10s\n  retries 0\n" + text)
    checked = subprocess.run(["haproxy", "-c", "-q", "-f", path], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    process = subprocess.Popen(["haproxy", "-db", "-f", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def listens(port):
    wait_for(lambda: socket.create_connection(("127.0.0.1", port), 1).close() is None, what=f"port {port}")


def joined(out, files):
    """Certificate and key in one file, as HAProxy wants them."""
    out.write_bytes((files / "tls.crt").read_bytes() + (files / "tls.key").read_bytes())
    out.chmod(0o600)
    return out


MUTUAL = server("https", '["web.example"]', "{mode: MUTUAL, credentialName: web}")


@pytest.mark.parametrize("protocols", ["http/1.1", "h2"])
def test_haproxy_is_a_client_of_a_gateway(start, certificates, credentials, tmp_path, protocols):  # noqa: F811
    backend = Backend()
    front = free_port()
    pem = joined(tmp_path / "right.pem", certificates.client("right"))
    routed = rule("w", '["web.example"]', "api.local"), service("api.local", backend.port)
    with gateway(start, credentials, MUTUAL, *routed) as (port, skein):
        common = f"ssl verify required ca-file {certificates.servers.certificate} sni str(web.example) alpn {protocols}"
        text = (
            f"frontend f\n  bind 127.0.0.1:{front}\n  use_backend none if {{ path /none }}\n  default_backend b\n"
            f"backend b\n  http-response set-header x-alpn %[ssl_bc_alpn]\n  server s 127.0.0.1:{port} {common} crt {pem}\n"
            f"backend none\n  server s 127.0.0.1:{port} {common}\n")
        with haproxy(tmp_path, text):
            listens(front)
            for _ in range(20):
                code, fields, body = http_get(front, "/", {"Host": "web.example"})
                assert (code, body, fields["x-alpn"]) == (200, b"ok", protocols)
            # Without a certificate it gets nothing, and the log says why.
            assert http_get(front, "/none", {"Host": "web.example"})[0] in (502, 503)
            wait_for(lambda: "did not return a certificate" in skein.log(), what="the reason")
            assert skein.samples("skein_proxy_tls_handshakes_total") >= 1
    backend.close()


@pytest.mark.parametrize("protocols", ["http/1.1", "h2,http/1.1"])
def test_haproxy_is_an_upstream_that_wants_certificates(start, certificates, tmp_path, protocols):  # noqa: F811
    port = free_port()
    pem = joined(tmp_path / "server.pem", certificates.server(tmp_path / "server", "api.local"))
    client = certificates.client("caller", subject="/CN=caller")
    files = f"clientCertificate: {client}/tls.crt, privateKey: {client}/tls.key, caCertificates: {certificates.servers.certificate}"
    policy = f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: api, namespace: default}}
spec: {{host: api.local, trafficPolicy: {{tls: {{mode: MUTUAL, sni: api.local, {files}}}}}}}
"""
    text = (
        f"frontend f\n  bind 127.0.0.1:{port} ssl crt {pem} ca-file {certificates.clients.certificate} verify required alpn {protocols}\n"
        '  http-request return status 200 content-type text/plain lf-string "%[ssl_c_s_dn(cn)] %[ssl_fc_sni] %[ssl_fc_alpn]"\n')
    with haproxy(tmp_path, text):
        listens(port)
        skein = start(client_side([port], label="disabled", rule=policy))
        expected = b"caller api.local " + protocols.split(",")[0].encode()
        for _ in range(20):
            assert skein.get("/", host="api.local")[::2] == (200, expected), skein.log()[-800:]
        assert skein.samples("skein_proxy_upstream_tls_handshakes_total") <= 2
        skein.stop()
        # Who shows none is refused by HAProxy: a failure with its alert, not an answer.
        none = policy.replace("mode: MUTUAL", "mode: SIMPLE").replace(
            f"clientCertificate: {client}/tls.crt, privateKey: {client}/tls.key, ", "")
        skein = start(client_side([port], label="disabled", rule=none))
        assert skein.get("/", host="api.local")[0] == 503


def test_nghttp_with_a_clients_certificate(start, certificates, credentials):  # noqa: F811
    """Many streams of HTTP/2 on a connection of mutual TLS. (h2load itself has no option for a client's certificate.)"""
    backend = Backend()
    right = certificates.client("right")
    routed = rule("w", '["web.example"]', "api.local"), service("api.local", backend.port)
    with gateway(start, credentials, MUTUAL, *routed) as (port, skein):
        def nghttp(*files):
            return subprocess.run(
                ["nghttp", "-ns", "-m", "500", *map(str, files), f"https://127.0.0.1:{port}/", "-H", ":authority: web.example",
                 "--no-verify-peer"], capture_output=True, text=True, timeout=60)

        told = nghttp(f"--cert={right}/tls.crt", f"--key={right}/tls.key")
        codes = re.findall(r"^ *\d+ +\S+ +\S+ +\S+ +(\d+) ", told.stdout, re.M)
        assert len(codes) == 500 and set(codes) == {"200"}, told.stdout[-500:] + told.stderr
        assert skein.samples("skein_proxy_tls_handshakes_total") == 1
        assert "200" not in re.findall(r" (\d{3}) ", nghttp().stdout)
        assert len(backend.requests) == 500
    backend.close()


@pytest.mark.parametrize("begins, ends, expected, reason", [
    (-2, 2, 200, ""), (0.9, 3, 0, "not yet valid"), (-3, -0.9, 0, "expired"),
])
def test_certificates_of_a_clock_an_hour_off(start, certificates, credentials, begins, ends, expected, reason):  # noqa: F811
    """Certificates that a clock ahead or behind has made: refused, and the log says which way."""
    name = f"clock{begins}".replace(".", "").replace("-", "m")
    client = certificates.client(name)
    dated(certificates.clients, client / "tls.crt", begins, ends)
    rules = rule("w", '["web.example"]', "", http="  - directResponse: {status: 200}")
    with gateway(start, credentials, MUTUAL, rules) as (port, skein):
        try:
            found = status(ask(port, "web.example", trusting(certificates, client)))
        except OSError:
            found = 0
        assert found == expected
        if reason:
            wait_for(lambda: reason in skein.log(), what="the reason")


@pytest.mark.parametrize("shift", ["-1h", "+1h", "-25h", "+40d"])
def test_a_client_with_another_clock(start, certificates, credentials, shift):  # noqa: F811
    """An hour either way: a client that goes by another time than ours is served as long as it finds our certificate good."""
    if not shutil.which("faketime"):
        pytest.fail("faketime is not installed (Debian's package of that name)")
    rules = rule("w", '["web.example"]', "", http="  - directResponse: {status: 200}")
    right = certificates.client("right")
    dated(certificates.servers, credentials / "web/tls.crt", -2, 48)
    dated(certificates.servers, certificates.servers.certificate, -2, 24 * 30)
    with gateway(start, credentials, MUTUAL, rules) as (port, skein):
        done = subprocess.run(
            ["faketime", "-f", shift, "openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "web.example",
             "-CAfile", certificates.servers.certificate, "-cert", right / "tls.crt", "-key", right / "tls.key", "-verify_return_error",
             "-quiet", "-ign_eof"],
            input="GET / HTTP/1.1\r\nHost: web.example\r\nConnection: close\r\n\r\n", capture_output=True, text=True, timeout=30,
            env={**os.environ, "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
        if shift in ("-1h", "+1h"):
            assert done.stdout.startswith("HTTP/1.1 200"), done.stderr
        else:
            assert not done.stdout and re.search("not yet valid|has expired", done.stderr), done.stderr
            wait_for(lambda: "TLS of 127.0.0.1" in skein.log(), what="a line of the client's refusal")
