"""The Prometheus rules: promtool takes them, each alert fires for its cause and stays quiet otherwise, and every metric they name exists."""

import json
import re
import subprocess
import sys
import threading
import time

from conftest import ROOT, Backend, free_port, mesh, wait_for
from test_admin import service

RULES = ROOT / "Config/prometheus/rules.yml"
TESTS = ROOT / "Config/prometheus/rules-test.yml"
ALERTS = sorted(re.findall(r"^  - alert: (\w+)$", RULES.read_text(), re.M))


def test_promtool_takes_rules_and_their_tests():
    for arguments in (["check", "rules", RULES], ["test", "rules", TESTS]):
        result = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=60)
        assert result.returncode == 0 and "SUCCESS" in result.stdout, result.stdout + result.stderr


def test_every_alert_is_tested_and_explained():
    assert len(ALERTS) > 20 and len(set(ALERTS)) == len(ALERTS)
    tested = re.findall(r'^    - \{labels: \'\{alertname="(\w+)"\}\', value: 1\}$', TESTS.read_text(), re.M)
    assert sorted(tested) == ALERTS
    explained = re.findall(r"^\| `(Skein\w+)` \|", (ROOT / "docs/operations.md").read_text(), re.M)
    assert sorted(explained) == ALERTS


TROUBLE = """---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: lost, namespace: default}
spec: {hosts: [lost.invalid], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: default}
spec:
  host: web.local
  trafficPolicy:
    connectionPool: {http: {http2MaxRequests: 1}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: dead, namespace: default}
spec: {host: dead.local, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}
"""

EXPORTER = """    - name: elsewhere
      zipkin: {service: gone.local, port: 80}
"""


def test_every_metric_of_the_rules_exists(start, tmp_path):
    """Everything that rules speak of happens to one proxy; a real Prometheus scrapes it with the rules loaded."""
    release = threading.Event()

    def slow(line, body):
        release.wait(20)
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    backend = Backend(slow)
    text = mesh(backend.port, EXPORTER + service("dead.local", [free_port()]) + service("gone.local", [free_port()]) + TROUBLE)
    text = text.replace("  - randomSamplingPercentage: 100", "  - providers: [{name: elsewhere}]\n    randomSamplingPercentage: 100")
    skein = start(text, arguments=["--allow-unenforced"])
    # One request holds the limit's only place, so that another is refused.
    held = threading.Thread(target=skein.get, args=("/",))
    held.start()
    wait_for(lambda: backend.requests, what="the request that waits")
    assert skein.get("/")[0] == 503
    release.set()
    held.join()
    assert skein.get("/", host="dead.local")[0] == 503
    wait_for(lambda: skein.samples("skein_cluster_dns_failed", host="lost.invalid") == 1, what="the failed look-up")

    port = free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{RULES}']\n"
        f"scrape_configs:\n- job_name: skein\n  static_configs: [{{targets: ['127.0.0.1:{skein.ports['metrics']}']}}]\n")
    prometheus = subprocess.Popen(
        ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/tsdb", f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    command = [sys.executable, str(ROOT / "Tools/check-dashboards"), "--rules", "--url", f"http://127.0.0.1:{port}"]
    last = []

    def complete():
        # Ratios and quantiles want traffic between two scrapes.
        skein.get("/")
        last[:] = [subprocess.run(command, capture_output=True, text=True, timeout=60)]
        return last[0].returncode == 0

    try:
        deadline = time.monotonic() + 60
        while not complete():
            assert time.monotonic() < deadline, last[0].stderr
        found = json.loads(last[0].stdout)
        assert set(ALERTS) <= {entry["rule"] for entry in found}
        assert {"up", "skein_queue_depth", "skein_queue_capacity", "destination_service:istio_requests:rate5m"} <= {entry["metric"] for entry in found}
    finally:
        prometheus.terminate()
        prometheus.wait()
        backend.close()
