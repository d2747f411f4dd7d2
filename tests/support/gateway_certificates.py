"""A certificate authority for tests."""

import datetime as dt
import ipaddress
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class CertificateAuthority:
    """Signs certificates and writes them to a directory.

    Args:
        directory: The directory of the files.
        name: The name of the authority.
        key_identifiers: Whether certificates have key identifiers. Certificates of many companies do not, and Python
            3.13 and later reject those.
    """

    def __init__(self, directory: Path, name: str = "test authority", *, key_identifiers: bool = True) -> None:
        self._directory = directory
        self._key_identifiers = key_identifiers
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = directory / f"{name}.pem".replace(" ", "-")
        self.file.write_bytes(_pem(self._sign(self._name, self._key.public_key(), is_authority=True)))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Issue a certificate for 127.0.0.1 and localhost; return the files of the certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate_file, key_file = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        certificate_file.write_bytes(_pem(self._sign(subject, key.public_key(), is_authority=False)))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate_file, key_file

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, is_authority: bool) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
        )
        for extension, critical in self._extensions(key, is_authority=is_authority):
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self._key, hashes.SHA256())

    def _extensions(
        self, key: ec.EllipticCurvePublicKey, *, is_authority: bool
    ) -> Iterator[tuple[x509.ExtensionType, bool]]:
        """Yield the extensions that RFC 5280 requires, and whether each is critical."""
        yield x509.BasicConstraints(ca=is_authority, path_length=None), True
        yield _key_usage(is_authority=is_authority), True
        if not is_authority:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            yield x509.SubjectAlternativeName(names), False
            yield x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False
        if self._key_identifiers:
            yield x509.SubjectKeyIdentifier.from_public_key(key), False
            yield x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
