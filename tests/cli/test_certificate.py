import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from milepost.cli.certificate import Certificate
from milepost.cli.exits import CommandError, Exit

from .authority import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextmanager
def meeting(certificate: Certificate, authority: Authority, **options: object) -> Iterator[ssl.SSLSocket]:
    """A client's side of a connection with a server that shows a certificate."""
    client = ssl.create_default_context(cafile=authority.file)
    for name, value in options.items():
        setattr(client, name, value)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with certificate.context.wrap_socket(theirs, server_side=True) as connection:
            connection.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(ours, server_hostname="localhost") as connection:
            yield connection
    finally:
        thread.join()


def shown(certificate: Certificate, authority: Authority, **options: object) -> object:
    """The serial number of the certificate that a client is shown."""
    with meeting(certificate, authority, **options) as connection:
        found = connection.getpeercert()
        assert found is not None
        return found["serialNumber"]


def test_clients_are_shown_it(authority: Authority) -> None:
    certificate = Certificate(*authority.files())
    with meeting(certificate, authority) as connection:
        assert connection.version() == "TLSv1.3"
    with meeting(certificate, authority, maximum_version=ssl.TLSVersion.TLSv1_2) as connection:
        assert connection.version() == "TLSv1.2"


def test_the_key_may_be_in_the_same_file(authority: Authority) -> None:
    chain, key = authority.files()
    chain.write_bytes(chain.read_bytes() + key.read_bytes())
    assert shown(Certificate(chain), authority)


def test_a_renewed_one_is_shown_from_then_on(authority: Authority) -> None:
    certificate = Certificate(*authority.files())
    first = shown(certificate, authority)
    assert shown(certificate, authority) == first
    authority.files()
    with structlog.testing.capture_logs() as logs:
        second = shown(certificate, authority)
        assert shown(certificate, authority) == second != first
    assert [line["event"] for line in logs] == ["The certificate was renewed"]


def test_half_a_renewed_one_is_not_shown(authority: Authority) -> None:
    chain, key = authority.files()
    certificate = Certificate(chain, key)
    first = shown(certificate, authority)
    old = key.read_bytes()
    authority.files()
    new = key.read_bytes()
    key.write_bytes(old)
    with structlog.testing.capture_logs() as logs:
        assert shown(certificate, authority) == first
        key.unlink()
        assert shown(certificate, authority) == first
        key.write_bytes(new)
        assert shown(certificate, authority) != first
    assert [line["event"].partition(";")[0] for line in logs] == [
        "The new certificate can't be used",
        "The new certificate can't be used",
        "The certificate was renewed",
    ]


def test_what_can_t_be_used(authority: Authority, tmp_path: Path) -> None:
    chain, key = authority.files()
    other = tmp_path / "other.pem"

    def told(*files: Path) -> str:
        with pytest.raises(CommandError) as caught:
            Certificate(*files)
        assert caught.value.code is Exit.USAGE
        return str(caught.value)

    assert told(chain, other) == (
        f"--tls-cert, --tls-key: {chain} and {other} can't be used (No such file or directory)."
    )
    assert told(chain, tmp_path).endswith("(Is a directory).")
    other.write_text("nothing")
    assert told(other, key).endswith("(they are no certificate and its key as PEM).")
    assert told(chain).endswith("(they are no certificate and its key as PEM).")
    other.write_bytes(authority.issue().private_key_pem.bytes())
    assert told(chain, other).endswith("(they are not of each other).")
    locked = tmp_path / "locked.pem"
    secret = load_pem_private_key(key.read_bytes(), None)
    locked.write_bytes(secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hush")))
    assert told(chain, locked).endswith("(the key is under a password, which nobody is asked for).")
