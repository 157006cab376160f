"""Interim responses (RFC 9110 15.2) and what a client expects before it sends its body (10.1.1): from end to end, in every pair of versions."""

import contextlib
import re
import socket
import threading

import pytest

from conftest import Backend, access_log, mesh, wait_for
from http2_peers import H2Backend, H2Client
from test_traffic import rule, service

PAIRS = [("h1", "h1"), ("h2", "h1"), ("h1", "h2"), ("h2", "h2")]
HOST = b"Host: web.local\r\n"


class Early(Backend):
    """An HTTP/1.1 server that answers at the head. `respond(head, body, connection)`, where `body()` reads the rest of the request."""

    def serve(self, connection):
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                piece = connection.recv(65536)
                if not piece:
                    return
                data += piece
            head, data = data.split(b"\r\n\r\n", 1)
            lower = {k.strip().lower(): v.strip() for k, v in (line.split(b":", 1) for line in head.split(b"\r\n")[1:])}
            with self.lock:
                self.requests.append((head, data, lower))

            def body():
                nonlocal data
                count = int(lower.get(b"content-length", b"0"))
                while len(data) < count:
                    piece = connection.recv(65536)
                    if not piece:
                        raise ConnectionError
                    data += piece
                taken, data = data[:count], data[count:]
                return taken

            if not self.respond(len(self.requests), body, connection.sendall):
                return


def h1_head(status, fields):
    return b"HTTP/1.1 %d X\r\n" % status + b"".join(b"%s: %s\r\n" % field for field in fields) + b"\r\n"


def serve(version, script):
    """An upstream that plays `script(number, body, say, finish)`: `say(status, fields)` is an interim response, `finish(status, body)` the final one."""
    if version == "h2":
        def respond(stream, c):
            def body():
                assert stream.ended.wait(15)
                return bytes(stream.body)
            script(len(backend.streams), body, lambda status, fields=(): c.head(stream, status, fields), lambda status, content: c.answer(stream, status, [(b"content-length", b"%d" % len(content))], content))
        backend = H2Backend(early=True, respond=respond)
        return backend

    def respond(number, body, send):
        script(number, body, lambda status, fields=(): send(h1_head(status, fields)),
               lambda status, content: send(h1_head(status, [(b"Content-Length", b"%d" % len(content))]) + content))
        # An answer that comes before the request is read to its end is the connection's last.
        return True
    return Early(respond)


def heads(backend):
    """What each request brought, by names in lower case."""
    return [dict(stream.headers) for stream in backend.streams] if isinstance(backend, H2Backend) else [lower for _, _, lower in backend.requests]


def protocol(version):
    return "HTTP2" if version == "h2" else "HTTP"


class Client:
    """One request, step by step, in either version."""

    def __init__(self, skein, version, fields=(), length=None):
        self.version = version
        port = skein.ports["outbound"]
        more = [(b"content-length", b"%d" % length)] if length is not None else []
        if version == "h2":
            self.client = H2Client(port)
            self.stream = self.client.open("/", "POST" if more else "GET", headers=[*fields, *more], end=not more)
            return
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=15)
        method = b"POST" if more else b"GET"
        self.socket.sendall(method + b" / HTTP/1.1\r\n" + HOST + b"".join(b"%s: %s\r\n" % field for field in [*fields, *more]) + b"\r\n")
        self.data = b""

    def next(self):
        """(status, fields) of the next response, interim or not."""
        if self.version == "h2":
            answer = self.client.answers[self.stream]
            while not answer.interim and not answer.headers:
                assert self.client.pump()
            fields = dict(answer.interim.pop(0) if answer.interim else answer.headers)
            return int(fields.pop(b":status")), fields
        while b"\r\n\r\n" not in self.data:
            piece = self.socket.recv(65536)
            assert piece, self.data
            self.data += piece
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        lines = head.split(b"\r\n")
        return int(lines[0].split()[1]), {k.lower(): v.strip() for k, v in (line.split(b":", 1) for line in lines[1:])}

    def send(self, body):
        if self.version == "h2":
            self.client.send(self.stream, body)
        else:
            self.socket.sendall(body)

    def body(self, count):
        if self.version == "h2":
            return bytes(self.client.wait(self.stream).body)
        while len(self.data) < count:
            piece = self.socket.recv(65536)
            assert piece
            self.data += piece
        return self.data[:count]

    def close(self):
        (self.client if self.version == "h2" else self.socket).close()


@contextlib.contextmanager
def asking(*arguments, **more):
    client = Client(*arguments, **more)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def place(start):
    """Skein before an upstream that plays a script."""
    made = []

    def begin(version, script, http=None, extra=""):
        backend = serve(version, script)
        made.append(backend)
        skein = start(mesh(backend.port, (rule(http) if http else "") + extra, protocol=protocol(version)), arguments=["--workers", "1"])
        skein.backend = backend
        return skein

    yield begin
    for backend in made:
        backend.close()


@pytest.mark.parametrize("front, behind", PAIRS)
def test_hints_reach_the_client_before_the_answer(place, front, behind):
    seen = threading.Event()

    def script(number, body, say, finish):
        say(102)
        # What is for one hop, or cannot be there, is no hint.
        foreign = [(b"content-length", b"7"), (b"connection", b"x-hop"), (b"x-hop", b"1")] if behind == "h1" else []
        say(103, [(b"link", b"</a>"), (b"x-secret", b"1"), *foreign])
        # Before the client has them, there is nothing more.
        assert seen.wait(15)
        say(103, [(b"link", b"</b>")])
        finish(200, b"ok")

    edits = "  - headers: {response: {remove: [x-secret], set: {x-more: a}}}\n    route: [{destination: {host: web.local}}]\n"
    skein = place(behind, script, edits)
    with asking(skein, front) as client:
        assert client.next() == (102, {})
        assert client.next() == (103, {b"link": b"</a>"})
        seen.set()
        assert client.next() == (103, {b"link": b"</b>"})
        status, fields = client.next()
        assert (status, fields[b"x-more"], client.body(2)) == (200, b"a", b"ok")
    entry = access_log(skein)[0]
    assert (entry["code"], entry["flags"]) == (200, "-") and skein.samples("istio_requests_total") == 1


@pytest.mark.parametrize("front, behind", PAIRS)
@pytest.mark.parametrize("status", [100, 417])
def test_an_expectation_is_the_upstreams_to_answer(place, front, behind, status):
    """The client has sent nothing of its body when it hears of 417, and sends it on the upstream's word alone."""
    bodies = []

    def script(number, body, say, finish):
        if status == 417:
            finish(417, b"no")
            return
        say(100)
        bodies.append(body())
        finish(200, b"ok")

    skein = place(behind, script)
    with asking(skein, front, [(b"expect", b"100-continue")], length=4) as client:
        got, _ = client.next()
        assert got == status and heads(skein.backend)[0][b"expect"] == b"100-continue"
        if status == 100:
            client.send(b"body")
            assert client.next()[0] == 200
        assert client.body(2) == (b"ok" if status == 100 else b"no")
    assert bodies == ([b"body"] if status == 100 else [])
    entry = access_log(skein)[0]
    assert (entry["code"], entry["flags"], entry["received"]) == (200 if status == 100 else 417, "-", 4 if status == 100 else 0)


@pytest.mark.parametrize("front, behind", PAIRS)
def test_an_upstream_that_knows_of_no_expectations(place, front, behind):
    """The client stops waiting by itself (RFC 9110 10.1.1), and what it sends then arrives; nothing was said in the upstream's place."""
    def script(number, body, say, finish):
        finish(200, body())

    skein = place(behind, script, "  - retries: {attempts: 2, retryOn: 5xx}\n    route: [{destination: {host: web.local}}]\n")
    with asking(skein, front, [(b"expect", b"100-continue")], length=4) as client:
        wait_for(lambda: heads(skein.backend), what="the request upstream")
        client.send(b"body")
        assert client.next()[0] == 200 and client.body(4) == b"body"


@pytest.mark.parametrize("behind", ["h1", "h2"])
def test_http10_clients_get_none(place, behind):
    def script(number, body, say, finish):
        say(103, [(b"link", b"</a>")])
        finish(200, body())

    skein = place(behind, script)
    answer = skein.raw(b"POST / HTTP/1.0\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\nbody")
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"200"] and answer.endswith(b"body")
    assert b"expect" not in heads(skein.backend)[0]


@pytest.mark.parametrize("front, behind", PAIRS)
def test_another_attempt_may_follow(place, front, behind):
    """An interim response does not begin the response. The 100 of another attempt answers us, who repeated the expectation: the client has its own."""
    bodies = []

    def script(number, body, say, finish):
        say(103, [(b"link", b"</%d>" % number)])
        say(100)
        bodies.append(body())
        finish(503 if number == 1 else 200, b"ok")

    skein = place(behind, script, "  - retries: {attempts: 2, retryOn: 5xx, backoff: 1ms}\n    route: [{destination: {host: web.local}}]\n")
    with asking(skein, front, [(b"expect", b"100-continue")], length=4) as client:
        assert client.next() == (103, {b"link": b"</1>"})
        assert client.next() == (100, {})
        client.send(b"body")
        assert client.next() == (103, {b"link": b"</2>"})
        assert client.next()[0] == 200
    assert bodies == [b"body", b"body"]


@pytest.mark.parametrize("front, behind", PAIRS)
@pytest.mark.parametrize("count, size, status", [(16, 10, 200), (17, 10, 502), (3, 30_000, 502)])
def test_their_number_is_bounded(place, front, behind, count, size, status):
    def script(number, body, say, finish):
        with contextlib.suppress(OSError):
            for _ in range(count):
                say(103, [(b"x-hint", b"h" * size)])
            finish(200, b"ok")

    skein = place(behind, script, "  - retries: {attempts: 0}\n    route: [{destination: {host: web.local}}]\n")
    with asking(skein, front) as client:
        statuses, fields = [], {}
        while not statuses or statuses[-1] == 103:
            got, fields = client.next()
            statuses.append(got)
        # Who leaves before the body is there breaks it off.
        client.body(int(fields[b"content-length"]))
    assert statuses[-1] == status and len(statuses) - 1 == (16 if size == 10 else 2)
    entry = access_log(skein)[0]
    assert (entry["code"], entry["flags"]) == ((200, "-") if status == 200 else (502, "UPE"))
    assert skein.samples("skein_proxy_upstream_protocol_errors_total") == (status == 502)


@pytest.mark.parametrize("behind", ["h1", "h2"])
def test_those_to_a_copy_are_nobodys(place, behind):
    copied = threading.Event()

    def copy(number, body, say, finish):
        say(103, [(b"x-from", b"copy")])
        say(100)
        body()
        finish(200, b"no")
        copied.set()

    def script(number, body, say, finish):
        assert copied.wait(15)
        finish(200, body())

    mirrored = serve(behind, copy)
    skein = place("h1", script, "  - mirror: {host: copy.local}\n    route: [{destination: {host: web.local}}]\n", service("copy.local", [mirrored.port], protocol(behind)))
    with asking(skein, "h1", [(b"expect", b"100-continue")], length=4) as client:
        client.send(b"body")
        assert client.next()[0] == 200 and client.body(4) == b"body"
    mirrored.close()
