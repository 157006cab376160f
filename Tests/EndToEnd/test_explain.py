"""`skein explain`: what it says is what the proxy does."""

import json
import re
import subprocess

from conftest import SKEIN, Backend, free_port, mesh, wait_for
from test_traffic import policy, rule, service, status

CANARY = """
  - match: [{headers: {end-user: {exact: jason}}, uri: {prefix: /api}}]
    name: jason
    timeout: 2s
    retries: {attempts: 3, perTryTimeout: 500ms, retryOn: "5xx,reset"}
    fault: {delay: {percentage: {value: 50}, fixedDelay: 5s}}
    rewrite: {uri: /v2}
    route: [{destination: {host: two.local}}]
  - match: [{uri: {exact: /moved}}]
    redirect: {uri: /new, redirectCode: 307}
  - name: canary
    route:
    - destination: {host: web.local}
      weight: 90
    - destination: {host: two.local}
      weight: 10
"""


def explain(tmp_path, text, *arguments):
    (tmp_path / "mesh.yaml").write_text(text)
    return subprocess.run([SKEIN, "explain", "-c", str(tmp_path / "mesh.yaml"), *arguments], capture_output=True, text=True)


def steps(answer):
    return {step["what"]: step for step in json.loads(answer.stdout)["steps"]}


def test_the_rule_and_its_conditions(tmp_path):
    text = mesh(9, service("two.local", [10]) + rule(CANARY))
    answer = explain(tmp_path, text, "-H", "end-user: jason", "-o", "json", "http://web.local/api/x?q=1")
    assert answer.returncode == 0, answer.stderr
    told = steps(answer)
    assert told["rule 1"]["value"].endswith(": takes it") and "jason" in told["rule 1"]["value"] and "mesh.yaml:" in told["rule 1"]["value"]
    clauses = {c["what"]: c["value"] for c in told["rule 1"]["details"][0]["details"]}
    assert clauses["header end-user"] == 'exact "jason": the request has "jason" -> yes'
    assert told["decision"]["value"] == "goes to outbound|80||two.local"
    assert told["rewritten to"]["value"] == "web.local/v2/x" and told["timeout"]["value"].startswith("2000 ms")
    assert told["retries"]["value"] == "at most 3 more" and "50.0 %" in told["fault"]["value"]
    assert told["endpoints"]["details"][0]["what"] == "127.0.0.1:10"
    # Somebody else: the rule says no, and which condition.
    told = steps(explain(tmp_path, text, "-H", "end-user: mary", "-o", "json", "http://web.local/api/x"))
    assert told["rule 1"]["value"].endswith(": no") and told["rule 3"]["value"].endswith("takes every request")
    assert 'the request has "mary" -> no' in json.dumps(told["rule 1"]["details"]).replace('\\"', '"')
    assert any("drawn" in d["value"] for d in told["decision"]["details"])


def test_draws_follow_the_seed_and_the_weights(tmp_path):
    text = mesh(9, service("two.local", [10]) + rule(CANARY))
    drawn = [steps(explain(tmp_path, text, "--seed", str(seed), "-o", "json", "http://web.local/"))["decision"]["value"] for seed in range(1, 61)]
    assert drawn == [steps(explain(tmp_path, text, "--seed", str(seed), "-o", "json", "http://web.local/"))["decision"]["value"] for seed in range(1, 61)]
    # Binomial(60, 0.1): more than 20 has a chance below 1e-6.
    assert 0 < sum("two.local" in d for d in drawn) < 20


def test_redirect_nobody_and_exit_codes(tmp_path):
    text = mesh(9, service("two.local", [10]) + rule(CANARY))
    assert "redirect 307 to http://web.local/new" in explain(tmp_path, text, "http://web.local/moved").stdout
    answer = explain(tmp_path, text, "http://nowhere.local/")
    assert answer.returncode == 2 and "404 NR" in answer.stdout
    assert explain(tmp_path, "kind: VirtualService\n", "http://web.local/").returncode == 65
    assert explain(tmp_path, text, "-H", "nonsense", "http://web.local/").returncode == 64


def test_what_it_says_is_what_happens(start, tmp_path):
    one, two = Backend(), Backend(lambda line, body: b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo")
    text = mesh(one.port, service("two.local", [two.port]) + rule(CANARY.replace("    fault: {delay: {percentage: {value: 50}, fixedDelay: 5s}}\n", "")))
    skein = start(text, arguments=["--workers", "1"])
    for path, headers in (("/api/x", {"end-user": "jason"}), ("/other", {"end-user": "jason"}), ("/moved", {})):
        code, got, body = skein.get(path, headers=headers)
        flags = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
        decision = steps(explain(tmp_path, text, *flags, "-o", "json", f"http://web.local{path}"))["decision"]
        if code == 307:
            assert decision["value"] == f"redirect 307 to {got['location']}"
        elif path == "/api/x":
            assert body == b"two" and "two.local" in decision["value"]
        else:
            assert {d["what"] for d in decision["details"]} == {"outbound|80||web.local", "outbound|80||two.local"}


# A running proxy


def explain_running(skein, *arguments):
    return subprocess.run(
        [SKEIN, "explain", "--server", f"127.0.0.1:{skein.ports['admin']}", *arguments], capture_output=True, text=True, timeout=30
    )


def facts(answer):
    """All facts as `what: value`, whatever their depth."""
    found = []

    def walk(nodes):
        for node in nodes:
            found.append(f"{node['what']}: {node['value']}")
            walk(node.get("details", []))

    walk(json.loads(answer)["steps"])
    return found


def test_a_running_proxy_tells_of_ejections(start):
    bad = Backend(lambda line, body: status(500))
    good = Backend()
    config = (
        mesh(bad.port)
        + service("two.local", [bad.port, good.port])
        + policy("    outlierDetection: {consecutive5xxErrors: 1, baseEjectionTime: 300s, maxEjectionPercent: 50}\n    connectionPool: {tcp: {maxConnections: 7}}\n", host="two.local")
    )
    skein = start(config, arguments=["--workers", "1"])
    wait_for(lambda: skein.get("/", host="two.local")[0] == 500, what="the bad endpoint's turn")
    result = explain_running(skein, "-o", "json", "http://two.local/x")
    assert result.returncode == 0, result.stderr
    found = facts(result.stdout)
    assert any(f"127.0.0.1:{bad.port}" in line and "EJECTED" in line for line in found), found
    assert any(f"127.0.0.1:{good.port}" in line and "EJECTED" not in line for line in found)
    assert any(line.startswith("connections: 7, ") and line.endswith("held now") for line in found), found
    missing = explain_running(skein, "http://nobody.local/")
    assert missing.returncode == 2 and "404 NR" in missing.stdout


def test_a_served_request_attempt_by_attempt(start, tmp_path):
    """From memory while the record is there, from the stored span after a restart."""
    bad = Backend(lambda line, body: status(503))
    good = Backend()
    dead = free_port()
    config = (
        mesh(bad.port)
        + service("three.local", [bad.port, good.port, dead])
        + rule("  - name: retried\n    retries: {attempts: 6, retryOn: '5xx,connect-failure', backoff: 1ms}\n    route: [{destination: {host: three.local}}]\n", host="three.local", name="three")
    )
    directory = tmp_path / "run"
    directory.mkdir()
    skein = start(config, arguments=["--workers", "1"], directory=directory)
    for number in range(12):
        assert skein.get("/path", host="three.local", headers={"x-request-id": f"id-{number}"})[0] == 200
    # With three endpoints, a dozen requests meet both bad ones.
    failed = wait_for(
        lambda: next(
            (f"id-{n}" for n in range(12) if "503; tried again" in explain_running(skein, "--request-id", f"id-{n}").stdout), None
        ),
        what="a request that was retried",
    )
    text = explain_running(skein, "--request-id", failed).stdout
    lines = text.splitlines()
    assert lines[0].startswith("outbound") and "GET three.local/path -> 200" in lines[0], text
    # As every other tool writes a trace id, to be pasted there.
    assert any(re.fullmatch(r"\s+trace\s+[0-9a-f]{32}( \(not sampled\))?", line) for line in lines), text
    assert any("rule" in line and "retried" in line for line in lines), text
    attempts = [line.split() for line in lines if line.strip().startswith("attempt ")]
    assert attempts[-1][2].rstrip(":") == f"127.0.0.1:{good.port}", text
    assert any(f"127.0.0.1:{bad.port}" in line and "status 503; tried again" in line for line in lines), text
    refused = next(
        (t for n in range(12) if "connect failure; tried again" in (t := explain_running(skein, "--request-id", f"id-{n}").stdout)), None
    )
    assert refused is not None and f"127.0.0.1:{dead}" in refused

    unknown = explain_running(skein, "--request-id", "never")
    assert unknown.returncode == 2 and "nothing is known" in unknown.stderr

    wait_for(lambda: skein.samples("skein_proxy_spans_total") >= 12, what="the spans to be stored")
    assert skein.stop() == 0
    again = start(config, arguments=["--workers", "1"], directory=directory)
    stored = explain_running(again, "--request-id", failed)
    assert stored.returncode == 0 and "stored span" in stored.stdout, stored.stdout + stored.stderr
    assert f"127.0.0.1:{bad.port} 503 after" in stored.stdout, stored.stdout


def test_explain_usage_errors():
    for arguments in (["http://a/"], ["-c", "x", "--server", "127.0.0.1:1", "http://a/"], ["--request-id", "x", "http://a/"], ["-c", "x"]):
        result = subprocess.run([SKEIN, "explain", *arguments], capture_output=True, text=True)
        assert result.returncode == 64, arguments
    down = subprocess.run([SKEIN, "explain", "--server", f"127.0.0.1:{free_port()}", "http://a/"], capture_output=True, text=True)
    assert down.returncode == 69 and "skein run" in down.stderr
