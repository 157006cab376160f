"""Local rate limits: the resource, and the EnvoyFilter form that Istio documents."""

import collections
import subprocess
import threading
import time

from conftest import SKEIN, Backend, access_log, http_get, mesh, wait_for


def limit(spec, name="limit"):
    return f"""
---
apiVersion: skein.io/v1
kind: RateLimit
metadata: {{name: {name}, namespace: default}}
spec:
{spec}
"""


def parallel(count, call):
    results, lock = [], threading.Lock()

    def one(n):
        answer = call(n)
        with lock:
            results.append(answer)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_exactly_so_many_over_all_workers(start):
    backend = Backend()
    skein = start(mesh(backend.port, limit("  side: OUTBOUND\n  limits: [{requests: 50, per: 1h}]")), arguments=["--workers", "4"])
    results = parallel(200, lambda n: skein.get("/"))
    assert collections.Counter(code for code, _, _ in results) == {200: 50, 429: 150}
    assert len(backend.requests) == 50
    refused = next(headers for code, headers, _ in results if code == 429)
    assert refused["x-ratelimit-limit"] == "50" and refused["x-ratelimit-remaining"] == "0" and 1 <= int(refused["retry-after"]) <= 72
    remaining = sorted(int(headers["x-ratelimit-remaining"]) for code, headers, _ in results if code == 200)
    # Workers read the clock once a turn: one whose turn began before another's token was taken sees that token a few microseconds more than a token old, and tells
    # one left less. Never more than there are.
    assert len(remaining) == 50 and all(place - 1 <= left <= place for place, left in enumerate(remaining)), remaining
    entries = collections.Counter((entry["code"], entry["flags"], entry["details"]) for entry in access_log(skein, 200))
    assert entries[(429, "RL", "local_rate_limited")] == 150
    # A reload keeps the buckets.
    text = (skein.config / "mesh.yaml").read_text()
    (skein.config / "mesh.yaml").write_text(text + "\n# changed\n")
    wait_for(lambda: "configuration 2 adopted" in skein.log(), what="the reload")
    assert skein.get("/")[0] == 429


def test_each_for_itself_and_only_what_matches(start):
    backend = Backend()
    text = limit("  side: OUTBOUND\n  hosts: [web.local]\n  limits:\n  - match: {uri: {prefix: /api}}\n    requests: 2\n    per: 1h\n    by: [{header: X-User}]")
    skein = start(mesh(backend.port, text), arguments=["--workers", "2"])
    codes = lambda user, path="/api/x": [skein.get(path, headers={"X-User": user})[0] for _ in range(3)]
    assert codes("ann") == [200, 200, 429] and codes("bob") == [200, 200, 429]
    assert codes("ann", "/free") == [200, 200, 200]
    assert "x-ratelimit-limit" not in skein.get("/free")[1]
    # Without the header one is somebody too.
    assert [skein.get("/api")[0] for _ in range(3)] == [200, 200, 429]


def test_tokens_come_back(start):
    backend = Backend()
    skein = start(mesh(backend.port, limit("  side: OUTBOUND\n  limits: [{requests: 10, per: 1s, burst: 1}]")), arguments=["--workers", "1"])
    assert skein.get("/")[0] == 200 and skein.get("/")[0] == 429
    wait_for(lambda: skein.get("/")[0] == 200, what="another token", seconds=3)


def test_the_envoy_filter_of_istios_documentation(start):
    backend = Backend()
    config = mesh(1) + f"""
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: productpage, namespace: default, labels: {{app: productpage}}}}
spec: {{address: 127.0.0.1, ports: {{http: {backend.port}}}}}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata:
  name: filter-local-ratelimit-svc
  namespace: istio-system
spec:
  workloadSelector:
    labels:
      app: productpage
  configPatches:
    - applyTo: HTTP_FILTER
      match:
        context: SIDECAR_INBOUND
        listener:
          filterChain:
            filter:
              name: "envoy.filters.network.http_connection_manager"
      patch:
        operation: INSERT_BEFORE
        value:
          name: envoy.filters.http.local_ratelimit
          typed_config:
            "@type": type.googleapis.com/udpa.type.v1.TypedStruct
            type_url: type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
            value:
              stat_prefix: http_local_rate_limiter
              token_bucket:
                max_tokens: 4
                tokens_per_fill: 4
                fill_interval: 60s
              filter_enabled:
                runtime_key: local_rate_limit_enabled
                default_value:
                  numerator: 100
                  denominator: HUNDRED
              filter_enforced:
                runtime_key: local_rate_limit_enforced
                default_value:
                  numerator: 100
                  denominator: HUNDRED
              response_headers_to_add:
                - append: false
                  header:
                    key: x-local-rate-limit
                    value: 'true'
"""
    skein = start(config, arguments=["--node", "productpage", "--workers", "2"])
    answers = [http_get(skein.ports["inbound"], "/", {"Host": "productpage"}) for _ in range(10)]
    assert [a[0] for a in answers] == [200] * 4 + [429] * 6
    assert [a[1].get("x-local-rate-limit") for a in answers] == [None] * 4 + ["true"] * 6


def test_the_envoy_filter_of_one_port_and_its_shares(start, tmp_path):
    """Istio's second example limits one port by a route patch; what Envoy would not count is not counted, and said."""
    backend = Backend()

    def config(port, enabled):
        return mesh(1) + f"""
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: productpage, namespace: default, labels: {{app: productpage}}}}
spec: {{address: 127.0.0.1, ports: {{http: {backend.port}}}}}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {{name: local, namespace: istio-system}}
spec:
  workloadSelector: {{labels: {{app: productpage}}}}
  configPatches:
  - applyTo: HTTP_FILTER
    match: {{context: SIDECAR_INBOUND}}
    patch:
      operation: INSERT_BEFORE
      value:
        name: envoy.filters.http.local_ratelimit
        typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit, stat_prefix: x}}
  - applyTo: HTTP_ROUTE
    match:
      context: SIDECAR_INBOUND
      routeConfiguration: {{vhost: {{name: "inbound|http|{port}", route: {{action: ANY}}}}}}
    patch:
      operation: MERGE
      value:
        typed_per_filter_config:
          envoy.filters.http.local_ratelimit:
            "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
            stat_prefix: x
            token_bucket: {{max_tokens: 2, tokens_per_fill: 2, fill_interval: 60s}}
            {enabled}
            filter_enforced: {{default_value: {{numerator: 500000, denominator: MILLION}}}}
"""

    on = "filter_enabled: {default_value: {numerator: 100}}"

    def codes(text, count):
        skein = start(text, arguments=["--node", "productpage", "--workers", "1"])
        return [http_get(skein.ports["inbound"], "/", {"Host": "productpage"})[0] for _ in range(count)]

    assert codes(config(1, on), 5) == [200] * 5
    refused = codes(config(backend.port, on), 202).count(429)
    assert 70 <= refused <= 130, refused
    silent = config(backend.port, "")
    assert codes(silent, 5) == [200] * 5
    path = tmp_path / "mesh.yaml"
    path.write_text(silent)
    out = subprocess.run([SKEIN, "validate", str(path)], capture_output=True, text=True)
    assert "filter_enabled is not above 0 %" in out.stdout, out.stdout


def test_limits_and_redirects_stand_beside_each_other_in_http2(start):
    """The values of both are made for the answer; one must not overwrite the other."""
    backend = Backend()
    extra = limit("  side: OUTBOUND\n  limits: [{requests: 3, per: 60s, burst: 3}]") + """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: default}
spec:
  hosts: [web.local]
  http:
  - redirect: {uri: /a-rather-long-place-to-go-to/and/further/still, authority: elsewhere.example}
"""
    skein = start(mesh(backend.port, extra), arguments=["--workers", "1"])
    for left in (2, 1, 0):
        out = subprocess.run(
            ["curl", "-s", "-D", "-", "-o", "/dev/null", "--http2-prior-knowledge", "-H", "Host: web.local", f"http://127.0.0.1:{skein.ports['outbound']}/"],
            capture_output=True, text=True, timeout=20).stdout
        assert "location: http://elsewhere.example/a-rather-long-place-to-go-to/and/further/still" in out, out
        assert f"x-ratelimit-remaining: {left}" in out and "x-ratelimit-limit: 3" in out, out
