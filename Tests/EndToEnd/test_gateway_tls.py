"""TLS that gateways terminate: who is let in, by which server, with which certificate, and that renewals cost nobody a request."""

import base64
import contextlib
import hashlib
import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

from conftest import ROOT, SKEIN, Backend, access_log, free_port, http_get, mesh, wait_for
from mesh_ca import MeshCA, run
from test_gateway import answering, edge, rule, service
from test_mtls import client_side, server_side
from test_tcp import Echo

ARGUMENTS = ["--node", "edge", "--workers", "2"]


class Certificates:
    """Credentials as Kubernetes mounts them, and clients' certificates, by two authorities."""

    def __init__(self, directory):
        self.directory = directory
        self.servers = MeshCA(directory / "servers", name="servers")
        self.clients = MeshCA(directory / "clients", name="clients")
        self.foreign = MeshCA(directory / "foreign", name="foreign")
        self.made = directory / "made"

    def server(self, out, *names, **options):
        return self.servers.issue(out, [f"DNS:{name}" for name in names], extended="serverAuth", **options)

    def client(self, name, ca=None, **options):
        return (ca or self.clients).issue(self.made / name, [f"DNS:{name}"], extended="clientAuth", **options)

    def expired(self, name):
        """The same, over since yesterday."""
        out = self.client(name)
        run(
            "x509", "-req", "-in", out / "request.pem", "-CA", self.clients.certificate, "-CAkey", self.clients.key, "-days", "-1",
            "-extfile", out / "extensions", "-out", out / "tls.crt",
        )
        return out

    def revoke(self, *revoked):
        """The list of what the clients' authority takes back."""
        return self.clients.revoke(self.directory / "list.pem", *revoked)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def credentials(tmp_path, certificates):
    """A directory for `--credentials` with `web` for web.example and its wildcard, and the clients' authority."""
    directory = tmp_path / "credentials"
    certificates.server(directory / "web", "web.example", "*.web.example")
    shutil.copy(certificates.clients.certificate, directory / "web/ca.crt")
    return directory


def server(name, hosts, tls, protocol="HTTPS", number=443):
    return f"""
  - port: {{number: {number}, name: {name}, protocol: {protocol}}}
    hosts: {hosts}
    tls: {tls}
"""


def trusting(certificates, client=None, protocols=None, verify=True):
    context = ssl.create_default_context(cafile=certificates.servers.certificate)
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if client:
        context.load_cert_chain(client / "tls.crt", client / "tls.key")
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


def ask(port, host, context, name="", path="/", sni=True):
    """The response to one request over a connection of its own; an exception where there is none."""
    with secured(port, context, (name or host) if sni else None) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := client.recv(65536):
                received += piece
    return received


def status(response):
    match = re.match(rb"HTTP/1.1 (\d+)", response)
    return int(match[1]) if match else 0


def outcome(*arguments, **options):
    """A status, or `refused`."""
    try:
        return status(ask(*arguments, **options)) or "refused"
    except (ssl.SSLError, ConnectionError):
        return "refused"


@contextlib.contextmanager
def gateway(start, credentials, servers, rules, *services, extra="", arguments=(), ready=True):
    port = free_port()
    config = mesh(9, edge(port, servers.replace("number: 443", f"number: {port}"), rules, "".join(services) + extra, ports="{}"))
    skein = start(config, [*ARGUMENTS, "--credentials", str(credentials), *arguments])
    yield port, skein


def web(start, credentials, servers, backend, host="web.example"):
    """A gateway that routes one host to one backend."""
    return gateway(start, credentials, servers, rule("web", f'["{host}"]', "api.local"), service("api.local", backend.port))


def secured(port, context, name="web.example"):
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=5), server_hostname=name)


def said(skein, *texts):
    """Waits until the log has all of these."""
    wait_for(lambda: all(text in skein.log() for text in texts), what=f"{texts} in the log")


def test_https_routes_by_host_and_http_version(start, certificates, credentials):
    backend = Backend()
    servers = server("https", '["web.example"]', "{mode: SIMPLE, credentialName: web}")
    rules = rule("web", '["web.example"]', "api.local")
    with gateway(start, credentials, servers, rules, service("api.local", backend.port)) as (port, skein):
        context = trusting(certificates)
        assert status(ask(port, "web.example", context)) == 200
        assert backend.requests[-1][3][b"x-forwarded-proto"] == b"https"
        for version, expected in (("--http1.1", "1.1"), ("--http2", "2")):
            out = subprocess.run(
                ["curl", "-sS", version, "--cacert", certificates.servers.certificate, "--resolve", f"web.example:{port}:127.0.0.1",
                 "-o", "/dev/null", "-w", "%{http_code} %{http_version}", f"https://web.example:{port}/"],
                capture_output=True, text=True, timeout=20)
            assert out.stdout == f"200 {expected}", (out.stdout, out.stderr)
        # A host of another server, or of none, is not answered here.
        assert status(ask(port, "elsewhere.example", context, name="web.example")) == 404
    backend.close()


def test_who_is_let_in(start, certificates, credentials):
    """Every mode with every kind of client certificate; one server for each mode, told apart by its name."""
    backend = Backend()
    right, revoked = certificates.client("right"), certificates.client("revoked")
    clients = {
        "none": None, "right": right, "foreign": certificates.client("stranger", certificates.foreign),
        "expired": certificates.expired("late"), "revoked": revoked,
    }
    certificates.server(credentials / "all", "*.modes.example")
    shutil.copy(certificates.revoke(revoked), credentials / "all/ca.crl")
    # As Istio looks for it: a credential for the authorities alone comes before ca.crt beside the certificate.
    (credentials / "all-cacert").mkdir()
    shutil.copy(certificates.clients.certificate, credentials / "all-cacert/ca.crt")
    shutil.copy(certificates.foreign.certificate, credentials / "all/ca.crt")
    shutil.copy(credentials / "all/ca.crl", credentials / "all-cacert/ca.crl")
    modes = {"simple": "SIMPLE", "mutual": "MUTUAL", "optional": "OPTIONAL_MUTUAL"}
    servers = "".join(
        server(name, f'["{name}.modes.example"]', f"{{mode: {mode}, credentialName: all}}") for name, mode in modes.items()
    )
    rules = rule("all", '["*.modes.example"]', "api.local")
    expected = {
        "SIMPLE": dict(none=200, right=200, foreign=200, expired=200, revoked=200),
        "MUTUAL": dict(none="refused", right=200, foreign="refused", expired="refused", revoked="refused"),
        "OPTIONAL_MUTUAL": dict(none=200, right=200, foreign="refused", expired="refused", revoked="refused"),
    }
    with gateway(start, credentials, servers, rules, service("api.local", backend.port)) as (port, skein):
        for name, mode in modes.items():
            found = {kind: outcome(port, f"{name}.modes.example", trusting(certificates, client)) for kind, client in clients.items()}
            assert found == expected[mode], mode
            # A server name is no way around another server's demands: its hosts are not served here.
            other = "simple" if name != "simple" else "mutual"
            assert outcome(port, f"{other}.modes.example", trusting(certificates, right), name=f"{name}.modes.example") == 404
        said(skein, "certificate revoked", "certificate has expired", "did not return a certificate")
        assert skein.samples("skein_proxy_tls_handshake_failures_total") >= 7
    backend.close()


def test_mutual_of_the_mesh(start, certificates, tmp_path, credentials):
    mesh_root = MeshCA(tmp_path / "mesh")
    backend = Backend()
    servers = server("mesh", '["*"]', "{mode: ISTIO_MUTUAL}")
    rules = rule("web", '["web.example"]', "api.local")
    identity = mesh_root.workload(tmp_path / "identity", "edge")
    arguments = ["--identity", str(identity)]
    with gateway(start, credentials, servers, rules, service("api.local", backend.port), arguments=arguments) as (port, skein):
        def with_certificate(out):
            context = ssl.create_default_context(cafile=mesh_root.certificate)
            context.check_hostname = False
            if out:
                context.load_cert_chain(out / "tls.crt", out / "tls.key")
            return context

        assert outcome(port, "web.example", with_certificate(mesh_root.workload(tmp_path / "peer", "peer"))) == 200
        assert outcome(port, "web.example", with_certificate(None)) == "refused"
        assert outcome(port, "web.example", with_certificate(certificates.client("outsider"))) == "refused"
    backend.close()


def test_the_server_name_chooses(start, certificates, credentials):
    """Exact, then the longest wildcard, then `*`, which also takes clients without a name."""
    names = {"exact": '["a.web.example"]', "near": '["*.web.example"]', "far": '["*.example"]'}
    backends = {name: answering(name.encode()) for name in [*names, "rest"]}
    rest = server("rest", '["*"]', "{mode: SIMPLE, credentialName: web}")
    servers = "".join(server(name, hosts, "{mode: SIMPLE, credentialName: web}") for name, hosts in names.items())
    services = [service(f"{name}.local", backend.port) for name, backend in backends.items()]
    # One rule for every host at every server; each server takes those that are its own.
    rules = "".join(rule(name, hosts, f"{name}.local") for name, hosts in names.items()) + rule("rest", '["other.org"]', "rest.local")
    context = trusting(certificates, verify=False)

    def body(port, host, **options):
        return ask(port, host, context, **options).split(b"\r\n\r\n")[-1].decode()

    with gateway(start, credentials, servers + rest, rules, *services) as (port, skein):
        assert body(port, "a.web.example") == "exact"
        assert body(port, "A.Web.Example", name="A.WEB.example") == "exact"
        assert body(port, "b.web.example") == "near"
        assert body(port, "b.c.web.example") == "near"
        assert body(port, "web.example") == "far"
        assert body(port, "other.org") == "rest"
        assert body(port, "other.org", sni=False) == "rest"
        # `*` serves what is asked for by Host, whoever has it by server name.
        assert body(port, "a.web.example", name="no.org") in ("exact", "")
    with gateway(start, credentials, servers, rules, *services) as (port, skein):
        for options in (dict(name="other.org"), dict(sni=False)):
            with pytest.raises(ssl.SSLError) as refused:
                ask(port, "a.web.example", context, **options)
            assert "UNRECOGNIZED_NAME" in str(refused.value), refused.value
        assert skein.samples("skein_proxy_tls_server_names_unknown_total") == 2
        said(skein, "the server name other.org is none of a Gateway", "no server name is none")
    for backend in backends.values():
        backend.close()


def test_names_unknown_are_in_the_access_log(start, certificates, credentials):
    servers = server("https", '["web.example"]', "{mode: SIMPLE, credentialName: web}")
    with gateway(start, credentials, servers, "") as (port, skein):
        with pytest.raises(ssl.SSLError):
            ask(port, "web.example", trusting(certificates), name="evil.example")
        entry = access_log(skein)[0]
        assert entry["flags"] == "NR" and entry["details"] == "filter_chain_not_found", entry


def test_passing_through_beside_terminating(start, certificates, credentials, tmp_path):
    """One port: some names are decrypted, others passed on to whoever has their certificate."""
    backend = Backend()
    own = MeshCA(tmp_path / "own", name="own").issue(tmp_path / "own-server", ["DNS:own.example"], extended="serverAuth")
    inner = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inner.load_cert_chain(own / "tls.crt", own / "tls.key")

    def speak(connection):
        with inner.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1000)
            secured.sendall(b"HTTP/1.1 299 Own\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    owner = Echo(handle=speak)
    servers = server("https", '["web.example"]', "{mode: SIMPLE, credentialName: web}") + server("through", '["*"]', "{mode: PASSTHROUGH}")
    passing = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: through, namespace: default}
spec:
  hosts: [own.example]
  gateways: [ingress/front]
  tls:
  - match: [{sniHosts: [own.example]}]
    route: [{destination: {host: own.local}}]
"""
    rules = rule("web", '["web.example"]', "api.local") + passing
    services = service("api.local", backend.port), service("own.local", owner.port, "TLS", 443)
    with gateway(start, credentials, servers, rules, *services) as (port, skein):
        assert status(ask(port, "web.example", trusting(certificates))) == 200
        context = ssl.create_default_context(cafile=own / "ca.crt")
        assert status(ask(port, "own.example", context)) == 299
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            ask(port, "third.example", context)
    backend.close()


def test_tcp_inside_of_tls(start, certificates, credentials):
    echo = Echo(name=b"tcp:")
    servers = server("tls", '["*"]', "{mode: MUTUAL, credentialName: web}", protocol="TLS")
    rules = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: db, namespace: default}
spec:
  hosts: ["*"]
  gateways: [ingress/front]
  tcp:
  - route: [{destination: {host: db.local}}]
"""
    with gateway(start, credentials, servers, rules, service("db.local", echo.port, "TCP", 5000)) as (port, skein):
        context = trusting(certificates, certificates.client("right"))
        with secured(port, context) as client:
            for size in (5, 100_000):
                sent = b"x" * size
                client.sendall(sent)
                received = b""
                while len(received.replace(b"tcp:", b"")) < size:
                    received += client.recv(65536)
                assert received.replace(b"tcp:", b"") == sent
        assert outcome(port, "web.example", trusting(certificates)) == "refused"


def shown(port, name="web.example"):
    """The certificate that a client is shown, as its serial number."""
    out = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", name], input="", capture_output=True, text=True, timeout=10)
    leaf = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=out.stdout, capture_output=True, text=True)
    return leaf.stdout.strip() if leaf.returncode == 0 else ""


def test_credentials_are_renewed_and_come_late(start, certificates, credentials, tmp_path):
    backend = Backend()
    servers = server("https", '["web.example"]', "{mode: SIMPLE, credentialName: web}") + server(
        "late", '["late.example"]', "{mode: SIMPLE, credentialName: late}"
    )
    rules = rule("web", '["web.example", "late.example"]', "api.local")
    with gateway(start, credentials, servers, rules, service("api.local", backend.port)) as (port, skein):
        context = trusting(certificates)
        # What is missing is said by its name, and harms nobody else.
        assert outcome(port, "late.example", context) == "refused"
        said(skein, "port late: TLS handshakes are refused", "/late/tls")
        first = shown(port)
        with secured(port, context) as kept:
            def again():
                kept.sendall(b"GET / HTTP/1.1\r\nHost: web.example\r\n\r\n")
                return status(kept.recv(65536))

            assert again() == 200
            # A key that is not the certificate's.
            good = (credentials / "web/tls.key").read_bytes()
            other = certificates.server(tmp_path / "other", "web.example")
            (credentials / "web/tls.key").write_bytes((other / "tls.key").read_bytes())
            wait_for(lambda: "the one before goes on" in skein.log(), what="the refusal")
            assert shown(port) == first and again() == 200
            (credentials / "web/tls.key").write_bytes(good)
            # The rest of the new pair arrives.
            for name in ("tls.key", "tls.crt"):
                shutil.copy(other / name, credentials / "web" / name)
            wait_for(lambda: shown(port) not in ("", first), what="the new certificate")
            assert again() == 200 and status(ask(port, "web.example", context)) == 200
            certificates.server(credentials / "late", "late.example")
            wait_for(lambda: outcome(port, "late.example", context) == 200, what="the late credential")
            said(skein, "the credential late is there")
    backend.close()


def test_versions_and_ciphers(start, certificates, credentials):
    backend = Backend()
    settings = {
        "plain": "", "old": ", maxProtocolVersion: TLSV1_2", "new": ", minProtocolVersion: TLSV1_3",
        "one": ", cipherSuites: [ECDHE-ECDSA-AES256-GCM-SHA384]",
    }
    certificates.server(credentials / "v", "*.v.example")
    servers = "".join(server(n, f'["{n}.v.example"]', f"{{mode: SIMPLE, credentialName: v{extra}}}") for n, extra in settings.items())
    with web(start, credentials, servers, backend, "*.v.example") as (port, _):
        def agreed(name, *options):
            out = subprocess.run(
                ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", f"{name}.v.example", *options],
                input="", capture_output=True, text=True, timeout=10)
            match = re.search(r"New, (\S+), Cipher is (\S+)", out.stdout)
            return (match[1], match[2]) if match and match[2] != "(NONE)" else None

        assert agreed("plain")[0] == "TLSv1.3" and agreed("plain", "-tls1_2")[0] == "TLSv1.2"
        weakest = ["-cipher", "ALL:@SECLEVEL=0"]
        assert agreed("plain", "-tls1_1", *weakest) is None and agreed("plain", "-tls1", *weakest) is None
        assert agreed("plain", "-tls1_2", "-cipher", "AES128-SHA:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0") is None
        assert agreed("old")[0] == "TLSv1.2" and agreed("new")[0] == "TLSv1.3" and agreed("new", "-tls1_2") is None
        assert agreed("one", "-tls1_2")[1] == "ECDHE-ECDSA-AES256-GCM-SHA384"
        assert agreed("one", "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256") is None

        def protocol(*offered):
            context = trusting(certificates, protocols=list(offered) or None)
            with secured(port, context, "plain.v.example") as client:
                return client.selected_alpn_protocol()

        assert protocol("http/1.1", "h2") == "h2" and protocol("http/1.1") == "http/1.1"
        assert protocol() is None and protocol("spdy/3") is None
    backend.close()


def test_both_kinds_of_key(start, certificates, credentials):
    """A client gets the certificate that it can do."""
    rsa = credentials / "rsa"
    certificates.server(rsa, "web.example")
    run("genrsa", "-out", rsa / "tls.key", "2048")
    (rsa / "tls.key").chmod(0o600)
    run("req", "-new", "-key", rsa / "tls.key", "-out", rsa / "request.pem", "-subj", "/")
    run(
        "x509", "-req", "-in", rsa / "request.pem", "-CA", certificates.servers.certificate, "-CAkey", certificates.servers.key, "-days", 1,
        "-extfile", rsa / "extensions", "-out", rsa / "tls.crt",
    )
    backend = Backend()
    servers = server("https", '["web.example"]', "{mode: SIMPLE, credentialNames: [web, rsa]}")
    with web(start, credentials, servers, backend) as (port, _):
        def key(*options):
            out = subprocess.run(
                ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "web.example", "-CAfile",
                 certificates.servers.certificate, *options], input="", capture_output=True, text=True, timeout=10)
            assert "Verification: OK" in out.stdout, out.stdout
            return re.search(r"Peer signature type: (\S+)", out.stdout)[1]

        assert key("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256") == "ECDSA"
        assert key("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256") == "RSA-PSS"
        assert key("-sigalgs", "rsa_pss_rsae_sha256:ecdsa_secp384r1_sha384") == "RSA-PSS"
    backend.close()


def test_what_a_client_certificate_must_be(start, certificates, credentials):
    wanted, other = certificates.client("wanted"), certificates.client("unwanted")
    der = subprocess.run(["openssl", "x509", "-in", wanted / "tls.crt", "-outform", "DER"], capture_output=True, check=True).stdout
    public = subprocess.run(
        ["openssl", "pkey", "-in", wanted / "tls.key", "-pubout", "-outform", "DER"], capture_output=True, check=True).stdout
    digest = hashlib.sha256(der).hexdigest()
    demands = {
        "san": "subjectAltNames: [wanted]",
        "spki": f"verifyCertificateSpki: ['{base64.b64encode(hashlib.sha256(public).digest()).decode()}']",
        "hash": f"verifyCertificateHash: ['{digest}']",
        "colons": f"verifyCertificateHash: ['{':'.join(digest[i:i + 2] for i in range(0, 64, 2)).upper()}']",
    }
    certificates.server(credentials / "d", "*.d.example")
    # Paths instead of a credential.
    files = (f"serverCertificate: {credentials}/d/tls.crt, privateKey: {credentials}/d/tls.key, "
             f"caCertificates: {certificates.clients.certificate}")
    servers = "".join(server(n, f'["{n}.d.example"]', f"{{mode: MUTUAL, {files}, {demand}}}") for n, demand in demands.items())
    backend = Backend()
    with web(start, credentials, servers, backend, "*.d.example") as (port, _):
        for name in demands:
            host = f"{name}.d.example"
            assert outcome(port, host, trusting(certificates, wanted)) == 200, name
            assert outcome(port, host, trusting(certificates, other)) == "refused", name
    backend.close()


def hello(certificates, name="web.example", protocols=None):
    """The bytes of a ClientHello."""
    context = trusting(certificates, protocols=protocols)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def test_hellos_in_pieces_and_too_large(start, certificates, credentials):
    backend = Backend()
    servers = server("https", '["web.example"]', "{mode: SIMPLE, credentialName: web}")
    with web(start, credentials, servers, backend) as (port, skein):
        greeting = hello(certificates)
        answers = []
        # Cut at every byte: half first, then the rest; the server's first record is a handshake each time.
        for cut in range(1, len(greeting)):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.sendall(greeting[:cut])
                client.sendall(greeting[cut:])
                answers.append(client.recv(5)[:1])
        assert set(answers) == {b"\x16"}
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in greeting:
                client.sendall(bytes([byte]))
            assert client.recv(5)[:1] == b"\x16"
        # Sixteen kibibytes of protocols that nobody speaks.
        for count, size in ((60, 255), (5000, 2)):
            large = hello(certificates, protocols=["x" * size] * count)
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                client.sendall(large)
                client.recv(5)
        # Nothing, rubbish, plaintext.
        for sent in (b"\x16", b"\x16\x03\x01\xff\xff" + b"\x01" * 1000, b"GET / HTTP/1.1\r\nHost: web.example\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(5) == b"", sent
        assert skein.samples("skein_proxy_plaintext_refused_total") >= 1

        def is_said():
            # Ten lines a second, and the handshakes above have had theirs.
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: web.example\r\n\r\n")
            return "sent plaintext to" in skein.log() and "takes TLS alone (Gateway)" in skein.log()

        wait_for(is_said, what="the refusal in the log")
        assert status(ask(port, "web.example", trusting(certificates))) == 200
    backend.close()


def test_stalled_handshakes_harm_nobody(start, certificates, credentials):
    backend = Backend()
    servers = server("https", '["web.example"]', "{mode: SIMPLE, credentialName: web}")
    with web(start, credentials, servers, backend) as (port, skein):
        greeting = hello(certificates)
        stalled = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(300)]
        for index, client in enumerate(stalled):
            # A part of a hello, or all of it and nothing further.
            client.sendall(greeting[: 40 if index % 2 else len(greeting)])
        begin = time.monotonic()
        for _ in range(20):
            assert status(ask(port, "web.example", trusting(certificates))) == 200
        assert time.monotonic() - begin < 5
        # After ten seconds each of them is closed, and said.
        for client in stalled:
            with contextlib.suppress(ConnectionResetError):
                while client.recv(65536):
                    pass
            client.close()
        assert time.monotonic() - begin < 20
        said(skein, "no handshake within 10 s")
    backend.close()


def test_other_demands_end_what_was_let_in_before(start, certificates, credentials, tmp_path):
    """A connection that no certificate was asked of is served no more when one is demanded; one of an unchanged server goes on."""
    backend = Backend()
    port = free_port()

    def config(mode):
        servers = server("https", '["web.example"]', f"{{mode: {mode}, credentialName: web}}") + server(
            "same", '["same.web.example"]', "{mode: SIMPLE, credentialName: web}"
        )
        rules = rule("w", '["web.example", "same.web.example"]', "api.local") + service("api.local", backend.port)
        return mesh(9, edge(port, servers.replace("number: 443", f"number: {port}"), rules, ports="{}"))

    skein = start(config("SIMPLE"), [*ARGUMENTS, "--credentials", str(credentials)])
    context = trusting(certificates)
    with contextlib.ExitStack() as stack:
        def connect(name):
            return stack.enter_context(secured(port, context, name))

        def again(connection, name):
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
            return status(connection.recv(65536))

        changed, same = connect("web.example"), connect("same.web.example")
        assert again(changed, "web.example") == 200 and again(same, "same.web.example") == 200
        (skein.config / "mesh.yaml").write_text(config("MUTUAL"))
        wait_for(lambda: outcome(port, "web.example", context) == "refused", what="the new demand")
        assert again(changed, "web.example") == 421 and changed.recv(10) == b""
        assert again(same, "same.web.example") == 200
    backend.close()


def test_what_is_said_before_a_start(certificates, credentials, tmp_path):
    def said(tls, protocol="HTTPS"):
        path = tmp_path / "mesh.yaml"
        path.write_text(mesh(9, edge(8443, server("https", '["web.example"]', tls, protocol), "")))
        return subprocess.run([SKEIN, "validate", str(path)], capture_output=True, text=True)

    good = said("{mode: MUTUAL, credentialName: web, minProtocolVersion: TLSV1_2, cipherSuites: [ECDHE-RSA-AES128-GCM-SHA256]}")
    assert good.returncode == 0 and "not yet" not in good.stdout and "0 warnings" in good.stdout, good.stdout
    for tls, expected in {
        "{mode: SIMPLE}": "error .*serverCertificate.*required",
        "{mode: MUTUAL, serverCertificate: /a, privateKey: /b}": "error .*caCertificates",
        "{mode: SIMPLE, credentialName: ../etc}": r"error .*credentialName.*no name of a credential",
        "{mode: SIMPLE, credentialName: web, maxProtocolVersion: TLSV1_1}": "error .*maxProtocolVersion.*accepted: TLSV1_2, TLSV1_3",
        "{mode: SIMPLE, credentialName: web, minProtocolVersion: TLSV1_3, maxProtocolVersion: TLSV1_2}": "error .*below minProtocolVersion",
        "{mode: SIMPLE, credentialName: web, minProtocolVersion: TLSV1_0}": "warning .*TLSV1_2 is the lowest",
        "{mode: SIMPLE, credentialName: web, cipherSuites: [AES128-SHA]}": "notice .*AES128-SHA.*weak",
        "{mode: SIMPLE, credentialName: web, cipherSuites: [DES-CBC3-SHA]}": "warning .*left out",
        "{mode: SIMPLE, credentialName: web, cipherSuites: [NO-SUCH]}": "warning .*not known",
        "{mode: MUTUAL, credentialName: web, verifyCertificateSpki: [x]}": "error .*44 characters",
        "{mode: MUTUAL, credentialName: web, verifyCertificateHash: [abc]}": "error .*64 hexadecimal",
        "{mode: AUTO_PASSTHROUGH, credentialName: web}": "warning .*decrypts nothing",
    }.items():
        out = said(tls).stdout
        assert re.search(r"mesh\.yaml:\d+:\d+: " + expected, out), (tls, out)


def test_explain_goes_by_server_name(certificates, tmp_path):
    path = tmp_path / "mesh.yaml"
    servers = server("https", '["web.example"]', "{mode: MUTUAL, credentialName: web}") + server(
        "more", '["more.example"]', "{mode: SIMPLE, credentialName: web}"
    )
    rules = rule("w", '["web.example", "more.example"]', "api.local") + service("api.local", 9)
    path.write_text(mesh(9, edge(443, servers, rules, ports="{}")))

    def explain(url):
        return subprocess.run(
            [SKEIN, "explain", "--config", str(path), "--node", "edge", url], capture_output=True, text=True)

    out = explain("https://web.example/").stdout
    assert "MUTUAL" in out and "credential web" in out and "api.local" in out, out
    assert "SIMPLE" in explain("https://more.example/").stdout
    out = explain("https://third.example/").stdout
    assert "filter_chain_not_found" in out, out


def test_testssl_finds_nothing(start, certificates, credentials, tmp_path):
    """Protocols, ciphers, known attacks, by testssl.sh: nothing above low."""
    backend = Backend()
    servers = server("https", '["web.example"]', "{mode: SIMPLE, credentialName: web}")
    with web(start, credentials, servers, backend) as (port, _):
        report = tmp_path / "report.json"
        out = subprocess.run(
            ["testssl", "--quiet", "--color", "0", "--warnings", "batch", "--openssl", "/usr/bin/openssl", "--ip", "127.0.0.1",
             "--sneaky", "--protocols", "--std", "--server-preference", "--vulnerable", "--jsonfile", str(report), f"web.example:{port}"],
            capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
        findings = json.loads(report.read_text())
        assert len(findings) > 30, out.stdout
        bad = [one for one in findings if one["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")]
        assert not bad, bad
    backend.close()


def test_the_example_works(start, tmp_path):
    """Config/gateway-https, with certificates as its README makes them."""
    backend = Backend()
    secure, plain = free_port(), free_port()
    config = (ROOT / "Config/gateway-https/mesh.yaml").read_text()
    for old, new in (("8443", secure), ("8080", plain), ("8000", backend.port)):
        config = config.replace(f"number: {old}", f"number: {new}").replace(f"http: {old}", f"http: {new}")
    credentials = tmp_path / "credentials"
    credentials.mkdir()

    def authority(*arguments):
        subprocess.run([SKEIN, "ca", *map(str, arguments)], check=True, capture_output=True, cwd=tmp_path)

    authority("init", "-d", "ca")
    for name, host in (("shop", "shop.example"), ("partners", "partners.shop.example")):
        authority("issue", "-d", "ca", "--server", host, "--out", credentials / name)
    authority("issue", "-d", "ca", "default/customer", "--out", "customer")
    start(config, ["--credentials", str(credentials)])
    context = ssl.create_default_context(cafile=credentials / "shop/ca.crt")
    assert status(ask(secure, "shop.example", context)) == 200
    assert outcome(secure, "partners.shop.example", context) == "refused"
    context.load_cert_chain(tmp_path / "customer/tls.crt", tmp_path / "customer/tls.key")
    assert status(ask(secure, "partners.shop.example", context)) == 200
    moved = http_get(plain, "/a", {"Host": "shop.example"})
    assert moved[0] == 301 and moved[1]["location"] == "https://shop.example/a"
    backend.close()


def test_renewals_and_reloads_cost_no_request(start, certificates, credentials):
    """Load over TLS while the certificate is renewed and the configuration read again, several times: every request is answered."""
    servers = server("https", '["web.example"]', "{mode: SIMPLE, credentialName: web}")
    rules = rule("w", '["web.example"]', "", http="  - directResponse: {status: 200, body: {string: hello}}")
    with gateway(start, credentials, servers, rules) as (port, skein):
        load = subprocess.Popen(
            ["h2load", "-D", "8", "-c", "20", "-m", "10", f"--connect-to=127.0.0.1:{port}", "https://web.example/"],
            stdout=subprocess.PIPE, text=True)
        path = skein.config / "mesh.yaml"
        for round in range(2):
            certificates.server(credentials / "web", "web.example", "*.web.example")
            path.write_text(path.read_text() + "\n# again\n")
            wait_for(lambda: skein.log().count("the credential web is renewed") > round, what="the renewal")
            assert status(ask(port, "web.example", trusting(certificates))) == 200
        output = load.communicate(timeout=30)[0]
        counts = re.search(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", output)
        done, succeeded, failed, errored = map(int, counts.groups())
        assert done > 1000 and (failed, errored) == (0, 0) and succeeded == done, output
        assert "adopted" in skein.log()


def test_a_session_goes_on_at_its_own_server_alone(start, certificates, credentials):
    """A ticket of a server that lets everybody in must not open another one, nor outlive a revocation."""
    certificates.server(credentials / "all", "*.s.example")
    shutil.copy(certificates.clients.certificate, credentials / "all/ca.crt")
    certificates.server(credentials / "listed", "*.s.example")
    shutil.copy(certificates.clients.certificate, credentials / "listed/ca.crt")
    shutil.copy(certificates.revoke(), credentials / "listed/ca.crl")
    modes = {"simple": "SIMPLE", "other": "SIMPLE", "mutual": "MUTUAL", "named": "MUTUAL", "listed": "MUTUAL"}
    extra = {"named": ", subjectAltNames: [somebody]"}
    servers = "".join(
        server(n, f'["{n}.s.example"]', f"{{mode: {m}, credentialName: {'listed' if n == 'listed' else 'all'}{extra.get(n, '')}}}")
        for n, m in modes.items())
    rules = rule("s", '["*.s.example"]', "", http="  - directResponse: {status: 200}")
    right = certificates.client("right")
    with gateway(start, credentials, servers, rules) as (port, _):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            def visit(context, name, session=None):
                """The status, whether the session went on, and its ticket."""
                host = f"{name}.s.example"
                plain = socket.create_connection(("127.0.0.1", port), timeout=5)
                with context.wrap_socket(plain, server_hostname=host, session=session) as client:
                    client.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                    return status(client.recv(65536)), client.session_reused, client.session

            anybody, somebody = trusting(certificates), trusting(certificates, right)
            for context in (anybody, somebody):
                context.minimum_version = context.maximum_version = version
            _, _, ticket = visit(anybody, "simple")
            assert visit(anybody, "simple", ticket)[:2] == (200, True), version
            _, _, ticket = visit(anybody, "simple")
            assert visit(anybody, "other", ticket)[1] is False, version
            for name in ("mutual", "named", "listed"):
                _, _, ticket = visit(anybody, "simple")
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    assert visit(anybody, name, ticket)[0] == 0
                    raise ConnectionResetError
            _, _, ticket = visit(somebody, "mutual")
            assert visit(somebody, "mutual", ticket)[:2] == (200, True), version
            _, _, ticket = visit(somebody, "mutual")
            with pytest.raises((ssl.SSLError, ConnectionError)):
                assert visit(somebody, "named", ticket)[0] == 0
                raise ConnectionResetError
            _, _, ticket = visit(somebody, "listed")
            assert visit(somebody, "listed", ticket)[:2] == (200, False), version


def test_auto_passthrough_goes_to_the_cluster_of_the_name(start, backend, tmp_path):
    """Mutual TLS from one workload to another through a gateway that decrypts nothing and has no VirtualService."""
    ca = MeshCA(tmp_path / "mesh")
    client, web, port, inner = ca.workload(tmp_path / "client", "client"), ca.workload(tmp_path / "web", "web"), free_port(), free_port()
    start(server_side(inner, backend.port, "STRICT"), ["--identity", str(web), "--node", "web"])
    target = service("api.local", inner).replace("resolution", "location: MESH_INTERNAL\n  resolution")
    servers = server("tls", '["*.local"]', "{mode: AUTO_PASSTHROUGH}", "TLS", port)
    passing = start(mesh(9, edge(port, servers, target, ports="{}")), ARGUMENTS)
    outer = start(client_side([port]), ["--identity", str(client)])
    answer = outer.get("/", "api.local")
    assert answer[0] == 200, (answer, outer.log(), passing.log())
    # What names no service is closed and said.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for name in ("outbound_.81_._.api.local", "api.local", None):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            secured(port, context, name)
    said(passing, "the server name outbound_.81_._.api.local is none of", "no server name is none of")
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: api.local\r\n\r\n")
        assert not plain.recv(100)
    assert passing.samples("skein_proxy_tls_server_names_unknown_total") == 3
    outer.stop()
    name = "outbound_.80_._.api.local"
    wait_for(lambda: any(line["cluster"] == line["sni"] == name for line in access_log(passing, 4)), what="the tunnel's line")
