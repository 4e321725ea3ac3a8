"""Which revocation list a certificate points to: a name in the CA's directory, never an address that is fetched."""

from __future__ import annotations

from cryptography import x509

from broker.jpki.certificate import parse


def distribution_point(der: bytes) -> str | None:
    """The directoryName of the CRL distribution point (RFC 5280 §4.2.1.13) as an RFC 4514 string.

    None where the certificate names none, several, or one that is not a single directory name: such a
    certificate finds no configured source and is refused as unknown. Raises CertificateMalformed.
    """
    points = parse(der).extension(x509.CRLDistributionPoints)
    if points is None:
        return None
    names = [
        name
        for point in points.value
        if point.reasons is None and point.crl_issuer is None
        for name in point.full_name or ()
        if isinstance(name, x509.DirectoryName)
    ]
    return names[0].value.rfc4514_string() if len(names) == 1 else None
