"""Gateways: a proxy at the mesh's edge, by Istio's Gateway and VirtualService resources."""

import re
import socket
import ssl
import subprocess

import pytest

from conftest import SKEIN, Backend, access_log, free_port, http_get, mesh, wait_for
from test_tcp import Echo, certificate, read_all

OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"


def answering(text):
    return Backend(lambda head, body: OK % (len(text), text))


def edge(port, servers, rules, extra="", ports="{http: %d}"):
    """A gateway's workload, a Gateway with these servers, and rules."""
    return f"""
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: edge, namespace: ingress}}
spec: {{address: 127.0.0.1, labels: {{istio: ingressgateway}}, ports: {ports % port if "%" in ports else ports}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: front, namespace: ingress}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
{servers}
{rules}
{extra}
"""


def service(name, port, protocol="HTTP", number=80):
    return f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name.split(".")[0]}, namespace: default}}
spec:
  hosts: [{name}]
  ports: [{{number: {number}, name: p, protocol: {protocol}}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{p: {port}}}}}]
"""


def rule(name, hosts, destination, gateways="[ingress/front]", http="", namespace="default"):
    http = http or f"  - route: [{{destination: {{host: {destination}}}}}]"
    return f"""
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  hosts: {hosts}
  gateways: {gateways}
  http:
{http}
"""


HTTP = """
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: %s
"""
ARGUMENTS = ["--node", "edge", "--workers", "2"]


def ask(port, host, path="/", **headers):
    return http_get(port, path, {"Host": host, **{k.replace("_", "-"): v for k, v in headers.items()}})


@pytest.fixture
def two():
    made = answering(b"one"), answering(b"two")
    yield made
    for one in made:
        one.close()


def test_hosts_of_gateway_and_rule_meet(start, two):
    """The server says which hosts, the rule which of them; both may be wildcards, and the narrower counts."""
    port = free_port()
    rules = (
        rule("one", '["one.example.com", "*.wild.example.com"]', "one.local")
        + rule("two", '["*"]', "two.local", http="  - match: [{port: 80, uri: {prefix: /two}}]\n    route: [{destination: {host: two.local}}]")
        + rule("beside", '["mesh.example.com"]', "one.local", gateways="[mesh]")
        + service("one.local", two[0].port) + service("two.local", two[1].port)
    )
    skein = start(mesh(two[0].port, edge(port, HTTP % '["*.example.com"]', rules)), arguments=ARGUMENTS)
    assert ask(port, "one.example.com")[::2] == (200, b"one")
    # Whatever port the client wrote, it came to this one.
    assert ask(port, "one.example.com:8443")[::2] == (200, b"one")
    assert ask(port, "a.b.wild.example.com")[::2] == (200, b"one")
    # `*` of the rule is cut to the server's hosts.
    assert ask(port, "other.example.com", "/two")[::2] == (200, b"two")
    assert ask(port, "other.example.com", "/one")[0] == 404
    assert ask(port, "elsewhere.org", "/two")[0] == 404
    # One host of two rules: only the exact host's rule is asked, as in Envoy.
    assert ask(port, "one.example.com", "/two")[::2] == (200, b"one")
    # A rule for the mesh is none for the gateway, and the other way round.
    assert ask(port, "mesh.example.com")[0] == 404
    assert skein.get("/", host="one.example.com")[0] == 404
    assert skein.get("/", host="mesh.example.com")[0] == 200
    assert {"outbound|80||one.local", "outbound|80||two.local"} <= {line["cluster"] for line in access_log(skein, 10)}
    assert skein.samples("istio_requests_total", reporter="source", source_workload="edge", response_code="200") == 6


def test_rules_for_one_host_follow_each_other_and_namespaces_are_kept_apart(start, two):
    port = free_port()
    path = "  - match: [{{uri: {{prefix: {0}}}}}]\n    route: [{{destination: {{host: {1}}}}}]"
    rules = (
        rule("a", "[shop.example]", "", http=path.format("/a", "one.local"))
        + rule("b", "[shop.example]", "", http=path.format("/b", "two.local"))
        + rule("stranger", "[shop.example]", "", http=path.format("/c", "two.local"), namespace="foreign")
        + service("one.local", two[0].port) + service("two.local", two[1].port)
    )
    start(mesh(two[0].port, edge(port, HTTP % '["default/shop.example"]', rules)), arguments=ARGUMENTS)
    assert ask(port, "shop.example", "/a")[::2] == (200, b"one")
    assert ask(port, "shop.example", "/b")[::2] == (200, b"two")
    assert ask(port, "shop.example", "/c")[0] == 404


def test_gateways_of_a_match_choose_between_edge_and_mesh(start, two):
    port = free_port()
    http = """
  - match: [{gateways: [mesh]}]
    route: [{destination: {host: one.local}}]
  - match: [{gateways: [ingress/front]}]
    route: [{destination: {host: two.local}}]
"""
    rules = rule("both", "[shop.example]", "", "[mesh, ingress/front]", http) + service("one.local", two[0].port) + service("two.local", two[1].port)
    skein = start(mesh(two[0].port, edge(port, HTTP % '["*"]', rules)), arguments=ARGUMENTS)
    assert ask(port, "shop.example")[::2] == (200, b"two")
    assert skein.get("/", host="shop.example")[::2] == (200, b"one")


def test_delegates_serve_where_their_parent_does(start, two):
    port = free_port()
    rules = rule("root", "[shop.example]", "", http="  - match: [{uri: {prefix: /d}}]\n    delegate: {name: inner}") + """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: inner, namespace: default}
spec:
  http:
  - match: [{uri: {prefix: /d/x}}]
    route: [{destination: {host: two.local}}]
""" + service("two.local", two[1].port)
    start(mesh(two[0].port, edge(port, HTTP % '["*"]', rules)), arguments=ARGUMENTS)
    assert ask(port, "shop.example", "/d/x")[::2] == (200, b"two")
    assert ask(port, "shop.example", "/d/y")[0] == 404


def test_https_redirect(start, two):
    port = free_port()
    servers = HTTP % '["safe.example"]' + "    tls: {httpsRedirect: true}\n" + (HTTP % '["plain.example"]').replace("http,", "plain,")
    rules = rule("all", '["*"]', "one.local") + service("one.local", two[0].port)
    start(mesh(two[0].port, edge(port, servers, rules, ports="{http: %d, plain: %d}" % (port, port))), arguments=ARGUMENTS)
    status, headers, _ = ask(port, "safe.example", "/a?b=c")
    assert (status, headers["location"]) == (301, "https://safe.example/a?b=c")
    assert ask(port, "plain.example")[::2] == (200, b"one")
    assert not [r for r in two[0].requests if b"/a" in r[0]]


def test_what_strangers_promise_is_not_believed(start, two):
    """x-request-id, x-forwarded-proto and every x-envoy-* are the mesh's own words: an edge writes them anew (Envoy with use_remote_address)."""
    port = free_port()
    rules = rule("all", '["*"]', "one.local") + service("one.local", two[0].port)
    skein = start(mesh(two[0].port, edge(port, HTTP % '["*"]', rules)), arguments=ARGUMENTS)
    lies = {
        "X-Request-Id": "chosen", "X-Forwarded-Proto": "https", "X-Forwarded-For": "9.9.9.9", "X-Envoy-Max-Retries": "200", "X-Envoy-Retry-On": "5xx",
        "X-Envoy-Upstream-Rq-Timeout-Ms": "1", "X-Envoy-Internal": "true", "x-custom": "kept",
    }
    assert http_get(port, "/", {"Host": "h.example", **lies})[0] == 200
    head = {k.lower(): v for k, v in two[0].requests[-1][1]}
    assert head[b"x-custom"] == b"kept"
    assert re.fullmatch(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", head[b"x-request-id"])
    assert head[b"x-forwarded-proto"] == b"http"
    assert head[b"x-forwarded-for"] == b"9.9.9.9,127.0.0.1"
    assert sorted(k for k in head if k.startswith(b"x-envoy")) == [b"x-envoy-attempt-count"]
    assert access_log(skein)[0]["request_id"] == head[b"x-request-id"].decode()
    # The workload beside the proxy is no stranger.
    skein.get("/", host="one.local", headers={"X-Request-Id": "chosen"})
    assert dict((k.lower(), v) for k, v in two[0].requests[-1][1])[b"x-request-id"] == b"chosen"


def test_tls_passes_through_by_server_name(start, tmp_path, two):
    key, cert = certificate(tmp_path, "secret.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    def serve(raw):
        with context.wrap_socket(raw, server_side=True) as s:
            s.sendall(b"tls:" + s.recv(100))

    echo = Echo(handle=serve)
    port = free_port()
    servers = """
  - port: {number: 443, name: tls, protocol: TLS}
    hosts: ["secret.example"]
    tls: {mode: PASSTHROUGH}
"""
    rules = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: secret, namespace: default}
spec:
  hosts: ["*.example"]
  gateways: [ingress/front]
  tls:
  - match: [{port: 443, sniHosts: ["*.example"]}]
    route: [{destination: {host: secret.local}}]
""" + service("secret.local", echo.port, "TLS", 443)
    start(mesh(two[0].port, edge(port, servers, rules, ports="{tls: %d}")), arguments=ARGUMENTS)
    client = ssl.create_default_context(cafile=cert)
    with client.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=10), server_hostname="secret.example") as s:
        s.sendall(b"hi")
        assert s.recv(100) == b"tls:hi"
    # The rule would take every name, the server only one.
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        with pytest.raises((ssl.SSLError, OSError)):
            client.wrap_socket(raw, server_hostname="other.example")


def test_tcp_port_of_a_gateway(start, two):
    echo = Echo()
    port = free_port()
    servers = """
  - port: {number: 5432, name: db, protocol: TCP}
    hosts: ["*"]
"""
    rules = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: db, namespace: default}
spec:
  hosts: ["*"]
  gateways: [ingress/front]
  tcp:
  - match: [{port: 5432}]
    route: [{destination: {host: db.local, port: {number: 5432}}}]
""" + service("db.local", echo.port, "TCP", 5432)
    skein = start(mesh(two[0].port, edge(port, servers, rules, ports="{db: %d}")), arguments=ARGUMENTS)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(b"ping")
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"pingbye"
    wait_for(lambda: skein.samples("istio_tcp_connections_closed_total", destination_service="db.local") == 1, what="the connection's count")


def test_http2_at_the_edge(start, two):
    port = free_port()
    rules = rule("all", '["*"]', "one.local") + service("one.local", two[0].port)
    start(mesh(two[0].port, edge(port, HTTP % '["*"]', rules)), arguments=ARGUMENTS)
    out = subprocess.run(
        ["curl", "-s", "--http2-prior-knowledge", "-w", " %{http_version}", f"http://127.0.0.1:{port}/"], capture_output=True, text=True, timeout=20)
    assert out.stdout == "one 2"


def test_a_reload_opens_and_closes_ports(start, two):
    first, second = free_port(), free_port()
    rules = rule("all", '["*"]', "one.local") + service("one.local", two[0].port)

    def text(names):
        numbers = {"a": first, "b": second}
        servers = "".join("\n  - port: {number: %d, name: %s, protocol: HTTP}\n    hosts: ['*']" % (numbers[n], n) for n in names)
        return mesh(two[0].port, edge(0, servers, rules, ports="{}"))

    skein = start(text("a"), arguments=ARGUMENTS)
    assert ask(first, "x.example")[0] == 200
    (skein.config / "mesh.yaml").write_text(text("b"))
    wait_for(lambda: ask(second, "x.example")[0] == 200, what="the new port")

    def closed():
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", first), timeout=1)
        return True

    wait_for(closed, what="the old port's end")


def test_conflicts_and_gaps_are_said(tmp_path, two):
    """Nothing is mute: servers that cannot share a port, labels that no workload has."""
    servers = """
  - port: {number: 8080, name: a, protocol: HTTP}
    hosts: ["*"]
  - port: {number: 8080, name: b, protocol: TCP}
    hosts: ["*"]
"""
    path = tmp_path / "mesh.yaml"
    nobody = "\n---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: lost}\nspec:\n  selector: {istio: egressgateway}\n  servers:\n  - port: {number: 1, name: x, protocol: HTTP}\n    hosts: ['a/b/c']\n"
    path.write_text(edge(0, servers, "", ports="{}"))
    out = subprocess.run([SKEIN, "validate", str(path)], capture_output=True, text=True)
    assert out.returncode == 0, out.stdout
    assert re.search(r"mesh\.yaml:\d+:\d+.*SKN0315.*8080.*left out", out.stdout), out.stdout
    path.write_text(edge(0, servers, nobody, ports="{}"))
    out = subprocess.run([SKEIN, "validate", str(path)], capture_output=True, text=True)
    assert out.returncode == 65
    assert "neither HOST nor NAMESPACE/HOST" in out.stdout
    path.write_text(edge(0, servers, nobody.replace("a/b/c", "*"), ports="{}"))
    out = subprocess.run([SKEIN, "validate", str(path)], capture_output=True, text=True)
    assert re.search(r"IST0101.*istio=egressgateway", out.stdout), out.stdout


def test_explain_asks_the_gateway(tmp_path, two):
    path = tmp_path / "mesh.yaml"
    servers = HTTP % '["*"]'
    path.write_text(edge(8080, servers, rule("all", "[shop.example]", "one.local") + service("one.local", two[0].port)))
    out = subprocess.run([SKEIN, "explain", "-c", str(path), "--node", "edge", "http://shop.example/x"], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert "gateway_127.0.0.1:8080" in out.stdout and "outbound|80||one.local" in out.stdout
    out = subprocess.run([SKEIN, "explain", "-c", str(path), "--node", "edge", "http://shop.example:81/x"], capture_output=True, text=True)
    assert out.returncode == 65 and "has no port 81; it has 80" in out.stderr
