"""Plain requests to an API server with a kubeconfig's credentials: JSON in, JSON out. Decides nothing.

Tests ask often, and a kubectl process for every question would cost more than the question.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from kubernetes import config

from channel_operator.api.meta import API_VERSION, PLURALS

__all__ = ["ApiError", "KubeApi", "Object", "resource_path"]

Object = dict[str, Any]

_CORE = {"Namespace": "namespaces", "Secret": "secrets", "ConfigMap": "configmaps", "Event": "events"}
_OTHERS = {"Lease": ("coordination.k8s.io/v1", "leases")}
_TIMEOUT = 30.0
"""Seconds for one request; a watch may be silent for longer."""
_ERROR = 400


class ApiError(Exception):
    """The API server refused; `status` is the HTTP status, the text is the API server's message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


def resource_path(kind: str, namespace: str | None, name: str | None = None) -> str:
    """Return the path of an object, or of the list of its kind (`namespace` None: everywhere, or cluster-scoped)."""
    plurals = {str(kind): plural for kind, plural in PLURALS.items()}
    if kind in plurals:
        prefix, plural = f"/apis/{API_VERSION}", plurals[kind]
    elif kind in _OTHERS:
        group, plural = _OTHERS[kind]
        prefix = f"/apis/{group}"
    else:
        prefix, plural = "/api/v1", _CORE[kind]
    scope = f"/namespaces/{namespace}" if namespace is not None and kind != "Namespace" else ""
    return f"{prefix}{scope}/{plural}" + (f"/{name}" if name is not None else "")


class KubeApi:
    """One identity's access to one API server. Safe to use from several threads."""

    def __init__(self, kubeconfig: Path) -> None:
        self._client = config.new_client_from_config(str(kubeconfig), persist_config=False)
        self._host = str(self._client.configuration.host)
        self._pool = self._client.rest_client.pool_manager

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def request(
        self, method: str, path: str, body: object = None, *, content_type: str = "application/json", **query: str
    ) -> Object:
        """Send one request and return the object in the answer. Raises ApiError."""
        answer = self._pool.request(
            method,
            self._url(path, query),
            body=None if body is None else json.dumps(body),
            headers=self._headers({"Content-Type": content_type}),
            timeout=_TIMEOUT,
            retries=False,
        )
        return _object(answer.status, answer.data)

    def watch(self, path: str, resource_version: str, seconds: int) -> Iterator[Object]:
        """Yield watch events (`type`, `object`) from a version on, for at most so many seconds. Raises ApiError."""
        query = {"watch": "true", "resourceVersion": resource_version, "timeoutSeconds": str(seconds)}
        answer = self._pool.request(
            "GET",
            self._url(path, query),
            headers=self._headers({}),
            timeout=seconds + _TIMEOUT,
            retries=False,
            preload_content=False,
        )
        try:
            if answer.status >= _ERROR:
                _object(answer.status, answer.read())
            for line in answer:
                yield json.loads(line)
        finally:
            answer.close()

    def _url(self, path: str, query: Mapping[str, str]) -> str:
        return f"{self._host}{path}" + (f"?{urlencode(query)}" if query else "")

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        headers["Accept"] = "application/json"
        token = self._client.configuration.get_api_key_with_prefix("authorization")
        if token:
            headers["Authorization"] = token
        return headers


def _object(status: int, content: bytes) -> Object:
    try:
        found: Object = json.loads(content) if content else {}
    except ValueError:
        found = {"message": content.decode(errors="replace")}
    if status >= _ERROR:
        raise ApiError(status, str(found.get("message", "")))
    return found
