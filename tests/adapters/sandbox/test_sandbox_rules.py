"""The exchange's rules, without sockets: fills, margin, the day, what lasts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.sandbox.account import Account
from adapters.sandbox.account_settings import AccountSettings
from adapters.sandbox.books import Order, Refusal, Ticket
from adapters.sandbox.clocks import SteppedClock
from adapters.sandbox.config import parse_instance
from adapters.sandbox.day import keep_appointments
from adapters.sandbox.exchange import Exchange
from adapters.sandbox.hours import shipped_calendars
from adapters.sandbox.market import Market
from adapters.sandbox.store import Store
from domain.clock import EXCHANGE_ZONE, NS_PER_S, epoch_ns
from domain.errors import ConfigurationFault, DatabaseTooNew, StorageFailure
from launch.build import read_calendars
from tests.kit.sandbox_bench import MONTHLY, START_NS, WEEKLY, HandMarket

CALL = "NIFTY26NOV2625950CE"  # 180 in the bench's market: 30 inside, 150 of time value
FUTURE = "NIFTY29DEC26FUT"


class Floor:
    """One exchange, its market and its clock."""

    def __init__(
        self,
        path: Path | None = None,
        settings: AccountSettings | None = None,
        always_open: bool = False,
        start_ns: int = START_NS,
    ) -> None:
        self.source = HandMarket()
        self.clock = SteppedClock(start_ns)
        market = Market(self.source, self.clock, shipped_calendars(), always_open=always_open)
        self.account = Account(settings or AccountSettings(), 0)
        self.exchange = Exchange(self.account, market, Store(path))

    def place(self, **terms: object) -> Order:
        outcome = self.try_to_place(**terms)
        assert isinstance(outcome, Order), outcome
        return outcome

    def refuse(self, **terms: object) -> Refusal:
        outcome = self.try_to_place(**terms)
        assert isinstance(outcome, Refusal), outcome
        return outcome

    def try_to_place(self, **terms: object) -> Order | Refusal:
        base = {
            "strategy": "t",
            "exchange": "NSE",
            "symbol": "SBIN",
            "action": "BUY",
            "quantity": 10,
        }
        return self.exchange.place(Ticket(**{**base, **terms}))

    def trade(
        self, ltp: float, symbol: str = "SBIN", exchange: str = "NSE", **numbers: float
    ) -> None:
        self.clock.move(self.clock.now_ns() + NS_PER_S)
        self.source.set(exchange, symbol, ltp, **numbers)
        self.exchange.on_ticks(self.source.advance(self.clock.now_ns()))

    def go_to(self, *moment: int) -> None:
        self.clock.move(epoch_ns(datetime(*moment, tzinfo=EXCHANGE_ZONE)))
        keep_appointments(self.exchange)

    def quantity(self, symbol: str = "SBIN", exchange: str = "NSE", product: str = "MIS") -> int:
        return self.account.position(exchange, symbol, product).quantity


# -- fills


def test_a_market_buy_pays_the_ask_and_a_market_sell_gets_the_bid() -> None:
    floor = Floor()
    assert floor.place().average_price == Decimal("800.05")
    assert floor.place(action="SELL").average_price == Decimal("799.95")


def test_a_market_order_takes_the_last_price_when_its_side_is_empty() -> None:
    floor = Floor()
    floor.trade(801.0, ask=0.0)
    assert floor.place().average_price == Decimal(801)


def test_a_limit_buy_rests_until_the_last_price_reaches_it_and_fills_at_its_limit() -> None:
    floor = Floor()
    order = floor.place(price_type="LIMIT", price=Decimal("798.50"))
    floor.trade(798.55)
    assert order.status == "open"
    floor.trade(798.0)
    assert (order.status, order.average_price) == ("complete", Decimal("798.50"))


@pytest.mark.parametrize(
    ("action", "kind"),
    [("BUY", "LIMIT"), ("SELL", "LIMIT"), ("BUY", "SL-M"), ("SELL", "SL-M")],
)
def test_a_price_that_is_just_reached_is_reached(action: str, kind: str) -> None:
    floor = Floor()
    at = Decimal(798 if (action, kind) in (("BUY", "LIMIT"), ("SELL", "SL-M")) else 802)
    order = floor.place(action=action, price_type=kind, price=at, trigger_price=at)
    assert order.status != "complete"
    floor.trade(float(at))
    assert (order.status, order.average_price) == ("complete", at)


def test_a_limit_sell_that_the_market_already_pays_fills_at_once() -> None:
    order = Floor().place(action="SELL", price_type="LIMIT", price=Decimal(799))
    assert (order.status, order.average_price) == ("complete", Decimal(799))


def test_a_stop_limit_triggers_first_and_fills_at_the_last_price_when_the_limit_allows() -> None:
    floor = Floor()
    terms = {"price_type": "SL", "trigger_price": Decimal(802), "price": Decimal(803)}
    order = floor.place(**terms)
    assert order.status == "trigger pending"
    floor.trade(804.0)
    assert order.status == "open"
    floor.trade(802.5)
    assert (order.status, order.average_price) == ("complete", Decimal("802.5"))


def test_a_stop_limit_whose_trigger_is_met_already_starts_open() -> None:
    terms = {"price_type": "SL", "trigger_price": Decimal(790), "price": Decimal(795)}
    assert Floor().place(**terms).status == "open"


def test_a_stop_market_sell_fills_at_the_last_price_once_the_trigger_trades() -> None:
    floor = Floor()
    order = floor.place(action="SELL", price_type="SL-M", trigger_price=Decimal(798))
    floor.trade(798.05)
    assert order.status == "trigger pending"
    floor.trade(797.4)
    assert (order.status, order.average_price) == ("complete", Decimal("797.4"))


def test_prices_that_a_type_does_not_use_are_dropped() -> None:
    floor = Floor()
    both = {"price": Decimal(1), "trigger_price": Decimal(790)}
    limit = floor.place(price_type="LIMIT", **both)
    stop = floor.place(action="SELL", price_type="SL-M", **both)
    market = floor.place(**both)
    assert (limit.trigger_price, stop.price, market.trigger_price) == (0, 0, 0)
    assert market.price == Decimal(800)


def test_a_last_price_outside_the_days_own_range_fills_nothing() -> None:
    floor = Floor()
    order = floor.place(price_type="LIMIT", price=Decimal(700))
    floor.trade(699.0, low=795.0)
    assert order.status == "open"
    floor.trade(699.0)
    assert order.status == "complete"


def test_a_quote_older_than_thirty_seconds_moves_no_resting_order() -> None:
    floor = Floor()
    floor.clock.move(START_NS + 31 * NS_PER_S)
    assert floor.place(price_type="LIMIT", price=Decimal(900)).status == "open"
    assert Floor().place(price_type="LIMIT", price=Decimal(900)).status == "complete"


def test_an_order_fills_exactly_once_however_many_ticks_race() -> None:
    floor = Floor()
    floor.place(price_type="LIMIT", price=Decimal(798))
    for ltp in (797.0, 796.0, 797.5):
        floor.source.set("NSE", "SBIN", ltp)
    floor.clock.move(START_NS + NS_PER_S)
    floor.exchange.on_ticks(floor.source.advance(START_NS + NS_PER_S))
    assert (len(floor.account.trades), floor.quantity()) == (1, 10)


# -- refusals


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        ({"symbol": "NOPE"}, "Symbol NOPE not found on NSE"),
        (
            {"symbol": "NIFTY", "exchange": "NSE_INDEX", "quantity": 65},
            "Symbol NIFTY on NSE_INDEX is an index and cannot be traded",
        ),
        ({"price_type": "LIMIT"}, "LIMIT orders require price"),
        ({"price_type": "SL", "trigger_price": Decimal(1)}, "SL orders require price"),
        ({"price_type": "SL", "price": Decimal(1)}, "SL orders require trigger_price"),
        ({"price_type": "SL-M"}, "SL-M orders require trigger_price"),
        (
            {"exchange": "NFO", "symbol": CALL, "quantity": 64},
            "Quantity must be in multiples of lot size 65",
        ),
        (
            {"product": "NRML"},
            "NRML product not allowed for NSE equity segment. "
            "Use CNC for delivery or MIS for intraday.",
        ),
        (
            {"exchange": "NFO", "symbol": CALL, "quantity": 65, "product": "CNC"},
            "CNC product not allowed for NFO derivatives segment. "
            "Use NRML for carryforward or MIS for intraday.",
        ),
        (
            {"symbol": "NOQUOTE"},
            "Cannot place MARKET order for NOQUOTE - unable to fetch current price. "
            "Please try again later or use LIMIT order with a specific price.",
        ),
        (
            {"quantity": 1_000_000, "product": "CNC"},
            "Insufficient funds. Required: ₹800000000.00, Available: ₹10000000.00, "
            "Shortage: ₹790000000.00",
        ),
    ],
)
def test_an_order_that_breaks_a_rule_is_refused_in_the_known_words(
    terms: dict[str, object], text: str
) -> None:
    floor = Floor()
    assert floor.refuse(**terms).message == text
    assert not floor.account.orders


def test_a_delivery_sell_without_shares_is_recorded_as_rejected() -> None:
    floor = Floor()
    refused = floor.refuse(action="SELL", product="CNC")
    assert refused.message.startswith(
        "Cannot sell SBIN in CNC. No positions or holdings available."
    )
    assert floor.account.orders[refused.order_id].status == "rejected"


def test_a_delivery_sell_beyond_the_shares_counts_what_other_sells_promise() -> None:
    floor = Floor()
    floor.place(product="CNC", quantity=5)
    text = (
        "Cannot sell 10 shares of SBIN in CNC. Only 5 shares available (Position: 5, Holdings: 0)"
    )
    assert floor.refuse(action="SELL", product="CNC").message == text
    floor.place(action="SELL", product="CNC", quantity=5, price_type="LIMIT", price=Decimal(900))
    assert "Only 0 shares" in floor.refuse(action="SELL", product="CNC", quantity=1).message


# -- margin and money


@pytest.mark.parametrize(
    ("terms", "blocked"),
    [
        ({"product": "CNC"}, "8000"),  # 10 x 800
        ({"product": "MIS"}, "1600"),  # a fifth of it
        ({"action": "SELL"}, "1600"),
        ({"exchange": "NFO", "symbol": FUTURE, "quantity": 65, "product": "NRML"}, "169000"),
        (
            {"exchange": "NFO", "symbol": CALL, "quantity": 65, "product": "NRML"},
            "11700",
        ),  # 65 x 180
        (
            {
                "exchange": "NFO",
                "symbol": CALL,
                "quantity": 65,
                "product": "NRML",
                "action": "SELL",
            },
            "11700",
        ),
        ({"price_type": "LIMIT", "price": Decimal(700)}, "1400"),
        ({"action": "SELL", "price_type": "SL-M", "trigger_price": Decimal(750)}, "1500"),
    ],
)
def test_an_order_blocks_quantity_times_reference_price_over_leverage(
    terms: dict[str, object], blocked: str
) -> None:
    floor = Floor()
    floor.place(**terms)
    assert floor.account.used == Decimal(blocked)


def test_an_order_against_a_position_blocks_only_beyond_flat() -> None:
    floor = Floor()
    floor.place(quantity=10)
    order = floor.place(action="SELL", quantity=15, price_type="LIMIT", price=Decimal(900))
    assert (order.opening_quantity, order.blocked) == (5, Decimal(900))  # 5 x 900 / 5
    second = floor.place(action="SELL", quantity=10, price_type="LIMIT", price=Decimal(900))
    assert second.opening_quantity == 10


def test_a_cancel_releases_exactly_what_was_blocked() -> None:
    floor = Floor()
    order = floor.place(price_type="LIMIT", price=Decimal("777.77"))
    assert floor.account.available == Decimal("10000000.00") - Decimal("1555.54")
    floor.exchange.cancel(order.order_id)
    assert floor.account.available == Decimal("10000000.00")


def test_a_modify_blocks_anew_and_matches_at_once() -> None:
    floor = Floor()
    order = floor.place(price_type="LIMIT", price=Decimal(700))
    changed = Ticket("t", "NSE", "SBIN", "BUY", 20, "LIMIT", price=Decimal(750))
    floor.exchange.modify(order.order_id, changed)
    assert order.blocked == Decimal(3000)  # 20 x 750 / 5
    floor.exchange.modify(order.order_id, replace(changed, price=Decimal(805)))
    assert (order.status, order.average_price) == ("complete", Decimal(805))


def test_closing_half_releases_half_the_margin_and_books_the_gain_into_cash() -> None:
    floor = Floor()
    floor.place()  # 10 at 800.05, 1600 blocked
    floor.trade(810.0)
    floor.place(action="SELL", quantity=5)  # at 809.95: 9.90 x 5
    assert floor.account.used == Decimal(800)
    assert floor.account.ledger.realized_today == Decimal("49.50")
    assert floor.account.available == Decimal("10000000.00") + Decimal("49.50") - 800


def test_a_reversal_closes_then_opens_at_the_new_price() -> None:
    floor = Floor()
    floor.place()
    floor.trade(810.0)
    floor.place(action="SELL", quantity=30)
    position = floor.account.position("NSE", "SBIN", "MIS")
    assert (position.quantity, position.average_price) == (-20, Decimal("809.95"))
    assert position.margin == Decimal(3240)  # 20 x 810 / 5
    assert floor.account.ledger.realized_today == Decimal("99.00")


def test_a_reducing_order_whose_position_is_gone_blocks_before_it_fills() -> None:
    floor = Floor()
    floor.place()
    order = floor.place(action="SELL", price_type="LIMIT", price=Decimal(802))
    floor.exchange.close_position("t", ("NSE", "SBIN", "MIS"))
    floor.trade(803.0)
    assert order.status == "complete"
    assert floor.account.used == Decimal(1604)  # 10 x 802 / 5


SYMBOLS = st.sampled_from([("NSE", "SBIN", 1), ("NFO", CALL, 65), ("NFO", FUTURE, 65)])
STEPS = st.lists(
    st.tuples(
        SYMBOLS,
        st.sampled_from(["BUY", "SELL"]),
        st.integers(1, 4),
        st.sampled_from(["MARKET", "LIMIT", "SL-M"]),
        st.integers(-30, 30),
    ),
    max_size=25,
)


@given(STEPS)
def test_what_is_free_and_what_is_blocked_always_add_up_to_capital_and_gains(
    steps: list[tuple[tuple[str, str, int], str, int, str, int]],
) -> None:
    floor = Floor()
    for (exchange, symbol, lot), action, lots, kind, move in steps:
        row = floor.source.index.get(exchange, symbol)
        ltp = round(max(1.0, floor.source.quote(row.listing_id).ltp + move), 2)
        floor.try_to_place(
            exchange=exchange, symbol=symbol, action=action, quantity=lots * lot, price_type=kind,
            price=Decimal(str(ltp)), trigger_price=Decimal(str(ltp)),
        )  # fmt: skip
        floor.trade(ltp, symbol, exchange)
    account = floor.account
    gains = account.ledger.realized_total
    assert account.available + account.used == Decimal("10000000.00") + gains
    for position in account.positions.values():
        assert position.margin >= 0
        if position.quantity == 0:
            assert position.margin == 0
    for order in account.orders.values():
        assert order.blocked == 0 or order.is_working
    for order in list(account.working.values()):
        floor.exchange.cancel(order.order_id)
    for position in list(account.positions.values()):
        if position.quantity:
            floor.exchange.close_position("t", position.key)
    assert account.used == 0


# -- the day


def test_intraday_orders_end_and_positions_close_at_the_segments_square_off() -> None:
    floor = Floor()
    floor.place()
    resting = floor.place(price_type="LIMIT", price=Decimal(700))
    floor.place(product="CNC")
    floor.go_to(2026, 11, 20, 15, 14)
    assert (floor.quantity(), resting.status) == (10, "open")
    floor.go_to(2026, 11, 20, 15, 15)
    assert (floor.quantity(), resting.status) == (0, "cancelled")
    assert floor.quantity(product="CNC") == 10


def test_prices_rest_once_the_listed_segments_closed_whatever_commodities_do() -> None:
    floor = Floor()
    market = floor.exchange.market
    assert market.is_trading()
    floor.go_to(2026, 11, 20, 16, 0)
    assert market.calendars["MCX"].is_open(market.now_ns())
    assert not market.is_trading()


def test_the_exchange_alone_keeps_the_same_hours_as_the_runtime(root: Path) -> None:
    alone, runtime = shipped_calendars(), read_calendars(root / "calendars")
    assert {name: alone[name] for name in runtime} == runtime
    assert set(runtime) == {"NSE", "BSE", "NFO", "BFO", "MCX"}
    assert alone["NFO"].session(date(2026, 2, 1)) is not None


def test_an_intraday_order_after_square_off_is_refused_unless_it_reduces() -> None:
    floor = Floor()
    floor.go_to(2026, 11, 20, 15, 16)
    text = (
        "MIS orders cannot be placed after square-off time (15:15 IST). "
        "Trading resumes at 09:00 AM IST."
    )
    assert floor.refuse().message == text
    floor.go_to(2026, 11, 21, 8, 59)
    assert floor.refuse().message == text
    floor.go_to(2026, 11, 23, 9, 0)
    floor.place()


def test_a_reducing_intraday_order_passes_after_square_off() -> None:
    floor = Floor(always_open=True)
    floor.place()
    floor.exchange.market.always_open = False
    floor.clock.move(epoch_ns(datetime(2026, 11, 20, 15, 16, tzinfo=EXCHANGE_ZONE)))
    assert floor.place(action="SELL").status == "complete"


def test_an_always_open_market_squares_nothing_off() -> None:
    floor = Floor(always_open=True)
    floor.place()
    floor.go_to(2026, 11, 20, 22, 0)
    assert floor.quantity() == 10
    floor.place()


def test_a_square_off_missed_while_down_is_done_at_the_next_start(tmp_path: Path) -> None:
    floor = Floor(tmp_path / "books.sqlite3")
    floor.place()
    floor.exchange.close()
    late = epoch_ns(datetime(2026, 11, 23, 9, 30, tzinfo=EXCHANGE_ZONE))
    next_life = Floor(tmp_path / "books.sqlite3", start_ns=late)
    assert next_life.quantity() == 10
    keep_appointments(next_life.exchange)
    assert next_life.quantity() == 0


@pytest.mark.parametrize(("how", "gain"), [("ltp", "4250.72"), ("zero", "-11703.25")])
def test_expired_options_are_settled_at_the_close_of_their_day(how: str, gain: str) -> None:
    floor = Floor(settings=AccountSettings(option_expiry_settlement=how))
    terms = {"exchange": "NFO", "symbol": CALL, "product": "NRML"}
    floor.place(**terms, quantity=65)  # 65 at 180.05
    resting = floor.place(**terms, quantity=65, price_type="LIMIT", price=Decimal(1))
    floor.go_to(WEEKLY.year, WEEKLY.month, WEEKLY.day, 15, 39)
    floor.trade(245.4457, CALL, "NFO")
    assert floor.quantity(CALL, "NFO", "NRML") == 65
    floor.go_to(WEEKLY.year, WEEKLY.month, WEEKLY.day, 15, 40)
    assert (floor.quantity(CALL, "NFO", "NRML"), resting.status) == (0, "cancelled")
    # (245.4457 - 180.05) x 65 = 4250.72; at zero it is the whole premium
    assert floor.account.ledger.realized_total == Decimal(gain)
    assert floor.account.used == 0


def test_settlement_can_wait_for_the_next_day() -> None:
    floor = Floor(settings=AccountSettings(expiry_settlement_timing="next_day"))
    floor.place(exchange="NFO", symbol=FUTURE, quantity=65, product="NRML")
    floor.go_to(MONTHLY.year, MONTHLY.month, MONTHLY.day, 23, 59)
    assert floor.quantity(FUTURE, "NFO", "NRML") == 65
    floor.go_to(MONTHLY.year, MONTHLY.month, MONTHLY.day + 1, 0, 1)
    assert floor.quantity(FUTURE, "NFO", "NRML") == 0


def test_an_expired_contract_cannot_be_traded() -> None:
    floor = Floor()
    floor.go_to(2026, 11, 27, 10, 0)
    refused = floor.refuse(exchange="NFO", symbol=CALL, quantity=65, product="NRML")
    assert refused.message == f"Symbol {CALL} on NFO has expired"


def test_delivery_makes_a_holding_on_the_next_trading_day_and_a_sale_leaves_it_a_day_later() -> (
    None
):
    floor = Floor()
    floor.place(product="CNC")  # 10 at 800.05 on a Friday
    floor.go_to(2026, 11, 21, 12, 0)
    assert not floor.account.holdings
    floor.go_to(2026, 11, 23, 9, 30)
    holding = floor.account.holdings[("NSE", "SBIN")]
    assert (holding.quantity, holding.average_price) == (10, Decimal("800.05"))
    assert floor.quantity(product="CNC") == 0
    floor.trade(820.0)
    floor.place(action="SELL", product="CNC", quantity=4)  # at 819.95
    assert floor.quantity(product="CNC") == -4
    assert "Only 6 shares" in floor.refuse(action="SELL", product="CNC", quantity=7).message
    floor.go_to(2026, 11, 25, 9, 30)
    assert floor.account.holdings[("NSE", "SBIN")].quantity == 6
    assert floor.account.ledger.realized_total == Decimal("79.60")  # 19.90 x 4
    assert floor.account.used == Decimal(4800)  # six tenths of 8000


def test_books_show_one_day_that_rolls_at_three_in_the_morning() -> None:
    floor = Floor()
    keep_appointments(floor.exchange)
    floor.place()
    floor.place(action="SELL")
    floor.go_to(2026, 11, 21, 2, 59)
    assert len(floor.account.orders) == 2
    assert floor.account.ledger.realized_today == Decimal("-1.00")
    floor.go_to(2026, 11, 21, 3, 0)
    assert not floor.account.orders
    assert not floor.account.trades
    assert not floor.account.positions
    assert floor.account.ledger.realized_today == 0
    assert floor.account.ledger.realized_total == Decimal("-1.00")


def test_the_weekly_reset_comes_once_on_its_day() -> None:
    floor = Floor(settings=AccountSettings(reset_day="Sunday"))
    floor.place()
    floor.go_to(2026, 11, 21, 23, 59)
    assert floor.account.ledger.reset_count == 0
    floor.go_to(2026, 11, 22, 0, 0)
    floor.go_to(2026, 11, 22, 0, 1)
    assert floor.account.ledger.reset_count == 1
    assert floor.account.available == Decimal("10000000.00")


# -- what lasts


def test_everything_survives_a_restart_and_a_resting_order_fills_in_the_next_life(
    tmp_path: Path,
) -> None:
    path = tmp_path / "books.sqlite3"
    floor = Floor(path)
    floor.place(quantity=3)
    floor.place(exchange="NFO", symbol=CALL, quantity=65, product="NRML", action="SELL")
    resting = floor.place(price_type="LIMIT", price=Decimal("798.35"))
    before = (floor.account.available, floor.account.positions, floor.account.trades)
    floor.exchange.close()

    again = Floor(path)
    assert (again.account.available, again.account.positions, again.account.trades) == before
    assert again.account.orders[resting.order_id] == resting
    again.trade(798.0)
    assert again.account.orders[resting.order_id].average_price == Decimal("798.35")
    assert again.place().order_id > resting.order_id


def test_a_reset_clears_the_file_too_and_gives_no_id_twice(tmp_path: Path) -> None:
    path = tmp_path / "books.sqlite3"
    floor = Floor(path)
    first = floor.place()
    floor.exchange.reset()
    floor.exchange.close()
    again = Floor(path)
    assert not again.account.orders
    assert not again.account.positions
    assert again.account.available == Decimal("10000000.00")
    assert again.place().order_id != first.order_id


def test_books_that_cannot_be_written_are_a_storage_failure(tmp_path: Path) -> None:
    path = tmp_path / "books.sqlite3"
    path.write_bytes(b"this is no database, and long enough to be looked at as one" * 20)
    with pytest.raises(StorageFailure, match=r"books\.sqlite3"):
        Floor(path)


def test_books_of_a_newer_version_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "books.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(DatabaseTooNew):
        Floor(path)


def test_the_same_steps_give_the_same_ids_and_fills() -> None:
    def one_run() -> list[tuple[str, str, Decimal]]:
        floor = Floor()
        floor.place()
        floor.place(price_type="LIMIT", price=Decimal(799), action="SELL")
        floor.trade(805.0)
        return [(row.order_id, row.trade_id, row.price) for row in floor.account.trades]

    first = one_run()
    assert first == one_run()
    assert first[0][0] == "26112010000001"
    assert first[0][1].startswith("TRADE-20261120-100000-")


def test_a_bad_instance_is_refused_without_repeating_its_key() -> None:
    with pytest.raises(ConfigurationFault) as refused:
        parse_instance("zerodha:5502:x:topsecret")
    assert "topsecret" not in str(refused.value)
    assert "topsecret" not in repr(parse_instance("zerodha:5502:8867:topsecret"))
