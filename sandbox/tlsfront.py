"""nginx in front of the sandbox's broker: https at the issuer, and a second port that asks clients for a certificate.

Everything it writes is in its own folder and it needs no rights. What stands here is what docs/operations.md asks of a
front in production: only the suites of BCP 195 (RFC 9325 section 4.2), HTTP/1.1 with kept connections to the broker on
loopback, and a certificate header that is overwritten in every request.
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sandbox import atomicfile
from sandbox.ports import is_free
from sandbox.tls import TLSFiles

HEADER: Final = "X-Client-Certificate"
"""Carries `$ssl_client_escaped_cert` (RFC 8705 section 6.3)."""
SUITES: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
)
"""RFC 9325 section 4.2.1, for TLS 1.2; those of TLS 1.3 are all allowed (section 4.2)."""
_ELSEWHERE: Final = (Path("/usr/sbin/nginx"), Path("/usr/local/sbin/nginx"))
"""Not in an ordinary user's PATH on Debian."""


def program() -> str | None:
    """Where nginx is; None where it is not installed."""
    return shutil.which("nginx") or next((str(path) for path in _ELSEWHERE if path.is_file()), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """One front: `issuer` and `mtls_origin` are loopback https origins, `upstream` is the broker's host:port."""

    folder: Path
    files: TLSFiles
    issuer: str
    mtls_origin: str
    upstream: str
    mtls_paths: Collection[str]
    """What is served at `mtls_origin`: where a certificate means something, and no page."""

    @property
    def configuration(self) -> Path:
        return self.folder / "nginx.conf"

    def prepare(self) -> list[str]:
        """Write the configuration; the arguments of nginx. Raises OSError."""
        (self.folder / "tmp").mkdir(mode=0o700, parents=True, exist_ok=True)
        atomicfile.write(self.configuration, self.text().encode())
        return ["-p", str(self.folder), "-c", str(self.configuration), "-e", "stderr", "-g", "daemon off;"]

    def text(self) -> str:
        """The configuration file."""
        places = [f"= {path}" for path in sorted(self.mtls_paths)]
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "\n".join(f"  {kind}_temp_path {self._quoted('tmp', kind)};" for kind in kinds)
        return f"""{_user()}worker_processes 2;
pid {self._quoted("nginx.pid")};
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
  access_log off;
{temporary}
  server_tokens off;
  default_type application/octet-stream;

  ssl_certificate "{self.files.certificate}";
  ssl_certificate_key "{self.files.key}";
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_ciphers {":".join(SUITES)};
  ssl_prefer_server_ciphers on;
  ssl_ecdh_curve X25519:prime256v1:secp384r1;
  ssl_session_cache shared:tls:1m;
  ssl_session_tickets off;

  # X_Client_Certificate would be the same name to a WSGI server: such headers are dropped
  underscores_in_headers off;
  ignore_invalid_headers on;
  client_max_body_size 8m;
  client_body_buffer_size 64k;
  large_client_header_buffers 4 32k;
  keepalive_timeout 65s;

  upstream broker {{
    server {self.upstream};
    keepalive 16;
  }}
  proxy_http_version 1.1;
  proxy_max_temp_file_size 0;
  proxy_read_timeout 30s;

{self._server(self.issuer, certificate='""', verify="", places=["/"])}
{self._server(self.mtls_origin, certificate="$ssl_client_escaped_cert", verify=VERIFY, places=places)}
}}
"""

    def _server(self, origin: str, *, certificate: str, verify: str, places: list[str]) -> str:
        port = urlsplit(origin).port or 443
        locations = "\n".join(_location(place, certificate=certificate) for place in places)
        rest = "" if "/" in places else "\n    location / { return 404; }"
        return f"""  server {{
{_listen(port)}
    server_name localhost;{verify}
{locations}{rest}
  }}"""

    def _quoted(self, *parts: str) -> str:
        return f'"{self.folder.joinpath(*parts)}"'


VERIFY: Final = """
    # the broker judges the certificate: by registered keys as well as by an authority (RFC 8705 section 2)
    ssl_verify_client optional_no_ca;"""


def _location(place: str, *, certificate: str) -> str:
    """Each location states all its headers: one `proxy_set_header` in it would drop those of outside."""
    return f"""    location {place} {{
      proxy_set_header Host $http_host;
      proxy_set_header Connection "";
      proxy_set_header {HEADER} {certificate};
      proxy_pass http://broker;
    }}"""


def _listen(port: int) -> str:
    """On both loopback addresses, as far as this machine has them: `localhost` may mean either."""
    hosts = ["127.0.0.1", *(["[::1]"] if is_free("::1", 0) else [])]
    return "\n".join(f"    listen {host}:{port} ssl;" for host in hosts)


def _user() -> str:
    """Started by root, workers would become somebody who may not read the folder."""
    return f"user {pwd.getpwuid(os.geteuid()).pw_name};\n" if os.geteuid() == 0 else ""
