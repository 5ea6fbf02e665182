"""How far a training or search was told to a tracker: what was told is not told again."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from nas.run_folder import write_json


@dataclass(slots=True)
class Mark:
    """One small file beside what the tracker keeps.

    Attributes:
        id: under which the tracker knows the run. Drawn, not made of the folder's path: another
            machine's run of the same path must not go on with it.
        steps: those below were logged.
        results: hash of the results that were handed over; "" before.
    """

    id: str
    steps: int = 0
    results: str = ""

    @classmethod
    def load(cls, path: Path) -> Mark:
        """What ``path`` holds; a new mark where it is missing or damaged."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(str(data["id"]), int(data["steps"]), str(data["results"]))
        except (OSError, ValueError, KeyError, TypeError):
            return cls(secrets.token_hex(6))

    def save(self, path: Path) -> None:
        """Write it whole."""
        write_json(path, asdict(self))
