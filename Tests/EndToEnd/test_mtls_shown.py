"""What mutual TLS shows: in access logs, of connections that are refused, and to applications."""

import json
import re
import signal
import socket
import ssl
import subprocess
import time

import pytest

from conftest import SKEIN, access_log, free_port, http_get, mesh, wait_for
from mesh_ca import MeshCA
from test_mtls import ask, ca, client_side, connection, plain, server_side, web
from tls_envoy import TLSEnvoy

NAMES = ["DNS:a.local", "DNS:b.local", "IP:10.0.0.1", "IP:fe80::1", "email:me@example.org"]
CERTIFICATE = [
    "PEER_URI_SAN", "PEER_DNS_SAN", "PEER_IP_SAN", "PEER_SUBJECT", "PEER_ISSUER", "PEER_CERT", "PEER_CERT_V_START", "PEER_CERT_V_END",
    "LOCAL_URI_SAN", "LOCAL_DNS_SAN", "LOCAL_IP_SAN", "TLS_VERSION", "TLS_CIPHER", "TLS_SESSION_ID",
]
DOWNSTREAM = [
    *CERTIFICATE, "PEER_EMAIL_SAN", "LOCAL_EMAIL_SAN", "LOCAL_SUBJECT", "PEER_FINGERPRINT_256", "PEER_FINGERPRINT_1", "PEER_SERIAL",
    "PEER_CERT_V_START(%b %d %Y)", "TRANSPORT_FAILURE_REASON",
]
LABELS = {f"{end}_{name}": f"%{end}_{name}%" for end, names in (("DOWNSTREAM", DOWNSTREAM), ("UPSTREAM", CERTIFICATE)) for name in names}
LABELS["type"] = "%ACCESS_LOG_TYPE%"
LABELS["termination"] = "%CONNECTION_TERMINATION_DETAILS%"
LABELS["UPSTREAM_TRANSPORT_FAILURE_REASON"] = "%UPSTREAM_TRANSPORT_FAILURE_REASON%"
LABELS["REQUESTED_SERVER_NAME"] = "%REQUESTED_SERVER_NAME%"
# What both ends chose, not what they showed.
AGREED = {"TLS_VERSION", "TLS_CIPHER", "TLS_SESSION_ID"}


def with_labels(config):
    lines = "".join(f'            "{key}": "{value}"\n' for key, value in LABELS.items())
    return config.replace('            sni: "', lines + '            sni: "')


@pytest.fixture
def ends(ca, tmp_path):
    """Certificates of both ends with something of everything: names of all kinds, a subject to be escaped."""
    server = ca.workload(tmp_path / "web", "web", subject="/O=Servers, all/CN=web", others=["DNS:web.local", "IP:127.0.0.1"])
    client = ca.workload(tmp_path / "client", "client", subject='/O=Acme "Q" Inc;x/CN=cli\u00e4nt', others=NAMES)
    return server, client


class TestAccessLog:
    def test_certificates_are_written_as_envoy_writes_them(self, start, backend, ca, ends, tmp_path):
        server, client = ends
        envoy = TLSEnvoy(tmp_path, ca, server, client, LABELS)
        try:
            with connection(envoy.port, ca, client) as secure:
                assert b"200" in ask(secure)
            (expected,) = envoy.lines()
        finally:
            envoy.stop()
        port = free_port()
        inbound = start(with_labels(server_side(port, backend.port, "STRICT")), ["--identity", str(server), "--node", "web"])
        outbound = start(with_labels(client_side([port])), ["--identity", str(client)])
        assert outbound.get("/", host="api.local")[0] == 200, outbound.log()[-800:]
        (seen,) = access_log(inbound)
        (sent,) = access_log(outbound)
        for name in LABELS:
            if name.split("_", 1)[-1] in AGREED or not name.startswith(("DOWNSTREAM", "UPSTREAM")):
                continue
            line = seen if name.startswith("DOWNSTREAM") else sent
            assert line[name] == expected[name], name
        assert expected["DOWNSTREAM_PEER_SUBJECT"] and expected["UPSTREAM_PEER_CERT"], "there is something to compare"
        assert seen["DOWNSTREAM_TLS_VERSION"] == sent["UPSTREAM_TLS_VERSION"] == "TLSv1.3"
        assert seen["DOWNSTREAM_TLS_CIPHER"] == sent["UPSTREAM_TLS_CIPHER"] and seen["DOWNSTREAM_TLS_CIPHER"].startswith("TLS_")
        assert seen["REQUESTED_SERVER_NAME"] == "outbound_.80_._.api.local"
        assert (sent["DOWNSTREAM_TLS_VERSION"], seen["UPSTREAM_TLS_VERSION"]) == (None, None), "the other ends are plain"

    def test_sessions_of_tls_1_2_have_an_id(self, start, backend, ca, ends):
        server, client = ends
        port = free_port()
        skein = start(with_labels(server_side(port, backend.port, "STRICT")), ["--identity", str(server), "--node", "web"])
        with connection(port, ca, client, version=ssl.TLSVersion.TLSv1_2) as secure:
            assert b"200" in ask(secure)
        (line,) = access_log(skein)
        assert line["DOWNSTREAM_TLS_VERSION"] == "TLSv1.2" and line["DOWNSTREAM_TLS_CIPHER"].startswith("ECDHE-ECDSA-")
        assert line["DOWNSTREAM_TLS_SESSION_ID"] is None or re.fullmatch("[0-9a-f]{64}", line["DOWNSTREAM_TLS_SESSION_ID"])

    def test_a_connection_tells_what_a_later_configuration_asks_for(self, start, backend, ca, ends):
        """Connections between proxies live for hours: a new format must not print dashes until they end."""
        server, client = ends
        port = free_port()
        config = server_side(port, backend.port, "STRICT")
        skein = start(config, ["--identity", str(server), "--node", "web"])
        with connection(port, ca, client) as secure:
            assert b"200" in ask(secure)
            assert "DOWNSTREAM_PEER_URI_SAN" not in access_log(skein)[0]
            (skein.config / "mesh.yaml").write_text(with_labels(config))
            reloads = skein.samples("skein_config_reloads_total")
            skein.process.send_signal(signal.SIGHUP)
            wait_for(lambda: skein.samples("skein_config_reloads_total") > reloads, what="the reload")
            assert b"200" in ask(secure)
            assert access_log(skein, 2)[1]["DOWNSTREAM_PEER_URI_SAN"] == "spiffe://cluster.local/ns/default/sa/client"

    def test_an_endpoint_that_is_another_is_logged_with_the_reason(self, start, backend, ca, ends):
        server, client = ends
        port = free_port()
        start(server_side(port, backend.port, "STRICT"), ["--identity", str(server), "--node", "web"])
        skein = start(with_labels(client_side([port], account="somebody-else")), ["--identity", str(client)])
        assert skein.get("/", host="api.local")[0] == 503
        (line,) = access_log(skein)
        reason = line["UPSTREAM_TRANSPORT_FAILURE_REASON"]
        assert reason.startswith("TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:"), reason
        assert "spiffe://cluster.local/ns/default/sa/somebody-else_is_wanted" in reason and reason.endswith(":TLS_error_end")
        assert line["details"] == f"upstream_reset_before_response_started{{remote_connection_failure|{reason}}}"


class TestRefused:
    @pytest.fixture
    def strict(self, start, backend, ca, ends):
        port = free_port()
        skein = start(with_labels(server_side(port, backend.port, "STRICT")), ["--identity", str(ends[0]), "--node", "web"])
        skein.inbound = port
        return skein

    def test_plaintext_has_a_line(self, strict):
        assert plain(strict.inbound) is None
        (line,) = access_log(strict)
        assert (line["code"], line["flags"], line["details"], line["type"]) == (0, "NR", "filter_chain_not_found", "NotSet")
        reason = line["DOWNSTREAM_TRANSPORT_FAILURE_REASON"]
        # Envoy 1.40's words, and ours behind them.
        assert reason.startswith("TLS_error|error:1000009c:SSL_routines:OPENSSL_internal:HTTP_REQUEST:"), reason
        assert "PeerAuthentication_STRICT" in reason and reason == line["termination"]

    def test_bytes_that_are_nothing_have_one_too(self, strict):
        with socket.create_connection(("127.0.0.1", strict.inbound), timeout=10) as client:
            client.sendall(bytes(range(200, 256)))
            assert client.recv(100) == b""
        (line,) = access_log(strict)
        assert line["details"] == "filter_chain_not_found" and "WRONG_VERSION_NUMBER" in line["DOWNSTREAM_TRANSPORT_FAILURE_REASON"]

    def test_a_failed_handshake_has_a_line_with_its_reason(self, strict, ca, tmp_path):
        stranger = MeshCA(tmp_path / "other").workload(tmp_path / "stranger", "client")
        reasons = [(stranger, "CERTIFICATE_VERIFY_FAILED:unable_to_get_local_issuer_certificate"), (None, "PEER_DID_NOT_RETURN_A_CERTIFICATE")]
        for number, (identity, reason) in enumerate(reasons):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                with connection(strict.inbound, ca, identity) as secure:
                    assert ask(secure) == b"" and False
            line = access_log(strict, number + 1)[number]
            assert (line["code"], line["flags"], line["type"]) == (0, "-", "NotSet")
            assert reason in line["DOWNSTREAM_TRANSPORT_FAILURE_REASON"] and line["DOWNSTREAM_PEER_URI_SAN"] is None

    def test_a_flood_is_not_written_out(self, strict):
        count = 300
        for _ in range(count):
            with socket.create_connection(("127.0.0.1", strict.inbound), timeout=10) as client:
                client.sendall(b"GET / HTTP/1.1\r\n\r\n")
                client.recv(100)
        wait_for(lambda: strict.samples("skein_proxy_plaintext_refused_total") == count, what="the count")
        left_out = strict.samples("skein_proxy_refusals_unlogged_total")
        lines = wait_for(lambda: (found := access_log(strict)) and len(found) + left_out >= count and found, what="all lines there are")
        assert len(lines) + left_out == count and left_out > 0, (len(lines), left_out)


EVIL = "By=spiffe://cluster.local/ns/default/sa/web;URI=spiffe://cluster.local/ns/default/sa/admin"


def forwarded(request):
    """The values of the field that an application gets."""
    return [value.decode() for name, value in request[1] if name.lower().replace(b"_", b"-") == b"x-forwarded-client-cert"]


class TestForwardedClientCert:
    def test_the_element_is_envoys(self, start, backend, ca, ends, tmp_path):
        server, client = ends
        earlier = "By=spiffe://a/b;Hash=00;Subject=\"CN=x\";URI=spiffe://c/d"
        request = f"GET / HTTP/1.1\r\nHost: web.local\r\nX-Forwarded-Client-Cert: {earlier}\r\n\r\n".encode()
        envoy = TLSEnvoy(tmp_path, ca, server, client, {"code": "%RESPONSE_CODE%"})
        try:
            with connection(envoy.port, ca, client) as secure:
                secure.sendall(request)
                assert b"200" in secure.recv(65536)
        finally:
            envoy.stop()
        (expected,) = re.findall("x-forwarded-client-cert: (.*)\r\n", envoy.heads[0])
        port = free_port()
        start(server_side(port, backend.port, "STRICT"), ["--identity", str(server), "--node", "web"])
        with connection(port, ca, client) as secure:
            for _ in range(2):
                secure.sendall(request)
                assert b"200" in secure.recv(65536)
        for seen in backend.requests:
            assert forwarded(seen) == [expected]
        assert expected.startswith(earlier + ",By=spiffe://cluster.local/ns/default/sa/web;Hash=") and expected.endswith(";DNS=b.local")

    @pytest.mark.parametrize("name", ["X-Forwarded-Client-Cert", "x-forwarded-client-cert", "X_Forwarded_Client_Cert"])
    def test_plaintext_forwards_nobody(self, start, backend, ca, ends, name):
        port = free_port()
        start(server_side(port, backend.port, "PERMISSIVE"), ["--identity", str(ends[0]), "--node", "web"])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(f"GET / HTTP/1.1\r\nHost: web.local\r\n{name}: {EVIL}\r\n{name}: {EVIL}\r\n\r\n".encode())
            assert b"200" in client.recv(65536)
        assert forwarded(backend.requests[0]) == []

    def test_connection_cannot_name_it(self, start, backend, ca, ends):
        port = free_port()
        start(server_side(port, backend.port, "STRICT"), ["--identity", str(ends[0]), "--node", "web"])
        with connection(port, ca, ends[1]) as secure:
            secure.sendall(b"GET / HTTP/1.1\r\nHost: web.local\r\nConnection: X-Forwarded-Client-Cert\r\n\r\n")
            assert b"200" in secure.recv(65536)
        (value,) = forwarded(backend.requests[0])
        assert value.startswith("By=") and "URI=spiffe://cluster.local/ns/default/sa/client" in value

    def test_what_came_goes_where_both_were_too_long(self, start, backend, ca, ends):
        port = free_port()
        start(server_side(port, backend.port, "STRICT"), ["--identity", str(ends[0]), "--node", "web"])
        with connection(port, ca, ends[1]) as secure:
            secure.sendall(f"GET / HTTP/1.1\r\nHost: web.local\r\nX-Forwarded-Client-Cert: {'x' * 16300}\r\n\r\n".encode())
            assert b"200" in secure.recv(65536)
        (value,) = forwarded(backend.requests[0])
        assert value.startswith("By=spiffe://cluster.local/ns/default/sa/web;Hash=")

    def test_an_application_speaks_for_nobody(self, start, backend, ca, ends):
        """What a workload sends goes out without it, and comes in with the workload's own element alone."""
        server, client = ends
        port = free_port()
        start(server_side(port, backend.port, "STRICT"), ["--identity", str(server), "--node", "web"])
        outbound = start(client_side([port]), ["--identity", str(client)])
        assert outbound.get("/", host="api.local", headers={"X-Forwarded-Client-Cert": EVIL})[0] == 200
        (value,) = forwarded(backend.requests[0])
        assert value.startswith("By=spiffe://cluster.local/ns/default/sa/web;Hash=") and "admin" not in value

    @pytest.mark.parametrize("details, passes", [(None, False), ("SANITIZE", False), ("APPEND_FORWARD", False), ("ALWAYS_FORWARD_ONLY", True)])
    def test_a_gateway_without_tls_passes_it_only_when_told_so(self, start, backend, details, passes):
        port = free_port()
        gateway = f"""
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge, namespace: default}}
spec:
  servers:
  - {{port: {{number: {port}, name: http, protocol: HTTP}}, hosts: ["web.local"]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web, namespace: default}}
spec:
  hosts: [web.local]
  gateways: [edge]
  http: [{{route: [{{destination: {{host: web.local}}}}]}}]
"""
        config = mesh(backend.port, gateway)
        if details:
            setting = f"    defaultConfig: {{gatewayTopology: {{forwardClientCertDetails: {details}}}}}\n"
            config = config.replace("  meshConfig:\n", "  meshConfig:\n" + setting)
        start(config)
        assert http_get(port, "/", {"Host": "web.local", "X-Forwarded-Client-Cert": EVIL})[0] == 200
        assert forwarded(backend.requests[0]) == ([EVIL] if passes else [])


class TestExpiry:
    def test_every_certificate_in_use_has_its_seconds(self, start, backend, ca, ends, tmp_path):
        """The workload's, its root, and what a DestinationRule names."""
        server, client = ends
        other = MeshCA(tmp_path / "other", name="partner")
        issued = other.issue(tmp_path / "partner", ["DNS:partner.local"], subject="/CN=partner.local")
        rule = f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: api, namespace: default}}
spec:
  host: api.local
  trafficPolicy:
    tls:
      mode: MUTUAL
      clientCertificate: {issued / "tls.crt"}
      privateKey: {issued / "tls.key"}
      caCertificates: {other.certificate}
"""
        skein = start(client_side([free_port()], rule=rule), ["--identity", str(client)])
        day = 86_400
        for name, days in {"default": 1, "ROOTCA": 30, "CN=partner.local": 1, "CN=partner,O=cluster.local": 30}.items():
            seconds = skein.samples("skein_certificate_expiry_seconds", resource_name=name)
            assert (days - 0.1) * day < seconds <= days * day, (name, seconds)


class TestSpans:
    def test_both_ends_say_who_they_are(self, start, backend, ca, ends):
        server, client = ends
        port = free_port()
        inbound = start(server_side(port, backend.port, "STRICT"), ["--identity", str(server), "--node", "web"])
        outbound = start(client_side([port]), ["--identity", str(client)])
        assert outbound.get("/", host="api.local")[0] == 200

        def tags(skein):
            traces = json.loads(http_get(skein.ports["zipkin"], "/api/v2/traces")[2])
            return [span["tags"] for trace in traces for span in trace]

        for skein in (inbound, outbound):
            (found,) = wait_for(lambda: tags(skein), what="the span")
            assert found["source_principal"] == "spiffe://cluster.local/ns/default/sa/client"
            assert found["destination_principal"] == "spiffe://cluster.local/ns/default/sa/web"
            assert found["tls.protocol.version"] == "1.3"


class TestPrincipals:
    def test_who_sends_reports_both_ends_too(self, start, backend, ca, ends):
        """reporter=source says who both ends are where TLS is mutual, and leaves the policy unknown, as Istio (semantics 2.2)."""
        server, client = ends
        port = free_port()
        start(server_side(port, backend.port, "STRICT"), ["--identity", str(server), "--node", "web"])
        outbound = start(client_side([port]), ["--identity", str(client)])
        assert outbound.get("/", host="api.local")[0] == 200
        assert outbound.get("/", host="web.local")[0] in (200, 503), "without mutual TLS"
        sent = dict(reporter="source", connection_security_policy="unknown")
        mutual = dict(
            source_principal="spiffe://cluster.local/ns/default/sa/client", destination_principal="spiffe://cluster.local/ns/default/sa/web")
        assert outbound.samples("istio_requests_total", destination_service="api.local", **sent, **mutual) == 1
        plain = dict(source_principal="unknown", destination_principal="unknown")
        assert outbound.samples("istio_requests_total", destination_service="web.local", **sent, **plain) == 1


class TestReport:
    def test_who_stands_in_the_way_of_strict(self, start, backend, ca, ends):
        """Under PERMISSIVE the report names who still comes without TLS; a workload that nobody comes to so may be STRICT."""
        server, client = ends
        port = free_port()
        options = ["--identity", str(server), "--node", "web", "--metrics-interval", "1"]
        skein = start(server_side(port, backend.port, "PERMISSIVE"), options)

        def report(*arguments):
            command = [SKEIN, "mtls", "report", "--server", f"127.0.0.1:{skein.ports['zipkin']}", *arguments]
            return subprocess.run(command, capture_output=True, text=True, timeout=30)

        def workloads():
            done = report("-o", "json")
            assert done.returncode in (0, 1), done.stderr
            return json.loads(done.stdout)["workloads"]

        with connection(port, ca, client) as secure:
            assert b"200" in ask(secure)
        (safe,) = wait_for(workloads, what="the workload in the store")
        assert (safe["name"], safe["namespace"], safe["isStrictSafe"], safe["callers"]) == ("web", "default", True, [])
        assert "web.default: STRICT is safe: 1 requests" in report().stdout and report().returncode == 0
        began = time.time()
        assert plain(port) == 200 and plain(port) == 200

        def unsafe():
            return [workload for workload in workloads() if not workload["isStrictSafe"] and workload["callers"][0]["connections"] == 2]

        (found,) = wait_for(unsafe, what="the caller without TLS")
        (caller,) = found["callers"]
        assert (caller["source"], caller["port"], caller["protocol"]) == ("127.0.0.1", str(port), "http")
        assert abs(caller["last"] - began) < 10
        done = report()
        assert done.returncode == 1 and "STRICT would shut out 1 of its callers" in done.stdout, done.stdout
