"""Fault switches of the test bench: what goes wrong, for which call, how often, how long.

A switch with `nth` strikes the n-th matching call from when it was thrown, and no other; with
`times` the first that many; without either every one, until it is off or `for_s` is over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

PLACING = frozenset(
    {
        "placeorder", "placesmartorder", "basketorder", "splitorder", "optionsorder",
        "optionsmultiorder", "closeposition",
    }
)  # fmt: skip
ORDER_WRITES = PLACING | {"modifyorder", "cancelorder", "cancelallorder"}
BOOK = frozenset({"orderbook"})
LASTING = frozenset({"delay", "late_book", "timeout_before_accept", "timeout_after_accept"})

# What each does, and the endpoints it strikes when the switch names none (None: every endpoint).
FAULTS: dict[str, tuple[str, frozenset[str] | None]] = {
    "delay": ("answers come for_s later (1 s when not given)", None),
    "timeout_before_accept": ("the call is never carried out nor answered", ORDER_WRITES),
    "timeout_after_accept": ("the call is carried out, the answer never comes", ORDER_WRITES),
    "connection_reset": ("the connection is reset before the call is carried out", None),
    "http_429": ("too many requests; the call is not carried out", None),
    "http_500": ("an unexpected error; the call is not carried out", None),
    "http_502": ("a gateway's page answers; the call is carried out behind it", None),
    "empty_answer": ("the call is carried out, its answer has no content", None),
    "reject": ("an order (with nth: the n-th order or leg) is refused in words", PLACING),
    "drop_ids": ("orders are taken, the answer carries no order id", PLACING),
    "lose_leg": ("leg nth (1 when not given) of many is not placed nor answered", PLACING),
    "late_book": ("the order book is that of for_s ago (5 s when not given)", BOOK),
    "late_fill": ("an order that could fill at once rests until the next look at it", None),
    "partial_fill": ("an order fills in part, and the rest of it at the next look", None),
    "duplicate_fill": ("a fill is reported twice: order update and trade book", None),
    "mute_feed": ("sockets stay open, no market data goes out", None),
    "drop_socket": ("sockets are reset, new ones are refused while it is on", None),
    "expire_key": ("the API key is refused", None),
}  # fmt: skip


@dataclass(slots=True)
class Switch:
    """One fault that is on."""

    fault: str
    nth: int = 0
    times: int = 0
    for_s: float = 0.0
    instance: str = ""
    endpoint: str = ""
    ends_at_s: float = 0.0
    seen: int = 0
    struck: int = 0

    def concerns(self, instance: str, endpoint: str) -> bool:
        """True when the switch looks at this call at all."""
        if self.instance and self.instance != instance:
            return False
        if self.endpoint:
            return self.endpoint == endpoint
        scope = FAULTS[self.fault][1]
        return scope is None or not endpoint or endpoint in scope

    def strikes(self) -> bool:
        """Counts a call and says whether it is hit."""
        self.seen += 1
        among_the_first = not self.times or self.struck < self.times
        hit = self.seen == self.nth if self.nth else among_the_first
        self.struck += hit
        return hit


class FaultBoard:
    """All switches of all instances."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._on: dict[str, Switch] = {}

    def throw(self, switch: Switch) -> None:
        """Switches a fault on; one that is on already starts anew."""
        if switch.for_s and switch.fault not in LASTING:
            switch.ends_at_s = self._monotonic_s() + switch.for_s
        self._on[switch.fault] = switch

    def off(self, fault: str) -> None:
        """Switches a fault off; harmless when it is not on."""
        self._on.pop(fault, None)

    def strike(self, fault: str, instance: str, endpoint: str = "") -> Switch | None:
        """Counts this call against the switch; the switch when it is hit."""
        switch = self._find(fault)
        if switch is None or not switch.concerns(instance, endpoint):
            return None
        return switch if switch.strikes() else None

    def is_on(self, fault: str, instance: str) -> bool:
        """True while a lasting fault holds for the instance; counts nothing."""
        switch = self._find(fault)
        return switch is not None and switch.concerns(instance, "")

    def leg_lost(self, instance: str, endpoint: str, leg: int) -> bool:
        """True when this leg is to be lost; a leg's number is its place, not a count."""
        switch = self._find("lose_leg")
        if switch is None or not switch.concerns(instance, endpoint) or leg != (switch.nth or 1):
            return False
        if switch.times and switch.struck >= switch.times:
            return False
        switch.struck += 1
        return True

    def report(self) -> list[dict[str, object]]:
        """Every fault with its meaning and its state."""
        rows: list[dict[str, object]] = []
        for name, (meaning, _) in FAULTS.items():
            row: dict[str, object] = {"fault": name, "meaning": meaning, "on": False}
            switch = self._find(name)
            if switch:
                row.update(
                    on=True, nth=switch.nth, times=switch.times, for_s=switch.for_s,
                    instance=switch.instance, endpoint=switch.endpoint,
                    seen=switch.seen, struck=switch.struck,
                )  # fmt: skip
            rows.append(row)
        return rows

    def _find(self, fault: str) -> Switch | None:
        switch = self._on.get(fault)
        if switch and switch.ends_at_s and self._monotonic_s() >= switch.ends_at_s:
            self.off(fault)
            return None
        return switch
