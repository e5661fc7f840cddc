"""What a command line says of a push; its options are made from these fields."""

from dataclasses import dataclass, field

from search_cluster.hub_spec import HubSpec, require_repository


@dataclass(frozen=True, slots=True, kw_only=True)
class PushChoice:
    """Where a folder is pushed to, and how.

    Raises:
        ConfigError: the repository's name can be none.
    """

    push_to_hub: str | None = None
    """Also put the result on the hub, as ORG/NAME, with a card; needs a token (`hf auth login`);
    ``None``: nowhere."""
    private: bool = field(default=True, metadata={"flag": "--private/--public"})
    """Who may see a repository that does not exist yet."""
    include_rows: bool = False
    """Push the rows of a task of your own, too, which a run folder keeps."""
    licence: str | None = None
    """The licence that the card states, by the hub's name, such as cc-by-4.0; ``None``: none."""

    def __post_init__(self) -> None:
        if self.push_to_hub is not None:
            require_repository(self.push_to_hub, self.push_to_hub)

    @property
    def is_asked(self) -> bool:
        """Whether anything is pushed."""
        return self.push_to_hub is not None

    @property
    def repository(self) -> str:
        """The repository, of a push that is asked for."""
        assert self.push_to_hub is not None, "asked where something is pushed"
        return self.push_to_hub

    @property
    def location(self) -> str:
        """How the repository is named where a folder of ours stands."""
        return str(HubSpec(repository=self.repository))
