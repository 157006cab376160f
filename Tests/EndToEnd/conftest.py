"""Starts real Skein processes and real backends for the end-to-end suite. SKEIN names the program under test."""

import contextlib
import fcntl
import http.client
import itertools
import json
import os
import pathlib
import random
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Whole, so that a test may run it from another directory.
SKEIN = os.path.abspath(os.environ.get("SKEIN", str(ROOT / ".build/release/skein")))


# Each of the processes that run tests side by side has ports of its own; none has the standard ones.
WORKER, WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
SHARE = (32000 - 16800) // WORKERS
PORTS = itertools.cycle(port for port in range(16800 + WORKER * SHARE, 16800 + (WORKER + 1) * SHARE) if port != 29411)
for _ in range(random.randrange(SHARE)):
    next(PORTS)

# Files whose tests use the ports that users know, or the machine's packages and users: never two at once.
OF_THE_MACHINE = ("test_demo.py", "test_first_minutes.py", "test_package.py")


@pytest.fixture(scope="module", autouse=True)
def machine(request, tmp_path_factory):
    """Held by one of these files at a time, whichever process runs it."""
    if request.path.name not in OF_THE_MACHINE:
        yield
        return
    # Of several processes each has a directory of its own in the run's.
    run = tmp_path_factory.getbasetemp().parent if WORKERS > 1 else tmp_path_factory.getbasetemp()
    with open(run / "machine.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def free_port(address="127.0.0.1"):
    """Below the range that the kernel takes ports of outgoing connections from: one of those may not have it by the time it is listened on. No port is given
    twice before all have been: one that was given may not be listened on yet."""
    while True:
        port = next(PORTS)
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind((address, port))
            return port


def wait_for(condition, seconds=15, what="condition"):
    """Polls until `condition` is true; fails the test with `what` otherwise."""
    deadline = time.monotonic() + seconds
    last = None
    while time.monotonic() < deadline:
        try:
            last = condition()
            if last:
                return last
        except (OSError, http.client.HTTPException) as error:
            last = error
        time.sleep(0.02)
    pytest.fail(f"{what} did not come true within {seconds} s (last: {last!r})")


def http_get(port, path, headers=None, address="127.0.0.1", method="GET", body=None):
    connection = http.client.HTTPConnection(address, port, timeout=20)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        return response.status, dict((k.lower(), v) for k, v in response.getheaders()), response.read()
    finally:
        connection.close()


class Backend:
    """An upstream that records what reaches it, byte for byte, and answers what the test wants."""

    def __init__(self, respond=None, port=0, path=None):
        self.requests = []
        self.connections = 0
        self.open = set()
        self.respond = respond or (lambda head, body: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.lock = threading.Lock()
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                with outer.lock:
                    outer.connections += 1
                    outer.open.add(self.request)
                try:
                    outer.serve(self.request)
                except (ConnectionError, TimeoutError, OSError):
                    pass
                finally:
                    with outer.lock:
                        outer.open.discard(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 1024

        class UnixServer(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            request_queue_size = 1024

        if path:
            # A Unix socket; `@name` is an abstract one.
            self.server = UnixServer("\0" + path[1:] if path.startswith("@") else path, Handler)
        else:
            self.server = Server(("127.0.0.1", port), Handler)
            self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, connection):
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                piece = connection.recv(65536)
                if not piece:
                    return
                data += piece
            head, data = data.split(b"\r\n\r\n", 1)
            lines = head.split(b"\r\n")
            fields = [tuple(x.strip() for x in line.split(b":", 1)) for line in lines[1:]]
            lower = {k.lower(): v for k, v in fields}
            body = b""
            if lower.get(b"transfer-encoding") == b"chunked":
                while True:
                    while b"\r\n" not in data:
                        piece = connection.recv(65536)
                        if not piece:
                            return
                        data += piece
                    size, data = data.split(b"\r\n", 1)
                    count = int(size, 16)
                    while len(data) < count + 2:
                        piece = connection.recv(65536)
                        if not piece:
                            return
                        data += piece
                    if count == 0:
                        trailers = data
                        while not (trailers.startswith(b"\r\n") or b"\r\n\r\n" in trailers):
                            trailers += connection.recv(65536)
                        if trailers.startswith(b"\r\n"):
                            data = trailers[2:]
                            lower[b":trailers"] = b""
                        else:
                            block, data = trailers.split(b"\r\n\r\n", 1)
                            lower[b":trailers"] = block
                        break
                    body += data[:count]
                    data = data[count + 2 :]
            else:
                count = int(lower.get(b"content-length", b"0"))
                while len(data) < count:
                    piece = connection.recv(65536)
                    if not piece:
                        return
                    data += piece
                body, data = data[:count], data[count:]
            with self.lock:
                self.requests.append((lines[0], fields, body, lower))
            answer = self.respond(lines[0], body)
            if callable(answer):
                answer(connection)
                return
            if answer is None:
                return
            connection.sendall(answer)

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def crash(self):
        """As a process that ends: nobody listens, and what was connected is closed."""
        self.server.socket.close()
        with self.lock:
            for connection in self.open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.close()


class Skein:
    def __init__(self, directory, config=None, arguments=(), environment=None, paths=None):
        self.directory = pathlib.Path(directory)
        self.config = self.directory / "config"
        self.config.mkdir(exist_ok=True)
        if config is not None:
            (self.config / "mesh.yaml").write_text(config)
        self.ports = {name: free_port() for name in ("outbound", "inbound", "admin", "readiness", "metrics", "zipkin", "otlp", "otlp-grpc")}
        command = [SKEIN, "run", "--data", str(self.directory / "data"), "--access-log-directory", str(self.directory)]
        if paths:
            command += ["-c", *map(str, paths)]
        elif config is not None:
            command += ["-c", str(self.config)]
        for name, port in self.ports.items():
            command += [f"--{name}-port", str(port)]
        command += list(arguments)
        self.stderr = open(self.directory / "stderr.log", "ab")
        self.process = subprocess.Popen(
            command, stdout=open(self.directory / "stdout.log", "ab"), stderr=self.stderr, env={**os.environ, **(environment or {})}
        )

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                pytest.fail("skein ended: " + self.log())
            return http_get(self.ports["readiness"], "/healthz/ready")[0] == 200

        wait_for(ready, what="readiness")
        return self

    def log(self):
        return (self.directory / "stderr.log").read_text(errors="replace")

    def get(self, path, host="web.local", headers=None, method="GET", body=None):
        return http_get(self.ports["outbound"], path, {"Host": host, **(headers or {})}, method=method, body=body)

    def raw(self, data, timeout=10, shutdown=False):
        """Sends bytes to the outbound listener and returns everything until the peer closes (or the timeout)."""
        with socket.create_connection(("127.0.0.1", self.ports["outbound"]), timeout=timeout) as s:
            s.sendall(data)
            if shutdown:
                s.shutdown(socket.SHUT_WR)
            out = b""
            with contextlib.suppress(socket.timeout, ConnectionResetError):
                while True:
                    piece = s.recv(65536)
                    if not piece:
                        break
                    out += piece
            return out

    def metrics(self, accept=None):
        return http_get(self.ports["metrics"], "/metrics", {"Accept": accept} if accept else {})

    def samples(self, name, **labels):
        """Sum of the samples of a family with these labels."""
        total = 0.0
        for line in self.metrics()[2].decode().splitlines():
            if line.startswith("#") or not line:
                continue
            series, value = line.rsplit(" ", 1)
            family = series.split("{", 1)[0]
            if family == name and all(f'{k}="{v}"' in series for k, v in labels.items()):
                total += float(value)
        return total

    def stop(self, sig=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(sig)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


def mesh(backend_port, extra="", protocol="HTTP"):
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: web, namespace: default}}
spec:
  hosts: [web.local]
  ports: [{{number: 80, name: http, protocol: {protocol}}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{http: {backend_port}}}}}]
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {{name: default, namespace: istio-system}}
spec:
  accessLogging:
  - providers: [{{name: file}}]
  tracing:
  - randomSamplingPercentage: 100
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh, namespace: istio-system}}
spec:
  meshConfig:
    extensionProviders:
    - name: file
      envoyFileAccessLog:
        path: access.log
        logFormat:
          labels:
            code: "%RESPONSE_CODE%"
            flags: "%RESPONSE_FLAGS%"
            details: "%RESPONSE_CODE_DETAILS%"
            method: "%REQ(:METHOD)%"
            path: "%REQ(:PATH)%"
            authority: "%REQ(:AUTHORITY)%"
            user_agent: "%REQ(USER-AGENT)%"
            request_id: "%REQ(X-REQUEST-ID)%"
            custom: "%REQ(X-CUSTOM)%"
            answer: "%RESP(X-ANSWER)%"
            sent: "%BYTES_SENT%"
            received: "%BYTES_RECEIVED%"
            duration: "%DURATION%"
            upstream: "%UPSTREAM_HOST%"
            cluster: "%UPSTREAM_CLUSTER_RAW%"
            route: "%ROUTE_NAME%"
            trace: "%TRACE_ID%"
            sni: "%REQUESTED_SERVER_NAME%"
{extra}
"""


@pytest.fixture
def sockets():
    """A directory whose name leaves room for a socket's in the 107 bytes there are."""
    with tempfile.TemporaryDirectory(prefix="sk") as directory:
        yield pathlib.Path(directory)


@pytest.fixture
def backend():
    server = Backend()
    yield server
    server.close()


@pytest.fixture
def start(tmp_path_factory):
    running = []

    def begin(config=None, arguments=(), environment=None, paths=None, directory=None, ready=True):
        skein = Skein(directory or tmp_path_factory.mktemp("skein"), config, arguments, environment, paths)
        running.append(skein)
        return skein.wait_ready() if ready else skein

    yield begin
    for skein in running:
        skein.stop(signal.SIGKILL)


@pytest.fixture
def proxy(backend, start):
    skein = start(mesh(backend.port))
    skein.backend = backend
    return skein


def access_log(skein, count=1):
    path = skein.directory / "access.log"

    def read():
        text = path.read_text() if path.exists() else ""
        # A line that is just being written may be seen in part.
        lines = text[: text.rfind("\n") + 1].splitlines()
        return lines if len(lines) >= count else None

    return [json.loads(line) for line in wait_for(read, what=f"{count} access-log lines")]
