"""A process takes the place of one that runs with the same options: nothing that is sent meanwhile is refused, cut or lost."""

import http.client
import json
import os
import re
import socket
import subprocess
import threading
import time

import pytest

from conftest import Backend, Skein, access_log, http_get, mesh, wait_for
from test_clients import span

ROUNDS = int(os.environ.get("TAKEOVERS", "8"))


class Again(Skein):
    """One more process with the options of another."""

    def __init__(self, other):
        self.directory, self.config, self.ports = other.directory, other.config, other.ports
        self.stderr = open(self.directory / "stderr.log", "ab")
        self.command = getattr(other, "command", None) or other.process.args
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=self.stderr)

    def wait_serving(self, before):
        wait_for(lambda: f"process {before.process.pid} was taken over from" in self.log(), what="the takeover")
        return self


class Load:
    """Clients that keep their connections and take every answer but 200 for a failure."""

    def __init__(self, skein, fresh=False):
        self.skein, self.fresh, self.stop, self.count, self.failures = skein, fresh, threading.Event(), 0, []
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(4)]
        for thread in self.threads:
            thread.start()

    def run(self):
        connection = None
        while not self.stop.is_set():
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.skein.ports["outbound"], timeout=20)
                connection.request("POST", "/", body=b"x", headers={"Host": "web.local"})
                response = connection.getresponse()
                response.read()
                if response.status != 200:
                    self.failures.append(response.status)
                if self.fresh or response.will_close:
                    connection.close()
                    connection = None
            except Exception as error:  # noqa: BLE001 - any failure is the finding
                self.failures.append(repr(error))
                connection = None
            self.count += 1

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()


class Spans:
    """A sender of spans that takes every answer but 202 for a failure."""

    def __init__(self, skein):
        self.skein, self.stop, self.sent, self.failures = skein, threading.Event(), [], []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stop.is_set():
            trace = f"{len(self.sent) + 1:032x}"
            try:
                code = http_get(self.skein.ports["zipkin"], "/api/v2/spans", {"Content-Type": "application/json"}, method="POST", body=json.dumps([span(trace)]))[0]
                if code != 202:
                    self.failures.append(code)
            except Exception as error:  # noqa: BLE001
                self.failures.append(repr(error))
            self.sent.append(trace)
            time.sleep(0.005)

    def end(self):
        self.stop.set()
        self.thread.join()


def test_no_request_fails_and_no_span_is_refused(start):
    backend = Backend()
    first = start(mesh(backend.port), arguments=["--workers", "2"])
    kept, fresh, spans = Load(first), Load(first, fresh=True), Spans(first)
    old, ended = first, []
    try:
        for _ in range(ROUNDS):
            new = Again(old).wait_serving(old)
            assert old.process.wait(30) == 0, old.log()
            # The collector's ports are the new one's once the store is.
            wait_for(lambda: http_get(new.ports["zipkin"], "/health")[0] == 200, what="the store")
            # Spans that come meanwhile wait until the old one has given up the store; how many there is time for after that is for this test to say and not
            # for how fast a program starts.
            taken = len(spans.sent)
            wait_for(lambda: len(spans.sent) > taken + 10, what="spans of this process")
            ended.append(old)
            old = new
    finally:
        for load in (kept, fresh, spans):
            load.end()
    try:
        assert kept.failures == [] and fresh.failures == [] and spans.failures == []
        assert kept.count > 100 * ROUNDS and fresh.count > 20 * ROUNDS and len(spans.sent) > 10 * ROUNDS
        for trace in spans.sent:
            assert http_get(old.ports["zipkin"], f"/api/v2/trace/{trace}")[0] == 200
        # Every request of every process left its span: the store has one for each.
        total = kept.count + fresh.count
        health = lambda: old.samples("skein_store_spans")
        wait_for(lambda: health() >= total + len(spans.sent), what=f"{total + len(spans.sent)} spans")
    finally:
        old.stop()
    backend.close()


def test_http2_streams_of_a_client_go_on(start):
    backend = Backend()
    first = start(mesh(backend.port), arguments=["--workers", "1"])
    load = subprocess.Popen(
        ["h2load", "-D", "6", "-c", "4", "-m", "8", "-H", ":authority: web.local", f"http://127.0.0.1:{first.ports['outbound']}/"], stdout=subprocess.PIPE, text=True)
    wait_for(lambda: backend.requests, what="requests")
    second = Again(first).wait_serving(first)
    try:
        out = load.communicate(timeout=60)[0]
        assert first.process.wait(30) == 0
        # h2load does not connect again, and calls an error what it had not sent yet when it was told to go: of what reached the proxy, nothing is
        # cut.
        succeeded, timeouts = (int(re.search(rf"(\d+) {word}", out)[1]) for word in ("succeeded", "timeout"))
        entries = access_log(first, succeeded)
        assert succeeded > 100 and timeouts == 0 and len(entries) == succeeded, (len(entries), out)
        assert {(entry["code"], entry["flags"]) for entry in entries} == {(200, "-")}
    finally:
        second.stop()
    backend.close()


def test_unix_sockets_are_handed_over(start, sockets):
    backend = Backend()
    text = mesh(backend.port, f"""---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: s, namespace: default}}
spec: {{egress: [{{bind: "unix://{sockets}/out.sock", port: {{number: 0, name: http, protocol: HTTP}}, hosts: ["*/*"]}}]}}
""")
    first = start(text)

    def ask():
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(f"{sockets}/out.sock")
            s.sendall(b"GET / HTTP/1.1\r\nHost: web.local\r\nConnection: close\r\n\r\n")
            return s.recv(100).startswith(b"HTTP/1.1 200")

    assert ask()
    second = Again(first).wait_serving(first)
    assert ask() and first.process.wait(30) == 0
    # The first one's end removed nothing.
    assert ask()
    assert second.stop() == 0 and not (sockets / "out.sock").exists()
    backend.close()


def test_what_cannot_be_taken_over_goes_on(start, tmp_path):
    backend = Backend()
    first = start(mesh(backend.port), arguments=["--workers", "2"])
    other_data = [str(tmp_path / "other") if part == str(first.directory / "data") else part for part in first.process.args]
    refused = subprocess.run(other_data, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 70 and re.search(rf"held by process {first.process.pid} \(\S*skein run [^)]*\), which is not taken over from: it uses the data directory", refused.stderr)
    fewer = [part if part != "2" else "1" for part in first.process.args]
    refused = subprocess.run(fewer, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 70 and "--workers 2 or more" in refused.stderr
    # A configuration that is wrong ends the new one before it knocks.
    (first.config / "mesh.yaml").write_text(mesh(backend.port).replace("hosts:", "hots:"))
    assert subprocess.run(first.process.args, capture_output=True, text=True, timeout=60).returncode == 65
    assert first.get("/")[0] == 200 and first.process.poll() is None
    assert "takes over: it gets" not in first.log()
    backend.close()


@pytest.mark.parametrize("words", ["", "skein-takeover-0 1 none", "GET / HTTP/1.1"])
def test_a_stranger_at_the_door_is_harmless(start, words):
    first = start()
    ports = first.ports
    name = f"\0skein-{os.getuid()}-127.0.0.1-" + "-".join(str(ports[p]) for p in ("outbound", "inbound", "admin", "readiness", "metrics", "zipkin", "otlp", "otlp-grpc"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        # The door opens a moment after the ports.
        wait_for(lambda: s.connect(name) is None, what="the door")
        if words:
            s.sendall(words.encode())
            assert b"hands over otherwise" in s.recv(1000)
    assert http_get(ports["admin"], "/healthz/ready")[0] == 200
    assert first.process.poll() is None


def test_whoever_connects_at_the_start_is_answered(start):
    """Connections are refused until the port is listened on; none that is taken is reset, however early it comes."""
    backend = Backend()
    for _ in range(5):
        skein = start(mesh(backend.port), ready=False)
        deadline, connection = time.monotonic() + 60, None
        while connection is None:
            try:
                connection = socket.create_connection(("127.0.0.1", skein.ports["outbound"]), timeout=20)
            except ConnectionRefusedError:
                assert time.monotonic() < deadline and skein.process.poll() is None, skein.log()
        connection.sendall(b"GET / HTTP/1.1\r\nHost: web.local\r\nConnection: close\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 200"
        skein.stop()
