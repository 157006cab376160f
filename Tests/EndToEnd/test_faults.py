"""Everything that upstreams, clients and networks do wrong: each with the status, the flag and the counters that an operator sees. What only one protocol
has stands in test_http2.py and test_proxy_http1.py, descriptors and idle connections in test_operations.py, TCP in test_tcp.py."""

import collections
import contextlib
import os
import random
import socket
import threading
import time

import h2.errors
import pytest

from conftest import Backend, access_log, free_port, mesh, wait_for
from envoy_peer import BlackHole, ScriptedBackend, read_response, reset, scripted, together
from http2_peers import PREFACE, H2Backend, H2Client, encode, frame
from test_traffic import policy, rule, service

NO_RETRY = "  - retries: {attempts: 0}\n    timeout: 0.4s\n    route: [{destination: {host: web.local}}]\n"
HOST = b"Host: web.local\r\n"


def requests(skein, **labels):
    return skein.samples("istio_requests_total", **labels)


def counter(skein, name):
    return skein.samples("skein_proxy_" + name)


# --- What one response can do wrong ---------------------------------------------------------------------------------------

BEFORE, AFTER = "upstream_reset_before_response_started{%s}", "upstream_reset_after_response_started{%s}"
# (what the upstream does, status, flags, details, how the client sees it end)
FAULTS = [
    ("reset", 503, "UC", BEFORE % "connection_termination", "whole"),
    ("fin", 503, "UC", BEFORE % "connection_termination", "whole"),
    ("cut-head", 503, "UC", BEFORE % "connection_termination", "whole"),
    ("garbage", 502, "UPE", BEFORE % "protocol_error", "whole"),
    ("two-lengths", 502, "UPE", BEFORE % "protocol_error", "whole"),
    ("hang", 504, "UT", "upstream_response_timeout", "whole"),
    ("short", 200, "UC", AFTER % "connection_termination", "cut"),
    ("cut-chunk", 200, "UC", AFTER % "connection_termination", "cut"),
    ("cut-between", 200, "UC", AFTER % "connection_termination", "cut"),
    ("reset-after-head", 200, "UC", AFTER % "connection_termination", "cut"),
    ("bad-chunk", 200, "UPE", AFTER % "protocol_error", "cut"),
    ("hang-in-body", 200, "UT", "upstream_response_timeout", "cut"),
    ("slow-head", 504, "UT", "upstream_response_timeout", "whole"),
    ("slow-first-byte", 200, "-", "via_upstream", "whole"),
]


def drip(connection, data, pause):
    for byte in data:
        connection.sendall(bytes([byte]))
        threading.Event().wait(pause)


def misbehave(step):
    if step == "bad-chunk":
        return lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n")
    if step == "hang-in-body":
        def answer(c):
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npartial")
            scripted("hang")(c)
        return answer
    if step == "slow-head":
        # Every byte arrives in time; the head does not.
        return lambda c: drip(c, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0.05)
    if step == "slow-first-byte":
        def answer(c):
            threading.Event().wait(0.2)
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return answer
    return scripted(step)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    from conftest import Skein

    backend = ScriptedBackend()
    backend.respond = lambda line, body: misbehave(line.split()[1][1:].decode())
    skein = Skein(
        tmp_path_factory.mktemp("faulty"), mesh(backend.port, rule(NO_RETRY) + policy("    connectionPool: {http: {maxRequestsPerConnection: 1}}")),
        arguments=["--workers", "1"]).wait_ready()
    skein.backend = backend
    skein.seen = 0
    yield skein
    skein.stop()
    backend.close()


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("step, status, flags, details, end", FAULTS, ids=[f[0] for f in FAULTS])
def test_a_faulty_response(faulty, version, step, status, flags, details, end):
    labels = dict(response_code=str(status), response_flags=flags)
    before = requests(faulty, **labels), counter(faulty, "upstream_protocol_errors_total"), len(faulty.backend.requests)
    began = time.monotonic()
    if version == "HTTP/2":
        with H2Client(faulty.ports["outbound"]) as client:
            answer = client.request("/" + step)
        seen = answer.status, "whole" if answer.done else "cut"
        # A truncated answer ends with a reset of its stream, and the connection lives on.
        assert (answer.reset is not None) == (end == "cut") and not client.closed
    else:
        with socket.create_connection(("127.0.0.1", faulty.ports["outbound"]), timeout=10) as s:
            s.sendall(f"GET /{step} {version}\r\n".encode() + HOST + b"\r\n")
            outcome = read_response(s, "GET")
        seen = outcome["status"], outcome["end"]
    assert seen == (status, end)
    if step == "slow-first-byte":
        assert time.monotonic() - began >= 0.2
    elif "hang" in step or step == "slow-head":
        assert 0.4 <= time.monotonic() - began < 3
    faulty.seen += 1
    entry = access_log(faulty, faulty.seen)[-1]
    assert (entry["code"], entry["flags"], entry["details"]) == (status, flags, details)
    assert requests(faulty, **labels) == before[0] + 1
    assert counter(faulty, "upstream_protocol_errors_total") == before[1] + (flags == "UPE")
    assert len(faulty.backend.requests) == before[2] + 1


# --- What keeps a connection from coming about ----------------------------------------------------------------------------


@pytest.fixture
def hole():
    made = BlackHole()
    yield made
    made.close()



@pytest.mark.parametrize("protocol", ["HTTP", "HTTP2"])
def test_a_connect_black_hole(start, hole, protocol):
    config = mesh(hole.port, rule("  - retries: {attempts: 0}\n    route: [{destination: {host: web.local}}]\n") + policy("    connectionPool: {tcp: {connectTimeout: 300ms}}"), protocol=protocol)
    skein = start(config, arguments=["--workers", "1"])
    began = time.monotonic()
    code, _, body = skein.get("/")
    assert code == 503 and b"connection timeout" in body and 0.3 <= time.monotonic() - began < 3
    entry = access_log(skein)[0]
    assert (entry["flags"], entry["details"]) == ("UF", "upstream_reset_before_response_started{connection_timeout}")
    assert requests(skein, response_code="503", response_flags="UF") == 1 and counter(skein, "upstream_connect_failures_total") == 1
    assert counter(skein, "upstream_connections_active") == 0


def test_a_black_hole_beside_a_good_endpoint(start, hole):
    """The default policy takes the request elsewhere, whatever its method: nothing of it was sent."""
    backend = Backend()
    skein = start(
        mesh(backend.port, service("two.local", [hole.port, backend.port]) + policy("    connectionPool: {tcp: {connectTimeout: 200ms}}\n    loadBalancer: {simple: ROUND_ROBIN}", host="two.local")),
        arguments=["--workers", "1"])
    began = time.monotonic()
    answers = together(*[lambda: skein.get("/", host="two.local", method="POST", body=b"x") for _ in range(8)])
    assert [code for code, _, _ in answers] == [200] * 8 and time.monotonic() - began < 4
    assert counter(skein, "upstream_connect_failures_total") >= 1 and counter(skein, "retries_total") >= 1
    assert requests(skein, response_code="200", response_flags="-") == 8 and requests(skein) == 8


def test_nobody_listens(start):
    skein = start(mesh(free_port(), rule(NO_RETRY)), arguments=["--workers", "1"])
    assert skein.get("/")[0] == 503
    entry = access_log(skein)[0]
    assert (entry["flags"], entry["details"]) == ("UF", "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}")
    assert requests(skein, response_flags="UF") == 1 and counter(skein, "upstream_connect_failures_total") == 1


# --- All endpoints down, and back ----------------------------------------------------------------------------------------


class Load:
    """Clients that ask again and again, and what they got in which second."""

    def __init__(self, skein, clients, host):
        self.answers = []
        self.lock = threading.Lock()
        self.over = threading.Event()

        def ask():
            while not self.over.is_set():
                code = skein.get("/", host=host)[0]
                with self.lock:
                    self.answers.append((time.monotonic(), code))

        self.threads = [threading.Thread(target=ask) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def since(self, moment):
        with self.lock:
            return [code for when, code in self.answers if when >= moment]

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


@pytest.mark.parametrize("how", ["crashed", "failing"])
def test_all_endpoints_down_and_back(start, how):
    """Retries add no more than their budget while nothing works, and nothing of the fall is left five seconds after it."""
    is_down = threading.Event()
    respond = lambda line, body: scripted("503" if is_down.is_set() else "200")
    backends = [Backend(respond) for _ in range(3)]
    ports = [b.port for b in backends]
    text = service("many.local", ports) + policy(
        "    connectionPool: {http: {}}\n    retryBudget: {percent: 20, minRetryConcurrency: 2}\n"
        "    outlierDetection: {consecutiveErrors: 5, interval: 200ms, baseEjectionTime: 500ms, maxEjectionPercent: 100}", host="many.local"
    ) + rule("  - retries: {attempts: 3, retryOn: '5xx', backoff: 5ms}\n    route: [{destination: {host: many.local}}]\n", host="many.local", name="many")
    skein = start(mesh(ports[0], text), arguments=["--workers", "2"])
    load = Load(skein, 8, "many.local")
    try:
        wait_for(lambda: len(load.since(0)) > 100, what="load")
        assert set(load.since(0)) == {200}
        before = counter(skein, "retries_total"), counter(skein, "upstream_connections_total"), sum(len(b.requests) for b in backends)
        fell = time.monotonic()
        if how == "crashed":
            together(*[b.crash for b in backends])
        else:
            is_down.set()
        wait_for(lambda: load.since(fell).count(503) > 300, what="300 failures")
        asked = len(load.since(fell))
        retried = counter(skein, "retries_total") - before[0]
        # Two of the eight at most are being retried at any time; without the budget it would be three retries for each request.
        assert retried <= 0.6 * asked + 10, (retried, asked)
        reached = sum(len(b.requests) for b in backends) - before[2]
        assert reached <= asked + retried + 8, (reached, asked, retried)
        if how == "crashed":
            backends = together(*[lambda p=p: Backend(respond, p) for p in ports])
        else:
            is_down.clear()
        back = time.monotonic()

        def recovered():
            recent = load.since(time.monotonic() - 0.5)
            return len(recent) >= 50 and recent.count(200) >= 0.99 * len(recent)

        wait_for(recovered, seconds=5, what="99 % good within five seconds of the recovery")
        assert time.monotonic() - back < 5.5
    finally:
        load.stop()
        for b in backends:
            b.close()
    counted = collections.Counter(load.since(0))
    for code in (200, 503):
        assert requests(skein, response_code=str(code)) == counted[code]
    flags = collections.Counter(flag for entry in access_log(skein, sum(counted.values())) for flag in entry["flags"].split(","))
    assert flags["UH"] > 0 and flags["UO"] > 0, flags
    # The log tells how a request ended; an attempt that was followed by another is in the metric alone.
    assert (counter(skein, "upstream_connect_failures_total") > 0) == (how == "crashed"), flags


# --- Half-closed connections ----------------------------------------------------------------------------------------------


def test_an_upstream_that_half_closes_behind_its_answer(start):
    """What it said is delivered whole; the connection serves nobody else."""
    def answer(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        connection.shutdown(socket.SHUT_WR)
        scripted("hang")(connection)

    backend = Backend(lambda line, body: answer)
    skein = start(mesh(backend.port), arguments=["--workers", "1"])
    for _ in range(5):
        assert skein.get("/", method="POST", body=b"x")[2] == b"ok"
        # The end may come a moment behind the answer.
        wait_for(lambda: counter(skein, "upstream_connections_active") == 0, what="the half-closed connection gone")
    assert backend.connections == 5 and requests(skein, response_code="200", response_flags="-") == 5


def test_an_upstream_that_answers_and_half_closes_before_the_request_is_complete(start):
    class Early(Backend):
        def serve(self, connection):
            while b"\r\n\r\n" not in connection.recv(65536):
                pass
            connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
            connection.shutdown(socket.SHUT_WR)
            scripted("hang")(connection)

    backend = Early()
    skein = start(mesh(backend.port), arguments=["--workers", "1"])
    with socket.create_connection(("127.0.0.1", skein.ports["outbound"]), timeout=10) as s:
        s.sendall(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1000)
        outcome = read_response(s, "POST")
        assert (outcome["status"], outcome["body"], outcome["end"]) == (413, b"big", "whole")
        # The rest of the body has no taker: nothing that follows on this connection is a request.
        assert s.recv(100) == b""
    entry = access_log(skein)[0]
    assert (entry["code"], entry["flags"]) == (413, "-")
    assert requests(skein, response_code="413", response_flags="-") == 1


def test_a_client_that_half_closes_in_its_request(start):
    """An incomplete request is nobody's request: the upstream gets no end of it."""
    backend = Backend()
    skein = start(mesh(backend.port), arguments=["--workers", "1"])
    out = skein.raw(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\nabc", shutdown=True)
    assert out == b"" or out.startswith(b"HTTP/1.1 400 ")
    out = skein.raw(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", shutdown=True)
    assert out == b"" or out.startswith(b"HTTP/1.1 400 ")
    entries = access_log(skein, 2)
    assert [(e["code"], e["flags"], e["details"]) for e in entries] == [(0, "DC", "downstream_remote_disconnect")] * 2
    assert backend.requests == [] and requests(skein, response_code="0", response_flags="DC") == 2
    # Cut in the head it was none at all.
    assert skein.raw(b"GET / HT", shutdown=True) == b""
    assert requests(skein) == 2


def test_a_client_that_closes_behind_its_request_is_gone(start):
    """Nobody works for it any more, and nobody tries again: five retries of a slow call, and the answer, would be for nobody."""
    answers = ["503", "hang"]
    left = threading.Event()

    def respond(line, body):
        step = answers.pop(0)

        def hang(connection):
            scripted("hang")(connection)
            left.set()
        return hang if step == "hang" else scripted(step)

    backend = Backend(respond)
    retries = "  - retries: {attempts: 5, retryOn: '5xx,reset', backoff: 1ms}\n    route: [{destination: {host: web.local}}]\n"
    skein = start(mesh(backend.port, rule(retries)), arguments=["--workers", "1"])
    with socket.create_connection(("127.0.0.1", skein.ports["outbound"]), timeout=10) as s:
        s.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        wait_for(lambda: len(backend.requests) == 2, what="the second attempt")
        s.shutdown(socket.SHUT_WR)
        assert left.wait(5), "the attempt is taken back"
        assert s.recv(1) == b""
    entry = access_log(skein)[0]
    assert (entry["code"], entry["flags"], entry["details"]) == (0, "DC", "downstream_remote_disconnect")
    assert requests(skein, response_code="0", response_flags="DC") == 1 and requests(skein) == 1
    wait_for(lambda: counter(skein, "upstream_connections_active") == 0 and counter(skein, "requests_active") == 0, what="everything given back")
    assert len(backend.requests) == 2 and counter(skein, "retries_total") == 1


@pytest.mark.parametrize("where", ["in the answer", "in its body", "before a retry", "in a fault's delay", "with its request"])
def test_a_client_that_closes(start, where):
    def answer(connection):
        if where == "in the answer":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npartial")
        scripted("hang")(connection)

    backend = Backend(lambda line, body: b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n" if where == "before a retry" else answer)
    rules = {
        "before a retry": "  - retries: {attempts: 1, retryOn: 5xx, backoff: 300s}\n",
        "in a fault's delay": "  - fault: {delay: {fixedDelay: 300s, percentage: {value: 100}}}\n",
    }.get(where, "  - retries: {attempts: 0}\n") + "    route: [{destination: {host: web.local}}]\n"
    skein = start(mesh(backend.port, rule(rules)), arguments=["--workers", "1"])
    with socket.create_connection(("127.0.0.1", skein.ports["outbound"]), timeout=10) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if where == "in its body":
            s.sendall(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\npart")
        else:
            s.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        if where == "in the answer":
            assert s.recv(10)
        elif where == "before a retry":
            wait_for(lambda: counter(skein, "retries_total") == 1, what="the wait for the retry")
        elif where == "in its body":
            wait_for(lambda: counter(skein, "upstream_connections_active") == 1, what="the request upstream")
        elif where == "in a fault's delay":
            wait_for(lambda: counter(skein, "requests_active") == 1, what="the request")
        s.shutdown(socket.SHUT_WR)
        while s.recv(1000):
            pass
    entry = access_log(skein)[0]
    assert entry["code"] == (200 if where == "in the answer" else 0) and "DC" in entry["flags"].split(","), entry
    assert entry["details"] == "downstream_remote_disconnect"
    wait_for(lambda: counter(skein, "upstream_connections_active") == 0 and counter(skein, "requests_active") == 0, what="everything given back")
    assert len(backend.requests) == {"before a retry": 1, "in the answer": 1}.get(where, len(backend.requests)) and requests(skein) == 1


def test_requests_in_a_row_before_the_client_closes(start):
    """As Envoy: the one that waits for its upstream is given up, and those behind it are never begun. What needs no upstream is answered as it is read."""
    backend = Backend(lambda line, body: scripted("hang"))
    rules = "  - match: [{uri: {prefix: /direct}}]\n    directResponse: {status: 200, body: {string: told}}\n  - route: [{destination: {host: web.local}}]\n"
    skein = start(mesh(backend.port, rule(rules)), arguments=["--workers", "1"])
    each = [b"GET %s HTTP/1.1\r\n" % path + HOST + b"\r\n" for path in (b"/direct/1", b"/direct/2", b"/slow", b"/direct/3", b"/more")]
    got = skein.raw(b"".join(each), shutdown=True)
    assert got.count(b"told") == 2 and got.count(b"HTTP/1.1 ") == 2
    entries = [(e["path"], e["code"], e["flags"]) for e in access_log(skein, 3)]
    assert entries == [("/direct/1", 200, "-"), ("/direct/2", 200, "-"), ("/slow", 0, "DC")]
    assert requests(skein) == 3
    # One after the other, and each read to its end before the client goes: nothing is lost.
    assert skein.raw(each[0] + each[1], shutdown=True).count(b"told") == 2


def test_half_closed_clients_are_answered_where_the_operator_says_so(start):
    backend = Backend(lambda line, body: misbehave("slow-first-byte"))
    skein = start(mesh(backend.port), arguments=["--workers", "1", "--half-close-clients"])
    began = time.monotonic()
    assert skein.raw(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n", shutdown=True).endswith(b"\r\n\r\nok")
    # The proxy closes as soon as it has answered: the end of the stream came with the request and must not be forgotten.
    assert time.monotonic() - began < 5
    two = skein.raw((b"GET / HTTP/1.1\r\n" + HOST + b"\r\n") * 2, shutdown=True)
    assert two.count(b"\r\n\r\nok") == 2
    assert requests(skein, response_code="200", response_flags="-") == 3 == requests(skein)
    # Half a request is nobody's all the same.
    assert skein.raw(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\nabc", shutdown=True) == b""
    wait_for(lambda: requests(skein, response_code="0", response_flags="DC") == 1, what="the request that was not whole")


@pytest.mark.parametrize("when", ["waiting", "in the answer"])
def test_a_client_that_resets(start, when):
    """The upstream's connection is given up at once and does not wait for its answer."""
    left = threading.Event()

    def answer(connection):
        if when != "waiting":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npartial")
        scripted("hang")(connection)
        left.set()

    backend = Backend(lambda line, body: answer)
    skein = start(mesh(backend.port), arguments=["--workers", "1"])
    s = socket.create_connection(("127.0.0.1", skein.ports["outbound"]), timeout=10)
    s.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    if when == "waiting":
        wait_for(lambda: backend.requests, what="the request upstream")
    else:
        assert s.recv(10)
    reset(s)
    assert left.wait(5)
    entry = access_log(skein)[0]
    assert (entry["code"], entry["flags"], entry["details"]) == (0 if when == "waiting" else 200, "DC", "downstream_remote_disconnect")
    assert requests(skein, response_flags="DC") == 1
    wait_for(lambda: counter(skein, "upstream_connections_active") == 0 and counter(skein, "requests_active") == 0, what="everything given back")


# --- Chaos of pieces ------------------------------------------------------------------------------------------------------


class Wild:
    """An HTTP/1.1 server that answers by chance: whole, in pieces, cut, reset, half-closed, or not at all."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.server = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.server.getsockname()[1]
        self.open = set()
        threading.Thread(target=self.accept, daemon=True).start()

    def draw(self):
        with self.lock:
            return random.Random(self.random.getrandbits(64))

    def accept(self):
        while True:
            try:
                s, _ = self.server.accept()
            except OSError:
                return
            with self.lock:
                self.open.add(s)
            threading.Thread(target=self.serve, args=(s, self.draw()), daemon=True).start()

    def serve(self, s, draw):
        with contextlib.suppress(OSError):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.settimeout(5)
            data = b""
            while piece := s.recv(65536):
                data += piece
                if draw.random() < 0.03:
                    reset(s)
                    break
                # Whatever the body was: one answer for each head.
                while b"\r\n\r\n" in data:
                    data = data.split(b"\r\n\r\n", 1)[1]
                    if not self.answer(s, draw):
                        return
        with self.lock:
            self.open.discard(s)
        s.close()

    def answer(self, s, draw):
        body = bytes(draw.getrandbits(8) for _ in range(draw.choice([0, 1, 10, 3000])))
        answer = draw.choice([
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in pieces(body, draw)) + b"0\r\nX-T: 1\r\n\r\n",
            b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body])
        end = draw.choice(["whole"] * 6 + ["cut", "reset", "half", "nothing", "mutated", "more"])
        if end in ("cut", "reset", "half"):
            answer = answer[: draw.randrange(len(answer) + 1)]
        elif end == "mutated":
            answer = mutated(answer, draw)
        elif end == "more":
            answer += b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
        elif end == "nothing":
            answer = b""
        for piece in pieces(answer, draw):
            s.sendall(piece)
        if end == "reset":
            reset(s)
            return False
        if end == "half":
            s.shutdown(socket.SHUT_WR)
        return end in ("whole", "nothing", "more") and b"Connection: close" not in answer or end == "half"

    def close(self):
        self.server.close()
        with self.lock:
            for s in self.open:
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)


class Wild2(H2Backend):
    """The same for HTTP/2."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        super().__init__(self.chance)

    def chance(self, stream, connection):
        with self.lock:
            draw = random.Random(self.random.getrandbits(64))
        what = draw.choice(["answer"] * 6 + ["reset", "refuse", "head", "part", "drop", "away", "garbage", "nothing", "trailers"])
        codes = h2.errors.ErrorCodes
        if what == "answer":
            connection.answer(stream, body=b"x" * draw.choice([0, 1, 20000]))
        elif what == "trailers":
            connection.answer(stream, body=b"x", trailers=[(b"x-t", b"1")])
        elif what in ("reset", "refuse"):
            connection.reset(stream, codes.REFUSED_STREAM if what == "refuse" else draw.choice([codes.INTERNAL_ERROR, codes.CANCEL, codes.NO_ERROR]))
        elif what in ("head", "part"):
            connection.head(stream)
            if what == "part":
                connection.data(stream, b"part")
            connection.reset(stream, codes.INTERNAL_ERROR)
        elif what == "drop":
            connection.drop()
        elif what == "away":
            connection.go_away(stream.id)
            connection.answer(stream, body=b"last")
        elif what == "garbage":
            with connection.lock:
                connection.socket.sendall(bytes(draw.getrandbits(8) for _ in range(draw.randrange(1, 60))))


def pieces(data, draw):
    """The bytes in pieces of random length; an empty string has none."""
    if not data or draw.random() < 0.4:
        return [data] if data else []
    cuts = sorted(draw.sample(range(len(data) + 1), min(len(data), draw.randrange(1, 6))))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)]) if a < b]


def mutated(data, draw):
    changed = bytearray(data)
    for _ in range(draw.randrange(1, 4)):
        place = draw.randrange(len(changed))
        match draw.randrange(3):
            case 0: changed[place] = draw.getrandbits(8)
            case 1: changed[place:place] = bytes([draw.choice(b"\r\n \0:;,0")])
            case 2: del changed[place]
        if not changed:
            break
    return bytes(changed)


def request1(draw, host):
    """One or a few HTTP/1.1 requests, most of them well-formed."""
    out = b""
    for _ in range(draw.choice([1, 1, 1, 2, 5])):
        body = bytes(draw.getrandbits(8) for _ in range(draw.choice([0, 1, 500])))
        head = b"%s /%d HTTP/1.%d\r\nHost: %s\r\n" % (draw.choice([b"GET", b"POST", b"HEAD", b"PUT"]), draw.randrange(100), draw.random() < 0.95, host)
        framing = draw.randrange(3)
        if framing == 0:
            out += head + b"\r\n"
        elif framing == 1:
            out += head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        else:
            out += head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in pieces(body, draw)) + b"0\r\n\r\n"
    return out


def request2(draw, host):
    """A preface and a few streams in HTTP/2, as frames."""
    out = PREFACE + frame(4, 0, 0)
    for number in range(draw.choice([1, 2, 6])):
        stream = 2 * number + 1
        block = encode([(b":method", draw.choice([b"GET", b"POST"])), (b":scheme", b"http"), (b":authority", host), (b":path", b"/%d" % stream)])
        has_body = draw.random() < 0.4
        out += frame(1, 4 if has_body else 5, stream, block)
        if has_body:
            out += frame(0, draw.choice([0, 1]), stream, b"x" * draw.choice([0, 1, 1000]))
        if draw.random() < 0.15:
            out += frame(3, 0, stream, (8).to_bytes(4, "big"))
        if draw.random() < 0.1:
            out += draw.choice([frame(6, 0, 0, b"12345678"), frame(8, 0, 0, (100).to_bytes(4, "big")), frame(4, 1, 0), frame(7, 0, 0, bytes(8))])
    return out


def misuse(port, draw):
    """One client's connection. It reads what comes, and ends as chance has it."""
    host = draw.choice([b"web.local", b"wild2.local", b"nowhere.local"])
    data = draw.choice([request1, request1, request2])(draw, host)
    if draw.random() < 0.3:
        data = mutated(data, draw)
    end = draw.choice(["stay", "stay", "stay", "close", "reset", "half", "early close", "early reset"])
    sent = pieces(data, draw)
    if end.startswith("early"):
        sent = sent[: draw.randrange(len(sent) + 1)]
    s = socket.create_connection(("127.0.0.1", port), timeout=10)
    with contextlib.suppress(OSError), s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in sent:
            s.sendall(piece)
            if draw.random() < 0.3:
                # Gives the proxy a chance to see the pieces one by one; takes what is there.
                s.settimeout(0.003)
                with contextlib.suppress(TimeoutError):
                    s.recv(65536)
                s.settimeout(10)
        if end.endswith("reset"):
            reset(s)
            return
        if end == "half":
            s.shutdown(socket.SHUT_WR)
        if end in ("stay", "half"):
            # HTTP/2 and keep-alive never end by themselves: until nothing has come for longer than a request may take.
            s.settimeout(0.25)
            with contextlib.suppress(TimeoutError):
                while s.recv(65536):
                    pass


def descriptors(skein):
    """What the process has open, but for what the telemetry store opens and closes as it likes."""
    found = 0
    for name in os.listdir(f"/proc/{skein.process.pid}/fd"):
        with contextlib.suppress(OSError):
            found += os.readlink(f"/proc/{skein.process.pid}/fd/{name}").startswith("socket:")
    return found


@pytest.mark.parametrize("seed", [1, 20, 300])
def test_chaos_of_pieces(start, seed):
    """Whatever is sent in whatever pieces from either side: the proxy serves on, holds nothing back and has counted everything."""
    if os.environ.get("CHAOS_SEED"):
        seed = int(os.environ["CHAOS_SEED"])
    print("CHAOS_SEED", seed)
    wild, wild2, good = Wild(seed), Wild2(seed), Backend()
    limits = "  - timeout: 0.2s\n    retries: {attempts: 1, retryOn: '5xx,reset', perTryTimeout: 0.1s, backoff: 1ms}\n    route: [{destination: {host: %s}}]\n"
    skein = start(
        mesh(wild.port, service("wild2.local", [wild2.port], "HTTP2") + service("good.local", [good.port]) + rule(limits % "web.local")
             + rule(limits % "wild2.local", host="wild2.local", name="wild2")), arguments=["--workers", "2"])
    assert skein.get("/", host="good.local")[0] == 200
    skein.metrics()
    before = descriptors(skein)
    source = random.Random(seed)
    draws = [random.Random(source.getrandbits(64)) for _ in range(600)]
    lock = threading.Lock()

    def client():
        while True:
            with lock:
                if not draws:
                    return
                draw = draws.pop()
            misuse(skein.ports["outbound"], draw)

    together(*[client for _ in range(24)])
    assert skein.process.poll() is None, skein.log()
    # It serves, and serves right.
    for _ in range(20):
        assert skein.get("/", host="good.local")[0] == 200
    for gauge in ("downstream_connections_active", "requests_active"):
        wait_for(lambda: counter(skein, gauge) == 0, what=f"no {gauge}")
    wild.close()
    wild2.close()
    good.crash()
    wait_for(lambda: counter(skein, "upstream_connections_active") == 0, what="no upstream connections")
    wait_for(lambda: descriptors(skein) <= before, what=f"no more than the {before} sockets of the beginning")
    # Every request that began was counted once, and has its line.
    began = counter(skein, "requests_total")
    assert began > 300 and requests(skein) == began, "requests begun and requests counted"
    wait_for(lambda: sum(1 for _ in open(skein.directory / "access.log")) == began, what="a line for each request")
    assert requests(skein, response_code="200") > 50
