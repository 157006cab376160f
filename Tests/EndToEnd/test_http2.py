"""HTTP/2 in front, HTTP/2 behind, and every translation between it and HTTP/1.1."""

import re
import signal
import socket
import subprocess
import threading
import time

import h2.errors
import h2.exceptions
import pytest

from conftest import Backend, Skein, access_log, mesh, wait_for
from http2_peers import H2Backend, H2Client, encode, frame, frames, raw_exchange, rss_kib, settle

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def client(proxy):
    with H2Client(proxy.ports["outbound"]) as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    backend = Backend()
    skein = Skein(tmp_path_factory.mktemp("skein"), mesh(backend.port)).wait_ready()
    skein.backend = backend
    yield skein
    skein.stop(signal.SIGKILL)
    backend.close()


@pytest.fixture
def h2start(start):
    """Starts Skein in front of an h2c backend."""
    backends = []

    def begin(protocol="HTTP2", extra="", **options):
        backend = H2Backend(**options)
        backends.append(backend)
        skein = start(mesh(backend.port, protocol=protocol, extra=extra))
        skein.backend = backend
        return skein

    yield begin
    for backend in backends:
        backend.close()


def fields(request):
    return [(k.lower(), v) for k, v in request[1]]


# Translations


def test_h2_request_reaches_an_http1_upstream_as_http1(proxy, client):
    answer = client.request("/a?x=1", headers=[(b"x-custom", b"v"), (b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"te", b"trailers")])
    assert answer.status == 200 and answer.body == b"ok" and answer.done
    line, sent, body, lower = proxy.backend.requests[-1]
    assert line == b"GET /a?x=1 HTTP/1.1"
    names = [k.lower() for k, _ in sent]
    assert lower[b"host"] == b"web.local" and names.count(b"host") == 1
    # Crumbs become one field again (RFC 9113 8.2.3).
    assert lower[b"cookie"] == b"a=1; b=2" and names.count(b"cookie") == 1
    assert lower[b"x-custom"] == b"v" and lower[b"x-forwarded-proto"] == b"http"
    assert b"transfer-encoding" not in names and b"content-length" not in names
    assert not any(name.startswith(b":") for name in names)
    entry = access_log(proxy)[0]
    assert (entry["code"], entry["method"], entry["path"], entry["authority"], entry["flags"]) == (200, "GET", "/a?x=1", "web.local", "-")


BODY_SIZES = [0, 1, 64 * 1024, 5 * 1024 * 1024]


def pattern(count):
    return (b"0123456789abcdefghijklmnopqrstuvwxyz!\n" * (count // 38 + 1))[:count]


@pytest.mark.parametrize("size", BODY_SIZES)
@pytest.mark.parametrize("declared", [True, False])
def test_bodies_both_ways_h2_to_http1(start, size, declared):
    backend = Backend(lambda line, body: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    skein = start(mesh(backend.port))
    body = pattern(size)
    with H2Client(skein.ports["outbound"]) as client:
        answer = client.request("/b", "POST", headers=[(b"content-length", str(size).encode())] if declared else [], body=body)
    assert answer.status == 200 and answer.body == body and answer.done and answer.reset is None
    assert backend.requests[-1][2] == body
    lower = backend.requests[-1][3]
    assert (b"content-length" in lower) == declared
    backend.close()


@pytest.mark.parametrize("size", BODY_SIZES)
@pytest.mark.parametrize("declared", [True, False])
def test_bodies_both_ways_h2_to_h2(h2start, size, declared):
    skein = h2start(respond=lambda stream, c: c.answer(stream, body=stream.body))
    body = pattern(size)
    with H2Client(skein.ports["outbound"]) as client:
        for _ in range(3):
            answer = client.request("/b", "POST", headers=[(b"content-length", str(size).encode())] if declared else [], body=body)
            assert answer.status == 200 and answer.body == body and answer.done and answer.reset is None
    assert [stream.body == body for stream in skein.backend.streams] == [True] * 3
    assert len(skein.backend.connections) == 1


@pytest.mark.parametrize("size", BODY_SIZES)
@pytest.mark.parametrize("chunked", [True, False])
def test_bodies_both_ways_http1_to_h2(h2start, size, chunked):
    skein = h2start(respond=lambda stream, c: c.answer(stream, body=stream.body))
    body = pattern(size)
    for _ in range(3):
        # Without a length the client chunks it.
        sent = (body[at : at + 70000] for at in range(0, size, 70000)) if chunked else body
        status, headers, got = skein.get("/b", method="POST", body=sent)
        assert status == 200 and got == body
    stream = skein.backend.streams[-1]
    assert stream.body == body and stream.header(b":authority") == b"web.local" and stream.header(b":method") == b"POST"
    names = [name for name, _ in stream.headers]
    assert b"host" not in names and b"connection" not in names and b"transfer-encoding" not in names
    assert all(name == name.lower() for name in names)
    # One for each worker that had a client.
    assert len(skein.backend.connections) <= 2


def test_trailers_both_ways_in_every_translation(start, h2start):
    respond = lambda stream, c: c.answer(stream, body=b"answer", trailers=[(b"x-sum", b"1"), (b"x-end", b"2")])
    skein = h2start(respond=respond)
    with H2Client(skein.ports["outbound"]) as client:
        answer = client.request("/t", "POST", body=b"question", trailers=[(b"x-up", b"yes")])
    assert answer.body == b"answer" and answer.trailers == [(b"x-sum", b"1"), (b"x-end", b"2")]
    assert skein.backend.streams[-1].trailers == [(b"x-up", b"yes")]
    # HTTP/1.1 in front.
    got = skein.raw(
        b"POST /t HTTP/1.1\r\nHost: web.local\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nX-Up: no\r\nContent-Length: 3\r\n\r\n")
    assert got.endswith(b"6\r\nanswer\r\n0\r\nx-sum: 1\r\nx-end: 2\r\n\r\n"), got
    assert skein.backend.streams[-1].trailers == [(b"x-up", b"no")]
    # HTTP/1.1 behind.
    backend = Backend(lambda line, body: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 9\r\n\r\n")
    other = start(mesh(backend.port))
    with H2Client(other.ports["outbound"]) as client:
        answer = client.request("/t", "POST", body=b"question", trailers=[(b"x-up", b"yes"), (b"transfer-encoding", b"chunked"), (b"host", b"evil")][:1])
    assert answer.body == b"ok" and answer.trailers == [(b"x-sum", b"9")]
    assert backend.requests[-1][2] == b"question" and backend.requests[-1][3][b":trailers"].lower() == b"x-up: yes"
    backend.close()


MESSAGE = [(b"grpc-message", b"m" * 70_000), (b"grpc-status", b"13")]
MANY = [(b"x-%d" % n, b"v") for n in range(101)] + [(b"grpc-status", b"13")]


@pytest.mark.parametrize("trailers", [MESSAGE, MANY], ids=["large", "many"])
def test_a_trailer_section_beyond_the_limits_is_no_response(h2start, trailers):
    """Half of a call's status would read as success."""
    skein = h2start(respond=lambda stream, c: c.answer(stream, headers=[(b"content-type", b"application/grpc")], body=b"abc", trailers=trailers))
    with H2Client(skein.ports["outbound"]) as client:
        answer = client.request("/t", "POST", headers=[(b"content-type", b"application/grpc")], body=b"abc")
        assert (answer.status, answer.body, answer.trailers, answer.done) == (200, b"abc", None, False) and answer.reset is not None
    got = skein.raw(b"GET /t HTTP/1.1\r\nHost: web.local\r\n\r\n")
    assert got.endswith(b"3\r\nabc\r\n"), "the end of the body is missing, and with it nothing looks whole"
    for entry in access_log(skein, 2):
        assert (entry["code"], entry["flags"], entry["details"]) == (200, "UPE", "upstream_reset_after_response_started{protocol_error}")
    assert skein.samples("skein_proxy_upstream_protocol_errors_total") == 2
    assert skein.samples("istio_requests_total", response_flags="UPE") == 2


def test_a_trailer_section_within_the_limits_is_whole(h2start):
    sent = [(b"grpc-message", b"m" * 50_000), *[(b"x-%d" % n, b"v") for n in range(90)], (b"grpc-status", b"13")]
    skein = h2start(respond=lambda stream, c: c.answer(stream, body=b"abc", trailers=sent))
    with H2Client(skein.ports["outbound"]) as client:
        assert client.request("/t", "POST", body=b"abc", trailers=sent[:1]).trailers == sent
    assert skein.backend.streams[0].trailers == sent[:1]
    got = skein.raw(b"GET /t HTTP/1.1\r\nHost: web.local\r\nConnection: close\r\n\r\n")
    assert got.endswith(b"\r\nx-89: v\r\ngrpc-status: 13\r\n\r\n") and b"grpc-message: " + b"m" * 50_000 + b"\r\n" in got


@pytest.mark.parametrize("trailers", [MESSAGE, MANY], ids=["large", "many"])
@pytest.mark.parametrize("early", [False, True])
def test_a_trailer_section_beyond_the_limits_is_no_request(h2start, early, trailers):
    """431 while that can still be said, else the end of the stream; the upstream never sees the request's end."""
    def respond(stream, c):
        if early:
            c.head(stream, 200)
            c.data(stream, b"part")

    skein = h2start(early=early, respond=respond)
    with H2Client(skein.ports["outbound"]) as client:
        stream = client.open("/t", "POST", end=False)
        wait_for(lambda: skein.backend.streams, what="the request upstream")
        while early and not client.answers[stream].body:
            assert client.pump()
        client.send(stream, b"abc", trailers=trailers)
        answer = client.wait(stream)
        assert (answer.status, answer.done) == ((200, False) if early else (431, True)) and (answer.reset is not None) == early
    wait_for(lambda: skein.backend.streams[0].reset is not None, what="the upstream's stream reset")
    assert skein.backend.streams[0].trailers is None
    entry = access_log(skein)[0]
    assert (entry["code"], entry["flags"]) == (200 if early else 431, "DPE")
    assert skein.samples("skein_proxy_protocol_errors_total") == 1 and skein.samples("istio_requests_total", response_flags="DPE") == 1


@pytest.mark.parametrize("fields", [b"X-Large: " + b"y" * 9000 + b"\r\n", b"".join(b"X-%d: v\r\n" % n for n in range(101))], ids=["large", "many"])
def test_chunk_trailers_beyond_the_limits(start, fields):
    trailers = b"3\r\nabc\r\n0\r\n" + fields + b"\r\n"
    backend = Backend(lambda line, body: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + trailers if b"/t" in line else OK)
    skein = start(mesh(backend.port), arguments=["--workers", "1"])
    with H2Client(skein.ports["outbound"]) as client:
        answer = client.request("/t")
        assert (answer.status, answer.body, answer.trailers, answer.done) == (200, b"abc", None, False) and answer.reset is not None
    assert skein.raw(b"GET /t HTTP/1.1\r\nHost: web.local\r\n\r\n").endswith(b"3\r\nabc\r\n")
    got = skein.raw(b"POST /up HTTP/1.1\r\nHost: web.local\r\nTransfer-Encoding: chunked\r\n\r\n" + trailers)
    assert got.startswith(b"HTTP/1.1 431 ")
    assert [(e["code"], e["flags"]) for e in access_log(skein, 3)] == [(200, "UPE"), (200, "UPE"), (431, "DPE")]
    assert all(b"/up" not in request[0] for request in backend.requests)
    backend.close()


def test_a_request_of_trailers_only_has_an_empty_body(proxy, client):
    answer = client.request("/t", "POST", trailers=[(b"x-up", b"yes")])
    assert answer.status == 200
    assert proxy.backend.requests[-1][2] == b"" and proxy.backend.requests[-1][3][b":trailers"].lower() == b"x-up: yes"


def test_head_204_and_304_carry_no_body(start, h2start):
    def respond1(line, body):
        path = line.split()[1]
        if path == b"/204":
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        if path == b"/304":
            return b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\nETag: x\r\n\r\n"
        return b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"

    def respond2(stream, c):
        if stream.path == b"/204":
            c.answer(stream, 204)
        elif stream.path == b"/304":
            c.answer(stream, 304, [(b"content-length", b"10"), (b"etag", b"x")])
        else:
            c.answer(stream, 200, [(b"content-length", b"1000")])

    backend = Backend(respond1)
    one, two = start(mesh(backend.port)), h2start(respond=respond2)
    for skein in (one, two):
        with H2Client(skein.ports["outbound"]) as client:
            for _ in range(2):
                head = client.request("/h", "HEAD")
                assert (head.status, head.body, head.header(b"content-length"), head.done) == (200, b"", b"1000", True)
                assert (lambda a: (a.status, a.body, a.done))(client.request("/204")) == (204, b"", True)
                kept = client.request("/304")
                assert (kept.status, kept.body, kept.done, kept.header(b"etag")) == (304, b"", True, b"x")
    answer = two.raw(
        b"HEAD /h HTTP/1.1\r\nHost: web.local\r\n\r\nGET /204 HTTP/1.1\r\nHost: web.local\r\n\r\n"
        b"GET /304 HTTP/1.1\r\nHost: web.local\r\nConnection: close\r\n\r\n")
    assert [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)] == [200, 204, 304], answer
    backend.close()


def test_a_response_before_the_request_is_complete_stops_the_client(h2start, start):
    skein = h2start(early=True, respond=lambda stream, c: c.answer(stream, 413, body=b"too much"))
    with H2Client(skein.ports["outbound"]) as client:
        stream = client.open("/early", "POST", end=False)
        answer = client.wait(stream)
        assert answer.status == 413 and answer.body == b"too much"
        assert client.request("/next").status == 413
    assert wait_for(lambda: skein.backend.streams[0].reset is not None, what="the upstream's stream is reset")


# Flow control


def test_a_slow_reader_of_a_big_answer_costs_bounded_memory(start, h2start):
    big = pattern(48 * 1024 * 1024)
    backend = Backend(lambda line, body: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(big) + big)
    for skein in (start(mesh(backend.port)), h2start(respond=lambda stream, c: c.answer(stream, body=b"" if stream.path == b"/small" else big))):
        before = rss_kib(skein.process.pid)
        with H2Client(skein.ports["outbound"]) as client:
            stream = client.open("/big")
            while len(client.answers[stream].body) < 65535:
                assert client.pump(acknowledges=False)
            grown = settle(lambda: rss_kib(skein.process.pid) // 256) * 256 - before
            assert grown < 16 * 1024, grown
            # Another request on the same connection is not behind it.
            client.connection.increment_flow_control_window(1 << 20)
            client.flush()
            assert client.request("/small", "HEAD").status == 200
            answer = client.answers[stream]
            client.connection.increment_flow_control_window((1 << 30))
            client.connection.increment_flow_control_window((1 << 30), stream)
            client.flush()
            assert client.wait(stream).done and len(answer.body) == len(big)
            assert answer.body == big
        assert rss_kib(skein.process.pid) - before < 32 * 1024
    backend.close()


def test_a_slow_upstream_holds_back_the_client(h2start):
    """The upstream takes nothing: what the proxy holds of the body is a window and a watermark, not the body."""
    skein = h2start(early=True, reads_bodies=False, respond=lambda stream, c: stream.ended.wait(20))
    with H2Client(skein.ports["outbound"]) as client:
        stream = client.open("/up", "POST", end=False)
        client.socket.settimeout(1)
        sent = 0
        piece = bytes(16384)
        with pytest.raises(socket.timeout):
            while sent < 16 << 20:
                while client.connection.local_flow_control_window(stream) < len(piece):
                    client.pump()
                client.connection.send_data(stream, piece)
                client.flush()
                sent += len(piece)
        assert sent <= 2 << 20, sent
        client.socket.settimeout(10)
        client.reset(stream)


def test_h2load_with_many_streams_loses_nothing(proxy):
    count = 20000
    done = subprocess.run(
        ["h2load", "-c", "16", "-m", "32", "-n", str(count), "-H", ":authority: web.local", f"http://127.0.0.1:{proxy.ports['outbound']}/load"],
        capture_output=True, text=True, timeout=120)
    assert f"{count} total, {count} started, {count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout" in done.stdout, done.stdout
    wait_for(lambda: proxy.samples("istio_requests_total", reporter="source", response_code="200") == count, what="every request is counted")


def test_many_streams_share_one_upstream_connection(h2start):
    skein = h2start()
    done = subprocess.run(
        ["h2load", "-c", "2", "-m", "16", "-n", "600", "-H", ":authority: web.local", f"http://127.0.0.1:{skein.ports['outbound']}/load"],
        capture_output=True, text=True, timeout=120)
    assert "600 succeeded, 0 failed" in done.stdout, done.stdout
    # One for each worker that had a client.
    assert 1 <= len(skein.backend.connections) <= 2


def test_the_upstreams_stream_limit_is_kept(h2start):
    """With MAX_CONCURRENT_STREAMS of 2 no third stream is opened on a connection, and every request is answered."""
    gate = threading.Event()

    def respond(stream, c):
        gate.wait(10)
        c.answer(stream, body=b"ok")

    skein = h2start(respond=respond, max_streams=2)
    with H2Client(skein.ports["outbound"]) as client:
        gate.set()
        assert client.request("/warm").status == 200
        gate.clear()
        streams = [client.open(f"/{i}") for i in range(9)]
        wait_for(lambda: len(skein.backend.streams) >= 9, what="all requests have begun")
        gate.set()
        assert [client.wait(stream).status for stream in streams] == [200] * 9
    for connection in skein.backend.connections:
        assert connection.connection.open_inbound_streams <= 2


# Ends


def test_goaway_of_the_upstream_loses_no_request(h2start):
    def respond(stream, c):
        if stream.path == b"/leave":
            c.go_away(stream.id)
        time.sleep(0.05)
        c.answer(stream, body=b"ok")

    skein = h2start(respond=respond)
    with H2Client(skein.ports["outbound"]) as client:
        for _ in range(10):
            streams = [client.open("/stay"), client.open("/stay"), client.open("/leave")]
            for _ in range(3):
                streams.append(client.open("/stay"))
            assert [client.wait(stream).status for stream in streams] == [200] * 6
    assert len(skein.backend.connections) >= 10


def test_drain_on_sigterm_finishes_what_is_open(h2start):
    gate = threading.Event()

    def respond(stream, c):
        gate.wait(10)
        c.answer(stream, body=b"late")

    skein = h2start(respond=respond)
    with H2Client(skein.ports["outbound"]) as client:
        streams = [client.open(f"/{i}") for i in range(5)]
        wait_for(lambda: len(skein.backend.streams) == 5, what="the requests are upstream")
        skein.process.send_signal(signal.SIGTERM)
        while client.goaway is None:
            assert client.pump()
        assert client.goaway == 0
        gate.set()
        assert [(client.wait(stream).status, client.answers[stream].body) for stream in streams] == [(200, b"late")] * 5
        while client.pump():
            pass
    assert skein.process.wait(15) == 0


def test_a_reset_by_the_client_resets_the_upstream_stream(h2start):
    skein = h2start(early=True, respond=lambda stream, c: stream.ended.wait(20))
    with H2Client(skein.ports["outbound"]) as client:
        stream = client.open("/cancelled")
        wait_for(lambda: len(skein.backend.streams) == 1, what="the request is upstream")
        client.reset(stream)
        wait_for(lambda: skein.backend.streams[0].reset is not None, what="the upstream's stream is reset")
        assert skein.backend.streams[0].reset == h2.errors.ErrorCodes.CANCEL
        entry = access_log(skein)[0]
        assert entry["flags"] == "DR" and entry["code"] == 0
        # In the middle of a body as well.
        stream = client.open("/cancelled", "POST", end=False)
        client.send(stream, pattern(100_000), end=False)
        wait_for(lambda: len(skein.backend.streams) == 2, what="the request is upstream")
        client.reset(stream)
        wait_for(lambda: skein.backend.streams[1].reset is not None, what="the upstream's stream is reset")
        assert access_log(skein, 2)[1]["flags"] == "DR"
    assert len(skein.backend.connections) == 1


def test_a_client_that_vanishes_resets_all_its_upstream_streams(h2start):
    skein = h2start(early=True, respond=lambda stream, c: stream.ended.wait(20))
    with H2Client(skein.ports["outbound"]) as client:
        for i in range(8):
            client.open(f"/{i}")
        wait_for(lambda: len(skein.backend.streams) == 8, what="the requests are upstream")
    wait_for(lambda: all(stream.reset is not None for stream in skein.backend.streams), what="the upstream's streams are reset")
    assert {entry["flags"] for entry in access_log(skein, 8)} == {"DC"}


@pytest.mark.parametrize("end", ["fin", "half", "goaway", "reset"])
def test_a_client_that_goes_while_it_waits_is_dc(h2start, end):
    """As over HTTP/1.1 (test_faults.py). What takes back one stream and stays is DR, as Envoy has it."""
    skein = h2start(respond=lambda stream, c: stream.path == b"/last" and c.answer(stream))
    client = H2Client(skein.ports["outbound"])
    stream = client.open("/")
    wait_for(lambda: skein.backend.streams, what="the request upstream")
    if end == "reset":
        client.reset(stream)
    elif end == "half":
        client.socket.shutdown(socket.SHUT_WR)
    else:
        if end == "goaway":
            client.connection.close_connection()
            client.flush()
        client.close()
    assert wait_for(lambda: skein.backend.streams[0].reset is not None, what="the upstream's stream reset")
    entry = access_log(skein)[0]
    expected = ("DR", "http2.remote_reset") if end == "reset" else ("DC", "downstream_remote_disconnect")
    assert (entry["code"], entry["flags"], entry["details"]) == (0, *expected)
    assert skein.samples("istio_requests_total", response_code="0", response_flags=expected[0]) == 1
    client.close()


@pytest.mark.parametrize("front", ["h1", "h2"])
def test_a_client_that_has_its_whole_answer_may_go(h2start, front):
    """It has all of it by its length, though the upstream has not said yet that it ends: nothing was broken off."""
    def respond(stream, c):
        c.head(stream, 200, [(b"content-length", b"2")])
        c.data(stream, b"ok")

    skein = h2start(respond=respond)
    if front == "h2":
        client = H2Client(skein.ports["outbound"])
        stream = client.open("/")
        while bytes(client.answers[stream].body) != b"ok":
            assert client.pump()
    else:
        client = socket.create_connection(("127.0.0.1", skein.ports["outbound"]), timeout=15)
        client.sendall(b"GET / HTTP/1.1\r\nHost: web.local\r\n\r\n")
        data = b""
        while not data.endswith(b"\r\n\r\nok"):
            data += client.recv(4096)
    client.close()
    entry = access_log(skein)[0]
    assert (entry["code"], entry["flags"]) == (200, "-")
    assert wait_for(lambda: skein.backend.streams[0].reset is not None, what="the upstream's stream reset")


def test_a_client_that_takes_nothing_and_closes_is_dc(h2start):
    """Its connection is not read while its answers are backed up, and its end is noticed all the same."""
    big = bytes(1 << 20)
    skein = h2start(respond=lambda stream, c: c.answer(stream, body=big * 32))
    client = H2Client(skein.ports["outbound"], window=(1 << 31) - 1)
    client.connection.increment_flow_control_window((1 << 31) - 1 - 65535)
    client.flush()
    client.open("/")
    wait_for(lambda: skein.backend.streams, what="the request upstream")
    # Until everything between the two is full.
    settle(lambda: rss_kib(skein.process.pid) // 256)
    client.socket.shutdown(socket.SHUT_WR)
    entry = access_log(skein)[0]
    assert (entry["code"], entry["flags"], entry["details"]) == (200, "DC", "downstream_remote_disconnect")
    assert wait_for(lambda: skein.backend.streams[0].reset is not None, what="the upstream's stream reset")
    client.close()


def test_resets_by_the_upstream_before_and_after_the_head(h2start):
    def respond(stream, c):
        if stream.path == b"/before":
            c.reset(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        elif stream.path == b"/after":
            c.head(stream, 200, [(b"content-length", b"100")])
            c.data(stream, b"part")
            c.reset(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        else:
            c.answer(stream, body=b"fine")

    skein = h2start(respond=respond)
    with H2Client(skein.ports["outbound"]) as client:
        before = client.request("/before")
        assert before.status == 503 and b"remote reset" in before.body
        after = client.request("/after")
        # The reset comes behind what the upstream had sent.
        assert after.status == 200 and not after.done and after.reset is not None and after.body == b"part"
        assert client.request("/fine").body == b"fine"
    entries = {entry["path"]: entry for entry in access_log(skein, 3)}
    assert (entries["/before"]["code"], entries["/before"]["flags"]) == (503, "UR")
    assert (entries["/after"]["code"], entries["/after"]["flags"]) == (200, "UR")
    assert skein.get("/before")[0] == 503
    # One for each worker that had a client.
    assert len(skein.backend.connections) <= 2


def test_an_upstream_that_dies_fails_its_requests_with_uc(h2start):
    def respond(stream, c):
        if stream.path == b"/die":
            c.drop()
        elif stream.path == b"/half":
            c.head(stream, 200, [])
            c.data(stream, b"part")
            c.drop()
        else:
            c.answer(stream, body=b"fine")

    skein = h2start(respond=respond)
    with H2Client(skein.ports["outbound"]) as client:
        assert client.request("/die", "POST", body=b"x").status == 503
        half = client.request("/half", "POST", body=b"x")
        assert half.status == 200 and not half.done and half.reset is not None and half.body == b"part"
        assert client.request("/fine").body == b"fine"
    entries = {entry["path"]: entry for entry in access_log(skein, 3)}
    assert (entries["/die"]["code"], entries["/die"]["flags"]) == (503, "UC")
    assert entries["/half"]["flags"] == "UC" and entries["/fine"]["code"] == 200


def test_nobody_listening_is_uf(start):
    skein = start(mesh(1, protocol="HTTP2"))
    with H2Client(skein.ports["outbound"]) as client:
        assert client.request("/").status == 503
    assert access_log(skein)[0]["flags"].split(",")[0] == "UF"


def test_an_upstream_that_speaks_something_else_is_a_protocol_error(start, backend):
    """An HTTP/1.1 server behind a port declared HTTP2 gets an answer at once, not a hanging request."""
    backend.respond = lambda line, body: b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    skein = start(mesh(backend.port, protocol="HTTP2"))
    with H2Client(skein.ports["outbound"]) as client:
        assert client.request("/").status == 502
    entry = access_log(skein)[0]
    assert entry["flags"] == "UPE", entry


# Attacks


def flood(kind):
    request = encode([(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"web.local"), (b":path", b"/flood")])
    if kind == "rapid reset":
        return b"".join(frame(1, 5, 2 * i + 1, request) + frame(3, 0, 2 * i + 1, bytes([0, 0, 0, 8])) for i in range(20000))
    if kind == "settings":
        return frame(4, 0, 0) * 20000
    if kind == "ping":
        return frame(6, 0, 0, bytes(8)) * 20000
    if kind == "empty data":
        return frame(1, 4, 1, request) + frame(0, 0, 1) * 20000
    if kind == "window update":
        return frame(8, 0, 0, bytes([0, 0, 0, 1])) * 20000
    if kind == "priority":
        return frame(2, 0, 3, bytes([0, 0, 0, 1, 5])) * 20000
    if kind == "continuation":
        return frame(1, 0, 1, request) + frame(9, 0, 1, encode([(b"x-a", b"b" * 100)])) * 20000
    if kind == "header list":
        # One long field goes into the table; a request then names it sixteen thousand times, a byte each (the "HPACK bomb").
        # 4000 as a string length: 127 in the prefix, then 3873 in groups of seven bits (RFC 7541 5.1).
        first = request + b"\x40\x03x-a\x7f\xa1\x1e" + b"b" * 4000
        return b"".join([frame(1, 5, 1, first)] + [frame(1, 5, 2 * i + 3, request + b"\xbe" * 16000) for i in range(100)])
    if kind == "made you reset":
        # Each request breaks its own content-length, so that the proxy resets it (CVE-2025-8671).
        short = encode([(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"web.local"), (b":path", b"/flood"), (b"content-length", b"1")])
        return b"".join(frame(1, 4, 2 * i + 1, short) + frame(0, 0, 2 * i + 1, b"ab") for i in range(20000))
    raise ValueError(kind)


FLOODS = ["rapid reset", "settings", "ping", "empty data", "window update", "priority", "continuation", "header list", "made you reset"]


@pytest.mark.parametrize("kind", FLOODS)
def test_floods_end_their_connection(proxy, kind):
    before = rss_kib(proxy.process.pid)
    got = raw_exchange(proxy.ports["outbound"], flood(kind))
    goaways = [int.from_bytes(payload[4:8], "big") for k, _, _, payload in got if k == 7]
    assert goaways == [] or goaways[-1] in (1, 11), goaways
    assert proxy.process.poll() is None
    wait_for(lambda: proxy.samples("skein_proxy_protocol_errors_total") >= 1, what="the flood is counted")
    assert len(proxy.backend.requests) < 2000
    assert rss_kib(proxy.process.pid) - before < 32 * 1024
    with H2Client(proxy.ports["outbound"]) as client:
        assert client.request("/alive").status == 200


def test_attackers_do_not_disturb_others(proxy):
    stop = threading.Event()
    data = flood("rapid reset")

    def attack():
        while not stop.is_set():
            try:
                raw_exchange(proxy.ports["outbound"], data, seconds=2)
            except OSError:
                pass

    attackers = [threading.Thread(target=attack, daemon=True) for _ in range(10)]
    for attacker in attackers:
        attacker.start()
    try:
        with H2Client(proxy.ports["outbound"]) as client:
            for i in range(100):
                answer = client.request(f"/victim{i}")
                assert answer.status == 200 and answer.body == b"ok"
    finally:
        stop.set()
    for attacker in attackers:
        attacker.join(15)
    assert proxy.process.poll() is None


BASE = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"web.local"), (b":path", b"/smuggle")]


def changed(**values):
    return [(name, values.get(name[1:].decode(), value)) for name, value in BASE]


MALFORMED = {
    "CR LF in a value": [*BASE, (b"x-a", b"b\r\nx-evil: 1")],
    "LF in a value": [*BASE, (b"x-a", b"b\nx-evil: 1")],
    "CR in a value": [*BASE, (b"x-a", b"b\rx")],
    "NUL in a value": [*BASE, (b"x-a", b"b\0x")],
    "CR LF in a name": [*BASE, (b"x-a\r\nx-evil", b"b")],
    "colon in a name": [*BASE, (b"x-a: b", b"c")],
    "space in a name": [*BASE, (b"x a", b"c")],
    "upper-case name": [*BASE, (b"X-A", b"c")],
    "empty name": [*BASE, (b"", b"c")],
    "transfer-encoding": [*BASE, (b"transfer-encoding", b"chunked")],
    "connection": [*BASE, (b"connection", b"close")],
    "keep-alive": [*BASE, (b"keep-alive", b"5")],
    "proxy-connection": [*BASE, (b"proxy-connection", b"close")],
    "upgrade": [*BASE, (b"upgrade", b"websocket")],
    "te other than trailers": [*BASE, (b"te", b"gzip")],
    "two content-lengths": [*BASE, (b"content-length", b"0"), (b"content-length", b"5")],
    "signed content-length": [*BASE, (b"content-length", b"+0")],
    "list of content-lengths": [*BASE, (b"content-length", b"0, 0")],
    "path with a space": changed(path=b"/a HTTP/1.1\r\nHost: evil\r\n\r\nGET /b"),
    "path with one space": changed(path=b"/a b"),
    "path with CR LF": changed(path=b"/a\r\nX-Evil: 1"),
    "empty path": changed(path=b""),
    "path without a slash": changed(path=b"evil"),
    "method with a space": changed(method=b"GET /evil HTTP/1.1\r\nX: y\r\n\r\nGET"),
    "empty method": changed(method=b""),
    "lines in the method": changed(method=b"GET\r\n"),
    "authority with CR LF": changed(authority=b"web.local\r\nX-Evil: 1"),
    "authority with a space": changed(authority=b"web.local evil"),
    "authority with a slash": changed(authority=b"web.local/evil"),
    "authority with user information": changed(authority=b"user@web.local"),
    "authority with a comma": changed(authority=b"web.local,evil"),
    "scheme with CR LF": changed(scheme=b"http\r\n"),
    "no method": BASE[1:],
    "no path": BASE[:3],
    "no scheme": [BASE[0], *BASE[2:]],
    "two paths": [*BASE, (b":path", b"/evil")],
    "two methods": [*BASE, (b":method", b"POST")],
    "two authorities": [*BASE, (b":authority", b"evil")],
    "unknown pseudo-header": [*BASE, (b":evil", b"1")],
    "status in a request": [*BASE, (b":status", b"200")],
    "pseudo-header after a field": [BASE[0], BASE[1], BASE[2], (b"x-a", b"b"), BASE[3]],
    "protocol without CONNECT": [*BASE, (b":protocol", b"websocket")],
    "space before a value": [*BASE, (b"x-a", b" b")],
    "two hosts": [*BASE, (b"host", b"web.local"), (b"host", b"evil")],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_reach_no_upstream(shared, name):
    before = len(shared.backend.requests)
    with H2Client(shared.ports["outbound"]) as client:
        client.socket.sendall(frame(1, 5, 1, encode(MALFORMED[name])))
        client.connection.get_next_available_stream_id()
        # What comes back is a 4xx, a reset or the end of the connection; read by hand, since `h2` knows of no stream 1.
        data = b""
        seen = []
        client.socket.settimeout(5)
        while not any((k in (1, 3) and s == 1) or k == 7 for k, _, s, _ in seen):
            piece = client.socket.recv(65536)
            if not piece:
                break
            data += piece
            seen = frames(data)
    assert len(shared.backend.requests) == before
    with H2Client(shared.ports["outbound"]) as client:
        assert client.request("/alive").status == 200
    assert [r[0] for r in shared.backend.requests[before:]] == [b"GET /alive HTTP/1.1"]


@pytest.mark.parametrize("declared,body", [(b"5", b"abcdefghij"), (b"5", b"abc"), (b"0", b"abc"), (b"5", b"")])
def test_bodies_that_break_their_content_length_are_never_whole_requests(proxy, client, declared, body):
    answer = client.request("/cl", "POST", headers=[(b"content-length", declared)], body=body)
    # Where nothing was declared, the answer may have come before the body.
    assert answer.reset is not None or answer.status >= 400 or client.closed or declared == b"0"
    assert client.closed or client.request("/alive").status == 200
    # A declared length of nothing is a whole request to the upstream at once, and exactly that.
    assert [(r[0], r[2]) for r in proxy.backend.requests if r[0] != b"GET /alive HTTP/1.1"] in ([], [(b"POST /cl HTTP/1.1", b"")] if declared == b"0" else [])


def test_absolute_path_of_a_foreign_scheme_does_not_choose_the_host(proxy):
    with H2Client(proxy.ports["outbound"]) as client:
        answer = client.request("http://web.local/evil", authority="nowhere.local")
    assert answer.status != 200
    with H2Client(proxy.ports["outbound"]) as client:
        stream = client.open(pseudo=[(b":method", b"GET"), (b":scheme", b"foo"), (b":authority", b"nowhere.local"), (b":path", b"http://web.local/evil")])
        assert client.wait(stream).status != 200
    assert proxy.backend.requests == []


def test_too_large_a_head_is_431(proxy, client):
    answer = client.request("/", headers=[(b"x-%d" % i, b"v" * 1000) for i in range(70)])
    assert answer.status == 431
    many = client.request("/", headers=[(b"x-%d" % i, b"v") for i in range(120)])
    assert many.status == 431
    assert client.request("/fine").status == 200
    assert [r[0] for r in proxy.backend.requests] == [b"GET /fine HTTP/1.1"]


def test_connect_and_unknown_hosts_are_refused(proxy, client):
    connect = client.open(pseudo=[(b":method", b"CONNECT"), (b":authority", b"web.local:80")], end=False)
    assert client.wait(connect).status in (400, 404, 405, 501)
    assert client.request("/", authority="nowhere.local").status == 404
    assert proxy.backend.requests == []


def test_curl_and_nghttp_agree(proxy):
    url = f"http://127.0.0.1:{proxy.ports['outbound']}/tool"
    done = subprocess.run(["nghttp", "-v", "-H", ":authority: web.local", "-d", __file__, url], capture_output=True, text=True, timeout=30)
    assert ":status: 200" in done.stdout
    with open(__file__, "rb") as sent:
        assert proxy.backend.requests[-1][2] == sent.read()
