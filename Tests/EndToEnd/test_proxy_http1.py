"""What the proxy accepts, refuses, forwards and answers over HTTP/1.1, with raw sockets on both sides."""

import re
import socket
import threading
import time

import pytest

from conftest import Backend, access_log, mesh, wait_for
from http2_peers import rss_kib, settle

HOST = b"Host: web.local\r\n"


def statuses(data):
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


REFUSED = {
    "both lengths": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", 400),
    "two equal lengths": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", 400),
    "list of lengths": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 4, 4\r\n\r\nabcd", 400),
    "signed length": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +4\r\n\r\nabcd", 400),
    "negative length": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n", 400),
    "hex length": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0x4\r\n\r\nabcd", 400),
    "huge length": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
    "empty length": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: \r\n\r\n", 400),
    "obfuscated coding": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "coding with a tab": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "two codings": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked twice": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked then identity": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    "coding in 1.0": (b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "unknown coding": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "space before colon": (b"GET / HTTP/1.1\r\n" + HOST + b"X-A : b\r\n\r\n", 400),
    "length with space before colon": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length : 4\r\n\r\nabcd", 400),
    "folded line": (b"GET / HTTP/1.1\r\n" + HOST + b"X-A: b\r\n c\r\n\r\n", 400),
    "first line folded": (b"GET / HTTP/1.1\r\n X: y\r\n" + HOST + b"\r\n", 400),
    "bare line feed": (b"GET / HTTP/1.1\n" + HOST + b"\r\n", 400),
    "bare line feed in head": (b"GET / HTTP/1.1\r\nHost: web.local\nX: y\r\n\r\n", 400),
    "bare carriage return": (b"GET / HTTP/1.1\r\nHost: web.local\r\nX: a\rb\r\n\r\n", 400),
    "nul in value": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n", 400),
    "nul in name": (b"GET / HTTP/1.1\r\n" + HOST + b"X\0: b\r\n\r\n", 400),
    "nul in target": (b"GET /a\0b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "control in value": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x01b\r\n\r\n", 400),
    "no colon": (b"GET / HTTP/1.1\r\n" + HOST + b"garbage\r\n\r\n", 400),
    "empty name": (b"GET / HTTP/1.1\r\n" + HOST + b": x\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\nX: y\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\n" + HOST + b"Host: other\r\n\r\n", 400),
    "host with a path": (b"GET / HTTP/1.1\r\nHost: web.local/evil\r\n\r\n", 400),
    "host with user": (b"GET / HTTP/1.1\r\nHost: a@web.local\r\n\r\n", 400),
    "host list": (b"GET / HTTP/1.1\r\nHost: web.local, evil\r\n\r\n", 400),
    "two spaces": (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "space in target": (b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "no version": (b"GET /\r\n" + HOST + b"\r\n", 400),
    "version 2.0": (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    "version 1.2": (b"GET / HTTP/1.2\r\n" + HOST + b"\r\n", 505),
    "lower-case version": (b"GET / http/1.1\r\n" + HOST + b"\r\n", 400),
    "bad method": (b"GE(T / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "fragment": (b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "relative target": (b"GET a HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "encoded nul": (b"GET /a%00b HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", 400),
    "random bytes": (bytes(range(128, 256)) + b"\r\n\r\n", 400),
    "tls hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\n" * 4, 400),
    "101 fields": (b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: y\r\n" % i for i in range(100)) + b"\r\n", 431),
    "70 KiB of head": (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 70000 + b"\r\n\r\n", 431),
    "20 KiB of target": (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    "70 KiB of target": (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    from conftest import Skein

    backend = Backend()
    skein = Skein(tmp_path_factory.mktemp("shared"), mesh(backend.port)).wait_ready()
    skein.backend = backend
    yield skein
    skein.stop()
    backend.close()


@pytest.mark.parametrize("name", REFUSED)
def test_refused_closed_and_never_forwarded(shared, name):
    data, status = REFUSED[name]
    before = len(shared.backend.requests)
    answer = shared.raw(data)
    assert statuses(answer) == [status], answer
    assert b"connection: close" in answer.lower()
    assert len(shared.backend.requests) == before


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_well_when_it_comes_in_pieces(shared, name):
    # What is kept between reads takes another way through the proxy than what comes at once.
    data, status = REFUSED[name]
    before = len(shared.backend.requests)
    with socket.create_connection(("127.0.0.1", shared.ports["outbound"]), timeout=10) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer = b""
        third = max(1, len(data) // 3)
        try:
            for start in range(0, len(data), third):
                s.sendall(data[start : start + third])
                threading.Event().wait(0.01)
            while piece := s.recv(65536):
                answer += piece
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert statuses(answer)[:1] in ([status], []), answer
    assert len(shared.backend.requests) == before
    assert shared.process.poll() is None
    assert statuses(shared.raw(b"GET /alive HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")) == [200]


BAD_CHUNKS = [b"5 \r\nabcde\r\n0\r\n\r\n", b"0x5\r\nabcde\r\n0\r\n\r\n", b"-5\r\nabcde\r\n0\r\n\r\n", b"\r\nabcde\r\n0\r\n\r\n", b"5\nabcde\r\n0\r\n\r\n",
              b"5\r\nabcdeX\r\n0\r\n\r\n", b"5\r\nabcde\n0\r\n\r\n", b"fffffffffffffffff\r\n", b"g\r\n", b"5;ext\x00\r\nabcde\r\n0\r\n\r\n",
              b"0\r\nX : y\r\n\r\n", b"0\r\nX: y\n\r\n\r\n", b"5;" + b"a" * 5000 + b"\r\nabcde\r\n0\r\n\r\n"]


@pytest.mark.parametrize("body", BAD_CHUNKS)
def test_bad_chunks_are_refused_and_the_upstream_never_sees_a_whole_request(shared, body):
    before = len(shared.backend.requests)
    answer = shared.raw(b"POST /chunks HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    assert statuses(answer) == [400], answer
    assert len(shared.backend.requests) == before


def test_smuggled_request_behind_a_refused_one_is_dropped(shared):
    before = len(shared.backend.requests)
    shared.raw(REFUSED["both lengths"][0] + b"GET /second HTTP/1.1\r\n" + HOST + b"\r\n")
    assert len(shared.backend.requests) == before


def test_one_byte_at_a_time(shared):
    with socket.create_connection(("127.0.0.1", shared.ports["outbound"]), timeout=10) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"POST /slow HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n":
            s.sendall(bytes([byte]))
        answer = b""
        while piece := s.recv(4096):
            answer += piece
    assert statuses(answer) == [200]
    line, _, body, lower = shared.backend.requests[-1]
    assert line == b"POST /slow HTTP/1.1" and body == b"abc" and lower[b":trailers"] == b"T: v"


def test_upstream_gets_a_fresh_head_with_one_framing(shared):
    shared.raw(
        b"POST http://web.local/a/./b/../c%41?x=1 HTTP/1.1\r\nHost: ignored.example\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\n"
        b"Proxy-Connection: x\r\nTE: gzip, trailers\r\nUpgrade: h2c\r\nX-Kept: yes\r\nContent-Length: 3\r\n\r\nabc"
    )
    line, fields, body, lower = shared.backend.requests[-1]
    names = [k.lower() for k, _ in fields]
    assert line == b"POST /a/cA?x=1 HTTP/1.1" and body == b"abc"
    assert lower[b"host"] == b"web.local" and names.count(b"host") == 1
    assert lower[b"x-kept"] == b"yes" and names.count(b"content-length") == 1
    for gone in (b"connection", b"x-secret", b"keep-alive", b"proxy-connection", b"upgrade", b"transfer-encoding"):
        assert gone not in names, gone
    assert lower[b"te"] == b"trailers"
    assert lower[b"x-forwarded-for"] == b"127.0.0.1" and lower[b"x-forwarded-proto"] == b"http"
    assert len(lower[b"x-request-id"]) == 36 and len(lower[b"x-b3-traceid"]) == 32


def test_pipelined_requests_are_answered_in_order(shared):
    data = b"".join(b"GET /p%d HTTP/1.1\r\n" % i + HOST + b"\r\n" for i in range(50)) + b"GET /last HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    before = len(shared.backend.requests)
    answer = shared.raw(data)
    assert statuses(answer) == [200] * 51
    paths = [r[0].split()[1] for r in shared.backend.requests[before:]]
    assert paths == [b"/p%d" % i for i in range(50)] + [b"/last"]


def test_thousands_of_pipelined_refusals_do_not_overflow_anything(shared):
    data = b"GET /x HTTP/1.1\r\nHost: nowhere\r\n\r\n" * 20000
    with socket.create_connection(("127.0.0.1", shared.ports["outbound"]), timeout=20) as s:
        sender = threading.Thread(target=lambda: s.sendall(data), daemon=True)
        sender.start()
        got = 0
        buffer = b""
        while got < 20000:
            piece = s.recv(1 << 20)
            assert piece
            buffer += piece
            got += buffer.count(b"HTTP/1.1 404")
            buffer = buffer[-12:]
    assert got == 20000


def test_head_204_304_and_length_of_head_kept(start):
    def respond(line, body):
        path = line.split()[1]
        if path == b"/204":
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        if path == b"/304":
            return b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n"
        return b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"

    backend = Backend(respond)
    skein = start(mesh(backend.port))
    answer = skein.raw(
        b"HEAD /h HTTP/1.1\r\n" + HOST + b"\r\nGET /204 HTTP/1.1\r\n" + HOST + b"\r\nGET /304 HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    )
    assert statuses(answer) == [200, 204, 304]
    assert b"Content-Length: 1000" in answer
    backend.close()


@pytest.mark.parametrize(
    "response,body",
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nX-T: 1\r\n\r\n", b"abcdefg"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil close", b"until close"),
        (b"HTTP/1.0 200 OK\r\n\r\nold", b"old"),
        # The client of these tests passes over a 100 (other interim responses: test_interim.py).
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    ],
)
def test_response_framings_arrive_whole(start, response, body):
    def answer(connection):
        connection.sendall(response)

    backend = Backend(lambda line, b: answer)
    skein = start(mesh(backend.port))
    for _ in range(3):
        status, headers, got = skein.get("/x")
        assert (status, got) == (200, body)
    # HTTP/1.0 clients get it undecorated and close-delimited.
    old = skein.raw(b"GET /x HTTP/1.0\r\n" + HOST + b"\r\n")
    assert old.split(b"\r\n\r\n", 1)[1] == body
    backend.close()


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
)
def test_broken_responses_become_502(start, response):
    backend = Backend(lambda line, b: response)
    skein = start(mesh(backend.port))
    assert skein.get("/x")[0] == 502
    entry = access_log(skein)[0]
    assert entry["code"] == 502 and entry["flags"] == "UPE"
    backend.close()


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npartial",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ],
)
def test_truncated_responses_are_never_delivered_as_complete(start, response):
    def answer(connection):
        connection.sendall(response)

    backend = Backend(lambda line, b: answer)
    skein = start(mesh(backend.port))
    got = skein.raw(b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n")
    assert not got.endswith(b"\r\n0\r\n\r\n") and statuses(got) == [200]
    # Close-delimited for HTTP/1.0: only a reset tells.
    if b"chunked" in response:
        with socket.create_connection(("127.0.0.1", skein.ports["outbound"]), timeout=10) as s:
            s.sendall(b"GET /x HTTP/1.0\r\n" + HOST + b"\r\n")
            with pytest.raises(ConnectionResetError):
                while s.recv(4096):
                    pass
    entry = access_log(skein)[0]
    assert entry["flags"] == "UC" and entry["code"] == 200
    backend.close()


def test_local_errors_have_envoys_flags_and_details(start, backend):
    extra = f"""---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: dead}}
spec:
  hosts: [dead.local, slow.local]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{http: 1}}}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: empty}}
spec:
  hosts: [empty.local]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  workloadSelector: {{labels: {{app: nobody}}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v}}
spec:
  hosts: [nosubset.local]
  http:
  - match: [{{uri: {{prefix: /timeout}}}}]
    timeout: 0.2s
    route: [{{destination: {{host: web.local}}}}]
  - match: [{{uri: {{prefix: /cut}}}}]
    route: [{{destination: {{host: web.local}}}}]
  - name: broken
    route: [{{destination: {{host: web.local, subset: missing}}}}]
"""
    hang = threading.Event()

    def respond(line, body):
        if b"/timeout" in line:
            return lambda connection: hang.wait(10)
        if b"/cut" in line:
            return None
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    backend.respond = respond
    # One worker: with several, the log has no order between them.
    skein = start(mesh(backend.port, extra), arguments=["--workers", "1"])
    cases = [
        ("nowhere.local", "/", 404, "NR", "route_not_found"),
        ("dead.local", "/", 503, "UF,URX", "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"),
        ("empty.local", "/", 503, "UH", "no_healthy_upstream"),
        ("nosubset.local", "/", 503, "NC", "cluster_not_found"),
        ("nosubset.local", "/timeout", 504, "UT", "upstream_response_timeout"),
        ("nosubset.local", "/cut", 503, "UC", "upstream_reset_before_response_started{connection_termination}"),
    ]
    for host, path, status, _, _ in cases:
        assert skein.get(path, host=host)[0] == status, (host, path)
    for entry, (host, path, status, flags, details) in zip(access_log(skein, len(cases)), cases):
        assert (entry["code"], entry["flags"], entry["details"]) == (status, flags, details), entry
        assert skein.samples("istio_requests_total", response_code=status, response_flags=flags) == 1
    hang.set()


def test_websocket_upgrade_is_tunnelled_both_ways(start):
    def upgrade(connection):
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
        while data := connection.recv(4096):
            connection.sendall(data[::-1])
        connection.sendall(b"bye")

    backend = Backend(lambda line, body: upgrade)
    skein = start(mesh(backend.port))
    with socket.create_connection(("127.0.0.1", skein.ports["outbound"]), timeout=10) as s:
        s.sendall(b"GET /ws HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\nabc")
        got = b""
        while not got.endswith(b"hellocba"):
            piece = s.recv(4096)
            assert piece, got
            got += piece
        s.shutdown(socket.SHUT_WR)
        while piece := s.recv(4096):
            got += piece
    assert got.startswith(b"HTTP/1.1 101 ") and got.endswith(b"bye")
    lower = backend.requests[0][3]
    assert lower[b"upgrade"] == b"websocket" and lower[b"connection"].lower() == b"upgrade"
    backend.close()


def test_stale_kept_connection_is_replaced_for_idempotent_requests(start):
    gate = threading.Semaphore(0)

    def respond(line, body):
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    backend = Backend(respond)
    skein = start(mesh(backend.port), arguments=["--workers", "1"])
    assert skein.get("/1")[0] == 200
    backend.close()
    # The next request finds the kept connection closed or closing, and the port refusing: 503 at worst, never a hang.
    assert skein.get("/2")[0] in (200, 503)


def test_slow_reader_of_a_large_answer_costs_little_memory(start):
    """1 GiB for a client that first reads nothing, then little by little, then all of it: what waits for it waits in the kernel and at the upstream."""
    size = 1 << 30
    sent = [0]

    def answer(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        piece = b"z" * (1 << 20)
        for _ in range(size >> 20):
            connection.sendall(piece)
            sent[0] += len(piece)

    backend = Backend(lambda line, body: answer)
    skein = start(mesh(backend.port), arguments=["--workers", "1"])
    assert skein.get("/nothing", host="nowhere")[0] == 404
    before = rss_kib(skein.process.pid, "RssAnon")
    samples = []

    def sample():
        samples.append(rss_kib(skein.process.pid, "RssAnon") - before)

    with socket.create_connection(("127.0.0.1", skein.ports["outbound"]), timeout=30) as s:
        s.sendall(b"GET /big HTTP/1.1\r\n" + HOST + b"\r\n")
        head = s.recv(1000)
        # Stalled: the upstream gets nothing more rid of.
        stuck = settle(lambda: sample() or sent[0], quiet=0.5)
        assert stuck < 64 << 20, "the kernel's buffers and no more"
        buffer = bytearray(1 << 20)
        total = len(head) - head.index(b"\r\n\r\n") - 4
        # Slowly: pieces that never empty what waits.
        while total < 32 << 20:
            total += s.recv_into(buffer, 16 * 1024)
            if total % (1 << 20) < 16 * 1024:
                sample()
        while total < size:
            count = s.recv_into(buffer)
            assert count
            total += count
            if total % (8 << 20) < count:
                sample()
        assert total == size
    assert len(samples) > 100 and max(samples) < 2048, f"{max(samples)} KiB"
    backend.close()


def test_log_lines_cannot_be_forged(shared):
    shared.raw(b"GET /forge%0d%0a HTTP/1.1\r\n" + HOST + b"User-Agent: \"} {\"code\":1\t\xff\r\nX-Custom: \xc3\xa9\\\r\nConnection: close\r\n\r\n")
    entries = wait_for(lambda: [e for e in access_log(shared) if e["path"] == "/forge%0d%0a"], what="the line")
    assert entries[0]["user_agent"].startswith('"} {"code":1') and entries[0]["custom"] == "é\\"


def test_every_request_is_counted_once(proxy):
    for index in range(200):
        proxy.get(f"/n{index % 3}")
    wait_for(lambda: proxy.samples("istio_requests_total") == 200, what="200 requests counted")
    assert proxy.samples("istio_request_duration_milliseconds_count") == 200
    assert len(access_log(proxy, 200)) == 200
