"""The gateway's TLS certificate, reloaded without a restart."""

from pathlib import Path

import grpc

from telemetry_runtime.certificates import check_files
from telemetry_runtime.watched_files import WatchedFiles


def renewed_credentials(certificate: Path, key: Path, client_ca: Path | None) -> grpc.ServerCredentials:
    """Return credentials that are reloaded when their files change. Each new connection uses the current files.

    If certificate and key do not match, as while only one of the files has been replaced, the previous pair stays in
    use.

    Args:
        certificate: PEM file of the certificate chain.
        key: PEM file of its key.
        client_ca: PEM file of authorities. If set, each client must present a certificate from one of them.

    Raises:
        ValueError, OSError: The files cannot be used now.
    """

    def read() -> grpc.ServerCertificateConfiguration:
        check_files(authorities=client_ca, certificate=certificate, key=key)
        return grpc.ssl_server_certificate_configuration(
            [(key.read_bytes(), certificate.read_bytes())],
            root_certificates=None if client_ca is None else client_ca.read_bytes(),
        )

    files = WatchedFiles([certificate, key, *([] if client_ca is None else [client_ca])], read)
    # SECURITY: whether clients must present a certificate is fixed at the start; the authorities can be reloaded.
    return grpc.dynamic_ssl_server_credentials(
        files.content(), files.content, require_client_authentication=client_ca is not None
    )
