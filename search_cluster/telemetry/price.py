"""What a run cost in money: device-hours times a price that somebody named, and nothing else.

A session's file keeps the price that it ran at. Whoever reads a run may name another one, which
then holds for all of its sessions.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from search_cluster.config import require_price

PRICE_KEY, CURRENCY_KEY = "price_per_gpu_hour", "currency"
"""Keys of a session's file, and of what is reported."""
COST_KEY, COST_PER_PATHS_KEY = "cost", "cost_per_1000_paths"
COST_KEYS = (PRICE_KEY, CURRENCY_KEY, COST_KEY, COST_PER_PATHS_KEY)
"""What `cost_figures` tells."""
SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What an hour of one device costs."""

    per_gpu_hour: float
    currency: str = ""
    """A free word; empty: nobody named it."""

    def to_json(self) -> dict[str, Any]:
        """As a session's file has it."""
        return {PRICE_KEY: self.per_gpu_hour, CURRENCY_KEY: self.currency}


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceOptions:
    """What a command line that shows a run says of its price."""

    price_per_gpu_hour: float | None = field(
        default=None, metadata={"envvar": "LPS_PRICE_PER_GPU_HOUR"}
    )
    """What an hour of one device costs; ``None``: what the run was given."""
    currency: str = field(default="", metadata={"envvar": "LPS_CURRENCY"})
    """What the price is in: a free word."""

    @property
    def named(self) -> Price | None:
        """The price, if one was named.

        Raises:
            ConfigError: it can be none.
        """
        return price_of(self.price_per_gpu_hour, self.currency)


def price_of(per_gpu_hour: float | None, currency: str) -> Price | None:
    """The price that settings name, if they name one.

    Raises:
        ConfigError: it can be none.
    """
    require_price(per_gpu_hour)
    return None if per_gpu_hour is None else Price(per_gpu_hour=per_gpu_hour, currency=currency)


def priced(
    sessions: Iterable[Mapping[str, Any]], price: Price | None = None
) -> list[dict[str, Any]]:
    """Sessions with another price in the place of their own; as they are without one.

    A price without a currency is in each session's own.
    """
    named = {} if price is None else price.to_json()
    more = {key: value for key, value in named.items() if value != ""}
    return [{**session, **more} for session in sessions]


def cost_figures(sessions: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What sessions cost together.

    All is ``None`` unless each session that held a device has a price, all in one currency: what
    is not known is not 0.
    """
    paid = [session for session in sessions if session.get("device_seconds")]
    prices = [session.get(PRICE_KEY) for session in paid]
    currencies = {str(session.get(CURRENCY_KEY) or "") for session in paid}
    if not paid or len(currencies) > 1 or not all(map(_is_number, prices)):
        return dict.fromkeys(COST_KEYS)
    cost = sum(
        session[PRICE_KEY] * session["device_seconds"] / SECONDS_PER_HOUR for session in paid
    )
    # The last session's count begins with what was there before.
    num_paths = paid[-1].get("paths_searched", 0)
    return {
        PRICE_KEY: prices[-1] if len(set(prices)) == 1 else None,
        CURRENCY_KEY: currencies.pop(),
        COST_KEY: cost,
        COST_PER_PATHS_KEY: 1000.0 * cost / num_paths if num_paths else None,
    }


def money(amount: float, currency: str) -> str:
    """An amount in words, such as ``12.40 EUR``; small ones have as many digits as they need."""
    digits = 2 if amount >= 1 or not amount else 4
    return f"{amount:,.{digits}f} {currency}".rstrip()


def cost_text(run: Mapping[str, Any]) -> str | None:
    """What a run cost, in words; ``None`` where that is not known.

    Args:
        run: what `cost_figures` says, among other things.
    """
    cost = run.get(COST_KEY)
    if not _is_number(cost):
        return None
    currency = str(run.get(CURRENCY_KEY) or "")
    price, of_paths = run.get(PRICE_KEY), run.get(COST_PER_PATHS_KEY)
    notes = []
    if _is_number(price):
        notes.append(f"at {money(price, currency)} a device-hour")
    if _is_number(of_paths):
        notes.append(f"{money(of_paths, currency)} for 1,000 paths")
    return money(cost, currency) + (f" ({', '.join(notes)})" if notes else "")


def _is_number(value: Any) -> TypeGuard[float]:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)
