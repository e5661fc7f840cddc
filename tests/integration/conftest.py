import pytest
from support import tiny
from support.browser import browser, open_page

__all__ = ["browser", "open_page"]


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a tiny random model that has a chat template."""
    folder = tmp_path_factory.mktemp("tiny-model")
    tiny.save_tiny_model(folder, chat=True)
    return str(folder)
