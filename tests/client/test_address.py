import httpx2
import pytest

from milepost.client.address import check_key, is_loopback, parse_base, proxy_for


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8006",
        "http://127.0.0.1",
        "http://127.9.9.9:1",
        "http://[::1]:8006/x",
        "HTTP://LOCALHOST/",
        "https://eaas.aparavi.com",
        "https://10.0.0.1:8443/operations/",
    ],
)
def test_where_a_key_may_go(url: str) -> None:
    assert parse_base(url, secret=True) == httpx2.URL(url)


@pytest.mark.parametrize(
    "host", ["milepost.example", "10.0.0.1", "localhost.example", "127.0.0.1.example", "[fe80::1]"]
)
def test_where_only_keyless_requests_may_go(host: str) -> None:
    assert parse_base(f"http://{host}:8006", secret=False).scheme == "http"
    with pytest.raises(ValueError, match=r"is not sent to .* over plain http, where others could read it\. Use https"):
        parse_base(f"http://{host}:8006", secret=True)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("localhost:8006", "has to be one like http://localhost:8006, not 'localhost:8006'"),
        ("/task", "has to be one like"),
        ("ftp://localhost", "has to be one like"),
        ("http://", "has to be one like"),
        ("http://\x00", "can't be read"),
        ("http://localhost:x", "can't be read"),
        ("https://localhost/?token=x", "has no query and no fragment|it has no query"),
        ("https://localhost/#x", "no fragment"),
    ],
)
def test_what_is_no_address(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_base(url, secret=False)


def test_what_is_secret_in_an_address_is_not_shown() -> None:
    with pytest.raises(ValueError, match="Give the key as api_key instead") as caught:
        parse_base("https://key:hush@localhost", secret=False)
    assert "hush" not in str(caught.value)
    with pytest.raises(ValueError, match="can't be read") as caught:
        parse_base("https://key:hush", secret=False)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "mp_0123456789abcdef", "ID:SECRET", "Bearer x"])
def test_keys(key: str) -> None:
    check_key(key)


@pytest.mark.parametrize("key", ["sécret", "hush\n", "hush\r\nx: y", " hush", "hush ", "hu\x00sh"])
def test_what_is_no_key_is_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        check_key(key)
    assert "hush" not in str(caught.value)


def test_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    url = httpx2.URL("https://milepost.example")
    assert proxy_for(url) is None
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:1")
    assert proxy_for(url) == "http://proxy.example:1"
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:2")
    assert proxy_for(url) == "http://proxy.example:2"
    assert proxy_for(httpx2.URL("https://localhost")) is None
    monkeypatch.setenv("NO_PROXY", "milepost.example")
    assert proxy_for(url) is None


def test_loopback() -> None:
    assert is_loopback("::1")
    assert not is_loopback("milepost")


def test_nor_is_one_of_which_the_scheme_was_left_out() -> None:
    with pytest.raises(ValueError, match="has to be one like") as caught:
        parse_base("key:hush@localhost", secret=False)
    assert "hush" not in str(caught.value)
