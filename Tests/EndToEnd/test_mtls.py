"""Mutual TLS between workloads: who is taken, who is refused and why, and that renewals cost nobody a request."""

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

from conftest import access_log, free_port, http_get, mesh, wait_for
from mesh_ca import MeshCA, run

ISTIO = ["istio-http/1.1", "istio"]


def server_side(port, backend_port, mode=None, extra="", account="web"):
    """A workload `web` with an inbound listener on `port`."""
    policy = ""
    if mode:
        policy = f"""
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default, namespace: default}}
spec: {{mtls: {{mode: {mode}}}}}
"""
    return mesh(
        backend_port,
        f"""
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: web, namespace: default}}
spec: {{address: 127.0.0.1, serviceAccount: {account}, labels: {{app: web}}}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: web, namespace: default}}
spec:
  workloadSelector: {{labels: {{app: web}}}}
  ingress:
  - port: {{number: {port}, protocol: HTTP, name: http}}
    defaultEndpoint: 127.0.0.1:{backend_port}
{policy}{extra}""",
    )


def client_side(ports, account="web", label="istio", rule="", protocol="HTTP"):
    """A service `api.local` whose endpoints are proxied workloads."""
    endpoints = "".join(
        f"\n  - {{address: 127.0.0.1, ports: {{http: {port}}}, serviceAccount: {account}, labels: {{security.istio.io/tlsMode: {label}}}}}"
        for port in ports
    )
    return mesh(
        9,
        f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: api, namespace: default}}
spec:
  hosts: [api.local]
  resolution: STATIC
  location: MESH_INTERNAL
  ports: [{{number: 80, name: http, protocol: {protocol}}}]
  endpoints:{endpoints}
{rule}""",
    )


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return MeshCA(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def web(start, backend, ca, tmp_path):
    """Starts the workload's proxy; `identity` and `port` are its."""

    def begin(mode=None, extra="", arguments=(), **options):
        identity = ca.workload(tmp_path / "web", "web", **options)
        port = free_port()
        skein = start(server_side(port, backend.port, mode, extra), ["--identity", str(identity), "--node", "web", *arguments])
        skein.inbound, skein.identity, skein.backend = port, identity, backend
        return skein

    return begin


@contextlib.contextmanager
def connection(port, ca, identity=None, alpn=ISTIO, version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(str(ca.certificate))
    if identity:
        context.load_cert_chain(str(identity / "tls.crt"), str(identity / "tls.key"))
    if alpn:
        context.set_alpn_protocols(alpn)
    if version:
        context.maximum_version = version
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain, context.wrap_socket(plain) as secure:
        yield secure


def ask(secure, path="/"):
    secure.sendall(f"GET {path} HTTP/1.1\r\nHost: web.local\r\n\r\n".encode())
    return secure.recv(65536)


def plain(port):
    """What a client without TLS gets: a status, or nothing."""
    try:
        return http_get(port, "/", {"Host": "web.local"})[0]
    except Exception:
        return None


class TestInbound:
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_strict_takes_the_mesh_alone(self, web, ca, tmp_path, version):
        skein = web("STRICT")
        client = ca.workload(tmp_path / "client", "client")
        with connection(skein.inbound, ca, client, version=version) as secure:
            assert secure.selected_alpn_protocol() == "istio-http/1.1"
            for number in range(3):
                assert ask(secure, f"/{number}").startswith(b"HTTP/1.1 200")
        assert plain(skein.inbound) is None
        wait_for(lambda: "sent plaintext" in skein.log(), what="the refusal in the log")
        assert "PeerAuthentication STRICT" in skein.log()
        page = skein.metrics()[2].decode()
        assert sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith("skein_proxy_plaintext_refused_total")) == 1
        (series,) = [line for line in page.splitlines() if line.startswith("istio_requests_total{") and "destination" in line]
        assert 'source_principal="spiffe://cluster.local/ns/default/sa/client"' in series and series.endswith(" 3")
        assert 'destination_principal="spiffe://cluster.local/ns/default/sa/web"' in series
        assert 'connection_security_policy="mutual_tls"' in series

    def test_permissive_takes_both(self, web, ca, tmp_path):
        skein = web("PERMISSIVE")
        assert plain(skein.inbound) == 200
        with connection(skein.inbound, ca, ca.workload(tmp_path / "client", "client")) as secure:
            assert ask(secure).startswith(b"HTTP/1.1 200")
        page = skein.metrics()[2].decode()
        series = [line for line in page.splitlines() if line.startswith("istio_requests_total{")]
        assert len(series) == 2 and sum('connection_security_policy="none"' in line for line in series) == 1

    def test_without_a_policy_it_is_permissive(self, web, ca, tmp_path):
        skein = web()
        assert plain(skein.inbound) == 200
        with connection(skein.inbound, ca, ca.workload(tmp_path / "client", "client")) as secure:
            assert ask(secure).startswith(b"HTTP/1.1 200")

    def test_disable_takes_plaintext_alone(self, web, ca, tmp_path):
        skein = web("DISABLE")
        assert plain(skein.inbound) == 200
        with pytest.raises((ssl.SSLError, ConnectionError, socket.timeout)):
            with connection(skein.inbound, ca, ca.workload(tmp_path / "client", "client")) as secure:
                ask(secure)

    def test_one_port_may_differ(self, web, ca, start, backend, tmp_path):
        identity = ca.workload(tmp_path / "web", "web")
        port = free_port()
        policy = f"""
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: web, namespace: default}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  mtls: {{mode: STRICT}}
  portLevelMtls: {{{port}: {{mode: DISABLE}}}}
"""
        skein = start(server_side(port, backend.port, "STRICT", policy), ["--identity", str(identity), "--node", "web"])
        assert plain(port) == 200 and skein.process.poll() is None

    def test_the_listeners_own_port_is_no_way_around_the_applications(self, ca, start, backend, tmp_path):
        identity = ca.workload(tmp_path / "web", "web")
        text = f"""
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: web, namespace: default}}
spec: {{address: 127.0.0.1, serviceAccount: web, labels: {{app: web}}, ports: {{http: {backend.port}}}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: web, namespace: default}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  mtls: {{mode: DISABLE}}
  portLevelMtls: {{{backend.port}: {{mode: STRICT}}}}
"""
        skein = start(mesh(backend.port, text), ["--identity", str(identity), "--node", "web"])
        with connection(skein.ports["inbound"], ca, ca.workload(tmp_path / "client", "client")) as secure:
            assert ask(secure).startswith(b"HTTP/1.1 200")
        assert plain(skein.ports["inbound"]) is None

    @pytest.mark.parametrize(
        "names, options, reason",
        [
            ([], {}, "no URI name"),
            (["URI:spiffe://cluster.local/ns/a/sa/b", "URI:spiffe://cluster.local/ns/a/sa/c"], {}, "2 URI names"),
            (["DNS:web.local"], {}, "no URI name"),
            (["URI:spiffe://other.local/ns/a/sa/b"], {}, "the trust domain other.local is not trusted"),
            (["URI:spiffe://Cluster.local/ns/a/sa/b"], {}, "trust domain that is empty"),
            (["URI:spiffe://cluster.local/ns/a/sa/../b"], {}, "empty segment, . or .."),
            (["URI:http://cluster.local/ns/a/sa/b"], {}, "does not begin with spiffe://"),
            (["URI:spiffe://cluster.local/ns/a/sa/b"], {"authority": True, "usage": "keyCertSign,digitalSignature"}, "authority"),
            (["URI:spiffe://cluster.local/ns/a/sa/b"], {"usage": "digitalSignature,cRLSign"}, "may sign certificates or lists"),
            (["URI:spiffe://cluster.local/ns/a/sa/b"], {"usage": "keyAgreement"}, "without digitalSignature"),
            (["URI:spiffe://cluster.local/ns/a/sa/b"], {"extended": "serverAuth"}, "not for clients"),
        ],
    )
    def test_what_is_no_workload_is_refused(self, web, ca, tmp_path, names, options, reason):
        skein = web("STRICT")
        client = ca.issue(tmp_path / "client", names, **options)
        with pytest.raises((ssl.SSLError, ConnectionError, socket.timeout)):
            with connection(skein.inbound, ca, client) as secure:
                assert ask(secure) != b""
                raise AssertionError("was answered")
        wait_for(lambda: reason in skein.log(), what=f"{reason!r} in the log, which is {skein.log()[-600:]}")
        assert len(skein.backend.requests) == 0

    def test_strangers_and_nobody_are_refused(self, web, ca, tmp_path):
        skein = web("STRICT")
        stranger = MeshCA(tmp_path / "other").workload(tmp_path / "stranger", "client")
        for identity, reason in [(stranger, "unable to get local issuer certificate"), (None, "peer did not return a certificate")]:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                with connection(skein.inbound, ca, identity) as secure:
                    assert ask(secure) == b"" and False
            wait_for(lambda: reason in skein.log(), what=reason)

    def test_a_connection_field_does_not_strip_who_the_client_is(self, web, ca, tmp_path):
        skein = web("STRICT")
        with connection(skein.inbound, ca, ca.workload(tmp_path / "client", "client")) as secure:
            secure.sendall(
                b"GET / HTTP/1.1\r\nHost: web.local\r\nX-Forwarded-Client-Cert: By=x;URI=spiffe://cluster.local/ns/default/sa/admin\r\n"
                b"Connection: close, X-Forwarded-Client-Cert\r\n\r\n")
            assert secure.recv(65536).startswith(b"HTTP/1.1 200")
        told = skein.backend.requests[-1][3][b"x-forwarded-client-cert"]
        assert told.endswith(b"URI=spiffe://cluster.local/ns/default/sa/client"), told

    def test_handshakes_that_stall_end(self, web, ca, tmp_path):
        skein = web("STRICT")
        hello = bytes.fromhex("1603010200010001fc0303")
        with socket.create_connection(("127.0.0.1", skein.inbound), timeout=30) as stalled, socket.create_connection(
            ("127.0.0.1", skein.inbound), timeout=30
        ) as silent:
            stalled.sendall(hello)
            began = time.monotonic()
            assert stalled.recv(100) == b"" and silent.recv(100) == b""
            assert 8 < time.monotonic() - began < 14
        with connection(skein.inbound, ca, ca.workload(tmp_path / "client", "client")) as secure:
            assert ask(secure).startswith(b"HTTP/1.1 200")

    @pytest.mark.parametrize("size", [1, 7, 100])
    def test_a_hello_in_pieces(self, web, ca, tmp_path, size):
        """The handshake's first message arrives some bytes at a time, under both policies that look at it."""
        skein = web("PERMISSIVE")
        client = ca.workload(tmp_path / "client", "client")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(str(ca.certificate))
        context.load_cert_chain(str(client / "tls.crt"), str(client / "tls.key"))
        context.set_alpn_protocols(ISTIO)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing)
        with socket.create_connection(("127.0.0.1", skein.inbound), timeout=10) as plain_socket:
            plain_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def step(body):
                while True:
                    try:
                        return body()
                    except ssl.SSLWantReadError:
                        data = outgoing.read()
                        for start in range(0, len(data), size):
                            plain_socket.sendall(data[start : start + size])
                        incoming.write(plain_socket.recv(65536))

            step(session.do_handshake)
            session.write(b"GET / HTTP/1.1\r\nHost: web.local\r\n\r\n")
            assert step(lambda: session.read(65536)).startswith(b"HTTP/1.1 200")


class TestOutbound:
    @pytest.fixture
    def caller(self, start, ca, tmp_path):
        def begin(ports, account="web", label="istio", rule="", name="client"):
            identity = ca.workload(tmp_path / name, name)
            skein = start(client_side(ports, account, label, rule), ["--identity", str(identity)])
            skein.identity = identity
            return skein

        return begin

    def test_from_proxy_to_proxy(self, web, caller, ca):
        server = web("STRICT")
        client = caller([server.inbound])
        for number in range(20):
            status, headers, body = client.get(f"/{number}", host="api.local")
            assert status == 200, client.log()[-800:]
        assert len(server.backend.requests) == 20
        page = server.metrics()[2].decode()
        assert 'source_principal="spiffe://cluster.local/ns/default/sa/client"' in page
        handshakes = [line for line in client.metrics()[2].decode().splitlines() if line.startswith("skein_proxy_upstream_tls_handshakes_total")]
        assert 1 <= sum(float(line.split()[-1]) for line in handshakes) <= 4, "connections are kept"

    def test_sessions_are_resumed(self, web, caller):
        """Connections after the first need no whole handshake, whichever worker takes them; a renewed certificate begins anew."""
        rule = """
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: api, namespace: default}
spec: {host: api.local, trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}}
"""
        server = web("STRICT", arguments=["--workers", "2"])
        client = caller([server.inbound], rule=rule)
        for number in range(40):
            assert client.get(f"/{number}", host="api.local")[0] == 200, client.log()[-800:]
        handshakes, resumed = (client.samples(f"skein_proxy_upstream_tls_{what}_total") for what in ("handshakes", "resumptions"))
        workers = 2
        assert handshakes == 40 and resumed >= 40 - workers, (handshakes, resumed)
        assert server.samples("skein_proxy_tls_resumptions_total") == resumed
        page = server.metrics()[2].decode()
        (line,) = [l for l in page.splitlines() if l.startswith("istio_requests_total") and 'reporter="destination"' in l]
        assert 'source_principal="spiffe://cluster.local/ns/default/sa/client"' in line and line.endswith(" 40"), line

    @pytest.mark.parametrize("probe", ["http: {path: /healthz}", "tcp: {}"])
    @pytest.mark.parametrize("protocol", ["HTTP", "HTTP2"])
    def test_probes_are_secured_as_requests_are(self, web, start, ca, tmp_path, probe, protocol):
        """An endpoint under STRICT passes its checks, and one that cannot show who it is does not."""
        server = web("STRICT")
        policy = f"""
---
apiVersion: skein.io/v1
kind: UpstreamPolicy
metadata: {{name: api, namespace: default}}
spec: {{host: api.local, healthCheck: {{interval: 100ms, unhealthyThreshold: 1, {probe}}}}}
"""
        identity = ca.workload(tmp_path / "client", "client")
        good = start(client_side([server.inbound], rule=policy, protocol=protocol), ["--identity", str(identity)])
        wait_for(lambda: good.samples("skein_health_checks_total", result="passed") >= 3, what="passed checks")
        assert good.samples("skein_health_checks_total", result="failed") == 0, good.log()[-800:]
        if probe.startswith("http"):
            assert {r[0] for r in server.backend.requests} == {b"GET /healthz HTTP/1.1"}
        assert good.get("/", host="api.local")[0] == 200
        text = client_side([server.inbound], account="somebody-else", rule=policy, protocol=protocol)
        wary = start(text, ["--identity", str(identity)])
        wait_for(lambda: wary.samples("skein_endpoints_unhealthy") == 1, what="the endpoint to be found ill")
        assert wary.samples("skein_health_checks_total", result="passed") == 0

    def test_http2_between_proxies(self, web, start, ca, tmp_path):
        server = web("STRICT")
        identity = ca.workload(tmp_path / "client", "client")
        client = start(client_side([server.inbound], protocol="HTTP2"), ["--identity", str(identity)])
        for number in range(10):
            assert client.get(f"/{number}", host="api.local")[0] == 200, client.log()[-800:]
        body = b"x" * 300_000
        status, _, answer = client.get("/echo", host="api.local", method="POST", body=body)
        assert status == 200
        page = server.metrics()[2].decode()
        assert sum(float(l.split()[-1]) for l in page.splitlines() if l.startswith("skein_proxy_http2_connections_total")) >= 1

    def test_an_endpoint_must_be_its_own_service_account(self, web, caller):
        server = web("STRICT")
        client = caller([server.inbound], account="somebody-else")
        status, _, body = client.get("/", host="api.local")
        assert status == 503 and b"TLS" in body
        wait_for(lambda: "and spiffe://cluster.local/ns/default/sa/somebody-else is wanted" in client.log(), what="the reason in the log")
        (line,) = access_log(client)
        assert line["flags"] in ("UF", "UF,URX", "URX,UF") and "TLS_error" in line["details"]
        assert len(server.backend.requests) == 0

    def test_without_the_label_it_is_plaintext(self, web, caller):
        server = web("PERMISSIVE")
        client = caller([server.inbound], label="disabled")
        assert client.get("/", host="api.local")[0] == 200
        assert 'connection_security_policy="none"' in server.metrics()[2].decode()

    def test_a_rule_has_the_last_word(self, web, caller):
        rule = """
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: api, namespace: default}
spec: {host: api.local, trafficPolicy: {tls: {mode: DISABLE}}}
"""
        server = web("STRICT")
        client = caller([server.inbound], rule=rule)
        assert client.get("/", host="api.local")[0] == 503
        wait_for(lambda: "sent plaintext" in server.log(), what="the server's refusal")

    def test_an_authority_as_openssl_makes_it_will_do(self, start, tmp_path):
        """Without keyUsage, which RFC 5280 demands and `openssl req -x509` leaves out."""
        run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", tmp_path / "key.pem", "-out",
            tmp_path / "root.pem", "-days", 2, "-subj", "/CN=root")
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", tmp_path / "tls.key", "-out",
            tmp_path / "request.pem", "-subj", "/CN=api.local")
        (tmp_path / "names").write_text("subjectAltName=DNS:api.local\n")
        run("x509", "-req", "-in", tmp_path / "request.pem", "-CA", tmp_path / "root.pem", "-CAkey", tmp_path / "key.pem",
            "-CAcreateserial", "-days", 2, "-extfile", tmp_path / "names", "-out", tmp_path / "tls.crt")
        with https_server(tmp_path / "tls.crt", tmp_path / "tls.key") as port:
            skein = start(client_side([port], label="disabled", rule=simple(tmp_path / "root.pem")))
            assert skein.get("/", host="api.local")[::2] == (200, b"ok"), skein.log()[-800:]

    @pytest.mark.parametrize("fits", [True, False])
    def test_simple_tls_to_a_server_of_others(self, start, ca, tmp_path, fits):
        """An nginx-like server with a certificate for a host: verified by name, and refused under another."""
        identity = ca.issue(tmp_path / "server", ["DNS:api.local" if fits else "DNS:other.local"])
        names = []
        with https_server(identity / "tls.crt", identity / "tls.key", names) as port:
            skein = start(client_side([port], label="disabled", rule=simple(ca.certificate)))
            status, _, body = skein.get("/", host="api.local")
            if fits:
                assert (status, body) == (200, b"ok"), skein.log()[-800:]
                assert names[0] == "api.local"
            else:
                assert status == 503
                wait_for(lambda: "it is not for api.local" in skein.log(), what="the reason in the log")


    @pytest.mark.parametrize("named", [True, False])
    def test_mutual_tls_with_files_of_others(self, start, ca, tmp_path, named):
        """The client's pair by paths or by a credential's name; a renewed one is shown without a reload, a revoked server refused."""
        server = ca.issue(tmp_path / "server", ["DNS:api.local"])
        shown = []
        pair = ca.issue(tmp_path / "credentials" / "caller", ["DNS:one.local"])
        tls = "credentialName: caller" if named else (
            f"clientCertificate: {pair}/tls.crt, privateKey: {pair}/tls.key, caCertificates: {pair}/ca.crt")
        rule = simple("/nowhere").replace("mode: SIMPLE, caCertificates: /nowhere", f"mode: MUTUAL, {tls}").replace(
            "trafficPolicy: {", "trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}, ")
        with https_server(server / "tls.crt", server / "tls.key", clients=(ca.certificate, shown)) as port:
            skein = start(client_side([port], label="disabled", rule=rule), ["--credentials", str(tmp_path / "credentials")])
            assert skein.get("/", host="api.local")[::2] == (200, b"ok"), skein.log()[-800:]
            assert shown[-1] == "one.local"
            fresh = ca.issue(tmp_path / "fresh", ["DNS:two.local"])
            for name in ("tls.key", "tls.crt"):
                shutil.copy(fresh / name, pair / (name + ".new"))
                (pair / (name + ".new")).rename(pair / name)
            wait_for(lambda: "is renewed" in skein.log(), seconds=20, what="the renewal")
            # Workers adopt it in their next turns.
            wait_for(lambda: skein.get("/", host="api.local")[0] == 200 and shown[-1] == "two.local", what="the new certificate")

    def test_a_revoked_server_is_refused(self, start, ca, tmp_path):
        server = ca.issue(tmp_path / "server", ["DNS:api.local"])
        ca.revoke(tmp_path / "list.pem")
        rule = simple(f"{ca.certificate}, caCrl: {tmp_path}/list.pem")
        with https_server(server / "tls.crt", server / "tls.key") as port:
            text = client_side([port], label="disabled", rule=rule)
            good = start(text, ["--workers", "1"])
            assert good.get("/", host="api.local")[0] == 200, good.log()[-800:]
            ca.revoke(tmp_path / "list.pem", server)
            wait_for(lambda: "is renewed" in good.log(), seconds=20, what="the new list")
            # The connection of before is no way to it either.
            wait_for(lambda: good.get("/", host="api.local")[0] == 503, what="the refusal")
            good.stop()
            bad = start(text, ["--workers", "1"])
            assert bad.get("/", host="api.local")[0] == 503
            wait_for(lambda: "revoked" in bad.log(), what="the reason in the log")


def simple(authorities):
    """A rule for TLS of its own to `api.local`."""
    return f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: api, namespace: default}}
spec: {{host: api.local, trafficPolicy: {{tls: {{mode: SIMPLE, caCertificates: {authorities}}}}}}}
"""


@contextlib.contextmanager
def https_server(certificate, key, names=None, clients=None):
    """A server of others that answers every request with `ok`; the server names that it was asked for go to `names`. `clients`: it demands
    certificates under an authority, and their host names go to a list."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(certificate), str(key))
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(str(clients[0]))
    if names is not None:
        context.sni_callback = lambda session, name, _: names.append(name)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                plain_socket, _ = listener.accept()
                with context.wrap_socket(plain_socket, server_side=True) as secure:
                    if clients:
                        clients[1].append(dict(secure.getpeercert()["subjectAltName"])["DNS"])
                    while secure.recv(65536):
                        secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            except OSError:
                if listener.fileno() < 0:
                    return

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


class TestRenewal:
    def test_renewals_cost_no_request(self, web, start, ca, tmp_path):
        """Certificates of both ends are renewed under load: no request fails, and new connections show the new one."""
        server = web("STRICT")
        identity = ca.workload(tmp_path / "client", "client")
        client = start(client_side([server.inbound]), ["--identity", str(identity)])
        failures, stop = [], threading.Event()

        def load():
            while not stop.is_set():
                status = client.get("/", host="api.local")[0]
                if status != 200:
                    failures.append(status)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        for round_number in range(2):
            for directory, account, skein in [(server.identity, "web", server), (identity, "client", client)]:
                fresh = ca.workload(tmp_path / f"fresh-{account}-{round_number}", account)
                for name in ["tls.key", "tls.crt"]:
                    shutil.copy(fresh / name, directory / (name + ".new"))
                    (directory / (name + ".new")).rename(directory / name)
                renewed = f"certificate renewed: this workload is spiffe://cluster.local/ns/default/sa/{account}"
                wait_for(lambda: skein.log().count(renewed) == round_number + 1, seconds=20, what="the renewal")
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        with connection(server.inbound, ca, identity) as secure:
            shown = ssl.DER_cert_to_PEM_cert(secure.getpeercert(binary_form=True))
        assert shown.split() == (server.identity / "tls.crt").read_text().split()

    def test_half_written_pairs_are_not_used(self, web, ca, tmp_path):
        skein = web("STRICT")
        client = ca.workload(tmp_path / "client", "client")
        before = (skein.identity / "tls.crt").read_bytes()
        (skein.identity / "tls.crt").write_bytes(ca.workload(tmp_path / "other", "web").joinpath("tls.crt").read_bytes())
        wait_for(lambda: "the new certificate is not used" in skein.log(), seconds=20, what="the refusal")
        assert "private key is not the one" in skein.log()
        with connection(skein.inbound, ca, client) as secure:
            assert ask(secure).startswith(b"HTTP/1.1 200")
            assert ssl.DER_cert_to_PEM_cert(secure.getpeercert(binary_form=True)).split() == before.decode().split()

    @pytest.mark.parametrize(
        "harm, reason",
        [
            (lambda d, ca: (d / "tls.key").chmod(0o666), "may be written by everybody"),
            (lambda d, ca: (d / "tls.key").unlink(), "tls.key: No such file"),
            (lambda d, ca: (d / "tls.crt").write_text("hello"), "no certificate in PEM"),
            (lambda d, ca: (d / "ca.crt").write_bytes(MeshCA(d / "x").certificate.read_bytes()), "is not under ca.crt"),
            (lambda d, ca: shutil.rmtree(d), "has no certificate"),
        ],
    )
    def test_a_start_without_a_good_set_says_why(self, ca, tmp_path, harm, reason, start):
        identity = ca.workload(tmp_path / "web", "web")
        harm(identity, ca)
        skein = start(None, ["--identity", str(identity)], ready=False)
        assert skein.process.wait(20) == 65
        assert reason in skein.log() and "PRIVATE" not in skein.log()


def envoy_tls(identity, kind, extra=""):
    """Envoy's transport socket with our certificates: `Downstream` or `Upstream`."""
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{kind}TlsContext",
            **({"require_client_certificate": True} if kind == "Downstream" else {"sni": "api.local"}),
            "common_tls_context": {
                "alpn_protocols": ["istio-http/1.1", "istio"],
                "tls_certificates": [
                    {"certificate_chain": {"filename": str(identity / "tls.crt")}, "private_key": {"filename": str(identity / "tls.key")}}
                ],
                "validation_context": {"trusted_ca": {"filename": str(identity / "ca.crt")}},
            },
        },
    }


@contextlib.contextmanager
def envoy(tmp_path, upstream, downstream=None, towards=None):
    """A real Envoy in front of `upstream`; `downstream` and `towards` are the identities it shows to clients and to the upstream."""
    from envoy_peer import ENVOY

    port = free_port()
    chain = {
        "filters": [
            {
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                    "stat_prefix": "in",
                    "forward_client_cert_details": "SANITIZE_SET",
                    "set_current_client_cert_details": {"uri": True},
                    "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}]}]},
                    "http_filters": [
                        {"name": "envoy.filters.http.router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}
                    ],
                },
            }
        ]
    }
    if downstream:
        chain["transport_socket"] = envoy_tls(downstream, "Downstream")
    cluster = {
        "name": "up",
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": "up",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": upstream}}}}]}],
        },
    }
    if towards:
        cluster["transport_socket"] = envoy_tls(towards, "Upstream")
    config = {
        "static_resources": {
            "listeners": [{"name": "in", "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}, "filter_chains": [chain]}],
            "clusters": [cluster],
        }
    }
    path = tmp_path / f"envoy-{port}.json"
    path.write_text(json.dumps(config))
    process = subprocess.Popen([ENVOY, "-c", path, "--base-id", str(port), "--concurrency", "1", "-l", "error"], stderr=open(tmp_path / "envoy.log", "wb"))
    try:

        def listening():
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return True

        wait_for(listening, seconds=30, what="Envoy")
        yield port
    finally:
        process.kill()
        process.wait()


class TestEnvoyAsPeer:
    def test_envoy_calls_a_strict_workload(self, web, ca, tmp_path):
        server = web("STRICT")
        with envoy(tmp_path, server.inbound, towards=ca.workload(tmp_path / "caller", "caller")) as port:
            for number in range(10):
                assert http_get(port, f"/{number}", {"Host": "web.local"})[0] == 200, server.log()[-600:]
        page = server.metrics()[2].decode()
        assert 'source_principal="spiffe://cluster.local/ns/default/sa/caller"' in page and 'connection_security_policy="mutual_tls"' in page

    def test_envoy_is_called(self, start, backend, ca, tmp_path):
        identity = ca.workload(tmp_path / "client", "client")
        with envoy(tmp_path, backend.port, downstream=ca.workload(tmp_path / "web", "web")) as port:
            client = start(client_side([port]), ["--identity", str(identity)])
            for number in range(10):
                assert client.get(f"/{number}", host="api.local")[0] == 200, client.log()[-600:]
        assert any(b"spiffe://cluster.local/ns/default/sa/client" in bytes(str(request), "utf8") for request in backend.requests)


class TestSecrets:
    def test_keys_are_nowhere(self, web, ca, tmp_path):
        """Not in logs, dumps or metrics; and no core file would hold them."""
        skein = web("STRICT")
        with connection(skein.inbound, ca, ca.workload(tmp_path / "client", "client")) as secure:
            ask(secure)
        key = "".join((skein.identity / "tls.key").read_text().splitlines()[1:-1])[:24]
        pages = [http_get(skein.ports["admin"], path)[2] for path in ("/config_dump", "/clusters", "/stats", "/")]
        pages += [skein.metrics()[2], skein.log().encode()]
        for page in pages:
            assert b"PRIVATE KEY" not in page and key.encode() not in page
        limits = open(f"/proc/{skein.process.pid}/limits").read()
        (line,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
        assert line.split()[4:6] == ["0", "0"]
