"""Who a model learns from beside the labels: the supernet's largest net, or any model of timm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.config.retraining import RetrainConfig
from nas.run import Run
from search_spaces.errors import UserError, bad_value, nearest

KEY = "retrain.teacher"
Teacher = Callable[[Tensor], Tensor]


def load_teacher(run: Run, config: RetrainConfig, device: torch.device) -> Teacher | None:
    """The teacher as a function of normalised images ``(B, C, H, W)`` to logits ``(B, K)``.

    Raises:
        UserError: there is no such teacher, it has other classes, or its file does not fit.
    """
    if config.teacher is None:
        return None
    if config.teacher == "supernet":
        return _largest(run, device)
    kind, _, rest = config.teacher.partition(":")
    if kind != "timm" or not rest:
        raise bad_value(KEY, config.teacher, "supernet, timm:NAME or timm:NAME@FILE")
    name, _, file = rest.partition("@")
    model = _timm_model(run, config, name, file)
    return _Adapted(model.to(device), run, config.teacher_size)


def _largest(run: Run, device: torch.device) -> Teacher:
    return torch.no_grad()(run.trained_supernet().to(device).member(run.space.largest()))


class _Adapted:
    """A model of timm behind our images: its own size, mean and deviation."""

    def __init__(self, model: nn.Module, run: Run, size: int | None) -> None:
        self._model = model.eval().requires_grad_(False)
        settings: Mapping[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
        channels = run.dataset.channels
        self._ours = (_column(run.dataset.transform.mean), _column(run.dataset.transform.std))
        self._theirs = (
            _column(_fitted(settings["mean"], channels)),
            _column(_fitted(settings["std"], channels)),
        )
        self._side = size or int(settings["input_size"][-1])

    def __call__(self, images_BCHW: Tensor) -> Tensor:
        """Logits ``(B, K)`` of images that our transform normalised."""
        device = images_BCHW.device
        mean, std = (value.to(device) for value in self._ours)
        their_mean, their_std = (value.to(device) for value in self._theirs)
        images = (images_BCHW * std + mean - their_mean) / their_std
        if images.shape[-1] != self._side:
            images = F.interpolate(
                images, (self._side, self._side), mode="bilinear", antialias=True
            )
        with torch.no_grad():
            logits_BK: Tensor = self._model(images)
        return logits_BK


def _column(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values).view(1, -1, 1, 1)


def _fitted(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Statistics of RGB for as many channels as ours."""
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels


def _timm_model(run: Run, config: RetrainConfig, name: str, file: str) -> nn.Module:
    timm = _timm()
    if not timm.is_model(name):
        close = nearest(name, timm.list_models())
        hint = f"; did you mean {f'timm:{close}'!r}?" if close else ""
        raise UserError(f"{KEY}={config.teacher!r}: timm has no model {name!r}{hint}")
    more: dict[str, Any] = {"in_chans": run.dataset.channels}
    if not file:
        return _downloaded(run, config, name, more)
    tensors = _read(Path(file).expanduser(), config)
    _check_classes(config, _classes_of(timm, name, tensors), run.num_classes)
    more["num_classes"] = run.num_classes
    model = _created(timm, name, config.teacher_size, more)
    mine = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    theirs = {key: tuple(value.shape) for key, value in tensors.items()}
    wrong = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
    if wrong:
        shown = "; ".join(f"{k}: {theirs.get(k)} there, {mine.get(k)} wanted" for k in wrong[:3])
        raise UserError(f"{KEY}={config.teacher!r}: the file is not of {name} ({shown})")
    model.load_state_dict(tensors)
    return model


def _downloaded(run: Run, config: RetrainConfig, name: str, more: dict[str, Any]) -> nn.Module:
    timm = _timm()
    settings = timm.get_pretrained_cfg(name)
    if settings is None or not settings.has_weights:
        raise UserError(f"{KEY}={config.teacher!r}: timm has no weights of it; add @FILE")
    _check_classes(config, settings.num_classes, run.num_classes)  # before anything is downloaded
    try:
        return _created(timm, name, config.teacher_size, {**more, "pretrained": True})
    except Exception as error:  # timm, hub and network each raise their own
        first = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"{KEY}={config.teacher!r}: cannot be loaded: {type(error).__name__}: {first}"
        ) from error


def _created(timm: Any, name: str, size: int | None, more: dict[str, Any]) -> nn.Module:
    if size is not None:
        try:  # transformers are made for one size, convolutional nets take any
            return timm.create_model(name, img_size=size, **more)  # type: ignore[no-any-return]
        except TypeError:
            pass
    return timm.create_model(name, **more)  # type: ignore[no-any-return]


def _classes_of(timm: Any, name: str, tensors: Mapping[str, Tensor]) -> int:
    """Outputs of the head in a file, whatever the head is called."""
    settings = timm.get_pretrained_cfg(name)
    heads = settings.classifier if settings is not None else "head"
    first = heads if isinstance(heads, str) else heads[0]
    weight = tensors.get(f"{first}.weight")
    return -1 if weight is None else len(weight)


def _check_classes(config: RetrainConfig, theirs: int, ours: int) -> None:
    if theirs not in (ours, -1):
        raise UserError(
            f"{KEY}={config.teacher!r}: has {theirs} classes: allowed is a teacher of this run's "
            f"{ours}"
        )


def _read(path: Path, config: RetrainConfig) -> dict[str, Tensor]:
    """Tensors of a safetensors file, or of torch's own format without what it could execute."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # missing, damaged, or holding more than tensors
        first = (str(error).splitlines() or [""])[0][:120]
        raise UserError(f"{KEY}={config.teacher!r}: {path} cannot be read: {first}") from error
    for key in ("state_dict_ema", "state_dict", "model"):
        loaded = loaded.get(key, loaded)
    return dict(loaded)


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise UserError(f"{KEY}=timm:...: timm is not installed: pip install timm") from error
    return timm
