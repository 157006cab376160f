"""An issuer of tokens with a key server, made of PyJWT: the other end of RequestAuthentication."""

import http.server
import json
import ssl
import threading
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

MAKERS = {
    "RS": lambda: rsa.generate_private_key(65537, 2048),
    "PS": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": lambda: ed25519.Ed25519PrivateKey.generate(),
}


class Key:
    def __init__(self, algorithm="ES256", kid="k1"):
        self.algorithm, self.kid = algorithm, kid
        self.private = MAKERS[algorithm[:2] if algorithm[:2] in ("RS", "PS") else algorithm]()

    def public(self):
        made = json.loads(jwt.get_algorithm_by_name(self.algorithm).to_jwk(self.private.public_key()))
        made.pop("key_ops", None)
        return {**made, "alg": self.algorithm, "use": "sig", **({"kid": self.kid} if self.kid else {})}


class Issuer:
    """Signs tokens, and serves its keys as `mode` says."""

    def __init__(self, name="https://issuer.example", tls=None, algorithm="ES256"):
        self.name = name
        self.keys = [Key(algorithm)]
        self.hits = []
        self.mode = "good"
        self.location = ""
        # What discovery names; None = where the keys are.
        self.key_place = None
        self.gate = threading.Event()
        self.gate.set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.hits.append(self.path)
                outer.gate.wait(20)
                outer.answer(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.scheme = "https" if tls else "http"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}/jwks"

    def answer(self, handler):
        if self.mode == "redirect":
            handler.send_response(302)
            handler.send_header("Location", self.location)
            handler.end_headers()
            return
        body = json.dumps(self.jwks()).encode()
        if handler.path.endswith("/.well-known/openid-configuration"):
            body = json.dumps({"issuer": self.name, "jwks_uri": self.key_place or self.url}).encode()
        elif self.mode == "lies":
            body = b'{"keys": "none"}'
        elif self.mode == "huge":
            body = b" " * (1 << 20) + body
        handler.send_response(500 if self.mode == "down" else 200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def jwks(self):
        return {"keys": [key.public() for key in self.keys]}

    def token(self, key=None, headers=None, **claims):
        key = key or self.keys[0]
        now = int(time.time())
        payload = {"iss": self.name, "sub": "alice", "iat": now, "exp": now + 600, **claims}
        payload = {name: value for name, value in payload.items() if value is not None}
        fields = {**({"kid": key.kid} if key.kid else {}), **(headers or {})}
        return jwt.encode(payload, key.private, algorithm=key.algorithm, headers=fields)

    def close(self):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()
