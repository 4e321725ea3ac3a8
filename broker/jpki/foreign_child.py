"""The program in which pyhanko-certvalidator judges a stranger's chain: limits first, no network, no files, no child.

It reads one question (JSON) and writes the path's certificates, leaf first, as a JSON array of Base64. Whatever else
happens, its exit code is not 0.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import sys
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from asn1crypto import x509

from broker import confined, nursery

CPU_SECONDS: Final = 4
NOT_INSTALLED: Final = 4
"""Exit code: the library is missing, which is the operator's to mend."""
REVOKED: Final = 5
"""Exit code: the evidence revokes a certificate on the only path."""
MEMORY: Final = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """All DER but `at` and `policies` (dotted object identifiers)."""

    leaf: bytes = field(repr=False)
    anchors: tuple[bytes, ...] = field(repr=False)
    intermediates: tuple[bytes, ...] = field(repr=False)
    crls: tuple[bytes, ...] = field(repr=False)
    ocsps: tuple[bytes, ...] = field(repr=False)
    at: datetime
    policies: tuple[str, ...]


def read(document: bytes) -> Question:
    """The question as it stands in JSON. Raises ValueError, TypeError, KeyError."""
    given: dict[str, Any] = json.loads(document)

    def many(name: str) -> tuple[bytes, ...]:
        return tuple(b64decode(each, validate=True) for each in given[name])

    return Question(
        leaf=b64decode(given["leaf"], validate=True),
        anchors=many("anchors"),
        intermediates=many("intermediates"),
        crls=many("crls"),
        ocsps=many("ocsps"),
        at=datetime.fromisoformat(given["at"]),
        policies=tuple(given["policies"]),
    )


async def judge(question: Question) -> tuple[bytes, ...]:
    """The path from leaf to anchor. Raises whatever the library raises: each means that there is none."""
    from pyhanko_certvalidator import CertificateValidator, ValidationContext  # noqa: PLC0415 -- only the child needs them, with [pades]
    from pyhanko_certvalidator.authority import CertTrustAnchor  # noqa: PLC0415 -- as above
    from pyhanko_certvalidator.policy_decl import PKIXValidationParams  # noqa: PLC0415 -- as above

    context = ValidationContext(
        trust_roots=[
            # else constraints and dates that stand in the anchor itself are not looked at
            CertTrustAnchor(x509.Certificate.load(anchor, strict=True), derive_default_quals_from_cert=True)
            for anchor in question.anchors
        ],
        moment=question.at,
        allow_fetching=False,
        crls=list(question.crls),
        ocsps=list(question.ocsps),
        revocation_mode="require",
        time_tolerance=timedelta(0),
        weak_hash_algos={"md2", "md5", "sha1"},
    )
    path = await CertificateValidator(
        x509.Certificate.load(question.leaf, strict=True),
        intermediate_certs=[x509.Certificate.load(each, strict=True) for each in question.intermediates],
        validation_context=context,
        pkix_params=PKIXValidationParams(
            user_initial_policy_set=frozenset(question.policies or ("any_policy",)),
            initial_explicit_policy=bool(question.policies),
        ),
    ).async_validate_path()
    return tuple(each.dump() for each in reversed(list(path.iter_certs(include_root=True))))


def main() -> None:
    if importlib.util.find_spec("pyhanko_certvalidator") is None:
        nursery.serve(_not_installed)
        return
    importlib.import_module("pyhanko_certvalidator")  # loaded once, for all that will be asked
    nursery.serve(answer)


def answer(written: bytes) -> None:
    """Judge one chain, within its limits."""
    confined.confine(cpu_seconds=CPU_SECONDS, memory=MEMORY)
    from pyhanko_certvalidator.errors import RevokedError  # noqa: PLC0415 -- may be absent

    question = read(written)
    with asyncio.Runner() as runner:
        runner.get_loop()
        confined.forbid()
        try:
            path = runner.run(judge(question))
        except RevokedError:
            sys.exit(REVOKED)
    sys.stdout.write(json.dumps([b64encode(each).decode() for each in path]))


def _not_installed(_written: bytes) -> None:
    sys.exit(NOT_INSTALLED)


if __name__ == "__main__":
    main()
