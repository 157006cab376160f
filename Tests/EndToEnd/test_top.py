"""`skein top` as a person and as a script use it, and the report of metrics with too many series."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from conftest import SKEIN, Backend, free_port, http_get, mesh, wait_for
from test_series import api, value


def answering(head, body):
    """500 to /broken, 404 to /missing, else 200."""
    target = head.split()[1]
    status = {b"/broken": b"500 Internal Server Error", b"/missing": b"404 Not Found"}.get(target, b"200 OK")
    return b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def serving(start):
    backend = Backend(answering)
    skein = start(mesh(backend.port), ["--metrics-interval", "1"])
    skein.server = ["--server", f"127.0.0.1:{skein.ports['zipkin']}"]
    yield skein
    backend.close()


def top(skein, *arguments, check=True):
    result = subprocess.run([SKEIN, "top", *arguments, *skein.server], capture_output=True, text=True, check=check)
    return json.loads(result.stdout) if "json" in arguments else result


def row(skein, name, *arguments):
    rows = [one for one in top(skein, "-o", "json", "--window", "5m", *arguments)["rows"] if name in one["name"]]
    return rows[0] if rows else None


class TestSnapshot:
    def test_rates_and_success_are_exact(self, serving):
        for path, count in (("/a", 60), ("/broken", 15), ("/missing", 25)):
            for _ in range(count):
                serving.get(path)

        names = {"service": "web.local", "edge": "unknown → unknown", "route": "default → web.local:80", "endpoint": "127.0.0.1:"}
        for by, name in names.items():
            # A 404 is an answer of the client's making: 85 of 100 are no failure.
            one = wait_for(lambda: row(serving, name, "--by", by), what=f"a row by {by}")
            wait_for(lambda: round(row(serving, name, "--by", by)["success_rate"], 9) == 0.85, what=f"85 % by {by}")
            assert one["ejected"] == (0 if by in ("service", "endpoint") else None), one
            assert one["retries_per_second"] == (0 if by in ("service", "route") else None), one
            assert 0 < one["p50_ms"] <= one["p95_ms"] <= one["p99_ms"] < 1000, one
        # The first 500 counts like the second: the window's 5 minutes had 100 requests. PromQL extrapolates by up to one interval.
        wait_for(lambda: abs(row(serving, "web.local")["requests_per_second"] * 300 - 100) < 8, seconds=30, what="100 requests")
        one = row(serving, "web.local")
        rates = {outcome["labels"]["response_code"]: outcome["requests_per_second"] for outcome in one["outcomes"]}
        assert {code: round(rate / sum(rates.values()), 9) for code, rate in rates.items()} == {"200": 0.6, "404": 0.25, "500": 0.15}
        assert (one["reporter"], one["outcomes"][0]["outcome"]) == ("source", "success")

    def test_what_is_wrong_stands_first(self, serving):
        for path, count in (("/a", 9), ("/broken", 1)):
            for _ in range(count):
                serving.get(path)
        for _ in range(30):
            serving.get("/a", host="nobody.local")
        wait_for(lambda: len(top(serving, "-o", "json")["rows"]) == 2, what="two services")
        assert "web.local" in top(serving, "-o", "json")["rows"][0]["name"]
        assert "web.local" not in top(serving, "-o", "json", "--sort", "requests")["rows"][0]["name"]
        shown = top(serving).stdout.splitlines()
        assert shown[0].split() == ["SERVICE", "SUCCESS", "RPS", "P50", "P95", "P99", "RETRIES", "EJECTED"]
        assert shown[1].split()[:3] == ["web.local", "90.00", "%"] and "\x1b" not in "".join(shown)

    def test_no_traffic_is_no_hundred_percent(self, serving):
        assert top(serving, "-o", "json")["rows"] == []
        assert top(serving).stdout == "no requests in the last 1m\n"

    def test_exit_codes(self, serving):
        nobody = subprocess.run([SKEIN, "top", "--once", "--server", f"127.0.0.1:{free_port()}"], capture_output=True, text=True)
        assert nobody.returncode == 69 and "cannot connect" in nobody.stderr and nobody.stdout == ""
        assert subprocess.run([SKEIN, "top", "--window", "soon"], capture_output=True).returncode == 64
        assert subprocess.run([SKEIN, "top", "--by", "planet"], capture_output=True).returncode == 64
        mistyped = subprocess.run([SKEIN, "tpo"], capture_output=True, text=True)
        assert mistyped.returncode == 64 and "did you mean `skein top`?" in mistyped.stderr


class Terminal:
    """`skein top` on a terminal of its own, whose screen is what a terminal emulator makes of its output."""

    def __init__(self, arguments, columns=100, rows=24, environment=None):
        import pyte

        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.output = b""
        self.main, side = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(side)
        self.side = side
        environment = {**os.environ, "TERM": "xterm-256color", **(environment or {})}
        command = [SKEIN, "top", *arguments]
        self.process = subprocess.Popen(command, stdin=side, stdout=side, stderr=side, start_new_session=True, env=environment)

    def resize(self, columns, rows):
        fcntl.ioctl(self.main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def read(self):
        while select.select([self.main], [], [], 0)[0]:
            piece = os.read(self.main, 65536)
            self.output += piece
            self.stream.feed(piece)
        return [line.rstrip() for line in self.screen.display]

    def press(self, keys):
        os.write(self.main, keys)

    def until(self, condition, what):
        return wait_for(lambda: condition(self.read()), what=f"{what} on the screen")

    def ended(self):
        self.process.wait(10)
        self.read()
        assert self.output.rstrip().endswith(b"\x1b[?1049l"), self.output[-200:]
        assert b"\x1b[?25h" in self.output and self.output.count(b"\x1b[?1049h") == 1
        assert termios.tcgetattr(self.side) == self.before, "raw mode stays"
        os.close(self.side)
        os.close(self.main)
        return self.process.returncode


class TestLive:
    @pytest.fixture
    def busy(self, serving):
        for path, count in (("/a", 60), ("/broken", 15)):
            for _ in range(count):
                serving.get(path)
        for _ in range(30):
            serving.get("/a", host="other.local")
        wait_for(lambda: len(top(serving, "-o", "json", "--window", "5m")["rows"]) == 2, what="two services")
        return serving

    def test_a_session(self, busy):
        terminal = Terminal([*busy.server, "--window", "5m", "--interval", "500ms"])
        lines = terminal.until(lambda lines: any("web.local" in line for line in lines) and lines, "the services")
        assert lines[0].startswith("skein top  127.0.0.1:") and "by service" in lines[0]
        assert lines[1].split() == ["SERVICE", "SUCCESS", "RPS", "P50", "P95", "P99", "RETRIES", "EJECTED"]
        assert lines[2].split()[:3] == ["web.local", "80.00", "%"] and lines[23].startswith("↑↓ move")

        terminal.press(b"\r")
        lines = terminal.until(lambda lines: any("OUTCOME" in line for line in lines) and lines, "the details")
        assert any("failure" in line and "response_code=500" in line and "20.00 %" in line for line in lines), lines
        terminal.press(b"\x1b")
        terminal.until(lambda lines: "SERVICE" in lines[1], "the table again")

        # The cursor's row is reversed, and stays the cursor's when the order changes.
        terminal.press(b"\x1b[B")
        terminal.until(lambda lines: terminal.screen.buffer[3][0].reverse and not terminal.screen.buffer[2][0].reverse, "the cursor below")
        terminal.press(b"\x1b[A")
        terminal.until(lambda lines: terminal.screen.buffer[2][0].reverse, "the cursor above")

        terminal.press(b"/unk")
        terminal.until(lambda lines: "filter: unk" in lines[0] and not any("web.local" in line for line in lines[1:]), "one row")
        terminal.press(b"\x1b")
        terminal.until(lambda lines: any("web.local" in line for line in lines[1:]), "all rows")

        terminal.press(b"s")
        terminal.until(lambda lines: "sorted by name" in lines[0], "the order")
        terminal.press(b"bb")
        terminal.until(lambda lines: "by edge" in lines[0] and "EDGE" in lines[1], "the edges")
        terminal.press(b"bb")
        terminal.until(lambda lines: "METRIC" in lines[1] and any("skein_" in line for line in lines), "the metrics")
        terminal.press(b"\t")
        terminal.press(b"p")
        terminal.until(lambda lines: "PAUSED" in lines[0], "the pause")
        terminal.press(b"p?")
        terminal.until(lambda lines: any("PgUp" in line for line in lines), "the help")
        terminal.press(b"?")
        terminal.until(lambda lines: "SERVICE" in lines[1], "the table")
        terminal.press(b"q")
        assert terminal.ended() == 0

    def test_it_follows_what_happens_and_the_terminals_size(self, busy):
        terminal = Terminal([*busy.server, "--window", "5m", "--interval", "500ms"])
        terminal.until(lambda lines: lines[2].split()[:2] == ["web.local", "80.00"], "80 %")
        for _ in range(75):
            busy.get("/a")
        terminal.until(lambda lines: lines[2].split()[:2] == ["web.local", "90.00"], "90 %")
        terminal.resize(40, 10)
        lines = terminal.until(lambda lines: lines[1].split() == ["SERVICE", "SUCCESS", "RPS"] and lines, "fewer columns")
        assert len(lines) == 10 and lines[9].startswith("↑↓") and all(len(line) <= 40 for line in lines)
        terminal.resize(5, 2)
        terminal.until(lambda lines: len(lines) == 2, "hardly anything")
        terminal.press(b"\x03")
        assert terminal.ended() == 0

    @pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_signals_leave_the_terminal_as_it_was(self, busy, which):
        terminal = Terminal(busy.server)
        terminal.until(lambda lines: "skein top" in lines[0], "the title")
        terminal.process.send_signal(which)
        assert terminal.ended() == 128 + which

    def test_a_server_that_goes_away_is_said_and_the_picture_stays(self, busy):
        terminal = Terminal([*busy.server, "--window", "5m", "--interval", "500ms"])
        terminal.until(lambda lines: any("web.local" in line for line in lines), "the services")
        busy.process.kill()
        busy.process.wait()
        away = re.compile(r"cannot connect.*what you see is [1-9]\d* s old")
        lines = terminal.until(lambda lines: away.search(lines[22]) and lines, "its absence")
        assert any("web.local" in line for line in lines)
        terminal.press(b"q")
        assert terminal.ended() == 0

    def test_without_colours(self, busy):
        terminal = Terminal([*busy.server, "--window", "5m"], environment={"NO_COLOR": "1"})
        terminal.until(lambda lines: lines[2].startswith(">web.local"), "the cursor as a sign")
        terminal.press(b"q")
        assert terminal.ended() == 0
        assert b"\x1b[3" not in terminal.output and b"\x1b[7m" not in terminal.output


class TestCardinality:
    """A label gone wild: bounded, summed up exactly, and its sender named."""

    SERIES = 1_000_000
    FAMILY_MAX = 100_000

    def write(self, port, first, count, job="shop"):
        """Remote write 1.0 of a counter whose every series has another user, each at 1."""
        def varint(number):
            head = bytes([number & 127 | (128 if number > 127 else 0)])
            return head + (varint(number >> 7) if number > 127 else b"")

        def field(number, payload):
            return bytes([number << 3 | 2]) + varint(len(payload)) + payload

        def label(name, text):
            return field(1, field(1, name) + field(2, text))

        now = varint(int(time.time() * 1000))
        fixed = label(b"__name__", b"visits_total") + label(b"instance", b"10.0.0.7:80") + label(b"job", job.encode())
        sample = field(2, b"\x09" + struct.pack("<d", 1.0) + b"\x10" + now)
        body = b"".join(field(1, fixed + label(b"user_id", b"u%d" % user) + sample) for user in range(first, first + count))
        # Snappy without compression: literals.
        blocks = [body[at : at + 65536] for at in range(0, len(body), 65536)]
        packed = varint(len(body)) + b"".join(bytes([61 << 2]) + struct.pack("<H", len(block) - 1) + block for block in blocks)
        headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Write-Version": "0.1.0"}
        status, _, answer = http_get(port, "/api/v1/write", headers, method="POST", body=packed)
        assert status in (200, 204), answer

    def test_a_million_values(self, start):
        skein = start(None, ["--metrics-interval", "1"])
        port = skein.ports["zipkin"]
        skein.server = ["--server", f"127.0.0.1:{port}"]
        for first in range(0, self.SERIES, 50_000):
            self.write(port, first, 50_000)
        family = api(port, "status/cardinality", limit=5)["data"]["families"][0]
        assert (family["metric"], family["series"], family["seriesMax"]) == ("visits_total", self.FAMILY_MAX, self.FAMILY_MAX)
        # The sums remember 200,000 series; what came after them is refused and counted.
        assert family["overflowedSeries"] == 200_000 and family["overflowedSamples"] == 200_000
        assert family["refusedSamples"] == self.SERIES - self.FAMILY_MAX - 200_000
        assert family["labels"][0] == {"name": "user_id", "values": self.FAMILY_MAX}
        assert family["senders"] == [{"job": "shop", "instance": "10.0.0.7:80", "series": self.FAMILY_MAX}]
        assert value(port, "sum(visits_total)") == self.FAMILY_MAX + 200_000

        line = wait_for(lambda: [line for line in skein.log().splitlines() if "visits_total" in line], what="a line in the log")
        assert len(line) == 1 and '"user_id" has 100000 values' in line[0] and 'job "shop", instance "10.0.0.7:80"' in line[0]
        assert skein.samples("skein_series_overflowed_total", metric="visits_total") == 200_000
        assert skein.samples("skein_series_family_samples_overflowed_total", metric="visits_total") == 200_000
        assert skein.samples("skein_series_family_samples_refused_total", metric="visits_total") == 700_000

        shown = top(skein, "--by", "family").stdout.splitlines()
        assert shown[1].split()[:5] == ["visits_total", "100000", "100000", "200000", "200000"] and "user_id 100000" in shown[1]
        assert "visits_total has 100.0k series, all it may have: label user_id has 100.0k values" in top(skein).stdout
        assert top(skein, "-o", "json")["full_families"][0]["metric"] == "visits_total"
        census = api(port, "status/tsdb", limit=1)["data"]
        assert census["seriesCountByMetricName"] == [{"name": "visits_total", "value": self.FAMILY_MAX + 1}]
        assert census["labelValueCountByLabelName"] == [{"name": "user_id", "value": self.FAMILY_MAX}]
        # Those that go on are counted on exactly, and nothing is told twice.
        self.write(port, 0, 10)
        assert len([line for line in skein.log().splitlines() if "visits_total" in line]) == 1

    def test_names_from_strangers_are_harmless(self, start):
        skein = start(None, ["--metrics-interval", "0"])
        port = skein.ports["zipkin"]
        skein.server = ["--server", f"127.0.0.1:{port}"]
        hostile = "\x1b]0;owned\x07\u202e\u009b31m"
        labels = {"destination_service": hostile, "reporter": "source", "response_code": "200", "request_protocol": "http"}
        attributes = [{"key": key, "value": {"stringValue": text}} for key, text in labels.items()]
        now = int(time.time())
        for at, count in ((now - 20, 0), (now - 10, 50), (now, 100)):
            times = {"timeUnixNano": str(at * 10**9), "startTimeUnixNano": str((now - 30) * 10**9)}
            point = {**times, "asDouble": count, "attributes": attributes}
            metric = {"name": "istio_requests_total", "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [point]}}
            body = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]})
            assert http_get(skein.ports["otlp"], "/v1/metrics", {"Content-Type": "application/json"}, method="POST", body=body)[0] == 200
        shown = wait_for(lambda: "owned" in top(skein).stdout and top(skein).stdout, what="the service")
        as_json = subprocess.run([SKEIN, "top", "-o", "json", *skein.server], capture_output=True, text=True, check=True).stdout
        for text in (shown, as_json):
            assert not any(character in text for character in "\x1b\x07\u202e\u009b"), text
        assert json.loads(as_json)["rows"][0]["name"] == hostile
        terminal = Terminal(skein.server)
        lines = terminal.until(lambda lines: any("owned" in line for line in lines) and lines, "the service")
        assert terminal.screen.title == "" and not any("\u202e" in line for line in lines)
        terminal.press(b"q")
        assert terminal.ended() == 0


class TestParseQuery:
    def test_a_tree(self, start):
        skein = start(None, ["--metrics-interval", "0"])
        tree = api(skein.ports["zipkin"], "parse_query", query="sum by (a) (rate(x[5m])) > 1")["data"]
        assert (tree["type"], tree["op"], tree["lhs"]["type"], tree["lhs"]["grouping"]) == ("binaryExpr", ">", "aggregation", ["a"])
        assert tree["lhs"]["expr"]["args"][0]["range"] == 300_000
        assert api(skein.ports["zipkin"], "parse_query", {"query": "sum("})["errorType"] == "bad_data"
