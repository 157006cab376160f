"""What a newcomer meets before anything runs: words mistyped, a configuration to start from, somebody else's machine."""

import json
import os
import pwd
import re
import subprocess

from conftest import ROOT, SKEIN, http_get, wait_for
from test_operations import run


def test_words_mistyped_are_answered():
    wrong = run("runn")
    assert wrong.returncode == 64 and "did you mean `skein run`?" in wrong.stderr
    lost = run("explain", "-c", ROOT / "Config/quickstart", "http://reviews:9080/")
    assert lost.returncode == 2 and "did you mean      reviews.bookinfo?" in lost.stdout and "--node" in lost.stdout
    assert run("explain", "-c", ROOT / "Config/quickstart", "http://reviews.bookinfo:9080/").returncode == 0


def test_init_writes_two_services_that_run(tmp_path):
    written = run("init", tmp_path / "mesh")
    assert written.returncode == 0 and "skein validate" in written.stdout
    mesh = tmp_path / "mesh/mesh.yaml"
    assert mesh.read_text() == (ROOT / "Config/two-services/mesh.yaml").read_text()
    assert "0 errors, 0 warnings, 0 notices" in run("validate", mesh).stdout and run("analyze", mesh).returncode == 0
    again = run("init", tmp_path / "mesh")
    assert again.returncode == 65 and "there already" in again.stderr
    assert json.loads(run("init", "-o", "json", tmp_path / "other").stdout)["written"][0].endswith("mesh.yaml")
    # As its README says: a proxy beside each, and a request through both.
    own = ["--access-log-directory", str(tmp_path)]
    said = (tmp_path / "mesh/README.md").read_text()
    commands = [line.split("#")[0].split()[1:] for line in said.splitlines() if line.startswith("skein run ")]
    assert len(commands) == 2
    processes = []
    try:
        processes.append(subprocess.Popen(["python3", "-m", "http.server", "8080", "--bind", "127.0.2.2"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        # Proxies that are there before it rightly eject it for half a minute.
        wait_for(lambda: http_get(8080, "/", address="127.0.2.2")[0] == 200, what="the service itself")
        for number, command in enumerate(commands):
            log = open(tmp_path / f"{number}.log", "wb")
            processes.append(subprocess.Popen([SKEIN, *command, *own], cwd=tmp_path / "mesh", stdout=log, stderr=subprocess.STDOUT))
        wait_for(lambda: http_get(15001, "/", {"Host": "api"}, address="127.0.2.1")[0] == 200, what="an answer through both proxies")
        traces = lambda: json.loads(http_get(9411, "/api/v2/traces", address="127.0.2.1")[2])
        both = lambda trace: {"web.default", "api.default"} <= {s["localEndpoint"]["serviceName"] for s in trace}
        wait_for(lambda: any(both(trace) for trace in traces()), what="one trace of both proxies")
        status = run("proxy-status", "-c", mesh)
        assert status.returncode == 0 and status.stdout.count("LIVE") == 2, status.stdout
    finally:
        for process in processes:
            process.terminate()
        assert [process.wait(20) for process in processes][1:] == [0, 0]


def test_as_another_user_errors_are_words(tmp_path):
    """Raw error domains of libraries told a person nothing, and a log of yesterday was shown as news."""
    nobody = pwd.getpwnam("nobody")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o700)

    def as_nobody(*arguments):
        return subprocess.run([SKEIN, *map(str, arguments)], capture_output=True, text=True, timeout=60, user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], cwd="/",
                              env={**os.environ, "HOME": "/"})

    os.chmod(tmp_path, 0o755)
    for parent in tmp_path.parents:
        if parent != parent.parent and not parent.stat().st_mode & 0o001:
            os.chmod(parent, parent.stat().st_mode | 0o011)
    for arguments in (["demo", "--quickstart", ROOT / "Config/quickstart", "--data", locked / "demo"], ["init", locked / "mesh"],
                      ["run", "--require-store", "--data", locked / "data", "--outbound-port", "0", "--admin-port", "0", "--readiness-port", "0", "--metrics-port", "0", "--zipkin-port", "29411", "--otlp-port", "0", "--otlp-grpc-port", "0"]):
        result = as_nobody(*arguments)
        said = result.stderr + result.stdout
        assert result.returncode in (65, 70) and "NSCocoa" not in said and "errno" not in said and "Error Domain" not in said, said
        assert re.search(r"[Pp]ermission", said), said
