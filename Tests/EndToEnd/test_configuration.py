"""Configurations as people write, break and reload them: what is refused, what is said of it, and what goes on meanwhile."""

import json
import signal
import subprocess
import threading

import pytest

from conftest import SKEIN, Backend, http_get, mesh, wait_for
from test_operations import run

WORKLOAD = """
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: web, namespace: default}
spec: {address: 127.0.0.1, labels: {app: web}, ports: {http: %d}}
"""
POLICIES = {
    "WasmPlugin": "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: ask}\nspec: {phase: AUTHZ, url: 'oci://a/b'}\n",
    "PeerAuthentication": "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: strict}\nspec: {mtls: {mode: STRICT}}\n",
    "DestinationRule": "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: tls}\nspec: {host: web.local, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}\n",
}


@pytest.mark.parametrize("kind", POLICIES)
def test_protection_that_is_not_enforced_stops_a_start(start, backend, kind):
    text = mesh(backend.port, "---\n" + POLICIES[kind] + WORKLOAD % backend.port)
    refused = start(text, arguments=["--node", "web"], ready=False)
    assert refused.process.wait(20) == 65
    assert f"{kind} default/" in refused.log() and "--allow-unenforced" in refused.log()
    checked = run("validate", refused.config)
    assert checked.returncode == 65 and "SKN0202" in checked.stdout
    assert run("validate", "--allow-unenforced", refused.config).returncode == 0
    needs_identity = kind in ("PeerAuthentication", "DestinationRule")
    assert ("--identity DIRECTORY" in refused.log()) == needs_identity
    assert run("validate", "--with-identity", refused.config).returncode == (0 if needs_identity else 65)
    assert run("analyze", "--with-identity", refused.config).returncode == (0 if needs_identity else 79)
    found = json.loads(run("analyze", "-o", "json", refused.config).stdout)["findings"]
    assert [item["severity"] for item in found if item["code"] == "SKN0202"] == ["error"]
    # Somebody says that it is no reason: then it is said wherever people look.
    skein = start(text, arguments=["--node", "web", "--allow-unenforced"])
    assert skein.get("/")[0] == 200
    assert "SKN0202" in skein.log() and f"warning [SKN0202] {kind} default/" in skein.log()
    assert skein.samples("skein_unenforced_policies", kind=kind) == 1
    health = json.loads(http_get(skein.ports["zipkin"], "/health")[2])
    assert health["status"] == "UP" and any(kind in line for line in health["zipkin"]["details"]["SkeinSecurity"]["details"]["notEnforced"])
    own = json.loads(http_get(skein.ports["admin"], "/health")[2])
    assert own["status"] == "DEGRADED" and kind in own["notEnforced"][0]
    assert "not enforced" in http_get(skein.ports["zipkin"], "/")[2].decode()
    told = run("explain", "--server", f"127.0.0.1:{skein.ports['admin']}", "http://web.local/")
    assert told.returncode == 0 and "not enforced" in told.stdout and kind in told.stdout


def test_a_reload_does_not_bring_protection_that_is_not_given(start, backend):
    text = mesh(backend.port, WORKLOAD % backend.port)
    skein = start(text, arguments=["--node", "web"])
    (skein.config / "policy.yaml").write_text(POLICIES["WasmPlugin"])
    wait_for(lambda: "SKN0202" in skein.log(), what="the refusal in the log")
    assert skein.get("/")[0] == 200
    wait_for(lambda: skein.samples("skein_config_reload_failures_total") == 1, what="the refusal counted")
    assert skein.samples("skein_config_reloads_total") == 1, "the start; a refusal is no reload"


def test_a_file_that_is_being_written_is_not_adopted(start, backend):
    text = mesh(backend.port)
    skein = start(text)
    codes, stop = [], threading.Event()

    def load():
        while not stop.is_set():
            codes.append(skein.get("/")[0])

    thread = threading.Thread(target=load)
    thread.start()
    path = skein.config / "mesh.yaml"
    path.write_text("")
    wait_for(lambda: "SIGHUP" in skein.log(), what="the refusal of the empty file")
    assert "mesh.yaml had 3 resource(s) and has none now" in skein.log()
    path.write_text(text.replace("web.local", "web.local, shop.local"))
    wait_for(lambda: skein.get("/", host="shop.local")[0] == 200, what="the new text")
    stop.set()
    thread.join()
    assert set(codes) == {200}
    # Meant: then there is nothing to serve.
    path.write_text("# nothing\n")
    wait_for(lambda: skein.samples("skein_config_reload_failures_total") == 2, what="the second refusal")
    skein.process.send_signal(signal.SIGHUP)
    wait_for(lambda: skein.get("/")[0] == 404, what="the empty configuration")


def test_standard_input_and_subdirectories(tmp_path, start, backend):
    text = mesh(backend.port)
    piped = subprocess.run([SKEIN, "validate", "-"], input=text, capture_output=True, text=True, timeout=60)
    assert piped.returncode == 0 and "3 resources" in piped.stdout
    broken = subprocess.run([SKEIN, "validate", "-"], input=text.replace("hosts:", "hots:"), capture_output=True, text=True, timeout=60)
    assert broken.returncode == 65 and "<stdin>:6:3: error [SKN0101]" in broken.stdout
    assert subprocess.run([SKEIN, "explain", "-c", "-", "http://web.local/"], input=text, capture_output=True, text=True, timeout=60).returncode == 0
    assert run("run", "-c", "-").returncode == 64
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "mesh.yaml").write_text(text)
    flat = run("validate", tmp_path)
    assert "0 resources" in flat.stdout and "read subdirectories with -R" in flat.stdout
    assert "3 resources: 0 errors, 0 warnings, 0 notices" in run("validate", "-R", tmp_path).stdout
    assert run("analyze", "-R", tmp_path).returncode == 0
    skein = start(paths=[tmp_path], arguments=["-R"])
    assert skein.get("/")[0] == 200
    other = Backend(lambda line, body: b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother")
    (tmp_path / "deep" / "er" / "mesh.yaml").write_text(mesh(other.port))
    wait_for(lambda: skein.get("/")[2] == b"other", what="the change two directories down")


def test_syntax_errors_show_the_line(tmp_path):
    path = tmp_path / "mesh.yaml"
    path.write_text("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x\nspec:\n  hosts: [a.b]\n")
    for command in (["validate", path], ["analyze", path], ["explain", "-c", path, "http://a.b/"], ["run", "-c", path, "--data", tmp_path / "d"]):
        result = run(*command)
        said = result.stdout + result.stderr
        assert result.returncode == 65 and "mapping in { } that began at line 3, column 11 is not closed" in said, said
        lines = said.splitlines()
        shown = next(i for i, line in enumerate(lines) if "|" in line and "spec:" in line)
        assert lines[shown + 1].rstrip().endswith("^"), said
    told = json.loads(run("validate", "-o", "json", path).stdout)["diagnostics"][0]
    assert told["line"] == 4 and told["excerpt"] == "spec:"


def test_valid_log_formats_are_taken(start, backend):
    text = mesh(backend.port).replace('code: "%RESPONSE_CODE%"', """code: "%RESPONSE_CODE%"
            version: 2
            nested: {time: "%START_TIME(%c|%E3S|%Ez)%", list: ["%PROTOCOL%", true]}""")
    skein = start(text)
    assert skein.get("/")[0] == 200
    line = json.loads(wait_for(lambda: (skein.directory / "access.log").read_text(), what="the line"))
    assert line["version"] == 2 and line["nested"]["list"] == ["HTTP/1.1", True] and line["code"] == 200
    c, seconds, zone = line["nested"]["time"].split("|")
    assert len(c) == 24 and len(seconds) == 6 and zone == "+00:00"
