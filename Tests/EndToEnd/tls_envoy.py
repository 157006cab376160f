"""A real Envoy between two ends of mutual TLS: what it logs of them, and what it forwards of the client."""

import json
import os
import socket
import ssl
import subprocess
import threading

from conftest import free_port, wait_for
from envoy_peer import ENVOY

TYPE = "type.googleapis.com/envoy.extensions."


def secured(kind, identity, ca):
    context = {
        "tls_certificates": [
            {"certificate_chain": {"filename": str(identity / "tls.crt")}, "private_key": {"filename": str(identity / "tls.key")}}
        ],
        "validation_context": {"trusted_ca": {"filename": str(ca.certificate)}},
    }
    config = {"@type": f"{TYPE}transport_sockets.tls.v3.{kind}", "common_tls_context": context}
    if kind == "DownstreamTlsContext":
        config["require_client_certificate"] = True
    else:
        config["sni"] = "api.local"
    return {"name": "tls", "typed_config": config}


class TLSEnvoy:
    """Takes mutual TLS as `server`, and goes on to a server of its own, which is `server` too, as `client`."""

    def __init__(self, directory, ca, server, client, labels, details="APPEND_FORWARD", current=("subject", "uri", "dns")):
        self.heads, self.port, self.log = [], free_port(), directory / "envoy.json"
        self.backend = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, args=(ca, server), daemon=True).start()
        log = [{"name": "file", "typed_config": {
            "@type": f"{TYPE}access_loggers.file.v3.FileAccessLog", "path": str(self.log), "log_format": {"json_format": labels}}}]
        manager = {
            "@type": f"{TYPE}filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "x", "access_log": log,
            "forward_client_cert_details": details, "set_current_client_cert_details": {name: True for name in current},
            "http_filters": [{"name": "router", "typed_config": {"@type": f"{TYPE}filters.http.router.v3.Router"}}],
            "route_config": {"virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "server"}}]}]},
        }
        address = lambda port: {"socket_address": {"address": "127.0.0.1", "port_value": port}}
        endpoint = {"endpoint": {"address": address(self.backend.getsockname()[1])}}
        config = {"static_resources": {
            "listeners": [{"name": "clients", "address": address(self.port), "filter_chains": [
                {"transport_socket": secured("DownstreamTlsContext", server, ca), "filters": [{"name": "http", "typed_config": manager}]}]}],
            "clusters": [{
                "name": "server", "type": "STATIC", "transport_socket": secured("UpstreamTlsContext", client, ca),
                "load_assignment": {"cluster_name": "server", "endpoints": [{"lb_endpoints": [endpoint]}]}}],
        }}
        path = directory / "envoy-tls.json"
        path.write_text(json.dumps(config))
        self.stderr = open(directory / "envoy-tls.stderr", "wb")
        self.process = subprocess.Popen(
            [ENVOY, "-c", path, "--concurrency", "1", "-l", "warning", "--use-dynamic-base-id", "--file-flush-interval-msec", "10"],
            stdout=subprocess.DEVNULL, stderr=self.stderr, env=os.environ)

        def answers():
            assert self.process.poll() is None, (directory / "envoy-tls.stderr").read_text(errors="replace")
            socket.create_connection(("127.0.0.1", self.port)).close()
            return True

        wait_for(answers, seconds=30, what="Envoy")

    def serve(self, ca, server):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(server / "tls.crt"), str(server / "tls.key"))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(str(ca.certificate))
        while True:
            try:
                plain, _ = self.backend.accept()
                with context.wrap_socket(plain, server_side=True) as secure:
                    self.heads.append(secure.recv(65536).decode("latin-1"))
                    secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            except OSError:
                if self.backend.fileno() < 0:
                    return

    def lines(self, count=1):
        def read():
            lines = self.log.read_text().splitlines() if self.log.exists() else []
            return lines if len(lines) >= count else None

        return [json.loads(line) for line in wait_for(read, what="Envoy's log")]

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.backend.close()
