"""An HTTP server on loopback that misbehaves on demand.

Each test puts what a path answers into `server.routes`: a list of answers, of which the last one stays;
or a function of the request. `server.seen` has the requests.
"""

import contextlib
import gzip
import http.server
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit


@dataclass
class Answer:
    body: bytes = b"{}"
    status: int = 200
    headers: dict = field(default_factory=dict)
    type: str = "application/json"
    delay: float = 0  # before the first byte, in seconds
    declared: int | None = None  # Content-Length, where it is not the body's
    endless: bool = False  # repeats the body for ever
    gzipped: bool = False
    cut: int | None = None  # this many bytes of the body, then the connection goes


@dataclass
class Request:
    path: str
    query: dict
    headers: dict
    at: float


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        request = Request(parts.path, query, dict(self.headers), time.monotonic())
        with server.lock:
            server.seen.append(request)
            server.busy += 1
            server.most_busy = max(server.most_busy, server.busy)
            route = server.routes.get(parts.path, [Answer(b"no such page", 404)])
            answer = route.pop(0) if isinstance(route, list) and len(route) > 1 else route
        if callable(answer):
            answer = answer(request)
        elif isinstance(answer, list):
            answer = answer[0]
        try:
            self.answer(answer)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with server.lock:
                server.busy -= 1

    def answer(self, answer):
        if answer.delay:
            self.server.stopping.wait(answer.delay)
        body = gzip.compress(answer.body, mtime=0) if answer.gzipped else answer.body
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.type)
        if answer.gzipped:
            self.send_header("Content-Encoding", "gzip")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if not answer.endless:
            length = len(body) if answer.declared is None else answer.declared
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body if answer.cut is None else body[:answer.cut])
        while answer.endless and not self.server.stopping.is_set():
            self.wfile.write(body)
        if answer.endless or answer.cut is not None or answer.declared is not None:
            self.close_connection = True


class PriceServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    host = "127.0.0.1"

    def __init__(self, certificate=None):
        super().__init__((self.host, 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.routes, self.seen, self.lock = {}, [], threading.Lock()
        self.busy = self.most_busy = 0
        self.stopping = threading.Event()
        self.base = f"http{'s' if certificate else ''}://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        pass  # a client that leaves is part of the tests

    def paths(self):
        return [request.path for request in self.seen]


@contextlib.contextmanager
def serving(certificate=None, kind=PriceServer):
    server = kind(certificate)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()


def closed_port():
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
