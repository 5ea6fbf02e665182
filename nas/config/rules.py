"""What no type can say: ranges, names and rules across fields.

Everything here is checked before anything is written or measured.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from nas.config.registries import names, registry
from nas.config.retraining import PRECISIONS, WEIGHTS
from nas.config.schema import PrefilterConfig, RunConfig
from nas.config.store import to_dict
from nas.hardware.device import check_settings
from search_spaces.errors import UserError, bad_value, unknown_name

Test = Callable[[Any], bool]

_AT_LEAST_0: tuple[Test, str] = (lambda v: v >= 0, "0 or more")
_AT_LEAST_1: tuple[Test, str] = (lambda v: v >= 1, "1 or more")
_POSITIVE: tuple[Test, str] = (lambda v: 0 < v < math.inf, "a number above 0")
_SHARE: tuple[Test, str] = (lambda v: 0 <= v < 1, "a share from 0 up to, not including, 1")
_SPLIT: tuple[Test, str] = (lambda v: 0 < v < 1, "a share between 0 and 1")
_PROBABILITY: tuple[Test, str] = (lambda v: 0 <= v <= 1, "a share from 0 to 1")


def _one_of(*names: str) -> tuple[Test, str]:
    return lambda v: v in names, " | ".join(names)


# Null always means "no limit" or "choose": only values are held against the rules.
RULES: dict[str, tuple[Test, str]] = {
    "data.image_size": (lambda v: 4 <= v <= 4096, "4 to 4096 px"),
    "data.channels": (lambda v: v in (1, 3, 4), "1, 3, 4 or null"),
    "data.fit": _one_of("crop", "stretch", "pad"),
    "data.padding": _one_of("zeros", "border", "reflection"),
    "data.val_share": _SPLIT,
    "data.test_share": _SPLIT,
    "data.max_unreadable": _SHARE,
    "data.max_cache_mb": _POSITIVE,
    "data.images_per_call": _AT_LEAST_1,
    "training.epochs": _AT_LEAST_0,
    "training.batch_size": (lambda v: v >= 2, "2 or more"),
    "training.lr": _POSITIVE,
    "training.weight_decay": _AT_LEAST_0,
    "training.warmup_share": _SHARE,
    "training.label_smoothing": _SHARE,
    "training.student_label_share": (lambda v: 0 <= v <= 1, "0 to 1"),
    "training.ema_decay": _SHARE,
    "training.grad_clip": _POSITIVE,
    "training.random_subnets": _AT_LEAST_0,
    "training.augmentation.rotate_deg": (lambda v: 0 <= v <= 180, "0 to 180 degrees"),
    "training.augmentation.scale": _SHARE,
    "training.augmentation.shift": _SHARE,
    "training.augmentation.erase_probability": _PROBABILITY,
    "training.augmentation.erase_area": _SHARE,
    "training.augmentation.randaugment_layers": (lambda v: 0 <= v <= 14, "0 to 14"),
    "training.augmentation.randaugment_magnitude": (lambda v: 0 <= v <= 30, "0 to 30"),
    "training.augmentation.mixup": (lambda v: 0 <= v < math.inf, "0 or more"),
    "training.augmentation.cutmix": (lambda v: 0 <= v < math.inf, "0 or more"),
    "profile.n_torch": (lambda v: v == 0 or v >= 10, "0 (none) or at least 10"),
    "profile.n_runtime": (lambda v: v >= 10, "at least 10"),
    "profile.seconds": _POSITIVE,
    "search.trials": _AT_LEAST_1,
    "search.minutes": _POSITIVE,
    "search.patience": _AT_LEAST_1,
    "search.batch_size": _AT_LEAST_1,
    "search.prefilter.keep": (lambda v: 0 < v <= 1, "a share above 0, to 1"),
    "search.first_look": (lambda v: v >= 16, "16 or more, or null"),
    "executor.workers": _AT_LEAST_1,
    "executor.threads": _AT_LEAST_1,
    "executor.timeout_s": _POSITIVE,
    "executor.retries": _AT_LEAST_0,
    "finetune.epochs": _AT_LEAST_0,
    "retrain.weights": _one_of(*WEIGHTS),
    "retrain.epochs": _AT_LEAST_1,
    "retrain.batch_size": (lambda v: v >= 2, "2 or more"),
    "retrain.accumulate": _AT_LEAST_1,
    "retrain.lr": _POSITIVE,
    "retrain.layer_decay": (lambda v: 0 < v <= 1, "a share above 0, to 1"),
    "retrain.weight_decay": _AT_LEAST_0,
    "retrain.warmup_share": _SHARE,
    "retrain.label_smoothing": _SHARE,
    "retrain.grad_clip": _POSITIVE,
    "retrain.ema_decay": _SHARE,
    "retrain.teacher_share": _PROBABILITY,
    "retrain.teacher_size": (lambda v: 4 <= v <= 4096, "4 to 4096 px"),
    "retrain.temperature": _POSITIVE,
    "retrain.precision": _one_of(*PRECISIONS),
    "retrain.seed": (lambda v: 0 <= v < 2**32, "0 to 4294967295"),
    "proxies.n": (lambda v: v >= 10, "10 or more"),
    "samples": (lambda v: v >= 10, "10 or more"),
    "seed": (lambda v: 0 <= v < 2**32, "0 to 4294967295"),
    "data.seed": (lambda v: 0 <= v < 2**32, "0 to 4294967295"),
    "init_order": _one_of("importance", "none"),
    "device": (lambda v: v in ("auto", "cpu", "mps") or v.startswith("cuda"), "auto|cpu|cuda|mps"),
    "by": _one_of("accuracy", "knee"),
    "name": (lambda v: v not in ("", ".", "..") and "/" not in v, "a folder's name, without /"),
}

_HARDWARE_RULES: dict[str, tuple[Test, str]] = {
    "threads": _AT_LEAST_1,
    "batch": _AT_LEAST_1,
    "timeout_s": _POSITIVE,
}


def validate(config: RunConfig) -> RunConfig:
    """Check every rule; the configuration itself comes back, so that calls can be chained.

    Raises:
        UserError: the first broken rule, as one line with the key, the value and what is allowed.
    """
    data = to_dict(config)
    for path, (test, allowed) in RULES.items():
        _check(path, _select(data, path), test, allowed)
    for name, profile in data["hardware"].items():
        for key, (test, allowed) in _HARDWARE_RULES.items():
            _check(f"hardware.{name}.{key}", profile[key], test, allowed)
    _check_shares(config)
    _check_init(config)
    _check_names(config)
    _check_metrics(config)
    if config.hardware_file is not None and config.transfer_from is not None:
        raise bad_value("transfer_from", config.transfer_from, "null beside hardware_file")
    return config


def _select(data: dict[str, Any], path: str) -> Any:
    value: Any = data
    for part in path.split("."):
        value = value[part]
    return value


def _check(path: str, value: Any, test: Test, allowed: str) -> None:
    # NaN fails every comparison, so that it is refused wherever a range is stated.
    if value is not None and not test(value):
        raise bad_value(path, value, allowed)


def _check_shares(config: RunConfig) -> None:
    held = config.data.val_share + config.data.test_share
    if held >= 1:
        raise UserError(
            f"data.val_share={config.data.val_share} and data.test_share={config.data.test_share} "
            f"leave nothing to train on: together they must stay below 1"
        )


def _check_init(config: RunConfig) -> None:
    if config.init is not None:
        from supernet.importing.imported import split_origin

        split_origin(config.init)
    elif config.training.epochs == 0 and config.supernet is None:
        raise bad_value("training.epochs", 0, "1 or more, or 0 where init=... brings weights")


def _check_names(config: RunConfig) -> None:
    _check_member("data.name", config.data.name, "data")
    _check_member("sampler.name", config.sampler.name, "sampler")
    _check_options(config)
    _check_member("executor.name", config.executor.name, "executor")
    _check_member("tracking.name", config.tracking.name, "tracker")
    _check_tracking(config)
    prefilter = config.search.prefilter
    if prefilter.proxy is None and prefilter.keep != PrefilterConfig().keep:
        allowed = f"{PrefilterConfig().keep:g} unless search.prefilter.proxy names who judges"
        raise bad_value("search.prefilter.keep", prefilter.keep, allowed)
    if prefilter.proxy is not None:
        _check_member("search.prefilter.proxy", prefilter.proxy, "proxy")
    if config.retrain.augmentation is not None:
        _check_recipe(config.retrain.augmentation)
    for name in config.proxies.names:
        _check_member("proxies.names", name, "proxy")
    for name in config.export.formats:
        _check_member("export.formats", name, "format")
    if not config.hardware:
        raise bad_value("hardware", "[]", "at least one profile, e.g. hardware=cpu")
    for name, profile in config.hardware.items():
        _check_member(f"hardware.{name}.device", profile.device, "hardware")
        _check_member(f"hardware.{name}.runtime", profile.runtime, "runtime")
        check_settings(name, profile)
    if not config.space:
        raise bad_value("space", "{}", "a search space, e.g. space=digits")


def _check_metrics(config: RunConfig) -> None:
    from nas.objectives import read_limits

    known = names("objective")
    objectives = config.search.objectives
    if not objectives:
        raise bad_value("search.objectives", [], f"at least one of {', '.join(known)}")
    for name in objectives:
        if name not in known:
            raise unknown_name("search.objectives", name, known)
    twice = [name for name, count in Counter(objectives).items() if count > 1]
    if twice:
        raise bad_value("search.objectives", objectives, f"every metric once ({twice[0]!r} is not)")
    for name, limit in config.constraints.items():
        if name not in known:
            raise unknown_name("constraints", name, known)
        read_limits(registry("objective")[name], limit)
    for name, worst in config.search.reference.items():
        if worst is not None and name not in objectives:
            raise unknown_name("search.reference", name, objectives)
        if worst is not None and not math.isfinite(worst):
            raise bad_value(f"search.reference.{name}", worst, "a finite number, or null")
        if worst is not None and name == "accuracy" and not 0 <= worst < 1:
            raise bad_value("search.reference.accuracy", worst, "0 up to, not including, 1")


def _check_options(config: RunConfig) -> None:
    # Options are read by the sampler's own schema, here only so that they fail before the work.
    from nas.samplers import read_options

    read_options(registry("sampler")[config.sampler.name].options, config.sampler.options)


def _check_tracking(config: RunConfig) -> None:
    from nas.tracking.tracker import read_options

    read_options(registry("tracker")[config.tracking.name].options, config.tracking.options)


def _check_member(path: str, name: str, kind: str) -> None:
    known = names(kind)
    if name not in known:
        raise unknown_name(path, name, known)


def _check_recipe(name: str) -> None:
    from nas.data.recipes import RECIPES  # reads the schema itself

    if name not in RECIPES:
        raise unknown_name("retrain.augmentation", name, RECIPES)
