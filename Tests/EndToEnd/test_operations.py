"""What operators do and what befalls them: reloads, signals, full disks, kill -9, log rotation, the command line."""

import http.client
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

import pytest

from conftest import ROOT, SKEIN, Backend, access_log, free_port, http_get, mesh, wait_for
from test_clients import post, span


def run(*arguments, env=None):
    return subprocess.run([SKEIN, *map(str, arguments)], capture_output=True, text=True, timeout=60, env={**os.environ, **(env or {})})


# --- Command line -------------------------------------------------------------------------------------------------------


def test_exit_codes_and_streams(tmp_path):
    assert json.loads(run("version", "-o", "json").stdout)["name"] == "skein"
    assert run("nonsense").returncode == 64
    assert run("validate").returncode == 64
    good = run("validate", ROOT / "Config/seed")
    assert good.returncode == 0 and "0 errors" in good.stdout
    lost = tmp_path / "lost"
    lost.mkdir()
    (lost / "a b.yaml").write_text(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x}\nspec:\n  hosts: [a.example]\n  gateways: [nowhere]\n  http:\n  - route: [{destination: {host: a.example}}]\n"
        "    retries: {attempts: 2}\n")
    pointed = run("validate", lost / "a b.yaml")
    assert pointed.returncode == 0 and pointed.stdout.splitlines()[-1].startswith("skein analyze finds 1 thing that does not fit together: skein analyze '"), pointed.stdout
    assert run("analyze", lost).returncode == 79
    (lost / "a b.yaml").write_text((lost / "a b.yaml").read_text().replace("attempts: 2", "attempts: 3000000000"))
    twice = run("validate", lost / "a b.yaml")
    assert twice.returncode == 65 and twice.stdout.count("3000000000") == 1 and "accepted: 0 to 2147483647" in twice.stdout and "skein analyze" not in twice.stdout
    bad = tmp_path / "bad.yaml"
    bad.write_text("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x}\nspec:\n  hosts: [a]\n  http:\n  - rout: []\n")
    result = run("validate", bad)
    assert result.returncode == 65 and re.search(r"bad\.yaml:7:5: error .*rout.*route", result.stdout), result.stdout
    assert json.loads(run("validate", "-o", "json", bad).stdout)["valid"] is False
    assert run("run", "-c", bad, "--data", tmp_path / "d").returncode == 65
    regex = tmp_path / "regex.yaml"
    regex.write_text("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x}\nspec:\n  hosts: [a.b]\n  http:\n  - match: [{uri: {regex: '(a'}}]\n    route: [{destination: {host: a.b}}]\n")
    result = run("validate", regex)
    assert result.returncode == 65 and "regex.yaml:7:" in result.stdout and "RE2" in result.stdout
    assert run("traces", "--server", f"127.0.0.1:{free_port()}").returncode == 69
    assert "\x1b[" not in run("validate", bad, env={"NO_COLOR": "1"}).stdout
    assert "#compdef skein" in run("--generate-completion-script", "zsh").stdout


@pytest.mark.parametrize("path", sorted((ROOT / "Config/seed").glob("*.yaml")), ids=lambda p: p.name)
def test_every_seed_configuration_runs_verbatim(start, path):
    skein = start(paths=[path])
    assert skein.get("/")[0] in (404, 503)
    assert skein.stop() == 0


def test_names_of_the_environment_are_taken_or_said(start, backend):
    entry = (
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: web}\nspec: {hosts: [web.local], ports: [{number: 80, name: http, protocol: HTTP}], "
        f"resolution: STATIC, endpoints: [{{address: 127.0.0.1, ports: {{http: {backend.port}}}}}]}}\n")
    names = {"OTEL_SERVICE_NAME": "edge-proxy", "OTEL_TRACES_SAMPLER": "always_on", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "MEM_MAX_SPANS": "9"}
    skein = start(entry, environment=names)
    assert skein.get("/")[0] == 200
    services = lambda: json.loads(http_get(skein.ports["zipkin"], "/api/v2/services")[2])
    wait_for(lambda: services() == ["edge-proxy"], what="the proxy's span")
    log = skein.log()
    assert "notice: OTEL_EXPORTER_OTLP_ENDPOINT: accepted, not yet in effect" in log and "notice: MEM_MAX_SPANS: not in effect" in log
    # No spans of its own; what others send is taken.
    silent = start(entry, environment={"OTEL_SDK_DISABLED": "true"})
    b3 = {"X-B3-TraceId": "00000000000000aa", "X-B3-SpanId": "00000000000000ab", "X-B3-Sampled": "1"}
    assert silent.get("/", headers=b3)[0] == 200
    assert post(silent, [span("00000000000000ac")])[0] == 202
    assert http_get(silent.ports["zipkin"], "/api/v2/trace/00000000000000ac")[0] == 200
    assert http_get(silent.ports["zipkin"], "/api/v2/trace/00000000000000aa")[0] == 404


def test_traces_and_logs_commands(proxy):
    proxy.get("/alpha", headers={"User-Agent": "tester"})
    proxy.get("/", host="nowhere")
    access_log(proxy, 2)
    admin = f"127.0.0.1:{proxy.ports['admin']}"
    lines = [json.loads(l) for l in run("logs", "--server", admin, "-o", "json").stdout.splitlines()]
    assert {l["path"] for l in lines} == {"/alpha", "/"}
    assert [json.loads(l)["response_code"] for l in run("logs", "--server", admin, "--status", "4xx", "-o", "json").stdout.splitlines()] == [404]
    assert run("logs", "--server", admin, "--status", "abc").returncode == 65
    zipkin = f"127.0.0.1:{proxy.ports['zipkin']}"
    wait_for(lambda: "web.local" in run("traces", "--server", zipkin).stdout, what="the trace in the list")
    trace = json.loads(run("traces", "--server", zipkin, "-o", "json").stdout)[0][0]["traceId"]
    services = json.loads(http_get(proxy.ports["zipkin"], "/api/v2/services")[2])
    assert trace in run("traces", trace, "--server", zipkin).stdout
    assert trace in run("traces", "--service", "WEB.local" if "web.local" in services else services[0], "--server", zipkin).stdout
    wrong = run("traces", "--service", "webb", "--server", zipkin)
    assert wrong.returncode == 0 and wrong.stderr.strip() == f"skein: no service webb; there are {', '.join(services)}", wrong
    assert run("traces", "00000000000000ff", "--server", zipkin).returncode == 65


def test_logs_follow(proxy):
    follower = subprocess.Popen([SKEIN, "logs", "-f", "-o", "json", "--server", f"127.0.0.1:{proxy.ports['admin']}"], stdout=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: proxy.get("/follow")[0] == 200 and proxy.samples("skein_http_requests_total") >= 0, what="a request")
        line = json.loads(follower.stdout.readline())
        assert line["path"] == "/follow"
    finally:
        follower.kill()
        follower.wait()


# --- Reload -------------------------------------------------------------------------------------------------------------


def test_a_thousand_reloads_under_load_fail_no_request(start):
    backend = Backend()
    skein = start(mesh(backend.port), arguments=["--workers", "1"])
    stop = threading.Event()
    failures, count = [], [0]

    def load():
        connection = http.client.HTTPConnection("127.0.0.1", skein.ports["outbound"], timeout=20)
        while not stop.is_set():
            try:
                connection.request("GET", "/", headers={"Host": "web.local"})
                response = connection.getresponse()
                response.read()
                if response.status != 200:
                    failures.append(response.status)
            except Exception as error:  # noqa: BLE001 - any failure is the finding
                failures.append(repr(error))
                connection = http.client.HTTPConnection("127.0.0.1", skein.ports["outbound"], timeout=20)
            count[0] += 1

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    def reload_again():
        # Signals that come while a reload runs are one signal; so count what was adopted, not what was sent.
        for _ in range(25):
            skein.process.send_signal(signal.SIGHUP)
            time.sleep(0.002)
        return skein_generation(skein) > 1000

    wait_for(reload_again, seconds=90, what="1,000 reloads")
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == [] and count[0] > 500
    backend.close()


def skein_generation(skein):
    return json.loads(http_get(skein.ports["admin"], "/config_dump")[2])["generation"]


def test_changed_files_are_noticed_and_bad_ones_refused(start):
    one = Backend(lambda line, body: b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none")
    two = Backend(lambda line, body: b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo")
    skein = start(mesh(one.port))
    assert skein.get("/")[2] == b"one"
    (skein.config / "mesh.yaml").write_text(mesh(two.port))
    wait_for(lambda: skein.get("/")[2] == b"two", what="the new configuration")
    (skein.config / "mesh.yaml").write_text(mesh(one.port).replace("hosts:", "hots:"))
    wait_for(lambda: "hots" in skein.log(), what="the reason in the log")
    assert skein.get("/")[2] == b"two"
    wait_for(lambda: skein.samples("skein_config_reload_failures_total") == 1, what="the failure counted")
    # A format that nobody can write lines in is no reason to go on without a log.
    (skein.config / "mesh.yaml").write_text(mesh(one.port).replace("%RESPONSE_FLAGS%", "%RESPONSE_FLAG%"))
    wait_for(lambda: skein.samples("skein_config_reload_failures_total") == 2, what="the failure counted")
    assert "RESPONSE_FLAG;" in skein.log() and skein.get("/")[2] == b"two"
    one.close()
    two.close()


def test_log_rotation_loses_no_line(proxy):
    path = proxy.directory / "access.log"
    wait_for(path.exists, what="the file")
    for index in range(300):
        proxy.get(f"/{index}")
        if index in (100, 200):
            path.rename(proxy.directory / f"access.log.{index}")
            proxy.process.send_signal(signal.SIGHUP)
            wait_for(path.exists, what="the reopened file")

    def lines():
        files = [path, proxy.directory / "access.log.100", proxy.directory / "access.log.200"]
        return [json.loads(l)["path"] for f in files for l in f.read_text().splitlines()]

    wait_for(lambda: len(lines()) == 300, what="300 lines")
    assert sorted(lines()) == sorted(f"/{i}" for i in range(300))


@pytest.mark.parametrize("sig", [signal.SIGUSR1, signal.SIGHUP])
def test_logrotate_of_nginx_and_envoy_users(proxy, sig):
    """SIGUSR1 ended the process: whoever copied a logrotate rule of nginx lost the proxy at midnight."""
    path = proxy.directory / "access.log"
    assert proxy.get("/before")[0] == 200
    wait_for(lambda: path.exists() and "/before" in path.read_text(), what="the line")
    path.rename(proxy.directory / f"rotated.{sig.name}")
    proxy.process.send_signal(sig)
    wait_for(path.exists, what="the reopened file")
    assert proxy.get("/after")[0] == 200
    wait_for(lambda: "/after" in path.read_text(), what="the line in the new file")


def test_sigusr2_is_said_and_harmless(proxy):
    proxy.process.send_signal(signal.SIGUSR2)
    wait_for(lambda: "SIGUSR2 has no effect" in proxy.log(), what="the notice")
    assert proxy.get("/")[0] == 200


def test_a_long_value_hides_none_of_its_neighbours(proxy):
    proxy.get("/long", headers={"User-Agent": "u" * 9000, "X-Request-Id": "8f7a1a2b-0000-4000-8000-00000000000a", "X-Custom": "c" * 20000, "X-Forwarded-For": "10.1.2.3"})
    line = access_log(proxy, 1)[-1]
    assert line["path"] == "/long" and line["request_id"] == "8f7a1a2b-0000-4000-8000-00000000000a" and line["answer"] is None
    assert 0 < len(line["user_agent"]) <= 9000 and set(line["user_agent"]) == {"u"}
    assert 0 < len(line["custom"]) <= 20000 and set(line["custom"]) == {"c"}


# --- Stopping -----------------------------------------------------------------------------------------------------------


def test_sigterm_finishes_what_is_in_flight(start):
    release = threading.Event()

    def slow(connection):
        release.wait(10)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")

    backend = Backend(lambda line, body: slow)
    skein = start(mesh(backend.port))
    result = []
    thread = threading.Thread(target=lambda: result.append(skein.get("/slow")))
    thread.start()
    wait_for(lambda: backend.requests, what="the request upstream")
    skein.process.send_signal(signal.SIGTERM)
    wait_for(lambda: "draining" in skein.log(), what="draining")
    with pytest.raises(OSError):
        connect_until_refused(skein)
    release.set()
    thread.join()
    assert result[0][0] == 200 and result[0][2] == b"done"
    assert skein.process.wait(20) == 0
    assert len(access_log(skein)) == 1
    backend.close()


def connect_until_refused(skein):
    deadline = time.monotonic() + 5
    import socket

    while time.monotonic() < deadline:
        socket.create_connection(("127.0.0.1", skein.ports["outbound"]), timeout=1).close()
    return None


def test_second_sigterm_ends_at_once(start):
    backend = Backend(lambda line, body: (lambda connection: time.sleep(15)))
    skein = start(mesh(backend.port))
    thread = threading.Thread(target=lambda: pytest.raises(Exception, skein.get, "/slow"), daemon=True)
    thread.start()
    wait_for(lambda: backend.requests, what="the request upstream")
    skein.process.send_signal(signal.SIGTERM)
    wait_for(lambda: "draining" in skein.log(), what="draining")
    skein.process.send_signal(signal.SIGTERM)
    assert skein.process.wait(8) == 0


# --- Store --------------------------------------------------------------------------------------------------------------


def test_kill_dash_nine_while_ingesting_loses_nothing_acknowledged(start, tmp_path):
    acknowledged = []
    number = 0
    for round in range(4):
        skein = start(directory=tmp_path)
        lock = threading.Lock()
        stop = threading.Event()

        def send(worker, round=round, skein=skein):
            index = 0
            while not stop.is_set():
                index += 1
                ids = [f"{round + 1:08x}{worker + 1:08x}{index:08x}{i + 1:08x}" for i in range(20)]
                try:
                    if post(skein, [span(trace) for trace in ids])[0] == 202:
                        with lock:
                            acknowledged.extend(ids)
                except (OSError, http.client.HTTPException):
                    return

        threads = [threading.Thread(target=send, args=(w,)) for w in range(3)]
        for thread in threads:
            thread.start()
        before = len(acknowledged)
        wait_for(lambda: len(acknowledged) - before > 400 * (round + 1), what="acknowledged spans")
        skein.process.kill()
        skein.process.wait()
        stop.set()
        for thread in threads:
            thread.join()
    skein = start(directory=tmp_path)
    missing = [trace for trace in acknowledged if http_get(skein.ports["zipkin"], f"/api/v2/trace/{trace}")[0] != 200]
    assert missing == [], f"{len(missing)} of {len(acknowledged)}"


def test_two_processes_cannot_share_a_store(start, tmp_path):
    start(directory=tmp_path)
    result = subprocess.run(
        [SKEIN, "run", "--data", str(tmp_path / "data"), *[x for p in ("outbound", "admin", "readiness", "metrics", "zipkin", "otlp", "otlp-grpc") for x in (f"--{p}-port", str(free_port()))]],
        capture_output=True, text=True, timeout=20,
    )
    assert result.returncode == 70 and "in use by process" in result.stderr


def test_a_backup_taken_while_spans_arrive_can_be_restored(start, tmp_path):
    """As docs/operations.md says: VACUUM INTO at any time, or a copy of the database alone after a clean stop."""
    skein = start()
    acknowledged, done = [], threading.Event()

    def ingest():
        while not done.is_set():
            number = len(acknowledged) + 1
            assert post(skein, [span(f"{number:032x}")])[0] == 202
            acknowledged.append(number)

    sender = threading.Thread(target=ingest, daemon=True)
    sender.start()
    wait_for(lambda: len(acknowledged) >= 100, what="the first spans")
    before = len(acknowledged)
    live = sqlite3.connect(skein.directory / "data/skein.db", isolation_level=None)
    live.execute("VACUUM INTO ?", (str(tmp_path / "online.db"),))
    live.close()
    wait_for(lambda: len(acknowledged) >= before + 10, what="spans after the backup")
    done.set()
    sender.join()
    assert skein.stop() == 0
    shutil.copy(skein.directory / "data/skein.db", tmp_path / "stopped.db")

    def restored(name):
        directory = tmp_path / name
        (directory / "data").mkdir(parents=True)
        shutil.copy(tmp_path / f"{name}.db", directory / "data/skein.db")
        traces = json.loads(http_get(start(directory=directory).ports["zipkin"], "/api/v2/traces?limit=10000")[2])
        return {int(trace[0]["traceId"], 16) for trace in traces}

    assert restored("stopped") == set(acknowledged)
    # What was acknowledged before is in it, and nothing is missing in between.
    online = restored("online")
    assert len(online) >= before and online == set(range(1, len(online) + 1))


def test_a_corrupt_store_is_set_aside_and_ingest_goes_on(start, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "skein.db").write_bytes(b"this is no database" * 1000)
    skein = start(directory=tmp_path)
    assert post(skein, [span()])[0] == 202
    assert [f for f in os.listdir(tmp_path / "data") if "corrupt" in f]


def test_a_full_disk_refuses_spans_spares_the_proxy_and_heals(start):
    import resource

    backend = Backend()
    skein = start(mesh(backend.port))
    limit = lambda size: resource.prlimit(skein.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    assert post(skein, [span()])[0] == 202
    # No file may grow beyond this: what a full disk looks like to one process.
    limit(1 << 20)
    kept = []

    def refused():
        trace = os.urandom(16).hex()
        body = [span(trace, id=os.urandom(8).hex(), tags={"noise": os.urandom(400).hex()}) for _ in range(100)]
        status, headers, _ = post(skein, body)
        if status == 202:
            kept.append(trace)
        return status == 503 and headers["retry-after"]

    wait_for(refused, seconds=30, what="503 with Retry-After")
    assert skein.get("/")[0] == 200
    wait_for(lambda: "full or failing" in skein.log(), what="the log saying so")
    limit(resource.RLIM_INFINITY)
    wait_for(lambda: post(skein, [span("00000000000000000000000000000abc")])[0] == 202, what="ingest resuming")
    for trace in kept:
        assert http_get(skein.ports["zipkin"], "/api/v2/trace/" + trace)[0] == 200
    backend.close()


def test_a_port_in_use_is_a_clear_error(start, tmp_path):
    skein = start()
    result = run("run", "--data", tmp_path, "--zipkin-port", skein.ports["zipkin"], "--outbound-port", 0, "--admin-port", 0, "--readiness-port", 0, "--metrics-port", 0, "--otlp-port", 0, "--otlp-grpc-port", 0)
    assert result.returncode == 70 and str(skein.ports["zipkin"]) in result.stderr


def test_a_proxy_port_in_use_is_an_error_and_not_half_of_the_connections(start, tmp_path):
    skein = start()
    result = run("run", "--data", tmp_path, "--outbound-port", skein.ports["outbound"], "--zipkin-port", 0, "--admin-port", 0, "--readiness-port", 0, "--metrics-port", 0, "--otlp-port", 0, "--otlp-grpc-port", 0)
    assert result.returncode == 70 and f"127.0.0.1:{skein.ports['outbound']}" in result.stderr
    assert f"is held by process {skein.process.pid} (" in result.stderr, result.stderr


def test_the_ready_line_names_every_port(start):
    skein = start()
    ready = next(line for line in skein.log().splitlines() if "ready: " in line)
    for name, port in (("outbound", "outbound"), ("Zipkin and page", "zipkin"), ("OTLP", "otlp"), ("admin", "admin"), ("readiness", "readiness"), ("metrics", "metrics")):
        assert f"{name} 127.0.0.1:{skein.ports[port]}" in ready


def test_access_log_formats_are_checked_where_they_stand(tmp_path):
    """Also those that no Telemetry asks for yet; what Envoy accepts and this does not have is said, not refused."""
    file = tmp_path / "mesh.yaml"
    text = (
        "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec:\n  meshConfig:\n    extensionProviders:\n    - name: good\n"
        "      envoyFileAccessLog: {path: a, logFormat: {text: '%GRPC_STATUS% %CONNECTION_ID%'}}\n"
    )
    file.write_text(text)
    result = run("validate", file)
    assert result.returncode == 0 and re.search(r"mesh\.yaml:7:\d+: notice .*%CONNECTION_ID% accepted, not yet in effect", result.stdout), result.stdout
    assert "GRPC_STATUS" not in result.stdout
    file.write_text(text + "    - name: bad\n      envoyFileAccessLog:\n        path: b\n        logFormat:\n          labels: {code: '%RESPONSE_COD%'}\n")
    result = run("validate", file)
    assert result.returncode == 65 and re.search(r"mesh\.yaml:12:\d+: error .*provider bad: .*field code: .*RESPONSE_CODE", result.stdout), result.stdout


def test_a_name_that_does_not_resolve_is_said_once(start):
    skein = start(mesh(1, "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: gone}\nspec:\n  hosts: [no-such-name.invalid]\n"
                       "  ports: [{number: 80, name: http, protocol: HTTP}]\n  resolution: DNS\n"))
    wait_for(lambda: skein.samples("skein_dns_failures_total") >= 3, what="three attempts")
    assert skein.log().count("cannot resolve no-such-name.invalid") == 1


def test_running_out_of_descriptors_is_survived_and_counted(start):
    import resource
    import socket

    backend = Backend()
    skein = start(mesh(backend.port), arguments=["--workers", "1"])
    assert skein.get("/")[0] == 200
    used = len(os.listdir(f"/proc/{skein.process.pid}/fd"))
    resource.prlimit(skein.process.pid, resource.RLIMIT_NOFILE, (used + 10, resource.prlimit(skein.process.pid, resource.RLIMIT_NOFILE)[1]))
    crowd = [socket.create_connection(("127.0.0.1", skein.ports["outbound"])) for _ in range(100)]
    # The loop must not spin on connections that it cannot take.
    before = cpu_ticks(skein)
    time_passes(1.0)
    assert cpu_ticks(skein) - before < 0.5 * os.sysconf("SC_CLK_TCK")
    for s in crowd:
        s.close()
    resource.prlimit(skein.process.pid, resource.RLIMIT_NOFILE, (4096, resource.prlimit(skein.process.pid, resource.RLIMIT_NOFILE)[1]))
    wait_for(lambda: skein.get("/")[0] == 200, what="serving again")
    assert skein.samples("skein_proxy_accept_failures_total") >= 1
    backend.close()


def cpu_ticks(skein):
    fields = open(f"/proc/{skein.process.pid}/stat").read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def time_passes(seconds):
    """Real time is what is measured here: how much the process works while nothing can be done."""
    threading.Event().wait(seconds)


def test_ten_thousand_idle_connections_cost_little(start):
    import resource
    import socket

    backend = Backend()
    skein = start(mesh(backend.port), arguments=["--workers", "1"])
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(20000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)

    def rss():
        return int(next(l for l in open(f"/proc/{skein.process.pid}/status") if l.startswith("VmRSS")).split()[1])

    before = rss()
    connections = []
    for _ in range(10000):
        s = socket.create_connection(("127.0.0.1", skein.ports["outbound"]))
        connections.append(s)
    request = b"GET / HTTP/1.1\r\nHost: web.local\r\n\r\n"
    for s in connections[::10]:
        s.sendall(request)
        assert s.recv(4096).startswith(b"HTTP/1.1 200")
    wait_for(lambda: skein.samples("skein_proxy_downstream_connections_active") >= 10000, what="10,000 connections")
    assert (rss() - before) / 10000 <= 10, "KiB a connection"
    for s in connections:
        s.close()
    backend.close()
