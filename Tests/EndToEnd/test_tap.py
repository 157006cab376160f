"""`skein tap`, `skein graph` and `skein traces` with conditions, as a person and as a script use them."""

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
import time

import pyte
import pytest

from conftest import SKEIN, Backend, free_port, mesh, wait_for
from shop_traces import HOSTILE, send_otel, send_zipkin, zipkin_span


def answering(head, body):
    """500 to /broken, 404 to /missing, late to /slow, else 200."""
    target = head.split()[1]
    if target.startswith(b"/slow"):
        time.sleep(0.3)
    status = {b"/broken": b"500 Internal Server Error", b"/missing": b"404 Not Found"}.get(target, b"200 OK")
    return b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nok"




@pytest.fixture
def serving(start):
    backend = Backend(answering)
    skein = start(mesh(backend.port), ["--metrics-interval", "1"])
    skein.backend = backend
    yield skein
    with contextlib.suppress(OSError):
        backend.close()


class Tap:
    """A tap in a pipe, whose lines can be waited for."""

    def __init__(self, skein, *arguments):
        self.lines = []
        self.process = subprocess.Popen(
            [SKEIN, "tap", "--server", f"127.0.0.1:{skein.ports['admin']}", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)


@pytest.fixture
def tap():
    taps = []

    def begin(skein, *arguments):
        # A tap shows what comes after it: requests go on until it has seen one.
        one = Tap(skein, *arguments)
        taps.append(one)
        return one

    yield begin
    for one in taps:
        one.process.kill()
        one.process.wait()


def until_seen(skein, one, path="/warm"):
    """Sends requests until the tap has begun to show them."""

    def seen():
        skein.get(path)
        time.sleep(0.05)
        return any(path in line for line in one.lines)

    wait_for(seen, what="the tap's first request")


class TestTap:
    def test_requests_are_shown_once_each(self, serving, tap):
        one = tap(serving, "-o", "json")
        until_seen(serving, one)
        for number in range(300):
            serving.get(f"/n/{number}")
        wait_for(lambda: sum("/n/" in line for line in one.lines) >= 300, what="300 lines")
        time.sleep(0.3)
        records = [json.loads(line) for line in one.lines]
        assert not [r for r in records if "dropped" in r]
        # Workers hand their records over apart, so neighbours may change places.
        paths = [r["path"] for r in records if r["path"].startswith("/n/")]
        assert sorted(paths) == sorted(f"/n/{number}" for number in range(300))
        last = records[-1]
        assert last["response_code"] == 200 and last["side"] == "outbound" and last["attempts"] == 1
        assert last["destination_service"] == "web.local" and last["duration_us"] > 0
        assert last["upstream_host"] == f"127.0.0.1:{serving.backend.port}" and len(last["trace_id"]) == 32

    def test_columns_align_and_say_why(self, serving, tap):
        one = tap(serving)
        until_seen(serving, one)
        serving.get("/broken")
        serving.get("/missing")
        serving.get("/nowhere", host="nobody.local")
        wait_for(lambda: any("/nowhere" in line for line in one.lines), what="the last line")
        serving.backend.crash()

        def refused():
            serving.get("/refused")
            return any("/refused" in line and "  503  " in line for line in one.lines)

        wait_for(refused, what="a request without an endpoint")
        lines = one.lines
        assert "\x1b" not in "".join(lines)
        head = lines[0]
        assert head.split() == ["TIME", "FROM", "TO", "METHOD", "STATUS", "TOOK", "FLAGS", "PATH", "WHY"]
        rows = {path: next(line for line in lines if f"  {path}" in line) for path in ("/warm", "/broken", "/missing", "/nowhere")}
        rows["/refused"] = next(line for line in lines if "  /refused" in line and "  503  " in line)
        for path, row in rows.items():
            assert row[head.index("PATH") :].startswith(path), (head, row)
            assert row[head.index("METHOD") :].startswith("GET"), row
            assert row[head.index("TO") :].startswith(("web.local", "nobody.local")), row
        assert rows["/warm"].endswith("/warm")
        assert "the endpoint's answer" in rows["/broken"] and rows["/broken"][head.index("STATUS") :].startswith("500")
        assert rows["/nowhere"][head.index("FLAGS") :].startswith("NR") and "no route: route_not_found" in rows["/nowhere"]
        assert "no connection to the endpoint" in rows["/refused"] or "all tries failed" in rows["/refused"]

    @pytest.mark.parametrize(
        "arguments, shown",
        [
            (["--status", "5xx"], ["/broken"]),
            (["--status", "400-499"], ["/missing", "/nowhere"]),
            (["--path", "/mis"], ["/missing"]),
            (["--flags", "UF,NR"], ["/nowhere"]),
            (["--slower", "200ms"], ["/slow"]),
            (["--to", "NOBODY"], ["/nowhere"]),
            (["--service", "web.local", "--status", "4xx"], ["/missing"]),
            (["--from", "127.0.0.1", "--status", "4xx"], ["/missing", "/nowhere"]),
            (["--from", "10.9.8.7"], []),
            (["--route", "nothing"], []),
        ],
    )
    def test_filters(self, serving, tap, arguments, shown):
        one = tap(serving, "-o", "json", *arguments)
        wait_for(lambda: serving.get("/ok")[0] == 200, what="the backend")
        # The tap has begun when the server counts a follower: its own requests are shown to an unfiltered one.
        other = tap(serving, "-o", "json")
        until_seen(serving, other)
        time.sleep(0.3)
        for path in ("/ok", "/broken", "/missing", "/slow"):
            serving.get(path)
        serving.get("/nowhere", host="nobody.local")
        wait_for(lambda: sum(json.loads(line)["path"] == "/nowhere" for line in other.lines), what="the last request")
        wait_for(lambda: len(one.lines) >= len(shown), what=f"{shown}")
        time.sleep(0.3)
        assert [json.loads(line)["path"] for line in one.lines] == shown

    def test_it_ends_after_a_count(self, serving, tap):
        one = tap(serving, "--count", "3")
        wait_for(lambda: serving.get("/x")[0] and one.process.poll() is not None, what="the end")
        assert one.process.returncode == 0
        wait_for(lambda: len(one.lines) == 4, what="a heading and three lines")

    def test_wrong_filters_and_absent_servers_have_their_codes(self, serving):
        def run(*arguments):
            return subprocess.run([SKEIN, "tap", *arguments], capture_output=True, text=True, timeout=20)

        server = ["--server", f"127.0.0.1:{serving.ports['admin']}"]
        wrong = run(*server, "--status", "many")
        assert wrong.returncode == 65 and "a code (503)" in wrong.stderr
        assert run(*server, "--flags", "ZZ").returncode == 65
        assert run(*server, "--count", "0").returncode == 64
        absent = run("--server", f"127.0.0.1:{free_port()}")
        assert absent.returncode == 69 and "is `skein run` running there" in absent.stderr

    def test_the_end_of_the_server_is_said(self, serving, tap):
        one = tap(serving)
        until_seen(serving, one)
        serving.stop(signal.SIGKILL)
        assert one.process.wait(20) == 69

    def test_a_terminal_gets_colours_and_lines_that_fit(self, serving):
        columns, rows = 96, 40
        parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        process = subprocess.Popen(
            [SKEIN, "tap", "--server", f"127.0.0.1:{serving.ports['admin']}"],
            stdin=child, stdout=child, stderr=child, env={**os.environ, "TERM": "xterm", "NO_COLOR": ""},
        )
        os.close(child)
        screen = pyte.Screen(columns, rows)
        stream = pyte.ByteStream(screen)
        raw = b""

        def seen(text):
            nonlocal raw
            serving.get("/broken")
            serving.get("/long/" + "p" * 200)
            while select.select([parent], [], [], 0.2)[0]:
                piece = os.read(parent, 65536)
                raw += piece
                stream.feed(piece)
            return any(text in line for line in screen.display)

        wait_for(lambda: seen("/broken") and seen("/long/"), what="requests on the screen")
        process.kill()
        process.wait()
        os.close(parent)
        assert b"\x1b[31m" in raw
        # Nothing wrapped: each line begins with the heading or a time of day.
        lines = [line for line in screen.display if line.strip()]
        assert all(line.startswith("TIME") or line[2] == ":" for line in lines), lines
        assert any("…" in line for line in lines)

    def test_hostile_paths_do_not_reach_the_terminal(self, serving, tap):
        one = tap(serving)
        until_seen(serving, one)
        serving.raw(b"GET /\xe2\x80\xae\xc2\x9b31mred HTTP/1.1\r\nHost: web.local\r\nConnection: close\r\n\r\n")
        serving.get("/after")
        wait_for(lambda: any("/after" in line for line in one.lines), what="the line after it")
        text = "\n".join(one.lines)
        assert not any(mark in text for mark in ("\u202e", "\x9b", "\x1b"))


class TestGraph:
    def run(self, skein, *arguments, check=True):
        server = ["--server", f"127.0.0.1:{skein.ports['zipkin']}"]
        return subprocess.run([SKEIN, "graph", *server, *arguments], capture_output=True, text=True, check=check, timeout=30)

    def test_edges_of_the_metrics(self, serving):
        for path, count in (("/a", 30), ("/broken", 10)):
            for _ in range(count):
                serving.get(path)

        def edges():
            return json.loads(self.run(serving, "-o", "json", "--of", "metrics").stdout)["edges"]

        wait_for(lambda: edges() and abs(edges()[0]["error_rate"] - 0.25) < 1e-9, seconds=30, what="a quarter of errors")
        (edge,) = edges()
        assert (edge["from"], edge["to"]) == ("unknown", "web.local")
        assert edge["requests_per_second"] > 0 and 0 < edge["p95_ms"] < 1000
        shown = self.run(serving).stdout.splitlines()
        assert shown[0].split() == ["FROM", "TO", "RPS", "ERRORS", "P95"]
        assert shown[1].split()[:2] == ["unknown", "web.local"] and "25.0 %" in shown[1] and "\x1b" not in shown[1]
        dot = self.run(serving, "-o", "dot").stdout
        assert dot.startswith("digraph mesh {") and '"unknown" -> "web.local"' in dot and "color=red" in dot

    def test_without_metrics_the_edges_are_links_of_traces(self, start):
        skein = start()
        assert self.run(skein).stdout == "no requests in the last 5m\n"
        send_otel(skein)
        result = wait_for(lambda: (r := self.run(skein, "-o", "json")) and '"cart"' in r.stdout and r, what="the link")
        document = json.loads(result.stdout)
        assert document["source"] == "traces"
        assert [(e["from"], e["to"], e["p95_ms"]) for e in document["edges"]] == [("web", "cart", None)]
        assert "links of traces" in result.stderr
        assert self.run(skein, "--window", "soon", check=False).returncode == 64
        bad = subprocess.run([SKEIN, "graph", "--server", f"127.0.0.1:{free_port()}"], capture_output=True, text=True, timeout=30)
        assert bad.returncode == 69


class TestTraces:
    def run(self, skein, *arguments, check=True):
        server = ["--server", f"127.0.0.1:{skein.ports['zipkin']}"]
        return subprocess.run([SKEIN, "traces", *server, *arguments], capture_output=True, text=True, check=check, timeout=30)

    def found(self, skein, *arguments):
        traces = json.loads(self.run(skein, "-o", "json", *arguments).stdout)
        traces = traces if not traces or isinstance(traces[0], list) else [traces]
        return sorted(trace[0]["traceId"] for trace in traces)

    def test_conditions_are_met_by_one_span(self, start):
        skein = start()
        shop = send_otel(skein)
        now = int(time.time() * 1_000_000)
        send_zipkin(
            skein,
            [
                zipkin_span("b", "1", "api", "get /slow", now, duration=2_000_000, kind="SERVER", tags={"http.status_code": "200", "zone": "eu"}),
                zipkin_span("e", "1", "api", 'odd "name" \\ x', now, tags={"error": "timeout", "http.status_code": "504", "a b=c": "d"}),
            ],
        )
        slow, bad = "000000000000000b", "000000000000000e"
        assert self.found(skein, "--status", "error") == sorted([shop, bad])
        assert self.found(skein, "--status", "5xx") == sorted([shop, bad])
        assert self.found(skein, "--status", "504") == [bad]
        assert self.found(skein, "--status", "5xx", "--service", "api") == [bad]
        assert self.found(skein, "--tag", "zone=eu") == [slow]
        assert self.found(skein, "--tag", "zone") == [slow]
        assert self.found(skein, "--tag", "zone=eu", "--tag", "http.status_code=504") == []
        assert self.found(skein, "--max", "5s", "--min", "1s") == [slow]
        assert self.found(skein, "--span", 'odd "name" \\ x', "--status", "error") == [bad]
        assert self.found(skein, "--where", "{ kind = client }") == [shop]
        assert self.found(skein, "--where", "{ kind = client } || { duration > 1s }", "--tag", "zone=eu") == [slow]
        assert self.run(skein, "--status", "503", "--service", "nobody").stdout == "no traces match\n"
        table = self.run(skein, "--status", "error").stdout
        assert "cart" in table or "web" in table
        wrong = self.run(skein, "--where", "{ a > }", check=False)
        assert wrong.returncode == 65 and "TraceQL, character 3" in wrong.stderr
        assert self.run(skein, "--status", "sometimes", check=False).returncode == 64
        assert self.run(skein, "--status", "error", "--query", "error", check=False).returncode == 64

    def test_hostile_names_do_not_reach_the_terminal(self, start):
        skein = start()
        send_zipkin(skein, [zipkin_span("d", "1", "evil\x1b[2J", HOSTILE, int(time.time() * 1_000_000), tags={"http.path": "/\x1b]0;x\x07"})])
        for arguments in ([], ["d"]):
            text = self.run(skein, *arguments).stdout
            assert "evil" in text and not any(mark in text for mark in ("\x1b", "\u202e", "\x07", "\x00"))
