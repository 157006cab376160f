"""The demo as a newcomer sees it, and every query of every dashboard through a real Prometheus that scrapes it."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from conftest import ROOT, SKEIN, free_port, http_get, wait_for


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    directory = tmp_path_factory.mktemp("demo")
    # A copy, so that a test may edit it.
    shutil.copytree(ROOT / "Config/quickstart", directory / "quickstart")
    process = subprocess.Popen(
        [SKEIN, "demo", "--quickstart", str(directory / "quickstart"), "--data", str(directory), "--rate", "20"],
        stdout=open(directory / "out", "wb"), stderr=subprocess.STDOUT,
    )
    out = directory / "out"

    def up():
        if process.poll() is not None:
            pytest.fail(out.read_text())
        return "The mesh is running" in out.read_text()

    try:
        wait_for(up, seconds=30, what="the demo")
    except BaseException:
        # The demo ends its children when it is told to, and only then.
        process.send_signal(signal.SIGINT)
        process.wait(20)
        raise
    yield process, directory
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0, out.read_text()
    # Nobody waits for somebody who has gone: seven seconds it was.
    assert time.monotonic() - begun < 4


def page(user=None):
    status, _, body = http_get(15001, "/productpage", {"Host": "productpage:9080", **({"end-user": user} if user else {})})
    assert status == 200
    return json.loads(body)


def test_jason_sees_version_two_and_one_in_ten_of_the_others(demo):
    assert all(page("jason")["reviews"]["version"] == 2 for _ in range(20))
    versions = [page()["reviews"]["version"] for _ in range(400)]
    # 400 draws at 10 %: 40 expected, six standard deviations are 36.
    assert 4 <= versions.count(2) <= 76


def test_a_request_is_one_trace_through_every_proxy(demo):
    trace = "80f198ee56343ba864fe8b2a57d3eff7"
    status, _, _ = http_get(15001, "/productpage", {"Host": "productpage:9080", "b3": trace + "-e457b5a2e4d86bd1-1", "end-user": "jason"})
    assert status == 200

    def spans():
        status, _, body = http_get(9411, "/api/v2/trace/" + trace)
        return status == 200 and (lambda s: s if len(s) >= 8 else None)(json.loads(body))

    found = wait_for(spans, what="eight spans")
    services = {s["localEndpoint"]["serviceName"] for s in found}
    assert {"productpage.bookinfo", "details.bookinfo", "reviews.bookinfo", "ratings.bookinfo"} <= services
    ids = {s["id"] for s in found}
    assert all(s.get("parentId") in ids or s.get("parentId") == "e457b5a2e4d86bd1" for s in found)


def test_what_the_demo_says_to_type_shows_something(demo):
    """The newcomer types it literally: a service name that nobody has would be answered with nothing."""
    said = (demo[1] / "out").read_text()
    service = re.search(r"skein traces --service (\S+)", said)[1]
    assert f"skein traces --service {service}" in (ROOT / "README.md").read_text()

    def trace():
        listed = subprocess.run([SKEIN, "traces", "--service", service], capture_output=True, text=True)
        return re.search(r"^\d{4}-\S+ \S+ +([0-9a-f]{32}) ", listed.stdout, re.MULTILINE)

    shown = subprocess.run([SKEIN, "traces", wait_for(trace, what=f"a trace of {service}")[1]], capture_output=True, text=True)
    assert service in shown.stdout
    follow = re.search(r"skein logs -f (--server \S+ --status 4xx)", said)[1]
    assert f"skein logs -f {follow}" in (ROOT / "README.md").read_text()
    # One page in twenty-five is not there, so following failures shows something, and soon.
    wait_for(lambda: "/missing" in subprocess.run([SKEIN, "logs", *follow.split()], capture_output=True, text=True).stdout, what="a failure to follow")
    endpoints = subprocess.run([SKEIN, "proxy-config", "endpoints", "--server", "127.0.1.1:15000"], capture_output=True, text=True)
    assert "reviews.bookinfo" in endpoints.stdout and "healthy" in endpoints.stdout


def test_the_first_request_is_a_trace(demo):
    """The README's first step promises one: the demo samples all."""
    assert http_get(15001, "/productpage?mine=1", {"Host": "productpage:9080"})[0] == 200
    find = "/api/v2/traces?limit=10&annotationQuery=" + "http.url%3Dhttp%3A%2F%2Fproductpage%3A9080%2Fproductpage%3Fmine%3D1"
    wait_for(lambda: json.loads(http_get(9411, find)[2]), what="its trace")
    listed = subprocess.run([SKEIN, "traces", "--limit", "100"], capture_output=True, text=True)
    assert re.search(r"GET /productpage\?mine=1 200$", listed.stdout, re.M), listed.stdout[:2000]


def test_an_edit_is_told_good_or_bad(demo):
    _, directory = demo
    rule, out = directory / "quickstart/04-reviews.yaml", directory / "out"
    text = rule.read_text()
    rule.write_text(text.replace("weight: 90", "weight: 89").replace("weight: 10", "weight: 11"))
    wait_for(lambda: "all 6 processes: the changed configuration is in use" in out.read_text(), what="the good news")
    rule.write_text(text.replace("weight: 90", "wieght: 90"))
    wait_for(lambda: 'did you mean "weight"?' in out.read_text() and "the last good one goes on" in out.read_text(), what="the bad news")
    rule.write_text(text)
    wait_for(lambda: out.read_text().count("the changed configuration is in use") == 2, what="the good news again")


def test_a_second_demo_says_who_has_the_ports_and_touches_nothing(demo, tmp_path):
    process, directory = demo
    log = directory / "productpage-v1.log"
    before = log.read_bytes()
    second = subprocess.run([SKEIN, "demo", "--quickstart", str(ROOT / "Config/quickstart"), "--data", str(directory)], capture_output=True, text=True, timeout=60)
    assert second.returncode == 70 and "is running" not in second.stdout
    assert re.search(r"127\.0\.0\.1:15001: held by process \d+ \(\S*skein run ", second.stderr) and "another demo" in second.stderr
    assert log.read_bytes().startswith(before) and process.poll() is None
    alone = subprocess.run([SKEIN, "run", "--data", str(tmp_path / "d")], capture_output=True, text=True, timeout=60)
    assert alone.returncode == 70 and re.search(r"held by process \d+ \(", alone.stderr), alone.stderr


def test_the_access_log_and_the_page_show_it(demo):
    _, directory = demo
    text = wait_for(lambda: (lambda t: t if "/productpage" in t else None)((directory / "access.log").read_text()), what="log lines")
    assert re.search(r'^\[\d{4}-\d\d-\d\dT[\d:.]+Z\] "GET /productpage\S* HTTP/1.1" 200 - via_upstream - "-" 0 \d+ \d+ \d+ ', text, re.M)
    status, _, body = http_get(9411, "/zipkin/")
    assert status == 200 and b"productpage" in body


def data_of_every_query(url):
    """Each query of each dashboard returns something there, soon."""
    check = [sys.executable, str(ROOT / "Tools/check-dashboards"), "--url", url]
    deadline = time.monotonic() + 90
    while True:
        result = subprocess.run(check, capture_output=True, text=True, timeout=60)
        if result.returncode == 0:
            return len(json.loads(result.stdout))
        assert time.monotonic() < deadline, result.stdout[-2000:] + result.stderr[-4000:]
        time.sleep(1)


def test_every_dashboard_query_returns_data_from_the_store(demo):
    assert data_of_every_query("http://127.0.0.1:9411") > 150


def test_every_dashboard_query_returns_data(demo, tmp_path):
    port = free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text((ROOT / "Config/prometheus/quickstart.yml").read_text().replace("scrape_interval: 5s", "scrape_interval: 1s"))
    prometheus = subprocess.Popen(
        ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/tsdb", f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        assert data_of_every_query(f"http://127.0.0.1:{port}") > 150
    finally:
        prometheus.terminate()
        prometheus.wait()


def test_dashboards_are_what_their_program_writes():
    assert subprocess.run([sys.executable, str(ROOT / "Tools/make-dashboards"), "--check"], timeout=60).returncode == 0


def test_nobody_without_a_certificate_is_let_in(demo):
    _, directory = demo
    refused = subprocess.run(["curl", "-s", "-m", "10", "http://127.0.1.3:9080/reviews/1"], capture_output=True)
    assert refused.returncode in (52, 56) and not refused.stdout, refused
    pair = directory / "certificates/bookinfo-edge"
    shown = ["--cert", pair / "tls.crt", "--key", pair / "tls.key"]
    answer = subprocess.run(["curl", "-sk", "-m", "10", *shown, "https://127.0.1.3:9080/reviews/1"], capture_output=True, text=True)
    assert json.loads(answer.stdout)["version"] == 1, answer
    assert subprocess.run(["curl", "-sk", "-m", "10", "https://127.0.1.3:9080/reviews/1"], capture_output=True).returncode != 0
    # Who called whom is known by certificates, at both ends.
    page = http_get(15090, "/metrics", {}, address="127.0.1.3")[2].decode()
    assert 'source_principal="spiffe://cluster.local/ns/bookinfo/sa/bookinfo-productpage"' in page
    assert 'connection_security_policy="mutual_tls"' in page
    assert all((path.stat().st_mode & 0o777) == 0o600 for path in directory.rglob("tls.key"))
