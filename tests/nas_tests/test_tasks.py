"""Loss, metrics and their statistics against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from nas.tasks import TASKS
from nas.tasks.statistics import mcnemar_exact, tied, wilson_interval


@pytest.fixture
def task():
    return TASKS["classification"]


def test_tasks_are_found_by_their_files():
    assert "classification" in TASKS.names()


def test_there_is_one_output_per_class(task):
    assert task.outputs(("a", "b", "c")) == 3


def test_the_loss_of_a_uniform_guess_is_log_k(task):
    logits, labels = torch.zeros(5, 7), torch.arange(5)
    for smoothing in (0.0, 0.1):
        assert float(task.loss(logits, labels, smoothing)) == pytest.approx(math.log(7))


def test_label_smoothing_mixes_in_the_uniform_target(task):
    logits = torch.tensor([[2.0, 0.0, -1.0]])
    logs = logits.log_softmax(1)[0]
    expected = -(0.7 * logs[0] + 0.3 * logs.mean())
    assert float(task.loss(logits, torch.tensor([0]), 0.3)) == pytest.approx(float(expected))


def test_distillation_is_lowest_at_the_teacher_and_gives_it_no_gradient(task):
    teacher = torch.randn(4, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    student = teacher.detach().clone().requires_grad_()
    task.distillation_loss(student, teacher).backward()
    assert teacher.grad is None
    assert torch.allclose(student.grad, torch.zeros_like(student), atol=1e-7)


def test_accuracy_is_the_share_of_right_answers(task):
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 1.0], [0.0, 2.0]])
    labels = torch.tensor([0, 1, 1, 1])
    assert task.metrics(logits, labels)["accuracy"] == 0.75
    assert task.hits(logits, labels).tolist() == [True, True, False, True]


def test_answers_that_are_not_numbers_are_wrong(task):
    logits = torch.tensor([[math.nan, 0.0], [1.0, 0.0]])
    assert task.hits(logits, torch.tensor([0, 0])).tolist() == [False, True]


def test_wilson_equals_the_published_example():
    # 81 of 263: Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    interval = wilson_interval(81, 263)
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.2553, 0.3662)


def test_wilson_solves_its_own_equation():
    z = 1.5
    interval = wilson_interval(37, 50, z)
    for bound in (interval.low, interval.high):
        assert (37 / 50 - bound) ** 2 == pytest.approx(z * z * bound * (1 - bound) / 50)


def test_wilson_at_the_ends_stays_inside_and_is_not_empty():
    assert wilson_interval(0, 20).low == 0.0
    assert wilson_interval(20, 20).high == 1.0
    assert wilson_interval(20, 20).low < 0.9 < 1.0
    assert wilson_interval(0, 20).high == pytest.approx(1 - wilson_interval(20, 20).low)


@pytest.mark.parametrize(("right", "count"), [(1, 0), (-1, 5), (6, 5)])
def test_no_interval_without_a_share(right, count):
    with pytest.raises(ValueError, match="no share"):
        wilson_interval(right, count)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(0, 0, 1.0), (5, 5, 1.0), (1, 0, 1.0), (5, 0, 2 / 32), (6, 0, 2 / 64), (8, 1, 20 / 512)],
)
def test_mcnemar_is_the_binomial_tail(first, second, expected):
    assert mcnemar_exact(first, second) == pytest.approx(expected)
    assert mcnemar_exact(second, first) == pytest.approx(expected)


def test_mcnemar_agrees_with_scipy_at_thousands_of_images():
    from scipy.stats import binomtest

    for first, second in ((1000, 900), (3000, 2000), (17, 40)):
        expected = binomtest(first, first + second).pvalue
        assert mcnemar_exact(first, second) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_takes_no_negative_count():
    with pytest.raises(ValueError, match="negative"):
        mcnemar_exact(-1, 3)


def test_only_the_images_that_differ_decide_a_tie():
    both = [True] * 1000
    assert tied([*both, *[True] * 5, *[False] * 0], [*both, *[False] * 5])
    assert not tied([*both, *[True] * 6], [*both, *[False] * 6])
    with pytest.raises(ValueError, match="zip"):
        tied([True], [True, False])
