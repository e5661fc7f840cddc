"""What keeps other people's pages and a hostile text out: the Host check and the response headers.

The dashboard has no password. On loopback it is for this machine's users; a page on the web could
still reach it through the browser, by a name that it lets resolve to 127.0.0.1 (DNS rebinding), so
only known names are answered.
"""

import ipaddress
import re
import socket
from collections.abc import Collection

from search_cluster.errors import ConfigError

HEADERS = {
    # plotly sets styles from scripts, which this allows, but writes no style attribute and
    # evaluates no text.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Server": "search-cluster",
}
"""The headers of every response."""
_HOST = re.compile(r"[a-z0-9_.:%-]{1,253}")
"""The characters of names and addresses."""


def host_is_known(header: str | None, bound_to: str, allowed: Collection[str] = ()) -> bool:
    """Whether the Host header of a request names this server.

    A server that is bound to loopback is named by ``localhost`` and loopback addresses, with any
    port (tunnels change it). One that is bound to another address is also named by any address, by
    this machine's name, and by the name that it was bound to.

    Args:
        header: the header as received; ``None`` if there was none.
        bound_to: the address or name that the server listens on.
        allowed: further names, as `allowed_name` gives them.
    """
    name = name_of(header)
    if name is None:
        return False
    if name in allowed:
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        names = {"localhost", bound_to.lower()}
        return name in (names if is_loopback(bound_to) else names | {socket.gethostname().lower()})
    return address.is_loopback or not is_loopback(bound_to)


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to a server that listens on ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def allowed_name(text: str) -> str:
    """A further name of the server, as the Host check compares it.

    Raises:
        ConfigError: the text is no name of a host.
    """
    name = name_of(text)
    if name is None:
        raise ConfigError(
            f"--allow-host is {text!r}; it is the name of a host alone, such as hub.example.org, "
            "as it stands in the browser's address between // and the next : or /"
        )
    return name


def refusal(header: str | None) -> str:
    """What is said to whoever asks by a name that is not known, in one line."""
    name = name_of(header)
    if name is None:
        return "the Host header names no server; open the dashboard by the address that it printed"
    return (
        f"the Host header names another server, {name!r}; open the dashboard by the address that "
        f"it printed, or, if this name is right, start it with --allow-host {name}"
    )


def name_of(header: str | None) -> str | None:
    """The host in ``host``, ``host:port`` or ``[v6]:port``, in lower case.

    ``None`` stands for a text that is none of these. A full stop at the end is left out.
    """
    name = (header or "").strip().lower()
    if name.startswith("["):
        name, bracket, port = name[1:].partition("]")
        port = port.removeprefix(":") if bracket else "?"
    else:
        name, _, port = name.partition(":")
    name = name.removesuffix(".")
    is_port = port == "" or (port.isascii() and port.isdigit())
    return name if is_port and _HOST.fullmatch(name) else None
