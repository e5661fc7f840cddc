"""How to install what an extra of this package adds, on a machine that has the package already."""

import shlex
from importlib import metadata

DISTRIBUTION = "search-cluster"


def install_command(extra: str) -> str:
    """The command that installs the packages of an extra.

    It names the packages themselves: whoever installed from a wheel or a checkout has no index that
    knows ours.
    """
    from packaging.requirements import Requirement  # a tenth of every command's start

    requirements = map(Requirement, metadata.requires(DISTRIBUTION) or ())
    packages = [
        f"{item.name}{f'[{chr(44).join(sorted(item.extras))}]' if item.extras else ''}"
        f"{item.specifier}"
        for item in requirements
        if item.marker is not None
        and item.marker.evaluate({"extra": extra})
        and not item.marker.evaluate({"extra": ""})
    ]
    return shlex.join(["pip", "install", *packages])
