"""The authority over the network: first certificates by token, renewals by mutual TLS, Istio's call, rotation, revocation; and what
happens while the authority is away, slow, or somebody else."""

import contextlib
import http.client
import os
import signal
import socket
import ssl
import stat
import subprocess
import threading
import time

import grpc
import pytest
from cryptography import x509

from conftest import SKEIN, Backend, free_port, http_get, wait_for
from test_ca import ca, certificates, openssl, verify
from test_mtls import client_side, server_side

WEB = "spiffe://cluster.local/ns/default/sa/web"
SERVER_NAME = "skein-ca.cluster.local"


class Authority:
    """`skein ca serve` on a directory; may be ended and begun again."""

    def __init__(self, directory, *arguments, port=None):
        self.directory, self.arguments, self.port = directory, arguments, port or free_port()
        self.log_path = directory.parent / "ca.log"
        self.begin()

    def begin(self):
        command = [SKEIN, "ca", "serve", "--directory", self.directory, "--listen", f"127.0.0.1:{self.port}", *self.arguments]
        self.process = subprocess.Popen(list(map(str, command)), stderr=open(self.log_path, "ab"))
        wait_for(lambda: socket.create_connection(("127.0.0.1", self.port), 1).close() is None, what="the authority")
        return self

    def end(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(20)
        return self.process.returncode

    def token(self, path, workload="default/web", *arguments):
        ca("token", workload, "--out", path, *arguments, directory=self.directory)
        return path

    def address(self):
        return f"127.0.0.1:{self.port}"

    def log(self):
        return self.log_path.read_text()

    def curl(self, path, *arguments):
        resolve = ["--resolve", f"{SERVER_NAME}:{self.port}:127.0.0.1", "--cacert", self.directory / "root-cert.pem"]
        command = ["curl", "-sS", "-m", "20", "-w", "\n%{http_code}", *resolve, *arguments, f"https://{SERVER_NAME}:{self.port}{path}"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body

    def request(self, csr, token=None, identity=None, path="/v1/certificates"):
        """A request for a certificate by curl, as anybody may write it."""
        proof = ["-H", f"Authorization: Bearer {token.read_text().strip()}"] if token else []
        if identity:
            proof = ["--cert", identity / "tls.crt", "--key", identity / "tls.key"]
        return self.curl(path, "--data-binary", f"@{csr}", *proof)


@pytest.fixture
def serve(tmp_path):
    running = []

    def begin(*arguments):
        directory = tmp_path / "ca"
        if not directory.exists():
            ca("init", directory=directory)
        running.append(Authority(directory, *arguments))
        return running[-1]

    yield begin
    for authority in running:
        authority.end(signal.SIGKILL)


@pytest.fixture
def authority(serve):
    return serve()


def csr(directory, workload="web", name="request"):
    path = directory / f"{name}.pem"
    done = openssl(
        "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", directory / f"{name}.key", "-subj", "/",
        "-addext", f"subjectAltName=URI:spiffe://cluster.local/ns/default/sa/{workload}", "-out", path)
    assert done.returncode == 0, done.stderr
    return path


def identity_of(skein):
    return skein.directory / "data/identity"


def serial(path):
    return certificates(path)[0].serial_number


def run_skein(start, authority, token=None, config=None, *arguments, ready=True, **options):
    arguments = ["--ca", authority.address(), *(["--token", str(token)] if token else []), *map(str, arguments)]
    return start(config, arguments, ready=ready, **options)


# --- Tokens ---------------------------------------------------------------------------------------------------------------


def test_a_token_is_good_once_for_its_workload(authority, tmp_path):
    token = authority.token(tmp_path / "token")
    assert stat.S_IMODE(os.stat(token).st_mode) == 0o600
    assert "already" in ca("token", "default/web", "--out", token, directory=authority.directory, code=65).stderr
    mine = csr(tmp_path)
    status, said = authority.request(csr(tmp_path, "ratings", "other"), token)
    assert status == 403 and "ratings" in said
    status, chain = authority.request(mine, token)
    assert status == 200
    (tmp_path / "tls.crt").write_text(chain)
    assert verify(tmp_path / "tls.crt", authority.directory / "root-cert.pem").returncode == 0
    leaf = certificates(tmp_path / "tls.crt")[0]
    assert WEB in str(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    # Whoever else has the token is too late, also after a kill; the same key may have missed its answer.
    authority.end(signal.SIGKILL)
    authority.begin()
    status, said = authority.request(csr(tmp_path, name="thief"), token)
    assert status == 401 and "used" in said
    assert authority.request(mine, token)[0] == 200
    assert authority.log().count(f"to {WEB}") == 2


def test_what_is_not_a_good_token_is_refused(authority, tmp_path):
    token = authority.token(tmp_path / "token")
    text = token.read_text()
    assert authority.request(csr(tmp_path))[0] == 401
    for changed in [text.replace("skein-token-1", "skein-token-2"), text[:-20], text[:100] + "0" * 8 + text[108:], "x" * 5000]:
        (tmp_path / "bad").write_text(changed)
        assert authority.request(csr(tmp_path), tmp_path / "bad")[0] in (401, 431)
    late = authority.token(tmp_path / "late", "default/web", "--ttl", "60s")
    fields = late.read_text().split(":")
    # The end that counts is the authority's own.
    tokens = authority.directory / "tokens"
    tokens.write_text(tokens.read_text().replace(f"\t{fields[2]}\t", f"\t{int(fields[2]) - 100}\t"))
    status, said = authority.request(csr(tmp_path), late)
    assert status == 401 and "expired" in said
    (tmp_path / "no.pem").write_text("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n")
    assert authority.request(tmp_path / "no.pem", token)[0] == 400
    assert authority.request(csr(tmp_path), token, path="/v1/certificates?seconds=1")[0] == 400
    assert authority.request(csr(tmp_path), token)[0] == 200, "none of this used it up"
    status, page = authority.curl("/metrics")
    assert status == 200 and 'issued_total{proof="token"} 1' in page and 'refused_total{reason="unauthenticated"}' in page


def test_bundle_and_lists_by_curl(authority, tmp_path):
    status, bundle = authority.curl("/v1/bundle")
    assert status == 200 and bundle.encode() == (authority.directory / "root-cert.pem").read_bytes()
    status, lists = authority.curl("/v1/revocations")
    assert status == 200 and x509.load_pem_x509_crl(lists.encode()).next_update_utc
    assert authority.curl("/")[0] == 404
    command = [SKEIN, "ca", "serve", "--directory", authority.directory, "--listen", "127.0.0.1:0"]
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode != 0 and "another process" in again.stderr


# --- Renewal over mutual TLS --------------------------------------------------------------------------------------------


def test_a_certificate_renews_itself_and_no_other(authority, tmp_path):
    identity = tmp_path / "id"
    ca("issue", "default/web", "--out", identity, directory=authority.directory)
    assert authority.request(csr(tmp_path), identity=identity)[0] == 200
    status, said = authority.request(csr(tmp_path, "ratings", "other"), identity=identity)
    assert status == 403 and "ratings" in said
    ca("revoke", "default/web", directory=authority.directory)
    status, said = authority.request(csr(tmp_path), identity=identity)
    assert status == 403 and "revoked" in said
    # The list is served without a restart.
    number = serial(identity / "tls.crt")
    wait_for(lambda: x509.load_pem_x509_crl(authority.curl("/v1/revocations")[1].encode()).get_revoked_certificate_by_serial_number(number))


# --- Istio's call -------------------------------------------------------------------------------------------------------


def varint(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def istio_request(pem, seconds):
    return b"\x0a" + varint(len(pem)) + pem + b"\x18" + varint(seconds)


def istio_chain(message):
    chain = []
    while message:
        assert message[0] == 0x0A
        length, place, shift = 0, 1, 0
        while True:
            byte = message[place]
            length |= (byte & 0x7F) << shift
            place, shift = place + 1, shift + 7
            if byte < 0x80:
                break
        chain.append(message[place : place + length])
        message = message[place + length :]
    return chain


def istio_call(authority, request, metadata=(), identity=None):
    roots = (authority.directory / "root-cert.pem").read_bytes()
    key = {"private_key": (identity / "tls.key").read_bytes(), "certificate_chain": (identity / "tls.crt").read_bytes()} if identity else {}
    with grpc.secure_channel(authority.address(), grpc.ssl_channel_credentials(roots, **key)) as channel:
        call = channel.unary_unary("/istio.v1.auth.IstioCertificateService/CreateCertificate")
        return call(request, metadata=metadata, timeout=20)


def test_istios_create_certificate(authority, tmp_path):
    token = authority.token(tmp_path / "token").read_text().strip()
    pem = csr(tmp_path).read_bytes()
    chain = istio_chain(istio_call(authority, istio_request(pem, 3600), [("authorization", f"Bearer {token}")]))
    loaded = [x509.load_pem_x509_certificate(each) for each in chain]
    loaded[0].verify_directly_issued_by(loaded[1])
    assert loaded[-1] == certificates(authority.directory / "root-cert.pem")[0]
    assert 3500 <= (loaded[0].not_valid_after_utc - loaded[0].not_valid_before_utc).total_seconds() <= 3800
    identity = tmp_path / "id"
    ca("issue", "default/web", "--out", identity, directory=authority.directory)
    assert istio_chain(istio_call(authority, istio_request(pem, 0), identity=identity))
    for request, metadata, code in [
        (istio_request(pem, 0), [], grpc.StatusCode.UNAUTHENTICATED),
        (istio_request(pem, 0), [("authorization", "Bearer eyJhbGciOiJSUzI1NiJ9.e30.x")], grpc.StatusCode.UNAUTHENTICATED),
        (b"\x0a\xff\xff\xff\xff\x0f", [("authorization", f"Bearer {token}")], grpc.StatusCode.INVALID_ARGUMENT),
    ]:
        with pytest.raises(grpc.RpcError) as refused:
            istio_call(authority, request, metadata)
        assert refused.value.code() == code


def test_an_istio_agent_begins_with_our_token(authority, tmp_path):
    """The agent's token file goes with every request, and its certificate beside it once there is one: the token is spent then."""
    token = authority.token(tmp_path / "token").read_text().strip()
    bearer = [("authorization", f"Bearer {token}"), ("clusterid", "Kubernetes")]
    identity = tmp_path / "agent"
    identity.mkdir()

    def ask(metadata, **options):
        """With a new key each time, as the agent does."""
        pem = csr(tmp_path).read_bytes()
        chain = istio_chain(istio_call(authority, istio_request(pem, 3600), metadata, **options))
        (identity / "tls.crt").write_bytes(b"".join(chain[:-1]))
        (identity / "tls.key").write_bytes((tmp_path / "request.key").read_bytes())
        return chain

    ask(bearer)
    with pytest.raises(grpc.RpcError) as spent:
        ask(bearer)
    assert spent.value.code() == grpc.StatusCode.UNAUTHENTICATED
    for metadata in (bearer, [("authorization", "Bearer eyJhbGciOiJSUzI1NiJ9.e30.x")], bearer):
        ask(metadata, identity=identity)
    # A token of another workload is no way to renew.
    ca("issue", "default/ratings", "--out", tmp_path / "ratings", directory=authority.directory)
    with pytest.raises(grpc.RpcError) as refused:
        ask(bearer, identity=tmp_path / "ratings")
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


# --- skein run ------------------------------------------------------------------------------------------------------------


def test_one_token_one_command(authority, start, tmp_path):
    token = authority.token(tmp_path / "token")
    skein = run_skein(start, authority, token)
    identity = identity_of(skein)
    assert stat.S_IMODE(os.stat(identity).st_mode) == 0o700
    assert {stat.S_IMODE(os.stat(file).st_mode) for file in identity.iterdir()} == {0o600}
    assert f"this workload is {WEB}" in skein.log()
    wait_for(lambda: (identity / "ca.crl").exists(), what="the lists")
    assert not (identity / "pending.key").exists()
    # Neither the token nor the authority is needed for what comes after.
    skein.stop()
    token.unlink()
    authority.end()
    again = run_skein(start, authority, token, directory=skein.directory)
    wait_for(lambda: "are not looked up" in again.log(), what="words about the authority")
    assert again.process.poll() is None


def refused_start(start, authority, token, *arguments, seconds=30, **options):
    skein = run_skein(start, authority, token, None, *arguments, ready=False, **options)
    assert skein.process.wait(seconds) == 65, skein.log()
    return skein.log()


def test_starts_that_cannot_be(authority, start, tmp_path):
    assert "skein ca token" in refused_start(start, authority, None)
    token = authority.token(tmp_path / "token")
    (tmp_path / "none").write_text("hello\n")
    assert "no token" in refused_start(start, authority, tmp_path / "none")
    # A secret is not shown to a server under another root.
    fields = token.read_text().split(":")
    fields[3] = "0" * 64
    (tmp_path / "pin").write_text(":".join(fields))
    assert "nothing was sent" in refused_start(start, authority, tmp_path / "pin")
    assert f"to {WEB}" not in authority.log()
    assert authority.request(csr(tmp_path), token)[0] == 200
    assert "used" in refused_start(start, authority, token)
    # The directory has somebody else's certificate.
    identity = tmp_path / "id"
    ca("issue", "default/reviews", "--out", identity, directory=authority.directory)
    assert "sa/reviews" in refused_start(start, authority, authority.token(tmp_path / "second"), "--identity", identity)


def test_an_impostor_gets_no_token(authority, start, tmp_path):
    """It shows the right roots, which are public, and a certificate of its own."""
    token = authority.token(tmp_path / "token")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", tmp_path / "k", "-out", tmp_path / "c",
        "-subj", "/CN=x", "-addext", f"subjectAltName=DNS:{SERVER_NAME}").returncode == 0
    context.load_cert_chain(tmp_path / "c", tmp_path / "k")
    heard = []
    roots = (authority.directory / "root-cert.pem").read_bytes()

    def serve(listener):
        with contextlib.suppress(OSError):
            while True:
                plain, _ = listener.accept()
                with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secure:
                    heard.append(secure.recv(65536))
                    secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(roots) + roots)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=[listener], daemon=True).start()
        skein = start(None, ["--ca", f"127.0.0.1:{listener.getsockname()[1]}", "--token", str(token)], ready=False)
        wait_for(lambda: "no first certificate yet" in skein.log(), what="a refusal")
        skein.stop()
    secret = token.read_text().split(":")[4].encode()
    assert heard and not any(b"Bearer" in each or secret in each for each in heard)


def test_the_authority_comes_later(serve, start, tmp_path):
    authority = serve()
    token = authority.token(tmp_path / "token")
    authority.end()
    skein = run_skein(start, authority, token, ready=False)
    wait_for(lambda: "no first certificate yet" in skein.log(), what="words about it")
    authority.begin()
    skein.wait_ready()
    assert f"this workload is {WEB}" in skein.log()


OTHERS = {"silent": b"", "plaintext": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "garbage": b"\0" * 4000}


@pytest.mark.parametrize("answer", OTHERS.values(), ids=OTHERS.keys())
def test_whoever_is_no_authority_is_waited_out(answer, authority, start, tmp_path):
    token = authority.token(tmp_path / "token")
    other = Backend(lambda head, body: answer)
    skein = start(None, ["--ca", f"127.0.0.1:{other.port}", "--token", str(token)], ready=False)
    wait_for(lambda: "no first certificate yet" in skein.log(), seconds=20, what="words about it")
    # It can be ended while it waits.
    assert skein.stop() != 0
    other.close()


def test_renewals_while_the_authority_comes_and_goes(serve, start, tmp_path):
    authority = serve("--lifetime", "60s")
    skein = run_skein(start, authority, authority.token(tmp_path / "token"), None, "--ca-poll", "2")
    certificate = identity_of(skein) / "tls.crt"
    key = (identity_of(skein) / "tls.key").read_bytes()
    first = serial(certificate)
    authority.end(signal.SIGKILL)
    wait_for(lambda: "is not renewed, the one before goes on" in skein.log(), seconds=45, what="words about the renewal")
    assert serial(certificate) == first
    authority.begin()
    wait_for(lambda: serial(certificate) != first, seconds=30, what="the renewal")
    wait_for(lambda: "certificate renewed" in skein.log(), what="the new one in use")
    assert (identity_of(skein) / "tls.key").read_bytes() != key
    assert skein.samples("skein_certificate_renewals_total", outcome="renewed") >= 1
    assert skein.samples("skein_certificate_renewals_total", outcome="failed") >= 1
    assert skein.log().count("is not renewed") < 10


# --- Two workloads ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(authority, start, backend, tmp_path):
    """A client's proxy and the proxy of `web`, both with certificates of the authority."""
    port = free_port()
    web = run_skein(
        start, authority, authority.token(tmp_path / "web.token"), server_side(port, backend.port, "STRICT"), "--node", "web",
        "--ca-poll", "1")
    client = run_skein(
        start, authority, authority.token(tmp_path / "client.token", "default/client"), client_side([port]), "--ca-poll", "1")
    assert client.get("/", host="api.local")[0] == 200
    return client, web


def test_a_new_root_under_load_costs_no_request(authority, pair):
    client, web = pair
    codes, stop = [], threading.Event()

    def load():
        while not stop.is_set():
            codes.append(client.get("/", host="api.local")[0])

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    before = [serial(identity_of(skein) / "tls.crt") for skein in pair]
    ca("rotate", "--root", directory=authority.directory)

    def roots():
        return [len(certificates(identity_of(skein) / "ca.crt")) for skein in pair]

    def are_renewed():
        return all(serial(identity_of(skein) / "tls.crt") != old for skein, old in zip(pair, before))

    wait_for(lambda: roots() == [2, 2] and are_renewed(), seconds=30, what="new roots and certificates")
    wait_for(lambda: all("certificate renewed" in skein.log() for skein in pair), what="them in use")
    # Both are under the new root: the old one can go.
    ca("rotate", "--forget-roots", "--force", directory=authority.directory)
    wait_for(lambda: roots() == [1, 1], seconds=30, what="one root")
    time.sleep(5)
    count = len(codes)
    wait_for(lambda: len(codes) > count + 20, what="more requests")
    stop.set()
    for thread in threads:
        thread.join()
    assert set(codes) == {200}, f"{len(codes)} requests, {[code for code in codes if code != 200][:5]}"


def test_a_revoked_client_is_cut_off(authority, pair):
    client, web = pair
    # A connection of the client's proxy is open and idle; the next request would use it.
    assert web.samples("skein_proxy_tls_handshakes_total") >= 1
    ca("revoke", "default/client", directory=authority.directory)
    wait_for(lambda: web.samples("skein_proxy_revoked_connections_ended_total") >= 1, seconds=20, what="the connection's end")
    assert client.get("/", host="api.local")[0] == 503
    wait_for(lambda: "certificate revoked" in web.log(), what="the reason")
    assert "connections of peers whose certificates were revoked are ended: 1" in web.log()


def test_a_revoked_server_is_asked_no_more(authority, pair):
    client, web = pair
    ca("revoke", "default/web", directory=authority.directory)
    wait_for(lambda: client.samples("skein_proxy_revoked_connections_ended_total") >= 1, seconds=20, what="the connection's end")
    assert client.get("/", host="api.local")[0] == 503
