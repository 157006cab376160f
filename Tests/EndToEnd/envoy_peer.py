"""A real Envoy beside Skein: the same scripted backends behind both, the same requests in front, and what came of each as one comparable value."""

import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import threading
import time

import h2.errors

from conftest import Backend, free_port, wait_for
from http2_peers import H2Backend, H2Client

ENVOY = pathlib.Path(sys.executable).with_name("envoy")
LABELS = {
    "code": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%", "details": "%RESPONSE_CODE_DETAILS%", "method": "%REQ(:METHOD)%",
    "path": "%REQ(:PATH)%", "original": "%REQ(X-ENVOY-ORIGINAL-PATH)%", "authority": "%REQ(:AUTHORITY)%", "protocol": "%PROTOCOL%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "sent": "%BYTES_SENT%", "received": "%BYTES_RECEIVED%", "case": "%REQ(X-CASE)%",
    "upstream_protocol": "%UPSTREAM_PROTOCOL%", "attempted": "%UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT%", "type": "%ACCESS_LOG_TYPE%", "round_trip": "%ROUNDTRIP_DURATION%",
    "path_nq": "%PATH(NQ)%", "path_own": "%PATH(WQ:PATH)%", "path_before": "%PATH(NQ:ORIG)%", "path_cut": "%PATH:4%",
    "zone": "%START_TIME_LOCAL(%z %Z)% %EMIT_TIME_LOCAL(%z)%", "local": "%START_TIME_LOCAL%", "emitted": "%EMIT_TIME_LOCAL%",
    "query": "%QUERY_PARAMS%", "parameter": "%QUERY_PARAM(e)%", "parameter_cut": "%QUERY_PARAM(x):2%",
}
# Not that of the machine, so that local time is not UTC.
ZONE = {"TZ": "America/New_York"}
OPERATORS = ("zone", "local", "emitted", "upstream_protocol", "attempted", "type", "round_trip", "path_nq", "path_own", "path_before", "path_cut", "query", "parameter", "parameter_cut")


# --- The backend ---------------------------------------------------------------------------------------------------------


def reset(connection):
    """Ends a connection with a TCP reset rather than a close."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def until_closed(connection):
    """Says nothing for as long as the peer stays."""
    connection.settimeout(20)
    with contextlib.suppress(OSError):
        while connection.recv(65536):
            pass


WHOLE = {
    "garbage": b"nonsense\r\n\r\n",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "switch": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\nX-T: 1\r\n\r\n",
    "until-close": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil close",
    "head": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
    "not-modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\nETag: x\r\n\r\n",
    "no-content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "hop": b"HTTP/1.1 200 OK\r\nConnection: x-hop, close\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-End: 1\r\nContent-Length: 2\r\n\r\nok",
    "old": b"HTTP/1.0 200 OK\r\n\r\nold",
}
CUT = {
    "short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npartial",
    "cut-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    "cut-between": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "cut-head": b"HTTP/1.1 200 OK\r\nContent-Le",
}


def scripted(step):
    """What the backend does for one step of a script: a status with fields (`503;x-a: b`), or one of the words above."""
    if step in WHOLE:
        # All but the close-delimited are followed by nothing; the peer closes.
        return WHOLE[step] if step not in ("until-close", "old") else lambda c: c.sendall(WHOLE[step])
    if step in CUT:
        return lambda c: c.sendall(CUT[step])
    if step == "fin":
        return None
    if step == "reset":
        return reset
    if step == "reset-after-head":
        def answer(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npartial")
            connection.recv(0)
            reset(connection)
        return answer
    if step == "hang":
        return until_closed
    code, *fields = step.split(";")
    text = f"HTTP/1.1 {code} Status\r\n" + "".join(f"{f.strip()}\r\n" for f in fields) + f"Content-Length: {len(code)}\r\n\r\n{code}"
    return text.encode()


class ScriptedBackend(Backend):
    """Answers the n-th try of a case by the n-th step of its `x-script`; the last step stays."""

    def __init__(self):
        super().__init__(self.step)
        self.seen = {}

    def step(self, line, body):
        # Requests come one after the other, but for tests that say otherwise.
        with self.lock:
            fields = self.requests[-1][3]
            case = fields.get(b"x-case", b"")
            number = self.seen[case] = self.seen.get(case, 0) + 1
        steps = fields.get(b"x-script", b"200").decode().split("|")
        return scripted(steps[min(number, len(steps)) - 1].strip())


class ScriptedH2Backend(H2Backend):
    def __init__(self):
        super().__init__(self.step)
        self.seen = {}

    def step(self, stream, connection):
        case = stream.header(b"x-case")
        with self.lock:
            number = self.seen[case] = self.seen.get(case, 0) + 1
        steps = (stream.header(b"x-script") or b"200").decode().split("|")
        step = steps[min(number, len(steps)) - 1].strip()
        codes = h2.errors.ErrorCodes
        if step in ("refused", "internal", "cancel"):
            connection.reset(stream, {"refused": codes.REFUSED_STREAM, "internal": codes.INTERNAL_ERROR, "cancel": codes.CANCEL}[step])
        elif step == "after-head":
            connection.head(stream)
            connection.data(stream, b"partial")
            connection.reset(stream, codes.INTERNAL_ERROR)
        elif step == "garbage":
            connection.socket.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        elif step == "drop":
            connection.drop()
        elif step == "hang":
            pass
        elif step.startswith("grpc"):
            # `grpc=14`: trailers only. `grpc+0`: a message, then trailers.
            code = step[5:].encode()
            fields = [(b"content-type", b"application/grpc"), (b"grpc-status", code)]
            if step[4] == "=":
                connection.head(stream, headers=fields, end=True)
            else:
                connection.answer(stream, headers=fields[:1], body=b"\0\0\0\0\0", trailers=fields[1:])
        elif step == "no-content":
            connection.answer(stream, 204)
        elif step == "long":
            connection.answer(stream, headers=[(b"content-length", b"1")], body=b"longer")
        elif step == "trailers":
            connection.answer(stream, body=b"abc", trailers=[(b"x-t", b"1")])
        else:
            connection.answer(stream, int(step), headers=[(b"content-length", str(len(step)).encode())], body=step.encode())


class BlackHole:
    """A port that takes part in no handshake: its backlog is full and nobody accepts."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(0)
        self.port = self.socket.getsockname()[1]
        self.crowd = []
        for _ in range(8):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", self.port))
            self.crowd.append(s)

    def close(self):
        for s in [*self.crowd, self.socket]:
            s.close()


# --- Envoy ---------------------------------------------------------------------------------------------------------------


def cluster(name, ports, **more):
    return {
        "name": name, "type": "STATIC", "connect_timeout": "10s",
        # As istiod: limits are off unless set, and so is the panic threshold.
        "circuit_breakers": {"thresholds": [{"max_connections": 4294967295, "max_pending_requests": 4294967295, "max_requests": 4294967295,
                                             "max_retries": 4294967295, "track_remaining": True}]},
        "common_lb_config": {"healthy_panic_threshold": {}},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": p}}}} for p in ports]}]},
        **more,
    }


def protocol(options):
    return {"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", **options}}}


ONE_EACH = protocol({"common_http_protocol_options": {"max_requests_per_connection": 1}, "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}}})
HTTP2 = protocol({"explicit_http_config": {"http2_protocol_options": {}}})


def typed(name, kind, **fields):
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/{kind}", **fields}}


def configuration(port, log, hosts, clusters, guards=()):
    """A sidecar's outbound listener as istiod writes it. `hosts`: [(name, domains, routes)]; `guards`: filters before all others."""
    filters = [
        *guards,
        typed("envoy.filters.http.fault", "envoy.extensions.filters.http.fault.v3.HTTPFault"),
        typed("envoy.filters.http.cors", "envoy.extensions.filters.http.cors.v3.Cors"),
        typed("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router"),
    ]
    manager = typed(
        "hcm", "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="outbound", use_remote_address=False, server_header_transformation="PASS_THROUGH", normalize_path=True,
        path_with_escaped_slashes_action="KEEP_UNCHANGED", upgrade_configs=[{"upgrade_type": "websocket"}], stream_idle_timeout="0s", delayed_close_timeout="0.05s",
        http_protocol_options={"enable_trailers": True},
        access_log=[typed("log", "envoy.extensions.access_loggers.file.v3.FileAccessLog", path=str(log), log_format={"json_format": LABELS})],
        http_filters=filters,
        route_config={
            "ignore_port_in_host_matching": True, "validate_clusters": False, "max_direct_response_body_size_bytes": 1 << 20,
            "virtual_hosts": [{"name": n, "domains": d, "routes": r, "include_request_attempt_count": True} for n, d, r in hosts],
        })
    listener = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}, "filter_chains": [{"filters": [manager]}]}
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


class Envoy:
    """A running Envoy with one worker. `admin`: the port of its admin interface; None = it has none."""

    def __init__(self, directory, hosts, clusters, guards=(), admin=None):
        self.port = free_port()
        self.log = directory / "envoy.json"
        config = directory / "envoy-config.json"
        bootstrap = configuration(self.port, self.log, hosts, clusters, guards)
        if admin:
            bootstrap["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}}
        config.write_text(json.dumps(bootstrap, indent=1))
        self.stderr = open(directory / "envoy.stderr", "wb")
        self.process = subprocess.Popen(
            [ENVOY, "-c", config, "--concurrency", "1", "-l", "warning", "--use-dynamic-base-id", "--file-flush-interval-msec", "10"],
            stdout=subprocess.DEVNULL, stderr=self.stderr, env={**os.environ, **ZONE})

        def answers():
            assert self.process.poll() is None, (directory / "envoy.stderr").read_text(errors="replace")
            socket.create_connection(("127.0.0.1", self.port)).close()
            return True

        wait_for(answers, seconds=30, what="Envoy")

    def stop(self):
        self.process.kill()
        self.process.wait()


# --- One request ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Case:
    """A request and the script its backend goes by."""

    host: str
    path: str = "/"
    method: str = "GET"
    headers: tuple = ()
    body: bytes = None
    script: str = None
    # Bytes in place of a request put together from the above.
    raw: bytes = None
    http2: bool = False
    trailers: tuple = ()
    # Leaves out Host, or sends another protocol version.
    version: str = "HTTP/1.1"
    sends_host: bool = True
    # Where more than the scripted backend is asked.
    upstream: str = "web"
    # Fields of the outcome that this case is not about, beside those that no case compares.
    ignore: tuple = ()


# Response fields that no case compares, each with its reason.
RESPONSE_IGNORED = {
    "date": "the clock",
    "server": "each writes its own name into its own answers; both pass on the upstream's",
    "connection": "Envoy says `close` only where the client would not expect it; that a connection is closed is compared instead",
    "keep-alive": "of http.client",
}
# Request fields that no case compares.
REQUEST_IGNORED = {
    **{name: "tracing: Envoy has no tracer here, Skein passes its context on" for name in
       ("x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags", "traceparent", "tracestate")},
    "x-case": "of this test", "x-script": "of this test",
    "x-forwarded-for": "Skein appends the client, which Istio does at gateways only; `test_forwarded_for` pins both",
}
UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$|^[0-9a-f]{8}-[0-9a-f]{4}-[9ab4][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")


def comparable(name, value):
    """A field's value without what chance put into it."""
    if name == "x-request-id" and UUID.match(value):
        return "<uuid>"
    if name == "x-envoy-upstream-service-time":
        return "<ms>"
    if name == "x-envoy-expected-rq-timeout-ms" and value.isdigit():
        # The time that has passed already is taken off it.
        return f"about {round(int(value) + 40, -2)}"
    if name == "set-cookie":
        return re.sub(r'=("?)[0-9a-f]{16}\1', "=<hash>", value, count=1)
    return value


def kept(fields, ignored):
    found = {}
    for name, value in fields:
        name = name.lower()
        if name not in ignored:
            found.setdefault(name, []).append(comparable(name, value))
    return {name: values for name, values in sorted(found.items())}


class Side:
    """One proxy with backends of its own."""

    def __init__(self, port, log, backends):
        self.port = port
        self.log = log
        self.backends = backends
        self.reader = None
        self.part = ""
        self.number = 0

    def request_bytes(self, case, tag):
        if case.raw is not None:
            return case.raw
        lines = [f"{case.method} {case.path} {case.version}"]
        if case.sends_host:
            lines.append(f"Host: {case.host}")
        lines.append(f"X-Case: {tag}")
        if case.script:
            lines.append(f"X-Script: {case.script}")
        lines += [f"{n}: {v}" for n, v in case.headers]
        body = case.body or b""
        if case.trailers:
            lines.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%s\r\n0\r\n" % (len(body), body) + b"".join(b"%s: %s\r\n" % (n, v) for n, v in case.trailers) + b"\r\n"
        elif case.body is not None:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body

    def ask1(self, case, tag, connection):
        s = connection.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout=15))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.sendall(self.request_bytes(case, tag))
        return read_response(s, case.method)

    def ask2(self, case, tag, connection):
        extra = [(b"x-case", tag.encode())] + ([(b"x-script", case.script.encode())] if case.script else [])
        headers = extra + [(n.lower().encode(), v.encode()) for n, v in case.headers]
        client = connection.enter_context(H2Client(self.port))
        answer = client.request(case.path.encode(), case.method.encode(), case.host.encode(), headers, case.body, case.trailers or None)
        fields = [(n.decode(), v.decode()) for n, v in answer.headers if not n.startswith(b":")]
        return {
            "status": answer.status, "headers": kept(fields, RESPONSE_IGNORED), "body": bytes(answer.body),
            "end": f"reset {answer.reset}" if answer.reset is not None else "whole" if answer.done else "cut",
            "trailers": kept([(n.decode(), v.decode()) for n, v in answer.trailers or ()], ()),
        }

    def next_line(self):
        """The log's next line, once it is whole."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if self.reader is None and self.log.exists():
                self.reader = open(self.log)
            if self.reader is not None:
                self.part += self.reader.readline()
                if self.part.endswith("\n"):
                    line, self.part = json.loads(self.part), ""
                    return line
            time.sleep(0.002)
        raise AssertionError("no line in " + str(self.log))

    def run(self, case):
        """Sends the request and returns all that can be compared."""
        self.number += 1
        tag = f"c{self.number}"
        backend = self.backends[case.upstream]
        seen = len(backend.streams if isinstance(backend, H2Backend) else backend.requests)
        # The client stays until the request is over for the proxy as well, or Envoy may log that it left.
        with contextlib.ExitStack() as connection:
            outcome = (self.ask2 if case.http2 else self.ask1)(case, tag, connection)
            line = self.next_line()
        # A set: Envoy has them in the order they were raised, Skein in that of the flags' table.
        outcome["flags"] = ",".join(sorted((line["flags"] or "-").split(",")))
        outcome["details"] = line["details"] or "-"
        outcome["logged"] = {n: line[n] for n in ("code", "method", "path", "original", "authority", "protocol")}
        outcome["operators"] = {n: line[n] for n in OPERATORS}
        for name in ("local", "emitted"):
            outcome["operators"][name] = re.sub("[0-9]", "0", line[name])
        # Envoy 1.40 has the last host alone, and not where no connection came about; its documentation and Skein say all.
        has_host = not {"UF", "UO"} & set((line["flags"] or "").split(","))
        outcome["operators"]["attempted"] = has_host and (line["attempted"] or "-").split(",")[-1]
        if isinstance(backend, H2Backend):
            outcome["upstream"] = [
                {
                    "line": f"{s.header(b':method').decode()} {s.path.decode()}", "host": s.header(b":authority").decode(),
                    "headers": kept([(n.decode(), v.decode()) for n, v in s.headers if not n.startswith(b":")], REQUEST_IGNORED), "body": bytes(s.body),
                } for s in backend.streams[seen:]]
        else:
            outcome["upstream"] = [
                {
                    "line": first.decode("latin-1").rsplit(" ", 1)[0], "host": lower.get(b"host", b"").decode("latin-1"),
                    "headers": kept([(n.decode(), v.decode("latin-1")) for n, v in fields if n.lower() != b"host"], REQUEST_IGNORED), "body": body,
                    "trailers": lower.get(b":trailers", b"").lower(),
                } for first, fields, body, lower in backend.requests[seen:]]
        return outcome


def read_response(s, method):
    """One final response off a socket; how it ended, and whether the connection did."""
    response = http.client.HTTPResponse(s, method=method)
    outcome = {"status": 0, "headers": {}, "body": b"", "end": "closed", "trailers": {}}
    try:
        response.begin()
    except (http.client.HTTPException, ConnectionError):
        return outcome
    outcome["status"] = response.status
    outcome["headers"] = kept(response.getheaders(), RESPONSE_IGNORED)
    if response.status == 101:
        return {**outcome, "end": "switched"}
    try:
        outcome["body"] = response.read()
        outcome["end"] = "whole"
    except http.client.IncompleteRead as error:
        outcome["body"] = error.partial
        outcome["end"] = "cut"
    except ConnectionError:
        outcome["end"] = "cut"
    return outcome


def differences(skein, envoy, ignore=()):
    """Where two outcomes differ: {place: (skein's, envoy's)}."""
    found = {}

    def walk(place, a, b):
        if place in ignore or a == b:
            return
        if isinstance(a, dict) and isinstance(b, dict):
            for name in sorted({*a, *b}):
                walk(f"{place}.{name}" if place else name, a.get(name), b.get(name))
        elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b) and place == "upstream":
            for index, (x, y) in enumerate(zip(a, b)):
                walk(f"{place}.{index}", x, y)
        elif place == "upstream":
            found["attempts"] = (len(a), len(b))
        else:
            found[place] = (a, b)

    walk("", skein, envoy)
    return found


class Held:
    """A request that stays open while others are made."""

    def __init__(self, side, case):
        self.socket = socket.create_connection(("127.0.0.1", side.port), timeout=15)
        self.socket.sendall(side.request_bytes(case, "held"))

    def abort(self):
        reset(self.socket)


def together(*calls):
    """Runs calls at the same time, each on a thread; returns what they returned."""
    results = [None] * len(calls)
    errors = []

    def run(index, call):
        try:
            results[index] = call()
        except BaseException as error:  # noqa: BLE001 - raised below, where the test sees it
            errors.append(error)

    threads = [threading.Thread(target=run, args=item) for item in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
