"""A network of its own for servers that bind to all interfaces.

They reach nothing but their own loopback. Ray listens on every interface whatever address it is
given. In a namespace of its own that is its loopback alone, ports never collide, and closing the
namespace ends every process in it.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

TOOLS = ("unshare", "nsenter", "ip")
LINK = "lps0"
HOLDER = "ip link set lo up && echo ready && exec cat"
"""This ends, with all in its process namespace, when the test process closes the pipe or dies."""


class Namespace:
    """Own network, processes and mounts, as root of this machine; a context manager."""

    def __init__(self) -> None:
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if missing or os.geteuid() != 0:
            pytest.skip(f"no network namespace: {', '.join(missing) or 'root'} is missing")
        self._unshare = subprocess.Popen(
            [
                "unshare",
                "--net",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "sh",
                "-c",
                HOLDER,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._unshare.stdout is not None
        if self._unshare.stdout.readline() != "ready\n":
            _, errors = self._unshare.communicate()
            pytest.skip(f"no network namespace: {errors.strip()}")
        self._started: list[subprocess.Popen[bytes]] = []
        self._pid = psutil.Process(self._unshare.pid).children()[0].pid

    def __enter__(self) -> "Namespace":
        return self

    def __exit__(self, *_: object) -> None:
        self._unshare.kill()
        self._unshare.communicate()
        for process in self._started:
            process.wait()

    def start(
        self, *command: str, environment: Mapping[str, str], cwd: Path, log: Path
    ) -> subprocess.Popen[bytes]:
        """Start a command in the namespace; its output goes to a file."""
        with log.open("wb") as stream:
            process = subprocess.Popen(
                self._enter(cwd, command),
                env=dict(environment),
                stdout=stream,
                stderr=stream,
                stdin=subprocess.DEVNULL,
            )
        self._started.append(process)
        return process

    def run(
        self, *command: str, environment: Mapping[str, str], cwd: Path, timeout_s: float = 200
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the namespace to its end."""
        return subprocess.run(
            self._enter(cwd, command),
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def connect(self, other: "Namespace", mine: str, theirs: str) -> None:
        """Join the networks by a link, with an address (such as ``10.77.0.1/24``) at either end."""
        self._ip(
            "link",
            "add",
            "name",
            LINK,
            "type",
            "veth",
            "peer",
            "name",
            LINK,
            "netns",
            str(other._pid),
        )
        for space, address in ((self, mine), (other, theirs)):
            space._ip("address", "add", address, "dev", LINK)
            space._ip("link", "set", LINK, "up")

    def cut(self) -> None:
        """Take the link down at this end: packets vanish, connections are not closed."""
        self._ip("link", "set", LINK, "down")

    def _ip(self, *arguments: str) -> None:
        subprocess.run(["nsenter", f"--target={self._pid}", "--net", "ip", *arguments], check=True)

    def _enter(self, cwd: Path, command: tuple[str, ...]) -> list[str]:
        return [
            "nsenter",
            f"--target={self._pid}",
            "--net",
            "--pid",
            "--mount",
            f"--wdns={cwd}",
            "--",
            *command,
        ]
