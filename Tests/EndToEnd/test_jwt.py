"""RequestAuthentication: whose a request is by its token, with tokens of PyJWT and key servers that are good, away, slow or lying."""

import base64
import concurrent.futures
import hashlib
import hmac
import json
import pathlib
import re
import socket
import subprocess
import threading
import time

import jwt
import pytest

from conftest import SKEIN, access_log, free_port, http_get, mesh, wait_for
from envoy_peer import Envoy, cluster, typed
from guarded_workload import guarded_workload
from http2_peers import H2Client
from mesh_ca import MeshCA
from test_authorization import policy, send, whole_lines
from test_gateway import ARGUMENTS, HTTP, answering, edge, rule, service
from token_issuer import Issuer, Key


def authentication(rules, namespace="production", selector="selector: {matchLabels: {app: api}}", name="jwt-auth"):
    return f"""
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: {name}, namespace: {namespace}}}
spec: {json.dumps({"jwtRules": rules}) if not selector else "{" + selector + ", jwtRules: " + json.dumps(rules) + "}"}
"""


def workload(port, backend_port, resources):
    return guarded_workload("api", port, backend_port, resources)


REQUIRED = policy("need", 'selector: {matchLabels: {app: api}}\nrules:\n- from: [{source: {requestPrincipals: ["*"]}}]')


@pytest.fixture
def issuer():
    made = Issuer()
    yield made
    made.close()


@pytest.fixture
def guarded(start, backend):
    def begin(rules, resources="", arguments=()):
        port = free_port()
        rules = rules if isinstance(rules, str) else authentication(rules)
        skein = start(workload(port, backend.port, rules + resources), ["--node", "production/api", "--workers", "1", *arguments])
        skein.inbound, skein.backend = port, backend
        return skein

    return begin


def get(skein, token=None, path="/", method="GET", **headers):
    fields = {"Host": "api", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if token:
        fields["Authorization"] = f"Bearer {token}"
    return http_get(skein.inbound, path, fields, method=method)


def inline(issuer, **more):
    return {"issuer": issuer.name, "jwks": json.dumps(issuer.jwks()), **more}


def remote(issuer, **more):
    return {"issuer": issuer.name, "jwksUri": issuer.url, **more}


def sent(skein):
    """The header fields that the last request reached the backend with."""
    return {name.decode().lower(): value.decode() for name, value in skein.backend.requests[-1][1]}


class TestSeed:
    def test_no_token_a_good_one_and_a_bad_one(self, guarded, issuer):
        skein = guarded([remote(issuer)])
        assert get(skein)[0] == 200
        token = issuer.token()
        status, _, body = get(skein, token)
        assert (status, body) == (200, b"ok")
        assert "authorization" not in sent(skein), "the token stays here"
        status, headers, body = get(skein, token[:-4] + "AAAA", "/x?y=1")
        assert (status, body) == (401, b"Jwt verification fails")
        assert headers["www-authenticate"] == 'Bearer realm="http://api/x", error="invalid_token"'
        lines = access_log(skein, 3)
        assert lines[-1]["details"] == "jwt_authn_access_denied{Jwt_verification_fails}"
        assert lines[-1]["code"] in (401, "401") and lines[-1]["route"]
        assert len(skein.backend.requests) == 2
        assert skein.samples("skein_jwt_requests_total", result="accepted") == 1
        assert skein.samples("skein_jwt_requests_total", result="refused") == 1
        assert skein.samples("skein_jwks_keys") == 1
        assert skein.samples("istio_requests_total", response_code="401") == 1

    def test_a_token_may_be_demanded(self, guarded, issuer):
        skein = guarded([inline(issuer)], REQUIRED)
        assert get(skein)[::2] == (403, b"RBAC: access denied")
        assert get(skein, issuer.token())[0] == 200
        assert get(skein, issuer.token(sub=None))[0] == 403, "it is about nobody"
        assert get(skein, "nonsense")[0] == 401

    def test_presence_required(self, guarded, issuer):
        skein = guarded([inline(issuer, presence="REQUIRED")])
        status, headers, body = get(skein)
        assert (status, body) == (401, b"Jwt is missing")
        assert headers["www-authenticate"] == 'Bearer realm="http://api/"'
        assert get(skein, issuer.token())[0] == 200

    def test_others_are_left_alone(self, guarded, issuer):
        skein = guarded(authentication([inline(issuer)], selector="selector: {matchLabels: {app: other}}"))
        assert get(skein, "nonsense")[0] == 200
        assert sent(skein)["authorization"] == "Bearer nonsense"

    def test_a_preflight_carries_no_token(self, guarded, issuer):
        skein = guarded([inline(issuer, presence="REQUIRED")])
        fields = {"Origin": "https://a.example", "Access-Control-Request-Method": "PUT"}
        assert get(skein, method="OPTIONS", **fields)[0] == 200
        assert get(skein, method="OPTIONS", Origin="https://a.example")[0] == 401


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"])
def test_every_algorithm(guarded, issuer, algorithm):
    issuer.keys = [Key(algorithm)]
    skein = guarded([inline(issuer)], REQUIRED)
    token = issuer.token()
    assert get(skein, token)[0] == 200
    assert get(skein, token)[0] == 200
    assert skein.samples("skein_jwt_tokens_total", **{"from": "remembered"}) == 1
    head, body, signature = token.split(".")
    forged = base64.urlsafe_b64encode(base64.urlsafe_b64decode(body + "==").replace(b"alice", b"admin")).rstrip(b"=").decode()
    assert get(skein, f"{head}.{forged}.{signature}")[0] == 401


def segment(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def raw_token(issuer, header, payload):
    """Signed by the issuer's first key, whatever header and payload are."""
    key = issuer.keys[0]
    text = f"{segment(header)}.{segment(payload)}"
    signer = jwt.get_algorithm_by_name(key.algorithm)
    return f"{text}.{segment(signer.sign(text.encode(), key.private))}"


NOW = int(time.time())
GOOD = {"iss": "https://issuer.example", "sub": "alice", "exp": NOW + 3600}
HEAD = {"alg": "ES256", "kid": "k1"}
MISTAKES = {
    "expired": (HEAD, {**GOOD, "exp": NOW - 61}, 401, "Jwt is expired"),
    "not yet": (HEAD, {**GOOD, "nbf": NOW + 600}, 401, "Jwt not yet valid"),
    "unknown issuer": (HEAD, {**GOOD, "iss": "https://other.example"}, 401, "Jwt issuer is not configured"),
    "no issuer": (HEAD, {"sub": "alice"}, 401, "Jwt issuer is not configured"),
    "audience": (HEAD, {**GOOD, "aud": "other"}, 403, "Audiences in Jwt are not allowed"),
    "no audience": (HEAD, {k: v for k, v in GOOD.items()}, 403, "Audiences in Jwt are not allowed"),
    "unknown key": ({**HEAD, "kid": "k2"}, {**GOOD, "aud": "api"}, 401, "Jwks doesn't have key to match kid or alg from Jwt"),
    "list of issuers": (HEAD, {**GOOD, "iss": ["https://issuer.example"]}, 401, None),
    "number as kid": ({**HEAD, "kid": 1}, {**GOOD, "aud": "api"}, 401, None),
    "text as exp": (HEAD, {**GOOD, "aud": "api", "exp": str(NOW + 60)}, 401, None),
    "audience of objects": (HEAD, {**GOOD, "aud": [{"a": "api"}]}, 401, None),
    "critical": ({**HEAD, "crit": ["exp"]}, {**GOOD, "aud": "api"}, 401, None),
    "not base64 payload": ({**HEAD, "b64": False, "crit": ["b64"]}, {**GOOD, "aud": "api"}, 401, None),
    "member twice": (HEAD, b'{"iss":"https://issuer.example","sub":"alice","aud":"api","sub":"admin"}', 401, None),
    "header member twice": (b'{"alg":"none","alg":"ES256","kid":"k1"}', {**GOOD, "aud": "api"}, 401, None),
    "unknown algorithm": ({"alg": "ES256K"}, {**GOOD, "aud": "api"}, 401, None),
    "none": ({"alg": "none"}, {**GOOD, "aud": "api"}, 401, None),
    "None": ({"alg": "nOnE"}, {**GOOD, "aud": "api"}, 401, None),
    "no algorithm": ({"kid": "k1"}, {**GOOD, "aud": "api"}, 401, None),
    "another algorithm": ({"alg": "RS256", "kid": "k1"}, {**GOOD, "aud": "api"}, 401, None),
    "payload is a list": (HEAD, [GOOD], 401, None),
    "deep": (HEAD, b'{"iss":"https://issuer.example","a":' + b"[" * 1000 + b"]" * 1000 + b"}", 401, None),
    "bad UTF-8": (HEAD, b'{"iss":"https://issuer.example","aud":"api","sub":"\xff"}', 401, None),
}


class TestMistakes:
    @pytest.fixture(scope="class")
    def strict(self, tmp_path_factory):
        """One proxy for all of them."""
        from conftest import Backend, Skein

        issuer, backend, port = Issuer(), Backend(), free_port()
        text = workload(port, backend.port, authentication([inline(issuer, audiences=["api"])]))
        skein = Skein(tmp_path_factory.mktemp("skein"), text, ["--node", "production/api"]).wait_ready()
        skein.inbound, skein.backend, skein.issuer = port, backend, issuer
        yield skein
        skein.stop()
        backend.close()
        issuer.close()

    def test_a_good_one(self, strict):
        assert get(strict, raw_token(strict.issuer, HEAD, {**GOOD, "aud": "api"}))[0] == 200
        assert get(strict, raw_token(strict.issuer, HEAD, {**GOOD, "aud": ["x", "https://api/"]}))[0] == 200
        assert get(strict, raw_token(strict.issuer, {"alg": "ES256"}, {**GOOD, "aud": "api", "exp": NOW + 3600.5}))[0] == 200

    @pytest.mark.parametrize("name", MISTAKES)
    def test_is_refused(self, strict, name):
        header, payload, status, text = MISTAKES[name]
        got, _, body = get(strict, raw_token(strict.issuer, header, payload))
        assert got == status, body
        assert text is None or body.decode() == text

    def test_a_public_key_is_no_secret(self, strict):
        public = json.dumps(strict.issuer.jwks()["keys"][0]).encode()
        text = f'{segment({"alg": "HS256", "kid": "k1"})}.{segment({**GOOD, "aud": "api"})}'
        token = f"{text}.{segment(hmac.new(public, text.encode(), hashlib.sha256).digest())}"
        assert get(strict, token)[0] == 401

    def test_keys_in_the_token_count_for_nothing(self, strict):
        other = Key()
        for extra in [{"jwk": other.public()}, {"jku": "http://127.0.0.1:1/"}, {"x5u": "http://127.0.0.1:1/"}]:
            token = jwt.encode({**GOOD, "aud": "api"}, other.private, algorithm="ES256", headers={"kid": "k1", **extra})
            assert get(strict, token)[0] == 401

    @pytest.mark.parametrize("token", [
        "a", "a.b", "a.b.c", "..", "a.b.c.d.e", "." * 10_000, "e30.e30.e30", "e30=.e30.e30", "\xff.a.b", "%", " a.b.c",
    ])
    def test_nonsense(self, strict, token):
        with socket.create_connection(("127.0.0.1", strict.inbound), timeout=10) as plain:
            answer = send(plain, "GET", "/", "api", [("Authorization", f"Bearer {token}")])
        assert int(answer.split()[1]) == 401

    def test_sizes(self, strict):
        token = raw_token(strict.issuer, HEAD, {**GOOD, "aud": "api", "x": "y" * 14_000})
        assert get(strict, token)[0] == 401, "longer than tokens may be"
        with socket.create_connection(("127.0.0.1", strict.inbound), timeout=10) as plain:
            answer = send(plain, "GET", "/", "api", [("Authorization", "Bearer " + "a" * (1 << 20))])
        assert int(answer.split()[1]) in (431, 400, 401)
        assert get(strict, raw_token(strict.issuer, HEAD, {**GOOD, "aud": "api"}))[0] == 200

    def test_two_tokens_must_both_be_good(self, strict):
        good = raw_token(strict.issuer, HEAD, {**GOOD, "aud": "api"})
        for pair in [(good, "bad"), ("bad", good)]:
            with socket.create_connection(("127.0.0.1", strict.inbound), timeout=10) as plain:
                answer = send(plain, "GET", "/", "api", [("Authorization", f"Bearer {token}") for token in pair])
            assert int(answer.split()[1]) == 401
        assert get(strict, good, "/?access_token=bad")[0] == 401
        assert get(strict, good, f"/?access_token={good}")[0] == 200


class TestPlaces:
    def test_the_default_places(self, guarded, issuer):
        skein = guarded([inline(issuer)], REQUIRED)
        token = issuer.token()
        assert get(skein, Authorization=f"bearer  {token}")[0] == 200
        assert get(skein, Authorization=f"Basic {token}")[0] == 403
        assert get(skein, path=f"/a?x=1&access_token={token}&y=2")[0] == 200
        assert skein.backend.requests[-1][0] == b"GET /a?x=1&y=2 HTTP/1.1"
        assert get(skein, path=f"/a?access_token={token}")[0] == 200
        assert skein.backend.requests[-1][0] == b"GET /a HTTP/1.1"
        assert get(skein, path="/a?access_token=bad")[0] == 401
        lines = [json.dumps(line) for line in access_log(skein, 5)]
        assert not any(token in line or "access_token" in line for line in lines)

    def test_places_of_a_rule(self, guarded, issuer):
        places = {"fromHeaders": [{"name": "X-Token", "prefix": "T "}, {"name": "x-raw"}], "fromParams": ["t"], "fromCookies": ["session"]}
        skein = guarded([inline(issuer, **places)], REQUIRED)
        token = issuer.token()
        assert get(skein, token)[0] == 403, "the default places are not looked at"
        assert get(skein, X_Token=f"T {token}")[0] == 200
        assert "x-token" not in sent(skein)
        assert get(skein, X_Token=token)[0] == 403, "the prefix is missing"
        assert get(skein, X_Raw=token)[0] == 200
        assert get(skein, path=f"/?t={token}")[0] == 200
        assert get(skein, Cookie=f"a=b; session={token}; c=d")[0] == 200
        assert sent(skein)["cookie"] == "a=b; c=d"
        assert get(skein, Cookie=f"session={token}")[0] == 200
        assert "cookie" not in sent(skein)

    def test_the_token_may_be_forwarded(self, guarded, issuer):
        skein = guarded([inline(issuer, forwardOriginalToken=True)], REQUIRED)
        token = issuer.token()
        assert get(skein, token)[0] == 200
        assert sent(skein)["authorization"] == f"Bearer {token}"
        assert get(skein, path=f"/a?access_token={token}&x=1")[0] == 200
        assert skein.backend.requests[-1][0].decode() == f"GET /a?access_token={token}&x=1 HTTP/1.1"
        lines = [json.dumps(line) for line in access_log(skein, 2)]
        assert not any(token in line for line in lines), "no token is logged"

    def test_headers_made_of_a_token(self, guarded, issuer):
        skein = guarded([inline(
            issuer, outputPayloadToHeader="x-payload",
            outputClaimToHeaders=[
                {"header": "x-sub", "claim": "sub"}, {"header": "x-age", "claim": "age"}, {"header": "x-admin", "claim": "admin"},
                {"header": "x-deep", "claim": "a.b"}, {"header": "x-list", "claim": "list"}, {"header": "x-evil", "claim": "evil"},
                {"header": "x-scope", "claim": "scope"},
            ])])
        token = issuer.token(age=7, admin=True, a={"b": "c"}, list=["x"], evil="a\r\nx-injected: 1", scope="read write")
        forged = {name: "forged" for name in ["X-Payload", "X-Sub", "x-evil", "X-LIST"]}
        assert get(skein, token, **forged)[0] == 200
        fields = sent(skein)
        assert fields["x-payload"] == token.split(".")[1]
        assert [fields.get(f"x-{name}") for name in ["sub", "age", "admin", "deep", "list", "evil", "scope"]] == [
            "alice", "7", "true", "c", None, None, "read write"]
        assert "x-injected" not in fields
        assert get(skein, **forged)[0] == 200
        assert not [name for name in sent(skein) if name in ("x-payload", "x-sub", "x-evil", "x-list")], "nor without a token"


class TestClaims:
    def ask(self, guarded, issuer, conditions):
        when = "\n".join(f"  - {json.dumps(condition)}" for condition in conditions)
        return guarded([inline(issuer, spaceDelimitedClaims=["groups_text"])], policy("p", f"selector: {{matchLabels: {{app: api}}}}\nrules:\n- when:\n{when}"))

    @pytest.mark.parametrize("condition, good, bad", [
        ({"key": "request.auth.claims[groups]", "values": ["admin"]}, {"groups": ["x", "admin"]}, {"groups": ["x"]}),
        ({"key": "request.auth.claims[groups]", "values": ["adm*"]}, {"groups": "admin"}, {"groups": "a"}),
        ({"key": "request.auth.claims[realm_access][roles]", "values": ["r1"]}, {"realm_access": {"roles": ["r1"]}}, {"roles": ["r1"]}),
        ({"key": "request.auth.claims[scope]", "values": ["write"]}, {"scope": "read write"}, {"scope": "read writes"}),
        ({"key": "request.auth.claims[groups_text]", "values": ["b"]}, {"groups_text": "a b c"}, {"groups_text": "a bc"}),
        ({"key": "request.auth.claims[groups]", "notValues": ["bad"]}, {"groups": ["a"]}, {"groups": ["a", "bad"]}),
        ({"key": "request.auth.claims[vip]", "values": ["*"]}, {"vip": "yes"}, {}),
        ({"key": "request.auth.audiences", "values": ["api"]}, {"aud": ["x", "api"]}, {"aud": "x"}),
        ({"key": "request.auth.presenter", "values": ["app-1"]}, {"azp": "app-1"}, {"azp": "app-2"}),
        ({"key": "request.auth.principal", "values": ["https://issuer.example/alice"]}, {}, {"sub": "bob"}),
        ({"key": "request.auth.claims[n]", "values": ["1"]}, {"n": "1"}, {"n": 1}),
        ({"key": "request.auth.claims[a.b]", "values": ["1"]}, {"a.b": "1"}, {"a": {"b": "1"}}),
    ])
    def test_conditions(self, guarded, issuer, condition, good, bad):
        skein = self.ask(guarded, issuer, [condition])
        assert get(skein, issuer.token(**good))[0] == 200
        assert get(skein, issuer.token(**bad))[0] == 403
        if "notValues" not in condition:
            assert get(skein)[0] == 403

    def test_a_deny_rule_of_those_without_a_token(self, guarded, issuer):
        skein = guarded([inline(issuer)], policy(
            "p", 'selector: {matchLabels: {app: api}}\naction: DENY\nrules:\n- from: [{source: {notRequestPrincipals: ["*"]}}]\n  to: [{operation: {paths: ["/private*"]}}]'))
        assert get(skein, path="/private")[0] == 403
        assert get(skein, path="/public")[0] == 200
        assert get(skein, issuer.token(), "/private")[0] == 200

    def test_routes_by_claims(self, start, issuer):
        one, two, three = (answering(text) for text in (b"one", b"two", b"three"))
        port = free_port()
        routes = """
  - match: [{headers: {"@request.auth.claims.groups": {exact: Group1}}}]
    route: [{destination: {host: one.local}}]
  - match: [{headers: {"@request.auth.claims[nested][Role]": {prefix: adm}}}]
    route: [{destination: {host: two.local}}]
  - match: [{withoutHeaders: {"@request.auth.claims.sub": {exact: alice}}}]
    route: [{destination: {host: three.local}}]
"""
        try:
            text = mesh(9, edge(
                port, HTTP % "[shop.example]", rule("r", "[shop.example]", "", http=routes),
                service("one.local", one.port) + service("two.local", two.port) + service("three.local", three.port)
                + authentication([inline(issuer)], "ingress", "selector: {matchLabels: {istio: ingressgateway}}")))
            skein = start(text, ARGUMENTS)

            def at(**claims):
                fields = {"Host": "shop.example", **({"Authorization": f"Bearer {issuer.token(**claims)}"} if claims else {})}
                status, _, body = http_get(port, "/", fields)
                return status, body

            assert at(groups="Group1") == (200, b"one")
            assert at(groups=["x", "Group1"]) == (200, b"one")
            assert at(nested={"Role": "admin"}) == (200, b"two")
            assert at(nested={"role": "admin"})[0] == 404
            assert at(groups="group1")[0] == 404
            assert at(sub="bob") == (200, b"three")
            assert at() == (200, b"three")
            header = {"Host": "shop.example", "@request.auth.claims.groups": "Group1"}
            assert http_get(port, "/", header)[0] in (200, 400), "a client cannot claim"
            assert len(one.requests) == 2
        finally:
            for server in (one, two, three):
                server.close()


class TestKeys:
    def test_a_new_key_is_fetched_once(self, guarded, issuer):
        skein = guarded([remote(issuer)], REQUIRED)
        wait_for(lambda: issuer.hits, what="the first fetch")
        assert get(skein, issuer.token())[0] == 200
        new = Key(kid="k2")
        # Too soon after the first: nobody may make us ask as often as they like.
        assert get(skein, issuer.token(new))[0] == 401
        assert len(issuer.hits) == 1
        issuer.keys = [new]
        wait_for(lambda: get(skein, issuer.token(new))[0] == 200, seconds=20, what="the new key")
        assert len(issuer.hits) == 2
        assert get(skein, issuer.token(Key(kid="k1")))[0] == 401, "the old one is gone"
        assert skein.samples("skein_jwks_fetches_total") == 2

    def test_requests_wait_for_the_first_keys(self, guarded, issuer):
        issuer.gate.clear()
        skein = guarded([remote(issuer)], REQUIRED)
        token = issuer.token()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            waiting = [pool.submit(get, skein, token) for _ in range(8)]
            wait_for(lambda: skein.samples("skein_jwt_key_waits_total") == 8, what="waiting requests")
            assert get(skein)[0] == 403, "others go on"
            issuer.gate.set()
            assert [one.result()[0] for one in waiting] == [200] * 8

    def test_a_server_that_never_answers(self, guarded, issuer):
        issuer.gate.clear()
        skein = guarded([remote(issuer, timeout="1s")], REQUIRED)
        begun = time.monotonic()
        status, _, body = get(skein, issuer.token())
        assert (status, body) == (401, b"Jwks remote fetch is failed")
        assert time.monotonic() - begun < 5
        assert "no answer in time" in skein.log()

    @pytest.mark.parametrize("mode, reason", [
        ("down", "answered 500, not 200"), ("lies", "keys"), ("huge", "more than 1048576 bytes"), ("redirect", "another server"),
    ])
    def test_a_bad_server(self, guarded, issuer, mode, reason):
        issuer.mode = mode
        issuer.location = f"http://localhost:{issuer.port}/jwks"
        skein = guarded([remote(issuer)], REQUIRED)
        status, _, body = get(skein, issuer.token())
        assert (status, body) == (401, b"Jwks remote fetch is failed")
        assert reason in skein.log()
        issuer.mode = "good"
        wait_for(lambda: get(skein, issuer.token())[0] == 200, seconds=20, what="keys")
        assert "answers again" in skein.log()

    def test_a_redirect_on_the_same_server(self, guarded, issuer):
        issuer.mode, issuer.location = "redirect", "/elsewhere"
        answer = issuer.answer

        def once(handler):
            issuer.mode = "redirect" if handler.path == "/jwks" else "good"
            answer(handler)

        issuer.answer = once
        skein = guarded([remote(issuer)], REQUIRED)
        assert get(skein, issuer.token())[0] == 200

    def test_the_last_good_set_goes_on(self, guarded, issuer, tmp_path):
        path = tmp_path / "keys.json"
        path.write_text(json.dumps(issuer.jwks()))
        skein = guarded([{"issuer": issuer.name, "jwksUri": f"file://{path}"}], REQUIRED)
        assert get(skein, issuer.token())[0] == 200
        path.write_text("nonsense")
        wait_for(lambda: "the last good ones go on" in skein.log(), seconds=20, what="the warning")
        assert get(skein, issuer.token(x=1))[0] == 200
        new = Key(kid="k9")
        issuer.keys = [new]
        path.write_text(json.dumps(issuer.jwks()))
        wait_for(lambda: get(skein, issuer.token(new))[0] == 200, seconds=20, what="the new file")

    def test_https_and_its_authority(self, guarded, tmp_path):
        ca = MeshCA(tmp_path)
        files = ca.issue(tmp_path / "server", ["IP:127.0.0.1"])
        made = Issuer(tls=(files / "tls.crt", files / "tls.key"))
        try:
            skein = guarded([remote(made)], REQUIRED, ["--jwks-ca", str(ca.certificate)])
            assert get(skein, made.token())[0] == 200
            skein = guarded([remote(made)], REQUIRED)
            assert get(skein, made.token())[0] == 401
            assert "TLS with" in skein.log()
        finally:
            made.close()

    def test_discovery(self, guarded, issuer):
        issuer.name = f"http://127.0.0.1:{issuer.port}"
        skein = guarded([{"issuer": issuer.name}], REQUIRED)
        assert get(skein, issuer.token())[0] == 200
        assert issuer.hits == ["/.well-known/openid-configuration", "/jwks"]

    def test_discovery_leads_to_no_file(self, guarded, issuer, tmp_path):
        """An issuer that names a file of this machine: its keys must not be taken from there, and nothing may wait on it."""
        issuer.name = f"http://127.0.0.1:{issuer.port}"
        (tmp_path / "keys.json").write_text(json.dumps(issuer.jwks()))
        issuer.key_place = f"file://{tmp_path}/keys.json"
        skein = guarded([{"issuer": issuer.name}], REQUIRED)
        assert get(skein, issuer.token())[::2] == (401, b"Jwks remote fetch is failed")
        assert "its jwks_uri is no URL of https or http" in skein.log()

    def test_a_secret_is_for_one_issuer(self, guarded, issuer):
        secret = b"0123456789abcdef0123456789abcdef"
        octets = {"kty": "oct", "kid": "s", "alg": "HS256", "k": segment(secret)}
        skein = guarded([
            {"issuer": "https://own.example", "jwks": json.dumps({"keys": [octets]})}, inline(issuer),
        ], REQUIRED)
        made = {**GOOD, "iss": "https://own.example"}
        assert get(skein, jwt.encode(made, secret, algorithm="HS256", headers={"kid": "s"}))[0] == 200
        assert get(skein, jwt.encode(GOOD, secret, algorithm="HS256", headers={"kid": "s"}))[0] == 401
        assert get(skein, issuer.token())[0] == 200
        assert get(skein, issuer.token(iss="https://own.example"))[0] == 401

    def test_bad_keys_in_the_configuration(self, guarded, issuer, tmp_path):
        skein = guarded([inline(issuer)], REQUIRED)
        text = (skein.config / "mesh.yaml").read_text()
        weak = '{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}'
        (skein.config / "mesh.yaml").write_text(text.replace(json.dumps(json.dumps(issuer.jwks())), json.dumps(weak)))
        wait_for(lambda: "SKN0325" in skein.log(), what="the error")
        assert get(skein, issuer.token())[0] == 200, "the last good configuration goes on"

    def test_a_reload_keeps_keys_and_cares_for_new_rules(self, guarded, issuer):
        skein = guarded([remote(issuer)], REQUIRED)
        assert get(skein, issuer.token())[0] == 200
        other = Issuer("https://second.example")
        try:
            path = skein.config / "mesh.yaml"
            path.write_text(path.read_text() + authentication([remote(other)], name="second"))
            wait_for(lambda: get(skein, other.token())[0] == 200, what="the second issuer")
            assert get(skein, issuer.token(x=2))[0] == 200
            assert len(issuer.hits) == 1
        finally:
            other.close()


def test_a_slow_key_server_slows_nobody_else(guarded, issuer):
    issuer.gate.clear()
    skein = guarded([remote(issuer)])
    stop = threading.Event()

    def wait():
        while not stop.is_set():
            get(skein, issuer.token())

    waiters = [threading.Thread(target=wait, daemon=True) for _ in range(4)]
    for waiter in waiters:
        waiter.start()
    wait_for(lambda: skein.samples("skein_jwt_key_waits_total") >= 4, what="waiting requests")
    begun = time.monotonic()
    assert all(get(skein)[0] == 200 for _ in range(200))
    assert time.monotonic() - begun < 4
    stop.set()
    issuer.gate.set()
    for waiter in waiters:
        waiter.join(20)


def test_envoys_filter_judges_alike(guarded, issuer, tmp_path):
    """Envoy 1.40's jwt_authn filter with the same rule: status, body, challenge, details, and what the backend gets."""
    options = {"audiences": ["api"], "outputPayloadToHeader": "x-payload", "outputClaimToHeaders": [{"header": "x-sub", "claim": "sub"}]}
    skein = guarded([inline(issuer, **options)])
    provider = {
        "issuer": issuer.name, "audiences": ["api"], "local_jwks": {"inline_string": json.dumps(issuer.jwks())}, "payload_in_metadata": "p",
        "forward_payload_header": "x-payload", "claim_to_headers": [{"header_name": "x-sub", "claim_name": "sub"}],
    }
    requirement = {"requires_any": {"requirements": [{"provider_name": "one"}, {"allow_missing": {}}]}}
    guard = typed(
        "envoy.filters.http.jwt_authn", "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication", providers={"one": provider},
        rules=[{"match": {"prefix": "/"}, "requires": requirement}], bypass_cors_preflight=True)
    everything = [{"match": {"prefix": "/"}, "route": {"cluster": "backend"}}]
    envoy = Envoy(tmp_path, [("all", ["*"], everything)], [cluster("backend", [skein.backend.port])], [guard])
    good = issuer.token(aud="api")
    cases = [
        ("/", [("Authorization", f"Bearer {token}")])
        for token in [
            good, issuer.token(aud="other"), issuer.token(aud=["x", "api"]), issuer.token(aud="https://api/"), issuer.token(aud="api", exp=1),
            issuer.token(aud="api", nbf=NOW + 600), issuer.token(aud="api", iss="https://other.example"), good[:-5] + "AAAAA", "a.b", "a.b.c",
            issuer.token(Key(kid="k1"), aud="api"), issuer.token(Key(kid="other"), aud="api"), raw_token(issuer, {"alg": "none"}, GOOD),
            raw_token(issuer, {"alg": "XX256", "kid": "k1"}, GOOD), raw_token(issuer, {"kid": "k1"}, GOOD), raw_token(issuer, HEAD, {**GOOD, "iss": 7}),
            raw_token(issuer, HEAD, {**GOOD, "exp": "x"}), raw_token(issuer, {**HEAD, "kid": 7}, GOOD), "e30.e30.e30",
        ]
    ] + [
        ("/x?a=1", []), (f"/x?a=1&access_token={good}&b=2", []), ("/x?access_token=bad", []), ("/", [("Authorization", f"Basic {good}")]),
        ("/", [("X-Payload", "forged"), ("X-Sub", "forged")]), ("/", [("Authorization", "Bearer ")]),
    ]

    def outcome(port, target, fields):
        before = len(skein.backend.requests)
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            head, _, body = send(plain, "GET", target, "api", fields).partition(b"\r\n\r\n")
        status = int(head.split()[1])
        challenge = [line.split(b":", 1)[1].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"www-authenticate")]
        reached = skein.backend.requests[before:]
        there = [
            (line, sorted((n.lower(), v) for n, v in headers if n.lower() in (b"authorization", b"x-payload", b"x-sub")))
            for line, headers, _, _ in reached
        ]
        # Envoy tells the query in its challenge, and with it a token.
        return status, body if status != 200 else b"", [re.sub(rb'[?][^"]*', b"", text) for text in challenge], there

    try:
        different = []
        for target, fields in cases:
            ours, theirs = outcome(skein.inbound, target, fields), outcome(envoy.port, target, fields)
            if ours != theirs:
                different.append((target[:30], [v[:40] for _, v in fields], ours, theirs))
        for line in different:
            print(line)
        assert different == []
        theirs = [line["details"] for line in wait_for(lambda: whole_lines(envoy.log, len(cases)), what="Envoy's log") if line["code"] not in (200, "200")]
        ours = access_log(skein, len(cases))
        assert [line["details"] for line in ours if line["code"] not in (200, "200")] == theirs
    finally:
        envoy.stop()


def test_explain_says_what_happens(guarded, issuer, tmp_path):
    """Of a running proxy and of files alone; and nothing of the token but whom it is about."""
    skein = guarded([inline(issuer, audiences=["api"])], policy(
        "p", 'selector: {matchLabels: {app: api}}\nrules:\n- when: [{key: "request.auth.claims[role]", values: [admin]}]'))
    cases = [
        (None, "no token", 403), (issuer.token(aud="api", role="admin"), "a good token of https://issuer.example/alice", 200),
        (issuer.token(aud="api", role="user"), "a good token", 403), (issuer.token(aud="x", role="admin"), "refused: 403 Audiences", 403),
        (issuer.token(aud="api", exp=1), "refused: 401 Jwt is expired", 401),
    ]
    for token, text, status in cases:
        assert get(skein, token)[0] == status
        header = ["-H", f"Authorization: Bearer {token}"] if token else []
        for where in [["--server", f"http://127.0.0.1:{skein.ports['admin']}"], ["-c", str(skein.config), "--node", "production/api"]]:
            done = subprocess.run([SKEIN, "explain", *where, "--inbound", *header, "http://api/"], capture_output=True, text=True, timeout=60)
            assert text in done.stdout, (where, done.stdout, done.stderr)
            assert (done.returncode == 0) == (status == 200), (where, text, done.stdout, done.stderr)
            assert not token or token not in done.stdout
            if "good token" in text and status == 403:
                assert 'request.auth.claims[role] values wants one of admin: the request has "user"' in done.stdout


def test_a_limit_for_each_subject(guarded, issuer):
    skein = guarded([inline(issuer)], """
---
apiVersion: skein.io/v1
kind: RateLimit
metadata: {name: each, namespace: production}
spec:
  limits: [{requests: 2, per: 60s, by: [{claim: sub}]}, {requests: 100, per: 60s, by: [{claim: a.b}]}]
""")
    for subject in ["alice", "bob"]:
        tokens = [issuer.token(sub=subject, jti=str(number)) for number in range(3)]
        assert [get(skein, token)[0] for token in tokens] == [200, 200, 429]


class TestHTTP2:
    def test_tokens_and_grpc(self, guarded, issuer):
        skein = guarded([inline(issuer, fromCookies=["session"], fromHeaders=[{"name": "authorization", "prefix": "Bearer "}])], REQUIRED)
        token = issuer.token()
        with H2Client(skein.inbound) as client:
            assert client.request("/a", authority="api", headers=[("authorization", f"Bearer {token}")]).status == 200
            # RFC 9113 8.2.3: cookies come on lines of their own.
            pairs = [("cookie", "a=b"), ("cookie", f"session={token}"), ("cookie", "c=d")]
            assert client.request("/b", authority="api", headers=pairs).status == 200
            cookies = [value for name, value in skein.backend.requests[-1][1] if name.lower() == b"cookie"]
            assert sorted(b"; ".join(cookies).split(b"; ")) == [b"a=b", b"c=d"]
            grpc = [("content-type", "application/grpc"), ("te", "trailers")]
            answer = client.request("/shop.Cart/Get", "POST", "api", [*grpc, ("authorization", "Bearer bad")], b"")
            assert answer.status == 200 and answer.header(b"grpc-status") == b"16"
            assert answer.header(b"www-authenticate") == b'Bearer realm="http://api/shop.Cart/Get", error="invalid_token"'
            assert client.request("/c", authority="api", headers=[("authorization", f"Bearer {token}")]).status == 200

    def test_bodies_of_requests_that_wait(self, guarded, issuer):
        """For keys, over both versions: nothing of a body is lost, and one whose client is gone disturbs nobody."""
        issuer.gate.clear()
        skein = guarded([remote(issuer)], REQUIRED)
        token, body = issuer.token(), bytes(range(256)) * 2000
        gone = socket.create_connection(("127.0.0.1", skein.inbound))
        gone.sendall(f"POST /gone HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {token}\r\nContent-Length: 100\r\n\r\nhalf".encode())

        def first():
            with socket.create_connection(("127.0.0.1", skein.inbound), timeout=20) as plain:
                head = f"POST /one HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {token}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                plain.sendall(head.encode() + body)
                return plain.recv(100).split()[1]

        def second():
            with H2Client(skein.inbound) as client:
                return client.request("/two", "POST", "api", [("authorization", f"Bearer {token}")], body).status

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            one, two = pool.submit(first), pool.submit(second)
            wait_for(lambda: skein.samples("skein_jwt_key_waits_total") == 3, what="waiting requests")
            gone.close()
            issuer.gate.set()
            assert one.result() == b"200" and two.result() == 200
        bodies = {line.split()[1]: sent for line, _, sent, _ in skein.backend.requests}
        assert bodies[b"/one"] == body and bodies[b"/two"] == body and b"/gone" not in bodies


def test_the_example_works_as_its_file_says(tmp_path, start):
    """Config/jwt with `skein jwt` as the issuer."""
    text = (pathlib.Path(__file__).parents[2] / "Config/jwt/mesh.yaml").read_text()
    port, keys = free_port(), tmp_path / "jwks.json"
    text = text.replace("/tmp/skein-jwks.json", str(keys)).replace("8080", str(port))

    def run(*arguments):
        done = subprocess.run([SKEIN, "jwt", *map(str, arguments)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    run("keygen", "--out", tmp_path / "key.pem")
    keys.write_text(run("jwks", "--key", tmp_path / "key.pem"))
    issue = ["issue", "--key", tmp_path / "key.pem", "--issuer", "https://auth.example.com", "--subject", "alice"]
    start(text, ["--node", "api"])

    def get(token=None):
        status, _, body = http_get(port, "/", {"Host": "any", **({"Authorization": f"Bearer {token}"} if token else {})})
        return status, body

    assert get(run(*issue)) == (200, b"hello\n")
    assert get(run(*issue, "--claim", "group=admins")) == (200, b"hello, admin\n")
    assert get() == (403, b"RBAC: access denied")
    assert get(run(*issue[:-3], "https://other.example", *issue[-2:])) == (401, b"Jwt issuer is not configured")


def test_rules_of_nobody_are_found(tmp_path, issuer):
    path = tmp_path / "mesh.yaml"
    path.write_text(workload(1, 2, authentication([inline(issuer)], selector="selector: {matchLabels: {app: nobody}}")))

    def run(*arguments):
        return subprocess.run([SKEIN, *arguments], capture_output=True, text=True, timeout=60).stdout

    assert any(one["code"] == "IST0127" and one["name"] == "jwt-auth" for one in json.loads(run("analyze", "-o", "json", str(path)))["findings"])
    path.write_text(workload(1, 2, authentication([inline(issuer)])))
    assert not any(one["code"] == "IST0127" for one in json.loads(run("analyze", "-o", "json", str(path)))["findings"])
    assert f"tokens  production/jwt-auth  of {issuer.name}" in run("authz", "check", "-c", str(path))
    tokens = json.loads(run("authz", "check", "-c", str(path), "-o", "json"))["workloads"][0]["tokens"]
    assert [(one["name"], one["issuers"]) for one in tokens] == [("jwt-auth", [issuer.name])]


def test_a_claim_is_logged_where_the_format_asks_for_it(start, backend, issuer):
    port = free_port()
    text = workload(port, backend.port, authentication([inline(issuer)]))
    operators = "".join(
        f'            {name}: "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:payload:{path})%"\n' for name, path in [("who", "sub"), ("deep", "a:b"), ("none", "x")])
    text = text.replace('            sni: "%REQUESTED_SERVER_NAME%"\n', operators)
    skein = start(text, ["--node", "production/api", "--workers", "1"])
    skein.inbound, skein.backend = port, backend
    assert get(skein, issuer.token(a={"b": ["first", "second"]}))[0] == 200
    assert get(skein)[0] == 200
    assert get(skein, "bad")[0] == 401
    assert [[line[name] for name in ("who", "deep", "none")] for line in access_log(skein, 3)] == [
        ["alice", "first", None], [None] * 3, [None] * 3]
