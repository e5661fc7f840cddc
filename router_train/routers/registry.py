"""The kinds of routers that exist. A new kind is one folder and one line here."""

from router_train.routers.base import RouterKind
from router_train.routers.drllm.router import DrLLMKind
from router_train.routers.early_exit.training import EarlyExitKind
from router_train.routers.fixed import IdentityKind, StaticKind
from router_train.routers.lens_exit.training import LensExitKind
from router_train.routers.menu.training import MenuKind
from router_train.routers.polar.training import PolarKind
from router_train.routers.shortcut.training import ShortcutKind
from search_cluster.errors import ConfigError, known_names

_KINDS: dict[str, RouterKind] = {
    kind.name: kind
    for kind in (
        DrLLMKind(),
        PolarKind(),
        MenuKind(),
        EarlyExitKind(),
        LensExitKind(),
        ShortcutKind(),
        StaticKind(),
        IdentityKind(),
    )
}


def get_kind(name: str) -> RouterKind:
    """The kind of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in _KINDS:
        raise ConfigError(f"router {name!r} is unknown; routers are {known_names(name, _KINDS)}")
    return _KINDS[name]
