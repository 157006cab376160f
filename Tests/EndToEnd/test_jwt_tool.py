"""`skein jwt` against PyJWT, joserfc, cryptography and openssl: each takes what the other made, and refuses what is wrong."""

import base64
import datetime
import json
import os
import stat
import subprocess
import time

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import NameOID
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt

from conftest import SKEIN

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
CLAIMS = {"iss": "https://issuer.example", "sub": "älice", "aud": ["shop", "depot"], "realm_access": {"roles": ["user"]}}


def tool(*arguments, text=None, code=0):
    done = subprocess.run([SKEIN, "jwt", *map(str, arguments)], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header, payload, sign):
    """A token in the compact form, with whatever signature."""
    text = ".".join(b64(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (header, payload))
    return f"{text}.{b64(sign(text.encode()))}"


def make_key(algorithm):
    """A private key of Python's cryptography."""
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm]())
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 2048)


def public_jwk(key, **more):
    kind = {rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm, ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm}
    maker = next((maker for type, maker in kind.items() if isinstance(key, type)), jwt.algorithms.OKPAlgorithm)
    return {**maker.to_jwk(key.public_key(), as_dict=True), **more}


@pytest.fixture
def verify(tmp_path):
    """Whether `skein jwt verify` takes a token with these keys; the reason when not."""

    def check(token, *keys, options=(), code=None):
        jwks = tmp_path / "jwks.json"
        jwks.write_text(json.dumps({"keys": keys}))
        done = subprocess.run(
            [SKEIN, "jwt", "verify", "--jwks", jwks, "-o", "json", *map(str, options), "-"], input=token, capture_output=True, text=True)
        assert done.returncode == (code if code is not None else done.returncode), done.stdout + done.stderr
        assert done.returncode in (0, 79), done.stderr
        answer = json.loads(done.stdout)
        assert answer["verified"] == (done.returncode == 0)
        return True if answer["verified"] else answer["reason"]

    return check


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_others_take_our_tokens(tmp_path, verify, algorithm):
    pem = tmp_path / "key.pem"
    made = json.loads(tool("keygen", "--algorithm", algorithm, "--out", pem, "-o", "json").stdout)
    assert made["algorithm"] == algorithm
    private = serialization.load_pem_private_key(pem.read_bytes(), None)
    jwks = json.loads(tool("jwks", "--key", pem).stdout)
    token = tool(
        "issue", "--key", pem, "--algorithm", algorithm, "--issuer", CLAIMS["iss"], "--subject", CLAIMS["sub"], "--audience", "shop",
        "--audience", "depot", "--claim", f"realm_access:={json.dumps(CLAIMS['realm_access'])}", "--claim", "group=a=b", "--expires", "5m",
    ).stdout.strip()
    [key] = jwks["keys"]
    assert key["kid"] == made["kid"] and not {"d", "p", "q", "k"} & key.keys()
    read = jwt.decode(token, jwt.PyJWK(key, algorithm), algorithms=[algorithm], audience="shop", issuer=CLAIMS["iss"])
    assert {name: read[name] for name in CLAIMS} == CLAIMS and read["group"] == "a=b" and read["exp"] - read["iat"] == 300
    header = jwt.get_unverified_header(token)
    assert header == {"alg": algorithm, "typ": "JWT", "kid": made["kid"]}
    other = joserfc_jwk.KeySet.import_key_set(jwks)
    assert joserfc_jwt.decode(token, other, algorithms=[algorithm]).claims == read
    assert made["kid"] == other.keys[0].thumbprint()
    assert verify(token, key) is True
    # The public half in the set is that of the file.
    assert jwt.PyJWK(key, algorithm).key.public_numbers() == private.public_key().public_numbers() if algorithm != "EdDSA" else True


@pytest.mark.parametrize("algorithm", ALGORITHMS + ["HS256", "HS384", "HS512"])
def test_we_take_tokens_of_others(verify, algorithm):
    now = int(time.time())
    claims = {**CLAIMS, "exp": now + 300}
    if algorithm.startswith("HS"):
        secret = os.urandom(64)
        public, signer, other = {"kty": "oct", "k": b64(secret)}, secret, joserfc_jwk.OctKey.import_key(secret)
    else:
        signer = make_key(algorithm)
        public = public_jwk(signer)
        pem = signer.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        kind = joserfc_jwk.RSAKey if algorithm[:2] in ("RS", "PS") else joserfc_jwk.OKPKey if algorithm == "EdDSA" else joserfc_jwk.ECKey
        other = kind.import_key(pem)
    for token in (jwt.encode(claims, signer, algorithm), joserfc_jwt.encode({"alg": algorithm}, claims, other, algorithms=[algorithm])):
        assert verify(token, public) is True
        assert verify(token, {**public, "alg": algorithm, "use": "sig"}) is True
        assert verify(token, {**public, "kid": "a"}, options=["--issuer", CLAIMS["iss"], "--audience", "depot"]) is True
        head, body, signature = token.split(".")
        changed = f"{head}.{b64(json.dumps({**claims, 'sub': 'root'}).encode())}.{signature}"
        assert verify(changed, public) == "Jwt verification fails"
    assert verify(jwt.encode(claims, signer, algorithm, headers={"kid": "b"}), {**public, "kid": "a"}).startswith("Jwks doesn't have key")


def test_ed448_and_the_names_of_rfc_9864(tmp_path, verify):
    key = ed448.Ed448PrivateKey.generate()
    assert verify(jwt.encode({"sub": "a"}, key, "EdDSA"), public_jwk(key)) is True
    for name in ("Ed25519", "Ed448"):
        pem = tmp_path / f"{name}.pem"
        tool("keygen", "--algorithm", name, "--out", pem)
        jwks = json.loads(tool("jwks", "--key", pem).stdout)
        assert jwks["keys"][0]["crv"] == name
        token = tool("issue", "--key", pem, "--algorithm", name, "--issuer", "me", "--subject", "a").stdout.strip()
        keys = joserfc_jwk.KeySet.import_key_set(jwks)
        assert joserfc_jwt.decode(token, keys, algorithms=[name]).claims["sub"] == "a"
        other = joserfc_jwk.OKPKey.import_key(pem.read_bytes())
        assert verify(joserfc_jwt.encode({"alg": name}, {"sub": "a"}, other, algorithms=[name]), jwks["keys"][0]) is True


def test_keys_of_certificates(verify):
    """Keys that have only x5c, as some issuers publish them."""
    for algorithm in ("RS256", "ES256", "EdDSA"):
        key = make_key(algorithm)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
        start = datetime.datetime(2020, 1, 1)
        certificate = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
            .not_valid_before(start).not_valid_after(start.replace(year=2050))
            .sign(key, None if algorithm == "EdDSA" else hashes.SHA256()))
        chain = [base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()]
        whole = public_jwk(key)
        token = jwt.encode({"sub": "a"}, key, algorithm)
        bare = {name: value for name, value in whole.items() if name in ("kty", "crv")}
        assert verify(token, {**bare, "x5c": chain}) is True
        # With both, the numbers count.
        assert verify(token, {**public_jwk(make_key(algorithm)), "x5c": chain}) == "Jwt verification fails"
        assert verify(token, {**whole, "x5c": ["AAAA"]}) is True


def test_signatures_that_are_almost_right(verify):
    key = rsa.generate_private_key(65537, 2048)
    claims = {"sub": "a"}

    def pss(salt, digest=hashes.SHA256(), mask=None):
        return lambda text: key.sign(text, padding.PSS(padding.MGF1(mask or digest), salt), digest)

    header = {"alg": "PS256"}
    assert verify(signed(header, claims, pss(32)), public_jwk(key)) is True
    for wrong in (pss(0), pss(20), pss(31), pss(33), pss(64), pss(32, hashes.SHA512()), pss(32, mask=hashes.SHA1())):
        assert verify(signed(header, claims, wrong), public_jwk(key)) == "Jwt verification fails"
    pkcs1 = lambda digest: lambda text: key.sign(text, padding.PKCS1v15(), digest)  # noqa: E731
    assert verify(signed({"alg": "RS256"}, claims, pkcs1(hashes.SHA256())), public_jwk(key)) is True
    for wrong in (pkcs1(hashes.SHA1()), pkcs1(hashes.SHA512()), pss(32), lambda text: pkcs1(hashes.SHA256())(text)[1:]):
        assert verify(signed({"alg": "RS256"}, claims, wrong), public_jwk(key)) == "Jwt verification fails"
    curve = ec.generate_private_key(ec.SECP256R1())
    der = lambda text: curve.sign(text, ec.ECDSA(hashes.SHA256()))  # noqa: E731
    assert verify(signed({"alg": "ES256"}, claims, der), public_jwk(curve)) == "Jwt verification fails"
    zeros = lambda text: encode_dss_signature(0, 0)  # noqa: E731
    assert verify(signed({"alg": "ES256"}, claims, zeros), public_jwk(curve)) == "Jwt verification fails"


def test_keys_that_are_too_weak_are_named(tmp_path, verify):
    weak = rsa.generate_private_key(65537, 1024)
    good = make_key("RS256")
    token = jwt.encode({"sub": "a"}, good, "RS256")
    assert verify(token, public_jwk(weak), public_jwk(good)) is True
    (tmp_path / "weak.json").write_text(json.dumps({"keys": [public_jwk(weak, kid="old")]}))
    done = tool("verify", "--jwks", tmp_path / "weak.json", "-", text=token, code=65)
    assert 'key 1 (kid "old") was left out: an RSA key of 1024 bits; 2048 to 8192 are taken' in done.stderr


def test_times_issuers_and_audiences(tmp_path, verify):
    pem = tmp_path / "key.pem"
    tool("keygen", "--out", pem)
    [key] = json.loads(tool("jwks", "--key", pem).stdout)["keys"]
    now = int(time.time())

    def issue(*options):
        return tool("issue", "--key", pem, "--issuer", "me", "--subject", "alice", *options).stdout

    assert verify(issue(), key) is True
    old = issue("--issued-at", now - 3700)
    assert verify(old, key) == "Jwt is expired" and verify(old, key, options=["--skew", "5m"]) is True
    assert verify(issue("--not-before", "10m"), key) == "Jwt not yet valid"
    assert verify(issue(), key, options=["--issuer", "Me"]) == "Jwt issuer is not configured"
    assert verify(issue(), key, options=["--audience", "a"]) == "Audiences in Jwt are not allowed"
    assert verify(issue("--audience", "b"), key, options=["--audience", "a", "--audience", "b"]) is True
    assert verify(issue("--audience", "ab"), key, options=["--audience", "a"]) == "Audiences in Jwt are not allowed"


def test_what_show_says(tmp_path):
    pem = tmp_path / "key.pem"
    tool("keygen", "--out", pem)
    token = tool("issue", "--key", pem, "--issuer", "me", "--subject", "a\u202ebc").stdout
    told = tool("show", token.strip())
    assert told.stdout.startswith("not verified: ") and "expires  2" in told.stdout and "\u202e" not in told.stdout
    answer = json.loads(tool("show", "-o", "json", "-", text=token).stdout)
    assert answer["verified"] is False and answer["payload"]["sub"] == "a\u202ebc" and answer["header"]["alg"] == "ES256"
    refused = tool("show", "a.b", code=65)
    assert "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections" in refused.stderr
    assert "it is not signed" in tool("show", signed({"alg": "none"}, {}, lambda text: b"x"), code=65).stderr


def test_a_key_is_written_once_and_for_its_owner(tmp_path):
    pem = tmp_path / "key.pem"
    os.umask(0)
    tool("keygen", "--out", pem)
    os.umask(0o022)
    assert stat.S_IMODE(os.stat(pem).st_mode) == 0o600
    before = pem.read_bytes()
    assert "--force" in tool("keygen", "--out", pem, code=65).stderr and pem.read_bytes() == before
    tool("keygen", "--out", pem, "--force")
    assert pem.read_bytes() != before and stat.S_IMODE(os.stat(pem).st_mode) == 0o600
    link = tmp_path / "link.pem"
    link.symlink_to(tmp_path / "elsewhere")
    tool("keygen", "--out", link, code=65)
    assert not (tmp_path / "elsewhere").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.pem", "link.pem"]
    assert "cannot be written" in tool("keygen", "--out", tmp_path / "no" / "key.pem", code=70).stderr


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_openssl_and_we_read_each_others_keys(tmp_path, algorithm):
    pem = tmp_path / "key.pem"
    tool("keygen", "--algorithm", algorithm, "--out", pem)
    told = subprocess.run(["openssl", "pkey", "-in", pem, "-check", "-noout"], capture_output=True, text=True)
    assert told.returncode == 0 and "Key is valid" in told.stdout + told.stderr
    kind = {"RS256": ["RSA"], "EdDSA": ["ed25519"]}.get(
        algorithm, ["EC", "-pkeyopt", f"group:{ {'ES256': 'P-256', 'ES384': 'P-384', 'ES512': 'P-521'}.get(algorithm) }"])
    theirs = tmp_path / "theirs.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", *kind, "-out", theirs], check=True, capture_output=True)
    keys = json.loads(tool("jwks", "--key", pem, "--key", theirs).stdout)["keys"]
    assert len({key["kid"] for key in keys}) == 2
    token = tool("issue", "--key", theirs, "--issuer", "me", "--subject", "a").stdout.strip()
    assert jwt.decode(token, jwt.PyJWK(keys[1], algorithm), algorithms=[algorithm])["sub"] == "a"


def test_wrong_usage_says_what_would_be_right(tmp_path):
    pem = tmp_path / "key.pem"
    tool("keygen", "--out", pem)
    issue = ("issue", "--key", pem, "--issuer", "me", "--subject", "a")
    secret = pem.read_text().splitlines()[1]
    for arguments, code, words in [
        (("keygen", "--algorithm", "HS256", "--out", tmp_path / "x"), 64, "- ES256\n"),
        (("keygen", "--bits", "4096", "--out", tmp_path / "x"), 64, "--bits is for RSA keys alone"),
        (("keygen", "--algorithm", "RS256", "--bits", "1024", "--out", tmp_path / "x"), 64, "2048 to 8192"),
        ((*issue, "--claim", "exp:=1"), 64, "the claim exp is set by --expires"),
        ((*issue, "--claim", "a=1", "--claim", "a=2"), 64, "given twice"),
        ((*issue, "--claim", "a:={"), 64, "NAME:=JSON"),
        ((*issue, "--claim", "a:=1,\"iss\":\"root\""), 64, "NAME:=JSON"),
        ((*issue, "--claim", "a:={\"b\":1,\"b\":2}"), 65, "two members of one name"),
        ((*issue, "--algorithm", "RS256"), 65, "RS256 is not for a key of this type"),
        ((*issue, "--claim", "a=" + "b" * 20000), 65, "too long"),
        (("issue", "--key", tmp_path / "none.pem", "--issuer", "me", "--subject", "a"), 65, "No such file"),
        (("issue", "--key", tmp_path, "--issuer", "me", "--subject", "a"), 65, "cannot be read"),
        (("issue", "--key", SKEIN, "--issuer", "me", "--subject", "a"), 65, "more than 65536 bytes"),
        (("jwks", "--key", pem, "--key", pem, "--kid", "a"), 64, "--kid names one key"),
        (("verify", "--jwks", pem, "a.b.c"), 65, "not JSON"),
    ]:
        told = tool(*arguments, code=code)
        assert words in told.stderr, told.stderr
        assert secret not in told.stderr + told.stdout
    token = tool(*issue).stdout.strip()
    alone = tool("show", "-o", "json", token).stdout
    for words in ([f"Authorization: Bearer {token}"], ["Bearer", token], [f" {token}\n"]):
        assert tool("show", "-o", "json", *words).stdout == alone
    for words in (["a", token], [], [token, token]):
        told = tool("show", *words, code=64)
        assert "give one token" in told.stderr and token[:30] not in told.stderr + told.stdout
    for text in (token[:-5], token + "!", token.replace(".", "..")):
        assert token[40:60] not in (done := tool("verify", "--jwks", "-", text, text="{}", code=65)).stderr + done.stdout
