"""The HTTP side of the dashboard: the page's files, and the numbers as JSON.

Everything is read, and nothing is written.
"""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from aiohttp import web

from search_cluster.dashboard.assets import INDEX, Asset, read_assets
from search_cluster.dashboard.cache_watch import CacheWatch
from search_cluster.dashboard.example_detail import describe_example
from search_cluster.dashboard.example_table import TableQuery, table_page
from search_cluster.dashboard.overview import describe_run
from search_cluster.dashboard.protection import HEADERS, host_is_known, refusal
from search_cluster.dashboard.run_folder import RunFolder
from search_cluster.errors import InvalidValueError, SearchClusterError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_app(
    *,
    bound_to: str,
    allowed: Collection[str] = (),
    run: RunFolder | None,
    cache: CacheWatch | None,
) -> web.Application:
    """The application.

    Args:
        bound_to: the host that the server listens on, which decides what Host headers are answered.
        allowed: further names of the server, which a proxy in front of it has.
        run: the run folder to show, if any.
        cache: the cache server to show, if any.
    """
    assets = read_assets()
    app = web.Application(middlewares=[_answers(bound_to, allowed)])
    app.on_response_prepare.append(_add_headers)
    app.router.add_get("/", _asset_handler(assets, INDEX))
    app.router.add_get("/assets/{name}", _asset_handler(assets))
    app.router.add_get(
        "/api/sources",
        _json_handler(lambda _: {"run": run is not None, "cache": cache is not None}),
    )
    if run is not None:
        app.router.add_get("/api/run", _json_handler(lambda _: describe_run(run)))
        app.router.add_get("/api/scan", _json_handler(lambda _: run.scan.describe_pictures()))
        app.router.add_get("/api/depth", _json_handler(lambda _: run.depth.describe_pictures()))
        app.router.add_get("/api/examples", _json_handler(lambda request: _table(run, request)))
        app.router.add_get(
            "/api/examples/{example_id}", _json_handler(lambda request: _example(run, request))
        )
    if cache is not None:
        app.router.add_get("/api/cache", _json_handler(lambda _: cache.describe()))
    return app


def _table(run: RunFolder, request: web.Request) -> dict[str, Any]:
    return table_page(run.read().rows, TableQuery.parse(dict(request.query)))


def _example(run: RunFolder, request: web.Request) -> dict[str, Any]:
    wanted = request.match_info["example_id"]
    for digest in run.read().digests:
        for row in digest.rows:
            if row.example_id == wanted:
                return describe_example(run.record(row), digest.provenance)
    raise web.HTTPNotFound(
        text=f"no searched question has the id {wanted[:40]!r}; ids are in the table of questions"
    )


def _json_handler(describe: Callable[[web.Request], dict[str, Any]]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        # Off the event loop: a first look at a large corpus takes seconds.
        values = await asyncio.to_thread(describe, request)
        response = web.json_response(
            text=json.dumps(values, allow_nan=False), headers={"Cache-Control": "no-store"}
        )
        response.enable_compression()
        return response

    return handle


def _asset_handler(assets: dict[str, Asset], fixed: str | None = None) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        asset = assets.get(fixed or request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound(text="no such file; the page is at /")
        headers = {"ETag": asset.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if request.headers.get("If-None-Match") == asset.tag:
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = f"{asset.media_type}; charset=utf-8"
        if "gzip" not in request.headers.get("Accept-Encoding", ""):
            # This is a script's client, such as curl or urllib.
            return web.Response(body=gzip.decompress(asset.packed), headers=headers)
        return web.Response(body=asset.packed, headers={**headers, "Content-Encoding": "gzip"})

    return handle


def _answers(bound_to: str, allowed: Collection[str]) -> Any:
    """Refuse unknown hosts, and turn known errors into JSON that says what is wrong."""

    @web.middleware
    async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get("Host")
        if not host_is_known(host, bound_to, allowed):
            raise web.HTTPForbidden(text=refusal(host))
        try:
            return await handler(request)
        except SearchClusterError as error:
            status = 400 if isinstance(error, InvalidValueError) else 503
            return web.json_response(
                {"error": str(error)}, status=status, headers={"Cache-Control": "no-store"}
            )

    return handle


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
