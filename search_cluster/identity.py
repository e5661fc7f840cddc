"""Which model it is: the fingerprint of what was loaded, and of what it is made.

Whatever goes on with verdicts of an earlier run (a resume, `verify`, a router's `fit`, `evaluate`
and `export`) compares identities here, so that all of them take and refuse the same models.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """The identity of a loaded model."""

    fingerprint: str
    """The hash of all that verdicts depend on, 32 hexadecimal digits."""
    former_fingerprints: tuple[str, ...] = ()
    """The fingerprints that former versions of search-cluster gave the same model."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """A short hash for each part that the fingerprint covers, by the part's name."""

    def is_known_as(self, fingerprint: str) -> bool:
        """Whether this version, or a former one, gives the model that fingerprint."""
        return fingerprint == self.fingerprint or fingerprint in self.former_fingerprints

    def differences(self, parts: Mapping[str, str]) -> str:
        """The names of the parts that differ from those of another model, in words.

        It is empty if the other model's parts are not known, as in corpora of former versions. A
        part that only one of them has differs.
        """
        if not self.parts or not parts:
            return ""
        names = [
            name for name in {**self.parts, **parts} if parts.get(name) != self.parts.get(name)
        ]
        return f" (what differs: {', '.join(names)})" if names else ""
