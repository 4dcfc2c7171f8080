"""The rules of accounts: set by who starts the exchange, refused when they make no sense."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal

import pytest

from actors.brokers.sandbox_exchange import ExchangeSettings
from adapters.sandbox import __main__ as program
from adapters.sandbox.account_settings import AccountSettings, account_from, account_settings
from adapters.sandbox.control import SandboxControl
from adapters.sandbox.server import SandboxServer
from domain.clock import EXCHANGE_ZONE, epoch_ns
from domain.errors import ConfigurationFault
from launch.topology_file import check_actor, make_settings
from tests.kit.sandbox_bench import KEY, HandMarket, bench, call

NODE = "actors.brokers.sandbox_exchange.SandboxExchange"
BUY = {
    "apikey": KEY, "strategy": "t", "symbol": "SBIN", "exchange": "NSE", "action": "BUY",
    "quantity": "10", "product": "MIS", "pricetype": "MARKET",
}  # fmt: skip


def base_of(server: SandboxServer) -> str:
    return server.addresses["zerodha"].rest_url


def test_numbers_times_and_words_become_settings_and_the_rest_keeps_its_default() -> None:
    given = {
        "starting_capital": 500_000,
        "futures_leverage": "12.5",
        "square_off": {"NFO": "15:00"},
        "mtm_update_interval_s": 0,
        "reset_day": "Sunday",
        "reset_time": "06:30",
        "option_expiry_settlement": "zero",
    }
    assert account_settings(given) == replace(
        AccountSettings(),
        starting_capital=Decimal(500_000),
        futures_leverage=Decimal("12.5"),
        square_off={"NFO": time(15)},
        mtm_update_interval_s=0,
        reset_day="Sunday",
        reset_time=time(6, 30),
        option_expiry_settlement="zero",
    )
    words = ["starting_capital=500000", "square_off.NFO=15:00", "square_off.MCX=23:00"]
    assert account_from(words).square_off == {"NFO": time(15), "MCX": time(23)}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"capital": 5}, "'capital' is not known; there is starting_capital"),
        ({"starting_capital": 0}, "starting_capital=0 must be a number above 0"),
        ({"starting_capital": True}, "starting_capital=True must be a number above 0"),
        ({"option_sell_leverage": "NaN"}, "option_sell_leverage='NaN' must be a number above 0"),
        ({"order_check_interval_s": 31}, "order_check_interval_s=31 must be whole seconds from 1"),
        ({"mtm_update_interval_s": 0.5}, "mtm_update_interval_s=0.5 must be whole seconds from 0"),
        ({"reset_day": "sunday"}, "reset_day='sunday' must be one of Never, Monday"),
        ({"reset_time": 915}, 'reset_time=915 must be a time of day in quotes, as "15:15"'),
        ({"square_off": {"NYSE": "15:00"}}, "must give a time to some of NSE, BSE"),
        ({"square_off": "15:00"}, "must give a time to some of NSE, BSE"),
        ({"square_off": {"NFO": "25:00"}}, "must be a time of day in quotes"),
        ({"expiry_settlement_timing": "never"}, "must be one of expiry_day_close, next_day"),
    ],
    ids=str,
)
def test_a_setting_that_makes_no_sense_is_refused_with_its_field_and_rule(
    given: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigurationFault) as refused:
        account_settings(given)
    assert told in str(refused.value)
    (sentence,) = check_actor(NODE, {"account": given})
    assert told in sentence


def test_the_node_of_the_exchange_takes_account_settings() -> None:
    given = {"account": {"starting_capital": 500_000, "square_off": {"NFO": "15:00"}}}
    assert check_actor(NODE, given) == []
    assert make_settings(ExchangeSettings, given).account == given["account"]


def test_the_program_alone_takes_account_settings_and_names_a_wrong_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--instance", f"zerodha:0:0:{KEY}", "--account"]
    config = program._configuration([*words, "starting_capital=500000"])
    assert config.account.starting_capital == 500_000
    assert program.main([*words, "order_check_interval_s=60"]) == 2
    assert "order_check_interval_s='60' must be whole seconds from 1" in capsys.readouterr().err
    assert program.main([*words, "reset_day"]) == 2
    assert "FIELD=VALUE, not 'reset_day'" in capsys.readouterr().err


def test_an_account_begins_with_the_capital_that_was_set() -> None:
    account = account_settings({"starting_capital": 500_000, "equity_mis_leverage": 2})
    with bench(account=account) as server:
        call(base_of(server), "placeorder", BUY)
        money = call(base_of(server), "funds", {"apikey": KEY})[1]["data"]
    assert (money["utiliseddebits"], money["availablecash"]) == (4_000.0, 496_000.0)


def test_a_segment_squares_off_at_the_time_that_was_set() -> None:
    account = account_settings({"square_off": {"NSE": "14:00"}})
    with bench(account=account) as server:
        control = SandboxControl(server.control_port)
        call(base_of(server), "placeorder", BUY)
        control.advance(epoch_ns(datetime(2026, 11, 20, 14, 0, tzinfo=EXCHANGE_ZONE)))
        (position,) = call(base_of(server), "positionbook", {"apikey": KEY})[1]["data"]
        control.close()
        assert position["quantity"] == 0
        nfo = server.market.calendar("NFO").session(date(2026, 11, 20))
    assert nfo.square_off_ns == epoch_ns(datetime(2026, 11, 20, 15, 15, tzinfo=EXCHANGE_ZONE))


def test_a_square_off_outside_the_hours_of_its_segment_is_refused() -> None:
    with pytest.raises(ConfigurationFault, match="NFO squares off at 16:00, but trades from 09:15"):
        bench(account=account_settings({"square_off": {"NFO": "16:00"}}))


def change_untold(market: HandMarket, ltp: float) -> None:
    """A price of SBIN that no tick tells of."""
    listing_id = market.index.get("NSE", "SBIN").listing_id
    market._quotes[listing_id] = replace(
        market._quotes[listing_id], ltp=ltp, low=ltp, ts_ns=market.next_ns() or 0
    )


def test_a_resting_order_is_looked_at_again_after_the_interval_though_no_tick_came() -> None:
    market = HandMarket()
    with bench(market, account=account_settings({"order_check_interval_s": 10})) as server:
        control = SandboxControl(server.control_port)
        control.step(1)
        call(base_of(server), "placeorder", {**BUY, "pricetype": "LIMIT", "price": "790"})
        change_untold(market, 789.0)
        statuses = []
        for _ in range(2):
            control.step(5)
            orders = call(base_of(server), "orderbook", {"apikey": KEY})[1]["data"]["orders"]
            statuses.append(orders[0]["order_status"])
        control.close()
    assert statuses == ["open", "complete"]


@pytest.mark.parametrize(("interval_s", "told"), [(0, 805.0), (20, 800.0)])
def test_gains_are_told_at_the_prices_of_the_last_interval(interval_s: int, told: float) -> None:
    market = HandMarket()
    account = account_settings({"mtm_update_interval_s": interval_s})
    with bench(market, account=account) as server:
        control = SandboxControl(server.control_port)
        call(base_of(server), "placeorder", BUY)
        control.step(2)
        market.set("NSE", "SBIN", 805.0)
        control.step(2)
        seen = []
        for _ in range(2):
            (position,) = call(base_of(server), "positionbook", {"apikey": KEY})[1]["data"]
            seen.append(position["ltp"])
            control.step(20)
        control.close()
    assert seen == [told, 805.0]
