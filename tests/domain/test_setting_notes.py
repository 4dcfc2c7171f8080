"""A key that is set in vain is told: nothing reads it yet, or it is none."""

from __future__ import annotations

import pytest

from domain.setting_notes import setting_notes, waiting
from domain.settings import all_keys


@pytest.mark.parametrize("key", sorted(waiting()))
def test_a_key_without_effect_says_what_it_will_do(key: str) -> None:
    assert setting_notes({key: "1"}) == [f"{key} has no effect yet: {waiting()[key]}"]


def test_keys_without_a_field_wait_too() -> None:
    assert waiting()["TOMIC_SECRET_KEY"].startswith("it waits for accounts at brokers")
    assert len(waiting()) == sum(bool(key.waits) for key in all_keys())


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("TOMIC_CAPITOL", "TOMIC_CAPITAL"),
        ("TOMIC_FEED_PRIMERY_WS", "TOMIC_FEED_PRIMARY_WS"),
        ("TOMIC_EXECUTION_APIKEY", "TOMIC_EXECUTION_API_KEY"),
        ("MULTI_BROKER_ALPA_URL", "MULTI_BROKER_ALPHA_URL"),
        ("MULTI_BROKER_ALPHA_API_KEY", "MULTI_BROKER_ALPHA_APIKEY"),
    ],
)
def test_a_misspelt_key_is_told_with_the_nearest_one(key: str, near: str) -> None:
    assert setting_notes({key: "1"}, ["alpha"]) == [
        f"{key} is no key and has no effect; did you mean {near}?"
    ]


def test_a_key_like_no_other_gets_no_guess() -> None:
    assert setting_notes({"TOMIC_QQQQQQ": "1"}) == ["TOMIC_QQQQQQ is no key and has no effect"]


def test_what_is_in_effect_empty_or_of_another_program_gets_no_word() -> None:
    environment = {
        "TOMIC_CAPITAL": "5", "TOMIC_API_KEY": "k", "TOMIC_DATA_DIR": "var", "TOMIC_CAPITOL": "",
        "TOMIC_ZMQ_PORT": "", "MULTI_BROKER_ALPHA_WS_URL": "ws://h", "PATH": "/bin",
    }  # fmt: skip
    assert setting_notes(environment, ["alpha"]) == []


def test_where_no_topology_is_read_any_brokers_key_will_do() -> None:
    found = setting_notes({"MULTI_BROKER_X_URL": "http://h", "MULTI_BROKER_X_URI": "http://h"})
    assert [note.split(" ")[0] for note in found] == ["MULTI_BROKER_X_URI"]
