"""Where an application may call."""

import pytest

from milepost import Milepost
from milepost.calling import allowed, said
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
