"""What a run records: the schema of ``run.json`` and of the lines of ``trace.jsonl``.

A results folder of one suite looks like this::

    <out>/suite.json                             the suite as validated, with its content hash
    <out>/cells/<problem>/<method>/seed-<n>/
        run.json        one RunRecord, replaced atomically
        trace.jsonl     one ReportRecord a line, append-only, flushed a line at a time (once packed: .gz)
        checkpoint.pt   the method's plain state while the run is unfinished
        error.txt       the traceback of a failed run, or why its process was killed and where it was
        output.txt      what it printed, if it ran in a process of its own and printed anything
    <out>/figures/      what ``hpobench figures`` draws

Losses are means over examples, of cross-entropy in nats; metrics are what ``DataRecord.metric`` names:
accuracy and R² as fractions, bits a token; seconds are read off the fair clock (method time only), memory in
bytes.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

SCHEMA_VERSION = 4

TRAITS = ("greedy", "exact", "truncated", "multi_fidelity", "searches")
"""What a method's class says of it. Of those that a record does not name, ``searches`` alone is true."""

APPEARANCE = ("label", "color", "marker")
"""How figures are to show a method, as its class says."""

Status = Literal["running", "complete", "failed", "interrupted"]

IncumbentRule = Literal["best of the longest trained", "best"]
"""What a run calls its incumbent, see ``incumbents``; ``best`` is what schemas 1 and 2 did."""


class _Record(BaseModel):
    # JSON has no infinity: a diverged loss is written as the string "Infinity" and read back.
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


class CostRecord(_Record):
    """Machine-free cost of a run so far.

    ``gradient_equivalents`` counts one forward + backward pass over a training batch as 1 and a
    tangent or adjoint product at its share of FLOPs; evaluations on validation data count by their
    forward passes.
    """

    inner_steps: int = 0
    gradient_equivalents: float = 0.0
    products: int = 0  # Hessian-vector products (tangent or adjoint)


class ClockRecord(_Record):
    """Where the wall-clock went, in seconds; method + referee + records + data = elapsed.

    ``cpu``, ``gap`` and ``stalled`` tell of a run that was crowded or suspended (``crowding``); they are
    None in records of before they were measured.
    """

    method: float = 0.0
    referee: float = 0.0
    records: float = 0.0
    data: float = 0.0  # splits, batch orders and augmentations drawn, for whichever trial
    elapsed: float = 0.0
    cpu: float | None = None  # CPU seconds of all threads of the process within ``elapsed``
    gap: float | None = None  # the longest time between two readings of the clock
    stalled: float | None = None  # the most of any such time in which no CPU was at work for the process

    @property
    def booked(self) -> float:
        """The sum of all accounts."""
        return self.method + self.referee + self.records + self.data


class DataRecord(_Record):
    """What a run's problem was made of."""

    classes: int  # outputs: classes, targets or tokens
    metric: str = "accuracy"  # what val_metric and test_metric are
    train: int  # examples, those for validation included
    test: int
    labels: list[str] = Field(default_factory=list)  # what each class is called, if not by its number
    digest: str | None = None  # SHA-256 of all examples and classes, as read
    software: dict[str, str] = Field(default_factory=dict)  # versions of the packages that brought them
    # Of any schedule in the problem's space, where it is known in closed form: regret is counted from it.
    least_expected_loss: float | None = None


def _metric(name: str) -> AliasChoices:
    """A metric's field, which up to version 3 was called an accuracy."""
    return AliasChoices(name, name.replace("metric", "accuracy"))


class FinalRecord(_Record):
    """The referee's last word: the last incumbent's schedule retrained from scratch, in draw 0.

    The last incumbent is the best by validation of those trained longest. It is trained on training and
    validation data. A retraining that diverges has the metric of guessing and an infinite loss.
    """

    test_loss: float
    test_metric: float = Field(validation_alias=_metric("test_metric"))
    diverged_at: int | None = None
    report: int | None = None  # whose schedule was retrained
    by_step: bool = False  # whether with its values of each step, in place of its schedule's windows
    # The paper reports the last schedule rather than the best by validation: both are kept.
    last_test_loss: float | None = None
    last_test_metric: float | None = Field(default=None, validation_alias=_metric("last_test_metric"))


class RetrainedRecord(_Record):
    """A report's schedule retrained from scratch on training + validation data, in one draw.

    A draw is an initialisation and an order of batches; draw k of a seed is the same for every method.
    A retraining that diverges has the metric of guessing and an infinite loss.
    """

    report: int  # whose schedule it is
    draw: int  # 0, 1, 2, ...
    test_loss: float
    test_metric: float = Field(validation_alias=_metric("test_metric"))
    diverged_at: int | None = None  # the inner step
    by_step: bool = False  # whether with the report's values of each step, in place of its windows


class SegmentRecord(_Record):
    """A part of a run between a start, or a going on, and the next: where it ran."""

    seconds: float  # of the method's clock when it began
    started: str = ""  # ISO 8601, UTC
    threads: int | None = None
    jobs: int = 1
    kind: str | None = None  # of the device, as its name
    name: str | None = None
    commit: str | None = None
    software: dict[str, str] = Field(default_factory=dict)


class ReportRecord(_Record):
    """One line of the trace: the method told of an evaluation."""

    report: int  # 0, 1, 2, ...
    seconds: float  # fair clock when the method reported
    cost: CostRecord
    schedule: list[float]  # flat, named by RunRecord.schedule_names; empty where ``rule`` is in its place
    rule: dict[str, Any] | None = None  # the step rule of its own, with its options, that needs no schedule
    fidelity: float = 1.0  # inner steps trained / horizon
    val_loss: float  # of this evaluation; infinite if training diverged
    val_metric: float = Field(validation_alias=_metric("val_metric"))
    incumbent: bool  # whether this is what a user who stopped now would be handed
    test_loss: float | None = None  # referee, of the reported weights; measured when incumbent
    test_metric: float | None = Field(default=None, validation_alias=_metric("test_metric"))
    # Of the schedule trained afresh over the horizon, in closed form, of incumbents where there is one.
    expected_loss: float | None = None
    hypergradient: list[float] | None = None  # d(validation loss)/d(schedule), same order
    peak_memory: int | None = None
    # Of an incumbent whose hyperparameters moved on the way: [steps][h], the learned ones at each step.
    values: list[list[float]] | None = None
    extra: dict[str, Any] = Field(default_factory=dict)  # e.g. step_sizes, diverged_at, bracket, rung

    @property
    def spent(self) -> dict[str, float]:
        """What the method had spent, by the names of a budget's limits."""
        return {
            "seconds": self.seconds,
            "steps": self.cost.inner_steps,
            "gradient_equivalents": self.cost.gradient_equivalents,
        }


class RunRecord(_Record):
    """One cell (problem x method x seed)."""

    schema_version: int = SCHEMA_VERSION
    suite: str
    problem: str
    method: str  # the label in the suite; several labels may share one adapter
    adapter: str  # the adapter's registered name or path
    family: str = ""  # "gradient", "black box", "baseline"
    traits: dict[str, bool] = Field(default_factory=dict)  # by TRAITS; what analysis groups methods by
    appearance: dict[str, str | None] = Field(default_factory=dict)  # by APPEARANCE; None: by figures' rule
    seed: int
    options: dict[str, Any]
    problem_config: dict[str, Any]
    data: DataRecord | None = None  # None in older records, and where a cell never came to it
    schedule_names: list[str]  # e.g. lr[0], lr[1], momentum[0]
    budget: dict[str, float | None]  # by what is limited, as ``ReportRecord.spent`` has it
    config_hash: str
    status: Status
    reason: str | None = None  # why it failed or stopped, in a line
    stopped: str | None = None  # of a complete run: "budget" or "converged" or "done"
    clock: ClockRecord = Field(default_factory=ClockRecord)
    cost: CostRecord = Field(default_factory=CostRecord)
    reports: int = 0
    incumbent: int | None = None  # index of the incumbent's report
    incumbent_rule: IncumbentRule = "best of the longest trained"  # by which reports are flagged
    final: FinalRecord | None = None
    retrained: list[RetrainedRecord] = Field(default_factory=list)  # by report and draw
    started: str = ""  # ISO 8601, UTC
    finished: str | None = None
    resumed: int = 0  # how many times an interrupted run was continued
    attempts: int = 1  # how many in a row, this one included, began where this one did and died
    jobs: int = 1  # how many cells ran at the same time on this machine
    device: dict[str, Any] = Field(default_factory=dict)
    software: dict[str, str] = Field(default_factory=dict)
    commit: str | None = None
    segments: list[SegmentRecord] = Field(default_factory=list)  # none in records of before there were any
    extended: list[dict[str, Any]] = Field(default_factory=list)  # budgets before this one, as ``budget``
    refereed: list[SegmentRecord] = Field(default_factory=list)  # where it was retrained once it had ended
    mixed_clock: bool = False  # whether unlike segments were allowed where seconds are limited
    # SHA-256 of an adapter's and a model's files, and of what they import beside them, by path; none of what
    # is registered or built in, and none in records of before it was kept.
    sources: dict[str, str] = Field(default_factory=dict)
    # SHA-256 of the trace as it was before ``pack`` left the values of each step out of it.
    whole_trace_sha256: str | None = None
    # Of a settled run: SHA-256 of its trace, and of this record without the field itself.
    trace_sha256: str | None = None
    digest: str | None = None


class SuiteProblem(_Record):
    """A problem in ``suite.json``. ``targets``, test accuracies as fractions, decide nothing of a run."""

    config: dict[str, Any]
    budget: dict[str, Any]
    targets: list[float] | None = None
    extended_from: list[dict[str, Any]] = Field(default_factory=list)  # the budgets that it had before


class SuiteMethod(_Record):
    """A method in ``suite.json``."""

    adapter: str
    options: dict[str, Any]
    # By problem: the hyperparameters whose space is the method's own, in place of the problem's.
    space: dict[str, dict[str, Any]] = Field(default_factory=dict)


class SuiteRecord(_Record):
    """What ``suite.json`` holds: all that decides the outcome of a suite's cells."""

    schema_version: int = SCHEMA_VERSION
    name: str
    seeds: list[int]
    problems: dict[str, SuiteProblem]
    methods: dict[str, SuiteMethod]


REPORT_COLUMNS = [
    "suite", "problem", "method", "adapter", "family", *TRAITS, "seed", "status",
    "report", "seconds", "inner_steps", "gradient_equivalents", "products",
    "fidelity", "val_loss", "val_metric", "incumbent", "test_loss", "test_metric", "expected_loss",
    "schedule", "schedule_names", "hypergradient", "peak_memory", "extra",
]  # fmt: skip
"""Columns of the tidy frame of reports that ``load_results`` returns, one row a report.
``schedule``, ``schedule_names`` and ``hypergradient`` hold lists, ``extra`` a dict; traits are bool."""

RUN_COLUMNS = [
    "suite", "problem", "method", "adapter", "family", *TRAITS, *APPEARANCE,
    "seed", "status", "reason", "stopped", "seconds", "referee_seconds", "data_seconds",
    "elapsed_seconds",
    "inner_steps", "gradient_equivalents", "products", "reports",
    "final_test_metric", "final_test_loss", "last_test_metric", "final_report",
    "incumbent_val_loss", "incumbent_val_metric", "incumbent_test_metric",
    "budget_seconds", "budget_steps", "budget_gradient_equivalents",
    "schedule_names", "searched", "classes", "metric",
    "least_expected_loss", "jobs", "device",
    "resumed",
    "mixed_clock", "crowding",
]  # fmt: skip
"""Columns of the frame of runs that ``load_runs`` returns, one row a cell. Traits are bool, label, color
and marker text or None; ``final_report`` is the report whose schedule the referee retrained, or NaN;
``classes`` is how many the problem has, or NaN; ``metric`` names what the metrics are;
``least_expected_loss`` is that of the best schedule of the problem's space, where it is known, or NaN;
``searched`` says what the method's space is of; ``mixed_clock`` is bool, whether its seconds add up segments
unlike each other; ``crowding`` says how it was crowded or suspended, empty if it was not."""

RETRAINED_COLUMNS = [
    "suite", "problem", "method", "seed", "report", "seconds", "inner_steps", "gradient_equivalents",
    "draw", "test_metric", "test_loss", "diverged",
]  # fmt: skip
"""Columns of the frame of retrainings that ``load_retrained`` returns, one row a cell, report and draw.
``seconds``, ``inner_steps`` and ``gradient_equivalents`` are those of the report; ``test_metric`` is NaN
and ``test_loss`` infinite where that draw diverged; ``diverged`` is bool."""
