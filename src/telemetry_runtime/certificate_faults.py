"""Explain why TLS rejected a server's certificate.

Python 3.13 and later check certificates strictly by RFC 5280, so certificates of a private authority can be
rejected after an upgrade of Python. gRPC has its own TLS implementation, which is not as strict.
"""

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

_REISSUE: Final = (
    "reissue the certificates of the server and of its authority with subject and authority key identifiers, "
    "basic constraints and key usage; see docs/how-to/issue-certificates.md"
)
_OTHER_NAME: Final = ("it is issued for another name", "use a name that the certificate holds in the URL")
# Error numbers from OpenSSL's x509_vfy.h; the ssl module has no names for them.
_FAULTS: Final[Mapping[int, tuple[str, str]]] = {
    9: ("it is not valid yet", "compare the clocks of both machines"),
    10: ("it has expired, or its authority's has", "renew it"),
    62: _OTHER_NAME,
    64: _OTHER_NAME,
    85: ("it lacks the key identifier of its authority, which Python 3.13 and later require", _REISSUE),
    86: ("its authority's certificate lacks a key identifier, which Python 3.13 and later require", _REISSUE),
}
_UNTRUSTED: Final = frozenset({2, 18, 19, 20, 21, 27})
# Errors that only VERIFY_X509_STRICT reports, which is Python's default since 3.13.
_STRICT: Final = range(79, 95)


@dataclass(frozen=True, slots=True)
class CertificateFault:
    """Why a certificate was rejected.

    Attributes:
        problem: What is wrong with it.
        advice: What to do.
    """

    problem: str
    advice: str

    def __str__(self) -> str:
        """Return both in one line."""
        return f"{self.problem}; {self.advice}"


def certificate_fault(
    error: BaseException, *, ca_file_setting: str = "the CA file of the settings"
) -> CertificateFault | None:
    """Return what is wrong with a server's certificate, or None if the error has another cause.

    Args:
        error: An error from `ssl`, or an error that a library raised because of one.
        ca_file_setting: The setting that names the authorities to trust.
    """
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return explain_rejection(cause, ca_file_setting)
    return None


def explain_rejection(error: ssl.SSLCertVerificationError, ca_file_setting: str) -> CertificateFault:
    """Return what is wrong with the certificate that `ssl` rejected.

    Args:
        error: The error that `ssl` raised.
        ca_file_setting: The setting that names the authorities to trust.
    """
    code = error.verify_code
    if code in _FAULTS:
        return CertificateFault(*_FAULTS[code])
    if code in _UNTRUSTED:
        advice = f"add its authority to {ca_file_setting}, and send intermediate certificates from the server"
        return CertificateFault("its authority is not trusted", advice)
    # SECURITY: only OpenSSL's fixed texts are repeated; texts that contain a host name are replaced above.
    if code in _STRICT:
        return CertificateFault(f"{error.verify_message}, which Python 3.13 and later reject", _REISSUE)
    return CertificateFault(error.verify_message, "replace it")


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
