"""The little of RabbitMQ's management API that the lab and its users need, over verified TLS.

A plain blocking client: it never retries and hides no answer.
"""

import base64
import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any

_TIMEOUT = 30.0  # seconds for one request


class ManagementError(Exception):
    """The API answered with an error status."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Management:
    """Access to one management API."""

    host: str
    port: int
    context: ssl.SSLContext
    user: str
    password: str

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Send one request; `path` begins with /api and is sent as it is. Return the decoded answer, None if empty.

        Raises ManagementError for a status of 400 and above, OSError and http.client.HTTPException without an answer.
        """
        connection = http.client.HTTPSConnection(self.host, self.port, context=self.context, timeout=_TIMEOUT)
        try:
            token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            connection.request(
                method,
                path,
                json.dumps(body) if body is not None else None,
                {"Authorization": f"Basic {token}", "Content-Type": "application/json"},
            )
            answer = connection.getresponse()
            content = answer.read().decode()
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            raise ManagementError(answer.status, content)
        return json.loads(content) if content else None
