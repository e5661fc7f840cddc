"""Server URLs: which forms there are, and how to show one without its password."""

import re

URL_SCHEMES = ("redis://", "rediss://", "unix://")
"""The schemes of TCP, TCP with TLS, and a unix socket; all with optional ``user:password@``."""


def is_server_url(text: str) -> bool:
    """Whether the text names a server by URL."""
    return text.startswith(URL_SCHEMES)


def redact_url(url: str) -> str:
    """The URL with ``***`` for every password, also of a malformed URL, so that it is safe to log.

    Everything between the first colon and the last ``@`` counts as password, so that one with
    reserved characters in it does not show either; so does a lone word before the ``@``.
    """
    url = re.sub(r"^((?:[a-z]+:/+)?)(.*)@", _redact_user, url, flags=re.IGNORECASE | re.DOTALL)
    return re.sub(r"(password=)[^&#]*", r"\1***", url, flags=re.IGNORECASE)


def _redact_user(match: re.Match[str]) -> str:
    user, colon, _ = match[2].partition(":")
    return f"{match[1]}{user if colon else ''}:***@"
