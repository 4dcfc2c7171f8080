"""The .env file, the key of the first run, and the list of settings."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from domain.errors import ConfigurationFault
from domain.setting_notes import setting_notes
from domain.settings import Settings, read_settings
from launch.configuration import env_example, mask, rows
from launch.environment import ensure_api_key, read_env_file


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_env_file_is_read_with_quotes_comments_and_export(tmp_path: Path) -> None:
    text = "# head\n\nexport A=1\nB = 'two words'\nC=\"x#y\" \nD=plain # tail\nE=\n"
    found = read_env_file(write(tmp_path / ".env", text))
    assert found == {"A": "1", "B": "two words", "C": "x#y", "D": "plain", "E": ""}


def test_a_line_that_is_no_assignment_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match="line 2: must be KEY=value"):
        read_env_file(write(tmp_path / ".env", "A=1\njust words\n"))


def test_a_missing_env_file_is_empty(tmp_path: Path) -> None:
    assert read_env_file(tmp_path / ".env") == {}


def test_the_first_run_makes_a_key_that_only_the_user_can_read(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    environment: dict[str, str] = {}
    made = ensure_api_key(environment, path)
    assert len(made) == 64
    assert read_env_file(path)["TOMIC_API_KEY"] == made == environment["TOMIC_API_KEY"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ensure_api_key(environment, path) == ""


def test_the_list_of_settings_masks_secrets_and_tells_origins() -> None:
    secret = "0123456789abcdef0123456789abcdef"
    environment = {"TOMIC_API_KEY": secret, "TOMIC_CAPITAL": "5", "TOMIC_MODE": "sandbox"}
    listed = {row[0]: row[1:] for row in rows(Settings(), environment, {"TOMIC_CAPITAL": "5"})}
    assert listed["TOMIC_API_KEY"][0] == "01***ef"
    assert listed["TOMIC_CAPITAL"][2] == ".env"
    assert listed["TOMIC_MODE"][2] == "environment"
    assert listed["TOMIC_HTTP_PORT"] == ("5010", "5010", "default", "")
    assert listed["TOMIC_ZMQ_PORT"][3] == "waits for a tree over several machines"
    assert secret not in str(listed)


def test_a_short_secret_is_hidden_whole() -> None:
    assert mask("abcd") == "***"


def test_the_shipped_example_lists_every_key(root: Path) -> None:
    assert (root / ".env.example").read_text(encoding="utf-8") == env_example()


def test_an_example_that_is_uncommented_whole_is_a_start_with_the_defaults(
    root: Path, tmp_path: Path
) -> None:
    text = (root / ".env.example").read_text(encoding="utf-8")
    keys = "".join(
        line.removeprefix("# ") + "\n"
        for line in text.splitlines()
        if re.match(r"# [A-Z][A-Z_]*=", line)
    )
    variables = read_env_file(write(tmp_path / ".env", keys))
    assert read_settings(variables) == Settings()
    assert not any(" is no key" in note for note in setting_notes(variables))
