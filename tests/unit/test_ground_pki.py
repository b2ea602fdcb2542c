"""Certificates and kubeconfigs that clients and servers accept, and no others."""

import base64
import socket
import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from e2e.ground import pki
from e2e.ground.api import tls_context

_NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def shake_hands(server: pki.Pair, client: pki.Pair, *, client_trusts: bytes, server_trusts: bytes, at: Path) -> None:
    """A TLS handshake over loopback in which both sides show a certificate; ssl.SSLError when one refuses."""
    certificate, key = server.write(at, "server")
    accepting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=server_trusts.decode())
    accepting.load_cert_chain(certificate, key)
    accepting.verify_mode = ssl.CERT_REQUIRED
    near, far = socket.socketpair()
    failures: list[ssl.SSLError | OSError] = []

    def accept() -> None:
        try:
            with accepting.wrap_socket(far, server_side=True) as wrapped:
                wrapped.sendall(b"hello")
        except (ssl.SSLError, OSError) as error:
            failures.append(error)

    server_side = threading.Thread(target=accept)
    server_side.start()
    try:
        trusting = tls_context(client_trusts, client.certificate, client.key)
        with trusting.wrap_socket(near, server_hostname="127.0.0.1") as wrapped:
            assert wrapped.recv(5) == b"hello"
    finally:
        near.close()
        server_side.join()
        far.close()


@pytest.fixture
def authority() -> pki.Authority:
    """An authority of now, for handshakes look at the clock."""
    return pki.Authority("test", now=datetime.now(UTC))


def test_server_and_client_of_one_authority_trust_each_other(authority: pki.Authority, tmp_path: Path) -> None:
    """A server certificate for 127.0.0.1 and a client certificate pass both checks."""
    server = authority.issue("server", hosts=["localhost", "127.0.0.1"])
    ca = authority.pair.certificate

    shake_hands(server, authority.issue("admin"), client_trusts=ca, server_trusts=ca, at=tmp_path)


def test_a_server_of_another_authority_is_not_trusted(authority: pki.Authority, tmp_path: Path) -> None:
    """That is what keeps two control planes apart when one comes upon the other's port."""
    other = pki.Authority("test", now=datetime.now(UTC))

    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(
            other.issue("server", hosts=["127.0.0.1"]),
            authority.issue("admin"),
            client_trusts=authority.pair.certificate,
            server_trusts=authority.pair.certificate,
            at=tmp_path,
        )


def test_a_client_certificate_does_not_serve(authority: pki.Authority, tmp_path: Path) -> None:
    """A user's certificate cannot pose as the API server."""
    ca = authority.pair.certificate

    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(authority.issue("admin"), authority.issue("admin"), client_trusts=ca, server_trusts=ca, at=tmp_path)


def test_user_and_groups_are_in_the_subject() -> None:
    """Kubernetes reads the user from the common name and the groups from the organizations."""
    pair = pki.Authority("test", now=_NOW).issue("jane", organizations=["system:masters", "dev"])

    subject = x509.load_pem_x509_certificate(pair.certificate).subject

    assert subject.rfc4514_string() == "CN=jane,O=dev,O=system:masters"


def test_certificates_are_valid_around_the_moment_of_signing() -> None:
    """A little before, for clocks that lag, and for ten years."""
    issued = x509.load_pem_x509_certificate(pki.Authority("test", now=_NOW).issue("a").certificate)

    assert issued.not_valid_before_utc == datetime(2026, 3, 1, 11, tzinfo=UTC)
    assert issued.not_valid_after_utc.year == 2036


def test_keys_are_for_the_owner_only(authority: pki.Authority, tmp_path: Path) -> None:
    """No other user of the machine may read a key, also when the file was there with other rights."""
    (tmp_path / "ca.key").write_text("old")
    (tmp_path / "ca.key").chmod(0o644)

    _, key = authority.pair.write(tmp_path, "ca")

    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_bytes() == authority.pair.key


def test_service_account_keys_are_a_pair() -> None:
    """The public key is that of the private one."""
    private, public = pki.service_account_keys()

    derived = serialization.load_pem_private_key(private, password=None).public_key()

    assert derived == serialization.load_pem_public_key(public)


def test_a_kubeconfig_needs_no_other_file(authority: pki.Authority) -> None:
    """Server, authority, certificate and key are all inside, and its one context is the current one."""
    pair = authority.issue("admin")

    made = yaml.safe_load(
        pki.kubeconfig(server="https://127.0.0.1:1", authority=authority.pair.certificate, user="admin", pair=pair)
    )

    cluster, user = made["clusters"][0]["cluster"], made["users"][0]["user"]
    assert cluster["server"] == "https://127.0.0.1:1"
    assert base64.b64decode(cluster["certificate-authority-data"]) == authority.pair.certificate
    assert base64.b64decode(user["client-key-data"]) == pair.key
    assert [context["name"] for context in made["contexts"]] == [made["current-context"]]
