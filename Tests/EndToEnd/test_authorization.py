"""AuthorizationPolicy: who may do what, with the identities of mutual TLS, plaintext clients and raw connections."""

import json
import re
import signal
import socket
import ssl
import subprocess

import pytest

from conftest import SKEIN, access_log, free_port, http_get, mesh, wait_for
from envoy_peer import Envoy, cluster, typed
from guarded_workload import guarded_workload
from http2_peers import H2Client
from mesh_ca import MeshCA
from test_gateway import edge as gateway
from test_gateway import rule as gateway_rule
from test_mtls import connection
from test_tcp import Echo


def policy(name, spec, namespace="production", annotations=""):
    body = "\n".join("  " + line for line in spec.strip("\n").splitlines())
    notes = f", annotations: {{{annotations}}}" if annotations else ""
    return f"""
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: {namespace}{notes}}}
spec:
{body or "  {}"}
"""


def workload(port, backend_port, policies, protocol="HTTP", settings=""):
    """A workload `backend` with an inbound listener on `port`."""
    text = guarded_workload("backend", port, backend_port, policies, protocol)
    sni = '            sni: "%REQUESTED_SERVER_NAME%"\n'
    parts = [f"%DYNAMIC_METADATA(envoy.filters.http.rbac:istio_dry_run_{kind}_shadow_{part})%" for kind in ("deny", "allow") for part in ("engine_result", "effective_policy_id")]
    parts += ["%DYNAMIC_METADATA(envoy.common:access_log_hint)%", "%DYNAMIC_METADATA(envoy.filters.http.rbac:audit_effective_policy_id)%"]
    text = text.replace(sni, sni + '            ended: "%CONNECTION_TERMINATION_DETAILS%"\n' + f'            shadow: "{" ".join(parts)}"\n')
    return text.replace("  meshConfig:\n", "  meshConfig:\n" + settings)


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return MeshCA(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def identities(ca, tmp_path_factory):
    """Directories with certificates, by `NAMESPACE/ACCOUNT`."""
    made = {}

    def of(name):
        if name not in made:
            namespace, account = name.split("/")
            made[name] = ca.workload(tmp_path_factory.mktemp("identity"), account, namespace)
        return made[name]

    return of


@pytest.fixture
def guarded(start, backend, identities):
    def begin(policies, protocol="HTTP", upstream=None, arguments=(), settings=""):
        port = free_port()
        text = workload(port, upstream or backend.port, policies, protocol, settings)
        skein = start(text, ["--identity", str(identities("production/backend")), "--node", "production/backend", *arguments])
        skein.inbound, skein.backend = port, backend
        return skein

    return begin


def send(stream, method, target, host="backend", headers=()):
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers)
    stream.sendall(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n".encode("latin-1"))
    answer = b""
    while chunk := stream.recv(65536):
        answer += chunk
    return answer


@pytest.fixture
def ask(ca, identities):
    """The status and body that a client gets; `who` = its identity, None = plaintext."""

    def begin(skein, who, method="GET", target="/", **options):
        if who:
            with connection(skein.inbound, ca, identities(who)) as secure:
                answer = send(secure, method, target, **options)
        else:
            with socket.create_connection(("127.0.0.1", skein.inbound), timeout=10) as plain:
                answer = send(plain, method, target, **options)
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    return begin


SEED_08 = policy(
    "allow-frontend-to-backend",
    """
selector:
  matchLabels:
    app: backend
action: ALLOW
rules:
- from:
  - source:
      principals: ["cluster.local/ns/production/sa/frontend"]
  to:
  - operation:
      methods: ["GET", "POST"]
      paths: ["/api/*"]
""",
)


class TestAllow:
    def test_the_seed_lets_in_whom_it_names(self, guarded, ask):
        skein = guarded(SEED_08)
        assert ask(skein, "production/frontend", "GET", "/api/items") == (200, b"ok")
        assert ask(skein, "production/frontend", "POST", "/api/items?x=1")[0] == 200
        refused = [
            ("production/frontend", "DELETE", "/api/items"),
            ("production/frontend", "GET", "/api"),
            ("production/frontend", "GET", "/admin"),
            ("production/other", "GET", "/api/items"),
            ("staging/frontend", "GET", "/api/items"),
            (None, "GET", "/api/items"),
        ]
        for who, method, target in refused:
            assert ask(skein, who, method, target) == (403, b"RBAC: access denied"), (who, method, target)
        assert len(skein.backend.requests) == 2
        lines = [line for line in access_log(skein, 8) if int(line["code"]) == 403]
        assert {line["details"] for line in lines} == {"rbac_access_denied_matched_policy[none]"}
        assert {line["flags"] for line in lines} == {"-"} and len(lines) == len(refused)
        assert all(line["request_id"] != "-" for line in lines)
        rule = {"namespace": "production", "policy": "allow-frontend-to-backend", "rule": "0", "action": "ALLOW", "dry_run": "false"}
        assert skein.samples("skein_authorization_rule_matches_total", **rule) == 2
        assert skein.samples("skein_authorization_verdicts_total", protocol="http", verdict="allowed") == 2
        assert skein.samples("skein_authorization_verdicts_total", protocol="http", verdict="not_allowed") == len(refused)

    def test_a_denial_names_its_rule(self, guarded, ask):
        deny = policy("no-admin", 'action: DENY\nrules:\n- to: [{operation: {hosts: [other]}}]\n- to: [{operation: {paths: ["/admin*"]}}]')
        skein = guarded(deny)
        assert ask(skein, None, target="/admin/x") == (403, b"RBAC: access denied")
        assert ask(skein, None, target="/public")[0] == 200
        line = next(line for line in access_log(skein, 2) if int(line["code"]) == 403)
        assert line["details"] == "rbac_access_denied_matched_policy[ns[production]-policy[no-admin]-rule[1]]"

    def test_a_rule_of_everybodys_and_none(self, guarded, ask):
        """`rules` absent with ALLOW lets nobody in; a rule `{}` lets in everybody."""
        nobody = guarded(policy("nobody", ""))
        assert ask(nobody, "production/frontend")[0] == 403
        everybody = guarded(policy("nobody", "") + policy("everybody", "rules:\n- {}"))
        assert ask(everybody, None)[0] == 200

    def test_policies_of_other_workloads_do_not_apply(self, guarded, ask):
        others = policy("nobody", "", namespace="staging") + policy("other", "selector: {matchLabels: {app: other}}")
        assert ask(guarded(others), None)[0] == 200
        root = policy("mesh", "action: DENY\nrules:\n- to: [{operation: {methods: [DELETE]}}]", namespace="istio-system")
        skein = guarded(root)
        assert ask(skein, None, "DELETE")[0] == 403 and ask(skein, None, "GET")[0] == 200

    def test_outgoing_requests_are_not_judged(self, guarded):
        skein = guarded(policy("nobody", "") + policy("nothing", "action: DENY\nrules:\n- {}", namespace="istio-system"))
        assert skein.get("/", host="web.local")[0] == 503, "nothing listens there, but it went on"


class TestHTTPTask:
    """Istio's task "HTTP Traffic", with its policies."""

    def test_step_by_step(self, guarded, ask):
        nothing = policy("allow-nothing", "")
        viewer = policy("viewer", "action: ALLOW\nrules:\n- to: [{operation: {methods: [GET]}}]")
        account = policy(
            "page-viewer",
            'action: ALLOW\nrules:\n- from: [{source: {principals: ["cluster.local/ns/production/sa/page"]}}]\n'
            "  to: [{operation: {methods: [GET]}}]",
        )
        skein = guarded(nothing)
        assert ask(skein, "production/page")[0] == 403
        skein = guarded(nothing + viewer)
        assert ask(skein, None)[0] == 200 and ask(skein, "production/page")[0] == 200 and ask(skein, None, "POST")[0] == 403
        skein = guarded(nothing + account)
        assert ask(skein, "production/page")[0] == 200 and ask(skein, "production/page", "POST")[0] == 403
        assert ask(skein, "production/other")[0] == 403 and ask(skein, None)[0] == 403

    @pytest.mark.parametrize(
        "source, allowed, refused",
        [
            ('namespaces: ["staging"]', ["staging/x", "staging/y"], ["production/x", None]),
            ('notNamespaces: ["staging"]', ["production/x", None], ["staging/x"]),
            ('serviceAccounts: ["x"]', ["production/x"], ["staging/x", "production/y", None]),
            ('serviceAccounts: ["staging/a.b"]', ["staging/a.b"], ["staging/axb", "production/a.b"]),
            ('principals: ["*"]', ["production/x"], [None]),
            ('notPrincipals: ["*"]', [None], ["production/x"]),
            ('principals: ["*/sa/x"]', ["production/x", "staging/x"], ["staging/y", None]),
            ('ipBlocks: ["127.0.0.0/8"]', [None, "production/x"], []),
            ('notIpBlocks: ["127.0.0.1"]', [], [None]),
            ('requestPrincipals: ["*"]', [], [None, "production/x"]),
            ('notRequestPrincipals: ["*"]', [None], []),
        ],
    )
    def test_sources(self, guarded, ask, source, allowed, refused):
        skein = guarded(policy("p", f"rules:\n- from: [{{source: {{{source}}}}}]"))
        for who in allowed:
            assert ask(skein, who)[0] == 200, (source, who)
        for who in refused:
            assert ask(skein, who)[0] == 403, (source, who)

    def test_trust_domains_that_are_one(self, guarded, ask, ca, tmp_path):
        """Task "Trust Domain Migration": a policy that names the old domain goes on when the mesh has a new one."""
        settings = "    trustDomain: new.example\n    trustDomainAliases: [cluster.local]\n"
        rule = policy("p", 'rules:\n- from: [{source: {principals: ["cluster.local/ns/production/sa/x"]}}]')
        skein = guarded(rule, settings=settings)
        assert ask(skein, "production/x")[0] == 200 and ask(skein, "production/y")[0] == 403

    def test_conditions(self, guarded, ask):
        rule = policy(
            "p",
            'rules:\n- when:\n  - {key: "request.headers[x-token]", values: ["admin*"]}\n  - {key: source.ip, values: ["127.0.0.0/8"]}\n'
            '  - {key: "request.headers[x-debug]", notValues: ["*"]}',
        )
        skein = guarded(rule)
        assert ask(skein, None, headers=[("X-Token", "administrator")])[0] == 200
        assert ask(skein, None, headers=[("X-Token", "user")])[0] == 403 and ask(skein, None)[0] == 403
        assert ask(skein, None, headers=[("x-token", "admin"), ("x-debug", "")])[0] == 403


class TestDenyTask:
    """Istio's task "Explicit Deny"."""

    def test_step_by_step(self, guarded, ask):
        deny = policy(
            "deny-method-get",
            'action: DENY\nrules:\n- to: [{operation: {methods: ["GET"]}}]\n'
            '  when: [{key: "request.headers[x-token]", notValues: ["admin"]}]',
        )
        allow = policy("allow-path-ip", 'action: ALLOW\nrules:\n- to: [{operation: {paths: ["/ip"]}}]')
        skein = guarded(deny)
        assert ask(skein, None, headers=[("x-token", "admin")])[0] == 200
        assert ask(skein, None, headers=[("x-token", "guest")])[0] == 403 and ask(skein, None)[0] == 403
        skein = guarded(deny + allow)
        assert ask(skein, None, target="/ip", headers=[("x-token", "guest")])[0] == 403, "DENY comes first"
        assert ask(skein, None, target="/ip", headers=[("x-token", "admin")])[0] == 200
        assert ask(skein, None, target="/get", headers=[("x-token", "admin")])[0] == 403

    @pytest.mark.parametrize(
        "fields, denied",
        [
            (["admin"], True), (["user"], False), (["user", "admin"], True), (["admin", "user"], True), (["user, admin"], True),
            (["admin,user"], True), (["user", "a", "admin"], True), ([], False), (["administrator"], False), ([" admin "], True),
        ],
    )
    def test_a_repeated_header_denies_by_any_of_its_values(self, guarded, ask, fields, denied):
        """CVE-2026-26308: a value beside another one must not hide it."""
        headers = [("x-role", value) for value in fields]
        deny = guarded(policy("p", 'action: DENY\nrules:\n- when: [{key: "request.headers[x-role]", values: ["admin"]}]'))
        assert ask(deny, None, headers=headers)[0] == (403 if denied else 200)

    @pytest.mark.parametrize("fields, allowed", [(["admin"], True), (["user", "admin"], False), (["admin", "user"], False), (["admin", "admin"], True), ([], False)])
    def test_a_repeated_header_allows_by_all_of_its_values(self, guarded, ask, fields, allowed):
        headers = [("x-role", value) for value in fields]
        allow = guarded(policy("p", 'rules:\n- when: [{key: "request.headers[x-role]", values: ["admin"]}]'))
        assert ask(allow, None, headers=headers)[0] == (200 if allowed else 403)

    def test_hosts(self, guarded, ask):
        skein = guarded(policy("p", 'action: DENY\nrules:\n- to: [{operation: {hosts: ["secret.local", "secret.local:*"]}}]'))
        for host in ["secret.local", "SECRET.local", "secret.local.", "secret.local:80", "Secret.Local.:8080"]:
            assert ask(skein, None, host=host)[0] == 403, host
        assert ask(skein, None, host="open.local")[0] == 200
        # An absolute target beats Host, also where rules look at it as a header.
        assert ask(skein, None, target="http://secret.local/", host="open.local")[0] == 403
        skein = guarded(policy("p", 'action: DENY\nrules:\n- when: [{key: "request.headers[host]", values: ["secret.local"]}]'))
        assert ask(skein, None, target="http://secret.local/", host="open.local")[0] == 403


# What a client may write for /admin/x, and for paths that are none of it.
HOSTILE = [
    "/admin/x", "//admin/x", "/./admin/x", "/public/../admin/x", "/public/..//admin/x", "/public/%2e%2e/admin/x", "/public/.%2E/admin/x",
    "/%61dmin/x", "/%2561dmin/x", "/admin%2fx", "/admin%2Fx", "/%2fadmin/x", "/\\admin/x", "\\admin\\x", "/public\\..\\admin\\x",
    "/public/..\\admin/x", "/public%2f..%2fadmin%2fx", "/public/%2e%2e%2fadmin/x", "/public/..%5cadmin/x", "/admin;a=b/x", "/;/admin/x",
    "/public/..;/admin/x", "/ADMIN/x", "/admin/../admin/x", "/admin?x", "/admin/x#f", "/public/#/../admin", "/%00admin", "/admin%00",
    "/public/%252e%252e/admin/x", "/admin/", "/admin/.", "/public/../../../admin/x", "http://backend/admin/x", "http://backend//admin/x",
    "http://backend/public/../admin/x", "http://backend?/admin", "/public//../admin/x", "/%2e/admin/x", "/.//admin/x", "/admin%20", "/%41dmin",
    "admin/x", "*", "/\xe1dmin/x",
]


def normal(path, mode):
    """The normal form of a path, worked out another way than the proxy does: what an application may read it as."""
    if mode == "NONE":
        return path
    if mode == "DECODE_AND_MERGE_SLASHES":
        path = re.sub("%(2f|5c)", "/", path, flags=re.I)
    path = re.sub("%([0-9a-f]{2})", lambda m: chr(int(m[1], 16)) if re.fullmatch("[A-Za-z0-9._~-]", chr(int(m[1], 16))) else m[0], path, flags=re.I)
    path = path.replace("\\", "/")
    if "MERGE" in mode:
        path = re.sub("/+", "/", path)
    out = []
    parts = path.split("/")[1:]
    for place, part in enumerate(parts):
        if part in (".", ".."):
            if part == ".." and out:
                out.pop()
            if place == len(parts) - 1:
                out.append("")
        else:
            out.append(part)
    return "/" + "/".join(out)


class TestPaths:
    @pytest.mark.parametrize("mode", ["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"])
    def test_no_way_of_writing_gets_around_a_rule(self, guarded, ask, mode):
        """What reaches the application is never what the rules refuse, nor what they would have to read otherwise to let it in."""
        settings = f"    pathNormalization: {{normalization: {mode}}}\n"
        deny = guarded(policy("p", 'action: DENY\nrules:\n- to: [{operation: {paths: ["/admin*"]}}]'), settings=settings)
        allow = guarded(policy("p", 'rules:\n- to: [{operation: {paths: ["/public/*"]}}]'), settings=settings)
        passed = 0
        for skein in [deny, allow]:
            for target in HOSTILE:
                before = len(skein.backend.requests)
                status = ask(skein, None, target=target)[0]
                got = [line.split(b" ")[1].decode("latin-1") for line, *_ in skein.backend.requests[before:]]
                assert (status == 200) == (len(got) == 1) and status in (200, 400, 403), (mode, target, status)
                for path in got:
                    passed += 1
                    path = path.partition("?")[0]
                    assert normal(path, mode) == path, (mode, target, path, "is not in its normal form")
                    assert not path.startswith("/admin") if skein is deny else path.startswith("/public/"), (mode, target, path)
        assert passed > 5, "something must get through, or nothing was tried"


class TestTCP:
    """Istio's task "TCP Traffic"."""

    def talk(self, port, ca, identity=None):
        """What an echo server says behind the proxy; None = closed."""
        try:
            if identity:
                with connection(port, ca, identity, alpn=["istio"]) as secure:
                    secure.sendall(b"hello")
                    return secure.recv(100) or None
            with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
                plain.sendall(b"hello")
                return plain.recv(100) or None
        except (ConnectionError, ssl.SSLError):
            return None

    def test_step_by_step(self, guarded, ca, identities):
        echo = Echo(b"hello ")

        def proxied(text, port=None):
            return guarded(text, protocol="TCP", upstream=echo.port)

        from_x = 'from: [{source: {principals: ["cluster.local/ns/production/sa/x"]}}]'
        skein = proxied(policy("tcp", f"rules:\n- {from_x}"))
        assert self.talk(skein.inbound, ca, identities("production/x")) == b"hello hello"
        assert self.talk(skein.inbound, ca, identities("production/y")) is None and self.talk(skein.inbound, ca) is None
        assert skein.samples("skein_authorization_verdicts_total", protocol="tcp", verdict="not_allowed") == 2
        lines = access_log(skein, 3)
        refused = [line for line in lines if line["ended"] == "rbac_access_denied_matched_policy[none]"]
        assert len(refused) == 2 and {(line["details"], line["flags"]) for line in refused} == {(None, "-")}, lines
        # A rule that lets in and asks for HTTP lets no connection in.
        skein = proxied(policy("tcp", f"rules:\n- {from_x}\n  to: [{{operation: {{methods: [GET]}}}}]"))
        assert self.talk(skein.inbound, ca, identities("production/x")) is None
        # A rule that refuses and asks for HTTP refuses by what is left of it.
        skein = proxied(policy("tcp", f"action: DENY\nrules:\n- {from_x}\n  to: [{{operation: {{methods: [GET]}}}}]"))
        assert self.talk(skein.inbound, ca, identities("production/x")) is None
        assert self.talk(skein.inbound, ca, identities("production/y")) == b"hello hello"

    def test_ports(self, guarded, ca):
        echo = Echo(b"hello ")
        skein = guarded(policy("p", 'action: DENY\nrules:\n- to: [{operation: {notPorts: ["1"]}}]'), protocol="TCP", upstream=echo.port)
        assert self.talk(skein.inbound, ca) is None
        skein = guarded(policy("p", 'action: DENY\nrules:\n- to: [{operation: {ports: ["1"]}}]'), protocol="TCP", upstream=echo.port)
        assert self.talk(skein.inbound, ca) == b"hello hello"


class TestDryRunTask:
    """Istio's task "Dry Run", and AUDIT: counted, shown in log and traces, and nobody is turned away."""

    def test_what_is_tried_out_decides_nothing(self, guarded, ask):
        dry = 'istio.io/dry-run: "true"'
        deny = policy("deny-path", 'action: DENY\nrules:\n- to: [{operation: {paths: ["/headers"]}}]', annotations=dry)
        allow = policy("allow-path", 'rules:\n- to: [{operation: {paths: ["/headers", "/ip"]}}]', annotations=dry)
        audit = policy("audit-path", 'action: AUDIT\nrules:\n- to: [{operation: {paths: ["/ip"]}}]')
        skein = guarded(deny + allow + audit)
        for target in ["/headers", "/ip", "/get"]:
            assert ask(skein, None, target=target)[0] == 200

        def verdicts(name):
            return skein.samples("skein_authorization_verdicts_total", protocol="http", verdict=name)

        def matches(name, action, dry_run):
            return skein.samples("skein_authorization_rule_matches_total", policy=name, action=action, dry_run=dry_run)

        assert verdicts("allowed") == 3 and verdicts("dry_run_denied") == 1 and verdicts("dry_run_not_allowed") == 1
        assert matches("deny-path", "DENY", "true") == 1 and matches("allow-path", "ALLOW", "true") == 2
        assert matches("audit-path", "AUDIT", "false") == 1

        def rule(name):
            return f"ns[production]-policy[{name}]-rule[0]"

        lines = {line["path"]: line["shadow"] for line in access_log(skein, 3)}
        assert lines == {
            "/headers": f"denied {rule('deny-path')} allowed {rule('allow-path')} false -",
            "/ip": f"allowed - allowed {rule('allow-path')} true {rule('audit-path')}",
            "/get": "allowed - denied - false -",
        }

        def tags():
            spans = [span for trace in json.loads(http_get(skein.ports["zipkin"], "/api/v2/traces?limit=10")[2]) for span in trace]
            spans = {span["tags"]["http.url"].rsplit("/", 1)[1]: span["tags"] for span in spans if span["kind"] == "SERVER"}
            return spans if len(spans) == 3 else None

        found = wait_for(tags, what="three spans")
        asked = {path: {name.split(".", 2)[2]: value for name, value in one.items() if name.startswith("istio.authorization.")} for path, one in found.items()}
        assert asked == {
            "headers": {
                "dry_run.deny_policy.name": rule("deny-path"), "dry_run.deny_policy.result": "denied",
                "dry_run.allow_policy.name": rule("allow-path"), "dry_run.allow_policy.result": "allowed"},
            "ip": {
                "dry_run.deny_policy.result": "allowed", "dry_run.allow_policy.name": rule("allow-path"), "dry_run.allow_policy.result": "allowed",
                "audit_policy.name": rule("audit-path")},
            "get": {"dry_run.deny_policy.result": "allowed", "dry_run.allow_policy.result": "denied"},
        }


class TestIngressTask:
    """Istio's task "Ingress Gateway": by the address that the connection comes from, and by the one that proxies tell of."""

    def test_addresses(self, start, backend):
        def edge(text):
            port = free_port()
            servers = '  - port: {number: 80, name: http, protocol: HTTP}\n    hosts: ["*"]\n'
            rules = gateway_rule("all", '["*"]', "web.local")
            skein = start(mesh(backend.port, gateway(port, servers, rules, text)), arguments=["--node", "edge"])
            skein.edge = port
            return skein

        def get(skein, path="/", **headers):
            return http_get(skein.edge, path, {"Host": "shop.example", **{k.replace("_", "-"): v for k, v in headers.items()}})[0]

        selector = "selector: {matchLabels: {istio: ingressgateway}}\n"
        inside = policy("p", selector + 'rules:\n- from: [{source: {ipBlocks: ["127.0.0.0/8"]}}]', namespace="ingress")
        assert get(edge(inside)) == 200
        outside = edge(policy("p", selector + 'rules:\n- from: [{source: {ipBlocks: ["10.0.0.0/8"]}}]', namespace="ingress"))
        assert get(outside) == 403
        # Clients of a gateway are strangers: what they say of themselves is not believed.
        remote = edge(policy("p", selector + 'rules:\n- from: [{source: {remoteIpBlocks: ["10.0.0.0/8"]}}]', namespace="ingress"))
        assert get(remote, X_Forwarded_For="10.1.1.1") == 403
        hosts = edge(policy("p", selector + 'action: DENY\nrules:\n- to: [{operation: {hosts: ["shop.example"], paths: ["/admin*"]}}]', "ingress"))
        assert get(hosts) == 200 and get(hosts, "/admin") == 403
        line = next(line for line in access_log(hosts, 2) if int(line["code"]) == 403)
        assert line["details"] == "rbac_access_denied_matched_policy[ns[ingress]-policy[p]-rule[0]]"
        # What the gateway's workload sends out itself is not judged.
        assert hosts.get("/admin", host="web.local")[0] == 200

    def test_a_gateway_named_by_a_target(self, start, backend):
        """`targetRefs` names the gateway; other gateways, and services that only waypoints guard, are left alone."""
        servers = '  - port: {number: 80, name: http, protocol: HTTP}\n    hosts: ["*"]\n'
        label = "istio: ingressgateway, gateway.networking.k8s.io/gateway-name: public"

        def status(target):
            port = free_port()
            rules = "action: DENY\nrules: [{to: [{operation: {methods: [GET]}}]}]"
            text = gateway(
                port, servers, gateway_rule("all", '["*"]', "web.local"), policy("p", f"targetRefs: [{target}]\n{rules}", namespace="ingress"))
            text = text.replace("labels: {istio: ingressgateway}", "labels: {%s}" % label)
            start(mesh(backend.port, text), arguments=["--node", "edge"])
            return http_get(port, "/", {"Host": "shop.example"})[0]

        assert status("{group: gateway.networking.k8s.io, kind: Gateway, name: public}") == 403
        assert status("{group: gateway.networking.k8s.io, kind: Gateway, name: internal}") == 200
        assert status("{kind: Service, name: web}") == 200

    def test_a_gateway_believes_the_proxies_in_front_of_it(self, start, backend):
        port = free_port()
        servers = '  - port: {number: 80, name: http, protocol: HTTP}\n    hosts: ["*"]\n'
        text = mesh(backend.port, gateway(port, servers, gateway_rule("all", '["*"]', "web.local"), policy(
            "p", 'selector: {matchLabels: {istio: ingressgateway}}\nrules:\n- from: [{source: {remoteIpBlocks: ["10.0.0.0/8"]}}]', namespace="ingress")))
        start(
            text.replace("  meshConfig:\n", "  meshConfig:\n    defaultConfig: {gatewayTopology: {numTrustedProxies: 2}}\n"), arguments=["--node", "edge"])
        for lines, status in [
            (["10.1.1.1, 192.168.0.1"], 200), (["192.168.0.1, 10.1.1.1"], 403), (["10.1.1.1"], 403), (["10.1.1.1", "192.168.0.1"], 200),
            (["8.8.8.8, 10.1.1.1, 192.168.0.1"], 200), (["10.1.1.1, 8.8.8.8, 192.168.0.1"], 403), ([], 403), (["nobody, 192.168.0.1"], 403),
        ]:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
                answer = send(plain, "GET", "/", "shop.example", [("X-Forwarded-For", line) for line in lines])
            assert int(answer.split()[1]) == status, lines

    def test_a_workload_believes_the_proxy_before_it(self, guarded, ask):
        skein = guarded(policy("p", 'rules:\n- from: [{source: {remoteIpBlocks: ["10.0.0.0/8"]}}]'))
        assert ask(skein, None)[0] == 403
        for value, status in [("10.1.1.1", 200), ("192.168.0.1, 10.1.1.1", 200), ("10.1.1.1, 192.168.0.1", 403), ("nobody", 403)]:
            assert ask(skein, None, headers=[("X-Forwarded-For", value)])[0] == status, value
        assert ask(skein, None, headers=[("X-Forwarded-For", "192.168.0.1"), ("X-Forwarded-For", "::ffff:10.1.1.1")])[0] == 200


class TestHTTP2:
    def test_grpc_gets_a_status_of_its_own(self, guarded):
        skein = guarded(policy("nobody", ""))
        with H2Client(skein.inbound) as client:
            answer = client.request("/shop.Cart/Get", "POST", headers=[("content-type", "application/grpc"), ("te", "trailers")], body=b"")
            assert answer.status == 200 and answer.header(b"grpc-status") == b"7"
            assert answer.header(b"grpc-message") == b"RBAC: access denied"
            assert client.request("/").status == 403

    @pytest.mark.parametrize("path", ["admin/x", "/public/../admin/x", "//admin/x", "/%61dmin/x", "/admin/x"])
    def test_paths(self, guarded, path):
        skein = guarded(
            policy("p", 'action: DENY\nrules:\n- to: [{operation: {paths: ["/admin*"]}}]'),
            settings="    pathNormalization: {normalization: MERGE_SLASHES}\n",
        )
        with H2Client(skein.inbound) as client:
            answer = client.request(path)
        # 0 = the stream was reset: such a path is none of HTTP/2's.
        assert answer.status in (0, 400, 403) and skein.backend.requests == []


class TestOperators:
    def test_what_is_not_enforced_is_not_served(self, start, identities):
        custom = """
---
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: ext, namespace: production}
spec: {phase: AUTHZ, url: "oci://a/b:1"}
"""
        port = free_port()
        arguments = ["--identity", str(identities("production/backend")), "--node", "production/backend"]
        skein = start(workload(port, 9, custom), arguments, ready=False)
        assert skein.process.wait(20) == 65 and "SKN0202" in skein.log()
        allowed = start(workload(free_port(), 9, custom), [*arguments, "--allow-unenforced"])
        assert "SKN0202" in allowed.log()

    def test_a_bad_policy_keeps_the_good_ones(self, guarded, ask):
        skein = guarded(policy("p", 'rules:\n- to: [{operation: {paths: ["/a"]}}]'))
        path = skein.config / "mesh.yaml"
        good = path.read_text()
        assert ask(skein, None, target="/a")[0] == 200
        path.write_text(good.replace('["/a"]', '["{*}/a"]'))
        skein.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "SKN0320" in skein.log(), what="the refusal in the log")
        assert ask(skein, None, target="/a")[0] == 200 and ask(skein, None, target="/b")[0] == 403
        path.write_text(good.replace('["/a"]', '["/b"]'))
        skein.process.send_signal(signal.SIGHUP)
        wait_for(lambda: ask(skein, None, target="/b")[0] == 200, what="the new policy")
        assert ask(skein, None, target="/a")[0] == 403

    def test_explain_and_check(self, tmp_path):
        path = tmp_path / "mesh.yaml"
        path.write_text(workload(8080, 9, SEED_08))

        def run(*arguments):
            done = subprocess.run([SKEIN, *arguments], capture_output=True, text=True, timeout=60)
            return done.returncode, done.stdout + done.stderr

        common = ["explain", "-c", str(path), "--node", "production/backend", "--inbound", "--with-identity"]
        code, text = run(*common, "--principal", "cluster.local/ns/production/sa/frontend", "http://backend/api/x")
        assert code == 0 and "allowed by an ALLOW rule" in text, text
        code, text = run(*common, "--principal", "cluster.local/ns/production/sa/frontend", "http://backend/admin")
        assert code == 2 and 'paths wants one of /api/*: the request has "/admin"' in text, text
        assert re.search(r"nearest is rule 0 of AuthorizationPolicy production/allow-frontend-to-backend \(.*mesh.yaml:\d+:\d+\)", text), text
        code, text = run("authz", "check", "-c", str(path), "--node", "backend")
        assert code == 0 and "ALLOW  production/allow-frontend-to-backend  1 rule" in text and "is denied" in text, text
        code, text = run("authz", "check", "-c", str(path), "-o", "json")
        found = json.loads(text)["workloads"][0]
        assert found["unmatched"] == "denied" and found["policies"][0]["action"] == "ALLOW"

    def test_analyze_finds_what_guards_nobody(self, tmp_path):
        path = tmp_path / "mesh.yaml"
        texts = [
            policy("lost", "selector: {matchLabels: {app: gone}}\nrules:\n- {}"),
            policy("lower", "rules:\n- to: [{operation: {methods: [get]}}]"),
            policy("token", 'rules:\n- from: [{source: {requestPrincipals: ["*"]}}]'),
            policy("all", "rules:\n- {}"),
        ]
        path.write_text(workload(8080, 9, "".join(texts)))
        done = subprocess.run([SKEIN, "analyze", "-o", "json", str(path)], capture_output=True, text=True, timeout=60)
        for code, name in [("IST0127", "lost"), ("SKN0372", "lower"), ("SKN0372", "token"), ("SKN0373", "lower")]:
            assert re.search(rf'"code":"{code}"[^{{}}]*"{name}"|{code}[^{{}}]*{name}', done.stdout), (code, name, done.stdout)


def header(name, value=None, **match):
    """A header matcher as istiod writes it; None = present."""
    return {"header": {"name": name, **({"present_match": True} if value is None else {"string_match": {"exact": value, **match}})}}


def path(**match):
    return {"url_path": {"path": match}}


def template(text):
    kind = "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig"
    return {"uri_template": typed("envoy.path.match.uri_template.uri_template_matcher", kind, path_template=text)}


def any_of(*rules):
    return {"or_rules": {"rules": list(rules)}}


def all_of(*rules):
    return {"and_rules": {"rules": list(rules)}}


ANY = {"any": True}
LOCAL = {"direct_remote_ip": {"address_prefix": "127.0.0.0", "prefix_len": 8}}
ELSEWHERE = {"direct_remote_ip": {"address_prefix": "10.0.0.0", "prefix_len": 8}}
# Policies, and what they are in Envoy's filter, translated by hand: (action, name and rule, permission, principal).
TRANSLATED = {
    "paths": (
        policy("p", 'action: DENY\nrules:\n- to: [{operation: {paths: ["/admin*", "*.secret", "/exact"]}}]'),
        [("DENY", "p", 0, any_of(path(prefix="/admin"), path(suffix=".secret"), path(exact="/exact")), ANY)],
    ),
    "templates": (
        policy("p", 'rules:\n- to: [{operation: {paths: ["/api/{*}/x", "/files/{**}"]}}]'),
        [("ALLOW", "p", 0, any_of(template("/api/*/x"), template("/files/**")), ANY)],
    ),
    "methods": (
        policy("p", 'rules:\n- to:\n  - operation: {methods: [GET, HEAD], paths: ["/api/*"]}\n  - operation: {methods: [POST]}'),
        [("ALLOW", "p", 0, any_of(
            all_of(any_of(header(":method", "GET"), header(":method", "HEAD")), path(prefix="/api/")), header(":method", "POST")), ANY)],
    ),
    "hosts": (
        policy("p", 'rules:\n- to: [{operation: {hosts: ["a.local", "b.local:*"]}}]'),
        [("ALLOW", "p", 0, any_of(
            header(":authority", "a.local", ignore_case=True),
            {"header": {"name": ":authority", "string_match": {"prefix": "b.local:", "ignore_case": True}}}), ANY)],
    ),
    "headers": (
        policy(
            "p", 'action: DENY\nrules:\n- when: [{key: "request.headers[x-role]", values: [admin]}]\n'
            '- when: [{key: "request.headers[x-pass]", notValues: ["*"]}]\n  to: [{operation: {paths: ["/pass"]}}]'),
        [
            ("DENY", "p", 0, header("x-role", "admin"), ANY),
            ("DENY", "p", 1, all_of({"not_rule": header("x-pass")}, path(exact="/pass")), ANY),
        ],
    ),
    "addresses": (
        policy("a", 'rules:\n- from: [{source: {ipBlocks: ["10.0.0.0/8"]}}]\n- from: [{source: {notIpBlocks: ["10.0.0.0/8"]}}]\n'
               '  to: [{operation: {paths: ["/local"]}}]'),
        [("ALLOW", "a", 0, ANY, ELSEWHERE), ("ALLOW", "a", 1, path(exact="/local"), {"not_id": ELSEWHERE})],
    ),
    "order": (
        policy("b", 'action: DENY\nrules:\n- to: [{operation: {paths: ["/x"]}}]')
        + policy("a", 'action: DENY\nrules:\n- to: [{operation: {paths: ["/x*"]}}]') + policy("c", 'rules:\n- to: [{operation: {methods: [GET]}}]'),
        [
            ("DENY", "b", 0, path(exact="/x"), ANY), ("DENY", "a", 0, path(prefix="/x"), ANY),
            ("ALLOW", "c", 0, header(":method", "GET"), ANY),
        ],
    ),
}
TARGETS = [
    ("GET", "/", "a.local"), ("GET", "/admin", "a.local"), ("GET", "/admin/x?y", "A.Local"), ("GET", "/./admin/x", "a.local"),
    ("GET", "/a/../admin", "a.local"), ("GET", "/%61dmin", "a.local"), ("GET", "/ADMIN", "a.local"), ("GET", "//admin", "a.local"),
    ("GET", "/x.secret", "a.local"), ("GET", "/x.secret?a", "a.local"), ("GET", "/exact", "a.local"), ("GET", "/exact/", "a.local"),
    ("GET", "/api/v1/x", "a.local"), ("GET", "/api//x", "a.local"), ("GET", "/api/v1/v2/x", "a.local"), ("GET", "/files/", "a.local"),
    ("GET", "/files", "a.local"), ("GET", "/files/a/b", "b.local"), ("HEAD", "/api/x", "b.local:80"), ("POST", "/api", "B.local:8"),
    ("PUT", "/api/x", "c.local"), ("PATCH", "/api/x", "a.local"), ("GET", "/local", "a.local"), ("GET", "/x", "a.local"),
    ("GET", "/xy", "a.local"), ("POST", "/y", "a.local"), ("GET", "http://b.local:1/api/x", "a.local"), ("GET", "/pass", "a.local"),
]
QUESTIONS = [(*target, ()) for target in TARGETS] + [
    ("GET", "/", "a.local", fields)
    for fields in [
        (("x-role", "admin"),), (("x-role", "user"),), (("x-role", "user"), ("X-Role", "admin")), (("x-role", "admin"), ("x-role", "user")),
        (("x-role", "administrator"),), (("x-role", ""),),
    ]
] + [("GET", "/pass", "a.local", (("x-pass", "1"),)), ("GET", "/pass", "a.local", (("x-pass", ""),))]


@pytest.mark.parametrize("name", TRANSLATED)
def test_envoys_filter_decides_alike(guarded, tmp_path, name):
    """Envoy 1.40's RBAC filter with the same rules: status, body, details and flags of every request."""
    text, rules = TRANSLATED[name]
    skein = guarded(text)
    guards = []
    for action in ["DENY", "ALLOW"]:
        policies = {
            f"ns[production]-policy[{policy_name}]-rule[{place}]": {"permissions": [permission], "principals": [principal]}
            for rule_action, policy_name, place, permission, principal in rules if rule_action == action
        }
        if policies:
            guards.append(typed("envoy.filters.http.rbac", "envoy.extensions.filters.http.rbac.v3.RBAC", rules={"action": action, "policies": policies}))
    everything = [{"match": {"prefix": "/"}, "route": {"cluster": "backend"}}]
    envoy = Envoy(tmp_path, [("all", ["*"], everything)], [cluster("backend", [skein.backend.port])], guards)
    try:
        outcomes = []
        for port in [skein.inbound, envoy.port]:
            for method, target, host, fields in QUESTIONS:
                with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
                    head, _, body = send(plain, method, target, host, fields).partition(b"\r\n\r\n")
                outcomes.append((int(head.split()[1]), body if int(head.split()[1]) == 403 else b""))
        ours, theirs = outcomes[: len(QUESTIONS)], outcomes[len(QUESTIONS) :]
        assert [] == [(question, our, their) for question, our, their in zip(QUESTIONS, ours, theirs) if our != their]
        assert len({status for status, _ in ours}) > 1, "rules that decide nothing compare nothing"
        envoy_log = wait_for(lambda: whole_lines(envoy.log, len(QUESTIONS)), what="Envoy's log")

        def refusals(lines):
            # Connections of several workers end in no order.
            return sorted((line["path"], line["details"], line["flags"]) for line in lines if int(line["code"]) == 403)

        assert refusals(access_log(skein, len(QUESTIONS))) == refusals(envoy_log)
    finally:
        envoy.stop()


def whole_lines(path, count):
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines] if len(lines) >= count else None
