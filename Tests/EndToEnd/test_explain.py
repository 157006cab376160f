"""`skein explain`: what it says is what the proxy does."""

import json
import subprocess

from conftest import SKEIN, Backend, mesh
from test_traffic import rule, service

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
