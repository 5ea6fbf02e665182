"""The whole job, one call a step. Each step resumes from what its files hold."""

from __future__ import annotations

from pathlib import Path

from nas.choosing import choose
from nas.config import RunConfig, load_config, run_folder
from nas.config.schema import ExportConfig
from nas.display import Display, timed
from nas.executors import EXECUTORS
from nas.export.package import export_member
from nas.front import Front, Member
from nas.hardware.device import check_present
from nas.limits import limits_of
from nas.objectives import OBJECTIVES
from nas.run import Run
from nas.run_folder import RunFolder, write_json
from nas.steps.baselines import train_baselines
from nas.steps.describing import describe_path
from nas.steps.describing_device import describe_on_device
from nas.steps.exporting import export_front
from nas.steps.finetuning import finetune
from nas.steps.profiling import fit_profiles
from nas.steps.ranking import rank_proxies
from nas.steps.ranking_table import show_ranking, write_ranking
from nas.steps.searching import check_before_training, executor_options, needs_profile
from nas.steps.searching import search as run_search
from nas.steps.summary import announce, say_next, summarise, summarise_profiles
from nas.steps.training import train_supernet
from nas.steps.verifying import verify
from nas.study.mirror_address import check_mirror
from nas.tracking.results import publish
from nas.tracking.session import Session, Tracking
from search_spaces.errors import UserError, bad_value, unknown_name, writing
from supernet.extract import VisionTransformer
from supernet.model import Supernet, extract


def run(config: RunConfig) -> RunFolder:
    """Train, profile, search, verify, export: from images and a device to a model."""
    display = Display(config.progress)
    _check_search(config)
    job = Run(config)
    announce(job, display)
    if needs_profile(config):  # to refuse what cannot be reached before training for it
        _profiled(job, display)
        check_before_training(job)
    tracking = Tracking(config, display)
    supernet = _trained(job, display, tracking)
    _profiled(job, display)
    _found(job, supernet, display, tracking)
    return job.folder


def train(config: RunConfig) -> RunFolder:
    """Train the supernet only."""
    display = Display(config.progress)
    job = Run(config)
    announce(job, display)
    _trained(job, display, Tracking(config, display))
    say_next(job, display, ("profile", "search"))
    return job.folder


def profile(config: RunConfig) -> RunFolder:
    """Measure sampled subnets and fit the predictors; needs no trained weights."""
    display = Display(config.progress)
    _check_devices(config)
    job = Run(config)
    announce(job, display)
    _profiled(job, display)
    say_next(job, display, ("run",))
    return job.folder


def search(config: RunConfig) -> RunFolder:
    """Search with the trained weights; measures the profile first where it was not."""
    display = Display(config.progress)
    _check_search(config)
    job = Run(config, write=False)
    supernet = job.trained_supernet()  # refused before anything is written
    job.begin()
    announce(job, display)
    _profiled(job, display)
    _found(job, supernet, display, Tracking(config, display))
    return job.folder


def export(config: RunConfig) -> RunFolder:
    """Write the winner's files and the report of a searched run."""
    display = Display(config.progress)
    folder = RunFolder(run_folder(config))
    if not all(part.front.exists() for part in folder.parts()):
        raise UserError(f"{folder.path}: nothing to export yet; call formfinder run first")
    wanted, config.export = config.export, ExportConfig()  # of this call alone: it is not kept
    job = Run(config)
    config.export = wanted
    supernet = job.trained_supernet()
    for one in job.searches:
        front = Front.load(one.folder.front)
        _exported(one, supernet, front, display)
        export_front(one, supernet, front, display)
    _overview(job, display)
    return job.folder


def pick(config: RunConfig) -> Path:
    """Choose another member of a finished front and export it; searches nothing.

    Returns:
        Its ``best.json``.
    """
    display = Display(config.progress)
    folder = Path(str(config.run)).expanduser()
    stored = load_config(RunFolder(folder).config)
    stored.out_dir, stored.name = str(folder.parent), folder.name
    limits, stored.device = dict(config.constraints), config.device
    job = _search_of(Run(stored, write=False), config)
    if not job.folder.front.exists():
        raise UserError(f"{folder}: nothing to pick from yet; call formfinder run {folder} first")
    front = Front.load(job.folder.front)
    job.config.constraints = limits
    if config.member is not None:
        rule, member = "digest", front.find(config.member)
    else:
        objectives = [OBJECTIVES[name] for name in job.config.search.objectives]
        rule, member = choose(limits_of(job.config), objectives, front.standing(), config.by)
    display.step(f"Pick by {rule}")
    model = _extracted(job.trained_supernet(), member)
    target = job.folder.pick(member.digest)
    data = export_member(job, front, member, model, target, display)
    summarise(job, data, target, display)
    return target


def proxies(config: RunConfig) -> RunFolder:
    """How well proxies rank the architectures of a trained run; trains and searches nothing."""
    display = Display(config.progress)
    job = Run(config, write=False)
    display.step(f"Proxies: {job.folder.path}")
    ranking = rank_proxies(job, display)
    show_ranking(ranking, display)
    write_ranking(ranking, job.folder)
    display.line(f"written: {job.folder.proxies} and .csv")
    return job.folder


def describe(
    path: Path,
    member: str | None = None,
    hardware: str | None = None,
    batch: int | None = None,
    measure: bool = False,
) -> None:
    """Print an architecture, a run or a member of its front, layer by layer."""
    if hardware is not None:
        describe_on_device(path, Display(), member, hardware, batch, measure)
    else:
        describe_path(path, Display(), member)


def _check_search(config: RunConfig) -> None:
    """What would stop a search, before anything is trained for it."""
    EXECUTORS[config.executor.name].check(executor_options(config))
    _check_devices(config)
    if config.search.mirror is not None:
        check_mirror(config.search.mirror)


def _check_devices(config: RunConfig) -> None:
    """Refuse devices that are not here, unless a cluster or a file may know them."""
    elsewhere = config.executor.name == "ray" and config.executor.address is not None
    if not elsewhere and config.hardware_file is None:
        for name, hardware in config.hardware.items():
            check_present(name, hardware)


# -- steps ------------------------------------------------------------------------------------


def _trained(job: Run, display: Display, tracking: Tracking) -> Supernet:
    display.step("Train")
    with timed(job.folder.seconds, "train"), tracking.training(job) as session:
        return train_supernet(job, display, session.epoch)


def _profiled(job: Run, display: Display) -> None:
    display.step("Profile")
    with timed(job.folder.seconds, "profile"):
        fit_profiles(job, display)


def _found(job: Run, supernet: Supernet, display: Display, tracking: Tracking) -> None:
    """Search, verify and export, profile by profile; accuracies are paid for once for all."""
    for one in job.searches:
        with tracking.searching(one) as session:
            front = _searched(one, supernet, display, session)
            _exported(one, supernet, front, display)
            publish(session, one.folder)
    _overview(job, display)


def _overview(job: Run, display: Display) -> None:
    """One table and one page over the fronts of a run for several profiles."""
    if len(job.searches) == 1:
        return
    from nas.report.overview import write_overview  # plotly is slow to import

    parts = [one.folder for one in job.searches]
    with writing(job.folder.report):
        write_overview(job.folder, parts)
    summarise_profiles(job.folder, parts, display)


def _search_of(job: Run, config: RunConfig) -> Run:
    """The search that is meant, of a run for several profiles.

    Raises:
        UserError: it is not said which, or there is none of that name.
    """
    searches = {one.profile.name: one for one in job.searches}
    named = list(config.hardware)
    if len(searches) == 1:
        return next(iter(searches.values()))
    if len(named) != 1:
        raise bad_value("hardware", f"[{','.join(named)}]", f"one of {', '.join(searches)}")
    if named[0] not in searches:
        raise unknown_name("hardware", named[0], searches)
    return searches[named[0]]


def _searched(job: Run, supernet: Supernet, display: Display, session: Session) -> Front:
    display.step(f"Search{_for(job)}")
    with timed(job.folder.seconds, "search"):
        result = run_search(job, supernet, display, session.trial)
    display.step(f"Verify{_for(job)}")
    with timed(job.folder.seconds, "verify"):
        return verify(job, supernet, result, display)


def _exported(job: Run, supernet: Supernet, front: Front, display: Display) -> None:
    display.step(f"Export{_for(job)}")
    with timed(job.folder.seconds, "export"):
        member = front.member(front.winner)
        model, passes = _extracted(supernet, member), []
        if job.config.finetune.epochs > 0:
            passes = [finetune(job, model, display)]
        data = export_member(job, front, member, model, job.folder.best, display, passes)
        baselines = train_baselines(job, front, display) if job.config.report.baselines else ()
        if baselines:
            write_json(job.folder.baselines, {"baselines": baselines})
        from nas.report.write import write_report  # plotly is slow to import

        with writing(job.folder.report):
            write_report(job.folder, baselines)
    summarise(job, data, job.folder.best, display)


def _for(job: Run) -> str:
    return "" if job.folder.device is None else f" for {job.folder.device}"


def _extracted(supernet: Supernet, member: Member) -> VisionTransformer:
    return extract(supernet, member.architecture).eval()
