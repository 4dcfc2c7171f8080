"""`--verify-journal`: whether the journal of a data folder is what was written. Starts nothing,
changes nothing, and may run beside a running system."""

from __future__ import annotations

import argparse
from pathlib import Path

from domain.setting_table import DATA_DIR
from domain.settings import read_settings
from launch.build import DATABASES
from launch.configuration import DEFAULT_FOLDER
from launch.environment import read_environment
from persistence.journal_check import prove
from persistence.tape import prove_tapes


def verify_journal(arguments: argparse.Namespace) -> tuple[bool, list[str]]:
    """Whether it is whole, and the lines that say so."""
    variables = read_environment(Path(arguments.env_file))
    url = read_settings(variables).database_url
    folder = Path(arguments.data_dir or variables.get(DATA_DIR) or DEFAULT_FOLDER).resolve()
    if url:
        return _both(prove(url), prove_tapes(folder))
    file = folder / DATABASES["journal"]
    if not file.exists():
        return False, [f"there is no journal in {folder} (--data-dir names another folder)"]
    return _both(prove(f"sqlite:///{file}"), prove_tapes(folder))


def _both(*found: tuple[bool, list[str]]) -> tuple[bool, list[str]]:
    return all(whole for whole, _ in found), [line for _, lines in found for line in lines]
