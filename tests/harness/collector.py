"""A collector of traces on this machine: takes OTLP over HTTP, as real ones do, and keeps it. Asserts nothing."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = ["Collector"]


class Collector:
    """Listens while it is entered."""

    def __init__(self) -> None:
        self._requests: list[ExportTraceServiceRequest] = []
        received = self._requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the library's own
                """Take one batch."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where to send."""
        return f"http://127.0.0.1:{self._server.server_port}/v1/traces"

    def names(self) -> set[str]:
        """Return the names of all spans that came."""
        scopes = [scope for one in self._requests for resource in one.resource_spans for scope in resource.scope_spans]
        return {span.name for scope in scopes for span in scope.spans}

    def text(self) -> str:
        """Return everything that came, as text."""
        return "\n".join(map(str, list(self._requests)))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
