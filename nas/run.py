"""One run: its configuration, its folder, and what its steps share."""

from __future__ import annotations

import copy
import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.config import (
    RunConfig,
    diff_identity,
    load_config,
    run_folder,
    save_config,
)
from nas.data.dataset import Dataset, load_dataset
from nas.data.splits import Splits
from nas.hardware.described import as_described
from nas.hardware.device import DEVICES
from nas.hardware.profile import HardwareProfile
from nas.initial_weights import check_initial_weights
from nas.limits import check_metrics, check_reachable, closed_form, limits_of
from nas.measurement.culprits import failed_ops
from nas.measurement.memory import costs_on
from nas.measurement.memory_file import fitted_in
from nas.measurement.portable import HardwareFile
from nas.roofline.columns import DescribedSpaceCosts
from nas.run_folder import RunFolder, read_json, write_json
from nas.runtimes.base import RUNTIMES, FloatArray
from nas.starting import known_good
from nas.tasks import TASKS
from nas.tasks.task import Task
from search_spaces.automaton import IntArray
from search_spaces.errors import UserError, writing
from search_spaces.space import SearchSpace
from supernet.costs import Liveness, SpaceCosts
from supernet.model import Supernet
from supernet.operators import all_cards

if TYPE_CHECKING:
    import torch

SEARCH_KEYS = ("constraints.", "search.", "sampler.")
SUPERNET_KEYS = ("data", "space", "training")


class Run:
    """What the steps of one run share; heavy parts are made when first asked for.

    Args:
        config: validated.
        write: put what the run begins with into its folder; False only reads.

    Raises:
        UserError: the folder holds a run of another identity, the space or data cannot be used, or
            no architecture can meet a limit. Nothing was written then.

    Attributes:
        config: as given; with ``supernet=RUN`` data, space and training are those of RUN.
        folder: the run's own.
        space: every architecture the weights serve.
        offered: those that the profiles' runtimes can run; they are measured and searched.
        source: the folder that holds weights and accuracies: the run's own, or ``supernet=RUN``.
        earlier: folders of the searches whose fronts this one begins with.
    """

    def __init__(self, config: RunConfig, *, write: bool = True) -> None:
        self.config = config
        self._only: HardwareProfile | None = None
        self.earlier: tuple[RunFolder, ...] = ()
        self.hardware_file = _hardware_file(config)
        self.source = RunFolder(Path(config.supernet)) if config.supernet else None
        if self.source is not None:
            owner = load_config(self.source.config)
            for key in SUPERNET_KEYS:
                setattr(config, key, getattr(owner, key))
        self.folder = RunFolder(run_folder(config))
        self.source = self.source or self.folder
        self._check_identity()
        # Data and space are checked before anything is written.
        self.dataset: Dataset = load_dataset(config.data, self._frozen_splits())
        self.space = self._space()
        self.offered = self._offered()
        self._check_data()
        for name in filter(None, (config.hardware_file, config.transfer_from)):
            HardwareFile.load(Path(name)).check_space(self.space.to_dict(), Path(name))
        if write:
            self.begin()

    @cached_property
    def away(self) -> bool:
        """Whether latencies are those of another machine, where nothing can be run from here."""
        if self.hardware_file is None:
            return False
        profile = self.hardware_file.profile
        device = DEVICES[profile.device]
        if device.unavailable() or RUNTIMES[profile.runtime].unavailable():
            return True
        return not self.hardware_file.machine.same_as(device.machine_for(profile))

    @cached_property
    def task(self) -> Task:
        """What is learned."""
        return TASKS["classification"]

    @property
    def num_classes(self) -> int:
        """Outputs of the head."""
        return self.task.outputs(self.dataset.class_names)

    @cached_property
    def costs(self) -> SpaceCosts:
        """Prices of candidates: memory is that of the one profile, where its runtime has a closed
        form; on a described device latency is one of them.
        """
        device = as_described(self.profile) if len(self.profiles) == 1 else None
        if device is None:
            profile = self.profile if len(self.profiles) == 1 else None
            return costs_on(profile, self.space, self.num_classes, self._fitted(profile))
        setting = device.setting(self.profile)
        return DescribedSpaceCosts(self.space, self.num_classes, setting)

    @property
    def profiles(self) -> tuple[HardwareProfile, ...]:
        """The hardware profiles of this run."""
        if self._only is not None:
            return (self._only,)
        spec, images = self.space.spec, self.config.data.images_per_call
        return tuple(
            HardwareProfile.of(name, config, spec.image_size, spec.channels, images)
            for name, config in self.config.hardware.items()
        )

    @property
    def profile(self) -> HardwareProfile:
        """The profile that is searched for; a run for several is asked by ``searches``."""
        (profile,) = self.profiles
        return profile

    @cached_property
    def searches(self) -> tuple[Run, ...]:
        """This run once for each profile, as the search for it sees it."""
        if len(self.profiles) == 1:
            return (self,)
        _ = self.costs  # made once, for all of them
        made: list[Run] = []
        for profile in self.profiles:
            one = copy.copy(self)
            one._only = profile
            # Limits come with devices: those of another one are none of its own.
            one.config = copy.copy(self.config)
            one.config.hardware = {profile.name: self.config.hardware[profile.name]}
            if (
                as_described(profile) is not None
                or RUNTIMES[profile.runtime].liveness(profile) is not None
                or self._fitted(profile) is not None
            ):
                del one.costs  # the copy's: it has its own
            one.folder = RunFolder(self.folder.path, profile.name)
            one.offered = one._offered()
            one.earlier = tuple(before.folder for before in made)
            made.append(one)
        return tuple(made)

    def new_supernet(self) -> Supernet:
        """A supernet with weights drawn from the seed."""
        import torch

        generator_state = torch.get_rng_state()
        torch.manual_seed(self.config.seed)
        try:
            return Supernet(self.space, self.num_classes)
        finally:
            torch.set_rng_state(generator_state)

    def trained_supernet(self) -> Supernet:
        """The supernet with its trained weights.

        Raises:
            UserError: it is not trained, or damaged.
        """
        from supernet.training.loop import load_supernet

        assert self.source is not None
        if not self.source.supernet.exists():
            raise UserError(f"{self.source.path}: no trained supernet; call formfinder train first")
        return load_supernet(self.new_supernet(), self.source.supernet)

    def genes(self, architectures: Any) -> np.ndarray[Any, Any]:
        """Gene rows of architectures of the space."""
        return np.stack([self.space.encode(architecture) for architecture in architectures])

    def example(self, profile: HardwareProfile) -> torch.Tensor:
        """Images for timing, from a fixed seed."""
        import torch

        generator = torch.Generator().manual_seed(0)
        return torch.randn(profile.input_shape, generator=generator)

    def begin(self) -> None:
        """Put what the run begins with into its folder, unless it was done on opening.

        Raises:
            UserError: no architecture can meet a limit, or there is nothing to start from;
                nothing was written.
        """
        self._check_limits()
        known_good(self.space, self.config.search.start_from)
        check_initial_weights(self)
        self._write()

    def offer_what_runs(self) -> None:
        """Look again at what is left out: measuring has shown what a runtime cannot run."""
        self.offered = self._offered()

    def price_anew(self) -> None:
        """Make costs again when they are next asked for: measuring has shown a form of memory."""
        self.__dict__.pop("costs", None)

    def _fitted(self, profile: HardwareProfile | None) -> Liveness | None:
        """What was fitted to a profile's measured memory, in an earlier start or by now."""
        return None if profile is None else fitted_in(self.folder.memory, profile.key())

    # -- opening ------------------------------------------------------------------------------

    def _check_identity(self) -> None:
        if not self.folder.config.exists():
            return
        changes = diff_identity(load_config(self.folder.config), self.config)
        if not any(part.study.exists() for part in self.folder.parts()):
            # Nothing was searched for yet: weights and profiles serve another question as well.
            changes = [change for change in changes if not change.startswith(SEARCH_KEYS)]
        if changes:
            raise UserError(
                f"{self.folder.path} is another run: {'; '.join(changes)}; give this one another "
                f"name=...{self._other_way(changes)}"
            )

    def _other_way(self, changes: list[str]) -> str:
        """Other limits need no new training."""
        if not all(change.startswith("constraints.") for change in changes):
            return ""
        path = self.folder.path
        return f", or choose among what was found: formfinder pick {path} constraints.METRIC=LIMIT"

    def _space(self) -> SearchSpace:
        """The declared space."""
        declared = _plain(self.config.space)
        if declared.get("channels") is None:
            declared["channels"] = self.dataset.channels
        return SearchSpace(declared, all_cards())

    def _offered(self) -> SearchSpace:
        """The space without the operators that a profile's runtime cannot, or could not, run."""
        excluded: dict[str, str] = {}
        cards = all_cards()
        for profile in self.profiles:
            runtime = RUNTIMES[profile.runtime]
            reason = f"{runtime.name} cannot run it"
            excluded |= dict.fromkeys(runtime.unsupported_ops, reason)
            if runtime.needs_onnx:
                known = [*cards.attention.values(), *cards.reduction.values()]
                excluded |= {card.name: reason for card in known if not card.exportable}
            excluded |= failed_ops(self.folder.measurements(profile.key()), profile.key())
        if not excluded:
            return self.space
        return SearchSpace(self.space.to_dict(), cards, excluded)

    def _frozen_splits(self) -> Splits | None:
        assert self.source is not None
        if not self.source.splits.exists():
            return None
        return Splits.from_dict(read_json(self.source.splits))

    def _check_data(self) -> None:
        spec, data = self.space.spec, self.dataset
        size = (data.image_size, data.image_size)
        if spec.image_size != size or spec.channels != data.channels:
            raise UserError(
                f"space.image_size={list(spec.image_size)}, space.channels={spec.channels}: "
                f"the images of data.name={data.name!r} are {list(size)} with {data.channels}"
            )

    def _check_limits(self) -> None:
        """Refuse limits on counted metrics that nothing meets; measured ones have to wait."""
        check_metrics(self.config)
        limits = limits_of(self.config)
        if limits:
            batch = min(profile.batch for profile in self.profiles)

            def price(genes_BG: IntArray) -> dict[str, FloatArray]:
                return closed_form(self.costs(genes_BG), batch)

            check_reachable(limits, self.offered, price, self.config.seed)

    def _write(self) -> None:
        with writing(self.folder.path):
            self.folder.path.mkdir(parents=True, exist_ok=True)
        save_config(self.config, self.folder.config)
        if not self.folder.splits.exists():
            write_json(self.folder.splits, self.dataset.splits.to_dict())
        write_json(
            self.folder.space,
            {
                "space": self.space.to_dict(),
                "digest": self.space.digest(),
                "cardinality": self.space.cardinality(),
                "genes": [
                    {"name": gene.name, "choices": list(gene.choices)} for gene in self.space.genes
                ],
            },
        )


def _plain(value: Any) -> Any:
    """YAML's numbers, lists and mappings, whatever they were composed from."""
    return json.loads(json.dumps(value))


def _hardware_file(config: RunConfig) -> HardwareFile | None:
    """The file of ``hardware_file``, whose profile takes the place of ``hardware``.

    Raises:
        UserError: it cannot be read.
    """
    if config.hardware_file is None:
        return None
    file = HardwareFile.load(Path(config.hardware_file))
    config.hardware = {file.profile.name: file.config()}
    return file
