"""Money is device-hours times a price that somebody named."""

from typing import Any

import pytest

from search_cluster.errors import ConfigError
from search_cluster.telemetry.price import Price, cost_figures, cost_text, price_of, priced

HOUR: dict[str, Any] = {"device_seconds": 3600.0, "paths_searched": 500}
EUROS = Price(per_gpu_hour=2.5, currency="EUR")


def test_an_hour_costs_its_price_and_sessions_add_up() -> None:
    first, second = priced([HOUR, HOUR | {"device_seconds": 7200.0, "paths_searched": 2000}], EUROS)
    assert cost_figures([first, second]) == {
        "price_per_gpu_hour": 2.5,
        "currency": "EUR",
        "cost": 7.5,
        "cost_per_1000_paths": 3.75,
    }
    assert cost_text(cost_figures([first, second])) == (
        "7.50 EUR (at 2.50 EUR a device-hour, 3.75 EUR for 1,000 paths)"
    )


def test_unlike_prices_add_up_and_no_single_one_is_named() -> None:
    sessions = [*priced([HOUR], EUROS), *priced([HOUR], Price(per_gpu_hour=1.5, currency="EUR"))]
    figures = cost_figures(sessions)
    assert (figures["cost"], figures["price_per_gpu_hour"]) == (4.0, None)
    free = cost_figures(priced(sessions, Price(per_gpu_hour=0.0)))
    assert (free["cost"], free["currency"]) == (0.0, "EUR")


@pytest.mark.parametrize(
    "sessions",
    [
        [],
        [HOUR],
        [HOUR, *priced([HOUR], EUROS)],
        [*priced([HOUR], EUROS), *priced([HOUR], Price(per_gpu_hour=2.5, currency="USD"))],
        priced([{"device_seconds": 0.0}], EUROS),
        [HOUR | {"price_per_gpu_hour": "much"}],
        [HOUR | {"price_per_gpu_hour": float("nan")}],
    ],
)
def test_what_is_not_known_is_not_invented(sessions: list[dict[str, Any]]) -> None:
    assert set(cost_figures(sessions).values()) == {None}
    assert cost_text(cost_figures(sessions)) is None


def test_small_amounts_keep_their_digits_and_a_currency_may_be_missing() -> None:
    assert cost_text({"cost": 0.00123}) == "0.0012"
    assert cost_text({"cost": 1234.5, "currency": "Kč"}) == "1,234.50 Kč"


def test_a_price_below_nothing_is_refused() -> None:
    assert price_of(None, "EUR") is None
    for price in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=r"price_per_gpu_hour is .*; it is a number from 0"):
            price_of(price, "")
