"""Telegram: alerts to one chat by a bot (Bot API, sendMessage).

The bot's token is part of the path. So no exception leaves this module, since the texts of requests
and urllib3 carry the URL, and what urllib3 logs is cleaned of the token.
"""

from __future__ import annotations

import json
import logging
from typing import Any

import requests
import urllib3

from adapters.ports import Delivery

TIMEOUTS_S = (3.0, 5.0)  # to connect, to answer
ANSWER_BYTES_MAX = 65_536
REASON_CHARACTERS_MAX = 200
LASTING = (400, 401, 403, 404)  # no such bot, no such chat, blocked by the person


class Telegram:
    """One bot and one chat. `url` is the server's root."""

    def __init__(self, url: str, token: str, chat_id: str) -> None:
        self._url, self._token, self._chat_id = url.rstrip("/"), token, chat_id
        logging.getLogger("urllib3.connectionpool").addFilter(self._clean)

    def send(self, text: str) -> Delivery:
        """One attempt. After a time-out the message may have arrived: it may come twice, it is not
        lost."""
        body = {"chat_id": self._chat_id, "text": text, "disable_web_page_preview": True}
        try:
            with requests.Session() as session:
                session.trust_env = False  # no .netrc or proxy of the surroundings
                return self._post(session, body)
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as failure:
            return Delivery(False, f"no answer ({type(failure).__name__})")

    def _post(self, session: requests.Session, body: dict[str, Any]) -> Delivery:
        with session.post(
            f"{self._url}/bot{self._token}/sendMessage",
            json=body,
            timeout=TIMEOUTS_S,
            allow_redirects=False,
            stream=True,
        ) as response:
            status = response.status_code
            answer = _parsed(next(response.iter_content(ANSWER_BYTES_MAX), b""))
        if status == 200 and answer.get("ok") is True:
            return Delivery(True)
        said = self._masked(str(answer.get("description", "")))[:REASON_CHARACTERS_MAX]
        return Delivery(False, f"HTTP {status} {said}".strip(), _wait_s(answer), status in LASTING)

    def _masked(self, text: str) -> str:
        return text.replace(self._token, "***") if self._token else text

    def _clean(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._masked(record.getMessage()), ()
        return True


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _wait_s(answer: dict[str, Any]) -> float:
    """What a 429 asks for: parameters.retry_after, seconds."""
    parameters = answer.get("parameters")
    wait_s = parameters.get("retry_after") if isinstance(parameters, dict) else 0
    usable = isinstance(wait_s, (int, float)) and 0 <= wait_s < float("inf")
    return float(wait_s) if usable else 0.0
