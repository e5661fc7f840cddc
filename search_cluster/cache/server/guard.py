"""Guards one embedded server: starts it, restarts it if it is killed, and stops it.

It stops it when whoever asked for it is gone. `EmbeddedServer` runs it as a script (``python -I -S
guard.py BINARY FOLDER PRIVATE_DIR LOCK_FD PARENT_PID``), in a process of its own with a single
thread, because a parent-death signal is tied to the thread that forked. It uses the standard
library only.

Over standard input come the server's configuration, a NUL, `READY` when the server has answered
once, and `STOP`. The end of file means that the parent has died, by whatever signal; where a forked
child of the parent keeps the pipe open, the change of the parent's process id tells. The
configuration holds the password; it stays in memory here and reaches the server over its standard
input.
"""

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

READY = b"R"
STOP = b"S"
END_OF_CONFIG = b"\0"
MAX_RESTARTS = 5
RESTART_DELAY_S = 0.5
STOP_GRACE_S = 10.0
"""The seconds between asking the server to write everything and stop, and killing it."""
PARENT_POLL_S = 1.0
PR_SET_PDEATHSIG = 1


def read_config() -> bytes:
    """What standard input holds up to `END_OF_CONFIG` (or its end)."""
    config = b""
    while (byte := os.read(0, 1)) not in (b"", END_OF_CONFIG):
        config += byte
    return config


def start_server(
    binary: str, folder: str, lock_fd: int, config: bytes
) -> tuple[subprocess.Popen[bytes], int]:
    """The server, and a file descriptor that reads as ended when it is gone."""
    alive_fd, inherited_fd = os.pipe()
    guard_pid = os.getpid()

    def die_with_guard() -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != guard_pid:
                os._exit(1)

    server = subprocess.Popen(
        [binary, "-"],
        stdin=subprocess.PIPE,
        cwd=folder,
        pass_fds=(inherited_fd, lock_fd),
        preexec_fn=die_with_guard,  # Safe: this process has one thread.
    )
    os.close(inherited_fd)
    assert server.stdin is not None
    try:
        server.stdin.write(config)
        server.stdin.close()
    except BrokenPipeError:
        print("the server ended before it read its configuration", file=sys.stderr)
    return server, alive_fd


def stop_server(server: subprocess.Popen[bytes]) -> None:
    """Let the server write and stop, and kill it if it does not; nothing happens if it is gone."""
    server.terminate()
    try:
        server.wait(STOP_GRACE_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def guard(binary: str, folder: str, lock_fd: int, parent_pid: int) -> int:
    """Keep the server running until the parent says stop or is gone, and return an exit status."""
    config = read_config()
    was_ready = False
    for num_restarts in range(MAX_RESTARTS + 1):
        if num_restarts:
            time.sleep(RESTART_DELAY_S)
            print(
                f"restart {num_restarts} of at most {MAX_RESTARTS}: the server ended by itself",
                file=sys.stderr,
            )
        server, alive_fd = start_server(binary, folder, lock_fd, config)
        try:
            is_alive = True
            while is_alive:
                readable = select.select([0, alive_fd], [], [], PARENT_POLL_S)[0]
                # A server may be killed right behind its first answer: then both can be read, and
                # `READY` decides whether it is restarted.
                if os.getppid() != parent_pid or (0 in readable and os.read(0, 1) != READY):
                    return 0
                was_ready = was_ready or 0 in readable
                is_alive = alive_fd not in readable
        finally:
            stop_server(server)
            os.close(alive_fd)
        if not was_ready:
            break
    return server.returncode or 1


def main() -> int:
    """Guard the server that the command line names, and clean its private directory up."""
    binary, folder, private_dir, lock_fd, parent_pid = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        return guard(binary, folder, int(lock_fd), int(parent_pid))
    finally:
        shutil.rmtree(Path(private_dir), ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
