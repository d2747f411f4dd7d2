"""Check whether certificates, keys and authorities in PEM files can be used."""

import ssl
from pathlib import Path


def certificate_problem(certificate: Path, key: Path) -> str | None:
    """Return what is wrong with these PEM files of a certificate chain and its key, or None if they can be used."""
    for file in (certificate, key):
        if not file.is_file():
            return f"there is no file {file}"
    try:
        # The empty password keeps OpenSSL from prompting for a passphrase: a service has no terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError):
        return "does not contain a PEM certificate that matches the key; the key must not have a passphrase"
    return None


def pair_problem(certificate: Path | None, key: Path | None, key_variable: str) -> str | None:
    """Return what is wrong with an optional certificate and its key, or None. Either both are set, or neither.

    Args:
        certificate: PEM file of the certificate chain.
        key: PEM file of its key.
        key_variable: The environment variable that sets the key file.
    """
    if certificate is not None and key is not None:
        return certificate_problem(certificate, key)
    return None if certificate is None and key is None else f"set both this and {key_variable}, or neither"


def authorities_problem(file: Path) -> str | None:
    """Return what is wrong with this PEM file of trusted authorities, or None if it can be used."""
    if not file.is_file():
        return f"there is no file {file}"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except OSError:  # includes ssl.SSLError
        return "does not contain a PEM certificate"
    return None


def check_files(*, authorities: Path | None, certificate: Path | None, key: Path | None) -> None:
    """Check the files of one side of a TLS connection before they are loaded again.

    Args:
        authorities: The trusted authorities, or None if no file is set.
        certificate: The certificate chain, or None.
        key: The key, or None.

    Raises:
        ValueError: A file cannot be used. The message names the file and shows none of its content.
    """
    if authorities is not None and (problem := authorities_problem(authorities)):
        raise ValueError(f"{authorities}: {problem}")
    if certificate is not None and key is not None and (problem := certificate_problem(certificate, key)):
        raise ValueError(f"{certificate}: {problem}")
