"""`skein ca`, looked at by others: openssl and Python's cryptography read what it made, and a proxy runs on it."""

import datetime
import json
import os
import stat
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID
from cryptography.x509.verification import PolicyBuilder, Store

from conftest import SKEIN, free_port, wait_for
from mesh_ca import MeshCA
from test_mtls import client_side, server_side
from test_operations import run

REVIEWS = "spiffe://cluster.local/ns/default/sa/reviews"


def openssl(*arguments, text=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=text, capture_output=True, text=True)


def ca(*arguments, directory, code=0):
    done = run("ca", *arguments, "--directory", directory)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture
def authority(tmp_path):
    ca("init", directory=tmp_path / "ca")
    return tmp_path / "ca"


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def certificates(path):
    return x509.load_pem_x509_certificates(path.read_bytes())


def extension(certificate, oid):
    return certificate.extensions.get_extension_for_oid(oid)


def verify(leaf, roots, *more):
    """What openssl says of a leaf and its chain, to whoever trusts `roots`."""
    return openssl("verify", "-x509_strict", "-CAfile", roots, "-untrusted", leaf, *more, leaf)


def test_an_authority_by_the_book(authority):
    assert mode(authority) == 0o700
    assert all(mode(file) == 0o600 for file in authority.iterdir())
    (root,) = certificates(authority / "root-cert.pem")
    (signing,) = certificates(authority / "ca-cert.pem")
    for certificate, length, years in [(root, None, 10), (signing, 0, 1)]:
        constraints = extension(certificate, ExtensionOID.BASIC_CONSTRAINTS)
        assert constraints.critical and constraints.value.ca and constraints.value.path_length == length
        usage = extension(certificate, ExtensionOID.KEY_USAGE)
        assert usage.critical and usage.value.key_cert_sign and usage.value.crl_sign and not usage.value.digital_signature
        assert isinstance(certificate.public_key().curve, ec.SECP256R1)
        life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        assert abs(life - datetime.timedelta(days=365 * years)).total_seconds() < 300
        assert 0 < certificate.serial_number.bit_length() <= 159
    signing.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    for key, certificate in [("root-key.pem", root), ("ca-key.pem", signing)]:
        assert load_pem_private_key((authority / key).read_bytes(), None).public_key() == certificate.public_key()
    again = ca("init", directory=authority, code=65)
    assert "already" in again.stderr


def test_a_workloads_certificate_is_an_svid(authority, tmp_path):
    said = ca("issue", "default/reviews", "--out", tmp_path / "id", directory=authority)
    assert REVIEWS in said.stdout
    assert mode(tmp_path / "id/tls.key") == 0o600
    leaf, between = certificates(tmp_path / "id/tls.crt")
    assert load_pem_private_key((tmp_path / "id/tls.key").read_bytes(), None).public_key() == leaf.public_key()
    names = extension(leaf, ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    assert names.critical and [name.value for name in names.value] == [REVIEWS]
    usage = extension(leaf, ExtensionOID.KEY_USAGE)
    assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign and not usage.value.crl_sign
    assert set(extension(leaf, ExtensionOID.EXTENDED_KEY_USAGE).value) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert not extension(leaf, ExtensionOID.BASIC_CONSTRAINTS).value.ca
    assert datetime.timedelta(hours=24) <= leaf.not_valid_after_utc - leaf.not_valid_before_utc <= datetime.timedelta(hours=24, minutes=3)
    # Two verifiers, neither of them ours.
    verifier = PolicyBuilder().store(Store(certificates(tmp_path / "id/ca.crt"))).build_client_verifier()
    verified = verifier.verify(leaf, [between])
    assert [name.value for name in verified.subjects] == [REVIEWS]
    assert verify(tmp_path / "id/tls.crt", tmp_path / "id/ca.crt").returncode == 0
    other = MeshCA(tmp_path / "other")
    assert verify(tmp_path / "id/tls.crt", other.certificate).returncode != 0


def test_a_servers_names_and_rsa_keys(tmp_path):
    ca("init", "--rsa", "--trust-domain", "example.org", "--lifetime", "400d", directory=tmp_path / "ca")
    ca("issue", "--server", "shop.example.org", "10.0.0.7", "--out", tmp_path / "tls", "--lifetime", "90d", directory=tmp_path / "ca")
    leaf, between = certificates(tmp_path / "tls/tls.crt")
    assert isinstance(leaf.public_key(), rsa.RSAPublicKey) and leaf.public_key().key_size == 3072
    verifier = PolicyBuilder().store(Store(certificates(tmp_path / "tls/ca.crt"))).build_server_verifier(x509.DNSName("shop.example.org"))
    assert verifier.verify(leaf, [between])
    assert verify(tmp_path / "tls/tls.crt", tmp_path / "tls/ca.crt", "-verify_ip", "10.0.0.7").returncode == 0
    assert verify(tmp_path / "tls/tls.crt", tmp_path / "tls/ca.crt", "-verify_hostname", "other.example.org").returncode != 0
    refused = ca("issue", f"{REVIEWS}", "--out", tmp_path / "id", directory=tmp_path / "ca", code=65)
    assert "example.org" in refused.stderr and not (tmp_path / "id").exists()
    for name in ["a,URI:spiffe://example.org/ns/a/sa/b", "a b", "*"]:
        assert "neither a host name" in ca("issue", "--server", name, "--out", tmp_path / "x", directory=tmp_path / "ca", code=65).stderr


def test_requests_made_elsewhere_are_signed(authority, tmp_path):
    def request(names, key="ec", *more):
        made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if key == "ec" else ["-newkey", f"rsa:{key}"]
        names = ["-addext", f"subjectAltName={names}"] if names else []
        done = openssl("req", "-new", *made, "-nodes", "-keyout", tmp_path / "own.key", "-subj", "/CN=ignored/O=x", *names, *more)
        assert done.returncode == 0, done.stderr
        (tmp_path / "request.pem").write_text(done.stdout)
        return tmp_path / "request.pem"

    # What a request wishes besides its identity is not looked at.
    wished = request(f"URI:{REVIEWS},DNS:admin.example.org", "ec", "-addext", "basicConstraints=critical,CA:TRUE")
    printed = ca("sign", wished, directory=authority).stdout
    leaf = x509.load_pem_x509_certificates(printed.encode())[0]
    assert [name.value for name in extension(leaf, ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value] == [REVIEWS]
    assert not extension(leaf, ExtensionOID.BASIC_CONSTRAINTS).value.ca and leaf.subject.rdns == []
    assert load_pem_private_key((tmp_path / "own.key").read_bytes(), None).public_key() == leaf.public_key()
    command = [SKEIN, "ca", "sign", "-", "--directory", authority, "--out", tmp_path / "tls.crt"]
    piped = subprocess.run(command, input=wished.read_text(), capture_output=True, text=True)
    assert piped.returncode == 0, piped.stderr
    assert verify(tmp_path / "tls.crt", authority / "root-cert.pem").returncode == 0
    assert "--as" in ca("sign", request(""), directory=authority, code=65).stderr
    ca("sign", request("", "2048"), "--as", "default/ratings", directory=authority)
    assert "not for" in ca("sign", request(f"URI:{REVIEWS}"), "--as", "default/ratings", directory=authority, code=65).stderr
    assert "one is expected" in ca("sign", request(f"URI:{REVIEWS},URI:{REVIEWS}2"), directory=authority, code=65).stderr
    assert "trust domain" in ca("sign", request("URI:spiffe://other/ns/a/sa/b"), directory=authority, code=65).stderr
    assert "weaker" in ca("sign", request(f"URI:{REVIEWS}", "1024"), directory=authority, code=65).stderr
    # A request whose signature is not its key's.
    body = bytearray(x509.load_pem_x509_csr(wished.read_bytes()).public_bytes(Encoding.DER))
    body[-3] ^= 1
    (tmp_path / "forged.der").write_bytes(body)
    (tmp_path / "forged.pem").write_text(openssl("req", "-inform", "DER", "-in", tmp_path / "forged.der").stdout)
    assert ca("sign", tmp_path / "forged.pem", directory=authority, code=65).stderr
    assert len(json.loads(ca("list", "-o", "json", directory=authority).stdout)["certificates"]) == 3


def test_revoked_certificates_are_on_a_list(authority, tmp_path):
    for account in ["reviews", "ratings"]:
        ca("issue", f"default/{account}", "--out", tmp_path / account, directory=authority)
    leaf = tmp_path / "reviews/tls.crt"
    checks = ["-crl_check", "-CRLfile", authority / "ca-crl.pem"]
    assert verify(leaf, authority / "root-cert.pem", *checks).returncode == 0
    said = ca("revoke", "default/reviews", directory=authority).stdout
    assert REVIEWS in said
    refused = verify(leaf, authority / "root-cert.pem", *checks)
    assert refused.returncode != 0 and "revoked" in refused.stderr
    assert verify(tmp_path / "ratings/tls.crt", authority / "root-cert.pem", *checks).returncode == 0
    crl = x509.load_pem_x509_crl((authority / "ca-crl.pem").read_bytes())
    assert crl.is_signature_valid(certificates(authority / "ca-cert.pem")[0].public_key())
    assert crl.get_revoked_certificate_by_serial_number(certificates(leaf)[0].serial_number)
    shown = ca("list", directory=authority).stdout.splitlines()
    assert len(shown) == 2 and "ratings" in shown[1] and shown[1][shown[0].index("EXPIRES"):].startswith("20")
    listed = json.loads(ca("list", "--all", "-o", "json", directory=authority).stdout)["certificates"]
    assert sorted(item["state"] for item in listed) == ["revoked", "valid"]
    assert "nothing was issued" in ca("revoke", "default/nobody", directory=authority, code=65).stderr
    # The list of an intermediate goes on behind the next one's.
    ca("rotate", directory=authority)
    assert verify(leaf, authority / "root-cert.pem", *checks).returncode != 0
    assert (authority / "ca-crl.pem").read_text().count("BEGIN X509 CRL") == 2


def test_roots_overlap(authority, tmp_path):
    ca("issue", "default/old", "--out", tmp_path / "old", directory=authority)
    said = ca("rotate", "--root", directory=authority).stdout
    assert said.count("trusted") == 2 and "--forget-roots" in said
    ca("issue", "default/new", "--out", tmp_path / "new", directory=authority)
    for leaf in ["old", "new"]:
        for roots in ["old", "new"]:
            done = verify(tmp_path / leaf / "tls.crt", tmp_path / roots / "ca.crt")
            assert done.returncode == 0, f"{leaf} to {roots}: {done.stderr}"
    verifier = PolicyBuilder().store(Store(certificates(tmp_path / "old/ca.crt"))).build_client_verifier()
    leaf, *chain = certificates(tmp_path / "new/tls.crt")
    assert verifier.verify(leaf, chain)
    assert "default/sa/old" in ca("rotate", "--forget-roots", directory=authority, code=65).stderr
    ca("rotate", "--forget-roots", "--force", directory=authority)
    assert len(certificates(authority / "root-cert.pem")) == 1
    ca("issue", "default/last", "--out", tmp_path / "last", directory=authority)
    assert verify(tmp_path / "last/tls.crt", tmp_path / "new/ca.crt").returncode == 0
    assert verify(tmp_path / "last/tls.crt", tmp_path / "old/ca.crt").returncode != 0
    (authority / "root-key.pem").rename(tmp_path / "root-key.pem")
    assert "root-key.pem" in ca("rotate", directory=authority, code=65).stderr


def test_proxies_go_on_while_roots_change(authority, tmp_path, start, backend):
    """One end renews under the new root before the other does, and then the other: every request is answered."""
    places = {account: tmp_path / account for account in ["web", "client"]}
    renew = lambda account: ca("issue", f"default/{account}", "--out", places[account], directory=authority)
    for account in places:
        renew(account)
    port = free_port()
    server = start(server_side(port, backend.port, "STRICT"), ["--identity", str(places["web"]), "--node", "web"])
    client = start(client_side([port]), ["--identity", str(places["client"])])
    answers = lambda: [client.get("/", host="api.local")[0] for _ in range(10)]
    assert answers() == [200] * 10, client.log()[-800:]
    ca("rotate", "--root", directory=authority)
    for account, proxy in [("web", server), ("client", client)]:
        renew(account)
        wait_for(lambda: "certificate renewed" in proxy.log(), seconds=20, what="the renewal")
        assert answers() == [200] * 10, client.log()[-800:]
    ca("rotate", "--forget-roots", "--force", directory=authority)
    for account, proxy in [("client", client), ("web", server)]:
        renew(account)
        wait_for(lambda: proxy.log().count("certificate renewed") == 2, seconds=20, what="the second renewal")
        assert answers() == [200] * 10, client.log()[-800:]


def test_check_says_what_to_do(authority, tmp_path):
    good = ca("check", directory=authority)
    assert "0 failed, 0 warnings" in good.stdout and "√" in good.stdout
    (authority / "ca-key.pem").chmod(0o644)
    warned = ca("check", directory=authority).stdout
    assert "‼" in warned and "chmod 600" in warned
    (authority / "ca-key.pem").chmod(0o600)
    (authority / "root-cert.pem").write_bytes(MeshCA(tmp_path / "other").certificate.read_bytes())
    failed = ca("check", directory=authority, code=79)
    assert "×" in failed.stdout
    # Nothing is issued that nobody would believe.
    refused = ca("issue", "default/reviews", "--out", tmp_path / "id", directory=authority, code=65)
    assert "skein ca check" in refused.stderr and not (tmp_path / "id").exists()
    assert json.loads(ca("check", "-o", "json", directory=authority, code=79).stdout)["failed"] >= 1
    assert "skein ca init" in ca("check", directory=tmp_path / "none", code=79).stdout
    assert "skein ca init" in ca("list", directory=tmp_path / "none", code=65).stderr


def test_an_authority_that_istiod_uses(tmp_path):
    """cacerts as Istio's own Makefile makes them, by openssl alone."""
    root = MeshCA(tmp_path / "root", name="Root CA", domain="Istio")
    subject = "/O=Istio/CN=Intermediate CA"
    between = root.issue(tmp_path / "between", [], usage="keyCertSign,cRLSign", authority=True, extended="", subject=subject)
    place = tmp_path / "cacerts"
    place.mkdir(mode=0o700)
    (place / "ca-cert.pem").write_bytes((between / "tls.crt").read_bytes())
    (place / "ca-key.pem").write_bytes((between / "tls.key").read_bytes())
    (place / "ca-key.pem").chmod(0o600)
    (place / "root-cert.pem").write_bytes(root.certificate.read_bytes())
    (place / "cert-chain.pem").write_bytes((place / "ca-cert.pem").read_bytes() + root.certificate.read_bytes())
    ca("issue", "default/reviews", "--out", tmp_path / "id", "--lifetime", "1h", directory=place)
    assert len(certificates(tmp_path / "id/tls.crt")) == 2
    assert verify(tmp_path / "id/tls.crt", root.certificate).returncode == 0
    assert "already" in ca("init", directory=place, code=65).stderr


def test_no_output_has_a_key(authority, tmp_path):
    for arguments in [["issue", "default/reviews", "--out", tmp_path / "id"], ["list", "--all", "-o", "json"], ["check"], ["rotate"]]:
        done = ca(*arguments, directory=authority)
        assert "PRIVATE" not in done.stdout + done.stderr


def test_many_at_once_are_all_recorded(authority, tmp_path):
    """Each process has the directory to itself while it writes."""
    commands = [[SKEIN, "ca", "issue", f"default/n{n}", "--out", tmp_path / f"n{n}", "--directory", authority] for n in range(8)]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    assert [process.wait(60) for process in processes] == [0] * 8
    listed = json.loads(ca("list", "-o", "json", directory=authority).stdout)["certificates"]
    assert sorted(item["names"][0].rsplit("/")[-1] for item in listed) == [f"n{n}" for n in range(8)]


def test_words_about_wrong_usage(authority, tmp_path):
    for arguments, words in [
        (["issue", "--out", tmp_path / "x"], "--server"),
        (["issue", "default/reviews", "--out", tmp_path / "x", "--lifetime", "1y"], "lifetime"),
        (["rotate", "--root", "--forget-roots"], "two steps"),
        (["rotate", "--force"], "--forget-roots"),
    ]:
        assert words in ca(*arguments, directory=authority, code=64).stderr
    assert "366d" in ca("issue", "default/reviews", "--out", tmp_path / "x", "--lifetime", "400d", directory=authority, code=65).stderr
    for command in ["init", "issue", "sign", "list", "revoke", "rotate", "check"]:
        assert "EXAMPLES" in run("ca", command, "--help").stdout
