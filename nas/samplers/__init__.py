"""Who proposes candidates: factories to Optuna samplers, one file per member."""

from nas.samplers.sampler import SAMPLERS, SamplerFactory, build_sampler, read_options

__all__ = ["SAMPLERS", "SamplerFactory", "build_sampler", "read_options"]
