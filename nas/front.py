"""The verified front as data: what ``front.json`` holds. Read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nas.run_folder import read_json, write_json
from search_spaces.architecture import Architecture
from search_spaces.errors import UserError, bad_value

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A number and where it came from.

    Attributes:
        value: in the metric's unit.
        kind: ``measured``, ``predicted``, ``counted``, or ``estimated`` (of a described device).
        low, high: 95 % interval of an accuracy, quartiles of a latency; None where there is none.
        n: images, or timed runs.
        predicted: what the search believed: ``{"value", "low", "high"}``; None if nothing.
        source: split, profile, runtime, date, code version … as plain data.
    """

    value: float
    kind: str
    low: float | None = None
    high: float | None = None
    n: int | None = None
    predicted: Mapping[str, float] | None = None
    source: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data without empty fields."""
        return {key: value for key, value in asdict(self).items() if value not in (None, {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One row of an architecture's trace.

    Attributes:
        name: path in the model.
        op: operator with its parameters.
        tokens_in, tokens_out: tokens in front and behind, special ones included.
        grid: (height, width) behind it, or None.
        params, macs: counts for one image.
    """

    name: str
    op: str
    tokens_in: int
    tokens_out: int
    grid: tuple[int, int] | None
    params: int
    macs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One architecture of the front.

    Attributes:
        architecture: what it is.
        trial: number of the trial that found it.
        metrics: by name, with provenance.
        layers: its trace, so that readers need no torch.
        tied: whether its accuracy is statistically tied with the most accurate member's.
        dominated: whether measured values show that another member is better in everything.
        origin: in a merged front the run, seed, weights and profile it is of; {} otherwise.
    """

    architecture: Architecture
    trial: int
    metrics: Mapping[str, Metric]
    layers: tuple[Layer, ...]
    tied: bool
    dominated: bool
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The architecture's key."""
        return self.architecture.digest()

    @property
    def latency_kind(self) -> str:
        """``estimated`` or ``measured``, whatever else a damaged file may say."""
        latency = self.metrics.get("latency_ms")
        estimated = latency is not None and latency.kind == "estimated"
        return "estimated" if estimated else "measured"

    def value(self, metric: str) -> float:
        """The value of a metric."""
        return self.metrics[metric].value

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "digest": self.digest,
            "architecture": self.architecture.to_dict(),
            "trial": self.trial,
            "metrics": {name: metric.to_dict() for name, metric in self.metrics.items()},
            "layers": [asdict(layer) for layer in self.layers],
            "tied": self.tied,
            "dominated": self.dominated,
            **({"origin": dict(self.origin)} if self.origin else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Member:
        """The inverse of ``to_dict``."""
        return cls(
            architecture=Architecture.from_dict(data["architecture"]),
            trial=data["trial"],
            metrics={name: Metric(**metric) for name, metric in data["metrics"].items()},
            layers=tuple(
                Layer(**{**layer, "grid": tuple(layer["grid"]) if layer["grid"] else None})
                for layer in data["layers"]
            ),
            tied=data["tied"],
            dominated=data["dominated"],
            origin=data.get("origin", {}),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """What a search found, verified.

    Attributes:
        run: the run's name.
        created: date and time, UTC.
        code_version: of Formfinder.
        data: name, digest, classes, images of the validation split.
        profile: the hardware profile, with its key.
        weights: hash of the supernet's weights.
        objectives: name, direction, unit and label of each.
        limits: hard limits by metric, as the configuration states them.
        members: by descending accuracy; dominated ones (after measuring) included and marked.
        winner: digest of the member that was exported as best.json.
        winner_rule: ``knee`` or ``accuracy``.
        front_error: how well the latency predictor told the members: mape, spearman, kendall_tau,
            n.
        counting_rule: what a MAC is.
    """

    run: str
    created: str
    code_version: str
    data: Mapping[str, Any]
    profile: Mapping[str, Any]
    weights: str
    objectives: tuple[Mapping[str, str], ...]
    limits: Mapping[str, Any]
    members: tuple[Member, ...]
    winner: str
    winner_rule: str
    front_error: Mapping[str, float]
    counting_rule: str

    @property
    def latency_kind(self) -> str:
        """``measured``, or ``estimated`` on a device that is described."""
        return next((m.latency_kind for m in self.members), "measured")

    def member(self, digest: str) -> Member:
        """The member of this digest.

        Raises:
            UserError: there is none.
        """
        for member in self.members:
            if member.digest == digest:
                return member
        raise UserError(f"front: no member {digest!r}")

    def find(self, start: str) -> Member:
        """The member whose digest begins with ``start``.

        Raises:
            UserError: there is none, or there are several.
        """
        found = [member for member in self.members if member.digest.startswith(start)]
        if start and len(found) == 1:
            return found[0]
        digests = [member.digest for member in found or self.members]
        shown = f"{', '.join(digests[:8])}{', …' if len(digests) > 8 else ''}"
        raise bad_value("member", start, f"the digest of one member, or how it begins: {shown}")

    def standing(self) -> tuple[Member, ...]:
        """The members that measuring did not show to be dominated."""
        return tuple(member for member in self.members if not member.dominated)

    def save(self, path: Path) -> None:
        """Write ``front.json``."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        data["members"] = [member.to_dict() for member in self.members]
        data["objectives"] = [dict(objective) for objective in self.objectives]
        write_json(path, {"schema_version": SCHEMA_VERSION, **data})

    @classmethod
    def load(cls, path: Path) -> Front:
        """Read ``front.json``.

        Raises:
            UserError: it is missing, damaged, or of a later version.
        """
        data = read_json(path)
        version = data.pop("schema_version", None)
        if version != SCHEMA_VERSION:
            raise UserError(f"{path}: schema_version={version!r}: allowed is {SCHEMA_VERSION}")
        try:
            data["members"] = tuple(Member.from_dict(member) for member in data["members"])
            data["objectives"] = tuple(data["objectives"])
            return cls(**data)
        except (KeyError, TypeError) as error:
            raise UserError(f"{path}: damaged ({error})") from error
