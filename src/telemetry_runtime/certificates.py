"""What keeps certificates, keys and authorities in PEM files from being used."""

import ssl
from pathlib import Path


def certificate_problem(certificate: Path, key: Path) -> str | None:
    """Returns what is wrong with these PEM files, of a certificate's chain and its key; None: nothing."""
    for file in (certificate, key):
        if not file.is_file():
            return f"there is no file {file}"
    try:
        # No passphrase: a key that needs one cannot be used here, and nobody is there to be asked.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError):
        return "holds no PEM certificate, or none that the key (without passphrase) fits"
    return None


def pair_problem(certificate: Path | None, key: Path | None, key_variable: str) -> str | None:
    """Return what is wrong with a certificate and its key, which are optional, but not one without the other.

    Args:
        certificate: PEM file of the certificate's chain.
        key: PEM file of its key.
        key_variable: The environment variable that names the key's file.
    """
    if certificate is not None and key is not None:
        return certificate_problem(certificate, key)
    return None if certificate is None and key is None else f"needs {key_variable}, and the other way round"


def authorities_problem(file: Path) -> str | None:
    """Returns what is wrong with this PEM file of authorities to trust; None: nothing."""
    if not file.is_file():
        return f"there is no file {file}"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except OSError:  # ssl.SSLError is one
        return "holds no PEM certificate"
    return None


def check_files(*, authorities: Path | None, certificate: Path | None, key: Path | None) -> None:
    """Checks the files of one side of TLS, before they are used once more.

    Args:
        authorities: Whom to trust; None: not of this file's.
        certificate: Its chain; None: there is none.
        key: Its key; None: there is none.

    Raises:
        ValueError: One of them cannot be used; says which, and nothing that stands there.
    """
    if authorities is not None and (problem := authorities_problem(authorities)):
        raise ValueError(f"{authorities}: {problem}")
    if certificate is not None and key is not None and (problem := certificate_problem(certificate, key)):
        raise ValueError(f"{certificate}: {problem}")
