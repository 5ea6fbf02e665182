"""``formfinder describe … hardware=NAME``: where the time of a network would go on a device."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.display import Display
from nas.export.best import check_best, read_architecture
from nas.front import Front
from nas.hardware.described import DescribedDevice
from nas.hardware.device import DEVICES
from nas.hardware.host import host_spec
from nas.hardware.profile import HardwareConfig
from nas.measurement.layers import measure_layers
from nas.roofline.estimating import Estimate, estimate_work
from nas.roofline.schedule import SCHEDULES, flash_bytes, sram_kib
from nas.roofline.setting import Setting
from nas.roofline.slow import Change, changes, layer_times, padded_sizes
from nas.run_folder import RunFolder, read_json
from nas.steps.describing import DEFAULT_CLASSES, file_of_run, say_where_tokens_vary
from search_spaces.architecture import Architecture
from search_spaces.errors import UserError, bad_value
from search_spaces.space import SearchSpace
from supernet.extract import build_model
from supernet.operators import all_cards
from supernet.workload import Workload, workload

SHOWN = 3
LEAST = 0.01  # of the time: what saves less is not worth a line


def describe_on_device(
    path: Path,
    display: Display,
    member: str | None,
    hardware: str,
    batch: int | None,
    measure: bool = False,
) -> None:
    """Print where the time of what a file or a run holds would go on a device.

    Args:
        path: an architecture's JSON, a ``best.json``, a ``front.json`` or a run folder.
        display: where to.
        member: the member of the front that is meant; None: the winner.
        hardware: a described device, or this computer's processor (``cpu``).
        batch: images of one pass; None: one.
        measure: run the network here, and print what each layer took beside the estimate.

    Raises:
        UserError: it is none of these, has no such member, or nothing is known of the device.
    """
    if measure and hardware != "cpu":
        raise bad_value("measure", True, f"only hardware=cpu, this computer; {hardware} is not")
    setting = setting_on(hardware, batch)
    space = _space_of(path)
    if path.is_dir():
        path = file_of_run(RunFolder.at(path).parts(), member)
    data, measured = read_json(path), None
    if "members" in data:
        front = Front.load(path)
        found = front.find(member or front.winner)
        architecture, classes = found.architecture, len(front.data["classes"])
        profile, latency = front.profile, found.metrics["latency_ms"].to_dict()
        measured, setting = _measured(profile, latency, hardware, batch, setting)
    elif member is not None:
        raise UserError(f"{path}: member={member!r}: only a run or a front.json has members")
    elif "architecture" in data:
        check_best(data, path)
        architecture = Architecture.from_dict(data["architecture"])
        classes = len(data["task"]["classes"])
        profile, latency = data["profile"], data["metrics"]["latency_ms"]
        measured, setting = _measured(profile, latency, hardware, batch, setting)
    else:
        architecture, classes = read_architecture(data, path), DEFAULT_CLASSES
    describe_on(hardware, setting, architecture, classes, display, space, measured, measure)


def _space_of(path: Path) -> SearchSpace | None:
    """The space of the run that a path is, or lies in; None where there is none."""
    folder = RunFolder.at(path if path.is_dir() else path.parent)
    if not folder.space.exists():
        return None
    return SearchSpace(read_json(folder.space)["space"], all_cards())


def _measured(
    profile: Mapping[str, Any],
    latency: Mapping[str, Any],
    hardware: str,
    batch: int | None,
    setting: Setting,
) -> tuple[Mapping[str, Any] | None, Setting]:
    """A latency that was measured on this device at this batch, and the setting of that batch."""
    if profile.get("device") != hardware or latency["kind"] != "measured":
        return None, setting
    if batch is None:
        setting = setting_on(hardware, int(profile["batch"]))
    elif batch != profile["batch"]:
        return None, setting
    return {**latency, "runtime": profile["runtime"]}, setting


def describe_on(
    device: str,
    setting: Setting,
    architecture: Architecture,
    num_classes: int,
    display: Display,
    space: SearchSpace | None = None,
    measured: Mapping[str, Any] | None = None,
    measure: bool = False,
) -> None:
    """Print the layers by time, what is padded, and the changes that save most.

    Args:
        device: its name.
        setting: how it runs networks.
        architecture: of the network.
        num_classes: outputs of its head.
        display: where to.
        space: whose genes may change; None: any part of the network.
        measured: the latency metric of the network on this device, where there is one.
        measure: run the network here, layer by layer.
    """
    work = workload(architecture, num_classes)
    found = estimate_work(work, device, setting)
    taken: dict[str, float] = {}
    if measure:
        model = build_model(architecture, num_classes).eval()
        names = [layer.name for layer in work.layers]
        taken = measure_layers(model, setting.batch, names, setting.threads or 1)
    _table(work, found, setting, display, taken)
    say_where_tokens_vary(architecture, display)
    _summary(found, work, setting, display)
    if measured is not None:
        display.line(
            f"measured in {measured['runtime']}: {measured['value']:.3f} ms, "
            f"estimated {found.latency_ms:.3f} ms "
            f"({found.latency_ms / measured['value'] - 1:+.0%})"
        )
    for line in padded_sizes(work, setting):
        display.line(f"padded: {line}")
    _changes(changes(architecture, num_classes, device, setting, space), found, display)


def setting_on(name: str, batch: int | None = None) -> Setting:
    """How a device runs networks by default.

    Raises:
        UserError: there is no such device, or nothing is known of it, or it runs no such batch.
    """
    device = DEVICES[name]
    usual = device.default()
    if batch is not None:
        usual.batch = batch
        device.check(name, usual)
    if isinstance(device, DescribedDevice):
        return device.setting(usual)
    if name != "cpu":
        raise UserError(
            f"hardware={name!r}: such a device has no spec sheet, it can only be measured "
            f"(formfinder profile hardware={name}); estimated are cpu, "
            f"{', '.join(d.name for d in DEVICES if isinstance(d, DescribedDevice))}"
        )
    return _host(usual)


def _host(usual: HardwareConfig) -> Setting:
    spec = host_spec()
    return Setting(spec=spec, precision="fp32", batch=usual.batch or 1, threads=usual.threads)


def _table(
    work: Workload,
    found: Estimate,
    setting: Setting,
    display: Display,
    taken: Mapping[str, float],
) -> None:
    rows = [
        (
            layer.name.replace("stages.", "").replace("blocks.", ""),
            layer.op,
            _ms(layer.latency_ms),
            *([_ms(taken[layer.name])] if taken else []),
            f"{layer.share:.0%}",
            layer.bound,
            f"{layer.of_peak:.0%}",
        )
        for layer in layer_times(work, found, setting)
    ]
    total = [_ms(sum(taken.values()))] if taken else []
    rows.append(("total", "", _ms(found.latency_ms), *total, "", found.bound, ""))
    display.step(f"On {found.device}: {setting.spec.model}, estimated")
    how = "compiled" if found.compiled else "operator by operator"
    run = "measured in torch eager, medians" if taken else "nothing was run"
    display.line(f"{found.precision}, batch {found.batch}, {how}; {run}")
    beside = ["run ms"] if taken else []
    columns = ("layer", "operator", "ms", *beside, "share", "bound by", "peak")
    display.table("", columns, rows)


def _ms(value: float) -> str:
    return f"{value:.3f}" if value < 100 else f"{value:,.0f}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _summary(found: Estimate, work: Workload, setting: Setting, display: Display) -> None:
    display.line(
        f"{_short(found.throughput)} images/s, {_short(found.energy_mj)} mJ an image, "
        f"{_short(found.memory_mb)} MB: all estimated"
    )
    if setting.spec.kind != "mcu":
        return
    kib = {name: sram_kib(work, name) for name in SCHEDULES}
    listed = ", ".join(f"{name} {value:.1f}" for name, value in kib.items())
    limits = setting.spec.memory_mb * 1e6 / 1024, setting.spec.flash_mb * 1e6 / 1024
    display.line(f"SRAM, KiB of {limits[0]:.0f}: {listed}")
    display.line(f"flash, KiB of {limits[1]:.0f}: {flash_bytes(work) / 1024:.1f} for weights")


def _changes(found: list[Change], before: Estimate, display: Display) -> None:
    found = [change for change in found if change.saved_ms >= LEAST * before.latency_ms]
    if not found:
        display.line(f"no single change saves {LEAST:.0%} or more of the time")
        return
    display.line("Single changes that save most (what they cost in accuracy is not known):")
    # The same change in another layer tells nothing new: the first stands for them.
    kinds = {re.sub(r"layer\d+", "layer", change.what): change for change in reversed(found)}
    for change in sorted(kinds.values(), key=lambda one: -one.saved_ms)[:SHOWN]:
        display.line(
            f"  {change.what}: saves {_ms(change.saved_ms)} ms "
            f"({change.saved_ms / before.latency_ms:.0%})"
        )
