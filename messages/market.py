"""The market, as the control plane hears of it. Ticks, bars and chains travel on the bus as
columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from domain.intents import Leg, Refusal, ResolvedStructure
from domain.readings import ChainSummary, FreshnessMark, MarketContext, VolatilityReading
from messages.base import Message, Overflow


@dataclass(frozen=True, kw_only=True)
class SessionOpened(Message):
    """The segment trades from now on. In the sandbox's always-open mode it is told at start."""

    day: date
    opens_ns: int
    closes_ns: int
    intraday_exit_ns: int
    square_off_ns: int
    always_open: bool = False


@dataclass(frozen=True, kw_only=True)
class SessionClosed(Message):
    """The segment does not trade; `reason` is for people (weekend, a holiday's name, after the
    close).
    """

    day: date
    reason: str
    next_opens_ns: int


@dataclass(frozen=True, kw_only=True)
class InstrumentsLoaded(Message):
    """The instrument master of the day is in the database; who keeps an index reads it again."""

    broker: str
    rows: int
    day: date


@dataclass(frozen=True, kw_only=True)
class WantListings(Message):
    """To the subscription desk: `owner` wants exactly these listings (an empty tuple: none any
    more).
    """

    OVERFLOW = Overflow.NEWEST_WINS
    owner: str
    listing_ids: tuple[int, ...]
    mode: int
    pinned: bool = False

    @property
    def subject(self) -> str:
        return self.owner


@dataclass(frozen=True, kw_only=True)
class SubscribeListings(Message):
    """To a feed, then to a shard: carry exactly these listings; `modes` runs beside
    `listing_ids`.
    """

    OVERFLOW = Overflow.NEWEST_WINS
    listing_ids: tuple[int, ...]
    modes: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ShardStateChanged(Message):
    """A socket's state: connecting, authenticating, live, mute, down, refused."""

    OVERFLOW = Overflow.NEWEST_WINS
    shard: str
    broker: str
    state: str
    reason: str
    listings: int
    reconnects: int
    last_message_ns: int
    failures_in_row: int = 0

    @property
    def subject(self) -> str:
        return self.shard


@dataclass(frozen=True, kw_only=True)
class FeedStateChanged(Message):
    """A broker's feed as a whole, by its feed actor: live, degraded, mute, down, refused."""

    OVERFLOW = Overflow.NEWEST_WINS
    broker: str
    state: str
    reason: str
    connected: int
    shards: int
    listings: int
    disconnects: int
    failures_in_row: int
    last_message_ns: int

    @property
    def subject(self) -> str:
        return self.broker


@dataclass(frozen=True, kw_only=True)
class CarriageChanged(Message):
    """All listings of a feed that no socket of it carries now, and since when each is not heard
    (`since_ns` runs beside); none: all are carried.
    """

    FACT = False
    broker: str
    listing_ids: tuple[int, ...]
    since_ns: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class FeedSwitched(Message):
    """The canonical feed is another broker's from now on (`tomic.md` 11.2); entries wait 30 s."""

    from_broker: str
    to_broker: str
    reason: str
    using_fallback: bool


@dataclass(frozen=True, kw_only=True)
class AtmShifted(Message):
    """The strikes that matter of one underlying moved; the desk subscribes what chain_keeper
    wants.
    """

    underlying: str
    expiry: date
    atm_strike: float
    spot: float


@dataclass(frozen=True, kw_only=True)
class ChainSummarised(Message):
    """A chain's few numbers for the control plane, at most once a second an underlying and
    expiry.
    """

    OVERFLOW = Overflow.NEWEST_WINS
    summary: ChainSummary

    @property
    def subject(self) -> str:
        return f"{self.summary.underlying}:{self.summary.expiry}"


@dataclass(frozen=True, kw_only=True)
class FreshnessMarked(Message):
    """Ages of all data an entry depends on; past its expiry it means stale."""

    OVERFLOW = Overflow.NEWEST_WINS
    mark: FreshnessMark


@dataclass(frozen=True, kw_only=True)
class ResolveLegs(Message):
    """To chain_keeper: find real contracts for these legs; answered to `reply_to`."""

    reply_to: str
    request: str
    underlying: str
    legs: tuple[Leg, ...]
    dte_min: int
    dte_max: int
    expiry: date | None = None


@dataclass(frozen=True, kw_only=True)
class LegsResolved(Message):
    """The answer of chain_keeper: a structure on real contracts, or the refusal."""

    request: str
    structure: ResolvedStructure | None
    refusal: Refusal | None = None


@dataclass(frozen=True, kw_only=True)
class VolatilityRead(Message):
    """The volatility agent's view of one underlying changed."""

    OVERFLOW = Overflow.NEWEST_WINS
    reading: VolatilityReading

    @property
    def subject(self) -> str:
        return self.reading.underlying


@dataclass(frozen=True, kw_only=True)
class ContextChanged(Message):
    """The market context agent's snapshot, at most once a minute; news when one of its words (a
    band, a bias, a trend) is another than before.
    """

    context: MarketContext
    is_news: bool


@dataclass(frozen=True, kw_only=True)
class UniverseChanged(Message):
    """By the sniper: the shares that are looked at closely now, (exchange, name), strongest first;
    bars and chains are kept of them beside those of TOMIC_FEED_UNDERLYINGS.
    """

    day: date
    hot: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class WantWindows(Message):
    """To the bar builder: `owner` listens to bars now and has none of before."""

    OVERFLOW = Overflow.NEWEST_WINS
    owner: str

    @property
    def subject(self) -> str:
        return self.owner


@dataclass(frozen=True, kw_only=True)
class WarmStartReported(Message):
    """How the warm start of one consumer went (`tomic.md` 11.5)."""

    consumer: str
    status: str
    message: str
    bars: int
