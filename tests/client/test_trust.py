import ssl
from pathlib import Path

import pytest

from milepost.client.trust import is_distrusted, trusted
from tests.cli.authority import Authority


def names(context: ssl.SSLContext) -> int:
    return len(context.get_ca_certs())


def test_a_file_stands_for_all_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    assert names(trusted(authority.file)) == 1
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    assert names(trusted(None)) == 1
    assert trusted(None).verify_mode is ssl.CERT_REQUIRED


def test_what_has_no_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    with pytest.raises(ValueError, match=r"empty\.pem can't be used \(there is no certificate in it\)"):
        trusted(empty)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    with pytest.raises(ValueError, match=r"SSL_CERT_FILE can't be used \(No such file or directory\)"):
        trusted(None)


def test_which_failures_are_of_trust() -> None:
    distrust = ssl.SSLCertVerificationError()
    wrapped = RuntimeError()
    wrapped.__cause__ = OSError()
    wrapped.__cause__.__context__ = distrust
    assert is_distrusted(wrapped)
    assert is_distrusted(distrust)
    assert not is_distrusted(OSError())
