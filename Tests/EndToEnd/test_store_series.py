"""What befalls the disk under series: room that ends, and bytes that change. Beside test_store.py, which has the same for traces."""

import json
import os
import sqlite3
import subprocess
import time

from conftest import Backend, http_get, mesh, wait_for
from test_series import api, value
from test_store import damage, fill, get, health, post, span, start, tiny_disk  # noqa: F401


def push(skein, number, name="level", at=None, noise=0):
    """A gauge over OTLP; the status, headers and body of the answer."""
    moment = str(int((at or time.time()) * 1000) * 1_000_000)
    points = [{"timeUnixNano": moment, "asDouble": number}]
    points += [
        {"timeUnixNano": moment, "asDouble": 0, "attributes": [{"key": "n", "value": {"stringValue": os.urandom(60).hex()}}]}
        for _ in range(noise)
    ]
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": name, "gauge": {"dataPoints": points}}]}]}]}
    return http_get(skein.ports["otlp"], "/v1/metrics", {"Content-Type": "application/json"}, method="POST", body=json.dumps(body))


def test_series_go_on_when_a_full_disk_has_room_again(start, tiny_disk):
    """What was acknowledged is there, what was not is refused with a reason, and the proxy's own counts lose nothing."""
    backend = Backend()
    skein = start(mesh(backend.port), arguments=["--metrics-interval", "1"])
    port = skein.ports["zipkin"]
    for _ in range(3):
        assert skein.get("/a")[0] == 200
    total = 'sum(istio_requests_total{destination_service="web.local"})'
    wait_for(lambda: value(port, total) == 3, what="the first requests in the store")
    assert push(skein, 7)[0] == 200
    fill(tiny_disk)

    def refused():
        status, headers, body = push(skein, 1, "noise", noise=200)
        return status == 503 and headers["retry-after"] and body

    body = wait_for(refused, what="a refusal")
    assert b"disk" in body, body
    wait_for(lambda: "is full or failing" in skein.log(), what="the log saying so")
    assert skein.samples("skein_store_healthy") == 0
    assert skein.samples("skein_series_points_refused_total") > 0
    # The proxy serves and counts, and what is in the store is shown.
    for _ in range(5):
        assert skein.get("/a")[0] == 200
    assert value(port, "level") == 7
    os.unlink(tiny_disk / "filler")
    wait_for(lambda: push(skein, 8)[0] == 200, seconds=60, what="metrics being taken again")
    wait_for(lambda: value(port, total) == 8, seconds=60, what="the requests of the time without room")
    wait_for(lambda: "has room again" in skein.log(), what="the log saying so")
    assert value(port, "level") == 8
    skein.stop()
    skein = start(mesh(backend.port), arguments=["--metrics-interval", "0"])
    assert value(skein.ports["zipkin"], "last_over_time(level[10m])") == 8
    assert value(skein.ports["zipkin"], f"sum(max_over_time(istio_requests_total{{destination_service='web.local'}}[10m]))") == 8
    assert health(skein)[1]["status"] == "UP"
    backend.close()


def hours(start):
    """A process that has two hours of two series in blocks of the first tier, one in the journal alone, and a trace."""
    skein = start(arguments=["--metrics-interval", "0"])
    now = time.time()
    for minute in range(120, 20, -1):
        assert push(skein, minute, "old", at=now - 60 * minute)[0] == 200
    assert push(skein, 5, "young")[0] == 200
    assert post(skein, [span("a")])[0] == 202
    wait_for(lambda: skein.samples("skein_series_tier_bytes", tier="0") > 0, seconds=60, what="a sealed block")
    return skein, now


def test_damaged_rows_of_series_cost_only_themselves(start, tmp_path):
    skein, now = hours(start)
    skein.stop()
    with sqlite3.connect(tmp_path / "data" / "skein.db") as file:
        number, row = file.execute("SELECT number, row FROM series_journal ORDER BY number DESC LIMIT 1").fetchone()
        file.execute("UPDATE series_journal SET row = ? WHERE number = ?", (row[:-1] + bytes([row[-1] ^ 1]), number))
    file.close()
    skein = start(arguments=["--metrics-interval", "0"])
    text = damage(skein, "rows of the journal of series")
    assert "series_journal" in text and skein.samples("skein_series_damaged_total") == 1
    port = skein.ports["zipkin"]
    assert value(port, "count_over_time(old[3h])") >= 40
    assert len(get(skein, "/api/v2/trace/a")) == 1
    # Whoever sends it again has it.
    assert push(skein, 6, "young")[0] == 200 and value(port, "young") == 6


def test_a_damaged_page_of_series_costs_only_its_block(start, tmp_path):
    """The disk returns other bytes for a page than were written: the block on it is missing and told, all else is there."""
    skein, now = hours(start)
    skein.stop()
    path = tmp_path / "data" / "skein.db"
    file = sqlite3.connect(path)
    file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (block,) = file.execute("SELECT block FROM series_block WHERE tier = 0 ORDER BY start LIMIT 1").fetchone()
    file.close()
    content = path.read_bytes()
    # The middle of the block, as it lies in one of its pages.
    middle = block[len(block) // 2:][:24]
    assert content.count(middle) == 1
    at = content.index(middle)
    with open(path, "r+b") as damaged:
        damaged.seek(at)
        damaged.write(os.urandom(len(middle)))
    skein = start(arguments=["--metrics-interval", "0"])
    port = skein.ports["zipkin"]
    assert value(port, "last_over_time(young[10m])") == 5
    answer = api(port, "query", query="count_over_time(old[3h])")
    damage(skein, "blocks of series")
    assert answer["status"] == "success"
    assert 0 < float(answer["data"]["result"][0]["value"][1]) < 100
    assert skein.samples("skein_series_damaged_total") >= 1
    assert len(get(skein, "/api/v2/trace/a")) == 1
    assert push(skein, 6, "young")[0] == 200


def test_a_damaged_tree_of_series_sets_the_file_aside(start, tmp_path):
    """A page that SQLite itself cannot read is damage of the file, as it is for traces: it is kept, told, and a new one begun."""
    skein, now = hours(start)
    skein.stop()
    path = tmp_path / "data" / "skein.db"
    file = sqlite3.connect(path)
    file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (size,) = file.execute("PRAGMA page_size").fetchone()
    (root,) = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'series_block'").fetchone()
    file.close()
    with open(path, "r+b") as damaged:
        damaged.seek((root - 1) * size)
        damaged.write(os.urandom(size))
    skein = start(arguments=["--metrics-interval", "0"])
    damage(skein, "it is now")
    assert push(skein, 6, "young")[0] == 200 and value(skein.ports["zipkin"], "young") == 6
    assert post(skein, [span("b")])[0] == 202
