"""Where candidates are evaluated: one file per member."""

from nas.executors.executor import (
    EXECUTORS,
    Answer,
    Arrays,
    Evaluator,
    EvaluatorFactory,
    Executor,
    ExecutorOptions,
    Opener,
    Outcome,
    Part,
    PartEvaluator,
    evaluate_safely,
    open_executor,
)

__all__ = [
    "EXECUTORS",
    "Answer",
    "Arrays",
    "Evaluator",
    "EvaluatorFactory",
    "Executor",
    "ExecutorOptions",
    "Opener",
    "Outcome",
    "Part",
    "PartEvaluator",
    "evaluate_safely",
    "open_executor",
]
