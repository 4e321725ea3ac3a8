"""SoftHSM2 for tests: one folder of tokens per test process, because the module remembers the first it was told of."""

from __future__ import annotations

import itertools
import tempfile
from functools import cache
from pathlib import Path

import pytest

from broker.keys.pkcs11 import TokenURI
from sandbox.softhsm import make_token, why_not

_numbers = itertools.count(1)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="softhsm-")


def new_token() -> str:
    """The URI of a new, empty token; skips where there can be none."""
    if absent := why_not():
        pytest.skip(f"missing: {absent}")
    _forget()
    return make_token(Path(_folder().name), label=f"broker-{next(_numbers)}")


def _forget() -> None:
    """The module counts its slots when it is initialised: a token made later is seen after the next time."""
    from broker.keys import pkcs11

    for uri in list(pkcs11._tokens):
        pkcs11._forget_all(uri.module_path)


def parsed(uri: str | None) -> TokenURI | None:
    return TokenURI.parse(uri) if uri else None
