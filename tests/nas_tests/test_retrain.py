"""One model trained alone: what it learns from, what is kept, how it is told and exported."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

import nas
from nas.cli import main
from nas.export.best import read_best
from nas.retraining.groups import layer_numbers, learning_rate_share, parameter_groups
from nas.retraining.options import AloneOptions
from nas.retraining.state import FORMAT
from nas.retraining.trainer import AloneTrainer
from nas.run_folder import read_json
from nas.tasks import TASKS
from search_spaces.architecture import Architecture, Block, OpSetting, Stage
from supernet.extract import build_model
from supernet.training.checkpoint import load_checkpoint, weights_hash
from supernet.training.loop import NonFiniteLossError, TrainingData
from tests.nas_tests.tiny_run import contents, lines

BLOCK = Block(attention=OpSetting("softmax"), heads=1, head_dim=8, mlp_hidden=8)
NET = Architecture(
    image_size=(8, 8),
    channels=1,
    patch_size=4,
    position=OpSetting("table"),
    stages=(Stage(width=8, blocks=(BLOCK,) * 3),),
)
TASK = TASKS["classification"]


def model():
    torch.manual_seed(0)
    return build_model(NET, 3)


def data(count=24, mix=None):
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 1, 8, 8), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % 3
    more = {} if mix is None else {"mix": mix}
    return TrainingData(images, labels, lambda x, g: x.float() / 255, "d", **more)


def trainer(net=None, judge=lambda net: 0.0, task=TASK, path=None, teacher=None, **options):
    settings = AloneOptions(**{"epochs": 2, "batch_size": 12, "lr": 1e-2, **options})
    return AloneTrainer(
        net or model(), data(), task, settings, judge, teacher=teacher, checkpoint=path
    )


def stepped(**options):
    """The weights behind one step on the first batch."""
    one = trainer(**options)
    images, labels = one.data.images_NCHW[:12].float() / 255, one.data.labels_N[:12]
    one.step(0, images, labels)
    return {name: value.detach().clone() for name, value in one.model.named_parameters()}


# -- the step ---------------------------------------------------------------------------------


def gradients(**options):
    one = trainer(**options)
    images, labels = one.data.images_NCHW[:12].float() / 255, one.data.labels_N[:12]
    loss = one._gradients(images, labels)
    return loss, {name: value.grad for name, value in one.model.named_parameters()}


@pytest.mark.parametrize("parts", [2, 5, 12])
def test_a_batch_in_parts_has_the_same_gradient(parts):
    (loss, whole), (same, cut) = gradients(), gradients(accumulate=parts)
    assert same == pytest.approx(loss)
    for name, value in whole.items():
        torch.testing.assert_close(cut[name], value, rtol=1e-4, atol=1e-6)


def test_layers_learn_slower_the_farther_they_are_from_the_head():
    names = [name for name, _ in model().named_parameters()]
    numbers = layer_numbers(names)
    assert numbers["embedding.weight"] == numbers["position.table"] == 0
    assert [numbers[f"stages.0.blocks.{i}.mlp.fc1_weight"] for i in range(3)] == [1, 2, 3]
    assert numbers["norm.norm_weight"] == numbers["head.bias"] == 4
    groups = parameter_groups(model(), 0.1, 0.5)
    held = {id(p): group for group in groups for p in group["params"]}
    assert len(held) == len(names)
    for group in groups:
        assert group["scale"] in {0.5**depth for depth in range(5)}
        if group["weight_decay"]:
            assert all(p.ndim >= 2 for p in group["params"])


def test_adams_first_step_is_the_layers_own_rate():
    before = {name: value.detach() for name, value in model().named_parameters()}
    after = stepped(layer_decay=0.5, weight_decay=0.0, ema_decay=0.0, warmup_share=0.0)
    for name, depth in (("head.weight", 0), ("stages.0.blocks.2.mlp.fc1_weight", 1)):
        moved = (after[name] - before[name]).abs().max()
        assert float(moved) == pytest.approx(1e-2 * 0.5**depth, rel=1e-2)


def test_the_rate_rises_then_falls_as_a_cosine():
    shares = [learning_rate_share(step, 100, 0.1) for step in range(100)]
    assert shares[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert shares[10] == 1.0
    assert shares[55] == pytest.approx(0.5)
    assert sorted(shares[10:], reverse=True) == shares[10:]


def test_a_teacher_with_the_whole_weight_is_all_that_counts():
    """Its gradient is zero exactly where the student already answers as the teacher."""
    net = model()
    same = trainer(net, teacher=lambda x: net(x).detach(), teacher_share=1.0, temperature=2.0)
    same.optimiser.zero_grad()
    same._gradients(same.data.images_NCHW[:4].float() / 255, same.data.labels_N[:4])
    assert max(float(p.grad.abs().max()) for p in net.parameters() if p.numel()) < 1e-6


def test_bf16_multiplies_in_half_and_keeps_weights_whole():
    seen = []

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(64, 3)

        def forward(self, x):
            out = self.head(x.flatten(1))
            seen.append(out.dtype)
            return out

    one = trainer(Watched(), precision="bf16")
    one.run()
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in one.model.parameters()} == {torch.float32}


# -- the epochs -------------------------------------------------------------------------------


def test_the_epoch_that_is_best_on_val_is_kept():
    values, weights = iter([0.4, 0.6, 0.5]), []

    def judge(net):
        weights.append(weights_hash(net.state_dict()))
        return next(values)

    one = trainer(judge=judge, epochs=3)
    state = one.run()
    assert (state.best_value, state.best_epoch) == (0.6, 2)
    assert weights_hash(one.model.state_dict()) == weights[1]


def test_a_model_that_gets_no_better_stays_as_it_was():
    net = model()
    before = weights_hash(net.state_dict())
    one = trainer(net)
    one.state.best_value = 0.5
    assert one.run().best_epoch == 0
    assert weights_hash(net.state_dict()) == before


def test_an_average_without_decay_is_the_last_weights():
    one = trainer(ema_decay=0.0, judge=lambda net: 1.0, epochs=1)
    one.run()
    last, average = one.model.state_dict(), one.average.state_dict()
    assert weights_hash(last) == weights_hash(average)


class Breaks(type(TASK)):
    """NaN from a step on."""

    def __init__(self, step, times=torch.nan):
        self.calls, self.step, self.times = 0, step, times

    def loss(self, logits_BK, labels_B, label_smoothing=0.0):
        self.calls += 1
        made = super().loss(logits_BK, labels_B, label_smoothing)
        return made * self.times if self.calls > self.step else made


def test_nan_stops_with_step_net_and_the_last_good_checkpoint(tmp_path):
    path = tmp_path / "c.safetensors"
    good = trainer(path=path, epochs=1).run()
    assert good.epoch == 1
    kept = path.read_bytes()
    one = trainer(task=Breaks(1), path=path, epochs=2)
    with pytest.raises(NonFiniteLossError) as stopped:
        one.run()
    line = str(stopped.value)
    assert f"of {NET.digest()} is nan at step 3" in line
    assert f"{path} holds the 1 epochs before" in line
    assert path.read_bytes() == kept


def test_a_gradient_that_is_no_number_is_not_applied():
    """A finite loss may have an infinite gradient, which would be stored as the epoch's weights."""
    net = model()
    before = weights_hash(net.state_dict())

    class Steep(type(TASK)):
        def loss(self, logits_BK, labels_B, label_smoothing=0.0):
            return (logits_BK * 0).sum().sqrt()  # 0, with a slope of infinity

    with pytest.raises(NonFiniteLossError, match="norm of the gradient"):
        trainer(net, task=Steep()).run()
    assert weights_hash(net.state_dict()) == before


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_training_that_was_broken_off_ends_alike(tmp_path, stop):
    judge = lambda net: float(next(net.parameters()).sum())  # noqa: E731
    straight = trainer(judge=judge, path=tmp_path / "a.safetensors", epochs=3)
    straight.run()

    class StopError(Exception):
        pass

    def stopping(note):
        if note.step == stop:
            raise StopError

    path = tmp_path / "b.safetensors"
    first = trainer(judge=judge, path=path, epochs=3)
    first.on_step = stopping
    with pytest.raises(StopError):
        first.run()
    trainer(judge=judge, path=path, epochs=3).run()
    ended, other = (load_checkpoint(p, FORMAT) for p in (tmp_path / "a.safetensors", path))
    assert weights_hash(other.tensors) == weights_hash(ended.tensors)
    assert other.data == ended.data


# -- the command ------------------------------------------------------------------------------


@pytest.fixture
def folder(finished, copy_of):
    return copy_of(finished)


def retrained(folder):
    [found] = (folder / "retrained").iterdir()
    return found


def test_a_run_is_retrained_tested_once_and_exported(folder, capsys):
    before = contents(folder)
    words = ["retrain", str(folder), "retrain.epochs=1", "progress=false"]
    assert main(words) == 0
    made = retrained(folder)
    best = read_best(made / "best.json")
    [done] = best["passes"]
    assert done["name"] == "retrain"
    assert done["digest"] == made.name
    assert done["val_after"] >= done["val_before"]
    assert best["metrics"]["val_accuracy"]["value"] == done["val_after"]
    for split in ("val", "test"):
        for name in ("accuracy", "balanced_accuracy", "macro_f1"):
            assert 0 <= best["metrics"][f"{split}_{name}"]["value"] <= 1
    model = nas.load_model(made / "best.json")
    assert weights_hash(model.state_dict()) == best["weights"]["hash"]
    assert (made / "best.onnx").exists()
    # The run itself is as it was, but for its one look at the test images.
    after = contents(folder)
    changed = {name for name in before if after[name] != before[name]}
    assert changed <= {"evaluations.jsonl"}
    tested = [
        row
        for row in lines(folder / "evaluations.jsonl")
        if row["split"].startswith("test:") and row["weights"] == best["weights"]["hash"]
    ]
    assert [row["metric"] for row in tested] == ["correct"]
    # The same command prints the result.
    capsys.readouterr()
    assert main(words) == 0
    assert contents(folder) == after
    output = capsys.readouterr().out
    assert f"{done['val_after']:.4f}" in output
    sentence = output[output.index("95 % interval") :].splitlines()
    assert max(map(len, sentence)) <= 80


def test_a_file_names_its_run_and_scratch_forgets_the_weights(folder):
    more = ["retrain.weights=scratch", "retrain.epochs=1", "retrain.teacher=supernet"]
    assert main(["retrain", str(folder / "best.json"), *more, "progress=false"]) == 0
    [done] = read_json(retrained(folder) / "best.json")["passes"]
    assert done["weights"] == "scratch"
    assert done["teacher"] == "supernet"
    assert done["lr"] == 4e-3  # training.lr
    assert main(["retrain", str(retrained(folder) / "best.json"), "retrain.epochs=1"]) == 0
    twice = [read_json(path)["passes"] for path in folder.glob("retrained/*/best.json")]
    assert sorted(len(passes) for passes in twice) == [1, 2]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("retrain.teacher=timm:vit_tinny_patch16_224", "did you mean 'timm:vit_tiny_patch16_224'"),
        ("retrain.teacher=timm:vit_tiny_patch16_224", "has 1000 classes"),
        ("retrain.teacher=nobody", "supernet, timm:NAME or timm:NAME@FILE"),
        ("retrain.augmentation=strong", "did you mean 'strong"),
        ("retrain.weights=old", "inherited | scratch"),
        ("retrain.precision=fp16", "allowed on a CPU is fp32 or bf16"),
        ("retrain.model=there.json", "no such file"),
        ("retrain.accumulate=1000", "retrain.accumulate=1000: allowed is 1 to "),
        ("training.epochs=3", "training.epochs is not read; did you mean retrain.epochs?"),
        ("data/recipe=x", "retrain: data/recipe is not read (read are retrain.KEY, "),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(finished, refusal, word, said):
    before = contents(finished)
    assert said in refusal("retrain", str(finished), word, "device=cpu")
    assert contents(finished) == before


def test_nothing_is_said_to_begin_before_the_teacher_is_there(finished, capsys):
    assert main(["retrain", str(finished), "retrain.teacher=nobody"]) == 2
    assert capsys.readouterr().out == ""


def test_a_file_outside_any_run_asks_for_the_run(tmp_path, refusal):
    path = tmp_path / "best.json"
    path.write_text(json.dumps({}))
    assert "lies in no run folder" in refusal("retrain", str(path))


# -- metrics ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_metrics_of_rare_classes_are_scikit_learns(seed):
    from sklearn.metrics import f1_score, recall_score

    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(50, 6)))
    labels = torch.from_numpy(rng.integers(0, 4, 50))  # two classes do not occur
    found = TASK.metrics(logits, labels)
    answers, truth = logits.argmax(1).numpy(), labels.numpy()
    recall = recall_score(truth, answers, labels=np.unique(truth), average="macro")
    assert found["balanced_accuracy"] == pytest.approx(recall)
    f1 = f1_score(truth, answers, average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(f1)
