"""What a run is asked to do: typed, validated, comparable. No torch, ray or optuna in here."""

from nas.config.identity import diff_identity, identity_of
from nas.config.rules import validate
from nas.config.schema import (
    AugmentationConfig,
    DataConfig,
    ExecutorConfig,
    FinetuneConfig,
    ProfileConfig,
    ReportConfig,
    RunConfig,
    SamplerConfig,
    SearchConfig,
    TrackingConfig,
    TrainingConfig,
)
from nas.config.store import from_dict, load_config, run_folder, run_name, save_config, to_dict
from nas.hardware.profile import HardwareConfig

__all__ = [
    "AugmentationConfig",
    "DataConfig",
    "ExecutorConfig",
    "FinetuneConfig",
    "HardwareConfig",
    "ProfileConfig",
    "ReportConfig",
    "RunConfig",
    "SamplerConfig",
    "SearchConfig",
    "TrackingConfig",
    "TrainingConfig",
    "diff_identity",
    "from_dict",
    "identity_of",
    "load_config",
    "run_folder",
    "run_name",
    "save_config",
    "to_dict",
    "validate",
]
