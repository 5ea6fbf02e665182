"""``formfinder dashboard [RUN ...] [--host ADDRESS] [--port NUMBER]``."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_spaces.errors import UserError, bad_value, no_folder, unknown_name

HOST, PORT = "127.0.0.1", 8050
RUNS = "runs"
TRIES = 20
_OPTIONS = ("--host", "--port")


@dataclass(frozen=True, slots=True)
class Words:
    """What was asked for; ``port`` is None where any free one will do."""

    places: tuple[Path, ...]
    host: str
    port: int | None


def dashboard(args: Sequence[str]) -> None:
    """Serve the page until somebody stops it.

    Args:
        args: what followed ``dashboard``.

    Raises:
        UserError: a folder does not exist, an option cannot be read, or the address is taken.
    """
    words = parse(args)
    from nas.dashboard.fronts import warm_up
    from nas.dashboard.jobs import Jobs
    from nas.dashboard.server import LOCAL, make_app
    from nas.dashboard.state import State

    state = State(words.places)
    # Read and drawn once now, so that the first page is there at once.
    runs = state.runs()
    warm_up(state)
    jobs = Jobs()
    hosts = LOCAL if words.host in LOCAL else ()
    signal.signal(signal.SIGTERM, _stop)  # of services and containers: ends as Ctrl-C does
    try:
        server = _listen(make_app(state, jobs, hosts).server, words)
        _say(words, server.server_port, len(runs))
        server.serve_forever()
    except KeyboardInterrupt:
        sys.stdout.write("\n")
    finally:
        jobs.close()


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def parse(args: Sequence[str]) -> Words:
    """The words after ``dashboard``.

    Raises:
        UserError: they cannot be read.
    """
    host, port = HOST, None
    places: list[Path] = []
    waiting = iter(args)
    for word in waiting:
        if not word.startswith("-"):
            places.append(_place(word))
            continue
        name, sign, value = word.partition("=")
        if name not in _OPTIONS:
            raise unknown_name("option", name, _OPTIONS)
        value = value if sign else next(waiting, "")
        if not value:
            raise UserError(f"{name}: its value is missing")
        if name == "--host":
            host = value
        else:
            port = _port(value)
    return Words(tuple(places) or (_default(),), host, port)


def _port(value: str) -> int:
    if not value.isdecimal() or not 0 <= int(value) < 65536:
        raise bad_value("--port", value, "a number from 0 to 65535")
    return int(value)


def _place(word: str) -> Path:
    path = Path(word).expanduser()
    if path.is_dir():
        return path
    raise no_folder(f"dashboard: {word!r}", path)


def _default() -> Path:
    path = Path(RUNS)
    if not path.is_dir():
        raise UserError(f"dashboard: there is no folder {RUNS!r} here: name run folders")
    return path


def _listen(app: Any, words: Words) -> Any:
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    ports = [words.port] if words.port is not None else range(PORT, PORT + TRIES)
    for port in ports:
        if _taken(words.host, port):
            continue
        return make_server(words.host, port, app, threaded=True)
    raise UserError(f"--port={ports[0]}: is taken, or {words.host} is no address of this machine")


def _taken(host: str, port: int) -> bool:
    """Whether nobody can listen there: werkzeug would end the process instead of saying so."""
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError:
        return True
    return False


def _say(words: Words, port: int, count: int) -> None:
    from nas.dashboard.server import LOCAL

    if words.host not in LOCAL:
        sys.stderr.write(
            f"warning: everybody who reaches {words.host} sees these runs and can start exports; "
            "there is no password\n"
        )
    host = f"[{words.host}]" if ":" in words.host else words.host
    runs = "1 run" if count == 1 else f"{count} runs"
    sys.stdout.write(f"{runs}; open http://{host}:{port}/ (Ctrl+C ends it)\n")
    sys.stdout.flush()
