"""Which Host headers are answered."""

import socket

import pytest

from search_cluster.dashboard.protection import HEADERS, host_is_known, is_loopback

KNOWN = [
    "localhost",
    "LOCALHOST:8797",
    "127.0.0.1",
    "127.0.0.1:1",
    "127.9.9.9",
    "[::1]",
    "[::1]:8797",
]
UNKNOWN = [
    None, "", " ", ":8797", "evil.example", "evil.example:8797", "localhost.evil.example",
    "127.0.0.1.evil.example", "10.0.0.5", "0.0.0.0", "[fe80::1]", "localhost:x", "::1", "[::1",
    "127.0.0.1@evil.example", "127.1", "2130706433",
]  # fmt: skip


@pytest.mark.parametrize("header", KNOWN)
def test_known_names(header: str) -> None:
    assert host_is_known(header, "127.0.0.1")
    assert host_is_known(header, "::1")
    assert host_is_known(header, "localhost")


@pytest.mark.parametrize("header", UNKNOWN)
def test_unknown_names(header: str | None) -> None:
    assert not host_is_known(header, "127.0.0.1")


def test_a_server_for_others_answers_to_addresses_and_its_own_names_only() -> None:
    for header in (
        "10.0.0.5:8797",
        "[fe80::1]",
        "127.0.0.1",
        "localhost",
        f"{socket.gethostname()}:1",
    ):
        assert host_is_known(header, "0.0.0.0")
    assert host_is_known("head.cluster:8797", "head.cluster")
    assert not host_is_known("evil.example", "0.0.0.0")
    assert not host_is_known("evil.example", "head.cluster")


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.0.0.2", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org", "")))


def test_the_policy_allows_no_inline_script_and_nothing_from_elsewhere() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "*" not in policy
