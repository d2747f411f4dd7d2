"""The explanation of a rejected certificate, with real handshakes in memory."""

import re
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.gateway_certificates import CertificateAuthority
from telemetry_runtime.certificate_faults import CertificateFault, certificate_fault

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "issue-certificates.md"
STRICT = ssl.VERIFY_X509_STRICT
"""Checked by default since Python 3.13; set here to have the same check on every interpreter."""


def handshake(
    files: tuple[Path, Path], trusted: Path, *, name: str = "localhost", flags: ssl.VerifyFlags = STRICT
) -> None:
    """Run a TLS handshake in memory; raise the client's error."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(*files)
    client_side = ssl.create_default_context(cafile=str(trusted))
    client_side.verify_flags |= flags
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    client = client_side.wrap_bio(to_client, to_server, server_hostname=name)
    for step in (client.do_handshake, server.do_handshake, client.do_handshake):
        try:
            step()
        except ssl.SSLWantReadError:
            continue


def fault_of(attempt: Callable[[], None]) -> CertificateFault:
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        attempt()
    fault = certificate_fault(caught.value, ca_file_setting="THE_CA_FILE")
    assert fault is not None
    return fault


def test_a_proper_certificate_passes_the_strict_check(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    handshake(authority.issue("server"), authority.file)


def test_reports_an_authority_without_key_identifiers(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path, key_identifiers=False)
    files = authority.issue("server")

    fault = fault_of(lambda: handshake(files, authority.file))

    assert "lacks the key identifier of its authority, which Python 3.13 and later require" in fault.problem
    assert "reissue" in fault.advice
    assert str(fault) == f"{fault.problem}; {fault.advice}"


def test_reports_unknown_authorities_and_wrong_names(tmp_path: Path) -> None:
    authority, other = CertificateAuthority(tmp_path), CertificateAuthority(tmp_path, "other")
    files = authority.issue("server")

    untrusted = fault_of(lambda: handshake(files, other.file))
    assert (untrusted.problem, "THE_CA_FILE" in untrusted.advice) == ("its authority is not trusted", True)
    wrong_name = fault_of(lambda: handshake(files, authority.file, name="private-host.test"))
    assert wrong_name.problem == "it is issued for another name"
    assert "private-host" not in str(wrong_name)
    wrong_address = fault_of(lambda: handshake(files, authority.file, name="127.0.0.9"))
    assert wrong_address == wrong_name


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (9, "it is not valid yet"),
        (10, "it has expired, or its authority's has"),
        (86, "its authority's certificate lacks a key identifier, which Python 3.13 and later require"),
        (92, "OpenSSL's text, which Python 3.13 and later reject"),
        (67, "OpenSSL's text"),
    ],
)
def test_further_faults_by_error_number(code: int, problem: str) -> None:
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = code, "OpenSSL's text"
    fault = certificate_fault(error)
    assert fault is not None
    assert fault.problem == problem


def test_finds_the_fault_in_the_causes_of_an_error() -> None:
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = 10, "certificate has expired"
    middle, outer = OSError("connect"), RuntimeError("outer")
    outer.__context__, middle.__cause__ = middle, error
    found = certificate_fault(outer)
    assert found is not None
    assert found.advice == "renew it"

    middle.__cause__ = outer  # a circle, which must end
    assert certificate_fault(outer) is None
    assert certificate_fault(TimeoutError()) is None


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl program")
def test_documented_commands_issue_certificates_that_pass_strict_checks(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    (extensions,) = re.findall(r"```ini\n(.*?)```", text, re.DOTALL)
    (tmp_path / "server.ext").write_text(extensions)
    keys = [f"openssl ecparam -name prime256v1 -genkey -noout -out {name}.key" for name in ("authority", "server")]
    script = "\n".join(["set -e", *keys, *re.findall(r"```sh\n(.*?)```", text, re.DOTALL)])

    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    files = tmp_path / "server.pem", tmp_path / "server.key"
    handshake(files, tmp_path / "authority.pem", name="tokens.example.com")
