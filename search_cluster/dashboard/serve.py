"""Runs the dashboard's server until it is told to stop."""

import asyncio
import ipaddress
import logging
import signal
import socket
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from aiohttp import web

from search_cluster.cache.open import EMBEDDED, NONE
from search_cluster.cache.redis.client import LinkLostError
from search_cluster.dashboard.cache_watch import CacheWatch
from search_cluster.dashboard.protection import allowed_name, is_loopback
from search_cluster.dashboard.run_folder import RunFolder
from search_cluster.dashboard.web import build_app
from search_cluster.errors import CacheError, ConfigError
from search_cluster.telemetry.price import Price

logger = logging.getLogger(__name__)

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8797


def serve_dashboard(
    run: Path | None,
    redis_url: str | None,
    *,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    allow_host: Sequence[str] = (),
    open_browser: bool = False,
    announce: Callable[[str], None] = print,
    price: Price | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, which end it without an error.

    Args:
        run: the run folder to show.
        redis_url: the cache server to show, which is only read. ``embedded`` and ``none`` are no
            servers to look at.
        host: the address to listen on.
        port: the port to listen on; 0 takes any free one.
        allow_host: further names by which browsers reach it.
        open_browser: whether to open the page.
        announce: is told the address once the page can be opened.
        price: of a device-hour, in the place of those that the sessions ran at.

    Raises:
        ConfigError: neither a folder nor a server is named, the address can't be listened on, or a
            further name is none.
        CorpusError: the folder is no run folder.
        CacheError: the server does not answer.
    """
    if redis_url in (EMBEDDED, NONE):
        redis_url = None
    if run is None and redis_url is None:
        raise ConfigError(
            "there is nothing to show: name a run folder, or a cache server by --redis-url"
        )
    allowed = {allowed_name(text) for text in allow_host}
    with ExitStack() as stack:
        cache = None if redis_url is None else stack.enter_context(closing(_watch(redis_url)))
        folder = None if run is None else RunFolder(run, price=price)
        app = build_app(bound_to=host, allowed=allowed, run=folder, cache=cache)
        asyncio.run(_serve(app, host, port, open_browser, announce))


def _watch(url: str) -> CacheWatch:
    try:
        return CacheWatch(url)
    except LinkLostError as error:
        raise CacheError(
            f"{error}; start it, or correct --redis-url; a run folder is shown without it too"
        ) from error


async def _serve(
    app: web.Application, host: str, port: int, open_browser: bool, announce: Callable[[str], None]
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"can't listen on {host} port {port}: {error}; choose another --port (0 takes any "
                "free one), or another --host"
            ) from error
        url = _url(host, runner.addresses[0])
        if not is_loopback(host):
            logger.warning(
                "there is no password: whoever reaches %s can read everything that it shows", url
            )
        announce(url)
        if open_browser:
            await asyncio.to_thread(webbrowser.open, url)
        await stop.wait()
    finally:
        await runner.cleanup()


def _url(host: str, bound_to: Sequence[Any]) -> str:
    """The address to open, for a server that listens on a host; ``bound_to``: what that became."""
    port = bound_to[1]
    if ipaddress.ip_address(bound_to[0].partition("%")[0]).is_unspecified:
        host = socket.gethostname()  # all addresses of this machine are no address to go to
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
