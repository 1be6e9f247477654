"""Where an application may call, and what it says of itself."""

import pytest

from milepost import Milepost
from milepost.calling import allowed, public_url, said
from milepost.engine.reach import networks


def test_networks_are_named_one_by_one_or_together() -> None:
    expected = networks(["10.0.0.0/8", "::1", "127.0.0.1"])
    for texts in (["10.0.0.0/8", "::1", "127.0.0.1"], ["10.0.0.0/8, ::1,127.0.0.1"], ["10.0.0.0/8 ::1", " 127.0.0.1 "]):
        assert allowed(texts) == expected
    assert allowed([]) == allowed([""]) == ()


def test_by_default_a_variable_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILEPOST_CALLBACK_ALLOW", raising=False)
    assert allowed(said(None)) == ()
    monkeypatch.setenv("MILEPOST_CALLBACK_ALLOW", "10.0.0.0/8,::1")
    assert Milepost("m.db")._outbound._reach.is_allowed("10.1.2.3")
    assert said("::1") == said(["::1"]) == ("::1",)
    assert not Milepost("m.db", callback_allow=[])._outbound._reach.is_allowed("10.1.2.3")


def test_what_is_no_network_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^callback_allow: 'localhost' is no network; .*\.$"):
        Milepost("m.db", callback_allow=["127.0.0.1", "localhost"])


def test_clients_find_it_where_it_is_said_else_where_a_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILEPOST_PUBLIC_URL", raising=False)
    assert public_url(None) is None
    assert public_url("HTTPS://Example.com/ops/") == "https://example.com/ops"
    monkeypatch.setenv("MILEPOST_PUBLIC_URL", "https://example.com")
    assert Milepost("m.db").public_url == "https://example.com"
    monkeypatch.setenv("MILEPOST_PUBLIC_URL", "")
    assert public_url(None) is None


def test_what_is_no_url_is_refused_by_name_and_without_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^public_url: 'https://\*\*\*@example\.com' is not a URL like"):
        Milepost("m.db", public_url="https://ada:secret@example.com")
    monkeypatch.setenv("MILEPOST_PUBLIC_URL", "example.com")
    with pytest.raises(ValueError, match=r"^MILEPOST_PUBLIC_URL: 'example\.com' is not a URL like"):
        Milepost("m.db")
