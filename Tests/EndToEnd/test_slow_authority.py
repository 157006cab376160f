"""An authority that answers a byte at a time holds up nobody: the renewal is given up, and the certificate that is good goes on."""

import contextlib
import datetime
import socket
import ssl
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from conftest import mesh, wait_for
from mesh_ca import MeshCA


def dated(ca, path, begins, ends):
    """Gives a certificate of `ca`, such as its own, other times, in hours from now."""
    old = x509.load_pem_x509_certificate(path.read_bytes())
    now = datetime.datetime.now(datetime.timezone.utc)
    key = serialization.load_pem_private_key(ca.key.read_bytes(), None)
    made = x509.CertificateBuilder(
        issuer_name=old.issuer, subject_name=old.subject, public_key=old.public_key(), serial_number=old.serial_number,
        not_valid_before=now + datetime.timedelta(hours=begins), not_valid_after=now + datetime.timedelta(hours=ends),
        extensions=list(old.extensions))
    path.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


@contextlib.contextmanager
def dripping(files):
    """An authority by its certificate, which begins an answer and sends a byte of it each second. Yields its port and who has asked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "tls.crt", files / "tls.key")
    asked, stop = [], threading.Event()

    def serve(plain):
        with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secure:
            request = secure.recv(65536)
            asked.append((request.split(b" ")[1], time.monotonic()))
            secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not stop.wait(1):
                secure.sendall(b"-")

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1], asked
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)


def test_a_renewal_is_given_up(start, backend, tmp_path):
    ca = MeshCA(tmp_path / "authority")
    identity = ca.workload(tmp_path / "web", "web")
    # More than half of its time is over: the renewal is due at once.
    dated(ca, identity / "tls.crt", -3, 1)
    before = (identity / "tls.crt").read_bytes()
    server = ca.issue(tmp_path / "server", ["DNS:skein-ca.cluster.local"])
    with dripping(server) as (port, asked):
        began = time.monotonic()
        skein = start(mesh(backend.port), ["--ca", f"127.0.0.1:{port}", "--identity", str(identity)])
        wait_for(lambda: "is not renewed, the one before goes on until" in skein.log(), seconds=60, what="the end of its patience")
        assert asked and asked[0][0] == b"/v1/certificates"
        assert time.monotonic() - began < 40
        # It asks again, and the poll of roots has its turn; meanwhile requests and the certificate are as they were.
        wait_for(lambda: len(asked) >= 2, seconds=30, what="another request")
        assert skein.get("/")[0] == 200
        assert (identity / "tls.crt").read_bytes() == before
        assert skein.samples("skein_certificate_renewals_total", outcome="failed") >= 1
        assert skein.samples("skein_certificate_renewals_total", outcome="renewed") == 0
        # Its end is not held up by the authority either.
        stopping = time.monotonic()
        assert skein.stop() == 0
        assert time.monotonic() - stopping < 15
