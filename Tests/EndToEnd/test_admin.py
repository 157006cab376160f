"""The admin port as people of Envoy and istioctl use it, and what failures look like there, in metrics and on the command line."""

import json
import re

import pytest

from conftest import Backend, free_port, http_get, mesh, wait_for
from test_operations import run


def page(skein, path, method="GET"):
    code, headers, body = http_get(skein.ports["admin"], path, method=method)
    return code, headers, body.decode()


def service(host, ports, extra=""):
    endpoints = ", ".join(f"{{address: 127.0.0.1, ports: {{http: {port}}}}}" for port in ports)
    return f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {host.replace('.', '-')}, namespace: default}}
spec:
  hosts: [{host}]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{endpoints}]
{extra}"""


@pytest.fixture
def failing(start, backend):
    """A service with an endpoint where nobody listens, one that closes every connection, one that is well."""
    dead, rude = free_port(), Backend(lambda line, body: None)
    text = mesh(backend.port, service("dead.local", [dead]) + service("rude.local", [rude.port]) + """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: default}
spec:
  hosts: [web.local]
  http:
  - name: api
    match: [{uri: {prefix: /api}, headers: {x-team: {exact: a}}}]
    timeout: 3s
    route: [{destination: {host: web.local}, weight: 90}, {destination: {host: dead.local}, weight: 10}]
  - route: [{destination: {host: web.local}}]
""")
    skein = start(text)
    skein.dead, skein.rude = dead, rude.port
    yield skein
    rude.close()


def test_failures_name_cluster_and_endpoint(failing):
    skein = failing
    for _ in range(3):
        assert skein.get("/", host="dead.local", method="POST")[0] == 503
        assert skein.get("/", host="rude.local", method="POST")[0] == 503
    assert skein.get("/")[0] == 200
    cluster, endpoint = "outbound|80||dead.local", f"127.0.0.1:{skein.dead}"
    # Three requests, each tried again twice: a connect failure is always safe to retry.
    assert skein.samples("skein_cluster_connect_failures_total", cluster=cluster) == 9
    assert skein.samples("skein_endpoint_connect_failures_total", cluster=cluster, endpoint=endpoint) == 9
    assert skein.samples("skein_endpoint_failures_total", cluster="outbound|80||rude.local", endpoint=f"127.0.0.1:{skein.rude}") == 3
    assert skein.samples("skein_endpoint_healthy", cluster="outbound|80||web.local") == 1
    assert skein.samples("skein_endpoint_connect_failures_total", cluster="outbound|80||web.local") == 0
    code, headers, text = page(skein, "/clusters")
    assert code == 200 and headers["content-type"].startswith("text/plain")
    assert f"{cluster}::{endpoint}::cx_connect_fail::9\n" in text
    assert f"{cluster}::{endpoint}::last_error::connection refused: nobody listens there\n" in text
    assert f"outbound|80||rude.local::127.0.0.1:{skein.rude}::last_error::it closed the connection before its response was complete\n" in text
    assert f"{cluster}::default_priority::max_connections::4294967295\n" in text and "::health_flags::healthy\n" in text
    document = json.loads(page(skein, "/clusters?format=json")[2])
    status = next(one for one in document["cluster_statuses"] if one["name"] == cluster)["host_statuses"][0]
    assert status["address"] == {"socket_address": {"address": "127.0.0.1", "port_value": skein.dead}}
    assert {"name": "cx_connect_fail", "value": "9"} in status["stats"] and status["last_error"].startswith("connection refused")
    admin = f"127.0.0.1:{skein.ports['admin']}"
    told = run("proxy-config", "endpoints", "--server", admin)
    assert told.returncode == 0 and re.search(rf"{endpoint} +healthy +0 +9 +0 +connection refused: nobody listens there \(\d+ s ago\)", told.stdout), told.stdout
    assert "rude.local" not in run("proxy-config", "endpoints", "--name", "dead", "--server", admin).stdout
    assert re.search(r"dead\.local +leastRequest +1/1 +9 +-", run("proxy-config", "clusters", "--server", admin).stdout)


def test_an_ejected_endpoint_is_told(start):
    bad, good = Backend(lambda line, body: b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), Backend()
    rule = """---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: pair, namespace: default}
spec: {host: pair.local, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 2, baseEjectionTime: 60s, maxEjectionPercent: 50}}}
"""
    skein = start(mesh(good.port, service("pair.local", [bad.port, good.port]) + rule))
    wait_for(lambda: skein.get("/", host="pair.local")[0] and skein.samples("skein_outlier_ejections_active") == 1, what="the ejection")
    assert skein.samples("skein_endpoint_healthy", cluster="outbound|80||pair.local", endpoint=f"127.0.0.1:{bad.port}") == 0
    assert f"::127.0.0.1:{bad.port}::health_flags::/failed_outlier_check\n" in page(skein, "/clusters")[2]
    assert re.search(rf"127\.0\.0\.1:{bad.port} +ejected", run("proxy-config", "endpoints", "--server", f"127.0.0.1:{skein.ports['admin']}").stdout)
    bad.close()
    good.close()


def test_names_that_cannot_be_resolved_are_told(start, backend):
    text = mesh(backend.port, """---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: lost, namespace: default}
spec: {hosts: [lost.invalid], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
""")
    skein = start(text)
    wait_for(lambda: skein.samples("skein_dns_failures_total", host="lost.invalid") >= 1, what="the failed look-up")
    assert skein.samples("skein_cluster_dns_failed", cluster="outbound|80||lost.invalid", host="lost.invalid") == 1
    assert "outbound|80||lost.invalid::resolved::false\n" in page(skein, "/clusters")[2]
    assert "name not resolved" in run("proxy-config", "clusters", "--server", f"127.0.0.1:{skein.ports['admin']}").stdout


def test_pages_that_people_type(failing):
    skein = failing
    assert f"outbound::127.0.0.1:{skein.ports['outbound']}\n" in page(skein, "/listeners")[2]
    listener = json.loads(page(skein, "/listeners?format=json")[2])["listener_statuses"][0]
    assert listener["local_address"]["socket_address"]["port_value"] == skein.ports["outbound"]
    text = page(skein, "/routes")[2]
    assert "web.local" in text and 'api  uri prefix "/api" and header x-team exact "a"  ->  outbound|80||web.local weight 90, outbound|80||dead.local weight 10  timeout 3000 ms' in text
    routes = json.loads(page(skein, "/routes?format=json")[2])["routes"]
    api = next(one for one in routes if one["name"] == "api")
    assert api["resource"] == "VirtualService default/web" and api["position"].endswith(".yaml:" + api["position"].split(":", 1)[1]) and "web.local:80" in api["hosts"]
    assert any(re.match(r"skein_build_info\{.*\}: 1$", line) for line in page(skein, "/stats?filter=build_info")[2].splitlines())
    assert all("skein_config" in one["name"] for one in json.loads(page(skein, "/stats?filter=skein_config&format=json")[2])["stats"])
    info = json.loads(page(skein, "/server_info")[2])
    assert info["state"] == "LIVE" and re.fullmatch(r"\d+s", info["uptime_current_epoch"]) and info["command_line_options"]["outbound-port"] == str(skein.ports["outbound"])
    assert "/clusters" in page(skein, "/help")[2] and page(skein, "/")[0] == 200
    code, _, body = page(skein, "/nope")
    assert code == 404 and "/help" in body
    assert page(skein, "/logging")[2] == "active loggers:\n  skein: info\n"
    assert page(skein, "/logging?level=debug", "POST")[2].endswith("skein: debug\n")
    # A form on somebody's page may be sent here by a browser, and must change nothing.
    for site in ("cross-site", "same-site"):
        assert http_get(skein.ports["admin"], "/logging?level=trace", {"Sec-Fetch-Site": site}, method="POST")[0] == 403
    assert page(skein, "/logging")[2].endswith("skein: debug\n")
    assert page(skein, "/logging?level=loud", "POST")[0] == 400 and page(skein, "/logging")[2].endswith("skein: debug\n")
    assert page(skein, "/clusters", "POST")[0] == 405
    admin = f"127.0.0.1:{skein.ports['admin']}"
    assert re.search(r"default/web|api +uri prefix", run("proxy-config", "routes", "--server", admin).stdout)
    assert run("pc", "listeners", "--server", admin).stdout.splitlines()[0].split() == ["NAME", "ADDRESS", "SIDE"]
    assert json.loads(run("proxy-config", "clusters", "-o", "json", "--server", admin).stdout)["cluster_statuses"]
    assert run("proxy-config", "clusters", "--server", f"127.0.0.1:{free_port()}").returncode == 69


def test_proxy_status(failing):
    skein = failing
    admin = f"127.0.0.1:{skein.ports['admin']}"
    good = run("proxy-status", admin)
    assert good.returncode == 0 and re.search(rf"{admin} +- +\S+ +LIVE +\d+s +1 +-", good.stdout), good.stdout
    nobody = f"127.0.0.1:{free_port()}"
    both = run("proxy-status", admin, nobody)
    assert both.returncode == 69 and "LIVE" in both.stdout and nobody in both.stdout
    (skein.config / "more.yaml").write_text("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x}\nspec: {hots: [a.b]}\n")
    wait_for(lambda: run("proxy-status", admin).returncode == 65, what="the refusal")
    told = run("proxy-status", admin)
    assert "the newest was refused" in told.stdout and "hots" in told.stderr
    assert json.loads(run("proxy-status", "-o", "json", admin).stdout)["proxies"][0]["status"]["configuration"]["last_error"]


def test_logs_show_the_newest_requests_without_an_access_log(start, backend):
    """The records are in memory whether or not a line is written: a promise of `skein logs`, and what `explain --request-id` reads."""
    quiet = mesh(backend.port).replace("  accessLogging:\n  - providers: [{name: file}]\n", "").replace("randomSamplingPercentage: 100", "randomSamplingPercentage: 0")
    skein = start(quiet)
    assert skein.get("/seen", headers={"X-Request-Id": "8f7a1a2b-0000-4000-8000-000000000001"})[0] == 200
    admin = f"127.0.0.1:{skein.ports['admin']}"
    wait_for(lambda: "/seen" in run("logs", "--server", admin).stdout, what="the record")
    assert not (skein.directory / "access.log").exists()
    assert run("explain", "--server", admin, "--request-id", "8f7a1a2b-0000-4000-8000-000000000001").returncode == 0
    # Nobody can ask a proxy without an admin port.
    assert start(quiet, arguments=["--admin-port", "0"]).get("/")[0] == 200
