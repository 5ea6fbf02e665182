"""A copy of the finished trials in a database, for Optuna's own tools. The journal is the truth.

It lives in a thread of its own, reads the journal's records as they come, and takes a fifth of
that thread's time at most while the search goes on. Whatever goes wrong is one warning: the next
start adds what the copy lacks.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from nas.masking import masked
from nas.study.journal import CREATE_TRIAL, Record
from nas.study.mirror_address import arguments, parse, template, why
from nas.study.mirror_rows import add_trials

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from optuna.storages.journal import JournalStorage
    from optuna.trial import FrozenTrial

_log = logging.getLogger(__name__)

LOOK_S = 1.0  # how often new trials are looked for
BATCH = 10  # trials of a transaction
PAUSE = 4.0  # rest after a batch, in times of what it took
CLOSE_S = 20.0  # how long the end of a search may wait for the copy


class Mirror:
    """Copies a study while it runs.

    Args:
        address: any that Optuna's ``RDBStorage`` takes.
        run: the run's name, with which the study's name in the database begins.

    Raises:
        UserError: it is no address of a database.
    """

    def __init__(self, address: str, run: str) -> None:
        self._address = masked(address)
        self._url = parse(address)
        self._run = run
        self._records: Sequence[Record] = ()
        self._ending = threading.Event()
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)

    def follow(self, records: Sequence[Record]) -> Self:
        """Begin; ``records`` are the journal's, and grow."""
        self._records = records
        self._thread.start()
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        """Copy the rest, unless the search was broken off or it takes too long."""
        self._ending.set()
        if kind is None:
            self._thread.join(CLOSE_S)
            if self._thread.is_alive():
                self._warn(f"not done after {CLOSE_S:g} s")
        self._given_up.set()

    def _work(self) -> None:
        try:
            self._copy()
        except Exception as error:  # never the search's concern
            self._warn(why(error, self._url))

    def _copy(self) -> None:
        from optuna.storages import RDBStorage

        # It would tell the user of a new study.
        logging.getLogger(RDBStorage.__module__).setLevel(logging.WARNING)
        storage = RDBStorage(template(self._url), arguments(self._url))
        try:
            copy = Copy(storage, self._run, self._records)
            ending = False
            while not ending and not self._given_up.is_set():
                ending = self._ending.wait(LOOK_S)  # what is there now is all there will be
                lacking = copy.lacking()
                for first in range(0, len(lacking), BATCH):
                    start = time.monotonic()
                    copy.add(lacking[first : first + BATCH])
                    rest = PAUSE * (time.monotonic() - start)
                    if self._given_up.is_set():
                        return
                    self._ending.wait(rest)
        finally:
            storage.engine.dispose()

    def _warn(self, reason: str) -> None:
        _log.warning(
            "search.mirror=%r: %s; the search is not concerned, and the next start adds what the "
            "mirror lacks",
            self._address,
            reason,
        )


class Copy:
    """The study in the database.

    Args:
        storage: of the database.
        run: with which the study's name begins.
        records: the journal's.
    """

    def __init__(self, storage: RDBStorage, run: str, records: Sequence[Record]) -> None:
        self._storage = storage
        self._run = run
        self._records = records
        self._source = _reader(records)
        self._study: int | None = None
        self._there = 0

    def lacking(self) -> list[FrozenTrial]:
        """The finished trials that are not there yet.

        Raises:
            ValueError: what is there is no copy of this study.
        """
        first = next((r for r in self._records if r["op_code"] == CREATE_TRIAL), None)
        if first is None:
            return []
        ours = self._source.get_all_trials(0, deepcopy=False)
        if self._study is None:
            self._study = self._open(first)
            theirs = self._storage.get_all_trials(self._study, deepcopy=False)
            if [t.user_attrs.get("digest") for t in theirs] != [
                t.user_attrs["digest"] for t in ours[: len(theirs)]
            ]:
                raise ValueError("holds trials under this study's name that are not its own")
            self._there = len(theirs)
        return ours[self._there :]

    def add(self, trials: Sequence[FrozenTrial]) -> None:
        """Copy the next trials, all or none."""
        assert self._study is not None
        add_trials(self._storage, self._study, self._there, trials)
        self._there += len(trials)

    def _open(self, first: Record) -> int:
        """The study, made where it is not there; runs of one name are told by their first trial."""
        text = json.dumps(first, sort_keys=True)
        name = f"{self._run}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        (study,) = self._source.get_all_studies()
        try:
            found = self._storage.get_study_id_from_name(name)
        except KeyError:
            found = self._storage.create_new_study(study.directions, name)
        for key, value in study.user_attrs.items():
            self._storage.set_study_user_attr(found, key, value)
        names = "study:metric_names"  # the only one of Optuna's that a reader needs
        self._storage.set_study_system_attr(found, names, study.system_attrs[names])
        return found


def _reader(records: Sequence[Record]) -> JournalStorage:
    """A growing list of records, as Optuna reads it."""
    from optuna.storages.journal import BaseJournalBackend, JournalStorage

    class Tail(BaseJournalBackend):
        def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
            return list(records[log_number_from:])

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            raise NotImplementedError("the journal is only read here")

    return JournalStorage(Tail())
