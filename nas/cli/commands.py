"""The commands there are: one line each, and where the work is done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One word after ``formfinder``.

    Attributes:
        name: the word.
        summary: one line.
        usage: what follows the word.
        target: ``module:function``, imported when the command is called.
        details: what a user should know before calling it.
        examples: whole command lines.
        sections: which parts of the configuration matter to it; none: it takes no overrides.
    """

    name: str
    summary: str
    usage: str
    target: str
    details: str
    examples: tuple[str, ...]
    sections: tuple[str, ...] = ()

    @property
    def composes(self) -> bool:
        """Whether Hydra reads what follows the word."""
        return bool(self.sections)


_RESUME = """The same command prints the result of a finished run and continues an
interrupted one; a larger budget (search.trials, search.minutes) continues a
finished one. RUN, a run folder, stands for all keys that it began with."""

_TRAIN = ("data", "space", "training", "init", "init_order", "seed", "device")
_PLACE = ("out_dir", "name", "progress")

COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command(
            name="run",
            summary="the whole job: train, profile, search, verify, export",
            usage="[RUN] [key=value ...]",
            target="nas.pipeline:run",
            details=_RESUME,
            examples=(
                "formfinder run",
                "formfinder run data=folder data.path=photos",
                "formfinder run constraints.latency_ms=2.0 seed=1",
                "formfinder run 'constraints.latency_ms={max: 2, confidence: 0.9}'",
                "formfinder run hardware=[cpu,cpu_torch]",
                "formfinder run -m seed=0,1,2",
            ),
            sections=(
                *_TRAIN,
                *("hardware", "profile", "search", "constraints", "sampler", "executor"),
                *("finetune", "tracking", "report", *_PLACE),
            ),
        ),
        Command(
            name="train",
            summary="train the supernet only",
            usage="[RUN] [key=value ...]",
            target="nas.pipeline:train",
            details=_RESUME,
            examples=("formfinder train training.epochs=80",),
            sections=(*_TRAIN, "tracking", *_PLACE),
        ),
        Command(
            name="profile",
            summary="measure sampled networks on the hardware, fit the predictors",
            usage="[RUN] [key=value ...]",
            target="nas.pipeline:profile",
            details="Needs no trained weights. Measurements already taken are kept.",
            examples=("formfinder profile hardware=cpu_torch",),
            sections=("data", "space", "hardware", "profile", "seed", *_PLACE),
        ),
        Command(
            name="search",
            summary="search with the trained weights and the fitted predictors",
            usage="[RUN] [key=value ...]",
            target="nas.pipeline:search",
            details=_RESUME
            + "\nsupernet=RUN searches again, for another profile say, with the weights and\n"
            "the accuracies that RUN already has.",
            examples=(
                "formfinder search runs/digits-cpu-s0 search.trials=600",
                "formfinder search supernet=runs/digits-cpu-s0 hardware=cpu_torch",
            ),
            sections=(
                *("supernet", "hardware", "search", "constraints", "sampler", "executor"),
                *("tracking", "seed", *_PLACE),
            ),
        ),
        Command(
            name="export",
            summary="the winner in every format, each file checked and timed",
            usage="[RUN] [--all-front] [key=value ...]",
            target="nas.pipeline:export",
            details="Writes best.json and the report, and into exports/ a readable model.py, ONNX\n"
            "in fp32 and int8, a torch.export program, the Hugging Face layout and a model\n"
            "card; other members go to picks/DIGEST/. Each model is evaluated once on the\n"
            "test images. `formfinder list format` shows the formats; export.formats=[]\n"
            "writes all that fit the model.",
            examples=(
                "formfinder export runs/digits-cpu-s0",
                "formfinder export runs/digits-cpu-s0 --all-front export.formats=[onnx]",
                "formfinder export runs/digits-cpu-s0 finetune.epochs=10",
            ),
            sections=("export", "finetune", "report", "device", *_PLACE),
        ),
        Command(
            name="pick",
            summary="choose another member of a finished front and export it",
            usage="RUN [by=RULE] [member=DIGEST] [constraints.METRIC=LIMIT]",
            target="nas.pipeline:pick",
            details="Searches nothing. The chosen model is evaluated once on the test images.\n"
            "hardware=NAME says which front is meant, in a run for several profiles.",
            examples=(
                "formfinder pick runs/digits-cpu-s0 constraints.latency_ms=1.5",
                "formfinder pick runs/digits-cpu-s0 by=accuracy",
            ),
            sections=("by", "member", "constraints", "device", "progress"),
        ),
        Command(
            name="retrain",
            summary="train the found model alone, test it once, export it again",
            usage="RUN|best.json [retrain.KEY=value ...]",
            target="nas.retraining.command:retrain",
            details="Continues from the model's weights, or with retrain.weights=scratch from\n"
            "random ones. Learns on train, keeps the epoch that is best on val, is tested\n"
            "once, and is written to retrained/DIGEST/ of the run. The same command goes on\n"
            "where it was stopped; other keys make another folder.",
            examples=(
                "formfinder retrain runs/digits-cpu-s0",
                "formfinder retrain runs/digits-cpu-s0 retrain.weights=scratch",
                "formfinder retrain runs/digits-cpu-s0 retrain.teacher=supernet",
                "formfinder retrain runs/digits-cpu-s0/picks/3fa1c0de3fa1c0de/best.json",
            ),
            sections=("retrain", "hardware", "device", "progress"),
        ),
        Command(
            name="merge",
            summary="one front from several runs of the same space and data",
            usage="RUN RUN ... [name=NAME] [out_dir=DIR]",
            target="nas.cli.merge:merge",
            details="Writes front.json and report.html to runs/NAME (merged). Members keep\n"
            "their run, seed, weights and profile; fronts of different profiles stay apart.",
            examples=("formfinder merge runs/digits-cpu-s0 runs/digits-cpu-s1 name=seeds",),
        ),
        Command(
            name="proxies",
            summary="how well scores without training rank a run's networks",
            usage="RUN [proxies.n=60] [proxies.names=[NAME,...]]",
            target="nas.pipeline:proxies",
            details="Scores random members of a trained run untrained, and compares the order\n"
            "with that of their inherited accuracy on val. Writes proxies.json and\n"
            "proxies.csv into RUN. What was scored before is not scored again.",
            examples=(
                "formfinder proxies runs/digits-cpu-s0",
                "formfinder proxies runs/digits-cpu-s0 proxies.n=100 proxies.names=[naswot,dss]",
            ),
            sections=("proxies", "progress"),
        ),
        Command(
            name="dashboard",
            summary="fronts of finished and running searches in a browser",
            usage="[RUN ...] [--host ADDRESS] [--port NUMBER]",
            target="nas.dashboard.command:dashboard",
            details="Reads run folders only, those in runs/ where none is named, and follows\n"
            "searches that go on. Serves 127.0.0.1; --host opens it to others, unprotected.",
            examples=(
                "formfinder dashboard",
                "formfinder dashboard runs/digits-cpu-s0 runs/digits-cpu-s1",
                "formfinder dashboard runs --port 8060",
            ),
        ),
        Command(
            name="list",
            summary="what there is to choose from: attention types, samplers, ...",
            usage="[KIND]",
            target="nas.cli.list:list_members",
            details="Plug-ins of FORMFINDER_PLUGINS and of installed packages are included.",
            examples=("formfinder list", "formfinder list attention"),
        ),
        Command(
            name="predict",
            summary="what an exported model says of pictures",
            usage="best.json IMAGE... [top=1] [--json]",
            target="nas.predicting:predict",
            details="A folder stands for the pictures in it, a run for its best.json. --json\n"
            "prints one JSON object a line.",
            examples=(
                "formfinder predict runs/digits-cpu-s0/best.json three.png",
                "formfinder predict runs/digits-cpu-s0 photos top=3 --json",
            ),
        ),
        Command(
            name="weights",
            summary="a space file that others' weights fit",
            usage="SOURCE:WHERE",
            target="nas.cli.weights:weights",
            details="Reads weights as init=SOURCE:WHERE does and prints the space that a run\n"
            "needs to start from them. formfinder list weights names the sources.",
            examples=(
                "formfinder weights timm:vit_small_patch16_224 > spaces/space/small.yaml",
                "formfinder run --config-dir spaces space=small init=timm:vit_small_patch16_224",
            ),
        ),
        Command(
            name="describe",
            summary="an architecture or a run, layer by layer",
            usage="FILE.json | RUN | deit_tiny [hardware=NAME]",
            target="nas.cli.describe:describe",
            details="Shows tokens, parameters and multiply-adds of each layer. member=DIGEST is\n"
            "one of a run's front; hardware=NAME batch=N tells where time goes there,\n"
            "and measure=true runs the network on hardware=cpu beside the estimate.",
            examples=(
                "formfinder describe runs/digits-cpu-s0",
                "formfinder describe runs/digits-cpu-s0 member=3fa1",
                "formfinder describe deit_small hardware=rtx4090 batch=64",
                "formfinder describe deit_tiny hardware=cpu measure=true",
            ),
        ),
    )
}
