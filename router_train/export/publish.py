"""Putting an export on the hub.

The token is the one of ``hf auth login`` or ``HF_TOKEN``; it is never shown.
"""

from pathlib import Path

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

from search_cluster.errors import ConfigError, ModelError


def require_token() -> None:
    """Check that there is a token before any work is done.

    Raises:
        ConfigError: there is none.
    """
    if not get_token():
        raise ConfigError(
            "--push-to-hub needs a token and there is none; run hf auth login, or set HF_TOKEN"
        )


def push(folder: Path, repository: str) -> str:
    """Upload a folder to a model repository, and return its address.

    A repository that does not exist is created private.

    Raises:
        ConfigError: the repository's name is none.
        ModelError: the hub can't be reached, or refuses.
    """
    api = HfApi()
    try:
        api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(
            repo_id=repository, folder_path=folder, commit_message=f"Add {folder.name}"
        )
    except HFValidationError as error:
        raise ConfigError(f"{repository!r} is no repository name; give OWNER/NAME") from error
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        raise ModelError(
            f"{repository} can't be written ({type(error).__name__}); {folder} is complete: check "
            "the connection and that the token may write, then upload it with hf upload "
            f"{repository} {folder}"
        ) from error
    return f"{api.endpoint}/{repository}"
