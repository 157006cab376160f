"""HTTP/2 clients and servers for the end-to-end suite, over the `h2` package; the client can also send what `h2` would refuse to."""

import contextlib
import socket
import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    """A frame as it stands on the wire (RFC 9113 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def announced(client, values):
    """Settings that the first SETTINGS frame tells; what is assigned to `local_settings` later holds without the peer having heard of it."""
    codes = h2.settings.SettingCodes
    return h2.settings.Settings(client=client, initial_values={codes.MAX_CONCURRENT_STREAMS: 100, codes.MAX_HEADER_LIST_SIZE: 65536, **values})


class Answer:
    """What a stream came to."""

    def __init__(self):
        self.headers = []
        self.interim = []
        self.body = bytearray()
        self.trailers = None
        self.reset = None
        self.done = False

    @property
    def status(self):
        return int(dict(self.headers).get(b":status", b"0"))

    def header(self, name):
        return dict(self.headers).get(name)


class H2Client:
    def __init__(self, port, window=None, reads=True):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=15)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = h2.config.H2Configuration(
            client_side=True, header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False,
            validate_inbound_headers=True, split_outbound_cookies=False)
        self.connection = h2.connection.H2Connection(config)
        if window is not None:
            self.connection.local_settings = announced(True, {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.connection.initiate_connection()
        self.answers = {}
        self.goaway = None
        self.closed = False
        self.flush()

    def flush(self):
        data = self.connection.data_to_send()
        if data:
            self.socket.sendall(data)

    def open(self, path="/", method="GET", authority="web.local", headers=(), end=True, pseudo=None):
        stream = self.connection.get_next_available_stream_id()
        fields = pseudo if pseudo is not None else [(b":method", method), (b":scheme", b"http"), (b":authority", authority), (b":path", path)]
        self.connection.send_headers(stream, [*fields, *headers], end_stream=end)
        self.answers[stream] = Answer()
        self.flush()
        return stream

    def send(self, stream, body, end=True, trailers=None):
        """Sends body bytes as fast as the peer's windows allow."""
        view = memoryview(body)
        while len(view):
            room = min(self.connection.local_flow_control_window(stream), self.connection.max_outbound_frame_size, len(view))
            if room == 0:
                if not self.pump():
                    return
                continue
            self.connection.send_data(stream, bytes(view[:room]))
            view = view[room:]
            self.flush()
        if trailers:
            self.connection.send_headers(stream, trailers, end_stream=True)
        elif end:
            self.connection.end_stream(stream)
        self.flush()

    def request(self, path="/", method="GET", authority="web.local", headers=(), body=None, trailers=None):
        stream = self.open(path, method, authority, headers, end=body is None and not trailers)
        if body is not None or trailers:
            self.send(stream, body or b"", trailers=trailers)
        return self.wait(stream)

    def pump(self, acknowledges=True):
        """Reads once. False at the end of the connection."""
        try:
            data = self.socket.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        if not data:
            self.closed = True
            return False
        for event in self.connection.receive_data(data):
            answer = self.answers.get(getattr(event, "stream_id", None))
            if isinstance(event, h2.events.ResponseReceived):
                answer.headers = list(event.headers)
            elif isinstance(event, h2.events.InformationalResponseReceived):
                answer.interim.append(list(event.headers))
            elif isinstance(event, h2.events.DataReceived):
                answer.body += event.data
                if acknowledges:
                    self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.TrailersReceived):
                answer.trailers = list(event.headers)
            elif isinstance(event, h2.events.StreamEnded):
                answer.done = True
            elif isinstance(event, h2.events.StreamReset):
                if not answer.done:
                    answer.reset = event.error_code
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.goaway = event.error_code
                if event.error_code == 0:
                    # `h2` would not listen to the streams that are still open.
                    self.connection.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
        with contextlib.suppress(OSError):
            self.flush()
        return True

    def wait(self, stream):
        answer = self.answers[stream]
        while not answer.done and answer.reset is None and not self.closed:
            self.pump()
        return answer

    def reset(self, stream, code=h2.errors.ErrorCodes.CANCEL):
        self.connection.reset_stream(stream, code)
        self.flush()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def raw_exchange(port, data, seconds=10):
    """Sends bytes behind a preface and SETTINGS, and returns the frames that come back until the peer closes: (kind, flags, stream, payload)."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as s:
        out = b""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError, socket.timeout):
            s.sendall(PREFACE + frame(4, 0, 0) + data)
        with contextlib.suppress(ConnectionResetError, socket.timeout):
            while piece := s.recv(65536):
                out += piece
    return frames(out)


def frames(data):
    found = []
    while len(data) >= 9:
        count = int.from_bytes(data[:3], "big")
        found.append((data[3], data[4], int.from_bytes(data[5:9], "big") & 0x7FFFFFFF, data[9 : 9 + count]))
        data = data[9 + count :]
    return found


def encode(fields):
    """A header block of literals without indexing, with whatever bytes the test wants in it."""
    encoder = hpack.Encoder()
    return encoder.encode([hpack.NeverIndexedHeaderTuple(n, v) for n, v in fields], huffman=False)


class Stream:
    """One request as the backend sees it."""

    def __init__(self, connection, number, headers):
        self.owner = connection
        self.id = number
        self.headers = list(headers)
        self.body = bytearray()
        self.trailers = None
        self.reset = None
        self.ended = threading.Event()

    @property
    def path(self):
        return dict(self.headers).get(b":path")

    def header(self, name):
        return dict(self.headers).get(name)


class H2Backend:
    """An HTTP/2 server by prior knowledge. `respond(stream, connection)` runs on a thread of its own once the request is complete, or at its head if `early`."""

    def __init__(self, respond=None, early=False, max_streams=100, reads_bodies=True):
        self.streams = []
        self.connections = []
        self.early = early
        self.max_streams = max_streams
        self.reads_bodies = reads_bodies
        self.respond = respond or (lambda stream, c: c.answer(stream, body=b"ok"))
        self.server = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.server.getsockname()[1]
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.server.accept()
            except OSError:
                return
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = H2Serving(self, s)
            with self.lock:
                self.connections.append(connection)
            threading.Thread(target=connection.run, daemon=True).start()

    def close(self):
        self.server.close()
        for connection in self.connections:
            connection.drop()


class H2Serving:
    def __init__(self, backend, s):
        self.backend = backend
        self.socket = s
        self.lock = threading.RLock()
        self.room = threading.Condition(self.lock)
        self.open = {}
        self.is_open = True
        config = h2.config.H2Configuration(client_side=False, header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False)
        self.connection = h2.connection.H2Connection(config)
        self.connection.local_settings = announced(False, {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: backend.max_streams})
        self.connection.initiate_connection()
        self.flush()

    def flush(self):
        with self.lock:
            data = self.connection.data_to_send()
            if data:
                with contextlib.suppress(OSError):
                    self.socket.sendall(data)

    def drop(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def run(self):
        while True:
            try:
                data = self.socket.recv(65536)
            except OSError:
                data = b""
            with self.lock:
                if not data:
                    self.is_open = False
                    self.room.notify_all()
                    return
                try:
                    events = self.connection.receive_data(data)
                except h2.exceptions.ProtocolError:
                    self.flush()
                    self.drop()
                    return
                for event in events:
                    self.handle(event)
                self.flush()
                self.room.notify_all()

    def handle(self, event):
        stream = self.open.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.RequestReceived):
            stream = self.open[event.stream_id] = Stream(self, event.stream_id, event.headers)
            with self.backend.lock:
                self.backend.streams.append(stream)
            if self.backend.early:
                threading.Thread(target=self.serve, args=(stream,), daemon=True).start()
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            if self.backend.reads_bodies:
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = list(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended.set()
            if not self.backend.early:
                threading.Thread(target=self.serve, args=(stream,), daemon=True).start()
        elif isinstance(event, h2.events.StreamReset):
            if stream:
                stream.reset = event.error_code
                stream.ended.set()

    def serve(self, stream):
        with contextlib.suppress(h2.exceptions.ProtocolError, KeyError, OSError):
            self.backend.respond(stream, self)

    def head(self, stream, status=200, headers=(), end=False):
        with self.lock:
            self.connection.send_headers(stream.id, [(b":status", str(status).encode()), *headers], end_stream=end)
            self.flush()

    def data(self, stream, body, end=False):
        view = memoryview(body)
        with self.lock:
            while len(view):
                room = min(self.connection.local_flow_control_window(stream.id), self.connection.max_outbound_frame_size, len(view))
                if room == 0:
                    if not self.is_open:
                        return
                    self.room.wait(10)
                    continue
                self.connection.send_data(stream.id, bytes(view[:room]))
                view = view[room:]
                self.flush()
            if end:
                self.connection.end_stream(stream.id)
            self.flush()

    def answer(self, stream, status=200, headers=(), body=b"", trailers=None):
        has_more = bool(body) or trailers is not None
        self.head(stream, status, headers, end=not has_more)
        if body:
            self.data(stream, body, end=trailers is None)
        if trailers is not None:
            with self.lock:
                self.connection.send_headers(stream.id, trailers, end_stream=True)
                self.flush()

    def reset(self, stream, code):
        with self.lock:
            self.connection.reset_stream(stream.id, code)
            self.flush()

    def go_away(self, last=None):
        with self.lock:
            self.connection.close_connection(last_stream_id=last)
            # `h2` would refuse to finish the streams that are open.
            self.connection.state_machine.state = h2.connection.ConnectionState.SERVER_OPEN
            self.flush()


def rss_kib(pid, kind="VmRSS"):
    """`RssAnon`: without the pages of the program itself, which come in as its code is first run."""
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith(kind + ":"):
                return int(line.split()[1])
    return 0


def settle(read, quiet=0.3, limit=10):
    """Waits until `read()` has stopped changing, and returns it."""
    end = time.monotonic() + limit
    last, since = read(), time.monotonic()
    while time.monotonic() < end and time.monotonic() - since < quiet:
        time.sleep(0.02)
        value = read()
        if value != last:
            last, since = value, time.monotonic()
    return last
