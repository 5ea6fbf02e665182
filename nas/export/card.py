"""The model card: what the model is, what it can do, where every number comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search_spaces.architecture import Architecture


def model_card(best: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """Markdown with Hugging Face's header, of what ``best.json`` and ``exports.json`` hold."""
    parts = [_header(best), _about(best), _numbers(best), _formats(record), _use(best, record)]
    parts += [_layers(best), _provenance(best, record), _limits(best)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _header(best: Mapping[str, Any]) -> str:
    return """---
library_name: formfinder
pipeline_tag: image-classification
tags:
- vision-transformer
- neural-architecture-search
---"""


def _about(best: Mapping[str, Any]) -> str:
    architecture = Architecture.from_dict(best["architecture"])
    classes = best["task"]["classes"]
    height, width = architecture.image_size
    mixers = sorted({block.attention.op for _, block in architecture.blocks()})
    reductions = sorted({block.reduction.op for _, block in architecture.blocks()} - {"none"})
    fewer = f", with fewer tokens by {', '.join(reductions)}" if reductions else ""
    return f"""# Vision transformer {best["digest"]}

Found by Formfinder {best["formfinder_version"]} for the profile `{best["profile"]["key"]}`.
It sorts images of {height} × {width} px (channels: {architecture.channels}) into
{len(classes)} classes: {_names(classes)}.
Depth {architecture.depth}; attention: {", ".join(mixers)}{fewer}; patches of
{architecture.patch_size} px."""


def _names(classes: list[str]) -> str:
    shown = ", ".join(_plain(name) for name in classes[:20])
    return f"{shown}, …" if len(classes) > 20 else shown


def _plain(text: object) -> str:
    """Text from a file, such that it stays text in Markdown and in a table."""
    flat = " ".join(str(text).split())
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|#!" else sign for sign in flat)


def _numbers(best: Mapping[str, Any]) -> str:
    units = {"latency_ms": "ms", "peak_memory_mb": "MB", "params": "", "macs": ""}
    rows = []
    for name, metric in best["metrics"].items():
        value = f"{metric['value']:.6g} {units.get(name, '')}".strip()
        low, high = metric.get("low"), metric.get("high")
        span = f"{low:.4g} – {high:.4g}" if low is not None and high is not None else ""
        rows.append((name, value, span, metric["kind"], str(metric.get("n", ""))))
    table = _table(("metric", "value", "interval", "how", "n"), rows)
    return f"""## Numbers

{table}

Accuracies have 95 % intervals (Wilson), latencies quartiles. Test images were opened once, for
this model. {_plain(best["counting_rule"])}"""


def _formats(record: Mapping[str, Any]) -> str:
    rows = [
        (
            f"`{made['files'][0]}`",
            made["runtime"],
            f"{made['size_mb']:.3f}",
            f"{made['latency_ms']['median']:.3f}",
            f"{made['max_difference']:.1e}",
            f"{made['agreement']:.1%}",
            f"{made['val_accuracy']:.4f}",
        )
        for made in record["formats"].values()
    ]
    profile = record["profile"]
    columns = ("file", "runtime", "MB", "ms", "Δ logit", "agrees", "val accuracy")
    left = "".join(f"\n- {name}: {_plain(why)}" for name, why in record["skipped"].items())
    return f"""## Files

{_table(columns, rows)}

Each file was loaded again and run on all validation images: the largest difference of a logit from
PyTorch, the share of equal answers, the accuracy. ms is the median of 200 calls of
a batch of {profile["batch"]}, threads {profile["threads"]}, one format after the other; the latency
above was measured more carefully.{f"{chr(10)}{chr(10)}Left out:{chr(10)}{left}" if left else ""}"""


def _use(best: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    transform = best["transform"]
    text = f"""## Use

Images: {transform["fit"]} to {transform["image_size"]} px, {transform["channels"]} channels, pixels
in [0, 1], minus mean {transform["mean"]}, divided by {transform["std"]}."""
    if "torch" in record["formats"]:
        text += """

```python
from model import load  # model.py, which needs torch and safetensors only

logits = load("model.safetensors")(images)
```"""
    return text


def _layers(best: Mapping[str, Any]) -> str:
    rows = [
        (
            f"`{layer['name']}`",
            _plain(layer["op"]),
            f"{layer['tokens_in']} → {layer['tokens_out']}",
            f"{layer['params']:,}",
            f"{layer['macs']:,}",
        )
        for layer in best["layers"]
    ]
    return f"## Layers\n\n{_table(('layer', 'what', 'tokens', 'parameters', 'MACs'), rows)}"


def _provenance(best: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    passes = ", ".join(_plain(step["name"]) for step in best["passes"]) or "none"
    return f"""## Where it comes from

- architecture `{best["digest"]}`, weights `{best["weights"]["hash"]}`
- weights of the supernet `{best["supernet"]["weights"]}`, space `{best["supernet"]["space"]}`
- passes behind the search: {passes}
- profile: {_profile(best["profile"])}
- written {best["created"]}, exported {record["created"]}"""


def _profile(profile: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in profile.items())


def _limits(best: Mapping[str, Any]) -> str:
    return """## Limits

It was trained and tested on one division of one data set; images of another origin were not tried.
Latencies hold for the machine and the profile they were measured on."""


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines: list[Sequence[str]] = [columns, ("---",) * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
