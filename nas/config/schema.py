"""The schema of a run. Every key states its kind, its unit and what it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nas.config.fields import identity, resumable, section
from nas.config.retraining import RetrainConfig
from nas.hardware.profile import HardwareConfig


@dataclass
class DataConfig:
    """Which images, at which size, split how."""

    name: str = identity("digits", "source of the images: digits, folder or a plug-in")
    path: str | None = identity(None, "folder of the images, for sources that read files")
    image_size: int = identity(16, "side of the square input, px")
    channels: int | None = identity(1, "1 grey, 3 RGB, 4 RGBA; null: as the files, all alike")
    fit: str = identity("crop", "crop (short side, then centre), stretch or pad to a square")
    mirror: bool = identity(False, "may training flip images left to right")
    padding: str = identity("zeros", "what augmentation moves in: zeros, border or reflection")
    images_per_call: int = identity(1, "images a model in use gets at once; latency is of that")
    seed: int = identity(0, "seed of the frozen train/val/test split")
    val_share: float = identity(0.2, "share held out for ranking, where the data has no val/")
    test_share: float = identity(0.2, "share held out for the end, where the data has no test/")
    max_unreadable: float = resumable(0.01, "share of unreadable images that is skipped")
    max_cache_mb: float = resumable(4096.0, "most memory for decoded images, 10^6 bytes")


@dataclass
class AugmentationConfig:
    """What training does to an image; each image draws its own values."""

    rotate_deg: float = identity(18.0, "most rotation to either side, degrees")
    scale: float = identity(0.2, "most growth or shrinkage, as a share of the size")
    shift: float = identity(0.125, "most shift along each axis, as a share of the side")
    erase_probability: float = identity(0.2, "share of images that lose a rectangle")
    erase_area: float = identity(0.15, "most of the image a rectangle covers, as a share")
    randaugment_layers: int = identity(0, "operations of RandAugment an image goes through")
    randaugment_magnitude: int = identity(0, "their strength, 0 to 30")
    mixup: float = identity(0.0, "alpha of mixup; 0: images are not blended")
    cutmix: float = identity(0.0, "alpha of cutmix; 0: no rectangles of other images")


@dataclass
class TrainingConfig:
    """How the supernet is trained."""

    epochs: int = identity(150, "passes over the training images")
    batch_size: int = identity(64, "images per step")
    lr: float = identity(4e-3, "peak learning rate")
    weight_decay: float = identity(0.05, "AdamW's decay")
    warmup_share: float = identity(0.1, "share of the steps with a rising learning rate")
    label_smoothing: float = identity(0.1, "weight of the uniform target, [0, 1)")
    student_label_share: float = identity(0.5, "labels in a student's loss, rest: the teacher")
    ema_decay: float = identity(0.99, "decay per step of the averaged weights; 0: none")
    grad_clip: float | None = identity(1.0, "largest norm of the gradient; null: no limit")
    random_subnets: int = identity(3, "random members per step beside largest and smallest")
    augmentation: AugmentationConfig = section(AugmentationConfig, "what is done to the images")


@dataclass
class ProfileConfig:
    """How the hardware is measured."""

    n_torch: int = resumable(60, "subnets measured in torch")
    n_runtime: int = resumable(100, "most subnets measured in the profile's runtime")
    seconds: float | None = resumable(None, "most time for one profile, s; null: no limit")
    accept_poor: bool = resumable(False, "search even if the predictor ranks badly")


@dataclass
class PrefilterConfig:
    """Which proposals are dropped before accuracy is paid for."""

    proxy: str | None = identity(None, "proxy that judges proposals; null: none are dropped")
    keep: float = identity(0.5, "share of the proposals that is kept")


@dataclass
class SearchConfig:
    """What the search may spend and what it looks for."""

    objectives: list[str] = identity(
        ["accuracy", "latency_ms", "peak_memory_mb"], "metrics of the front"
    )
    trials: int = resumable(200, "evaluations in total, those of earlier starts included")
    minutes: float | None = resumable(None, "stop after this time; null: by trials")
    patience: int | None = resumable(
        None, "stop after so many trials without a gain in hypervolume; null: no"
    )
    batch_size: int | None = identity(
        None, "candidates proposed at once; null: 12 if evaluations are short, else 6"
    )
    mirror: str | None = resumable(None, "database that gets a copy of finished trials; null: none")
    first_look: int | None = identity(
        1024, "val images that hopeless candidates are judged by; null: all"
    )
    reference: dict[str, float | None] = identity(
        {}, "worst corner of the hypervolume by metric; null: the space's own"
    )
    prefilter: PrefilterConfig = section(PrefilterConfig, "proposals dropped unpaid")
    start_from: list[str] = identity(
        [], "runs, fronts or architecture files whose members are tried first"
    )


@dataclass
class SamplerConfig:
    """Who proposes candidates."""

    name: str = identity("guided", "registered sampler")
    options: dict[str, Any] = identity({}, "options of that sampler")


@dataclass
class ExecutorConfig:
    """Where candidates are evaluated."""

    name: str = resumable("ray", "registered executor: ray or in_process")
    workers: int | None = resumable(None, "evaluating processes; null: one per core")
    threads: int = resumable(1, "threads of each of them")
    timeout_s: float = resumable(120.0, "one evaluation may take this long, s")
    retries: int = resumable(2, "how often one is begun again whose worker died")
    address: str | None = resumable(None, "Ray cluster to join; null: start a local one")


@dataclass
class TrackingConfig:
    """Where the course of the run is written, beside files."""

    name: str = resumable("none", "registered tracker: none, wandb, tensorboard or mlflow")
    options: dict[str, Any] = resumable({}, "options of that tracker")


@dataclass
class ProxiesConfig:
    """What ``formfinder proxies`` compares."""

    names: list[str] = resumable([], "proxies to compare; none: all of them")
    n: int = resumable(60, "random architectures, and as many of each attention type")


@dataclass
class FinetuneConfig:
    """Training of the winner from its inherited weights."""

    epochs: int = resumable(0, "passes over the training images; 0: none")


@dataclass
class ExportConfig:
    """What ``formfinder export`` writes beside ``best.json``."""

    formats: list[str] = resumable([], "formats to write; []: all that fit")
    all_front: bool = resumable(False, "every member of the front, not the winner alone")


@dataclass
class ReportConfig:
    """What the report adds."""

    baselines: bool = resumable(False, "train a DeiT-like net of the winner's latency to compare")


@dataclass
class RunConfig:
    """Everything one run is asked to do."""

    data: DataConfig = section(DataConfig, "which images")
    space: dict[str, Any] = identity({}, "the search space, see conf/space/")
    training: TrainingConfig = section(TrainingConfig, "how the supernet is trained")
    hardware: dict[str, HardwareConfig] = identity({}, "profiles by name, see conf/hardware/")
    profile: ProfileConfig = section(ProfileConfig, "how the hardware is measured")
    search: SearchConfig = section(SearchConfig, "what is searched for")
    constraints: dict[str, Any] = identity(
        {}, "hard limits: a number, or {max: a, min: b, confidence: c}"
    )
    sampler: SamplerConfig = section(SamplerConfig, "who proposes candidates")
    executor: ExecutorConfig = section(ExecutorConfig, "where they are evaluated")
    tracking: TrackingConfig = section(TrackingConfig, "where the run's course is written")
    proxies: ProxiesConfig = section(ProxiesConfig, "scores without training to compare")
    finetune: FinetuneConfig = section(FinetuneConfig, "training of the winner")
    retrain: RetrainConfig = section(RetrainConfig, "training of one model alone")
    export: ExportConfig = section(ExportConfig, "formats of the exported model")
    report: ReportConfig = section(ReportConfig, "what the report adds")
    hardware_file: str | None = identity(
        None, "a measured profile, perhaps of another machine; replaces hardware"
    )
    transfer_from: str | None = identity(
        None, "hardware file of a like device, adapted by a few measurements"
    )
    samples: int = resumable(10, "subnets measured to adapt transfer_from")
    seed: int = identity(0, "seed of training and search")
    device: str = resumable("auto", "torch device for training: auto, cpu, cuda or mps")
    supernet: str | None = identity(None, "run folder whose trained supernet is searched")
    init: str | None = identity(None, "weights to start from: timm:, hf:, autoformer: or run:...")
    init_order: str = identity("importance", "their heads and neurons: importance, none (as is)")
    out_dir: str = resumable("runs", "folder of all runs")
    name: str | None = resumable(None, "the run's folder; null: from data, hardware and seed")
    run: str | None = resumable(None, "a finished run, for commands that read one")
    by: str | None = resumable(None, "what pick goes by: accuracy or knee; null: the default")
    member: str | None = resumable(None, "the member to pick: its digest, or how that begins")
    progress: bool = resumable(True, "draw progress bars")
