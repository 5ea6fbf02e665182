"""A predictor as data: measurements, family, hyper-parameters and seed. Nothing that executes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nas.measurement.repeatability import Agreement
from search_spaces.errors import UserError, bad_value

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorData:
    """All that a predictor is made from; refitting it gives the same predictions.

    Attributes:
        profile: ``HardwareProfile.key()``.
        family: name of the family.
        hyper: its hyper-parameters.
        seed: of folds and trees.
        feature_names: what the F columns are.
        features: (B, F) rows of the measured networks.
        latency_ms: (B,) what was learned, see ``training_target``.
        held_out_ms: (B,) each network as predicted by a predictor that has not seen it.
        statistic: ``latency`` or ``floor``: what the target was taken from.
        scale: what floors were multiplied by.
        repeat: how well the measurement itself repeats.
        base: of family ``transfer``: the predictor that was adapted; None otherwise.
    """

    profile: str
    family: str
    hyper: Mapping[str, float]
    seed: int
    feature_names: tuple[str, ...]
    features: tuple[tuple[float, ...], ...]
    latency_ms: tuple[float, ...]
    held_out_ms: tuple[float, ...]
    statistic: str
    scale: float
    repeat: Agreement
    base: PredictorData | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"schema": SCHEMA_VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PredictorData:
        """The inverse of ``to_dict``; a report beside it is ignored.

        Raises:
            UserError: the data is of another version or incomplete.
        """
        if data.get("schema") != SCHEMA_VERSION:
            raise bad_value("predictor: schema", data.get("schema"), str(SCHEMA_VERSION))
        values = {key: data[key] for key in data if key not in ("schema", "report", "measuring")}
        try:
            values["features"] = tuple(tuple(row) for row in values["features"])
            for key in ("feature_names", "latency_ms", "held_out_ms"):
                values[key] = tuple(values[key])
            values["repeat"] = Agreement.from_dict(values["repeat"])
            if values.get("base") is not None:
                values["base"] = cls.from_dict({"schema": SCHEMA_VERSION, **values["base"]})
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise UserError(f"predictor: a field is missing or unknown: {error}") from error
