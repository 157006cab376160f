"""AuthorizationPolicy: who may do what, with the identities of mutual TLS, plaintext clients and raw connections."""

import pathlib
import re
import socket
import ssl

import pytest

from conftest import Backend, access_log, free_port, mesh, wait_for
from mesh_ca import MeshCA
from test_mtls import ISTIO, connection
from test_tcp import Echo

SEED = pathlib.Path(__file__).parents[1] / "Fixtures"


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
    text = mesh(
        9,
        f"""
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: backend, namespace: production}}
spec: {{address: 127.0.0.1, serviceAccount: backend, labels: {{app: backend}}}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: backend, namespace: production}}
spec:
  workloadSelector: {{labels: {{app: backend}}}}
  ingress:
  - port: {{number: {port}, protocol: {protocol}, name: p}}
    defaultEndpoint: 127.0.0.1:{backend_port}
{policies}""",
    )
    return text.replace("  meshConfig:\n", "  meshConfig:\n" + settings) if settings else text


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


def counted(skein, name, **labels):
    return skein.samples(name, **labels)


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
        assert counted(skein, "skein_authorization_rule_matches_total", **rule) == 2
        assert counted(skein, "skein_authorization_verdicts_total", protocol="http", verdict="allowed") == 2
        assert counted(skein, "skein_authorization_verdicts_total", protocol="http", verdict="not_allowed") == len(refused)

    def test_a_denial_names_its_rule(self, guarded, ask):
        deny = policy("no-admin", 'action: DENY\nrules:\n- to: [{operation: {hosts: [other]}}]\n- to: [{operation: {paths: ["/admin*"]}}]')
        skein = guarded(deny)
        assert ask(skein, None, target="/admin/x") == (403, b"RBAC: access denied")
        assert ask(skein, None, target="/public")[0] == 200
        line = next(line for line in access_log(skein, 2) if int(line["code"]) == 403)
        assert line["details"] == "rbac_access_denied_matched_policy[ns[production]-policy[no-admin]-rule[1]]"
