"""The outside world over HTTP: revocation lists, OCSP, roots, and the card tray page of the sandbox."""

from sandbox.world.app import create_world

__all__ = ["create_world"]
