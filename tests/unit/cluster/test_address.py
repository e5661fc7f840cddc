"""Addresses of clusters: what answers there is asked before Ray tries for minutes."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from support.command import run, run_apart

from search_cluster.cluster import address as address_module
from search_cluster.cluster.address import (
    RayAddress,
    named_address,
    require_cluster_at,
    require_job_server_at,
)
from search_cluster.errors import EvaluatorError

SETTINGS = b"\0\0\x06\4\0\0\0\0\0" + bytes(6)
HTTP = b"HTTP/1.0 400 Bad Request\r\n\r\n"


@contextlib.contextmanager
def answering(answer: bytes | None) -> Iterator[int]:
    """A server that says one thing to whoever writes to it (``None``: it hangs up); its port."""
    with contextlib.ExitStack() as held:
        server = held.enter_context(socket.create_server(("127.0.0.1", 0)))

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    link = held.enter_context(server.accept()[0])
                    if answer is None:
                        link.close()
                    else:
                        link.recv(100)
                        link.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address_module, "CONNECT_TIMEOUT_S", 0.5)
    for name in ("RAY_ADDRESS", "RAY_USE_TLS"):
        monkeypatch.delenv(name, raising=False)


def said_of(text: str) -> str:
    with pytest.raises(EvaluatorError) as error:
        require_cluster_at(RayAddress(text, "--ray"))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_machine_a_cluster_is_known_by_its_greeting() -> None:
    with answering(SETTINGS) as port:
        require_cluster_at(RayAddress(f"127.0.0.1:{port}", "--ray"))
        require_cluster_at(RayAddress(f" localhost:{port}\n", "RAY_ADDRESS"))
        require_cluster_at(RayAddress(f"ray://127.0.0.1:{port}", "--ray"))
        require_job_server_at(f"127.0.0.1:{port}")
        require_job_server_at("auto")


def test_machine_a_page_of_html_is_a_dashboards() -> None:
    with answering(b"<!DOCTYPE HTML>\n<html>") as port:
        assert f"(search-cluster submit --address http://127.0.0.1:{port} " in said_of(
            f"127.0.0.1:{port}"
        )


def test_machine_a_dashboards_address_names_submit_and_the_right_address() -> None:
    with answering(HTTP) as port:
        for text in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}", f"http://127.0.0.1:{port}"):
            said = said_of(text)
            assert said.startswith(f"--ray is '{text}', which is the address of a dashboard")
            assert f"search-cluster submit --address http://127.0.0.1:{port} " in said
            assert said.endswith("HEAD:PORT, such as 127.0.0.1:6379")
        require_job_server_at(f"http://127.0.0.1:{port}")
        with pytest.raises(EvaluatorError, match=f"lacks its scheme; give http://127.0.0.1:{port}"):
            require_job_server_at(f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("answer", "who"),
    [(b"-ERR unknown command 'PRI'\r\n", "a Redis server"), (b"SSH-2.0-OpenSSH\r\n", "something"),
     (b"", "nobody"), (None, "nobody")],
)  # fmt: skip
def test_machine_what_is_no_cluster_is_said_soon(answer: bytes | None, who: str) -> None:
    with answering(answer) as port:
        started_s = time.monotonic()
        assert f"where {who}" in said_of(f"127.0.0.1:{port}")
        assert time.monotonic() - started_s < 5


def test_machine_nothing_there_is_said_at_once() -> None:
    for text in ("127.0.0.1:9", "ray://127.0.0.1:9", "[::1]:9", "no-such-host.invalid:6379"):
        said = said_of(text)
        assert said.startswith(f"--ray is '{text}', and nothing answers there (")
        assert "; start the cluster (ray start --head) or correct the address: --ray takes" in said
        assert said.endswith(":8265")
        assert ":6379, and `search-cluster submit --address`" in said
    with pytest.raises(EvaluatorError, match=r"--address is 'https://127.0.0.1:9', and nothing"):
        require_job_server_at("https://127.0.0.1:9")


@pytest.mark.parametrize(
    "text",
    ["head", "127.0.0.1", "redis://head:6379", "head:six", "head:99999", "[::1", " ", "a@head:1",
     "head:6379/0", "ray://", "http:/head:8265", ":6379"],
)  # fmt: skip
def test_machine_an_address_that_is_none_is_refused(text: str) -> None:
    assert said_of(text).endswith(
        "it is HEAD:PORT as `ray start --head` printed it, such as head:6379"
    )


def test_machine_the_variable_counts_where_no_address_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert named_address("auto") is None
    assert named_address("head:6379") == RayAddress("head:6379", "--ray")
    monkeypatch.setenv("RAY_ADDRESS", "http://head:8265")
    assert named_address("auto") == RayAddress("http://head:8265", "RAY_ADDRESS")
    assert named_address("head:6379") == RayAddress("head:6379", "--ray")


def test_machine_a_cluster_with_tls_greets_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USE_TLS", "1")
    with answering(b"\x15\3\1") as port:
        require_cluster_at(RayAddress(f"127.0.0.1:{port}", "--ray"))


@pytest.mark.ray
@pytest.mark.slow
def test_machine_a_wrong_address_of_ray_is_one_line_of_every_command(tmp_path: object) -> None:
    with answering(HTTP) as port:
        search = ["search-cluster", "search", "--model", "/no/model", "--run", f"{tmp_path}/run"]
        dashboard = f"http://127.0.0.1:{port}"
        for flag, environment in (
            (f"127.0.0.1:{port}", {}),
            ("auto", {"RAY_ADDRESS": dashboard}),
            ("ray://127.0.0.1:9", {}),
        ):
            started_s = time.monotonic()
            out, err = run_apart(*search, "--ray", flag, expect=2, timeout_s=60, **environment)
            assert time.monotonic() - started_s < 30
            assert (out, err.count("\n")) == ("", 1), err
            assert ("nothing answers there" if ":9" in flag else "submit --address") in err
        submit = [
            "search-cluster",
            "submit",
            "--run",
            "/shared/run",
            "--working-dir",
            str(tmp_path),
        ]
        _, err = run(*submit, "--address", f"127.0.0.1:{port}", expect=2)
        assert f"give {dashboard}" in err
