"""Transparent capture for real: a network namespace, netfilter REDIRECT, and applications that know nothing of the proxy."""

import contextlib
import os
import pathlib
import socket
import ssl
import subprocess
import threading
import time

import pytest

from conftest import SKEIN, Backend, free_port, wait_for
from mesh_ca import MeshCA
from test_tcp import Echo

UID = 1337
OUTSIDE, INSIDE = "10.213.77.1", "10.213.77.2"


def sh(*command, check=True):
    return subprocess.run([str(c) for c in command], check=check, capture_output=True, text=True)


class Namespace:
    """A network namespace joined to ours by a veth pair."""

    made = 0

    def __init__(self):
        Namespace.made += 1
        self.name = f"skein{os.getpid() % 100000}n{Namespace.made}"
        self.link = link = f"sk{os.getpid() % 100000}v{Namespace.made}"
        sh("ip", "netns", "add", self.name)
        sh("ip", "link", "add", link, "type", "veth", "peer", "name", "eth9", "netns", self.name)
        sh("ip", "addr", "add", f"{OUTSIDE}/24", "dev", link)
        sh("ip", "link", "set", link, "up")
        for command in (["addr", "add", f"{INSIDE}/24", "dev", "eth9"], ["link", "set", "eth9", "up"], ["link", "set", "lo", "up"]):
            sh("ip", "-n", self.name, *command)

    def run(self, *command, **rest):
        return subprocess.run(["ip", "netns", "exec", self.name, *map(str, command)], capture_output=True, text=True, **rest)

    def start(self, *command, **rest):
        return subprocess.Popen(["ip", "netns", "exec", self.name, *map(str, command)], **rest)

    def remove(self):
        sh("ip", "link", "del", self.link, check=False)
        sh("ip", "netns", "del", self.name, check=False)


@pytest.fixture
def namespace():
    made = Namespace()
    yield made
    made.remove()


class OnOutside(Backend):
    """A backend that listens on the outer end of the pair."""

    def __init__(self):
        super().__init__()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((OUTSIDE, 0))
        listener.listen(100)
        self.outside = listener.getsockname()[1]

        def loop():
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self.quietly, args=(connection,), daemon=True).start()

        threading.Thread(target=loop, daemon=True).start()

    def quietly(self, connection):
        with contextlib.suppress(OSError), connection:
            self.serve(connection)


def forward_outside(port):
    """Makes a loopback server reachable at the outer address; returns its port there."""
    listener = socket.socket()
    listener.bind((OUTSIDE, 0))
    listener.listen(10)

    def pump(a, b):
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                b.sendall(data)
        with contextlib.suppress(OSError):
            b.shutdown(socket.SHUT_WR)

    def loop():
        while True:
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", port))
            threading.Thread(target=pump, args=(near, far), daemon=True).start()
            threading.Thread(target=pump, args=(far, near), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()
    return listener.getsockname()[1]


def config(http_port, mode="ALLOW_ANY"):
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: web, namespace: default}}
spec:
  hosts: [web.example]
  addresses: [{OUTSIDE}]
  ports: [{{number: {http_port}, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: {OUTSIDE}}}]
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh, namespace: istio-system}}
spec:
  meshConfig: {{accessLogFile: access.log, outboundTrafficPolicy: {{mode: {mode}}}}}
"""


@contextlib.contextmanager
def captured(namespace, tmp_path, text, tool):
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:3]:
        parent.chmod(0o755)
    (tmp_path / "mesh.yaml").write_text(text)
    program = tmp_path / "skein"
    program.write_bytes(pathlib.Path(SKEIN).read_bytes())
    program.chmod(0o755)
    with open(tmp_path / "log", "wb") as log:
        process = namespace.start(
            "setpriv", "--reuid", UID, "--regid", UID, "--clear-groups", program, "run", "-c", tmp_path / "mesh.yaml", "--data", tmp_path / "data",
            "--access-log-directory", tmp_path, "--workers", "1", stderr=log)
    try:
        wait_for(lambda: b"ready" in (tmp_path / "log").read_bytes(), seconds=60, what="readiness")
        # nft by the listener's user, iptables told.
        user = ["--uid", UID] if tool == "iptables" else []
        enabled = namespace.run(SKEIN, "capture", "enable", *user, "--tool", tool)
        assert enabled.returncode == 0, enabled.stderr
        yield
        disabled = namespace.run(SKEIN, "capture", "disable", "--tool", tool)
        assert disabled.returncode == 0, disabled.stderr
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("tool", ["iptables", "nft"])
def test_applications_are_captured(namespace, tmp_path, tool):
    backend, echo = OnOutside(), Echo(b">", greeting=b"hello\n")
    undeclared = forward_outside(echo.port)
    with captured(namespace, tmp_path, config(backend.outside), tool):
        answer = namespace.run("curl", "-s", "-m", "10", "-D", "-", "-H", "Host: web.example", f"http://{OUTSIDE}:{backend.outside}/seen")
        assert "200 OK" in answer.stdout and "x-envoy-upstream-service-time" in answer.stdout.lower(), (answer, (tmp_path / "log").read_text())
        # By address, as the application dialled it.
        assert "200 OK" in namespace.run("curl", "-s", "-m", "10", "-D", "-", f"http://{OUTSIDE}:{backend.outside}/address").stdout
        assert [r[0] for r in backend.requests] == [b"GET /seen HTTP/1.1", b"GET /address HTTP/1.1"]
        assert all(b"x-request-id" in r[3] for r in backend.requests)
        # A server nobody declared, which speaks first.
        spoken = namespace.run("bash", "-c", f"exec 3<>/dev/tcp/{OUTSIDE}/{undeclared}; head -1 <&3; echo hi >&3; head -1 <&3", timeout=20)
        assert spoken.stdout == "hello\n>hi\n", spoken
        log = wait_for(lambda: (tmp_path / "access.log").read_text() if (tmp_path / "access.log").read_text().count("\n") >= 3 else None, what="the log")
        assert f"outbound|{backend.outside}||web.example" in log and "PassthroughCluster" in log and f"{OUTSIDE}:{undeclared}" in log, log
    # Switched off, the application reaches the server by itself.
    count = len(backend.requests)
    assert "x-envoy" not in namespace.run("curl", "-s", "-m", "10", "-D", "-", f"http://{OUTSIDE}:{backend.outside}/direct").stdout.lower()
    assert len(backend.requests) == count + 1


def originating(http_port, authorities):
    """All hosts of a domain at the addresses that clients dial, by TLS."""
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: web, namespace: default}}
spec:
  hosts: ["*.example"]
  ports: [{{number: {http_port}, name: http, protocol: HTTP}}]
  resolution: NONE
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: web, namespace: default}}
spec: {{host: "*.example", trafficPolicy: {{tls: {{mode: SIMPLE, caCertificates: {authorities}, subjectAltNames: [web.example]}}}}}}
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh, namespace: istio-system}}
spec:
  meshConfig: {{accessLogFile: access.log}}
"""


@pytest.mark.parametrize("name", ["web.example", "other.example"])
def test_where_clients_dial_themselves_a_rule_for_tls_holds(namespace, tmp_path, name):
    """What a rule wants secured never leaves in plaintext, also where the address is the client's own choice."""
    authority = MeshCA(tmp_path / "ca")
    identity = authority.issue(tmp_path / "server", [f"DNS:{name}"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(identity / "tls.crt"), str(identity / "tls.key"))
    listener = socket.create_server((OUTSIDE, 0))
    beginnings = []

    def serve():
        while True:
            plain, _ = listener.accept()
            beginnings.append(plain.recv(1, socket.MSG_PEEK))
            with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secure:
                while secure.recv(65536):
                    secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    threading.Thread(target=serve, daemon=True).start()
    port = listener.getsockname()[1]
    (tmp_path / "ca" / "ca.crt").chmod(0o644)
    with captured(namespace, tmp_path, originating(port, tmp_path / "ca" / "ca.crt"), "iptables"):
        for _ in range(2):
            answer = namespace.run("curl", "-s", "-m", "10", "-i", "-H", "Host: web.example", f"http://{OUTSIDE}:{port}/")
            if name == "web.example":
                assert answer.stdout.endswith("ok"), (answer, (tmp_path / "log").read_text())
            else:
                assert " 503 " in answer.stdout and "TLS error" in answer.stdout, answer
        if name != "web.example":
            wait_for(lambda: "web.example is wanted" in (tmp_path / "log").read_text(), what="the reason in the log")
    assert beginnings and set(beginnings) == {b"\x16"}, "a handshake, each time"


def test_registry_only_lets_nobody_else_through(namespace, tmp_path):
    backend, echo = OnOutside(), Echo(b">", greeting=b"hello\n")
    undeclared = forward_outside(echo.port)
    with captured(namespace, tmp_path, config(backend.outside, "REGISTRY_ONLY"), "iptables"):
        assert "200 OK" in namespace.run("curl", "-s", "-m", "10", "-D", "-", f"http://{OUTSIDE}:{backend.outside}/x").stdout
        spoken = namespace.run("bash", "-c", f"exec 3<>/dev/tcp/{OUTSIDE}/{undeclared}; head -1 <&3", timeout=20)
        assert "hello" not in spoken.stdout and echo.connections == 0
