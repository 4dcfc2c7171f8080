"""What the terminal shows while the tree runs: new lines of the decision log, one a decision."""

from __future__ import annotations

from pathlib import Path


class Narrator:
    """Follows `log/decisions.log` of the data folder from where it ends now."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "log" / "decisions.log"
        self._position = self._path.stat().st_size if self._path.exists() else 0

    def new_lines(self) -> list[str]:
        """Whole lines written since the last call; cheap when there are none."""
        try:
            if self._path.stat().st_size <= self._position:
                return []
        except FileNotFoundError:
            return []
        with self._path.open("rb") as file:
            file.seek(self._position)
            read = file.read()
        whole = read[: read.rfind(b"\n") + 1]
        self._position += len(whole)
        return whole.decode("utf-8", errors="replace").splitlines()
