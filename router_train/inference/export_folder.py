"""What an export holds beside its router."""

from pathlib import Path

BASE_FOLDER = "base"
"""Where an export holds its base model, if it does."""
BRIDGES_FOLDER = "bridges"
"""Where an export holds the bridges of its base model, if that has any."""


def model_inside(folder: Path) -> str | None:
    """The model that lies in an export, as `load_model` takes it; ``None``: it holds none."""
    base = folder / BASE_FOLDER
    if not base.is_dir():
        return None
    ggufs = sorted(base.glob("*.gguf"))
    return str(ggufs[0] if ggufs else base)
