"""The training loop: what is learned from what, the schedule, exact resume, refusals."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
import torch
from torch.nn import functional as F

from search_spaces.errors import UserError
from supernet.model import Supernet
from supernet.training.checkpoint import load_checkpoint, weights_hash
from supernet.training.loop import (
    NonFiniteLossError,
    Trainer,
    TrainingData,
    load_supernet,
)
from supernet.training.options import TrainingOptions
from tests.search_spaces_tests.spaces import TOME, WINDOW, space_of

SPACE = space_of(
    [
        {
            "width": [8, 16],
            "depth": [1, 2],
            "heads": [1, 2],
            "mlp_ratio": [1, 2],
            "attention": ["softmax", WINDOW],
            "reduction": ["none", TOME],
        }
    ],
    position=["none"],
)
OPTIONS = TrainingOptions(epochs=4, batch_size=8, lr=0.01, random_members=1)
CLASSES = 3


class Task:
    """Cross-entropies, as the classification task has them."""

    def loss(self, logits_BK, labels_B, label_smoothing):
        return F.cross_entropy(logits_BK, labels_B, label_smoothing=label_smoothing)

    def distillation_loss(self, logits_BK, teacher_BK):
        return F.cross_entropy(logits_BK, teacher_BK.softmax(dim=1))


def augment(images_BCHW, generator):
    noise = torch.rand(images_BCHW.shape, generator=generator)
    return images_BCHW.float() / 255 + 0.1 * noise


def data(count=32, digest="these"):
    generator = torch.Generator().manual_seed(0)
    labels_N = torch.arange(count) % CLASSES
    images = torch.randint(0, 64, (count, 1, 8, 8), generator=generator)
    images += 80 * labels_N[:, None, None, None]  # classes differ in brightness
    return TrainingData(images.to(torch.uint8), labels_N, augment, digest)


def supernet(space=SPACE, share="all"):
    torch.manual_seed(0)
    return Supernet(space, CLASSES, share)


def trainer(path, **changes):
    """A trainer of the tiny space; ``changes`` are arguments or options."""
    given = {
        name: changes.pop(name)
        for name in ("supernet", "data", "task", "on_step")
        if name in changes
    }
    given = {"supernet": supernet(), "data": data(), "task": Task()} | given
    return Trainer(options=replace(OPTIONS, **changes), checkpoint=path, **given)


def interrupted(path, at, **changes):
    """Train until Ctrl-C in the step ``at``."""

    def stop(report):
        if report.step == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer(path, on_step=stop, **changes).run()


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Four epochs at once: the hash of the weights, and the whole last checkpoint."""
    path = tmp_path_factory.mktemp("straight") / "s.safetensors"
    trained = trainer(path).run()
    return weights_hash(trained.state_dict()), load_checkpoint(path)


# -- resume -----------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [[9], [8], [1], [15], [5, 10, 15]])
def test_a_run_that_was_stopped_ends_with_the_same_weights(tmp_path, straight, at):
    path = tmp_path / "s.safetensors"
    for step in at:
        interrupted(path, step)
    reports = []
    again = trainer(path, on_step=reports.append)
    assert again.epoch == (at[-1] - 1) // 4
    weights = weights_hash(again.run().state_dict())
    assert reports[0].step == again.steps_per_epoch * ((at[-1] - 1) // 4) + 1
    assert weights == straight[0]
    after = load_checkpoint(path)
    assert after.data == straight[1].data
    assert weights_hash(after.tensors) == weights_hash(straight[1].tensors)


def test_a_finished_run_trains_no_more(tmp_path, straight):
    path = tmp_path / "s.safetensors"
    trainer(path).run()
    reports = []
    again = trainer(path, on_step=reports.append)
    assert weights_hash(again.run().state_dict()) == straight[0]
    assert reports == []


def test_an_estimate_of_time_changes_nothing(tmp_path, straight):
    estimated = trainer(tmp_path / "s.safetensors")
    assert estimated.seconds_per_step() > 0
    assert weights_hash(estimated.run().state_dict()) == straight[0]


@pytest.mark.parametrize("changes", [{"seed": 1}, {"lr": 0.011}, {"random_members": 2}])
def test_other_options_give_other_weights(tmp_path, straight, changes):
    weights = weights_hash(trainer(tmp_path / "s.safetensors", **changes).run().state_dict())
    assert weights != straight[0]


# -- what a step does -------------------------------------------------------------------------


@dataclass
class Recorder(Task):
    """Losses that write down what they were given."""

    labels: list = field(default_factory=list)
    taught: list = field(default_factory=list)

    def loss(self, logits_BK, labels_B, label_smoothing):
        self.labels.append((logits_BK.detach().clone(), label_smoothing))
        return super().loss(logits_BK, labels_B, label_smoothing)

    def distillation_loss(self, logits_BK, teacher_BK):
        assert not teacher_BK.requires_grad
        self.taught.append(teacher_BK.clone())
        return super().distillation_loss(logits_BK, teacher_BK)


def test_the_teacher_learns_from_labels_and_teaches_the_others(tmp_path):
    task = Recorder()
    members = []

    class Watched(Supernet):
        def member(self, architecture):
            members.append(architecture)
            return super().member(architecture)

    torch.manual_seed(0)
    interrupted(tmp_path / "s", 1, task=task, supernet=Watched(SPACE, CLASSES), random_members=2)
    assert members[:2] == [SPACE.largest(), SPACE.smallest()]
    assert len(members) == 4
    assert {smoothing for _, smoothing in task.labels} == {OPTIONS.label_smoothing}
    teacher_BK = task.labels[0][0]
    assert len(task.taught) == 3
    assert all(torch.equal(target, teacher_BK) for target in task.taught)


def test_students_may_learn_from_labels_alone(tmp_path):
    class Silent(Task):
        def distillation_loss(self, logits_BK, teacher_BK):
            return logits_BK.sum() * 1e6  # would be noticed

    weights = [
        weights_hash(
            trainer(tmp_path / name, task=task, student_label_share=1.0, epochs=1)
            .run()
            .state_dict()
        )
        for name, task in (("a", Silent()), ("b", Task()))
    ]
    assert weights[0] == weights[1]


def test_it_learns(tmp_path):
    trained = trainer(tmp_path / "s", epochs=20, student_label_share=0.5).run()
    given = data()
    images = augment(given.images_NCHW, torch.Generator().manual_seed(9))
    for member in (SPACE.largest(), SPACE.smallest()):
        with torch.no_grad():
            right = trained(images, member).argmax(1) == given.labels_N
        assert right.double().mean() > 0.9


def test_every_epoch_sees_every_image_once_in_another_order(tmp_path):
    seen = []

    def watch(images_BCHW, generator):
        seen.append(images_BCHW[:, 0, 0, 0].tolist())
        return augment(images_BCHW, generator)

    images = torch.arange(32, dtype=torch.uint8).view(32, 1, 1, 1).expand(32, 1, 8, 8)
    given = TrainingData(images, torch.arange(32) % CLASSES, watch, "these")
    trainer(tmp_path / "s", data=given, epochs=2).run()
    first, second = ([i for batch in half for i in batch] for half in (seen[:4], seen[4:]))
    assert sorted(first) == sorted(second) == list(range(32))
    assert first != second


def test_a_batch_is_never_larger_than_the_data(tmp_path):
    reports = []
    trainer(tmp_path / "s", batch_size=64, epochs=2, on_step=reports.append).run()
    assert [report.images for report in reports] == [32, 32]


def test_reports_count_steps_and_epochs(tmp_path):
    reports = []
    trainer(tmp_path / "s", epochs=2, on_step=reports.append).run()
    assert [(report.epoch, report.step) for report in reports] == [
        (epoch, 4 * epoch + i) for epoch in (0, 1) for i in (1, 2, 3, 4)
    ]
    assert {(report.epochs, report.steps, report.images) for report in reports} == {(2, 8, 8)}


def test_the_learning_rate_rises_to_its_peak_and_falls_to_a_hundredth(tmp_path):
    made = trainer(tmp_path / "s", epochs=25, warmup_share=0.1, lr=0.02)
    rates = [made.learning_rate(step) for step in range(made.steps)]
    assert made.steps == 100
    assert rates[0] == pytest.approx(0.002)
    assert rates[9] == max(rates) == pytest.approx(0.02)
    assert rates[:10] == sorted(rates[:10])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == pytest.approx(0.0002, rel=0.05)
    assert rates[55] == pytest.approx((0.02 + 0.0002) / 2, rel=0.02)  # half-way down


def test_the_rate_is_what_the_optimiser_uses(tmp_path):
    used = []
    made = trainer(tmp_path / "s", epochs=1)
    made.on_step = lambda report: used.append(made.optimiser.param_groups[0]["lr"])
    made.run()
    assert used == [made.learning_rate(step) for step in range(4)]


def test_matrices_decay_and_the_rest_does_not(tmp_path):
    made = trainer(tmp_path / "s", weight_decay=0.3)
    decay = {
        id(parameter): group["weight_decay"]
        for group in made.optimiser.param_groups
        for parameter in group["params"]
    }
    for name, parameter in made.supernet.named_parameters():
        leaf = name.rsplit(".", 1)[-1]
        decays = leaf.endswith("weight") and "norm" not in leaf
        assert decay[id(parameter)] == (0.3 if decays else 0.0), name


def test_averaged_weights_lag_and_can_be_switched_off(tmp_path):
    path = tmp_path / "s"
    final = trainer(path, ema_decay=0.0).run().state_dict()
    last = load_checkpoint(path).section("model")
    assert weights_hash(final) == weights_hash(last)
    lagging = trainer(tmp_path / "t", ema_decay=0.99).run()
    assert not lagging.training
    assert weights_hash(lagging.state_dict()) != weights_hash(
        load_checkpoint(tmp_path / "t").section("model")
    )


def test_the_gradient_is_clipped(tmp_path):
    norms = []

    def measure(made):
        return lambda report: norms.append(
            float(
                torch.stack(
                    [p.grad.norm() for p in made.supernet.parameters() if p.grad is not None]
                ).norm()
            )
        )

    for clip in (1e-3, None):
        made = trainer(tmp_path / f"s{clip}", grad_clip=clip, epochs=1)
        made.on_step = measure(made)
        made.run()
    assert max(norms[:4]) <= 1.001e-3
    assert min(norms[4:]) > 1e-2


# -- refusals ---------------------------------------------------------------------------------

OTHER_SPACE = space_of([{"width": [8, 24]}])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lr": 0.02}, r"other options \(lr: 0\.01, not 0\.02\)"),
        ({"seed": 1}, r"other options \(seed: 0, not 1\)"),
        ({"epochs": 5, "grad_clip": None}, r"\(epochs: 4, not 5; grad_clip: 1\.0, not None\)"),
        ({"data": data(digest="others")}, r"another data \(these, not others\)"),
        ({"supernet": supernet(OTHER_SPACE)}, r"another space \("),
        ({"supernet": supernet(share="none")}, r"another share \(all, not none\)"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(tmp_path, changes, words):
    path = tmp_path / "s.safetensors"
    interrupted(path, 5)
    before = path.read_bytes()
    with pytest.raises(UserError, match=rf"s\.safetensors: trained with .*{words}") as why:
        trainer(path, **changes)
    assert "another name" in str(why.value)
    assert path.read_bytes() == before


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_epoch(tmp_path):
    path = tmp_path / "s.safetensors"

    class Breaks(Task):
        steps = 0

        def loss(self, logits_BK, labels_B, label_smoothing):
            self.steps += 1
            loss = super().loss(logits_BK, labels_B, label_smoothing)
            return loss * torch.nan if self.steps == 1 + 3 * 6 else loss

    kept = []

    def note(report):
        if report.step == 5:
            kept.append(path.read_bytes())

    with pytest.raises(NonFiniteLossError) as stopped:
        trainer(path, task=Breaks(), on_step=note).run()
    line = str(stopped.value)
    assert "nan at step 6" in line
    # The loss that broke is the teacher's: no other subnet is suspected.
    assert f"(subnet {SPACE.largest().digest()})" in line
    assert "holds the 1 epochs before" in line
    assert "training.lr=0.01" in line
    assert path.read_bytes() == kept[0]
    assert isinstance(stopped.value, UserError)


def test_a_loss_that_is_no_number_at_once_promises_no_checkpoint(tmp_path):
    class Broken(Task):
        def loss(self, logits_BK, labels_B, label_smoothing):
            return logits_BK.sum() * torch.inf

    with pytest.raises(NonFiniteLossError, match="at step 0") as stopped:
        trainer(tmp_path / "s", task=Broken()).run()
    assert "holds" not in str(stopped.value)
    assert list(tmp_path.iterdir()) == []


# -- loading ----------------------------------------------------------------------------------


def test_a_trained_supernet_is_loaded_with_its_averaged_weights(tmp_path):
    path = tmp_path / "s.safetensors"
    trained = trainer(path, epochs=1).run()
    loaded = load_supernet(supernet(), path)
    assert weights_hash(loaded.state_dict()) == weights_hash(trained.state_dict())
    assert not loaded.training


def test_weights_of_another_space_are_refused_with_what_differs(tmp_path):
    path = tmp_path / "s.safetensors"
    trainer(path, epochs=1).run()
    with pytest.raises(UserError, match=r"weights of another space \(.* there, .* here") as why:
        load_supernet(supernet(OTHER_SPACE), path)
    assert "\n" not in str(why.value)
