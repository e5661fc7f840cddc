"""The dashboard's server: what it answers, what it refuses, how it starts and ends."""

import contextlib
import gzip
import http.client
import json
import re
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
import redis
from support import tiny
from support.command import run, run_json, start
from support.dashboard_process import Dashboard, running_dashboard
from support.prefix_proxy import PREFIX, behind_prefix
from support.run_folders import all_kinds, counters, write_run, write_session

from search_cluster.cache.keys import PROBE_KEY, VerdictContext, example_key
from search_cluster.cache.redis.store import RedisStore
from search_cluster.cache.server.embedded import EmbeddedServer
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.verdict import Verdict

SECRET = "not-to-be-shown"


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web") / "run"
    write_session(folder, counters(10, done=5, total=5))
    (folder / "secret.txt").write_text(SECRET)
    return write_run(folder, all_kinds())


@pytest.fixture(scope="module")
def dashboard(run_dir: Path) -> Iterator[Dashboard]:
    with running_dashboard(run_dir) as running:
        yield running


def test_the_page_and_its_numbers(dashboard: Dashboard, run_dir: Path) -> None:
    assert str(run_dir) in dashboard.greeting
    assert "http://127.0.0.1:" in dashboard.url
    page = dashboard.ask("/")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert dashboard.ask("/api/sources").json() == {"run": True, "cache": False}
    values = dashboard.ask("/api/run").json()
    assert values["found"]["examples"] == 5
    table = dashboard.ask("/api/examples?outcome=unsolved").json()
    assert [row["question"] for row in table["rows"]] == ["Riddle 3?"]
    example = dashboard.ask(f"/api/examples/{table['rows'][0]['id']}").json()
    assert example["question"] == "Riddle 3?"
    assert example["graph"]["is_search_tree"]
    assert len(example["graph"]["nodes"]) == len(example["paths"]) == 24
    assert any("failure" in path for path in example["paths"])
    assert dashboard.ask("/api/cache").status == 404


def test_every_file_of_the_page_is_served_by_this_server(dashboard: Dashboard) -> None:
    page = dashboard.ask("/").body.decode()
    wanted = set(re.findall(r'(?:src|href)="([^"#]+)"', page))
    assert len(wanted) >= 5
    for name in wanted:
        assert name.startswith("assets/"), f"{name} is not this server's, below whatever path"
        name = f"/{name}"
        answer = dashboard.ask(name)
        assert (answer.status, "Content-Encoding" in answer.headers) == (200, False), name
        text = answer.body.decode()
        packed = dashboard.ask(name, **{"Accept-Encoding": "gzip, deflate"})
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.body).decode() == text
        if name.endswith("main.js"):
            for module in re.findall(r'from "\./([^"]+)"', text):
                assert dashboard.ask(f"/assets/{module}").status == 200, module
        again = dashboard.ask(name, **{"If-None-Match": answer.headers["ETag"]})
        assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml", "/assets/../web.py", "/assets/..%2fweb.py", "/assets/%2e%2e/web.py",
        "//etc/passwd", "/assets//etc/passwd", "/assets/..%5cweb.py", "/assets/", "/assets/web.py",
        "/api/examples/../../secret.txt", "/api/examples/..%2f..%2fsecret.txt", "/api/examples/%00",
        "/api/examples/" + "a" * 4000, "/secret.txt", "/assets/main.js%00.html",
    ],
)  # fmt: skip
def test_no_path_in_a_url_reaches_a_file(dashboard: Dashboard, path: str) -> None:
    answer = dashboard.ask(path)
    assert answer.status in (400, 404)
    assert SECRET.encode() not in answer.body
    assert len(answer.body) < 500


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "", "10.1.2.3"]
)
@pytest.mark.parametrize("path", ["/", "/api/run", "/assets/main.js", "/nothing"])
def test_a_name_that_is_not_this_servers_is_refused(
    dashboard: Dashboard, host: str, path: str
) -> None:
    answer = dashboard.ask(path, Host=host)
    assert answer.status == 403
    assert b"the Host header names " in answer.body
    assert (b"start it with --allow-host" in answer.body) is bool(host)
    assert b"\n" not in answer.body
    assert b"Riddle" not in answer.body


def test_names_of_this_machine_are_answered(dashboard: Dashboard) -> None:
    for host in ("localhost", "localhost:9999", f"127.0.0.1:{dashboard.port}", "[::1]:80"):
        assert dashboard.ask("/api/sources", Host=host).status == 200


@pytest.mark.parametrize(
    "path", ["/", "/api/run", "/assets/style.css", "/nothing", "/api/examples?page=x"]
)
def test_every_answer_carries_the_policy(dashboard: Dashboard, path: str) -> None:
    headers = dashboard.ask(path).headers
    assert headers["Content-Security-Policy"].startswith(
        "default-src 'self'; script-src 'self'; style-src 'self';"
    )
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "Access-Control-Allow-Origin" not in headers
    assert "Python" not in headers["Server"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_written(dashboard: Dashboard, method: str) -> None:
    assert dashboard.ask("/api/run", method=method).status == 405


def test_a_wrong_query_is_explained(dashboard: Dashboard) -> None:
    answer = dashboard.ask("/api/examples?order=%3Cscript%3E")
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.json()["error"].startswith("order is '<script>'; it is one of newest")


def test_an_unreadable_session_file_is_an_answer_not_an_end(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", all_kinds(), finish=False)
    write_session(folder, counters(1, done=1))
    with running_dashboard(folder) as dashboard:
        (folder / "sessions" / "20260101T000000.json").write_text("{")
        answer = dashboard.ask("/api/run")
        assert answer.status == 200
        assert "20260101T000000.json is damaged" in answer.json()["problems"][0]
        assert answer.json()["found"]["examples"] == len(all_kinds())
        write_session(folder, counters(2, done=2))
        assert dashboard.ask("/api/run").json()["problems"] == []


@pytest.mark.parametrize("command", ["dashboard", "top"])
def test_what_is_no_run_folder_is_said_in_one_line(tmp_path: Path, command: str) -> None:
    out, err = run("search-cluster", command, str(tmp_path), expect=2)
    assert out == ""
    assert err.count("\n") == 1
    assert f"error: {tmp_path} is not a run folder" in err


def test_mistakes_of_the_command_line(run_dir: Path) -> None:
    _, err = run("search-cluster", "dashboard", expect=2, LPS_REDIS_URL="embedded")
    assert "error: there is nothing to show: name a run folder" in err
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        _, err = run("search-cluster", "dashboard", str(run_dir), "--port", port, expect=2)
    assert f"error: can't listen on 127.0.0.1 port {port}: " in err
    assert "choose another --port" in err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "0"])
def test_machine_a_server_for_others_names_itself_and_has_no_password(
    run_dir: Path, host: str
) -> None:
    process = start("search-cluster", "dashboard", str(run_dir), "--port", "0", "--host", host)
    assert process.stdout is not None
    greeting = process.stdout.readline()
    found = re.search(rf"http://{re.escape(socket.gethostname())}:(\d+)/", greeting)
    assert found is not None, greeting
    here = "::1" if ":" in host else "127.0.0.1"
    with contextlib.closing(http.client.HTTPConnection(here, int(found[1]))) as link:
        link.request("GET", "/api/sources", headers={"Host": socket.gethostname()})
        assert link.getresponse().status == 200
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert err.startswith(f"WARNING: there is no password: whoever reaches {found[0]} can read")
    assert err.count("\n") == 1


@pytest.fixture(scope="module")
def behind_a_hub(run_dir: Path) -> Iterator[Dashboard]:
    names = ("hub.example.org", "Node7.Cluster.example:8797", "10.1.2.3")
    flags = [flag for name in names for flag in ("--allow-host", name)]
    with running_dashboard(run_dir, *flags) as running, behind_prefix(running) as proxied:
        yield proxied


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("hub.example.org", 200),
        ("HUB.example.org:8000", 200),
        ("hub.example.org.", 200),
        ("node7.cluster.example", 200),
        ("10.1.2.3:80", 200),
        ("localhost", 200),
        ("10.1.2.4", 403),
        ("example.org", 403),
        ("evil.hub.example.org", 403),
        ("hub.example.org.evil.example", 403),
    ],
)
def test_machine_a_proxys_name_is_answered_if_it_was_allowed(
    behind_a_hub: Dashboard, host: str, status: int
) -> None:
    port = urlsplit(behind_a_hub.url).port
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as link:
        link.request("GET", PREFIX + "api/sources", headers={"Host": host})
        response = link.getresponse()
        said = response.read().decode()
    assert response.status == status
    if status == 403:
        assert said.endswith(f"start it with --allow-host {host}")


@pytest.mark.parametrize("path", ["", "assets/main.js", "assets/dom.js", "api/run", "api/examples"])
def test_machine_below_a_proxys_path_everything_is_found(
    behind_a_hub: Dashboard, path: str
) -> None:
    with urlopen(behind_a_hub.url + path) as response:
        assert response.status == 200
        text = response.read().decode()
    absolute = re.findall(r"""(?:src=|href=|fetch\(|ask\()["'`]/[^"'`]*""", text)
    assert absolute == []


@pytest.mark.parametrize(
    "name", ["http://hub.example.org", "hub.example.org/user/x", "*", "", "hub:port", "two names"]
)
def test_machine_a_name_that_is_none_is_refused(run_dir: Path, name: str) -> None:
    command = ["search-cluster", "dashboard", str(run_dir), "--port", "0", "--allow-host", name]
    out, err = run(*command, expect=2)
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"error: --allow-host is {name!r}; it is the name of a host alone")


def test_a_real_search_is_followed_and_each_of_its_trees_rebuilt(tmp_path: Path) -> None:
    tiny.save_tiny_model(tmp_path / "model", chat=True)
    folder = tmp_path / "run"
    found = run_json(
        "search-cluster", "search", "--model", str(tmp_path / "model"), "--task", "capitals",
        "--limit", "6", "--budget", "30", "--ray", "none", "--redis-url", "none", "--run",
        str(folder),
    )  # fmt: skip
    with running_dashboard(folder) as dashboard:
        values = dashboard.ask("/api/run").json()
        assert values["costs"]["paths_searched"] == found["paths_searched"]
        assert values["found"]["identity"]["share"] == found["identity_accuracy"]
        assert len(values["history"]) == 1, "its counters were sampled while it ran"
        rows = dashboard.ask("/api/examples").json()["rows"]
        assert len(rows) == 6
        for row in rows:
            example = dashboard.ask(f"/api/examples/{row['id']}").json()
            assert example["graph"]["is_search_tree"], example["graph"]["note"]
            assert len(example["graph"]["nodes"]) == row["num_paths"]


def test_a_termination_signal_ends_it_too(run_dir: Path) -> None:
    process = start("search-cluster", "dashboard", str(run_dir), "--port", "0")
    assert process.stdout is not None
    assert "http://" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


def test_top_says_the_same_once_and_as_json(run_dir: Path) -> None:
    out, err = run("search-cluster", "top", str(run_dir), "--once")
    assert err == ""
    assert "5 of 5 questions, 100.0%" in out
    values = run_json("search-cluster", "top", str(run_dir))
    assert values["progress"]["examples_done"] == 5
    assert "history" not in values


CONTEXT = VerdictContext(
    schema=1,
    model_fingerprint="f00d",
    task="riddles",
    task_version="1",
    decoding="greedy",
    tie_threshold=0.01,
    num_layers=6,
)


@pytest.mark.server
def test_a_cache_server_is_looked_at_and_left_as_it_was(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "cache") as server:
        password = re.search(r":([0-9a-f]{64})@", server.url)
        assert password is not None
        verdict = Verdict(reward=1.0, margin=None, output="", num_layer_tokens=1)
        with contextlib.closing(RedisStore(server.url, context=CONTEXT)) as store:
            store.put_many(
                (
                    f"{number:024x}",
                    LayerPath(tuple(range(size)), 6),
                    replace(verdict, output=output),
                )
                for number in range(30)
                for size, output in ((1, "long " * 40), (2, "yes"), (3, "yes"))
            )
        admin = redis.Redis.from_url(server.url, protocol=2)
        with contextlib.closing(admin):
            admin.set("someone:else", "untouched")
            admin.set("lps:context:damaged", "{")
            admin.delete(PROBE_KEY)  # of the store's start; it would end by itself while we look
            before = {key: admin.dump(key) for key in admin.keys("*")}
            admin.config_resetstat()
            with running_dashboard(LPS_REDIS_URL=server.url) as dashboard:
                assert dashboard.ask("/api/sources").json() == {"run": False, "cache": True}
                answer = dashboard.ask("/api/cache")
                page = answer.json()
                seen = [
                    dashboard.greeting.encode(),
                    answer.body,
                    *(dashboard.ask(path).body for path in ("/", "/x")),
                ]
                assert dashboard.ask("/api/run").status == 404
            assert {key: admin.dump(key) for key in admin.keys("*")} == before
            used = {name.removeprefix("cmdstat_") for name in admin.info("commandstats")}
    assert not any(password[1].encode() in text for text in seen)
    assert used <= {
        "scan",
        "hlen",
        "get",
        "info",
        "ping",
        "auth",
        "hello",
        "client|setinfo",
        "keys",
        "dump",
        "config|resetstat",
    }
    assert page["is_complete"]
    assert page["problem"] is None
    assert page["used_memory_bytes"] > 0
    first, second = page["contexts"]
    assert first["context"] == json.loads(CONTEXT.canonical_json())
    assert (first["num_examples"], first["num_verdicts"], first["num_apart"]) == (30, 90, 30)
    assert (second["namespace"], second["context"], second["num_verdicts"]) == ("damaged", None, 0)
    assert example_key(first["namespace"], "x").startswith("lps:v:")


@pytest.mark.server
def test_a_cache_server_that_goes_away_is_said_and_comes_back(tmp_path: Path) -> None:
    from search_cluster.dashboard.cache_watch import CacheWatch

    now_s = [0.0]
    with EmbeddedServer(tmp_path / "cache") as server:
        RedisStore(server.url, context=CONTEXT).close()
        watch = CacheWatch(server.url, clock=lambda: now_s[0])
        assert [item["num_verdicts"] for item in watch.describe()["contexts"]] == [0]
    now_s[0] = 3.0
    assert watch.describe()["problem"] is None, "not asked again so soon"
    now_s[0] = 100.0
    described = watch.describe()
    assert "does not answer" in described["problem"]
    assert len(described["contexts"]) == 1, "the last counts stay"
    assert "***" in described["shown_url"]
    watch.close()


@pytest.mark.server
def test_a_cache_server_that_is_not_there_is_an_error_without_its_password(tmp_path: Path) -> None:
    url = f"unix://:{SECRET}@{tmp_path}/nobody"
    out, err = run("search-cluster", "dashboard", "--port", "0", expect=2, LPS_REDIS_URL=url)
    assert "does not answer" in err
    assert "start it, or correct --redis-url" in err
    assert SECRET not in out + err
