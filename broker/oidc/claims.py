"""What the userinfo endpoint says (OIDC Core §5.3.2)."""

from __future__ import annotations

from typing import Any

from broker.errors import InsufficientScope
from broker.oidc.tokens import AccessToken


def userinfo(token: AccessToken) -> dict[str, Any]:
    """The claims this token's scope allows; unknown or unconsented ones are absent, never null."""
    if "openid" not in token.scope:
        raise InsufficientScope("openid is needed")
    return {"sub": token.subject}
