"""The commands of the runbook and the README exist: options, routes, make targets, files."""

from __future__ import annotations

import re

import pytest

from adapters.sandbox.account_settings import account_from
from adapters.sandbox.markets import MARKET_FILE
from launch.command_line import parse
from tests.kit.source_tree import ROOT

TEXTS = {
    name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/runbook.md")
}


def found(pattern: str) -> list[str]:
    """What matches in both texts, each once."""
    return sorted({word for text in TEXTS.values() for word in re.findall(pattern, text)})


def routes() -> list[re.Pattern[str]]:
    """Every path of the interface, `{name}` standing for anything without a slash."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "web_status").rglob("*.py")]
    paths = {
        path
        for source in sources
        for path in re.findall(r'@router\.(?:get|post|delete)\(\s*"([^"]+)"', source)
    }
    return [re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in paths]


@pytest.mark.parametrize("line", found(r"python system\.py ((?:--[a-z-]+ ?)+)"))
def test_an_option_that_is_named_is_taken(line: str) -> None:
    words = []
    for option in line.split():
        words.append(option)
        if option in ("--env-file", "--replay", "--data-dir"):
            words.append("x")
    parse(words)


@pytest.mark.parametrize("path", found(r"\$URL(/[A-Za-z/<>_-]+)"))
def test_a_route_that_is_named_is_there(path: str) -> None:
    plain = re.sub(r"<\w+>", "name", path)
    assert [row for row in routes() if row.fullmatch(plain)], path


@pytest.mark.parametrize("target", found(r"`make ([a-z]+)`"))
def test_a_target_of_make_that_is_named_is_there(target: str) -> None:
    assert f"\n{target}:" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_every_link_leads_to_a_file() -> None:
    for name, text in TEXTS.items():
        folder = (ROOT / name).parent
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            if "://" not in target:
                assert (folder / target).exists(), f"{name}: {target}"


def test_the_sandbox_takes_the_account_that_is_named() -> None:
    line = next(
        row for row in TEXTS["docs/runbook.md"].splitlines() if "-m adapters.sandbox" in row
    )
    account = account_from(re.findall(r"--account ([^ `]+)", line))
    assert str(account.starting_capital) == "500000"
    assert f"{account.square_off['NFO']:%H:%M}" == "15:00"


def test_the_file_of_the_lived_market_bears_the_name_that_is_given() -> None:
    assert f"var/sandbox/{MARKET_FILE}" in TEXTS["README.md"]
