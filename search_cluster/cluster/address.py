"""Addresses of Ray clusters, and whether what answers there is one.

Ray itself goes on trying for minutes where nothing answers, or where something else does.
"""

import os
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from search_cluster.config import RAY_AUTO
from search_cluster.errors import EvaluatorError

ADDRESS_VARIABLE = "RAY_ADDRESS"
"""Where Ray looks for a cluster's address if none is named."""
CONNECT_TIMEOUT_S = 5.0
"""How long a machine has to take a connection, and then to say the first word."""
CLIENT_SCHEME = "ray"
CLIENT_PORT = 10001
"""Ray's default for the port of ``ray://``."""
HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""What every gRPC connection begins with: the preface of HTTP/2, then empty settings."""
HTTP_PORTS = {"http": 80, "https": 443}
HTTP_ANSWERS = (b"HTTP/", b"<")
"""What a web server's answer to this begins with: a status, or a page of HTML."""
SETTINGS_FRAME = 4
"""The type of the first frame of the answer, which is its fourth byte."""


@dataclass(frozen=True, slots=True)
class RayAddress:
    """A cluster's address as the user wrote it."""

    text: str
    source: str
    """Where it was written: the flag or the variable."""

    def __str__(self) -> str:
        return f"{self.source} is {self.text!r}"


def named_address(mode: str) -> RayAddress | None:
    """The address that is meant by a mode other than ``local``; ``None``: Ray looks for a cluster.

    Args:
        mode: ``auto``, or an address.
    """
    if mode != RAY_AUTO:
        return RayAddress(mode, "--ray")
    text = os.environ.get(ADDRESS_VARIABLE, "")
    return RayAddress(text, ADDRESS_VARIABLE) if text not in ("", RAY_AUTO) else None


def require_cluster_at(address: RayAddress) -> None:
    """Pass if what answers at an address speaks as a Ray cluster does; takes seconds at most.

    Raises:
        EvaluatorError: the address is none, nothing answers, or something else does; the message
            says which address is right.
    """
    host, port = _parts(address)
    answer = _ask(address, host, port)
    if answer.startswith(HTTP_ANSWERS):
        raise EvaluatorError(_dashboard(address, f"http://{_joined(host, port)}"))
    if _is_encrypted() or answer[3:4] == bytes([SETTINGS_FRAME]):
        return
    what = "a Redis server" if answer.startswith((b"-", b"+")) else "something else"
    raise EvaluatorError(
        f"{address}, where {what if answer else 'nobody'} answers, and not a Ray cluster; "
        f"{_right_addresses(host)}"
    )


def require_job_server_at(text: str) -> None:
    """Pass if something answers at the address of a job server, or of a cluster that has one.

    An address without a port is left to Ray, which knows some.

    Raises:
        EvaluatorError: nothing answers there, or something that can't lead to a job server.
    """
    address = RayAddress(text, "--address")
    scheme, separator, _ = text.partition("://")
    if separator and scheme in HTTP_PORTS:
        parts = urlsplit(text)
        _ask(address, parts.hostname or "", parts.port or HTTP_PORTS[scheme])
    elif ":" in text:
        host, port = _parts(address)
        if _ask(address, host, port).startswith(HTTP_ANSWERS):
            raise EvaluatorError(f"{address}, which lacks its scheme; give http://{text}")
        require_cluster_at(address)


def _ask(address: RayAddress, host: str, port: int) -> bytes:
    """The first word of what listens at an address."""
    try:
        with socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S) as link:
            return _first_word(link)
    except (OSError, UnicodeError) as error:
        raise EvaluatorError(
            f"{address}, and nothing answers there ({error}); start the cluster (ray start --head) "
            f"or correct the address: {_right_addresses(host)}"
        ) from error


def _parts(address: RayAddress) -> tuple[str, int]:
    text = address.text.strip()
    scheme, separator, rest = text.partition("://")
    if separator and scheme in HTTP_PORTS:
        raise EvaluatorError(_dashboard(address, text))
    if separator and scheme != CLIENT_SCHEME:
        raise _no_address(address)
    try:
        parts = urlsplit(f"//{rest if separator else text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:  # a port that is none, a bracket that is not closed
        raise _no_address(address) from error
    if separator and port is None:
        port = CLIENT_PORT
    if not host or not port or parts.username is not None or not parts.path.strip("/") == "":
        raise _no_address(address)
    return host, port


def _no_address(address: RayAddress) -> EvaluatorError:
    return EvaluatorError(
        f"{address}, which is no address of a Ray cluster; it is HEAD:PORT as `ray start --head` "
        "printed it, such as head:6379"
    )


def _right_addresses(host: str) -> str:
    return (
        "--ray takes the address that `ray start --head` printed, HEAD:PORT, such as "
        f"{_joined(host or 'head', 6379)}, and `search-cluster submit --address` that of the job "
        f"server, such as http://{_joined(host or 'head', 8265)}"
    )


def _dashboard(address: RayAddress, url: str) -> str:
    return (
        f"{address}, which is the address of a dashboard and job server, not of the cluster; send "
        f"the search there as a job (search-cluster submit --address {url} ...), or join the "
        "cluster by the address that `ray start --head` printed, HEAD:PORT, such as "
        f"{_joined(urlsplit(url).hostname or 'head', 6379)}"
    )


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _first_word(link: socket.socket) -> bytes:
    """What the other side says to a gRPC client; nothing if it is silent or hangs up."""
    link.settimeout(CONNECT_TIMEOUT_S)
    try:
        link.sendall(HTTP2_GREETING)
        return link.recv(64)
    except OSError:
        return b""


def _is_encrypted() -> bool:
    """Whether the cluster speaks TLS, to which a plain greeting says nothing."""
    return os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")
