"""Every exception of the product. A refusal a trader should read is a value, not an exception."""

from __future__ import annotations


class TomicError(Exception):
    """Raised by this product; never raised itself. `code` is stable, the text is for people."""

    code = "ERROR"


class ConfigurationFault(TomicError):
    """Raised when a setting, the topology or a file given by the user breaks a named rule."""

    code = "CONFIGURATION"


class BadMarketData(TomicError):
    """Raised when a market data file or frame cannot be used; names the file, the row and the
    rule.
    """

    code = "BAD_MARKET_DATA"


class UnknownListing(TomicError):
    """Raised when a symbol stands in no loaded instrument master."""

    code = "UNKNOWN_LISTING"


class IllegalTransition(TomicError):
    """Raised when a row is asked to leave a terminal state or to skip one."""

    code = "ILLEGAL_TRANSITION"


class MailboxFull(TomicError):
    """Raised by `tell` when the outbox for a target is full and its message class says refuse."""

    code = "MAILBOX_FULL"


class BrokerFailure(TomicError):
    """Raised when a call to a broker did not end in success; never raised itself."""


class NotSent(BrokerFailure):
    """Raised when not one byte of a request left: DNS failure, refused, connect time-out."""

    code = "NOT_SENT"


class OutcomeUnknown(BrokerFailure):
    """Raised when a request may have been carried out: read time-out, reset, 5xx, success without
    an id.
    """

    code = "OUTCOME_UNKNOWN"


class RateLimited(BrokerFailure):
    """Raised when a broker answered 429: the request was not taken."""

    code = "RATE_LIMITED"


class BrokerRejected(BrokerFailure):
    """Raised when a broker refused a request in words (4xx, or a body whose status is not
    success).
    """

    code = "BROKER_REJECT"


class NotAuthenticated(BrokerRejected):
    """Raised when a broker does not accept the key or the session behind it."""

    code = "NOT_AUTHENTICATED"


class DatabaseTooNew(TomicError):
    """Raised when the database was written by a newer version of this product."""

    code = "DATABASE_TOO_NEW"


class LeaseLost(TomicError):
    """Another instance took the control lease: what was decided under ours is not to be done."""

    code = "LEASE_LOST"


class StorageFailure(TomicError):
    """Raised when a row could not be made durable (disk full, read-only, locked); nothing was
    sent.
    """

    code = "STORAGE"


class BrokenTape(TomicError):
    """Raised when the record of a journaled run is not what was written; names the record's place,
    from 1 on, and what is wrong.
    """

    code = "BROKEN_TAPE"

    def __init__(self, record: int, rule: str) -> None:
        super().__init__(f"record {record}: {rule}")
