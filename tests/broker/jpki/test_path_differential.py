"""Two engines over one table: what we accept OpenSSL accepts too, and what our rules alone refuse is declared."""

from __future__ import annotations

import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from broker.errors import BrokerError
from broker.jpki.path import validate_path
from broker.jpki.profile import USER_AUTHENTICATION
from tests.broker.jpki.jpki_authority import DAY, NOW
from tests.broker.jpki.test_jpki_path import ACCEPTED, CA, OLDER, PRODUCTION, REFUSED

LEAVES = {
    **ACCEPTED,
    **REFUSED,
    "an older generation's": OLDER.leaf(),
    "ended": CA.leaf(not_after=NOW - DAY),
    "production's": PRODUCTION.leaf(),
}
ANCHORS = (CA, OLDER)
OURS_ALONE = {  # the profile's rules: what a certificate must say, which a path engine does not ask
    "policy of the signing certificate",
    "production's policy under the test hierarchy",
    "two policies",
    "anyPolicy",
    "no policy",
    "no key usage",
    "key usage keyCertSign",
    "key usage cRLSign",
    "RSA exponent 3",
    "a curve without a place in JWA",
    "leaf that is a CA",
    "signed with SHA-1's successor in length only (SHA-224)",
}


@pytest.fixture(scope="module")
def anchors(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """A file for each: OpenSSL looks for the issuer by name, and generations of the JPKI share theirs."""
    if shutil.which("openssl") is None:
        pytest.skip("missing: openssl")
    folder = tmp_path_factory.mktemp("openssl")
    for number, each in enumerate(ANCHORS):
        (folder / f"{number}.pem").write_bytes(each.certificate.public_bytes(Encoding.PEM))
    return tuple(sorted(folder.iterdir()))


def openssl(anchors: tuple[Path, ...], leaf: bytes, at: datetime) -> bool:
    """Whether `openssl verify` finds a path for a client's certificate at security level 2."""
    pem = x509.load_der_x509_certificate(leaf).public_bytes(Encoding.PEM)
    words = ["-no-CApath", "-no-CAstore", "-purpose", "sslclient", "-auth_level", "2"]
    moment = ["-attime", str(int(at.timestamp()))]
    runs = (
        subprocess.run(
            ["openssl", "verify", *words, *moment, "-CAfile", str(anchor)], input=pem, capture_output=True, check=False
        )
        for anchor in anchors
    )
    return any(done.returncode == 0 for done in runs)


def ours(leaf: bytes, at: datetime) -> bool:
    try:
        validate_path(leaf, anchors=[each.der for each in ANCHORS], at=at, profile=USER_AUTHENTICATION)
    except BrokerError:
        return False
    return True


@pytest.mark.parametrize("name", LEAVES)
def test_openssl_accepts_what_we_accept_and_more_only_where_it_is_declared(
    anchors: tuple[Path, ...], name: str
) -> None:
    leaf = LEAVES[name]
    for at in (NOW, NOW - 3000 * DAY, NOW + 3000 * DAY):
        assert openssl(anchors, leaf, at) or not ours(leaf, at)
    assert openssl(anchors, leaf, NOW) == (ours(leaf, NOW) or name in OURS_ALONE)
