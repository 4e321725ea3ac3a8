"""Apache with Debian's mod_auth_openidc as a relying party: a private server on loopback, with one protected page."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc.jwk import RSAKey

from bench.servers import Servers, free_ports
from sandbox.broker import set_up
from sandbox.programs import Program, stop_all

PROGRAM: Final = Path("/usr/sbin/apache2")
MODULES: Final = Path("/usr/lib/apache2/modules")
LOADED: Final = ("mpm_event", "authn_core", "authz_core", "authz_user", "headers", "status", "auth_openidc")
CLIENT_ID: Final = "apache"
START_SECONDS: Final = 30.0


def missing() -> str | None:
    """What stands in the way of it here, for a skip; None when nothing does."""
    if not PROGRAM.exists():
        return "missing: apache2-bin"
    if not (MODULES / "mod_auth_openidc.so").exists():
        return "missing: libapache2-mod-auth-openidc"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Apache:
    """A running one. Header `X-User` of its protected page is the `sub` that it accepted, `X-Claims` what else."""

    origin: str
    log: Path

    @property
    def protected(self) -> str:
        return f"{self.origin}/protected"

    @property
    def logout(self) -> str:
        """Ends its own session, then sends the browser to the provider's logout and from there to `left`."""
        return f"{self.origin}/callback?logout={self.left.replace(':', '%3A').replace('/', '%2F')}"

    @property
    def left(self) -> str:
        return f"{self.origin}/left"


@contextmanager
def running(servers: Servers, *, method: str, **members: Any) -> Iterator[Apache]:
    """Started for this and stopped on the way out; the broker knows it as a client with `members`.

    It authenticates by `method`: client_secret_basic, or private_key_jwt with RS256, all that it has for that.
    """
    (port,) = free_ports(1)
    origin = f"http://127.0.0.6:{port}"
    root = Path(tempfile.mkdtemp(prefix="apache-"))  # its workers are another user and must get through
    root.chmod(0o711)
    secret = secrets.token_urlsafe(24)
    client_id = f"{CLIENT_ID}-{method.replace('_', '-')}"
    registration = {
        "client_id": client_id,
        "client_name": "Apache",
        "redirect_uris": [f"{origin}/callback"],
        "post_logout_redirect_uris": [f"{origin}/left"],
        "token_endpoint_auth_method": method,
        "profile": "oidc",
        "vetted": True,
        **members,
    }
    if method == "private_key_jwt":
        key = rsa.generate_private_key(65537, 2048)
        public = RSAKey.import_key(key.public_key()).as_dict(private=False)
        registration["jwks"] = {"keys": [{**public, "kid": "apache", "use": "sig", "alg": "RS256"}]}
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (root / "private.pem").touch(mode=0o600)
        (root / "private.pem").write_bytes(private)
        published = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (root / "public.pem").write_bytes(published)
        credentials = f"OIDCPrivateKeyFiles apache#{root}/private.pem\nOIDCPublicKeyFiles apache#{root}/public.pem"
    else:
        registration["client_secret"] = secret
        credentials = f"OIDCClientSecret {secret}"
    set_up(servers.house, [registration])
    configuration = root / "apache.conf"
    configuration.touch(mode=0o600)
    configuration.write_text(
        _configuration(
            root, origin, issuer=servers.broker, client_id=client_id, method=method, credentials=credentials
        ),
        encoding="utf-8",
    )
    program = Program(
        name="apache2",
        command=["-f", str(configuration), "-D", "FOREGROUND"],
        interpreter=str(PROGRAM),
        log=root / "apache.log",
        ready_url=f"{origin}/status",
    )
    try:
        program.start()
        program.wait_until_ready(until=time.monotonic() + START_SECONDS)
        yield Apache(origin=origin, log=root / "apache.log")
    finally:
        stop_all([program])
        shutil.rmtree(root)


def _configuration(root: Path, origin: str, *, issuer: str, client_id: str, method: str, credentials: str) -> str:
    modules = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in LOADED)
    user = "User www-data\nGroup www-data" if os.getuid() == 0 else ""
    return f"""
{modules}
ServerRoot {root}
DefaultRuntimeDir {root}
PidFile {root}/apache.pid
ErrorLog /dev/stderr
ServerName {origin}
Listen {origin.removeprefix("http://")}
{user}
StartServers 1
OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration
OIDCClientID {client_id}
{credentials}
OIDCProviderTokenEndpointAuth {method}
OIDCRedirectURI {origin}/callback
OIDCCryptoPassphrase {secrets.token_hex(16)}
OIDCResponseType code
OIDCPKCEMethod S256
OIDCIDTokenSignedResponseAlg ES256
OIDCRemoteUserClaim sub
OIDCPassClaimsAs environment
OIDCScope openid
<Location /status>
  SetHandler server-status
</Location>
<Location /left>
  SetHandler server-status
</Location>
<Location /callback>
  AuthType openid-connect
  Require valid-user
</Location>
<Location /protected>
  SetHandler server-status
  AuthType openid-connect
  Require valid-user
  # Whoever does not say that they want HTML would be told 401.
  OIDCUnAuthAction auth true
  Header set X-User "expr=%{{REMOTE_USER}}"
  Header set X-ACR "expr=%{{reqenv:OIDC_CLAIM_acr}}"
</Location>
"""
