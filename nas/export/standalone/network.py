"""The parts of one network, specialised: calls of its embedding, layers, positions and pooling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from nas.export.standalone.known import KnownShape, KnownState, NotNone
from nas.export.standalone.specialise import Made, Specialiser
from search_spaces.registry import Registry
from search_spaces.workload import Sizes
from supernet import forward
from supernet.attention import ATTENTIONS
from supernet.embedding import EMBEDDINGS
from supernet.extract import VisionTransformer
from supernet.network import ResolvedBlock, ResolvedNetwork
from supernet.position import POSITIONS
from supernet.token_reduction import REDUCTIONS
from supernet.transition import TRANSITIONS


@dataclass(frozen=True, slots=True)
class Layer:
    """One block: the statements of its ``forward`` and the shapes of its weights."""

    body: tuple[str, ...]
    weights: tuple[tuple[str, dict[str, tuple[int, ...]]], ...]
    about: str


def sized_after(model: VisionTransformer) -> list[bool]:
    """Whether tokens have sizes behind each block: seen once, on noise."""
    a = model.architecture
    images = torch.zeros(2, a.channels, *a.image_size)
    images += torch.linspace(-1, 1, images.numel()).view_as(images)
    with torch.no_grad():
        taps = model.forward_features(images, range(a.depth)).taps
    return [taps[index].size_BN1 is not None for index in range(a.depth)]


def place(sizes: Sizes, sized: bool) -> KnownState:
    """What is known of the tokens at a place."""
    grid = (int(sizes.grid_h), int(sizes.grid_w)) if sizes.grid_h else None
    return KnownState(int(sizes.special), grid, int(sizes.tokens), sized)


def reserved_names() -> set[str]:
    """What the functions of operators are called."""
    kinds: dict[str, Registry[Any]] = {
        "attention": ATTENTIONS,
        "reduction": REDUCTIONS,
        "position": POSITIONS,
        "embedding": EMBEDDINGS,
        "transition": TRANSITIONS,
    }
    return {f"{name}_{kind}" for kind, registry in kinds.items() for name in registry.names()}


class Parts:
    """Specialises the parts of a network, in order of execution."""

    def __init__(self, model: VisionTransformer) -> None:
        self.home = Specialiser(reserved_names())
        self.network: ResolvedNetwork = model._network
        self.architecture = model.architecture
        self.sized = sized_after(model)
        self.shapes: dict[str, dict[str, tuple[int, ...]]] = {}
        for name, tensor in model.state_dict().items():
            path, _, last = name.rpartition(".")
            self.shapes.setdefault(path, {})[last] = tuple(tensor.shape)

    def embedding(self) -> str:
        """The call that makes tokens of images."""
        op, a = self.network.embedding, self.architecture
        known = {
            "images_BCHW": KnownShape((None, a.channels, *a.image_size)),
            "patch": a.patch_size,
            "setting": a.embedding,
        }
        made = self.home.make(op.forward, known, f"{op.name}_embedding", _doc(op), first=True)
        return call(made, images_BCHW="images_BCHW", w="self.embedding")

    def position(self, state: KnownState) -> str:
        """The call that adds positions, or ""."""
        op = self.network.position
        known = {"state": state, "setting": self.architecture.position}
        made = self.home.make(op.forward, known, f"{op.name}_position", _doc(op))
        return call(made, state="state", w="self.position")

    def transition(self, number: int, state: KnownState) -> str:
        """The call that enters a stage, or ""."""
        stage = self.network.stages[number]
        op = stage.transition
        known = {"state": state, "setting": stage.setting}
        made = self.home.make(op.forward, known, f"{op.name}_transition", _doc(op))
        return call(made, state="state", w=f"self.stages[{number}].transition")

    def pooling(self, state: KnownState) -> str:
        """The call that makes one vector of an image's tokens."""
        known = {"state": state, "pooling": self.architecture.pooling}
        return call(self.home.make(forward.pool, known, "pool"), state="state")

    def norm(self, weights: str) -> str:
        """The call of a layer norm on the residual stream."""
        eps = self.architecture.norm_eps
        doc = "Layer norm of every token."
        made = self.home.make(forward.norm_tokens, {"eps": eps}, "norm", doc)
        return call(made, x_BND="state.x_BND", w=weights)

    def layer(self, block: ResolvedBlock, before: bool, after: bool) -> Layer:
        """One block.

        Args:
            block: resolved.
            before: whether tokens have sizes in front of it.
            after: and behind it.
        """
        hook = block.reduction.card.hook if block.block.reduction.op != "none" else ""
        body: list[str] = []
        if hook == "before_attention":
            body.append(self._reduction(block, place(block.before, before), "None"))
        score = "None"
        if not block.attention.card.identity:
            mixing = after if hook == "before_attention" else before
            lines, score = self._attention(block, place(block.mixing, mixing), bool(hook))
            body += lines
        if hook == "after_attention":
            body.append(self._reduction(block, place(block.before, before), score))
        known = {"state": place(block.mlp, after), "norm_eps": self.architecture.norm_eps}
        doc = "Two linear maps with a GELU between, on a normed copy of the residual stream."
        made = self.home.make(forward._mlp, known, "mlp", doc)
        body.append(f"state = {call(made, state='state', w='self.mlp')}")
        if hook == "between_blocks":
            body.append(self._reduction(block, place(block.before, before), score))
        body.append("return state")
        weights = [
            (part.path.rpartition(".")[2], self.shapes[part.path])
            for part in (block.attention_part, block.reduction_part, block.mlp_part)
            if part.path in self.shapes
        ]
        return Layer(tuple(line for line in body if line), tuple(weights), _about(block))

    def _attention(
        self, block: ResolvedBlock, state: KnownState, reduces: bool
    ) -> tuple[list[str], str]:
        op, wants = block.attention, block.wants if reduces else None
        known = {
            "state": state,
            "setting": block.block.attention,
            "sizes": block.mixing,
            "wants": wants,
        }
        name, first = f"{op.name}_attention", wants is None
        made = self.home.make(op.forward, known, name, _doc(op), first=first)
        normed = self.norm("self.attention")
        mixed = call(made, y_BND=normed, state="state", w="self.attention")
        if first:
            return [f"state = state._replace(x_BND=state.x_BND + {mixed})"], "None"
        lines = [
            f"mixed_BND, score = {mixed}",
            "state = state._replace(x_BND=state.x_BND + mixed_BND)",
        ]
        return lines, "score"

    def _reduction(self, block: ResolvedBlock, state: KnownState, score: str) -> str:
        op = block.reduction
        known: dict[str, Any] = {"state": state, "setting": block.block.reduction}
        known["score"] = None if score == "None" else NotNone()
        made = self.home.make(op.forward, known, f"{op.name}_reduction", _doc(op))
        text = call(made, state="state", score=score, w="self.reduction")
        return f"state = {text}" if text != "state" else ""


def call(made: Made, **arguments: str) -> str:
    """The text of a call; the argument itself where the function returns it unchanged."""
    if made.passes is not None:
        return arguments[made.passes]
    return f"{made.name}({', '.join(arguments[name] for name in made.params)})"


def _doc(op: Any) -> str:
    """An operator's own sentence, and where it is from."""
    sentence = (type(op).__doc__ or op.card.summary).split("\n\n")[0].strip().rstrip(".")
    source = getattr(op.card, "source", "")
    return f"{sentence} ({source})." if source else f"{sentence}."


def _about(block: ResolvedBlock) -> str:
    inner = (
        f" with {block.block.heads} heads of {block.block.head_dim}" if block.block.heads else ""
    )
    mixer = block.attention.name
    text = f"{mixer} attention{inner}" if mixer != "none" else "no attention"
    before, after = block.before, block.after
    if block.block.reduction.op != "none":
        text += f", {block.block.reduction.op} ({before.all_tokens} → {after.all_tokens} tokens)"
    return f"{text}; MLP {before.width} → {block.block.mlp_hidden} → {before.width}."
