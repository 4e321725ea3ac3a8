"""The broker's own front (TLS, reverse proxy), asked from outside as a client asks it: for `broker doctor` alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError

from broker.errors import OutboundFailed

SECONDS: Final = 5.0
MAX_ANSWER: Final = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Front:
    """Asks one origin; `authorities` is a PEM file, where its certificate is not of a public authority."""

    def __init__(self, origin: str, *, authorities: str | None = None) -> None:
        self._origin = origin
        self._pool = urllib3.PoolManager(
            timeout=SECONDS, retries=False, cert_reqs="CERT_REQUIRED", ca_certs=authorities, num_pools=1
        )

    def ask(
        self, path: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """GET, or POST where there is a form; redirects are not followed. Raises OutboundFailed."""
        typed = {} if form is None else {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            response = self._pool.request(
                "GET" if form is None else "POST",
                self._origin + path,
                body=None if form is None else urlencode(form),
                headers={**typed, **(headers or {})},
                redirect=False,
                preload_content=False,
            )
            body = response.read(MAX_ANSWER + 1)
            response.release_conn()
        except (HTTPError, OSError, ValueError) as failed:
            raise OutboundFailed(f"{path}: {type(failed).__name__}") from failed
        told = {name.lower(): value for name, value in response.headers.items()}
        return Answer(status=response.status, headers=told, body=body)
