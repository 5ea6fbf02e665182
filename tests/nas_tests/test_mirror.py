"""The mirror: equal to the journal, complete after any failure, and never in the search's way."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalStorage

from nas.evaluation import EvaluationStore
from nas.executors.in_process import InProcess
from nas.objectives import OBJECTIVES, Limit
from nas.study import Budget, StudyResult, StudySpec, mirror, mirror_address, mirror_rows, run_study
from nas.study.mirror import Mirror
from nas.study.mirror_address import check_mirror, parse
from search_spaces.errors import UserError
from tests.nas_tests.study_toy import ToyFactory, ToyProblem, architecture

SHALLOW = [
    architecture(width, (heads,), ("softmax",)) for width in (16, 32, 64) for heads in (1, 2)
]
FACTORY = ToyFactory(raises=frozenset(each.digest() for each in SHALLOW))
HUSH = "h{u}sh"


OPENED: list[RDBStorage] = []


@pytest.fixture(autouse=True)
def _tidily(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(mirror, "PAUSE", 0.0)
    yield
    while OPENED:
        OPENED.pop().engine.dispose()


def study(folder: Path, trials: int, address: str | None) -> StudyResult:
    latency = OBJECTIVES["latency_ms"]
    return run_study(
        ToyProblem(),
        StudySpec(
            objectives=(OBJECTIVES["accuracy"], latency),
            limits=(Limit(latency, 1.2),),
            sampler="random",
            batch_size=5,
        ),
        executor=lambda: InProcess(FACTORY),
        store=EvaluationStore(folder / "evaluations.jsonl"),
        journal=folder / "study.log",
        budget=Budget(trials=trials),
        mirror=None if address is None else Mirror(address, folder.name),
    )


def journal_of(folder: Path) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(folder / "study.log")))
    return optuna.load_study(study_name=None, storage=storage)


def opened(address: str) -> RDBStorage:
    OPENED.append(RDBStorage(mirror_address.template(parse(address))))
    return OPENED[-1]


def copy_of(address: str, name: str) -> optuna.Study:
    storage = opened(address)
    names = [found for found in optuna.get_all_study_names(storage) if found.startswith(name)]
    assert len(names) == 1, "one study, however often it was begun"
    return optuna.load_study(study_name=names[0], storage=storage)


def check(folder: Path, address: str, trials: int) -> None:
    ours, theirs = journal_of(folder), copy_of(address, folder.name)
    assert len(ours.trials) == trials
    assert theirs.metric_names == ours.metric_names
    assert theirs.directions == ours.directions
    for one, other in zip(ours.trials, theirs.trials, strict=True):
        for field in ("number", "state", "values", "params", "user_attrs", "constraints"):
            assert getattr(one, field) == getattr(other, field)
        assert one.datetime_complete == other.datetime_complete
    assert all(trial.state.is_finished() for trial in theirs.trials)


def test_it_equals_the_journal_and_catches_up(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/trials.db"
    study(tmp_path, 12, None)
    study(tmp_path, 12, address)  # nothing to search, but to add
    check(tmp_path, address, 12)
    study(tmp_path, 17, address)
    check(tmp_path, address, 17)
    assert {trial.state.name for trial in copy_of(address, tmp_path.name).trials} == {
        "COMPLETE",
        "FAIL",
    }


def test_tables_of_another_version_are_filled_in_optunas_own_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_rows, "SCHEMA", 0)
    address = f"sqlite:///{tmp_path}/trials.db"
    study(tmp_path, 6, address)
    check(tmp_path, address, 6)


def test_studies_of_equal_names_keep_apart(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/trials.db"
    for place in ("a", "b"):
        study(tmp_path / place / "run", 3, address)
    storage = opened(address)
    names = optuna.get_all_study_names(storage)
    assert len(set(names)) == 2
    assert all(name.startswith("run-") for name in names)


def test_a_failure_is_one_warning_and_the_next_start_catches_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    address = f"sqlite:///{tmp_path}/trials.db"
    add, added = mirror.Copy.add, []

    def failing(self: mirror.Copy, trials: Sequence[optuna.trial.FrozenTrial]) -> None:
        if len(added) == 2:
            raise OSError(f"lost {address.replace('://', f'://ann:{HUSH}@')}\nand more")
        added.append(trials)
        add(self, trials)

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, logger="nas"):
        patch.setattr(mirror, "BATCH", 2)
        patch.setattr(mirror, "LOOK_S", 100.0)  # until the search has ended
        patch.setattr(mirror.Copy, "add", failing)
        result = study(tmp_path, 11, address)
    assert (len(result.trials), result.stopped) == (11, "trials")
    (warning,) = [record.getMessage() for record in caplog.records if record.name.startswith("nas")]
    assert "next start adds" in warning
    assert "\n" not in warning
    assert HUSH not in warning
    assert len(copy_of(address, tmp_path.name).trials) == 4
    study(tmp_path, 11, address)
    check(tmp_path, address, 11)


def test_what_others_wrote_there_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address = f"sqlite:///{tmp_path}/trials.db"
    study(tmp_path, 3, address)
    copy_of(address, tmp_path.name).ask()
    result = study(tmp_path, 6, address)
    assert len(result.trials) == 6
    assert "not its own" in caplog.text
    assert len(copy_of(address, tmp_path.name).trials) == 4


def test_a_silent_server_delays_the_end_by_no_more_than_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mirror, "CLOSE_S", 0.1)
    with silent_server() as port:
        result = study(tmp_path, 5, f"postgresql://ann:{HUSH}@127.0.0.1:{port}/trials")
        assert len(result.trials) == 5
        assert "not done after 0.1 s" in caplog.text
        assert HUSH not in caplog.text


def silent_server() -> socket.socket:
    """A listener that never answers; closing it ends what waits for it."""

    class Port(socket.socket):
        def __enter__(self) -> int:  # type: ignore[override]
            return int(self.getsockname()[1])

    server = Port()
    server.bind(("127.0.0.1", 0))
    server.listen()
    return server


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("nothing", ["search.mirror='nothing'", "allowed is postgresql://"]),
        ("postgresql://ann:{HUSH}@127.0.0.1:1/d", ["cannot be reached", "refused", "=null"]),
        ("sqlite:////no/such/folder/x.db", ["cannot be reached", "unable to open"]),
        ("oracle://ann:{HUSH}@h/d", ["its driver is not installed"]),
        ("cobol://ann:{HUSH}@h/d", ["cannot be reached", "cobol"]),
        ("postgresql://ann:***@127.0.0.1:1/d", ["keep no password", "PGPASSWORD"]),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_in_one_line(
    address: str, parts: list[str]
) -> None:
    with pytest.raises(UserError) as refusal:
        check_mirror(address.replace("{HUSH}", HUSH))
    line = str(refusal.value)
    assert "\n" not in line
    assert HUSH not in line
    for part in parts:
        assert part in line


def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror_address, "CONNECT_S", 0.1)
    with silent_server() as port, pytest.raises(UserError, match=r"no answer within 0\.1 s"):
        check_mirror(f"postgresql://ann:{HUSH}@127.0.0.1:{port}/trials")


# -- a real PostgreSQL ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The address of a server of our own, which asks for a password."""
    found = [shutil.which("initdb"), *sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    programs = next((Path(path).resolve().parent for path in found if path is not None), None)
    if programs is None:
        pytest.skip("PostgreSQL's server is not installed here")
    pytest.importorskip("psycopg", reason="psycopg is not installed here")
    # Not among pytest's folders: those are closed to the user that the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="formfinder-"))
    as_whom: dict[str, str] = {}
    if os.geteuid() == 0:  # the server refuses to be root
        try:
            shutil.chown(folder, "postgres", "postgres")
        except LookupError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        as_whom = {"user": "postgres", "group": "postgres"}
    (folder / "password").write_text(HUSH)
    (folder / "password").chmod(0o644)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"

    def call(program: str, *words: str) -> None:
        command = [str(programs / program), "-D", str(data), *words]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, **as_whom)  # type: ignore[call-overload]

    call("initdb", "-U", "ann", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    call("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
    yield f"postgresql://ann:{HUSH}@127.0.0.1:{port}/postgres"
    call("pg_ctl", "-w", "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.mark.slow
def test_a_mirror_in_postgresql(postgres: str, tmp_path: Path) -> None:
    check_mirror(postgres)
    study(tmp_path, 7, postgres)
    study(tmp_path, 12, postgres)
    check(tmp_path, postgres, 12)
    written = [path.read_text() for path in tmp_path.iterdir()]
    assert all(HUSH not in text for text in written)


@pytest.mark.slow
def test_postgresql_with_a_wrong_password(postgres: str) -> None:
    with pytest.raises(UserError, match="authentication failed") as refusal:
        check_mirror(postgres.replace(HUSH, "wrong-word"))
    assert "wrong-word" not in str(refusal.value)


@pytest.mark.slow
def test_a_password_that_is_not_kept_comes_from_the_environment(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", HUSH)
    check_mirror(postgres.replace(HUSH, "***"))
