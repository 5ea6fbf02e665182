"""The address of a mirror: read, completed, and tried before anything is paid for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.deadline import within
from nas.masking import MASK, masked
from search_spaces.errors import UserError

if TYPE_CHECKING:
    from sqlalchemy import URL

CONNECT_S = 10.0
_FIELD = "search.mirror"
_EXAMPLES = "postgresql://USER@HOST/DATABASE, sqlite:///FILE or null"


def parse(address: str) -> URL:
    """The address as SQLAlchemy has it, complete.

    Files are made absolute, since threads may open them later. A masked password, as run folders
    keep it, counts as none: PostgreSQL then takes ``PGPASSWORD`` or ``~/.pgpass``.

    Raises:
        UserError: it is no address of a database.
    """
    from sqlalchemy import URL, make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
    except (ArgumentError, ValueError) as error:
        shown = masked(address)
        raise UserError(f"{_FIELD}={shown!r}: allowed is {_EXAMPLES}") from error
    if url.password == MASK:
        parts = (url.username, None, url.host, url.port, url.database, url.query)
        url = URL.create(url.drivername, *parts)
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
        url = url.set(database=str(Path(str(url.database)).expanduser().resolve()))
    return url


def template(url: URL) -> str:
    """The address as Optuna's ``RDBStorage`` takes it, the password in it."""
    text = url.render_as_string(hide_password=False)
    return text.replace("{", "{{").replace("}", "}}")  # it fills in braces


def arguments(url: URL) -> dict[str, Any]:
    """Engine options: a server that is silent is given up by its own driver where that can."""
    if url.get_backend_name() in ("postgresql", "mysql", "mariadb"):
        return {"connect_args": {"connect_timeout": int(CONNECT_S)}}
    return {}


def check_mirror(address: str) -> None:
    """Connect once.

    Raises:
        UserError: the address cannot be used, or not reached within ``CONNECT_S``.
    """
    url = parse(address)
    try:
        within(CONNECT_S, lambda: _connect(url))
    except TimeoutError:
        reason = f"no answer within {CONNECT_S:g} s"
    except ImportError as error:
        reason = f"its driver is not installed ({error}){_extra(url)}"
    except Exception as error:
        reason = why(error, url)
    else:
        return
    kept = "; run folders keep no password: give it again, or PGPASSWORD" * (MASK in address)
    shown = masked(address)
    raise UserError(
        f"{_FIELD}={shown!r} cannot be reached: {reason}{kept}; {_FIELD}=null goes on without"
    )


def why(error: BaseException, url: URL) -> str:
    """The first line of what a driver says, without the password."""
    cause = getattr(error, "orig", None) or error.__cause__ or error
    cause = getattr(cause, "orig", None) or cause
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    text = f"{type(cause).__name__}: {' '.join(lines[:1])}"[:300]
    if url.password:
        text = text.replace(str(url.password), MASK)
    return masked(text)


def _connect(url: URL) -> None:
    from sqlalchemy import create_engine

    engine = create_engine(url, **arguments(url))
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def _extra(url: URL) -> str:
    needs = url.get_backend_name() == "postgresql"
    return ": pip install 'formfinder[postgres]'" if needs else ""
