"""Endpoints that choose between HTTP/2 and HTTP/1.1 with each connection (ALPN): nginx, also when it changes its mind."""

import concurrent.futures
import contextlib
import signal
import socket
import subprocess

import pytest

from conftest import SKEIN, Backend, access_log, free_port, wait_for
from mesh_ca import MeshCA
from test_mtls import client_side


class Nginx:
    """A real nginx with TLS before a backend; it tells the backend what it was spoken to in."""

    def __init__(self, directory, backend, identity):
        self.directory, self.backend, self.identity, self.port = directory, backend, identity, free_port()
        directory.mkdir()
        self.write(True)
        self.process = subprocess.Popen(["nginx", "-p", directory, "-c", directory / "nginx.conf"], stderr=open(directory / "stderr", "wb"))
        wait_for(self.listens, seconds=30, what="nginx")

    def listens(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True

    def write(self, http2):
        (self.directory / "nginx.conf").write_text(f"""
user root; daemon off; master_process on; worker_processes 1; pid {self.directory}/pid; error_log {self.directory}/error.log;
events {{}}
http {{
  access_log off; client_header_timeout 1s; client_body_temp_path {self.directory}/body; proxy_temp_path {self.directory}/proxy;
  fastcgi_temp_path {self.directory}/f; uwsgi_temp_path {self.directory}/u; scgi_temp_path {self.directory}/s;
  server {{
    listen 127.0.0.1:{self.port} ssl{" http2" if http2 else ""};
    ssl_certificate {self.identity}/tls.crt; ssl_certificate_key {self.identity}/tls.key;
    client_max_body_size 10m;
    location / {{
      proxy_pass http://127.0.0.1:{self.backend.port};
      proxy_http_version 1.1;
      proxy_set_header X-Protocol $server_protocol;
      proxy_set_header X-Upgrade $http_upgrade;
    }}
  }}
}}
""")

    def speaks(self, http2):
        """Changes its mind; connections of the old one end."""
        self.write(http2)
        before = self.workers()
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: not before & self.workers(), seconds=30, what="nginx's old worker to end")

    def workers(self):
        return set(subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout.split())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


@pytest.fixture
def nginx(tmp_path):
    backend = Backend()
    identity = MeshCA(tmp_path / "ca").issue(tmp_path / "server", ["DNS:api.local"])
    made = Nginx(tmp_path / "nginx", backend, identity)
    made.authorities = tmp_path / "ca" / "ca.crt"
    yield made
    made.stop()


def config(nginx, more="", tls=True):
    mode = f"{{mode: SIMPLE, caCertificates: {nginx.authorities}}}" if tls else "{mode: DISABLE}"
    return client_side([nginx.port], label="disabled", rule=f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: api, namespace: default}}
spec: {{host: api.local, trafficPolicy: {{tls: {mode}{more}}}}}
""")


def protocols(nginx):
    """What the backend was told since the last time."""
    seen = {request[3].get(b"x-protocol") for request in nginx.backend.requests}
    nginx.backend.requests.clear()
    return seen


def many(skein, count, **rest):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda number: skein.get(f"/{number}", host="api.local", **rest)[0], range(count)))


def test_http2_is_taken_where_it_is_offered(start, nginx):
    skein = start(config(nginx), ["--workers", "1"])
    assert many(skein, 60) == [200] * 60, skein.log()[-800:]
    assert protocols(nginx) == {b"HTTP/2.0"}
    # All of them on one connection, which nobody had to wait twice for.
    assert skein.samples("skein_proxy_upstream_connections_total") == 1
    body = b"x" * 600_000
    assert skein.get("/echo", host="api.local", method="POST", body=body)[0] == 200
    assert nginx.backend.requests[-1][3][b"content-length"] == b"600000"
    assert {line["flags"] for line in access_log(skein)} == {"-"}
    explained = subprocess.run([SKEIN, "explain", "-c", skein.config, "http://api.local/"], capture_output=True, text=True)
    assert "what each endpoint chooses (ALPN)" in explained.stdout, explained


def test_a_server_that_changes_its_mind_costs_no_request(start, nginx):
    skein = start(config(nginx), ["--workers", "1"])
    assert many(skein, 20) == [200] * 20
    assert protocols(nginx) == {b"HTTP/2.0"}
    for http2, name in ((False, b"HTTP/1.1"), (True, b"HTTP/2.0"), (False, b"HTTP/1.1")):
        nginx.speaks(http2)
        assert many(skein, 40) == [200] * 40, skein.log()[-800:]
        # The first may still find a connection of before.
        assert name in protocols(nginx)
        assert many(skein, 40) == [200] * 40
        assert protocols(nginx) == {name}


def test_upgrades_go_by_http1(start, nginx):
    skein = start(config(nginx), ["--workers", "1"])
    assert skein.get("/", host="api.local")[0] == 200
    assert protocols(nginx) == {b"HTTP/2.0"}
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "A" * 22 + "=="}
    assert skein.get("/", host="api.local", headers=upgrade)[0] == 200
    (request,) = nginx.backend.requests
    assert request[3][b"x-protocol"] == b"HTTP/1.1" and request[3][b"x-upgrade"] == b"websocket"


@pytest.mark.parametrize("more", [", connectionPool: {http: {h2UpgradePolicy: DO_NOT_UPGRADE}}", ""])
def test_who_forbids_http2_is_heard(start, nginx, more):
    nginx.speaks(bool(more))
    skein = start(config(nginx, more), ["--workers", "1"])
    assert many(skein, 30) == [200] * 30
    assert protocols(nginx) == {b"HTTP/1.1"}


def test_limits_hold_while_a_version_is_chosen(start, nginx):
    """One connection, ten requests in line: nobody is lost, in either version."""
    for http2 in (True, False):
        nginx.speaks(http2)
        limits = ", connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 100}}"
        skein = start(config(nginx, limits), ["--workers", "1"])
        assert many(skein, 48) == [200] * 48, skein.log()[-800:]
        assert skein.samples("skein_proxy_upstream_connections_total") == 1, http2
        skein.stop()


def test_whoever_waits_is_told_of_the_failure(start, nginx):
    text = config(nginx)
    nginx.stop()
    skein = start(text, ["--workers", "1"])
    assert many(skein, 20) == [503] * 20
    assert {line["flags"] for line in access_log(skein)} <= {"UF", "URX,UF", "UF,URX"}
    # A port that accepts and says nothing: the time for connecting covers the handshake.
    listener = socket.create_server(("127.0.0.1", nginx.port), backlog=64)
    slow = start(config(nginx, ", connectionPool: {tcp: {connectTimeout: 300ms}}"), ["--workers", "1"])
    assert set(many(slow, 10)) == {503}
    with contextlib.suppress(OSError):
        listener.close()
    nginx.process = subprocess.Popen(["true"])
