"""Which order of a structure goes next: hedge before short, and never a short beyond its hedge.

`next_step` is a function of the plan, the order rows and the time, and of nothing else: an agent
that died goes on from the rows. Policies, patience and prices' ladders: `tomic.md` 8.7; the first
group of legs opens, the second follows in the size that stands, and what does not fit is settled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.clock import seconds
from domain.execution.flattening import (
    Excess,
    OrderDraft,
    Step,
    cancellable,
    flatten,
    in_flight,
)
from domain.execution.outcomes import USED_UP
from domain.execution.planning import Plan, PlannedLeg, Role, broker_lot, in_brokers_lots
from domain.execution.slicing import whole_lots
from domain.orders import CommandStatus, OrderRow, OrderStatus, Purpose

BETWEEN_STEPS_S = 0.5  # [S3]
BEGIN_WITHIN_S = 60.0  # no attempt begins later than this after the first send (`tomic.md` 8.2)
RETRY_SHORT_WITHIN_S = 5.0


# Price type and patience of each attempt. Hedges must stand within 3 s; a short rests three bars of
# a minute (`tomic.md` 8.6), never more than two ticks below its first price: its hedge stands, so
# waiting costs nothing and a worse fill would. A long rests 300 s; a cover has 3 s at MARKET.
LADDERS: dict[Role, tuple[tuple[str, float], ...]] = {
    Role.HEDGE: (("LIMIT", 1.0), ("LIMIT", 1.0), ("MARKET", 10.0)),
    Role.SHORT: (("LIMIT", 5.0), ("LIMIT", 180.0)),
    Role.LEAD: (("LIMIT", 1.5), ("LIMIT", 1.5)),
    Role.COVER: (("MARKET", 3.0),),
    Role.LONG: (("LIMIT", 5.0), ("LIMIT", 300.0)),
}
_FIRST = (Role.HEDGE, Role.LEAD, Role.LONG)


class Progress(StrEnum):
    """How far one leg is with what it wants."""

    DONE = "DONE"
    LIVE = "LIVE"
    READY = "READY"
    EXHAUSTED = "EXHAUSTED"


@dataclass(frozen=True, slots=True)
class LegProgress:
    """One leg's progress: what to send or cancel, or why there is nothing left to try."""

    leg: PlannedLeg
    progress: Progress
    draft: OrderDraft | None = None
    cancel: tuple[OrderRow, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Moment:
    """What every part of a decision looks at."""

    plan: Plan
    orders: Sequence[OrderRow]
    now_ns: int
    abort: bool
    late: bool
    last_sent_ns: int
    approved: int

    def entries(self, leg_no: int) -> list[OrderRow]:
        return [r for r in self.orders if r.leg_no == leg_no and r.purpose is Purpose.ENTRY]

    def filled(self, leg_no: int) -> int:
        return sum(row.filled_quantity for row in self.entries(leg_no))

    def net(self, leg: PlannedLeg) -> int:
        """Units that stand, in the leg's own direction, whatever took some of them away."""
        signed = sum(row.signed_filled for row in self.orders if row.leg_no == leg.leg_no)
        return signed if leg.action == "BUY" else -signed


def next_step(
    plan: Plan,
    orders: Sequence[OrderRow],
    now_ns: int,
    *,
    deadline_ns: int = 0,
    abort: bool = False,
) -> Step:
    """What to do now for an entry that the gate has cleared.

    `deadline_ns` is when it may no longer begin (0: never), `abort` that it shall not go on. The
    answer's `end` comes only when no order of the entry is in flight and either the structure
    stands in whole lots or nothing of it does.
    """
    sent = [row.sent_ns for row in orders if row.sent_ns]
    begin_by = min(sent) + seconds(BEGIN_WITHIN_S) if sent else deadline_ns
    late = bool(begin_by) and now_ns > begin_by
    approved, plan = plan.quantity, in_brokers_lots(plan, orders)
    moment = _Moment(plan, orders, now_ns, abort, late, max(sent, default=0), approved)
    if any(row.purpose is Purpose.UNWIND for row in orders):
        return _settle(moment, "unwinding")
    groups = _groups(plan)
    for number, group in enumerate(groups):
        size = plan.quantity if number == 0 else _size(moment, groups[0])
        if size == 0:
            break
        parts = [_progress(moment, leg, _wanted(moment, leg, size)) for leg in group]
        step = _group_step(moment, parts)
        if step is not None:
            return step
    return _settle(moment, _failure(moment))


def standing_size(plan: Plan, orders: Sequence[OrderRow]) -> int:
    """Units of the structure that every leg has filled, in whole lots."""
    plan = in_brokers_lots(plan, orders)
    return _size(_Moment(plan, orders, 0, False, False, 0, plan.quantity), plan.legs)


def _groups(plan: Plan) -> list[tuple[PlannedLeg, ...]]:
    first = tuple(leg for leg in plan.legs if leg.role in _FIRST)
    second = tuple(leg for leg in plan.legs if leg.role not in _FIRST)
    return [group for group in (first, second) if group]


def _size(moment: _Moment, legs: Iterable[PlannedLeg]) -> int:
    """The largest size, in whole lots, that every one of these legs has filled."""
    return min(whole_lots(moment.filled(leg.leg_no) // leg.ratio, leg.lot_size) for leg in legs)


def _wanted(moment: _Moment, leg: PlannedLeg, size: int) -> int:
    """Units of a leg at that size; a covered short never beyond the longs that are filled."""
    wanted = size * leg.ratio
    if leg.role is not Role.SHORT or leg.naked:
        return wanted
    covers = sum(
        moment.net(other)
        for other in moment.plan.legs
        if other.action == "BUY" and other.kind == leg.kind and other.expiry >= leg.expiry
    )
    others = sum(
        moment.plan.quantity * other.ratio
        for other in moment.plan.legs
        if other.action == "SELL" and other.kind == leg.kind and other.leg_no < leg.leg_no
    )
    return whole_lots(min(wanted, covers - others), leg.lot_size)


def _progress(moment: _Moment, leg: PlannedLeg, wanted: int) -> LegProgress:
    rows = moment.entries(leg.leg_no)
    ladder = LADDERS[leg.role]
    attempts = sorted({row.attempt for row in rows})
    newest = [row for row in rows if attempts and row.attempt == attempts[-1]]
    refused = [a for a in attempts if any(_is_refused(r) for r in rows if r.attempt == a)]
    rung = max(len(attempts) - len(refused) - 1, 0)
    live = [row for row in rows if in_flight(row)]
    missing = wanted - moment.filled(leg.leg_no)
    if live:
        patience_s = ladder[min(rung, len(ladder) - 1)][1]
        return _live(moment, leg, live, patience_s)
    waiting = tuple(row for row in newest if row.status is OrderStatus.WAITING)
    if missing <= 0:
        return LegProgress(leg, Progress.DONE)
    if moment.abort or moment.late:
        return LegProgress(leg, Progress.EXHAUSTED, reason="it was given up")
    if waiting:
        number, kind = newest[0].attempt, ladder[min(rung, len(ladder) - 1)][0]
        return _ready(leg, missing, number, kind, rows, waiting)
    why = _spent(moment, leg, rows, newest, len(refused))
    step_up = len(attempts) - len(refused)
    if not why and step_up >= len(ladder):
        why = f"leg {leg.leg_no} was not filled in time"
    if why:
        return LegProgress(leg, Progress.EXHAUSTED, reason=why)
    number = attempts[-1] + 1 if attempts else 0
    return _ready(leg, missing, number, ladder[step_up][0], rows, ())


def _is_refused(row: OrderRow) -> bool:
    return row.status in (OrderStatus.REJECTED, OrderStatus.FAILED, OrderStatus.REJECTED_RISK)


def _spent(
    moment: _Moment, leg: PlannedLeg, rows: list[OrderRow], newest: list[OrderRow], refused: int
) -> str:
    """Why no further attempt may follow a refusal, empty while one may."""
    last = [row for row in newest if _is_refused(row)]
    if any(row.error_kind == "never_arrived" for row in rows):
        return f"NEVER_ARRIVED: an order of leg {leg.leg_no} is not in the broker's book"
    if not last:
        return ""
    reason = last[0].error_message or last[0].error_kind or "refused"
    is_cut = moment.plan.quantity < moment.approved and broker_lot(last[0]) > 0
    allowed = 1 if leg.role is Role.SHORT or is_cut else 0
    too_late = moment.now_ns - last[0].updated_ns > seconds(RETRY_SHORT_WITHIN_S)
    return reason if refused > allowed or too_late else ""


def _live(moment: _Moment, leg: PlannedLeg, live: list[OrderRow], patience_s: float) -> LegProgress:
    waited = moment.now_ns - min(row.sent_ns for row in live) >= seconds(patience_s)
    if leg.role is Role.COVER and waited and any(row.needs_reconcile for row in live):
        # The short stands uncovered: it is bought back, whatever became of its cover.
        return LegProgress(leg, Progress.EXHAUSTED, reason="the fate of the cover is unknown")
    overdue = [
        row for row in live if moment.abort or moment.now_ns - row.sent_ns >= seconds(patience_s)
    ]
    return LegProgress(leg, Progress.LIVE, cancel=cancellable(overdue, moment.now_ns))


def _ready(
    leg: PlannedLeg,
    quantity: int,
    attempt: int,
    price_type: str,
    rows: list[OrderRow],
    waiting: tuple[OrderRow, ...],
) -> LegProgress:
    earlier = [row.price for row in rows if row.attempt < attempt and row.price]
    draft = OrderDraft(
        leg_no=leg.leg_no,
        action=leg.action,
        quantity=quantity,
        purpose=Purpose.ENTRY,
        attempt=attempt,
        price_type=price_type,
        protective=leg.role is Role.COVER,
        guarded=leg.naked,
        first_price=earlier[0] if earlier else None,
        waiting=waiting,
    )
    return LegProgress(leg, Progress.READY, draft)


def _group_step(moment: _Moment, parts: list[LegProgress]) -> Step | None:
    """The step of one group; None when it has nothing left to do."""
    cancel = tuple(row for part in parts for row in part.cancel)
    given_up = [part for part in parts if part.progress is Progress.EXHAUSTED]
    if given_up and any(part.leg.role is Role.COVER for part in given_up):
        return None
    live = any(part.progress is Progress.LIVE for part in parts)
    if given_up and live:
        doomed = [
            row for part in parts for row in moment.entries(part.leg.leg_no) if in_flight(row)
        ]
        return Step(cancel=cancellable(doomed, moment.now_ns), phase="OPENING")
    if cancel:
        return Step(cancel=cancel, phase="OPENING")
    ready = tuple(part.draft for part in parts if part.draft and not given_up)
    if ready:
        wait_ns = moment.last_sent_ns + seconds(BETWEEN_STEPS_S)
        if moment.last_sent_ns and moment.now_ns < wait_ns:
            return Step(wait_ns=wait_ns, phase="OPENING")
        return Step(send=ready, phase="OPENING")
    return Step(phase="OPENING") if live else None


def _failed_row(moment: _Moment) -> OrderRow | None:
    """The row whose failure ended the entry; those withdrawn because of it have no kind."""
    entries = [row for row in moment.orders if row.purpose is Purpose.ENTRY]
    faulty = [row for row in entries if row.error_kind]
    faulty += [row for row in entries if row.error_message]
    return faulty[0] if faulty else None


def _failure(moment: _Moment) -> str:
    row = _failed_row(moment)
    if row:
        return f"leg {row.leg_no} {row.symbol}: {row.error_message or row.error_kind}"
    if moment.late and not moment.last_sent_ns:
        return "it waited too long to be sent"
    return "it was given up" if moment.abort else "a leg was not filled in time"


def _settle(moment: _Moment, reason: str) -> Step:
    """Brings every leg to the size that stands: working entries out, shorts back, then longs."""
    entries = [row for row in moment.orders if row.purpose is Purpose.ENTRY]
    withdraw = tuple(row for row in entries if row.status is OrderStatus.WAITING)
    if withdraw:
        return Step(withdraw=withdraw, phase="UNWINDING")
    live = [row for row in entries if in_flight(row)]
    cancel = cancellable(live, moment.now_ns)
    if cancel:
        return Step(cancel=cancel, phase="UNWINDING")
    if any(not row.needs_reconcile for row in live):
        return Step(phase="UNWINDING")
    size = _size(moment, moment.plan.legs)
    excess = [
        Excess(leg.leg_no, leg.action, moment.net(leg) - size * leg.ratio)
        for leg in moment.plan.legs
        if moment.net(leg) > size * leg.ratio
    ]
    if excess:
        stops = tuple(
            row
            for row in moment.orders
            if row.purpose is Purpose.STOP and row.status is OrderStatus.WAITING
        )
        if stops:
            return Step(withdraw=stops, phase="UNWINDING")
        return flatten(excess, moment.orders, moment.now_ns, purpose=Purpose.UNWIND)
    if live:
        return Step(phase="UNWINDING")
    if size == 0:
        row = _failed_row(moment)
        dead = row is not None and row.error_kind in USED_UP and not moment.abort
        status = CommandStatus.DEAD_LETTER if dead else CommandStatus.FAILED
        return Step(end=(status, _failure(moment) if dead else reason), phase="FAILED")
    part = "" if size == moment.approved else f"{size} of {moment.approved} units stand"
    return Step(end=(CommandStatus.DONE, part), phase="OPEN")
