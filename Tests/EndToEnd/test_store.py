"""The store behind the receivers: what is shown and counted of what was sent, and what befalls its disk."""

import json
import os
import pathlib
import re
import sqlite3
import subprocess
import time

import pytest

from conftest import SKEIN, Backend, Skein, free_port, http_get, mesh, wait_for

NOW = int(time.time() * 1_000_000) - 5_000_000


@pytest.fixture
def start(tmp_path):
    running = []

    def begin(config=None, **more):
        skein = Skein(tmp_path, config, **more)
        running.append(skein)
        return skein.wait_ready()

    yield begin
    for skein in running:
        skein.stop()


def span(trace="a", id="1", service="web", **more):
    return {"traceId": trace, "id": id, "timestamp": NOW, "duration": 10, "localEndpoint": {"serviceName": service}, **more}


def post(skein, spans):
    return http_get(skein.ports["zipkin"], "/api/v2/spans", {"Content-Type": "application/json"}, method="POST", body=json.dumps(spans))


def get(skein, path):
    status, _, body = http_get(skein.ports["zipkin"], path)
    assert status == 200, body
    return json.loads(body)


def links(skein):
    return get(skein, f"/api/v2/dependencies?endTs={NOW // 1000 + 60_000}")


def health(skein):
    status, _, body = http_get(skein.ports["zipkin"], "/health")
    return status, json.loads(body)


def run(*arguments):
    return subprocess.run([SKEIN, *map(str, arguments)], capture_output=True, text=True, timeout=60)


def closed_ports():
    return [text for name in ("outbound", "inbound", "admin", "readiness", "metrics", "zipkin", "otlp", "otlp-grpc") for text in (f"--{name}-port", "0")]


def test_links_are_those_of_the_merged_tree(start):
    skein = start()
    pair = [span("a", "1", kind="CLIENT"), span("a", "2", "app", kind="SERVER", parentId="1")]
    for _ in range(2):
        assert post(skein, pair)[0] == 202
    assert links(skein) == [{"parent": "web", "child": "app", "callCount": 1}]
    # The parent was never received: it hangs under the root.
    assert post(skein, [span("b", "1", "front", kind="SERVER"), span("b", "5", "back", kind="SERVER", parentId="4")])[0] == 202
    expected = [{"parent": "front", "child": "back", "callCount": 1}, {"parent": "web", "child": "app", "callCount": 1}]
    assert links(skein) == expected
    skein.stop()
    skein = start()
    assert links(skein) == expected
    # Into segments, and once more the same in a later one.
    wait_for(lambda: skein.samples("skein_store_journal_spans") == 0, seconds=60, what="compaction")
    assert links(skein) == expected
    assert post(skein, pair)[0] == 202
    assert links(skein) == expected


def test_what_any_part_of_a_span_says_is_shown_and_found(start):
    skein = start()
    first, second = span(name="first", tags={"k": "one"}), span(name="second", tags={"k": "two"})
    for part in (first, second, first):
        assert post(skein, [part])[0] == 202
    shown = get(skein, "/api/v2/trace/a")
    assert [(s["name"], s["tags"]) for s in shown] == [("first", {"k": "one"}), ("second", {"k": "two"})]
    for query in ("spanName=first", "spanName=second", "annotationQuery=k%3Done", "annotationQuery=k%3Dtwo"):
        assert [len(trace) for trace in get(skein, "/api/v2/traces?serviceName=web&" + query)] == [2], query
    page = http_get(skein.ports["zipkin"], "/zipkin/traces/a")[2].decode()
    assert "first" in page and "second" in page


def test_mixed_trace_ids_are_one_trace_when_asked_for(start):
    skein = start(environment={"STRICT_TRACE_ID": "false"})
    long, short = "463ac35c9f6413ad48485a3953bb6124", "48485a3953bb6124"
    assert post(skein, [span(long, "1", tags={"k": "v"}), span(short, "2", "app")])[0] == 202
    for id in (long, short):
        assert {s["id"] for s in get(skein, "/api/v2/trace/" + id)} == {"0000000000000001", "0000000000000002"}
        assert [len(trace) for trace in get(skein, "/api/v2/traceMany?traceIds=" + long + "," + id)] == [2] if id == short else True
    for service in ("web", "app"):
        assert [len(trace) for trace in get(skein, "/api/v2/traces?serviceName=" + service)] == [2]
    skein.stop()
    skein = start()
    assert [s["id"] for s in get(skein, "/api/v2/trace/" + short)] == ["0000000000000002"]


@pytest.fixture
def tiny_disk(tmp_path):
    place = tmp_path / "data"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(place):
    with open(place / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def test_a_full_disk_does_not_prevent_the_start(start, tiny_disk):
    backend = Backend()
    fill(tiny_disk)
    skein = start(mesh(backend.port))
    assert skein.get("/")[0] == 200
    status, headers, body = post(skein, [span()])
    assert status == 503 and headers["retry-after"] and b"cannot be opened" in body
    status, told = health(skein)
    assert status == 503 and told["status"] == "DOWN" and "cannot be opened" in json.dumps(told)
    assert "cannot be opened" in http_get(skein.ports["zipkin"], "/")[2].decode()
    assert skein.samples("skein_store_healthy") == 0 and skein.samples("skein_store_degraded") == 1
    assert skein.samples("skein_store_spans_refused_total", reason="not_open") >= 1
    assert "cannot be opened" in skein.log() and str(tiny_disk) in skein.log()
    os.unlink(tiny_disk / "filler")
    wait_for(lambda: post(skein, [span()])[0] == 202, seconds=60, what="opening by itself")
    assert len(get(skein, "/api/v2/trace/a")) == 1
    wait_for(lambda: "is open: spans are taken" in skein.log(), what="the log saying so")
    # What failed to open has left nothing that looks like damage.
    assert health(skein)[1]["status"] == "UP"
    backend.close()


def test_a_disk_filled_between_two_starts_keeps_what_it_had(start, tiny_disk):
    skein = start()
    assert post(skein, [span()])[0] == 202
    skein.stop()
    fill(tiny_disk)
    skein = start()
    assert post(skein, [span("b", tags={"noise": os.urandom(200_000).hex()[:60_000]})])[0] in (202, 503)
    os.unlink(tiny_disk / "filler")
    wait_for(lambda: post(skein, [span("c")])[0] == 202, seconds=60, what="ingest resuming")
    assert len(get(skein, "/api/v2/trace/a")) == 1


def test_an_unusable_directory_does_not_prevent_the_start_unless_asked(start, tmp_path):
    (tmp_path / "data").write_text("a file")
    skein = start()
    assert post(skein, [span()])[0] == 503
    (tmp_path / "data").unlink()
    wait_for(lambda: post(skein, [span()])[0] == 202, seconds=60, what="opening by itself")
    # A held lock and --require-store end the start all the same.
    held = run("run", "--data", tmp_path / "data", *closed_ports())
    assert held.returncode == 70 and "in use by process" in held.stderr
    required = run("run", "--require-store", "--data", "/proc/skein-data", *closed_ports())
    assert required.returncode == 70 and "/proc/skein-data" in required.stderr and "errno" not in required.stderr


def damage(skein, what):
    """All the places that must tell of it."""
    wait_for(lambda: what in skein.log(), what="the log saying so")
    status, told = health(skein)
    assert status == 200 and told["status"] == "DEGRADED"
    text = told["zipkin"]["details"]["SkeinStore"]["details"]["damage"][0]
    assert what in text and "to look into it: sqlite3 '" in text
    page = http_get(skein.ports["zipkin"], "/")[2].decode()
    assert "store is well" not in page and what.replace("'", "&#39;") in page
    assert skein.samples("skein_store_degraded") == 1 and skein.samples("skein_store_healthy") == 1
    return text


@pytest.mark.parametrize("size", [0, 1, 3000, 30_000])
def test_a_cut_file_is_set_aside_and_told(start, tmp_path, size):
    skein = start()
    for number in range(4):
        assert post(skein, [span(f"{number + 1:x}")])[0] == 202
    skein.stop()
    path = tmp_path / "data" / "skein.db"
    assert path.stat().st_size > 30_000
    os.truncate(path, size)
    skein = start()
    text = damage(skein, "it is now")
    aside = pathlib.Path(re.search(r"it is now (\S+), and", text)[1])
    assert aside.stat().st_size == size
    assert skein.samples("skein_store_quarantined_total", kind="file") == 1
    assert post(skein, [span("9")])[0] == 202
    skein.stop()
    assert health(start())[1]["status"] == "UP"


def test_damaged_journal_rows_are_told_and_kept(start, tmp_path):
    skein = start()
    assert post(skein, [span("a"), span("a", "2")])[0] == 202
    assert post(skein, [span("b")])[0] == 202
    skein.stop()
    with sqlite3.connect(tmp_path / "data" / "skein.db") as file:
        number, row = file.execute("SELECT number, row FROM journal ORDER BY number LIMIT 1").fetchone()
        file.execute("UPDATE journal SET row = ? WHERE number = ?", (row[:-1] + bytes([row[-1] ^ 1]), number))
    file.close()
    skein = start()
    text = damage(skein, "1 row of acknowledged spans")
    assert "2 spans, from " in text
    assert skein.samples("skein_store_quarantined_total", kind="journal_row") == 1
    assert http_get(skein.ports["zipkin"], "/api/v2/trace/b")[0] == 200
    with sqlite3.connect(f"file:{tmp_path}/data/skein.db?mode=ro", uri=True) as file:
        assert [len(kept) for (kept,) in file.execute("SELECT row FROM damaged")] == [len(row)]
    file.close()


def test_what_lies_on_disk_is_bounded(start, tmp_path):
    skein = start(arguments=["--retention-megabytes", "16"])
    sent = 0
    while sent < 60_000:
        body = [span(os.urandom(8).hex(), os.urandom(8).hex(), tags={"noise": os.urandom(200).hex()}) for _ in range(1000)]
        wait_for(lambda: post(skein, body)[0] == 202, what="ingest")
        sent += len(body)
    last = body[-1]["traceId"]
    on_disk = lambda: sum(f.stat().st_size for f in (tmp_path / "data").iterdir())
    wait_for(lambda: on_disk() <= 16 << 20, seconds=30, what=f"at most 16 MiB on disk, not {on_disk()}")
    assert skein.samples("skein_store_spans_expired_total") > 0
    assert len(get(skein, "/api/v2/trace/" + last)) == 1
