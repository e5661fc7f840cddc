"""Plain checkpoints and tokenizers in other versions of transformers: the table, measured.

To write `search_cluster.model.portable.versions` anew, install the versions (see
`support.other_transformers`) and run this test: it names each line that is not so.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from support import tiny
from support.exports import (
    MEASURED_FAMILIES,
    ORIGINAL_LENGTH,
    TEXTS,
    ExportCase,
    export_cases,
    tokenizers_by_name,
)
from support.other_transformers import HOW, other_versions, readings
from transformers import AutoTokenizer

from search_cluster.model.anatomy import ANATOMIES
from search_cluster.model.path_checkpoint import path_checkpoint
from search_cluster.model.portable.checkpoint import write_checkpoint
from search_cluster.model.portable.tokenizer import save_tokenizer
from search_cluster.model.portable.versions import SPELLED_AS_VERSION_4, TESTED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not other_versions(), reason=HOW),
    pytest.mark.timeout(1200),
]
OTHERS = other_versions()
LENGTHS = (12, 40)
"""Beyond windows, and beyond the lengths at which rotary embeddings change."""
RELATIVE_TOLERANCE = 1e-5
"""Float32; sums of experts are taken in another order."""
FAMILIES_OF_TOKENIZERS = ("llama", "qwen2", "gemma", "mistral", "phi3")
"""Version 5 goes by the family of the model, too."""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By name: the folder, what it promises, and what the installed version makes of it."""
    root = tmp_path_factory.mktemp("checkpoints")
    promised, job = {}, {}
    loaded = {
        family: AutoTokenizer.from_pretrained(tiny.save_tiny_model(root / family, family))
        for family in MEASURED_FAMILIES
    }
    for case in export_cases():
        written = write_checkpoint(
            path_checkpoint(tiny.tiny_model(case.family, **case.settings), case.path),
            loaded[case.family],
            root / case.name,
        )
        promised[case.name] = written.versions
        job[case.name] = {
            "folder": str(root / case.name),
            "lengths": LENGTHS,
            "attention": ANATOMIES[case.family].attention_kernel,
        }
    return {"promised": promised, "job": job, "expected": readings(None, job, root), "root": root}


@pytest.mark.parametrize("version", OTHERS)
def test_leaving_checkpoints_give_equal_logits_or_say_that_they_do_not(
    checkpoints: dict[str, Any], version: str
) -> None:
    assert version in TESTED, f"add {version} to the table first"
    found = readings(OTHERS[version], checkpoints["job"], checkpoints["root"])
    assert found["version"] == version
    wrong = {}
    for case in export_cases():
        expected, read = checkpoints["expected"][case.name], found[case.name]
        assert "error" not in expected, expected
        outcome = _outcome(expected, read, case)
        if version in checkpoints["promised"][case.name]:
            if outcome != "equal":
                wrong[case.name] = outcome
        elif outcome == "equal" or (version in SPELLED_AS_VERSION_4 and outcome != "refused"):
            wrong[case.name] = f"{outcome}, and not promised"
    assert not wrong


def _outcome(expected: dict[str, Any], read: dict[str, Any], case: ExportCase) -> str:
    if "error" in read:
        return "refused"
    for length in LENGTHS:
        logits, other = expected[f"logits_{length}"], read[f"logits_{length}"]
        gap = float((logits - other).abs().max() / logits.abs().max())
        if not gap <= RELATIVE_TOLERANCE:
            return f"logits off by {gap:.1e}"
        # Versions before 5.23 compute Phi 3's cache anew where its rotary embedding changes.
        grows_over = length <= ORIGINAL_LENGTH and "phi3-longrope" in case.name
        if not grows_over and expected[f"generated_{length}"] != read[f"generated_{length}"]:
            return "other text"
    if expected["tied"] != read["tied"] or expected["class"] != read["class"]:
        return "another kind of model"
    ids = ("eos_token_id", "bos_token_id", "pad_token_id")
    if any(expected["generation"][name] != read["generation"][name] for name in ids):
        return "other tokens end it"
    return "equal"


@pytest.mark.parametrize("version", OTHERS)
def test_leaving_tokenizers_give_equal_tokens_in_another_version(
    version: str, tmp_path: Path
) -> None:
    before, after = {}, {}
    for name, tokenizer in tokenizers_by_name().items():
        for family in FAMILIES_OF_TOKENIZERS:
            base, out = tmp_path / "base" / name / family, tmp_path / "out" / name / family
            for folder in (base, out):
                tiny.tiny_config(family).save_pretrained(folder)
            tokenizer.save_pretrained(base)
            assert save_tokenizer(AutoTokenizer.from_pretrained(base), out)
            before[f"{name}/{family}"] = {"folder": str(base), "texts": TEXTS}
            after[f"{name}/{family}"] = {"folder": str(out), "texts": TEXTS}
    expected = readings(None, before, tmp_path)
    found = readings(OTHERS[version], after, tmp_path)
    assert found["version"] == version
    for name in after:
        assert "error" not in expected[name], (name, expected[name])
        assert found[name] == expected[name], name


def test_leaving_without_our_settings_version_4_computes_something_else(tmp_path: Path) -> None:
    """What this is all about, so that the tests above can fail."""
    old = {version: OTHERS[version] for version in OTHERS if version in SPELLED_AS_VERSION_4}
    if not old:
        pytest.skip("needs a version 4")
    rotary = {"rope_type": "default", "rope_theta": 50000.0}
    model = tiny.tiny_model("llama", rope_parameters=rotary)
    model.save_pretrained(tmp_path / "llama")
    tiny.tiny_tokenizer().save_pretrained(tmp_path / "llama")
    job = {
        "model": {"folder": str(tmp_path / "llama"), "lengths": LENGTHS, "attention": "sdpa"},
        "tokenizer": {"folder": str(tmp_path / "llama"), "texts": TEXTS},
    }
    expected = readings(None, job, tmp_path)["model"]
    for folder in old.values():
        found = readings(folder, job, tmp_path)
        assert not torch.allclose(found["model"]["logits_40"], expected["logits_40"], atol=0.1)
        assert "TokenizersBackend" in found["tokenizer"]["error"]
