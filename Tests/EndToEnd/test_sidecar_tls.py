"""TLS that a Sidecar's ingress listener terminates for clients from outside of the mesh."""

import contextlib
import socket
import subprocess

import pytest

from conftest import SKEIN, access_log, free_port, wait_for
from mesh_ca import MeshCA
from test_gateway_tls import Certificates, ask, outcome, secured, status, trusting
from test_mtls import server_side
from test_tcp import Echo


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    made = Certificates(tmp_path_factory.mktemp("certificates"))
    made.web = made.server(made.directory / "web", "web.example")
    return made


def sidecar(port, backend_port, tls, protocol="HTTPS", mode="DISABLE", extra=""):
    """A workload of a STRICT mesh with one port for everybody else."""
    text = server_side(port, backend_port).replace(
        f"number: {port}, protocol: HTTP, name: http}}", f"number: {port}, protocol: {protocol}, name: outside}}\n    tls: {tls}")
    return text + f"""
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: web, namespace: default}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  mtls: {{mode: STRICT}}
  portLevelMtls: {{{port}: {{mode: {mode}}}}}
{extra}"""


def paths(certificates, mode, *more):
    pair = f"serverCertificate: {certificates.web}/tls.crt, privateKey: {certificates.web}/tls.key"
    return "{" + ", ".join([f"mode: {mode}", pair, *more]) + "}"


def begin(start, tmp_path, *arguments, **options):
    identity = MeshCA(tmp_path / "mesh").workload(tmp_path / "identity", "web")
    return start(sidecar(*arguments, **options), ["--identity", str(identity), "--node", "web"])


def test_simple_is_served_to_strangers(start, backend, certificates, tmp_path):
    port = free_port()
    rule = """
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  action: DENY
  rules: [{to: [{operation: {paths: [/secret]}}]}]
"""
    skein = begin(start, tmp_path, port, backend.port, paths(certificates, "SIMPLE"), extra=rule)
    for protocols in (None, ["http/1.1"]):
        context = trusting(certificates, protocols=protocols)
        assert status(ask(port, "web.example", context)) == 200
        assert status(ask(port, "whatever.example", context, name="web.example")) == 200
        # The workload's policies hold as for everybody.
        assert status(ask(port, "web.example", context, path="/secret")) == 403
    out = subprocess.run(
        ["curl", "-s", "--http2", "--cacert", certificates.servers.certificate, "--resolve", f"web.example:{port}:127.0.0.1",
         "-o", tmp_path / "body", "-w", "%{http_code} %{http_version}", f"https://web.example:{port}/"], capture_output=True, text=True)
    assert out.stdout == "200 2", out
    # Without a server name too.
    assert status(ask(port, "web.example", trusting(certificates, verify=False), sni=False)) == 200
    with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: web.example\r\n\r\n")
        assert not plain.recv(100)
    wait_for(lambda: "takes TLS alone (Sidecar)" in skein.log(), what="the refusal")
    # Of several workers, in no order: four by Python, curl's and the one without a name. Those that were denied have no cluster.
    lines = wait_for(lambda: (found := [line for line in access_log(skein) if line["code"] == 200]) and len(found) == 6 and found, what="lines")
    assert {line["cluster"] for line in lines} == {f"inbound|{port}||"}, lines
    assert 'reporter="destination"' in skein.metrics()[2].decode()


def test_mutual_asks_for_a_certificate(start, backend, certificates, tmp_path):
    port = free_port()
    authorities = f"caCertificates: {certificates.clients.certificate}"
    begin(start, tmp_path, port, backend.port, paths(certificates, "MUTUAL", authorities))
    good, foreign = certificates.client("good"), certificates.client("other", certificates.foreign)
    assert status(ask(port, "web.example", trusting(certificates, good))) == 200
    assert outcome(port, "web.example", trusting(certificates, foreign)) == "refused"
    assert outcome(port, "web.example", trusting(certificates)) == "refused"


def test_tls_to_an_application_of_another_protocol(start, certificates, tmp_path):
    port, echo = free_port(), Echo()
    begin(start, tmp_path, port, echo.port, paths(certificates, "SIMPLE"), protocol="TLS")
    with secured(port, trusting(certificates)) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"


def test_the_certificate_is_renewed(start, backend, certificates, tmp_path):
    port = free_port()
    certificates.web = certificates.server(tmp_path / "web", "web.example")
    begin(start, tmp_path, port, backend.port, paths(certificates, "SIMPLE"))

    def serial():
        with secured(port, trusting(certificates)) as client:
            return client.getpeercert()["serialNumber"]

    first = serial()
    certificates.server(tmp_path / "web", "web.example")
    wait_for(lambda: serial() != first, seconds=20, what="the new certificate")


def test_the_mesh_keeps_its_port(start, backend, certificates, tmp_path):
    """STRICT takes the mesh alone whatever the Sidecar says, and PERMISSIVE, which would take plaintext, is no start."""
    port, ca = free_port(), MeshCA(tmp_path / "mesh")
    identity = ca.workload(tmp_path / "identity", "web")
    text = sidecar(port, backend.port, paths(certificates, "SIMPLE"), mode="STRICT")
    skein = start(text, ["--identity", str(identity), "--node", "web"])
    assert outcome(port, "web.example", trusting(certificates)) == "refused"
    assert "SKN0327" in skein.log()
    config = tmp_path / "mesh.yaml"
    config.write_text(sidecar(port, backend.port, paths(certificates, "SIMPLE"), mode="PERMISSIVE"))
    out = subprocess.run([SKEIN, "validate", "--with-identity", "--node", "web", config], capture_output=True, text=True)
    assert out.returncode == 65 and "SKN0202" in out.stdout and f"portLevelMtls: {{{port}: {{mode: DISABLE}}}}" in out.stdout, out.stdout


def test_explain_says_so(certificates, tmp_path):
    config = tmp_path / "mesh.yaml"
    config.write_text(sidecar(9443, 9, paths(certificates, "SIMPLE")))
    out = subprocess.run(
        [SKEIN, "explain", "--config", config, "--node", "web", "--with-identity", "--inbound", "https://web.example:9443/"],
        capture_output=True, text=True).stdout
    assert "Sidecar default/web, ingress port 9443: SIMPLE" in out and "inbound|9443||" in out, out
