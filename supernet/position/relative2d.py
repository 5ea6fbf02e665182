"""Relative positions in two dimensions, for keys and values (Shaw et al. 2018, eq. 3 and 4; in
two dimensions iRPE, Wu et al. 2021, and AutoFormer).

They act inside of attention, layer by layer; the products are in `supernet.relative`.
"""

from __future__ import annotations

import numpy as np

from search_spaces.architecture import OpSetting
from search_spaces.card import Geometry, ParameterSpec, PositionCard
from search_spaces.workload import Kernel, Sizes
from supernet.operators import Position, Weights
from supernet.position import POSITIONS
from supernet.position.table import add_table, table_kernels, table_parameters
from supernet.tokens import TokenState

_TABLES = tuple(
    f"relative_{to}_{what}" for to in ("k", "v") for what in ("rows", "columns", "special")
)


def _rejects(geometry: Geometry, setting: OpSetting) -> str | None:
    return None if setting["reach"] >= 1 else f"reach={setting['reach']}; distances begin at 1"


def _parameters(setting: OpSetting) -> tuple[ParameterSpec, ...]:
    return table_parameters(setting) if setting["table"] else ()


def _kernels(sizes: Sizes, setting: OpSetting) -> list[Kernel]:
    return table_kernels(sizes, setting) if setting["table"] else []


def _inside(setting: OpSetting) -> tuple[ParameterSpec, ...]:
    distances = 2 * setting["reach"] + 1
    specs = []
    for to in ("k", "v"):
        for axis in ("rows", "columns"):
            specs.append(
                ParameterSpec(
                    name=f"relative_{to}_{axis}",
                    shape=lambda s: (distances, s.head_dim),
                    init="normal",
                    rule="centre",
                )
            )
        specs.append(
            ParameterSpec(
                # One row a table, for pairs with a special token.
                name=f"relative_{to}_special",
                shape=lambda s: (2 * np.minimum(s.special, 1), s.head_dim),
                init="normal",
            )
        )
    return tuple(specs)


@POSITIONS.register
class Relative2d(Position):
    """Learned vectors for the rows and the columns between two tokens, in every layer.

    Distances beyond ``reach`` count as ``reach``. With ``table`` a learned table of absolute
    positions is added at the input too, as AutoFormer does.
    """

    card = PositionCard(
        name="relative2d",
        summary="rows and columns between two tokens, for keys and values, in every layer",
        source="AutoFormer, iRPE",
        choices={"reach": (3,), "table": (True,)},
        rejects=_rejects,
        parameters=_parameters,
        kernels=_kernels,
        inside=_inside,
        gradient_free=_TABLES,  # the last layer's, where only the class token is read
    )

    def forward(self, state: TokenState, w: Weights, setting: OpSetting) -> TokenState:
        """See ``Position.forward``; what acts inside of attention is not here."""
        return add_table(state, w) if setting["table"] else state
