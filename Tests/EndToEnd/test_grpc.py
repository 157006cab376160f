"""gRPC through the proxy, with the reference implementation on both sides."""

import concurrent.futures
import threading
import time

import grpc
import pytest

from conftest import Backend, access_log, mesh, wait_for

IDENTITY = lambda message: message
CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


class Echo(grpc.GenericRpcHandler):
    """Every kind of call over messages that are plain bytes. The path says what to do."""

    def __init__(self):
        self.metadata = []
        self.sleeping, self.cancelled = threading.Event(), threading.Event()

    def service(self, details):
        method = details.method.rsplit("/", 1)[1]
        self.metadata.append(dict(details.invocation_metadata))
        make = {
            "Unary": (grpc.unary_unary_rpc_method_handler, self.unary),
            "Fail": (grpc.unary_unary_rpc_method_handler, self.fail),
            "FailLate": (grpc.unary_stream_rpc_method_handler, self.fail_late),
            "Sleep": (grpc.unary_unary_rpc_method_handler, self.sleep),
            "Collect": (grpc.stream_unary_rpc_method_handler, lambda messages, context: b"".join(messages)),
            "Spread": (grpc.unary_stream_rpc_method_handler, lambda message, context: iter([bytes([b]) for b in message])),
            "Chat": (grpc.stream_stream_rpc_method_handler, lambda messages, context: (m.upper() for m in messages)),
        }.get(method)
        return make[0](make[1]) if make else None

    def unary(self, message, context):
        context.send_initial_metadata((("x-first", "1"), ("x-bin", b"\0\xff")))
        context.set_trailing_metadata((("x-last", "2"),))
        return message

    def fail(self, message, context):
        context.abort(CODES[int(message)], "so: it failed")

    def fail_late(self, message, context):
        yield b"one"
        context.abort(CODES[int(message)], "late")

    def sleep(self, message, context):
        context.add_callback(self.cancelled.set)
        self.sleeping.set()
        self.cancelled.wait(10)
        return message


@pytest.fixture
def calls(start):
    handler = Echo()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16), handlers=(handler,), options=[("grpc.max_receive_message_length", 16 << 20)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    skein = start(mesh(port, protocol="GRPC", extra=EMPTY))
    skein.handler = handler
    channel = open_channel(skein)
    channel.skein = skein
    yield channel
    channel.close()
    server.stop(None)


EMPTY = """---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: empty}
spec:
  hosts: [empty.local]
  ports: [{number: 80, name: grpc, protocol: GRPC}]
  resolution: STATIC
  workloadSelector: {labels: {app: nothing}}
"""


def open_channel(skein, authority="web.local"):
    return grpc.insecure_channel(
        f"127.0.0.1:{skein.ports['outbound']}",
        options=[("grpc.default_authority", authority), ("grpc.enable_retries", 0), ("grpc.max_receive_message_length", 64 << 20),
                 ("grpc.max_send_message_length", 64 << 20), ("grpc.use_local_subchannel_pool", 1)])


def status(call):
    with pytest.raises(grpc.RpcError) as error:
        call()
    return error.value.code(), error.value.details()


def test_unary_with_metadata_both_ways(calls):
    answer, call = calls.unary_unary("/t.T/Unary").with_call(b"hello", metadata=(("x-up", "a"), ("x-up-bin", b"\x01\x02")), timeout=10)
    assert answer == b"hello" and call.code() is grpc.StatusCode.OK
    assert dict(call.initial_metadata())["x-first"] == "1" and dict(call.initial_metadata())["x-bin"] == b"\0\xff"
    assert dict(call.trailing_metadata())["x-last"] == "2"
    seen = calls.skein.handler.metadata[-1]
    assert seen["x-up"] == "a" and seen["x-up-bin"] == b"\x01\x02" and "x-request-id" in seen
    big = bytes(range(256)) * 20_000
    assert calls.unary_unary("/t.T/Unary")(big, timeout=20) == big
    assert calls.unary_unary("/t.T/Unary")(b"", timeout=10) == b""


def test_streams_in_every_direction(calls):
    assert calls.stream_unary("/t.T/Collect")(iter([b"a", b"b", b"c" * 100_000]), timeout=10) == b"ab" + b"c" * 100_000
    assert list(calls.unary_stream("/t.T/Spread")(b"xyz" * 100, timeout=10)) == [b"x", b"y", b"z"] * 100
    assert list(calls.stream_stream("/t.T/Chat")(iter([b"a", b"b"]), timeout=10)) == [b"A", b"B"]


def test_a_conversation_goes_back_and_forth_without_waiting_for_its_end(calls):
    said = threading.Semaphore(0)
    words = [b"one", b"two", b"three"]

    def speak():
        for word in words:
            yield word
            assert said.acquire(timeout=10)

    heard = []
    for answer in calls.stream_stream("/t.T/Chat")(speak(), timeout=20):
        heard.append(answer)
        said.release()
    assert heard == [word.upper() for word in words]


def test_every_status_of_the_server_arrives_and_is_counted(calls):
    for index, code in enumerate(CODES):
        assert status(lambda: calls.unary_unary("/t.T/Fail")(str(index).encode(), timeout=10)) == (code, "so: it failed")
        assert status(lambda: list(calls.unary_stream("/t.T/FailLate")(str(index).encode(), timeout=10))) == (code, "late")
    for _ in range(5):
        calls.unary_unary("/t.T/Unary")(b"x", timeout=10)
    skein = calls.skein
    wait_for(lambda: skein.samples("istio_requests_total", request_protocol="grpc") == 2 * len(CODES) + 5, what="every call is counted")
    for code in CODES:
        got = skein.samples("istio_requests_total", request_protocol="grpc", response_code="200", grpc_response_status=str(code.value[0]))
        assert got == 2, (code, got)
    assert skein.samples("istio_requests_total", request_protocol="grpc", grpc_response_status="0") == 5


def test_the_deadline_is_kept_by_the_proxy(calls):
    """The client says its deadline and then does not keep it itself: the answer is the proxy's."""
    from http2_peers import H2Client

    with H2Client(calls.skein.ports["outbound"]) as client:
        begin = time.monotonic()
        answer = client.request(
            "/t.T/Sleep", "POST", headers=[(b"content-type", b"application/grpc"), (b"te", b"trailers"), (b"grpc-timeout", b"300m")],
            body=b"\0\0\0\0\1x")
        took = time.monotonic() - begin
    fields = dict(answer.trailers or answer.headers)
    assert fields[b"grpc-status"] == b"4" and answer.status == 200, answer.headers
    assert 0.25 < took < 3
    assert calls.skein.handler.cancelled.wait(10)
    wait_for(lambda: calls.skein.samples("istio_requests_total", request_protocol="grpc", grpc_response_status="4") == 1, what="it is counted")


def test_cancellation_reaches_the_server(calls):
    future = calls.unary_unary("/t.T/Sleep").future(b"x")
    assert calls.skein.handler.sleeping.wait(10), "the call has arrived"
    future.cancel()
    assert calls.skein.handler.cancelled.wait(10)


def test_errors_of_the_proxy_are_grpc_statuses(calls, start):
    skein = calls.skein
    unknown = open_channel(skein, "nowhere.local")
    assert status(lambda: unknown.unary_unary("/t.T/Unary")(b"x", timeout=10))[0] is grpc.StatusCode.UNIMPLEMENTED
    empty = open_channel(skein, "empty.local")
    assert status(lambda: empty.unary_unary("/t.T/Unary")(b"x", timeout=10))[0] is grpc.StatusCode.UNAVAILABLE
    dead = start(mesh(1, protocol="GRPC"))
    gone = open_channel(dead)
    assert status(lambda: gone.unary_unary("/t.T/Unary")(b"x", timeout=10))[0] is grpc.StatusCode.UNAVAILABLE
    for channel in (unknown, empty, gone):
        channel.close()
    # Each call may be on a worker of its own, and between these the log has no order.
    assert {entry["flags"] for entry in access_log(skein, 2)} == {"NR", "UH"}


def test_many_calls_at_once(calls):
    call = calls.unary_unary("/t.T/Unary")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: call(b"%d" % i, timeout=20), range(1000)))
    assert answers == [b"%d" % i for i in range(1000)]
    wait_for(
        lambda: calls.skein.samples("istio_requests_total", request_protocol="grpc", grpc_response_status="0") == 1000, what="every call is counted")


def test_a_call_refused_before_it_is_complete_keeps_its_status(calls):
    """The server answers with its status alone while the message is still on its way."""
    assert status(lambda: calls.unary_unary("/t.T/Unary")(bytes(20 << 20), timeout=20))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_plain_http1_upstream_makes_a_grpc_call_fail_and_not_hang(start, backend):
    skein = start(mesh(backend.port, protocol="GRPC"))
    channel = open_channel(skein)
    assert status(lambda: channel.unary_unary("/t.T/Unary")(b"x", timeout=10))[0] in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)
    channel.close()
