"""The last look before an order leaves: may this row still be sent, and is this broker the one."""

from __future__ import annotations

from dataclasses import dataclass

from domain.freshness import check_freshness
from domain.intents import STRATEGY_TRAITS, StrategyType
from domain.orders import CommandRow, CommandStatus, OrderRow
from domain.readings import FreshnessMark

NOT_MARKED_YET = "NOT_MARKED_YET"


@dataclass(frozen=True, slots=True)
class Held:
    """Why a row does not leave. `final` ends it; else it waits for its command's owner."""

    code: str
    text: str
    final: bool


def may_leave(
    row: OrderRow,
    command: CommandRow,
    mark: FreshnessMark | None,
    *,
    protective: bool,
    now_ns: int,
) -> Held | None:
    """None when the row may be sent now. What protects or closes is held by nothing here.

    An entry leaves only under a live lease of a command that works and shall go on, and on fresh
    data (`style.md` 4, step 12).
    """
    if protective or row.is_exit:
        return None
    if command.abort_requested or command.status is not CommandStatus.PROCESSING:
        return Held("NOT_PROCESSING", f"command {command.command_id} is not to go on", False)
    if not command.cleared_ns:
        return Held("NOT_CLEARED", f"command {command.command_id} was not cleared", False)
    if now_ns > command.lease_expires_ns:
        return Held("LEASE_EXPIRED", f"the lease of command {command.command_id} is over", False)
    if mark is None:
        return Held(NOT_MARKED_YET, "this executor has not heard yet how fresh the data is", False)
    strategy = STRATEGY_TRAITS[StrategyType(row.strategy)] if row.strategy else None
    report = check_freshness(
        mark,
        row.underlying,
        (row.symbol,),
        premium_selling=bool(strategy and strategy.premium_selling),
        needs_depth=False,
        now_ns=now_ns,
    )
    if report.passed:
        return None
    code = report.blocking[0]
    return Held(code, report.details[code], True)
