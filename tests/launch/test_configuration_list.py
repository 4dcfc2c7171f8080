"""`--config` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

import system


def test_the_list_names_what_is_set_in_vain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "env").write_text("TOMIC_CAPITOL=5\nTOMIC_DITM_OFFSET=ITM2\n", encoding="utf-8")
    assert system.main(["--config", "--env-file", str(tmp_path / "env")]) == 0
    told = capsys.readouterr().out.splitlines()
    row = next(line for line in told if "TOMIC_DITM_OFFSET" in line)
    assert [word.strip() for word in row.strip("│").split("│")][1:] == [
        *("ITM2", "ITM1", ".env", "none yet"),
    ]
    assert "note: TOMIC_CAPITOL is no key and has no effect; did you mean TOMIC_CAPITAL?" in told
