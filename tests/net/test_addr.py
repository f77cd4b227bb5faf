"""What an address may look like."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gopark import net
from gopark.net._addr import from_sockaddr, host_port, network, port_number, unix_sockaddr

TCP = network("tcp", socket.SOCK_STREAM)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1:80", ("127.0.0.1", "80")),
        ("example.org:http", ("example.org", "http")),
        (":0", ("", "0")),
        (":", ("", "")),
        ("[::1]:80", ("::1", "80")),
        ("[::]:", ("::", "")),
        ("[fe80::1%eth0]:80", ("fe80::1%eth0", "80")),
        ("[localhost]:80", ("localhost", "80")),
        ("[]:80", ("", "80")),
    ],
)
def test_split(text: str, parts: tuple[str, str]) -> None:
    assert net.split_host_port(text) == parts


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "missing port"),
        ("localhost", "missing port"),
        ("[::1]", "missing port"),
        ("[::1]80", "missing port"),
        ("[::1]x:80", "missing port"),
        ("::1:80", "too many colons"),
        ("a:b:80", "too many colons"),
        ("[::1]:80:90", "too many colons"),
        ("[::1", "missing ']'"),
        ("a[b:80", "unexpected '\\['"),
        ("a]b:80", "unexpected '\\]'"),
        ("[[::1]:80", "unexpected '\\['"),
        ("[::1]:[80", "unexpected '\\['"),
    ],
)
def test_split_refuses(text: str, why: str) -> None:
    with pytest.raises(net.AddrError, match=why):
        net.split_host_port(text)


words = st.text(st.characters(blacklist_characters=":[]", blacklist_categories=("Cs",)))
hosts = st.one_of(words, words.map("::{}".format), st.ip_addresses().map(str))


@given(hosts, st.one_of(st.integers(), words))
@example("", "")
def test_what_is_joined_is_split(host: str, port: int | str) -> None:
    assert net.split_host_port(net.join_host_port(host, port)) == (host, str(port))


@given(st.text(alphabet=":[]a1%."))
def test_any_text_is_split_or_refused(text: str) -> None:
    try:
        host, port = net.split_host_port(text)
    except net.AddrError:
        return
    assert text in (f"{host}:{port}", f"[{host}]:{port}")
    assert net.split_host_port(net.join_host_port(host, port)) == (host, port)


@given(st.text())
def test_any_text_is_a_port_or_refused(text: str) -> None:
    try:
        number = port_number(text)
    except net.AddrError:
        return
    assert 0 <= number <= 65535


@pytest.mark.parametrize(
    ("port", "number"), [(0, 0), (65535, 65535), ("80", 80), ("0080", 80), ("", 0)]
)
def test_port(port: int | str, number: int) -> None:
    assert port_number(port) == number


def test_a_port_may_have_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    services = {("domain", "udp"): 53, ("https", "tcp"): 443}
    monkeypatch.setattr(socket, "getservbyname", lambda *service: services[service])
    assert port_number("https") == 443
    assert port_number("domain", socket.SOCK_DGRAM) == 53


@pytest.mark.parametrize(
    "port", [-1, 65536, "65536", "9" * 5000, "-1", "+1", "1_0", "٣", "no such"]
)
def test_port_refused(port: int | str) -> None:
    with pytest.raises(net.AddrError, match="port"):
        port_number(port)


def test_port_must_be_a_number_or_a_name() -> None:
    with pytest.raises(TypeError, match="a port is a number or a name"):
        port_number(80.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("address", [("::1", 80), "[::1]:80", ("[::1]", "80"), net.Addr("::1", 80)])
def test_an_address_is_text_or_a_tuple(address: object) -> None:
    assert host_port(TCP, address) == ("::1", 80)


@pytest.mark.parametrize("address", [None, 80, ("::1",), ("::1", 80, 0, 0), (80, "::1"), b"a:80"])
def test_nothing_else_is_an_address(address: object) -> None:
    with pytest.raises(TypeError, match="an address is text"):
        host_port(TCP, address)


@pytest.mark.parametrize("name", ["tcp5", "", "TCP", None, "udp"])
def test_unknown_network(name: str) -> None:
    with pytest.raises(ValueError, match="one of tcp, tcp4, tcp6, unix is needed"):
        net.listen(name, ":0")


def test_an_address_reads_as_what_dial_takes() -> None:
    assert str(net.Addr("127.0.0.1", 80)) == "127.0.0.1:80"
    assert str(net.Addr("::1", 80)) == f"{net.Addr('::1', 80)}" == "[::1]:80"
    assert str(net.UnixAddr("/run/x.sock")) == "/run/x.sock"
    host, port = net.Addr("::1", 80)
    assert (host, port) == ("::1", 80)


@pytest.mark.parametrize(
    ("path", "sockaddr"),
    [
        ("/run/x", "/run/x"),
        (b"/run/x", b"/run/x"),
        (Path("/run/x"), "/run/x"),
        ("@x", "\0x"),
        (b"@x", b"\0x"),
        ("\0x\0y", "\0x\0y"),
        (net.UnixAddr("@x"), "\0x"),
        ("", ""),
    ],
)
def test_unix(path: object, sockaddr: str | bytes) -> None:
    assert unix_sockaddr(path) == sockaddr


def test_a_path_holds_no_nul() -> None:
    with pytest.raises(net.AddrError, match="NUL"):
        unix_sockaddr("/run/x\0y")


@pytest.mark.parametrize(
    ("family", "sockaddr", "addr"),
    [
        (socket.AF_INET, ("10.0.0.1", 1), ("10.0.0.1", 1)),
        (socket.AF_INET6, ("::1", 1, 0, 0), ("::1", 1)),
        (socket.AF_INET6, ("::ffff:10.0.0.1", 1, 0, 0), ("10.0.0.1", 1)),
        (socket.AF_INET6, ("fe80::1", 1, 0, 1), (f"fe80::1%{socket.if_indextoname(1)}", 1)),
        (socket.AF_INET6, ("fe80::1", 1, 0, 2**31 - 1), (f"fe80::1%{2**31 - 1}", 1)),
        (socket.AF_INET6, ("fe80::1%eth7", 1, 0, 3), ("fe80::1%eth7", 1)),
        (socket.AF_UNIX, "/run/x", ("/run/x", 0)),
        (socket.AF_UNIX, b"\0x", ("@x", 0)),
        (socket.AF_UNIX, "", ("", 0)),
        (socket.AF_UNIX, None, ("", 0)),
        (socket.AF_UNIX, b"/run/\xff", (os.fsdecode(b"/run/\xff"), 0)),
    ],
)
def test_what_the_system_gives(family: int, sockaddr: object, addr: tuple[str, int]) -> None:
    found = from_sockaddr(family, sockaddr)
    assert found == addr
    assert isinstance(found, net.UnixAddr) == (family == socket.AF_UNIX)
