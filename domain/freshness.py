"""Is the data fresh enough to enter? The gates of `tomic.md` 9.4, on a freshness mark.

Risk asks it before sizing, execution before sending. It blocks entries only; exits never ask.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from domain.clock import NS_PER_S
from domain.instruments import underlying_of
from domain.readings import FreshnessMark

QUOTE_AGE_MAX_S = 5.0
OPTION_AGE_MAX_S = 10.0
SWITCH_WAIT_S = 30.0
DEPTH_AGE_MAX_S = 5.0
RATIO_AGE_MAX_S = 120.0  # put-call ratio and gamma exposure
MAX_PAIN_AGE_MAX_S = 300.0
IV_WARN_AGE_S, IV_BLOCK_AGE_S = 60.0, 120.0
VIX_AGE_MAX_S = 60.0
AHEAD_MAX_S = 1.0  # what bears a later time than now was stamped before the clock was set back


@dataclass(frozen=True, slots=True)
class FreshnessReport:
    """What the gates said: codes of those that block and that warn, and a sentence for each."""

    passed: bool
    blocking: tuple[str, ...] = ()
    warning: tuple[str, ...] = ()
    details: dict[str, str] = field(default_factory=dict)


def check_freshness(
    mark: FreshnessMark | None,
    underlying: str,
    option_symbols: Iterable[str],
    *,
    premium_selling: bool,
    needs_depth: bool,
    now_ns: int,
) -> FreshnessReport:
    """All gates for an entry on `underlying` with these option legs.

    No mark, or an expired one, blocks; never seen is infinitely old. The codes are those of
    `tomic.md` 1.1 and ENTRY_GATE_CLOSED, the data gate of `data_pipeline.md` 4.
    """
    ahead_s = (mark.as_of_ns - now_ns) / NS_PER_S if mark else 0.0
    if mark is None or now_ns > mark.expires_ns or ahead_s > AHEAD_MAX_S:
        text = "no freshness mark is valid, so every quote counts as stale"
        return FreshnessReport(False, ("STALE_QUOTE",), (), {"STALE_QUOTE": text})
    name = underlying_of(underlying)
    gates = _quote_gates(mark, name, option_symbols, now_ns)
    if needs_depth:
        age_s = _price_age_s(mark, mark.depth_ns.get(name, 0), now_ns)
        if _is_old(age_s, DEPTH_AGE_MAX_S):
            gates["NO_DEPTH"] = f"depth of {name} is {_told(age_s)}, limit {DEPTH_AGE_MAX_S:g} s"
    warnings = _reading_warnings(mark, name, now_ns)
    _weigh_volatility(mark, name, now_ns, premium_selling, gates, warnings)
    details = warnings | gates
    return FreshnessReport(not gates, tuple(gates), tuple(warnings), details)


def told_ns(ticks: np.ndarray) -> np.ndarray:
    """When each price of a TICK_DTYPE batch was true: the source's own time, at the latest its
    arrival. A tick that repeats an old time makes no price younger (`openalgo.md` 7.5)."""
    moments: np.ndarray = np.minimum(ticks["ts_ns"], ticks["received_ns"])
    return moments


def last_true_ns(seen_ns: int, now_ns: int, stands_ns: int) -> int:
    """When a price was last known to be true; 0 when it was never seen.

    A live tick is true at its own moment (`stands_ns` 0). A recording has a row for each interval
    only, so a recorded price stands until the next row is due, and ages from then.
    """
    return max(seen_ns, min(now_ns, seen_ns + stands_ns)) if seen_ns else 0


def _quote_gates(
    mark: FreshnessMark, name: str, option_symbols: Iterable[str], now_ns: int
) -> dict[str, str]:
    gates: dict[str, str] = {}
    age_s = _price_age_s(mark, mark.quotes_ns.get(name, 0), now_ns)
    if _is_old(age_s, QUOTE_AGE_MAX_S):
        gates["STALE_QUOTE"] = f"quote of {name} is {_told(age_s)}, limit {QUOTE_AGE_MAX_S:g} s"
    seen = {symbol: mark.quotes_ns.get(symbol, 0) for symbol in option_symbols}
    ages = {symbol: _price_age_s(mark, at_ns, now_ns) for symbol, at_ns in seen.items()}
    stale = [
        f"{symbol} {_told(age)}" for symbol, age in ages.items() if _is_old(age, OPTION_AGE_MAX_S)
    ]
    if stale:
        gates["STALE_OPTION"] = f"{', '.join(stale)}, limit {OPTION_AGE_MAX_S:g} s"
    since_s = _age_s(mark.switched_ns, now_ns)
    if mark.switched_ns and since_s < SWITCH_WAIT_S:
        gates["FEED_SWITCHING"] = f"feed switched {since_s:.0f} s ago, wait {SWITCH_WAIT_S:g} s"
    if not mark.gate_open:
        gates["ENTRY_GATE_CLOSED"] = mark.gate_reason or "the entry gate is closed"
    return gates


def _reading_warnings(mark: FreshnessMark, name: str, now_ns: int) -> dict[str, str]:
    readings = (
        ("PCR_STALE", "put-call ratio", mark.pcr_ns, RATIO_AGE_MAX_S),
        ("GEX_STALE", "gamma exposure", mark.gex_ns, RATIO_AGE_MAX_S),
        ("MAX_PAIN_STALE", "max pain", mark.max_pain_ns, MAX_PAIN_AGE_MAX_S),
    )
    ages = [(row, _age_s(row[2].get(name, 0), now_ns)) for row in readings]
    return {
        code: f"{words} of {name} is {_told(age_s)}, limit {limit_s:g} s"
        for (code, words, _, limit_s), age_s in ages
        if _is_old(age_s, limit_s)
    }


def _weigh_volatility(
    mark: FreshnessMark,
    name: str,
    now_ns: int,
    premium_selling: bool,
    gates: dict[str, str],
    warnings: dict[str, str],
) -> None:
    iv_s = _price_age_s(mark, mark.iv_ns.get(name, 0), now_ns)
    if premium_selling and _is_old(iv_s, IV_BLOCK_AGE_S):
        text = f"implied volatility of {name} is {_told(iv_s)}, limit {IV_BLOCK_AGE_S:g} s to sell"
        gates["IV_HARD_BLOCK"] = text
    elif _is_old(iv_s, IV_WARN_AGE_S):
        warnings["IV_STALE"] = f"implied volatility of {name} is {_told(iv_s)}"
    vix_s = _price_age_s(mark, mark.vix_ns, now_ns)
    if _is_old(vix_s, VIX_AGE_MAX_S):
        target = gates if premium_selling else warnings
        target["VIX_STALE"] = f"volatility index is {_told(vix_s)}, limit {VIX_AGE_MAX_S:g} s"


def _price_age_s(mark: FreshnessMark, seen_ns: int, now_ns: int) -> float:
    return _age_s(last_true_ns(seen_ns, now_ns, mark.stands_ns), now_ns)


def _age_s(at_ns: int, now_ns: int) -> float:
    return (now_ns - at_ns) / NS_PER_S if at_ns else float("inf")


def _is_old(age_s: float, limit_s: float) -> bool:
    return not -AHEAD_MAX_S <= age_s <= limit_s


def _told(age_s: float) -> str:
    if age_s < -AHEAD_MAX_S:
        return f"stamped {-age_s:.1f} s ahead of the clock"
    return "never seen" if age_s == float("inf") else f"{age_s:.1f} s old"
