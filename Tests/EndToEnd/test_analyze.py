"""`skein analyze`: what it finds, how it exits, and that --fix changes nothing but what it says."""

import json
import os
import resource
import shutil
import signal
import stat
import subprocess

import pytest

from conftest import ROOT, SKEIN
from test_traffic import rule, service

RETRIES = """
  - timeout: 10s
    retries: {attempts: 3, perTryTimeout: 3s}
    route: [{destination: {host: web.local}}]
"""

DEPRECATED = """# ours
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: x}
spec:
  host: web.local   # the shop
  trafficPolicy:
    loadBalancer: {simple: LEAST_CONN} # LEAST_CONN
    outlierDetection:
      consecutiveErrors: 5
"""


def analyze(*arguments, stdin=None, **kwargs):
    return subprocess.run([SKEIN, "analyze", *map(str, arguments)], capture_output=True, text=True, input=stdin, timeout=60, **kwargs)


def codes(result):
    return [finding["code"] for finding in json.loads(result.stdout)["findings"]]


@pytest.fixture
def mesh(tmp_path):
    path = tmp_path / "mesh.yaml"
    path.write_text(service("web.local", [9]) + rule(RETRIES))
    return path


def test_a_finding_has_place_code_and_hint(mesh):
    result = analyze(mesh)
    assert result.returncode == 79 and result.stderr == ""
    line, hint, summary = result.stdout.splitlines()
    assert line.startswith(f"{mesh}:") and ": warning [SKN0356] VirtualService default/web spec.http[0].retries: 4 tries" in line, line
    number = int(line.split(":")[1])
    assert "retries" in mesh.read_text().splitlines()[number - 1]
    assert hint == "    hint: Raise timeout above 12s, or lower attempts to 2, or shorten perTryTimeout."
    assert summary == "2 resources: 0 errors, 1 warning, 0 infos"
    found = json.loads(analyze("-o", "json", mesh).stdout)
    assert found["warnings"] == 1 and found["findings"][0]["line"] == number and found["findings"][0]["hint"] == hint.strip().removeprefix("hint: ")


def test_exit_codes(mesh, tmp_path):
    assert analyze("--failure-threshold", "error", mesh).returncode == 0
    assert analyze("--failure-threshold", "info", mesh).returncode == 79
    assert analyze("--suppress", "SKN0356=VirtualService web.default", mesh).returncode == 0
    assert analyze("--suppress", "SKN0356=VirtualService other.*", mesh).returncode == 79
    assert "[SKN" not in analyze("--output-threshold", "error", mesh).stdout
    for arguments in ([], ["--dry-run", mesh], ["--fix", "-"], ["-", "-"], ["--suppress", "x", mesh], ["--failure-threshold", "none", mesh]):
        assert analyze(*arguments, stdin="").returncode == 64, arguments
    # What can be read is told all the same.
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [\n")
    result = analyze("-o", "json", mesh, broken)
    assert result.returncode == 65 and {"SKN0356", "SKN0002"} <= set(codes(result))
    assert analyze(tmp_path / "none.yaml").returncode == 65
    # A regex is compiled as the proxy would.
    mesh.write_text(mesh.read_text().replace("  - timeout", "  - match: [{uri: {regex: '(a'}}]\n    timeout"))
    assert codes(analyze("-o", "json", "--failure-threshold", "error", mesh)).count("SKN0301") == 1


def test_standard_input(mesh):
    result = analyze("-", "-o", "json", stdin=mesh.read_text())
    assert result.returncode == 79 and json.loads(result.stdout)["findings"][0]["file"] == "<stdin>"
    assert "+    loadBalancer: {simple: LEAST_REQUEST} # LEAST_CONN" in analyze("--fix", "--dry-run", "-", stdin=DEPRECATED).stdout


def test_the_demo_is_clean_and_the_seeds_have_what_they_have():
    clean = analyze("--with-identity", ROOT / "Config/quickstart")
    assert clean.returncode == 0 and clean.stdout == "16 resources: nothing found\n"
    seeds = sorted((ROOT / "Config/seed").glob("*.yaml"))
    assert len(seeds) == 14
    # Alone, a seed that neither names subsets of other files nor is deprecated is no failure.
    failing = {path.name[:2] for path in seeds if analyze(path).returncode == 79}
    assert failing == {"01", "02", "03", "04", "12", "14"}


def test_fix_rewrites_and_says_so(tmp_path):
    path = tmp_path / "rule.yaml"
    path.write_text(DEPRECATED)
    path.chmod(0o640)
    expected = DEPRECATED.replace("simple: LEAST_CONN", "simple: LEAST_REQUEST").replace("consecutiveErrors", "consecutiveGatewayErrors")
    # The diff is what patch applies, and nothing is written.
    dry = analyze("--fix", "--dry-run", path)
    assert dry.returncode == 79 and path.read_text() == DEPRECATED
    assert dry.stdout.startswith(f"--- {path}\n+++ {path}\n@@ ")
    assert json.loads(analyze("--fix", "--dry-run", "-o", "json", path).stdout)["diff"] == dry.stdout
    if shutil.which("patch"):
        copy = tmp_path / "copy.yaml"
        copy.write_text(DEPRECATED)
        subprocess.run(["patch", "-s", str(copy)], input=dry.stdout, text=True, check=True)
        assert copy.read_text() == expected
        copy.unlink()
    result = analyze("--fix", path)
    assert result.returncode == 0, result.stdout
    assert path.read_text() == expected and stat.S_IMODE(path.stat().st_mode) == 0o640
    assert f"{path}:8:28: LEAST_CONN rewritten as LEAST_REQUEST" in result.stdout
    assert f"{path}:10:7: consecutiveErrors rewritten as consecutiveGatewayErrors" in result.stdout
    assert os.listdir(tmp_path) == ["rule.yaml"]
    # Once more: nothing to do.
    again = analyze("--fix", path, "-o", "json")
    assert again.returncode == 0 and json.loads(again.stdout)["rewritten"] == [] and path.read_text() == expected
    assert analyze("--fix", "--dry-run", path).stdout == ""


def test_fix_says_what_it_cannot(tmp_path):
    path = tmp_path / "rule.yaml"
    path.write_text(DEPRECATED + "      consecutiveGatewayErrors: 3\n")
    result = json.loads(analyze("--fix", path, "-o", "json").stdout)
    assert [note["message"] for note in result["left"]] == ["consecutiveErrors not rewritten: consecutiveGatewayErrors is there as well. Keep one of them."]
    assert len(result["rewritten"]) == 1 and "LEAST_REQUEST" in path.read_text()


def test_fix_of_a_file_that_cannot_be_written(tmp_path):
    """A disk that takes nothing more: the file stays as it was, and the exit status tells."""
    path = tmp_path / "rule.yaml"
    path.write_text(DEPRECATED)

    def full_disk():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    result = subprocess.run([SKEIN, "analyze", "--fix", str(path)], capture_output=True, text=True, preexec_fn=full_disk)
    assert result.returncode == 70 and "cannot be written" in result.stderr and path.read_text() == DEPRECATED
    assert os.listdir(tmp_path) == ["rule.yaml"]


def test_list_of_codes():
    text = analyze("--list").stdout
    assert "IST0130  warning  VirtualServiceUnreachableRule" in text
    listed = json.loads(analyze("--list", "-o", "json").stdout)["codes"]
    page = (ROOT / "docs/analysis.md").read_text()
    assert len(listed) > 50 and all(f"`{code['code']}`" in page for code in listed)


def test_no_colours_in_pipes(mesh):
    assert "\x1b[" not in analyze(mesh).stdout
