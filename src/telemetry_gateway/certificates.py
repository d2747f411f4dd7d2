"""The gateway's own certificate, renewed without a restart."""

from pathlib import Path

import grpc

from telemetry_runtime.certificates import check_files
from telemetry_runtime.watched_files import WatchedFiles


def renewed_credentials(certificate: Path, key: Path, client_ca: Path | None) -> grpc.ServerCredentials:
    """Return credentials that follow their files: each new connection is served with what stands in them then.

    A pair that does not fit, as while one of the files is replaced and the other not yet, leaves the former in use.

    Args:
        certificate: PEM file of the certificate's chain.
        key: PEM file of its key.
        client_ca: PEM file of authorities; with it every client must show a certificate of theirs.

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
    # SECURITY: whether clients must show a certificate is fixed at the start; which authorities sign them is not.
    return grpc.dynamic_ssl_server_credentials(
        files.content(), files.content, require_client_authentication=client_ca is not None
    )
