"""AuthorizationPolicy of action CUSTOM: requests checked by external authorizers over HTTP and gRPC, beside Envoy's ext_authz filter."""

import concurrent.futures
import contextlib
import json
import re
import socket
import subprocess
import time

import grpc
import pytest

from conftest import SKEIN, Backend, access_log, free_port, http_get, mesh, wait_for
from envoy_peer import HTTP2, Envoy, cluster, typed
from guarded_workload import guarded_workload
from http2_peers import H2Client
from test_authorization import ca, identities, policy, whole_lines  # noqa: F401 (fixtures)
from test_gateway import edge as gateway
from test_gateway import rule as gateway_rule
from test_gateway import service as plain_service
from test_mtls import connection
from test_jwt import authentication
from test_tcp import Echo
from token_issuer import Issuer

CUSTOM = "selector: {matchLabels: {app: backend}}\naction: CUSTOM\nprovider: {name: ask}\nrules: [%s]"


def custom(rules="{}", provider="ask"):
    return policy("custom", (CUSTOM % rules).replace("name: ask", f"name: {provider}"))


def service(port, protocol="HTTP", host="authz.local"):
    return f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {host.split(".")[0]}, namespace: production}}
spec:
  hosts: [{host}]
  ports: [{{number: 9000, name: {protocol.lower()}, protocol: {protocol}}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{{protocol.lower()}: {port}}}}}]
"""


def provider(settings="", kind="envoyExtAuthzHttp", name="ask", host="authz.local"):
    more = f", {settings}" if settings else ""
    return f"    - {{name: {name}, {kind}: {{service: {host}, port: 9000{more}}}}}\n"


def workload(port, backend_port, extra, providers, protocol="HTTP"):
    text = guarded_workload("backend", port, backend_port, extra, protocol)
    return text.replace("    extensionProviders:\n", "    extensionProviders:\n" + providers)


class Authorizer(Backend):
    """Lets in what says `x-ext-authz: allow`, as the authorizer of Istio's task does."""

    def __init__(self):
        super().__init__(self.judge)
        self.answer = None

    def judge(self, line, body):
        if self.answer is not None:
            return self.answer
        fields = self.requests[-1][3]
        if fields.get(b"x-ext-authz") == b"allow":
            return b"HTTP/1.1 200 OK\r\nX-Ext-Authz-Check-Result: allowed\r\nX-Internal: 1\r\nContent-Length: 0\r\n\r\n"
        return (
            b"HTTP/1.1 403 Forbidden\r\nX-Ext-Authz-Check-Result: denied\r\nContent-Length: 41\r\n\r\n"
            b"denied by ext_authz for not found header "
        )


@pytest.fixture
def authorizer():
    server = Authorizer()
    yield server
    server.close()


@pytest.fixture
def guarded(start, backend, authorizer):
    """A workload whose requests are checked by `authorizer`."""

    def begin(settings="", rules="{}", extra="", node=("--node", "backend", "--workers", "1")):
        port = free_port()
        text = workload(port, backend.port, service(authorizer.port) + custom(rules) + extra, provider(settings))
        skein = start(text, node)
        skein.inbound = port
        return skein

    return begin


def ask(skein, path="/", headers=None, method="GET", body=None):
    return http_get(skein.inbound, path, {"Host": "backend.local", **(headers or {})}, method=method, body=body)


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def pb(*fields):
    """A protobuf message of (number, value); integers, texts, bytes and messages already encoded."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            value = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def unpb(data):
    """The fields of a message: number to the list of its values."""
    fields, place = {}, 0

    def number():
        nonlocal place
        value = shift = 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while place < len(data):
        key = number()
        if key & 7 == 0:
            fields.setdefault(key >> 3, []).append(number())
        else:
            count = number()
            fields.setdefault(key >> 3, []).append(data[place : place + count])
            place += count
    assert place == len(data)
    return fields


def option(name, value, append=None, action=None):
    more = ([(2, pb((1, int(append))) if append else b"")] if append is not None else []) + ([(3, action)] if action else [])
    return pb((1, pb((1, name), (2, value))), *more)


def allowed(*fields):
    return pb((1, b""), (3, pb(*fields)))


def denied(*fields, code=7):
    return pb((1, pb((1, code))), (2, pb(*fields)))


def http_of(check):
    """`AttributeContext` of a CheckRequest, and its HTTP request with the headers as a dictionary."""
    attributes = unpb(unpb(check)[1][0])
    http = unpb(unpb(attributes[4][0])[2][0])
    headers = {}
    for entry in http.get(3, []):
        pair = unpb(entry)
        headers[pair[1][0].decode()] = pair.get(2, [b""])[0].decode()
    return attributes, http, headers


class GRPCAuthorizer:
    """`envoy.service.auth.v3.Authorization` of grpcio, with messages encoded by hand."""

    def __init__(self, credentials=None):
        self.checks = []
        self.metadata = []
        self.answer = allowed()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
        handler = grpc.unary_unary_rpc_method_handler(self.check)
        self.server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("envoy.service.auth.v3.Authorization", {"Check": handler})])
        address = "127.0.0.1:0"
        self.port = self.server.add_secure_port(address, credentials) if credentials else self.server.add_insecure_port(address)
        self.server.start()

    def check(self, request, context):
        self.checks.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.remaining = context.time_remaining()
        answer = self.answer(request, context) if callable(self.answer) else self.answer
        return answer

    def close(self):
        self.server.stop(None)


TASK = (
    "includeRequestHeadersInCheck: [x-ext-authz], includeAdditionalHeadersInCheck: {x-extra: fixed}, headersToUpstreamOnAllow: "
    "[x-ext-authz-check-result], headersToDownstreamOnDeny: [x-ext-authz-check-result]"
)


class TestTask:
    """Istio's task "External Authorization", with its provider and its policy."""

    RULES = '{to: [{operation: {paths: ["/headers"]}}]}'

    def test_the_task_works(self, guarded, authorizer, backend):
        skein = guarded(TASK, self.RULES)
        status, fields, body = ask(skein, "/headers", {"x-ext-authz": "deny"})
        assert (status, body) == (403, b"denied by ext_authz for not found header ")
        assert fields["x-ext-authz-check-result"] == "denied" and fields["server"] == "skein"
        assert backend.requests == []
        status, fields, _ = ask(skein, "/headers?a=b", {"x-ext-authz": "allow", "x-ext-authz-check-result": "forged", "x-private": "1"})
        assert status == 200 and "x-ext-authz-check-result" not in fields
        line, _, _, sent = backend.requests[0]
        assert sent[b"x-ext-authz-check-result"] == b"allowed" and sent[b"x-private"] == b"1" and b"x-internal" not in sent
        line, _, _, checked = authorizer.requests[1]
        assert line == b"GET /headers?a=b HTTP/1.1"
        assert checked == {b"host": b"backend.local", b"content-length": b"0", b"x-ext-authz": b"allow", b"x-extra": b"fixed"}
        assert ask(skein, "/ip")[0] == 200
        assert len(authorizer.requests) == 2
        lines = access_log(skein, 3)
        assert [(line["code"], line["flags"], line["details"]) for line in lines] == [
            (403, "UAEX", "ext_authz_denied"), (200, "-", "via_upstream"), (200, "-", "via_upstream")]
        assert all(line["request_id"] != "-" for line in lines)
        assert skein.samples("skein_ext_authz_ok_total", provider="ask") == 1
        assert skein.samples("skein_ext_authz_denied_total", provider="ask") == 1
        rule = {"namespace": "production", "policy": "custom", "rule": "0", "action": "CUSTOM"}
        assert skein.samples("skein_authorization_rule_matches_total", **rule) == 2

    def test_an_authorizer_that_is_gone_lets_nobody_in(self, guarded, authorizer, backend):
        skein = guarded(TASK, self.RULES)
        authorizer.close()
        authorizer.server.server_close()
        status, _, body = ask(skein, "/headers", {"x-ext-authz": "allow"})
        assert (status, body) == (403, b"") and backend.requests == []
        assert ask(skein, "/ip")[0] == 200
        lines = access_log(skein, 2)
        assert (lines[0]["flags"], lines[0]["details"]) == ("UAEX", "ext_authz_error")
        assert skein.samples("skein_ext_authz_error_total", provider="ask") == 1

    @pytest.mark.parametrize("fails_open", [False, True])
    def test_a_slow_authorizer(self, guarded, authorizer, backend, fails_open):
        skein = guarded(f'timeout: 1s, statusOnError: "503", failOpen: {str(fails_open).lower()}')
        authorizer.answer = lambda connection: time.sleep(3)
        begun = time.monotonic()
        assert ask(skein)[0] == (200 if fails_open else 503)
        assert 0.9 < time.monotonic() - begun < 2.5
        assert len(backend.requests) == fails_open
        assert skein.samples("skein_ext_authz_failure_mode_allowed_total", provider="ask") == fails_open


class TestHTTP:
    def test_the_prefix_and_the_body(self, guarded, authorizer, backend):
        skein = guarded("pathPrefix: /check, includeRequestBodyInCheck: {maxRequestBytes: 8, allowPartialMessage: true}")
        authorizer.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        assert ask(skein, "/a/../b?c=d", method="POST", body=b"0123456789")[0] == 200
        line, _, body, fields = authorizer.requests[0]
        assert line == b"POST /check/b?c=d HTTP/1.1" and body == b"01234567"
        assert fields[b"x-envoy-auth-partial-body"] == b"true" and fields[b"content-length"] == b"8"
        line, _, body, _ = backend.requests[0]
        assert line == b"POST /b?c=d HTTP/1.1" and body == b"0123456789"

    def test_what_is_sent_behind_is_not_lost(self, guarded, authorizer, backend):
        """A pipelining client, whose first request waits."""
        skein = guarded()
        authorizer.answer = lambda connection: (time.sleep(0.3), connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
        with socket.create_connection(("127.0.0.1", skein.inbound), timeout=10) as client:
            client.sendall(b"".join(b"POST /%d HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\nabc" % n for n in range(3)))
            data = b""
            while data.count(b"HTTP/1.1 200") < 3:
                data += client.recv(65536)
        assert [(r[0], r[2]) for r in backend.requests] == [(b"POST /%d HTTP/1.1" % n, b"abc") for n in range(3)]

    @pytest.mark.parametrize(
        "field", [b"Transfer-Encoding: chunked", b"Connection: x-secret", b"Upgrade: websocket", b"Host: other", b"Te: trailers"])
    def test_an_authorizer_does_not_frame_requests(self, guarded, authorizer, backend, field):
        name = field.split(b":")[0].decode().lower()
        skein = guarded(f'headersToUpstreamOnAllow: ["{name}", "x-*", "*"]' if name != "te" else 'headersToUpstreamOnAllow: ["te", "te*"]')
        authorizer.answer = b"HTTP/1.1 200 OK\r\nX-Fine: 1\r\n%s\r\n" % field + (
            b"\r\n0\r\n\r\n" if name == "transfer-encoding" else b"Content-Length: 0\r\n\r\n")
        assert ask(skein, method="POST", body=b"body")[0] == 200
        _, fields, body, sent = backend.requests[0]
        assert body == b"body" and sent[b"content-length"] == b"4" and sent[b"host"] == b"backend.local"
        assert b"transfer-encoding" not in sent and b"upgrade" not in sent and b"te" not in sent and b"connection" not in sent

    def test_a_websocket_waits_for_its_check(self, guarded, authorizer, backend):
        def switch(connection):
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            connection.sendall(connection.recv(100))

        skein = guarded("headersToDownstreamOnAllow: [x-seen]")
        authorizer.answer = b"HTTP/1.1 200 OK\r\nX-Seen: yes\r\nContent-Length: 0\r\n\r\n"
        backend.respond = lambda head, body: switch
        with socket.create_connection(("127.0.0.1", skein.inbound), timeout=10) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            head = client.recv(65536)
            assert head.startswith(b"HTTP/1.1 101")
            client.sendall(b"ping")
            assert client.recv(100).endswith(b"ping")


@pytest.fixture
def grpc_authorizer():
    server = GRPCAuthorizer()
    yield server
    server.close()


@pytest.fixture
def grpc_guarded(start, backend, grpc_authorizer):
    def begin(settings="", rules="{}"):
        port = free_port()
        text = workload(port, backend.port, service(grpc_authorizer.port, "GRPC") + custom(rules), provider(settings, "envoyExtAuthzGrpc"))
        skein = start(text, ("--node", "backend"))
        skein.inbound = port
        return skein

    return begin


class TestGRPC:
    def test_what_the_authorizer_is_told(self, grpc_guarded, grpc_authorizer, backend):
        skein = grpc_guarded("includeRequestBodyInCheck: {maxRequestBytes: 100}, timeout: 5s")
        before = time.time()
        with socket.create_connection(("127.0.0.1", skein.inbound), timeout=10) as client:
            own = client.getsockname()[1]
            client.sendall(
                b"POST /a/./b?c=d HTTP/1.1\r\nHost: Backend.local:99\r\nX-One: 1\r\nX-One: 2\r\nConnection: x-gone\r\nX-Gone: 1\r\n"
                b"X-Bad: \xff\xfe\r\nContent-Length: 4\r\n\r\nbody")
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
        attributes, http, headers = http_of(grpc_authorizer.checks[0])
        source = unpb(unpb(unpb(attributes[1][0])[1][0])[1][0])
        assert source[2] == [b"127.0.0.1"] and source[3] == [own]
        destination = unpb(unpb(unpb(attributes[2][0])[1][0])[1][0])
        assert destination[3] == [skein.inbound]
        assert abs(unpb(unpb(attributes[4][0])[1][0])[1][0] - before) < 5
        assert (http[2], http[4], http[5], http[6], http[10]) == ([b"POST"], [b"/a/b?c=d"], [b"Backend.local:99"], [b"http"], [b"HTTP/1.1"])
        assert http[11] == [b"body"] and 12 not in http and http[9] == [4]
        assert headers[":path"] == "/a/b?c=d" and headers[":method"] == "POST" and headers[":authority"] == "Backend.local:99"
        assert headers["x-one"] == "1,2" and headers["x-bad"] == "!!" and "x-gone" not in headers and "connection" not in headers
        assert headers["x-envoy-auth-partial-body"] == "false" and headers["x-forwarded-for"] == "127.0.0.1"
        assert 3 < grpc_authorizer.remaining <= 5
        assert skein.samples("skein_ext_authz_ok_total", provider="ask") == 1

    def test_what_is_let_in_may_be_changed(self, grpc_guarded, grpc_authorizer, backend):
        skein = grpc_guarded()
        grpc_authorizer.answer = allowed(
            (2, option("X-Set", "new")), (2, option("x-append", "more", append=True)), (2, option("x-none", "1", append=True)),
            (2, option("x-absent", "1", action=1)), (2, option("x-there", "2", action=3)), (2, option("x-nowhere", "2", action=3)),
            (2, option("host", "evil")), (2, option(":path", "/evil")), (2, option("transfer-encoding", "chunked")),
            (5, "x-away"), (5, "host"), (6, option("x-answer", "1")), (6, option("server", "evil")),
            (7, pb((1, "a"), (2, "9"))), (7, pb((1, "new"), (2, "x&y#"))), (8, "b"))
        status, fields, body = ask(
            skein, "/p?b=1&a=2&a=3&c", {"x-set": "old", "x-append": "some", "x-there": "1", "x-away": "1"}, "POST", b"four")
        assert status == 200 and body == b"ok" and fields["x-answer"] == "1" and fields.get("server") != "evil"
        line, fields, body, sent = backend.requests[0]
        assert line == b"POST /p?a=9&c&new=x%26y%23 HTTP/1.1" and body == b"four"
        assert sent[b"x-set"] == b"new" and sent[b"x-absent"] == b"1" and sent[b"x-there"] == b"2" and sent[b"host"] == b"backend.local"
        assert [v for k, v in fields if k.lower() == b"x-append"] == [b"some", b"more"]
        assert not {b"x-none", b"x-nowhere", b"x-away", b"transfer-encoding"} & set(sent)

    def test_what_is_refused(self, grpc_guarded, grpc_authorizer, backend):
        skein = grpc_guarded()
        grpc_authorizer.answer = denied(
            (1, pb((1, 401))), (2, option("www-authenticate", "Bearer")), (2, option("set-cookie", "a=1")),
            (2, option("set-cookie", "b=2")), (3, "who are you"))
        status, fields, body = ask(skein)
        assert (status, body, fields["www-authenticate"]) == (401, b"who are you", "Bearer")
        grpc_authorizer.answer = denied()
        assert ask(skein)[0] == 403
        grpc_authorizer.answer = pb((1, pb((1, 16))))
        assert ask(skein)[0] == 403
        assert backend.requests == []
        assert {(line["flags"], line["details"]) for line in access_log(skein, 3)} == {("UAEX", "ext_authz_denied")}

    @pytest.mark.parametrize("answer", [
        lambda request, context: context.abort(grpc.StatusCode.INTERNAL, "broken"),
        lambda request, context: b"\xff\xff\xff",
        lambda request, context: allowed((2, option("x", "a\r\nb"))),
        lambda request, context: allowed(*[(2, option(f"x-{n}", "1")) for n in range(100)]),
        lambda request, context: denied((3, "x" * 100_000)),
        lambda request, context: b"x" * 1_000_000,
        lambda request, context: time.sleep(3) or allowed(),
    ])
    def test_no_answer_is_a_failure(self, grpc_guarded, grpc_authorizer, backend, answer):
        skein = grpc_guarded('statusOnError: "503", timeout: 1s')
        grpc_authorizer.answer = answer
        assert ask(skein)[0] == 503
        grpc_authorizer.answer = allowed()
        assert ask(skein)[0] == 200
        assert {(line["code"], line["flags"], line["details"]) for line in access_log(skein, 2)} == {
            (503, "UAEX", "ext_authz_error"), (200, "-", "via_upstream")}

    @pytest.mark.parametrize("fails_open", [False, True])
    def test_connections(self, start, grpc_authorizer, fails_open):
        echo, port = Echo(b"hello "), free_port()
        settings = f"timeout: 1s, failOpen: {str(fails_open).lower()}"
        text = workload(port, echo.port, service(grpc_authorizer.port, "GRPC") + custom(), provider(settings, "envoyExtAuthzGrpc"), "TCP")
        skein = start(text, ("--node", "backend"))

        def talk():
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                own = client.getsockname()[1]
                client.sendall(b"you")
                with contextlib.suppress(ConnectionError):
                    return client.recv(100), own
                return b"", own

        answer, own = talk()
        assert answer == b"hello you"
        attributes = unpb(unpb(grpc_authorizer.checks[0])[1][0])
        assert unpb(unpb(unpb(attributes[1][0])[1][0])[1][0])[3] == [own] and 4 not in attributes
        grpc_authorizer.answer = denied()
        assert talk()[0] == b""
        grpc_authorizer.answer = lambda request, context: time.sleep(3) or allowed()
        assert talk()[0] == (b"hello you" if fails_open else b"")
        assert echo.connections == 1 + fails_open
        found = sorted((line["flags"], line["details"] or "-") for line in access_log(skein, 3))
        last = [] if fails_open else [("UAEX", "ext_authz_error")]
        assert [line for line in found if line[0] == "UAEX"] == [("UAEX", "ext_authz_denied"), *last]
        assert skein.samples("skein_ext_authz_error_total", provider="ask") == 1

    def test_connections_that_nobody_can_be_asked_about_are_closed(self, start, authorizer):
        echo, port = Echo(b"hello "), free_port()
        text = workload(port, echo.port, service(authorizer.port) + custom(), provider("failOpen: true"), "TCP")
        skein = start(text, ("--node", "backend"))
        assert "SKN0324" in skein.log()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            with contextlib.suppress(ConnectionError):
                assert client.recv(100) == b""
        assert echo.connections == 0 and authorizer.requests == []

    def test_a_port_that_speaks_no_http2_is_refused(self, tmp_path):
        config = workload(free_port(), 9, service(9) + custom(), provider("", "envoyExtAuthzGrpc"))
        (tmp_path / "mesh.yaml").write_text(config)
        found = subprocess.run([SKEIN, "validate", str(tmp_path), "--node", "backend"], capture_output=True, text=True)
        assert found.returncode != 0 and "gRPC needs HTTP/2" in found.stdout


class TestIdentities:
    def test_who_asks_is_told_over_mutual_tls(self, start, backend, ca, identities):
        """The check goes as its host's DestinationRule says, and tells the principals of both ends of the client's connection."""
        own = identities("production/authz")
        credentials = grpc.ssl_server_credentials(
            [((own / "tls.key").read_bytes(), (own / "tls.crt").read_bytes())], (own / "ca.crt").read_bytes(), True)
        authorizer, port = GRPCAuthorizer(credentials), free_port()
        rule = """
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: authz, namespace: production}
spec: {host: authz.local, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, subjectAltNames: ["spiffe://cluster.local/ns/production/sa/%s"]}}}
"""
        arguments = ("--node", "backend", "--identity", str(identities("production/backend")))
        principal = b"spiffe://cluster.local/ns/production/sa/"
        try:
            for account, status in [("authz", b"200"), ("impostor", b"403")]:
                extra = service(authorizer.port, "GRPC") + rule % account + custom()
                start(workload(port, backend.port, extra, provider("", "envoyExtAuthzGrpc")), arguments)
                with connection(port, ca, identities("production/web")) as secure:
                    secure.sendall(b"GET / HTTP/1.1\r\nHost: b\r\nX-Forwarded-Client-Cert: By=other\r\n\r\n")
                    assert secure.recv(65536).split()[1] == status
                port = free_port()
            assert len(authorizer.checks) == 1
            attributes, _, headers = http_of(authorizer.checks[0])
            assert unpb(attributes[1][0])[4] == [principal + b"web"] and unpb(attributes[2][0])[4] == [principal + b"backend"]
            # What a peer of the mesh forwards stays in front of its own certificate, as the application gets it.
            seen = backend.requests[0][3][b"x-forwarded-client-cert"].decode()
            assert headers["x-forwarded-client-cert"] == seen and seen.startswith("By=other,By=spiffe://")
        finally:
            authorizer.close()

    def test_plaintext_clients_forge_nothing(self, guarded, authorizer):
        skein = guarded("includeRequestHeadersInCheck: [x-forwarded-client-cert, x-forwarded-for]")
        authorizer.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        assert ask(skein, headers={"X-Forwarded-Client-Cert": "URI=spiffe://forged", "X-Forwarded-For": "10.1.1.1"})[0] == 200
        fields = [(name.lower(), value) for name, value in authorizer.requests[0][1]]
        assert b"x-forwarded-client-cert" not in dict(fields)
        assert [value for name, value in fields if name == b"x-forwarded-for"] == [b"10.1.1.1", b"127.0.0.1"]

    def test_what_the_authorizer_says_is_judged(self, guarded, authorizer, backend):
        deny = policy("banned", 'action: DENY\nrules: [{when: [{key: "request.headers[x-role]", values: [banned]}]}]')
        skein = guarded("headersToUpstreamOnAllow: [x-role]", extra=deny)
        authorizer.answer = b"HTTP/1.1 200 OK\r\nX-Role: banned\r\nContent-Length: 0\r\n\r\n"
        assert ask(skein, headers={"X-Role": "admin"})[0] == 403
        assert access_log(skein, 1)[0]["details"].startswith("rbac_access_denied_matched_policy[ns[production]-policy[banned]")
        authorizer.answer = b"HTTP/1.1 200 OK\r\nX-Role: user\r\nContent-Length: 0\r\n\r\n"
        assert ask(skein, headers={"X-Role": "banned"})[0] == 200 and len(backend.requests) == 1


class TestHTTP2:
    def test_clients_of_http2(self, guarded, authorizer, backend):
        skein = guarded(TASK + ", includeRequestBodyInCheck: {maxRequestBytes: 200000}")
        with H2Client(skein.inbound) as client:
            refused = client.request("/x", "POST", headers=[("content-type", "application/grpc"), ("te", "trailers")], body=b"abc")
            assert refused.status == 200 and refused.header(b"grpc-status") == b"7"
            assert refused.header(b"grpc-message") == b"denied by ext_authz for not found header%20"
            assert refused.header(b"x-ext-authz-check-result") == b"denied"
            # More than the client may send at once: the window opens while the body is collected.
            let_in = client.request("/y", "POST", headers=[("x-ext-authz", "allow")], body=b"z" * 150_000)
            assert let_in.status == 200
            assert client.request("/y", "POST", headers=[("x-ext-authz", "allow")], body=b"z" * 250_000).status == 413
            # Nothing of a refusal becomes a field of its own.
            authorizer.answer = b"HTTP/1.1 403 No\r\nContent-Type: text/x\r\nContent-Length: 14\r\n\r\na\r\nx-evil: 1%\xc3"
            refused = client.request("/x", "POST", headers=[("content-type", "application/grpc"), ("te", "trailers")], body=b"abc")
            assert refused.header(b"grpc-message") == b"a%0D%0Ax-evil: 1%25%C3" and refused.header(b"x-evil") is None
            assert refused.header(b"content-type") == b"application/grpc"
        assert authorizer.requests[1][2] == b"z" * 150_000 and backend.requests[0][2] == b"z" * 150_000
        assert len(backend.requests) == 1


class TestGateway:
    @pytest.mark.parametrize("clears", [True, False])
    def test_the_route_is_chosen_by_what_the_authorizer_says(self, start, backend, authorizer, clears):
        port, other = free_port(), Backend(lambda line, body: b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother")
        http = (
            '  - match: [{headers: {x-user: {exact: alice}}}]\n    route: [{destination: {host: other.local}}]\n'
            "  - route: [{destination: {host: web.local}}]")
        servers = '  - port: {number: 80, name: http, protocol: HTTP}\n    hosts: ["*"]\n'
        selector = CUSTOM.replace("app: backend", "istio: ingressgateway")
        extra = plain_service("other.local", other.port) + service(authorizer.port) + policy("custom", selector % "{}", namespace="ingress")
        text = mesh(backend.port, gateway(port, servers, gateway_rule("all", '["*"]', "", http=http), extra))
        settings = f"clearRouteCache: {str(clears).lower()}, headersToUpstreamOnAllow: [x-user]"
        skein = start(text.replace("    extensionProviders:\n", "    extensionProviders:\n" + provider(settings)), ("--node", "edge"))
        authorizer.answer = b"HTTP/1.1 200 OK\r\nX-User: alice\r\nContent-Length: 0\r\n\r\n"
        status, _, body = http_get(port, "/", {"Host": "shop.example"})
        assert (status, body) == (200, b"other" if clears else b"ok") and len(authorizer.requests) == 1
        reached = (other if clears else backend).requests[0][3]
        assert reached[b"x-user"] == b"alice"
        other.close()
        assert skein.samples("skein_ext_authz_ok_total", provider="ask") == 1


class TestConfiguration:
    @pytest.mark.parametrize("text, message", [
        (lambda port: service(port) + custom(provider="nobody"), 'provider "nobody" is not in meshConfig.extensionProviders'),
        (lambda port: service(port) + custom(provider="file"), 'provider "file" is no external authorizer'),
        (lambda port: custom(), "no service has the host authz.local"),
        (lambda port: service(port) + custom() + policy("other", CUSTOM.replace("ask", "again") % "{}"), "must name one provider"),
        (lambda port: service(port) + policy("dry", CUSTOM % "{}", annotations='istio.io/dry-run: "true"'), "ALLOW or DENY, not CUSTOM"),
    ])
    def test_what_cannot_be_asked_is_refused(self, tmp_path, text, message):
        config = workload(free_port(), 9, text(9), provider() + provider(name="again"))
        (tmp_path / "mesh.yaml").write_text(config)
        found = subprocess.run([SKEIN, "validate", str(tmp_path), "--node", "backend"], capture_output=True, text=True)
        assert found.returncode != 0 and message in found.stdout + found.stderr, found.stdout + found.stderr
        assert re.search(r"mesh\.yaml:\d+:\d+", found.stdout + found.stderr)


class TestExplain:
    def test_what_is_asked_is_said(self, tmp_path):
        config = workload(9080, 9, service(9) + custom('{to: [{operation: {paths: ["/admin*"]}}]}'), provider())
        (tmp_path / "mesh.yaml").write_text(config)

        def run(*arguments):
            return subprocess.run([SKEIN, *arguments], capture_output=True, text=True).stdout

        inbound = ["explain", "-c", str(tmp_path), "--node", "backend", "--inbound"]
        assert "asks ask at authz.local:9000 first" in run(*inbound, "http://backend:9080/admin/x")
        told = run(*inbound, "http://backend:9080/open")
        assert "asks" not in told and "CUSTOM" in told and "does not match" in told
        assert "CUSTOM (asks ask)" in run("authz", "check", "-c", str(tmp_path), "--node", "backend")
        listed = json.loads(run("authz", "check", "-c", str(tmp_path), "--node", "backend", "-o", "json"))
        assert listed["workloads"][0]["policies"][0]["provider"] == "ask"


# --- Beside Envoy --------------------------------------------------------------------------------------------------------

# What the HTTP authorizer answers, by the request's `x-answer`.
HTTP_ANSWERS = {
    "ok": b"HTTP/1.1 200 OK\r\nX-User: alice\r\nX-Other: 1\r\nX-Down: d\r\nContent-Type: text/x\r\nContent-Length: 2\r\n\r\nhi",
    "twice": b"HTTP/1.1 200 OK\r\nX-User: alice\r\nX-User: bob\r\nX-Down: d\r\nX-Down: e\r\nContent-Length: 0\r\n\r\n",
    "remove": b"HTTP/1.1 200 OK\r\nX-User: a\r\nX-Envoy-Auth-Headers-To-Remove: x-in-a, x-user, Host\r\nContent-Length: 0\r\n\r\n",
    "denied": b"HTTP/1.1 403 Forbidden\r\nX-Why: no\r\nX-Other: 1\r\nContent-Length: 2\r\n\r\nno",
    "login": b"HTTP/1.1 302 Found\r\nLocation: http://login/\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n",
    "basic": b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\n<p>",
    "chunked": b"HTTP/1.1 429 Slow Down\r\nTransfer-Encoding: chunked\r\nX-Why: rate\r\n\r\n4\r\nslow\r\n0\r\n\r\n",
    "201": b"HTTP/1.1 201 Created\r\nX-User: a\r\nContent-Length: 0\r\n\r\n",
    "204": b"HTTP/1.1 204 No Content\r\nX-Why: w\r\n\r\n",
    "500": b"HTTP/1.1 500 Broken\r\nX-Why: w\r\nContent-Length: 1\r\n\r\nx",
    "503": b"HTTP/1.1 503 Gone\r\nContent-Length: 0\r\n\r\n",
    "fin": None,
}
GRPC_ANSWERS = {
    "empty": b"",
    "ok": allowed((2, option("x-user", "alice")), (2, option("x-in-a", "new")), (6, option("x-down", "d")), (6, option("x-answered", "2"))),
    "append": allowed(
        (2, option("x-in-b", "more", append=True)), (2, option("x-none", "1", append=True)), (2, option("x-user", "1", append=False))),
    "response-actions": allowed(
        (6, option("x-down", "1", action=2)), (6, option("x-new", "1", action=1)), (6, option("x-gone", "1", action=3))),
    "remove": allowed((2, option("x-user", "a")), (5, "x-in-a"), (5, "x-user"), (5, "host")),
    "query": allowed((7, pb((1, "a"), (2, "9"))), (8, "b")),
    "denied": denied((1, pb((1, 401))), (2, option("x-why", "no")), (3, "go away")),
    "denied-plain": denied(),
    "denied-code": pb((1, pb((1, 16)))),
    "denied-ok": pb((1, pb((1, 7))), (3, pb((2, option("x-user", "a"))))),
    "cookies": denied(
        (1, pb((1, 403))), (2, option("set-cookie", "a=1")), (2, option("set-cookie", "b=2")), (2, option("content-type", "text/x"))),
    "broken": b"\xff\xff\xff",
    "fails": lambda request, context: context.abort(grpc.StatusCode.UNAVAILABLE, "gone"),
}
# Of the fields that an endpoint gets, those that are this test's.
SENT = ("x-user", "x-other", "x-in-a", "x-in-b", "x-down", "x-none", "x-new", "content-type", "content-length", "host", "x-answer")
SHOWN = (
    "x-why", "x-other", "x-down", "x-new", "x-gone", "x-user", "location", "set-cookie", "www-authenticate", "content-type",
    "content-length",
)


def through(port, answer, method="GET", body=b""):
    """Status, body and the fields of `SHOWN` that a client gets."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        length = b"Content-Length: %d\r\n" % len(body) if body else b""
        client.sendall(
            b"%s /p?b=1&a=2 HTTP/1.1\r\nHost: b.local\r\nX-Answer: %s\r\nAuthorization: Basic x\r\nX-In-A: 1\r\nX-In-A: 2\r\nX-In-B: b\r\n"
            b"X-User: root\r\nX-Hidden: h\r\n%sConnection: close\r\n\r\n%s" % (method.encode(), answer.encode(), length, body))
        data = b""
        while piece := client.recv(65536):
            data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = [line.decode().split(": ", 1) for line in head.split(b"\r\n")[1:]]
    return int(head.split()[1]), rest, sorted((k.lower(), v) for k, v in lines if k.lower() in SHOWN)


def sent(request):
    line, fields, body, _ = request
    joined = {}
    for name, value in fields:
        joined.setdefault(name.decode().lower(), []).append(value.decode())
    return line, body, {name: ",".join(values) for name, values in joined.items() if name in SENT}


def logged(lines):
    return sorted((int(line["code"]), line["flags"], line["details"]) for line in lines)


class TestBesideEnvoy:
    """Envoy 1.40's ext_authz filter with the same provider: what clients, endpoints and the authorizer get, flags and details."""

    @pytest.mark.parametrize("lists", ["", "deny", "body"])
    def test_http(self, guarded, authorizer, backend, tmp_path, lists):
        settings = "includeRequestHeadersInCheck: [x-answer, x-in-*], includeAdditionalHeadersInCheck: {x-added: one, x-in-b: fixed}, " + (
            "headersToUpstreamOnAllow: [x-user], headersToDownstreamOnAllow: [x-down], pathPrefix: /check")
        settings += ", headersToDownstreamOnDeny: [x-why]" if lists == "deny" else ""
        settings += ", includeRequestBodyInCheck: {maxRequestBytes: 5, allowPartialMessage: true}" if lists == "body" else ""
        skein = guarded(settings)
        authorizer.judge = None
        authorizer.respond = lambda line, body: HTTP_ANSWERS[authorizer.requests[-1][3][b"x-answer"].decode()]
        backend.respond = lambda line, body: b"HTTP/1.1 200 OK\r\nX-Down: own\r\nContent-Length: 2\r\n\r\nok"
        patterns = lambda names: {"patterns": [{"prefix": n[:-1]} if n.endswith("*") else {"exact": n} for n in names]}
        response = {"allowed_upstream_headers": patterns(["x-user"]), "allowed_client_headers_on_success": patterns(["x-down"])}
        if lists == "deny":
            response["allowed_client_headers"] = patterns(["x-why"])
        more = {"with_request_body": {"max_request_bytes": 5, "allow_partial_message": True}} if lists == "body" else {}
        guard = typed(
            "envoy.filters.http.ext_authz", "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz", transport_api_version="V3",
            allowed_headers=patterns(["x-answer", "x-in-*"]), http_service={
                "server_uri": {"uri": "http://authz.local", "cluster": "authz", "timeout": "5s"}, "path_prefix": "/check",
                "authorization_request": {"headers_to_add": [{"key": "x-added", "value": "one"}, {"key": "x-in-b", "value": "fixed"}]},
                "authorization_response": response}, **more)
        bodies = [b"", b"12345", b"123456789"] if lists == "body" else [b""]
        self.compare(skein, backend, tmp_path, guard, cluster("authz", [authorizer.port]), HTTP_ANSWERS, bodies, lambda: [
            self.checked(*request) for request in authorizer.requests])

    @staticmethod
    def checked(line, fields, body, lower):
        ours = (
            "host", "content-length", "authorization", "x-answer", "x-in-a", "x-in-b", "x-added", "x-hidden", "x-user",
            "x-envoy-auth-partial-body")
        joined = {}
        for name, value in fields:
            joined.setdefault(name.decode().lower(), []).append(value.decode())
        return line, body, {name: ",".join(values).replace(", ", ",") for name, values in joined.items() if name in ours}

    @pytest.mark.parametrize("with_body", [False, True])
    def test_grpc(self, grpc_guarded, grpc_authorizer, backend, tmp_path, with_body):
        body = "includeRequestBodyInCheck: {maxRequestBytes: 5, allowPartialMessage: true, packAsBytes: true}"
        skein = grpc_guarded(body if with_body else "")

        def answer(request, context):
            answer = GRPC_ANSWERS[http_of(request)[2]["x-answer"]]
            return answer(request, context) if callable(answer) else answer

        grpc_authorizer.answer = answer
        backend.respond = lambda line, body: b"HTTP/1.1 200 OK\r\nX-Down: own\r\nX-Gone: own\r\nContent-Length: 2\r\n\r\nok"
        more = {"with_request_body": {"max_request_bytes": 5, "allow_partial_message": True, "pack_as_bytes": True}} if with_body else {}
        guard = typed(
            "envoy.filters.http.ext_authz", "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz", transport_api_version="V3",
            grpc_service={"envoy_grpc": {"cluster_name": "authz"}, "timeout": "5s"}, **more)
        bodies = [b"", b"1234", b"123456789"] if with_body else [b""]
        self.compare(skein, backend, tmp_path, guard, cluster("authz", [grpc_authorizer.port], **HTTP2), GRPC_ANSWERS, bodies, lambda: [
            self.told(check) for check in grpc_authorizer.checks])

    @staticmethod
    def told(check):
        _, http, headers = http_of(check)
        left_out = (
            "x-forwarded-for", "x-forwarded-proto", "x-request-id", "x-envoy-internal", "x-envoy-expected-rq-timeout-ms",
            "x-envoy-attempt-count")
        numbers = {2: "method", 4: "path", 5: "host", 6: "scheme", 10: "protocol", 11: "body", 12: "raw_body"}
        return {name: http[number] for number, name in numbers.items() if number in http}, {
            name: value.replace(", ", ",") for name, value in headers.items() if name not in left_out}

    def compare(self, skein, backend, directory, guard, authz, answers, bodies, checks):
        everything = [{"match": {"prefix": "/"}, "route": {"cluster": "backend"}}]
        envoy = Envoy(directory, [("all", ["*"], everything)], [cluster("backend", [backend.port]), authz], [guard])
        cases = [(answer, "POST" if body else "GET", body) for answer in answers for body in bodies]
        try:
            outcomes, requests, asked = [], [], []
            for port in (skein.inbound, envoy.port):
                before, checked = len(backend.requests), len(checks())
                outcomes.append([through(port, *case) for case in cases])
                requests.append([sent(request) for request in backend.requests[before:]])
                # Ours is sent once more where a kept connection has just ended.
                asked.append([check for check, last in zip(checks()[checked:], [None] + checks()[checked:]) if check != last])
            different = [(case, our, their) for case, our, their in zip(cases, *outcomes) if our != their]
            assert different == []
            assert len(requests[0]) == len(requests[1])
            assert [(our, their) for our, their in zip(*requests) if our != their] == []
            assert len(asked[0]) == len(asked[1])
            assert [(our, their) for our, their in zip(*asked) if our != their] == []
            envoy_log = wait_for(lambda: whole_lines(envoy.log, len(cases)), what="Envoy's log")
            assert logged(access_log(skein, len(cases))) == logged(envoy_log)
        finally:
            envoy.stop()


class TestWithTokens:
    """CUSTOM, then the token, then DENY and ALLOW (semantics 2.8); all of them have to let a request in."""

    def test_the_order(self, guarded, authorizer, backend):
        issuer = Issuer()
        try:
            rules = [{"issuer": issuer.name, "jwks": json.dumps(issuer.jwks())}]
            extra = authentication(rules, selector="selector: {matchLabels: {app: backend}}") + policy(
                "role", 'selector: {matchLabels: {app: backend}}\nrules:\n- when: [{key: "request.auth.claims[role]", values: [admin]}]')
            skein = guarded("includeRequestHeadersInCheck: [x-ext-authz], headersToDownstreamOnAllow: [x-ext-authz-check-result]", extra=extra)

            def get(passes, token):
                fields = {"Host": "backend", "x-ext-authz": "allow" if passes else "deny", **({"Authorization": f"Bearer {token}"} if token else {})}
                status, headers, body = http_get(skein.inbound, "/", fields)
                return status, body, headers.get("x-ext-authz-check-result")

            admin, user = issuer.token(role="admin"), issuer.token(role="user")
            assert get(True, admin) == (200, b"ok", "allowed")
            assert get(False, admin)[0] == 403
            assert get(False, "bad")[1].startswith(b"denied by ext_authz"), "it is asked first"
            assert get(True, "bad")[:2] == (401, b"Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections")
            assert get(True, user)[:2] == (403, b"RBAC: access denied")
            assert get(True, None)[:2] == (403, b"RBAC: access denied")
            # The authorizer sees the token, the application does not.
            assert [request[3].get(b"authorization") for request in authorizer.requests[:1]] == [f"Bearer {admin}".encode()]
            assert b"authorization" not in backend.requests[0][3] and len(backend.requests) == 1
        finally:
            issuer.close()

    def test_requests_that_wait_are_judged_by_their_own_tokens(self, guarded, authorizer, backend):
        """Checks take their time and end in any order; claims are those of each request."""
        issuer = Issuer()
        authorizer.respond = lambda line, body: (
            time.sleep(0.002 * (len(authorizer.requests) % 5)), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")[1]
        try:
            rules = [{"issuer": issuer.name, "jwks": json.dumps(issuer.jwks()), "outputClaimToHeaders": [{"header": "x-sub", "claim": "sub"}]}]
            extra = authentication(rules, selector="selector: {matchLabels: {app: backend}}") + policy(
                "odd", 'selector: {matchLabels: {app: backend}}\nrules:\n- when: [{key: "request.auth.claims[kind]", values: [odd]}]')
            skein = guarded(extra=extra, node=("--node", "backend", "--workers", "1"))

            def get(number):
                token = issuer.token(sub=f"s{number}", kind="odd" if number % 2 else "even") if number % 3 else None
                fields = {"Host": "backend", **({"Authorization": f"Bearer {token}"} if token else {})}
                return http_get(skein.inbound, f"/{number}", fields)[0]

            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                statuses = list(pool.map(get, range(200)))
            assert statuses == [200 if number % 3 and number % 2 else 403 for number in range(200)]
            for line, _, _, fields in backend.requests:
                assert fields[b"x-sub"] == b"s" + line.split()[1][1:]
        finally:
            issuer.close()
