"""What an export holds beside its router."""

from pathlib import Path

from search_cluster.model.load.hub import WANTED

BASE_FOLDER = "base"
"""Where an export holds its base model, if it does."""
BASE_FILES = tuple(f"{BASE_FOLDER}/{name}" for name in (*WANTED, "*.gguf") if name != "*.py")
"""What of an export's base model is downloaded: no pickles, and no code."""
BRIDGES_FOLDER = "bridges"
"""Where an export holds the bridges of its base model, if that has any."""


def model_inside(folder: Path) -> str | None:
    """The model that lies in an export, as `load_model` takes it; ``None``: it holds none."""
    base = folder / BASE_FOLDER
    if not base.is_dir():
        return None
    ggufs = sorted(base.glob("*.gguf"))
    return str(ggufs[0] if ggufs else base)
