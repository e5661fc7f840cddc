import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_cluster.cache.url import is_server_url, redact_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:s3cret@localhost:6379", "redis://:***@localhost:6379"),
        ("rediss://ann:s3cret@host:6380/0", "rediss://ann:***@host:6380/0"),
        ("unix://ann:s3cret@/run/s.sock?db=1", "unix://ann:***@/run/s.sock?db=1"),
        ("redis://ann:s3@cr/et#x?@host", "redis://ann:***@host"),
        ("redis://s3cret@host", "redis://:***@host"),
        ("unix:///run/s.sock?password=s3cret&db=0", "unix:///run/s.sock?password=***&db=0"),
        ("rediss://host?ssl_password=s3cret", "rediss://host?ssl_password=***"),
        ("redis:/ann:s3cret@host", "redis:/ann:***@host"),
        ("ann:s3cret@host", "ann:***@host"),
        ("embedded", "embedded"),
    ],
)
def test_passwords_are_starred(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@given(password=st.text(min_size=3), scheme=st.sampled_from(["redis://", "rediss://", "unix://"]))
def test_no_password_gets_through(password: str, scheme: str) -> None:
    assert redact_url(f"{scheme}ann:{password}@host/0") == f"{scheme}ann:***@host/0"


def test_schemes() -> None:
    assert [
        is_server_url(text)
        for text in ("redis://h", "rediss://h", "unix:///s", "http://h", "embedded")
    ] == [
        True,
        True,
        True,
        False,
        False,
    ]
