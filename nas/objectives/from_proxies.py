"""Every proxy that scores a single model may be searched for or limited, too.

They are evaluated in the workers, on freshly initialised models: cheap, but not free.
"""

from nas.objectives.objective import OBJECTIVES, Objective
from nas.proxies import PROXIES, Score

for _proxy in PROXIES:
    if isinstance(_proxy, Score) and _proxy.is_objective:
        OBJECTIVES.add(
            Objective(
                name=_proxy.name,
                label=_proxy.label,
                unit="",
                direction=_proxy.direction,
                cost="cheap",
                worst=_proxy.worst,
            )
        )
