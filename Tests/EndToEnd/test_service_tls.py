"""TLS of Skein's own ports, and of what it sends and scrapes itself: real clients in front, Python's servers behind."""

import contextlib
import http.server
import json
import shutil
import socket
import ssl
import subprocess
import threading

import pytest
import requests

from conftest import SKEIN, free_port, http_get, mesh, wait_for
from envoy_peer import ENVOY
from mesh_ca import MeshCA

SPANS = [{"traceId": "463ac35c9f6413ad48485a3953bb6124", "id": "a2fb4a1d1a96d312", "name": "get", "timestamp": 1_700_000_000_000_000}]


@pytest.fixture
def ca(tmp_path):
    return MeshCA(tmp_path / "ca")


@pytest.fixture
def server_files(ca, tmp_path):
    return ca.issue(tmp_path / "server", ["DNS:localhost", "DNS:collector.local", "IP:127.0.0.1"])


@pytest.fixture
def reviews(ca, tmp_path):
    return ca.workload(tmp_path / "reviews", "reviews")


def serving(files, client_ca=True, *more):
    arguments = ["--tls-certificate", files / "tls.crt", "--tls-key", files / "tls.key"]
    if client_ca:
        arguments += ["--tls-client-ca", files / "ca.crt"]
    return [str(argument) for argument in (*arguments, *more)]


def get(skein, port, path, files=None, ca=None, **options):
    """By requests; `files` of a client's certificate."""
    certificate = (str(files / "tls.crt"), str(files / "tls.key")) if files else None
    return requests.get(f"https://127.0.0.1:{skein.ports[port]}{path}", cert=certificate, verify=str(ca.certificate), timeout=10, **options)


def curl(*arguments):
    return subprocess.run(["curl", "-s", "-S", "-m", "10", *map(str, arguments)], capture_output=True, text=True)


def cli(*arguments, environment=None):
    return subprocess.run([SKEIN, *map(str, arguments)], capture_output=True, text=True, timeout=30, env=environment)


class Target:
    """An HTTPS server, without files one of plaintext: keeps what is posted and answers 202, gives a page of metrics to GET."""

    def __init__(self, files=None, client_ca=None, truncates=False):
        self.bodies = []
        self.clients = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, status, body=b""):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.clients.append(self.connection.getpeercert() if files else None)
                outer.bodies.append((self.path, body))
                self.answer(202)

            def do_GET(self):
                outer.clients.append(self.connection.getpeercert() if files else None)
                if truncates:
                    # What only the connection's end ends, and then no close_notify.
                    self.close_connection = True
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsold_total 1\n")
                    self.wfile.flush()
                    socket.socket(fileno=self.connection.detach()).close()
                    return
                self.answer(200, b"# TYPE sold counter\nsold_total 17\n")

            def log_message(self, *arguments):
                pass

            def handle(self):
                with contextlib.suppress(OSError, ValueError):
                    super().handle()

            def finish(self):
                with contextlib.suppress(OSError, ValueError):
                    super().finish()

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if files:
            context.load_cert_chain(files / "tls.crt", files / "tls.key")
        if client_ca:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self):
                connection, address = self.socket.accept()
                connection.settimeout(20)
                if not files:
                    return connection, address
                return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

            def shutdown_request(self, request):
                with contextlib.suppress(OSError, ValueError, AttributeError):
                    request.unwrap()
                with contextlib.suppress(OSError, ValueError):
                    super().shutdown_request(request)

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def target():
    running = []

    def begin(*arguments, **options):
        running.append(Target(*arguments, **options))
        return running[-1]

    yield begin
    for server in running:
        server.close()


def s_client(skein, *arguments, text=b"Q\n"):
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{skein.ports['zipkin']}", *map(str, arguments)]
    done = subprocess.run(command, input=text, capture_output=True, timeout=20)
    return (done.stdout + done.stderr).decode(errors="replace")


class TestPorts:
    def test_every_port_but_readiness_speaks_tls(self, start, ca, server_files, reviews):
        skein = start(None, serving(server_files))
        url = f"https://127.0.0.1:{skein.ports['zipkin']}/api/v2/spans"
        files = (str(reviews / "tls.crt"), str(reviews / "tls.key"))
        assert requests.post(url, json=SPANS, cert=files, verify=str(ca.certificate), timeout=10).status_code == 202
        trace = get(skein, "zipkin", f"/api/v2/trace/{SPANS[0]['traceId']}", reviews, ca)
        assert trace.json()[0]["name"] == "get"
        assert get(skein, "admin", "/server_info", reviews, ca).status_code == 200
        page = get(skein, "metrics", "/metrics", reviews, ca).text
        assert 'skein_server_tls_handshakes_total{server="collector"} 2' in page
        # Whoever restarts it has no certificate, and learns nothing else.
        assert http_get(skein.ports["readiness"], "/healthz/ready")[0] == 200
        assert http_get(skein.ports["readiness"], "/config_dump")[0] == 403
        assert http_get(skein.ports["readiness"], "/logging", method="POST")[0] == 403
        assert "zipkin" in skein.log().lower() and "(TLS)" in skein.log()

    def test_strangers_are_refused_and_counted(self, start, ca, server_files, reviews, tmp_path):
        skein = start(None, serving(server_files))
        foreign = MeshCA(tmp_path / "foreign", domain="elsewhere").workload(tmp_path / "stranger", "reviews")
        expired = ca.workload(tmp_path / "expired", "reviews", days=-1)
        for files in (None, foreign, expired):
            with pytest.raises(requests.exceptions.ConnectionError):
                get(skein, "zipkin", "/api/v2/services", files, ca)
        wait_for(lambda: skein.log().count("TLS of 127.0.0.1 with 127.0.0.1:") == 3, what="three lines")
        assert "the client shows no certificate, and this port demands one" in skein.log()
        assert "certificate has expired" in skein.log()
        assert 'skein_server_tls_clients_refused_total{server="collector"} 3' in get(skein, "metrics", "/metrics", reviews, ca).text

    def test_what_stays_plaintext_gives_no_more_than_it_must(self, start, ca, server_files, reviews):
        skein = start(None, serving(server_files, True, "--tls-ports", "zipkin", "admin"))
        headers = {"Content-Type": "application/json"}
        otlp = skein.ports["otlp"]
        assert http_get(otlp, "/v1/traces", headers, method="POST", body=b'{"resourceSpans":[]}')[0] == 200
        assert http_get(otlp, "/api/v2/services")[0] == 403
        assert http_get(otlp, "/v1/report", method="POST", body=b"SKR1")[0] == 403
        assert http_get(skein.ports["metrics"], "/metrics")[0] == 200
        assert http_get(skein.ports["metrics"], "/config_dump")[0] == 403
        assert get(skein, "zipkin", "/api/v2/services", reviews, ca).status_code == 200

    def test_certificates_may_be_optional(self, start, ca, server_files, reviews):
        skein = start(None, serving(server_files, True, "--tls-client-optional"))
        assert get(skein, "zipkin", "/api/v2/services", None, ca).status_code == 200
        assert get(skein, "zipkin", "/api/v2/services", reviews, ca).status_code == 200

    def test_the_workloads_identity_serves_its_mesh(self, start, ca, reviews, tmp_path):
        skein = start(None, ["--identity", str(reviews), "--tls-identity"])
        ratings = ca.workload(tmp_path / "ratings", "ratings")
        address = f"https://127.0.0.1:{skein.ports['admin']}"
        name = "spiffe://cluster.local/ns/default/sa/reviews"
        files = ["--ca-file", ca.certificate, "--cert", ratings / "tls.crt", "--key", ratings / "tls.key"]
        done = cli("proxy-status", address, *files, "--server-name", name)
        assert done.returncode == 0, done.stderr + done.stdout
        done = cli("proxy-status", address, *files)
        assert done.returncode == 69 and f"it is not for 127.0.0.1, but for {name}" in done.stdout + done.stderr

    def test_curl_of_both_versions_and_plaintext(self, start, ca, server_files):
        skein = start(None, serving(server_files, False))
        url = f"https://127.0.0.1:{skein.ports['zipkin']}/health"
        for option, version in (("--http2", "2"), ("--http1.1", "1.1")):
            done = curl(option, "--cacert", ca.certificate, "-o", "/dev/null", "-w", "%{http_version} %{http_code}", url)
            assert done.stdout == f"{version} 200", done.stderr
        done = curl("-w", " %{http_code}", url.replace("https", "http"))
        assert done.stdout == "this port speaks TLS: use https://\n 400", done.stderr
        done = curl("-k", f"https://127.0.0.1:{skein.ports['readiness']}/healthz/ready")
        assert done.returncode == 35
        wait_for(lambda: "TLS to a port that speaks plaintext" in skein.log(), what="a line")
        assert "plaintext to a port that speaks TLS" in skein.log()

    def test_openssl_sees_both_versions_of_tls_and_the_end(self, start, ca, server_files):
        skein = start(None, serving(server_files, False))
        for version in ("-tls1_2", "-tls1_3"):
            text = s_client(skein, "-CAfile", ca.certificate, version, "-alpn", "h2,http/1.1", "-verify_return_error")
            assert "Verify return code: 0 (ok)" in text and "ALPN protocol: h2" in text, text[-800:]
        request = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        text = s_client(skein, "-CAfile", ca.certificate, "-alpn", "http/1.1", "-msg", "-ign_eof", text=request)
        assert "HTTP/1.1 200 OK" in text and "warning close_notify" in text, text[-800:]
        assert "alert protocol version" in s_client(skein, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")

    def test_half_a_body_is_no_request(self, start, ca, server_files):
        skein = start(None, serving(server_files, False))
        context = ssl.create_default_context(cafile=ca.certificate)
        body = json.dumps(SPANS).encode()
        plain = socket.create_connection(("127.0.0.1", skein.ports["zipkin"]))
        connection = context.wrap_socket(plain, server_hostname="localhost")
        connection.sendall(b"POST /api/v2/spans HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
        connection.sendall(b"Transfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"%x\r\n%b\r\n" % (len(body), body))
        # The connection ends where TLS did not.
        socket.socket(fileno=connection.detach()).close()
        active = 'skein_server_connections_active{server="collector"} 0'
        wait_for(lambda: active in get(skein, "metrics", "/metrics", None, ca).text, what="the connection's end")
        assert get(skein, "zipkin", f"/api/v2/trace/{SPANS[0]['traceId']}", None, ca).status_code == 404

    def test_renewed_files_cost_no_connection(self, start, ca, server_files, tmp_path):
        live = tmp_path / "live"
        shutil.copytree(server_files, live)
        skein = start(None, serving(live, False))
        with requests.Session() as kept:
            url = f"https://127.0.0.1:{skein.ports['zipkin']}/health"
            assert kept.get(url, verify=str(ca.certificate), timeout=10).status_code == 200

            def shown():
                pem = ssl.get_server_certificate(("127.0.0.1", skein.ports["zipkin"]))
                return pem.strip()

            before = shown()
            other = ca.issue(tmp_path / "other", ["DNS:localhost", "IP:127.0.0.1"])
            # A key that is not the certificate's: said, and the old pair goes on.
            shutil.copy(other / "tls.crt", live / "tls.crt")
            wait_for(lambda: "the new certificates are not used, those before go on" in skein.log(), what="a refusal")
            assert shown() == before
            shutil.copy(other / "tls.key", live / "tls.key")
            wait_for(lambda: shown() == (other / "tls.crt").read_text().strip(), what="the new certificate")
            assert kept.get(url, verify=str(ca.certificate), timeout=10).status_code == 200
        assert "the new certificates are in use, until" in skein.log()
        page = get(skein, "metrics", "/metrics", None, ca).text
        assert 'skein_service_tls_renewals_total{outcome="adopted"} 1' in page
        assert 'skein_service_tls_renewals_total{outcome="refused"} 1' in page

    def test_what_cannot_be_served_ends_the_start(self, ca, server_files, reviews, tmp_path):
        def failure(*arguments):
            ports = ["--zipkin-port", free_port(), "--outbound-port", 0, "--inbound-port", 0]
            done = cli("run", "--data", tmp_path / "data", *ports, *arguments)
            assert done.returncode in (64, 65), done.stderr
            return done.stderr

        assert "given together" in failure("--tls-certificate", server_files / "tls.crt")
        assert "the private key is not the one" in failure("--tls-certificate", server_files / "tls.crt", "--tls-key", reviews / "tls.key")
        assert "No such file" in failure("--tls-certificate", "/nowhere.pem", "--tls-key", server_files / "tls.key")
        assert "--tls-identity needs --identity" in failure("--tls-identity")
        assert "accepted are zipkin, otlp" in failure("--tls-ports", "zipkin", "http", "--tls-certificate", "x", "--tls-key", "y")

    def test_ports_that_others_reach_are_a_warning(self, start, server_files):
        skein = start(None, ["--bind", "0.0.0.0"])
        for port in ("admin", "zipkin", "otlp", "otlp-grpc", "metrics"):
            assert f"{port} port 0.0.0.0:{skein.ports[port]} speaks plaintext with anybody who reaches it: --tls-certificate" in skein.log()
        skein = start(None, ["--bind", "0.0.0.0", *serving(server_files)])
        assert "who reaches it" not in skein.log() and "takes anybody" not in skein.log()
        skein = start(None, ["--bind", "0.0.0.0", *serving(server_files, False)])
        assert f"admin port 0.0.0.0:{skein.ports['admin']} takes anybody for whom it is: name the authorities of clients" in skein.log()
        assert "speaks plaintext" not in start(None).log()


class TestClients:
    @pytest.mark.parametrize("transport", ["http", "grpc"])
    def test_opentelemetry(self, start, ca, server_files, reviews, transport, monkeypatch):
        # requests would take these instead of the file that it is given.
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(name, raising=False)
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor

        skein = start(None, serving(server_files))
        files = {"ca": server_files / "ca.crt", "key": reviews / "tls.key", "certificate": reviews / "tls.crt"}
        if transport == "http":
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            exporter = OTLPSpanExporter(
                f"https://localhost:{skein.ports['otlp']}/v1/traces", certificate_file=str(files["ca"]),
                client_key_file=str(files["key"]), client_certificate_file=str(files["certificate"]))
        else:
            import grpc
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

            credentials = grpc.ssl_channel_credentials(
                files["ca"].read_bytes(), files["key"].read_bytes(), files["certificate"].read_bytes())
            exporter = OTLPSpanExporter(f"https://localhost:{skein.ports['otlp-grpc']}", credentials=credentials)
        provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        with provider.get_tracer("t").start_as_current_span("buy"):
            pass
        provider.shutdown()
        wait_for(lambda: get(skein, "zipkin", "/api/v2/services", reviews, ca).json() == ["shop"], what="the span")

    def test_prometheus(self, start, ca, server_files, reviews, tmp_path):
        skein = start(None, serving(server_files))
        (tmp_path / "prometheus.yml").write_text(f"""
global: {{scrape_interval: 1s}}
scrape_configs:
- job_name: skein
  scheme: https
  static_configs: [{{targets: ['127.0.0.1:{skein.ports["metrics"]}']}}]
  tls_config:
    ca_file: {server_files / "ca.crt"}
    cert_file: {reviews / "tls.crt"}
    key_file: {reviews / "tls.key"}
    server_name: collector.local
""")
        port = free_port()
        prometheus = subprocess.Popen(
            ["prometheus", f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
             f"--web.listen-address=127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            def up():
                status, _, body = http_get(port, "/api/v1/query?query=up")
                found = json.loads(body)["data"]["result"] if status == 200 else None
                return found and found[0]["value"][1] == "1"

            wait_for(up, what="up", seconds=30)
        finally:
            prometheus.kill()
            prometheus.wait()

    def test_envoy(self, start, ca, server_files, reviews, tmp_path):
        """As a client of the query port that shows a certificate, over HTTP/2."""
        skein = start(None, serving(server_files))
        port = free_port()
        (tmp_path / "envoy.yaml").write_text(f"""
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: x
          route_config: {{virtual_hosts: [{{name: x, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: skein}}}}]}}]}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: skein
    connect_timeout: 5s
    load_assignment:
      cluster_name: skein
      endpoints:
      - lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {skein.ports["zipkin"]}}}}}}}}}]
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        auto_config: {{}}
    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: collector.local
        common_tls_context:
          tls_certificates: [{{certificate_chain: {{filename: {reviews / "tls.crt"}}}, private_key: {{filename: {reviews / "tls.key"}}}}}]
          validation_context:
            trusted_ca: {{filename: {server_files / "ca.crt"}}}
            match_typed_subject_alt_names: [{{san_type: DNS, matcher: {{exact: collector.local}}}}]
""")
        envoy = subprocess.Popen(
            [ENVOY, "-c", tmp_path / "envoy.yaml", "--disable-hot-restart", "--log-level", "error"],
            stderr=open(tmp_path / "envoy.log", "wb"))
        try:
            wait_for(lambda: http_get(port, "/health")[0] == 200, seconds=30, what="an answer through Envoy")
            body = json.dumps(SPANS * 2000).encode()
            assert http_get(port, "/api/v2/spans", {"Content-Type": "application/json"}, method="POST", body=body)[0] == 202
        finally:
            envoy.kill()
            envoy.wait()

    def test_commands(self, start, ca, server_files, reviews):
        skein = start(None, serving(server_files))
        address = ["--server", f"https://localhost:{skein.ports['zipkin']}"]
        shown = ["--cert", reviews / "tls.crt", "--key", reviews / "tls.key"]
        done = cli("traces", *address, "--ca-file", ca.certificate, *shown)
        assert done.returncode == 0, done.stderr
        done = cli("query", *address, "--ca-file", ca.certificate, *shown, "up")
        assert done.returncode == 0, done.stderr
        done = cli("traces", *address, *shown)
        assert done.returncode == 69 and "the peer's certificate is refused" in done.stderr and "--ca-file" in done.stderr
        done = cli("traces", *address, "--ca-file", ca.certificate)
        assert done.returncode == 69 and "--cert" in done.stderr, done.stderr
        done = cli("traces", *address, "--ca-file", ca.certificate, *shown, "--server-name", "other.local")
        assert done.returncode == 69 and "it is not for other.local, but for localhost, collector.local" in done.stderr
        done = cli("traces", "--server", f"127.0.0.1:{skein.ports['zipkin']}")
        assert "this port speaks TLS: use https://" in done.stderr
        done = cli("logs", "--server", f"https://127.0.0.1:{skein.ports['readiness']}", "--insecure")
        assert done.returncode == 69


class TestScrapes:
    def value(self, skein, query):
        answer = json.loads(http_get(skein.ports["zipkin"], f"/api/v1/query?query={query}")[2])
        return [float(one["value"][1]) for one in answer["data"]["result"]]

    def test_a_target_of_the_command_line(self, start, ca, server_files, reviews, target):
        shop = target(server_files, client_ca=ca.certificate)
        arguments = ["--scrape", f"shop=https://127.0.0.1:{shop.port}/metrics", "--scrape-interval", "1", "--https-ca", str(ca.certificate)]
        skein = start(None, [*arguments, "--identity", str(reviews)])
        wait_for(lambda: self.value(skein, "sold_total") == [17], what="the sample")
        assert shop.clients[0]["subjectAltName"] == (("URI", "spiffe://cluster.local/ns/default/sa/reviews"),)

    def test_targets_of_a_file(self, start, ca, server_files, reviews, target, tmp_path):
        shop = target(server_files, client_ca=ca.certificate)
        wrong = ca.issue(tmp_path / "wrong", ["DNS:elsewhere.local"])
        other = target(wrong)
        cut = target(server_files, truncates=True)
        (tmp_path / "scrape.yml").write_text(f"""
global: {{scrape_interval: 1s}}
scrape_configs:
- job_name: shop
  scheme: https
  static_configs: [{{targets: ['127.0.0.1:{shop.port}']}}]
  tls_config:
    ca_file: server/ca.crt
    cert_file: reviews/tls.crt
    key_file: reviews/tls.key
    server_name: collector.local
    min_version: TLS13
- job_name: wrong
  scheme: https
  static_configs: [{{targets: ['127.0.0.1:{other.port}']}}]
  tls_config: {{ca_file: {ca.certificate}}}
- job_name: believed
  scheme: https
  static_configs: [{{targets: ['127.0.0.1:{other.port}']}}]
  tls_config: {{insecure_skip_verify: true}}
- job_name: cut
  scheme: https
  static_configs: [{{targets: ['127.0.0.1:{cut.port}']}}]
  tls_config: {{ca_file: {ca.certificate}}}
""")
        skein = start(None, ["--scrape-config", str(tmp_path / "scrape.yml")])
        wait_for(lambda: self.value(skein, 'up{job="shop"}') == [1], what="shop is up")
        wait_for(lambda: self.value(skein, 'up{job="believed"}') == [1], what="believed is up")
        wait_for(lambda: self.value(skein, 'up{job="wrong"}') == [0], what="wrong is down")
        assert f"cannot scrape wrong (https://127.0.0.1:{other.port}/metrics): TLS with" in skein.log()
        assert "it is not for 127.0.0.1, but for elsewhere.local" in skein.log()
        wait_for(lambda: self.value(skein, 'up{job="cut"}') == [0], what="a page without its end is no page")


class TestZipkin:
    """A tracing provider is reached as the service that it is: by its DestinationRule."""

    def run(self, start, backend, port, tls, files=()):
        return start(
            f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: web, namespace: default}}
spec:
  hosts: [web.local]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{http: {backend.port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: zipkin, namespace: default}}
spec:
  hosts: [collector.local]
  ports: [{{number: 9411, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: zipkin, namespace: default}}
spec: {{host: collector.local, trafficPolicy: {{tls: {tls}}}}}
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh, namespace: istio-system}}
spec:
  meshConfig:
    extensionProviders: [{{name: zipkin, zipkin: {{service: collector.local, port: 9411}}}}]
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {{name: default, namespace: istio-system}}
spec: {{tracing: [{{providers: [{{name: zipkin}}], randomSamplingPercentage: 100}}]}}
""",
            [str(argument) for argument in files])

    def test_with_a_certificate_from_files(self, start, ca, server_files, reviews, backend, target):
        zipkin = target(server_files, client_ca=ca.certificate)
        own = f"clientCertificate: {reviews / 'tls.crt'}, privateKey: {reviews / 'tls.key'}"
        tls = f"{{mode: MUTUAL, caCertificates: {ca.certificate}, {own}}}"
        skein = self.run(start, backend, zipkin.port, tls)
        assert skein.get("/hello")[0] == 200
        wait_for(lambda: zipkin.bodies, what="spans")
        assert zipkin.bodies[0][0] == "/api/v2/spans" and b"/hello" in zipkin.bodies[0][1]
        assert zipkin.clients[0]["subjectAltName"][0][1].endswith("/sa/reviews")

    def test_with_a_credential(self, start, ca, server_files, reviews, backend, target, tmp_path):
        """As DestinationRules of the proxy's traffic name it: a directory below --credentials; and a list of revoked servers by path."""
        zipkin = target(server_files, client_ca=ca.certificate)
        shutil.copytree(reviews, tmp_path / "credentials/out")
        arguments = ["--credentials", tmp_path / "credentials"]
        skein = self.run(start, backend, zipkin.port, "{mode: MUTUAL, credentialName: out}", arguments)
        assert skein.get("/hello")[0] == 200
        wait_for(lambda: zipkin.bodies, what="spans")
        assert zipkin.clients[0]["subjectAltName"][0][1].endswith("/sa/reviews")
        # One that is not there is said.
        skein = self.run(start, backend, zipkin.port, "{mode: MUTUAL, credentialName: lost}", arguments)
        assert "TLS with collector.local: " in skein.log() and "credentials/lost/tls.key: No such file" in skein.log()
        assert skein.get("/before")[0] == 200
        # It comes later: no reload is needed.
        shutil.copytree(reviews, tmp_path / "credentials/lost")
        wait_for(lambda: "files that a tracing provider lacked have changed" in skein.log(), what="the credential")
        already = len(zipkin.bodies)
        wait_for(
            lambda: skein.get("/after")[0] == 200 and any(b"/after" in body for _, body in zipkin.bodies[already:]), what="spans")
        assert skein.log().count("no spans are sent there") == 1 and not any(b"/before" in body for _, body in zipkin.bodies)
        plain = target(server_files)
        lists = ca.revoke(tmp_path / "list.pem", server_files)
        skein = self.run(start, backend, plain.port, f"{{mode: SIMPLE, caCertificates: {ca.certificate}, caCrl: {lists}}}")
        assert skein.get("/hello")[0] == 200
        wait_for(lambda: "certificate revoked" in skein.log(), what="a reason")
        assert not plain.bodies

    def test_with_the_workloads_certificate(self, start, ca, reviews, backend, target, tmp_path):
        zipkin = target(ca.workload(tmp_path / "zipkin", "zipkin"), client_ca=ca.certificate)
        names = "subjectAltNames: ['spiffe://cluster.local/ns/default/sa/zipkin']"
        skein = self.run(start, backend, zipkin.port, f"{{mode: ISTIO_MUTUAL, {names}}}", ["--identity", reviews])
        assert skein.get("/hello")[0] == 200
        wait_for(lambda: zipkin.bodies, what="spans")
        assert zipkin.clients[0]["subjectAltName"][0][1].endswith("/sa/reviews")

    def test_another_server_gets_no_spans(self, start, ca, backend, target, tmp_path):
        zipkin = target(ca.issue(tmp_path / "other", ["DNS:other.local"]))
        skein = self.run(start, backend, zipkin.port, f"{{mode: SIMPLE, caCertificates: {ca.certificate}}}")
        assert skein.get("/hello")[0] == 200
        wait_for(lambda: "it is not for collector.local, but for other.local" in skein.log(), what="a reason")
        assert not zipkin.bodies
        # Files that are not there are said when they are named.
        skein = self.run(start, backend, zipkin.port, "{mode: SIMPLE, caCertificates: /nowhere.pem}")
        assert "tracing provider zipkin: TLS with collector.local: /nowhere.pem: No such file" in skein.log()

    def test_the_meshs_own_address(self, start, ca, server_files, backend, target):
        zipkin = target(server_files)
        skein = start(f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: web, namespace: default}}
spec:
  hosts: [web.local]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{http: {backend.port}}}}}]
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh, namespace: istio-system}}
spec:
  meshConfig:
    enableTracing: true
    defaultConfig:
      tracing:
        sampling: 100
        zipkin: {{address: "127.0.0.1:{zipkin.port}"}}
        tlsSettings: {{mode: SIMPLE, caCertificates: {ca.certificate}}}
""")
        assert skein.get("/hello")[0] == 200
        wait_for(lambda: zipkin.bodies, what="spans")


class TestReports:
    def collector(self, start, ca, tmp_path, *more):
        files = ca.issue(tmp_path / "collector-files", ["IP:127.0.0.1", "DNS:collector.local"])
        return start(None, serving(files, True, "--metrics-interval", "0", *more))

    def sender(self, start, collector, backend, *arguments):
        address = f"https://127.0.0.1:{collector.ports['zipkin']}"
        return start(mesh(backend.port), ["--no-store", "--metrics-interval", "1", "--collector", address, *map(str, arguments)])

    def test_a_report_is_its_certificates(self, start, ca, reviews, backend, tmp_path):
        collector = self.collector(start, ca, tmp_path)
        sender = self.sender(start, collector, backend, "--identity", reviews, "--https-ca", ca.certificate)
        for _ in range(5):
            assert sender.get("/a")[0] == 200
        query = "/api/v1/query?query=sum(istio_requests_total)"

        def counted():
            result = get(collector, "zipkin", query, reviews, ca).json()["data"]["result"]
            return result and float(result[0]["value"][1]) == 5

        wait_for(counted, what="five requests at the collector")

    def test_a_report_of_another_is_refused(self, start, ca, reviews, tmp_path):
        collector = self.collector(start, ca, tmp_path)
        url = f"https://127.0.0.1:{collector.ports['zipkin']}/v1/report"

        def send(sender, files):
            name = sender.encode()
            assert len(name) < 128
            body = b"SKR1" + bytes([len(name)]) + name + bytes([1, 0, 0, 0])
            return requests.post(
                url, data=body, verify=str(ca.certificate), cert=(str(files / "tls.crt"), str(files / "tls.key")), timeout=10)

        mine = "cluster.local/ns/default/sa/reviews@10.0.0.1:15090/1f"
        assert send(mine, reviews).status_code == 200
        for claim in ("10.0.0.1:15090/1f", "cluster.local/ns/default/sa/ratings@10.0.0.1:15090/1f", f"x@{mine}"):
            answer = send(claim, reviews)
            assert answer.status_code == 403 and "the certificate of cluster.local/ns/default/sa/reviews" in answer.text, answer.text
        assert send(mine, ca.issue(tmp_path / "web", ["DNS:web.local"])).status_code == 403
        assert "skein_receiver_reports_foreign_total 4" in get(collector, "metrics", "/metrics", reviews, ca).text

    def test_a_collector_may_be_a_workload(self, start, ca, reviews, backend, tmp_path):
        identity = ca.workload(tmp_path / "collector", "collector")
        collector = start(None, ["--identity", str(identity), "--tls-identity", "--metrics-interval", "0"])
        name = "spiffe://cluster.local/ns/default/sa/collector"
        sender = self.sender(start, collector, backend, "--identity", reviews, "--collector-name", name)
        wait_for(lambda: sender.samples("skein_exporter_requests_total", exporter="collector", outcome="accepted") > 0, what="a report")
        wrong = self.sender(start, collector, backend, "--identity", reviews, "--collector-name", name + "s")
        wait_for(lambda: f"but for {name}" in wrong.log() or f"it names {name}" in wrong.log(), what="a reason")

    @pytest.mark.parametrize("case", ["wrong name", "expired", "foreign", "plaintext"])
    def test_why_a_report_does_not_get_through(self, start, ca, backend, target, tmp_path, case):
        files = {
            "wrong name": lambda: ca.issue(tmp_path / "x", ["DNS:elsewhere.local"]),
            "expired": lambda: ca.issue(tmp_path / "x", ["IP:127.0.0.1"], days=-1),
            "foreign": lambda: MeshCA(tmp_path / "foreign").issue(tmp_path / "x", ["IP:127.0.0.1"]),
            "plaintext": lambda: None,
        }[case]()
        port = target(files).port
        sender = start(
            mesh(backend.port),
            ["--no-store", "--metrics-interval", "1", "--collector", f"https://127.0.0.1:{port}", "--https-ca", str(ca.certificate)])
        reason = {
            "wrong name": "it is not for 127.0.0.1, but for elsewhere.local",
            "expired": "certificate has expired",
            "foreign": "self-signed certificate",
            "plaintext": "does not speak TLS",
        }[case]
        wait_for(lambda: reason in sender.log() or "unable to get local issuer" in sender.log(), what=reason)
        assert f"exporter collector: https://127.0.0.1:{port}/v1/report" in sender.log()
