"""What a proxy's file registers.

A *score* looks at one untrained model. A *combination* has no unit of its own: it compares
candidates by their places among each other in several scores.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from nas.pareto import Direction
from search_spaces.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

Floats = NDArray[np.float64]


class Proxy(ABC):
    """What every proxy says about itself.

    Attributes:
        name: as in files and on the command line.
        label: for people.
        summary: one line for ``list`` and tables.
        source: paper and equation.
        direction: whether more is better (``max``) or less (``min``).
        built_for: the attention types its authors made it for; None where attention of one type
            is as good as another to it.
        members: the scores it is made of; none for a score.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str] = "common"
    direction: ClassVar[Direction] = "max"
    built_for: ClassVar[tuple[str, ...] | None] = None
    members: ClassVar[tuple[str, ...]] = ()


class Score(Proxy):
    """A number for one untrained model.

    Attributes:
        inits: over how many initialisations it is averaged.
        worst: what a candidate is booked with that is not scored because it breaks a limit.
        is_objective: whether it may be searched for; not where an objective counts the same.
    """

    inits: ClassVar[int] = 1
    worst: ClassVar[float] = 0.0
    is_objective: ClassVar[bool] = True

    @abstractmethod
    def score(self, model: nn.Module, images_BCHW: Tensor, labels_B: Tensor, seed: int) -> float:
        """The score of a freshly initialised model.

        Changes neither the model nor the global state of any random generator.

        Args:
            model: images to logits ``(B, classes)``.
            images_BCHW: a few normalised images.
            labels_B: their classes, int64.
            seed: of whatever it draws itself.

        Returns:
            A finite number.
        """


class Combination(Proxy):
    """Candidates by their mean place in several scores.

    Only the order of each member counts, so that units and monotone transforms change nothing.
    """

    def combine(self, columns: Mapping[str, Floats]) -> Floats:
        """Mean place of each candidate, ``(N,)`` in (0, 1], 1 for the best in every member.

        Args:
            columns: at least the members' scores by name, ``(N,)`` each. Equal scores share
                their mean place, a candidate without a score has none.
        """
        places = [place(columns[name], PROXIES[name].direction) for name in self.members]
        made: Floats = np.mean(places, axis=0)
        return made


def place(values_N: Floats, direction: Direction) -> Floats:
    """The place of each value among all, ``(N,)`` in (0, 1], 1 for the best; ties share theirs."""
    from scipy.stats import rankdata

    signed_N = values_N if direction == "max" else -values_N
    ranks_N = np.asarray(rankdata(signed_N, nan_policy="omit"), dtype=np.float64)
    made: Floats = ranks_N / max(int(np.isfinite(values_N).sum()), 1)
    return made


PROXIES: Registry[Proxy] = Registry("proxy", "nas.proxies")


def warning(proxy: Proxy, attention: Iterable[str]) -> str | None:
    """One line where a proxy ranks attention types that it was not built for, else None."""
    parts = [PROXIES[name] for name in proxy.members] or [proxy]
    made_for = {part.built_for for part in parts if part.built_for is not None}
    strange = {a for a in attention for known in made_for if a not in (*known, "none")}
    if not strange:
        return None
    known = sorted({name for names in made_for for name in names})
    return f"{proxy.name} was built for {' and '.join(known)}, not for {', '.join(sorted(strange))}"
