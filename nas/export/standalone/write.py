"""The file: what the network uses, in the order a reader wants it."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

from nas.export.standalone.layout import laid_out, shapes_call
from nas.export.standalone.network import Layer, Parts, place
from nas.export.standalone.plain import plain_text, plainer
from supernet.extract import VisionTransformer

_HEAD = '''"""{title}

Made by Formfinder from architecture {digest}. It needs torch and safetensors:

    from model import CLASSES, load, normalise

    logits = load("model.safetensors")(normalise(pixels_BCHW))

Names carry shapes: B images, N tokens, D width, H heads, C channels.
"""

from __future__ import annotations

{imports}

IMAGE_SIZE = {image_size}
CHANNELS = {channels}
CLASSES = {classes}
MEAN, STD = {mean}, {std}
'''

_NORMALISE = '''
def normalise(pixels_BCHW: Tensor) -> Tensor:
    """uint8 pixels as the model takes them."""
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (MEAN, STD))
    return (pixels_BCHW.float() / 255 - mean) / std


def load(path: str = "model.safetensors") -> Model:
    """The model with its weights, in eval mode."""
    model = Model()
    model.load_state_dict(load_file(path))
    return model.eval()
'''

_WEIGHTS = '''
class Weights(nn.Module):
    """Parameters by name."""

    def __init__(self, **shapes: tuple[int, ...]) -> None:
        super().__init__()
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))

    def __getitem__(self, name: str) -> Tensor:
        return self.get_parameter(name)
'''

_TOKENS = '''
class Tokens(NamedTuple):
    """The residual stream, and how many patches each token stands for; None: equally many."""

    x_BND: Tensor
    size_BN1: Tensor | None = None
'''

_STAGE = '''
class Stage(nn.Module):
    """Layers of one width, and the weights of the passage into them."""

    def __init__(self, *blocks: nn.Module, transition: Weights | None = None) -> None:
        super().__init__()
        self.transition = transition
        self.blocks = nn.ModuleList(blocks)
'''


def standalone_source(model: VisionTransformer, best: Mapping[str, Any]) -> str:
    """One Python file that computes what ``model`` computes, from the same names of weights.

    Args:
        model: the model.
        best: the content of its ``best.json``, for classes and preprocessing.
    """
    parts = Parts(model)
    sized = any(parts.sized)
    forward = _forward(parts, sized)
    layers, classes = _layer_classes(parts, sized)
    functions = list(parts.home.functions.values())
    if not sized:
        functions = [plainer(function) for function in functions]
    imports = parts.home.imports | {
        "import torch",
        "from torch import Tensor, nn",
        "from torch.nn import functional as F",
        "from safetensors.torch import load_file",
        *(["from typing import NamedTuple"] if sized else []),
    }
    sections = [
        _HEAD.format(
            title=_title(model),
            digest=best["digest"],
            imports=_imports(imports),
            image_size=tuple(model.architecture.image_size),
            channels=model.architecture.channels,
            classes=_texts(best["task"]["classes"]),
            mean=tuple(best["transform"]["mean"]),
            std=tuple(best["transform"]["std"]),
        ),
        _NORMALISE,
        _WEIGHTS,
        _TOKENS if sized else "",
        *[f"\n{laid_out(tree)}\n" for tree in parts.home.classes.values()],
        *[f"\n{laid_out(tree)}\n" for tree in functions],
        *[f"\n{text}\n" for text in classes.values()],
        _STAGE,
        f"\n{_model_class(parts, layers, forward)}\n",
    ]
    return "\n".join(section.rstrip("\n") + "\n" for section in sections if section)


def _texts(names: Sequence[str]) -> str:
    """A tuple of strings, over several lines where it is long."""
    words = [json.dumps(name, ensure_ascii=False) for name in names]
    one = f"({', '.join(words)}{',' if len(words) == 1 else ''})"
    return one if len(one) < 80 else "(\n" + "".join(f"    {word},\n" for word in words) + ")"


def _title(model: VisionTransformer) -> str:
    a = model.architecture
    height, width = a.image_size
    return (
        f"A vision transformer of {a.depth} layers: images ({a.channels}, {height}, {width}) → "
        f"{model.num_classes} classes."
    )


def _imports(lines: set[str]) -> str:
    """Standard library first, then the two packages."""
    standard = sorted(line for line in lines if line.split()[1].split(".")[0] in _STANDARD)
    plain = sorted(line for line in lines - set(standard) if line.startswith("import"))
    other = sorted(line for line in lines - set(standard) if line.startswith("from"))
    others = "\n".join([*plain, *_merged(other)])
    return "\n\n".join(part for part in ("\n".join(_merged(standard)), others) if part)


_STANDARD = ("collections", "dataclasses", "functools", "itertools", "math", "typing")


def _merged(lines: Sequence[str]) -> list[str]:
    """``from a import b`` and ``from a import c`` as one line."""
    found: dict[str, set[str]] = {}
    plain = []
    for line in lines:
        if line.startswith("from") and " as " not in line:
            module, names = line.removeprefix("from ").split(" import ")
            found.setdefault(module, set()).update(names.split(", "))
        else:
            plain.append(line)
    made = [f"from {module} import {', '.join(sorted(names))}" for module, names in found.items()]
    return sorted([*plain, *made], key=lambda line: (line.startswith("from"), line))


def _layer_classes(parts: Parts, sized: bool) -> tuple[list[list[str]], dict[str, str]]:
    """The class of each layer by stage, and their source: equal layers share one."""
    names: dict[tuple[object, ...], str] = {}
    classes: dict[str, str] = {}
    layers: list[list[str]] = []
    index = 0
    for stage in parts.network.stages:
        layers.append([])
        for block in stage.blocks:
            before = index > 0 and parts.sized[index - 1]
            layer = parts.layer(block, before, parts.sized[index])
            key = (layer.body, repr(layer.weights), layer.about)
            if key not in names:
                names[key] = f"Layer{len(names) + 1}"
                classes[names[key]] = _layer_class(names[key], layer, sized)
            layers[-1].append(names[key])
            index += 1
    return layers, classes


def _layer_class(name: str, layer: Layer, sized: bool) -> str:
    kind = "Tokens" if sized else "Tensor"
    lines = [f"class {name}(nn.Module):", f'    """{layer.about}"""', ""]
    lines += ["    def __init__(self) -> None:", "        super().__init__()"]
    for place_name, shapes in layer.weights:
        lines += shapes_call(f"self.{place_name} = Weights", shapes, 8)
    body = [text if sized else plain_text(text) for text in layer.body]
    argument = "state" if sized else "x_BND"
    lines += ["", f"    def forward(self, {argument}: {kind}) -> {kind}:"]
    lines += [f"        {text}" for text in body]
    return laid_out("\n".join(lines))


def _forward(parts: Parts, sized: bool) -> list[str]:
    """The statements of the model's ``forward``."""
    network = parts.network
    lines = [f"x_BND = {parts.embedding()}"]
    if "tokens" in parts.shapes:
        lines.append(
            'x_BND = torch.cat([self.tokens["special"].expand(len(x_BND), -1, -1), x_BND], dim=1)'
        )
    if sized:
        lines.append("state = Tokens(x_BND)")
    where, index, state = (
        network.position.card.after_block,
        0,
        place(network.stages[0].entry, False),
    )
    if where < 0:
        lines.append(_assigned(parts.position(state)))
    for number, stage in enumerate(network.stages):
        lines.append(_assigned(parts.transition(number, state)))
        blocks, count = f"self.stages[{number}].blocks", len(stage.blocks)
        split = where - index + 1 if index <= where < index + count else 0
        if split:
            lines += _through(blocks, 0, split, count)
            behind = place(stage.blocks[split - 1].after, parts.sized[index + split - 1])
            lines.append(_assigned(parts.position(behind)))
        lines += _through(blocks, split, count, count)
        index += count
        state = place(stage.blocks[-1].after, parts.sized[index - 1])
    lines.append(f"state = state._replace(x_BND={parts.norm('self.norm')})")
    lines.append(f"pooled_BD = {parts.pooling(state)}")
    lines.append('return F.linear(pooled_BD, self.head["weight"], self.head["bias"])')
    return [line if sized else plain_text(line) for line in lines if line]


def _assigned(text: str) -> str:
    return f"state = {text}" if text != "state" else ""


def _through(blocks: str, start: int, stop: int, count: int) -> list[str]:
    """The state through some of a stage's layers."""
    if stop - start < 1:
        return []
    if stop - start == 1:
        return [f"state = {blocks}[{start}](state)"]
    part = "" if stop - start == count else f"[{start or ''}:{stop if stop < count else ''}]"
    return [f"for block in {blocks}{part}:\n    state = block(state)"]


def _model_class(parts: Parts, layers: list[list[str]], forward: list[str]) -> str:
    lines = [
        "class Model(nn.Module):",
        '    """Normalised images (B, C, H, W) → logits (B, classes)."""',
    ]
    lines += ["", "    def __init__(self) -> None:", "        super().__init__()"]
    for name in ("embedding", "tokens", "position"):
        if name in parts.shapes:
            lines += shapes_call(f"self.{name} = Weights", parts.shapes[name], 8)
    lines.append("        self.stages = nn.ModuleList([")
    for number, names in enumerate(layers):
        arguments = [f"{name}()" for name in names]
        shapes = parts.shapes.get(f"stages.{number}.transition")
        if shapes:
            inside = ", ".join(f"{key}={shape}" for key, shape in shapes.items())
            arguments.append(f"transition=Weights({inside})")
        lines.append(f"            Stage({', '.join(arguments)}),")
    lines.append("        ])")
    for name in ("norm", "head"):
        lines += shapes_call(f"self.{name} = Weights", parts.shapes[name], 8)
    lines += ["", "    def forward(self, images_BCHW: Tensor) -> Tensor:"]
    for text in forward:
        lines += [f"        {line}" for line in text.splitlines()]
    source = "\n".join(lines)
    ast.parse(source)
    return laid_out(source)
