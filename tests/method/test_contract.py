"""The two bases of methods, AskTell and OuterLoop, and an adapter on each: random search and FDS."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hpobench_fds.methods.fds import FDS
from hpobench_fds.methods.random_search import RandomSearch

from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.interface import Hypergradient
from hpobench_fds.hypergradient.outer import Outer, OuterOptions
from hpobench_fds.method import AskTell, Method, Outcome, OuterLoop, Proposal, Report, Task
from hpobench_fds.schedule import HyperparameterSpace, Schedule
from hpobench_fds.training.clock import Budget, Clock, Cost
from hpobench_fds.training.problem import Problem, ProblemConfig, load_problem
from hpobench_fds.training.state import DIVERGED, Evaluation
from hpobench_fds.training.trainer import Trainer

HORIZON = 30
SPACE = {
    "lr": HyperparameterSpace(windows=3, low=-1.0, high=1.0, step=0.1),
    "momentum": HyperparameterSpace(low=-1.5, high=1.5, step=0.1),
    "weight_decay": HyperparameterSpace(low=-4e-3, high=4e-3, step=3e-4),
}


@cache
def digits(horizon: int = HORIZON, lr: HyperparameterSpace | None = None) -> Problem:
    """The handwritten digits, mlp; all three hyperparameters, or ``lr`` alone."""
    space = SPACE if lr is None else {"lr": lr}
    return load_problem(ProblemConfig(dataset="digits", horizon=horizon, batch_size=32, space=space))[0]


@dataclass
class Ears:
    """A runner's side that remembers what it hears, and dies after some checkpoints if asked to."""

    clock: Clock
    dies_after: int | None = None
    events: list[str] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    checkpoints: list[tuple[bytes, Cost]] = field(default_factory=list)

    def report(self, report: Report) -> None:
        self.events.append("report")
        state = None if report.state is None else report.state.clone()
        self.reports.append(replace(report, state=state))

    def checkpoint(self, state: dict[str, Any]) -> None:
        self.events.append("checkpoint")
        stored = io.BytesIO()
        torch.save(state, stored)
        self.checkpoints.append((stored.getvalue(), replace(self.clock.cost)))
        if len(self.checkpoints) == self.dies_after:
            raise KeyboardInterrupt


@dataclass
class Run:
    """A method's run as its listener heard it."""

    ears: Ears
    task: Task
    stopped: str | None

    @property
    def reports(self) -> list[Report]:
        return self.ears.reports

    @property
    def losses(self) -> list[float]:
        return [report.evaluation.loss for report in self.reports]


def run(
    method: Method,
    problem: Problem,
    *,
    steps: int | None = None,
    seed: int = 0,
    dies_after: int | None = None,
    after: Run | None = None,
    source: Callable[[], float] = time.monotonic,
) -> Run:
    """Run a method; with ``after``, in place of one that died, from its last checkpoint alone."""
    restored, cost = None, None
    if after is not None:
        stored, cost = after.ears.checkpoints[-1]
        restored = torch.load(io.BytesIO(stored), weights_only=True)  # nothing but plain data comes back
    clock = Clock(source, cost=cost)
    clock.start()
    trainer = Trainer(problem, seed, clock, Budget(clock, steps=steps))
    ears = Ears(clock, dies_after)
    task = Task(trainer, ears, method_name=method.name, restored=restored)
    try:
        stopped = method.run(task)
    except KeyboardInterrupt:
        stopped = None
    return Run(ears, task, stopped)


def assert_same(ones: list[Report], others: list[Report]) -> None:
    """Reports that are equal to the last bit, trained weights included."""
    assert len(ones) == len(others)
    for one, other in zip(ones, others, strict=True):
        assert one.schedule == other.schedule
        assert one.evaluation == other.evaluation
        assert one.fidelity == other.fidelity
        assert one.hypergradient == other.hypergradient
        assert one.extra == other.extra
        assert one.state is not None
        assert other.state is not None
        assert (one.state.step, one.state.trial) == (other.state.step, other.state.trial)
        assert bits(one.state.w) == bits(other.state.w)


def bits(w: torch.Tensor) -> bytes:
    """For comparisons in which a NaN, which divergence leaves behind, equals itself."""
    return w.numpy().tobytes()


class Promoter(AskTell):
    """Trains each new schedule half way, and every second time goes on with the better of the last two."""

    name = "promoter"
    keeps_states = True

    def setup(self, task: Task) -> None:
        self.halves: list[tuple[float, int, Schedule]] = []
        self.asked = 0

    def ask(self, task: Task) -> Proposal:
        self.asked += 1
        half = task.problem.horizon // 2
        if self.asked % 3:
            return Proposal(task.space.sample(task.rng), until=half, extra={"rung": 0})
        _, trial, schedule = min(self.halves)
        self.forget(other for _, other, _ in self.halves if other != trial)
        self.halves = []
        return Proposal(schedule, resume=trial, extra={"rung": 1})

    def tell(self, task: Task, proposal: Proposal, outcome: Outcome) -> None:
        if proposal.resume is None:
            self.halves.append((outcome.evaluation.loss, outcome.trial, proposal.schedule))


class Cycle(AskTell):
    """Proposes given schedules, keeps what it is told, and has nothing more to say after them."""

    name = "cycle"

    def __init__(self, *schedules: Schedule) -> None:
        super().__init__()
        self.schedules, self.told = schedules, list[tuple[Proposal, Outcome]]()

    def ask(self, task: Task) -> Proposal | None:
        return Proposal(self.schedules[len(self.told)]) if len(self.told) < len(self.schedules) else None

    def tell(self, task: Task, proposal: Proposal, outcome: Outcome) -> None:
        self.told.append((proposal, outcome))


def lr(*values: float) -> Schedule:
    return Schedule.of({"lr": values, "momentum": 0.0, "weight_decay": 0.0})


def fds(**options: Any) -> FDS:
    return FDS(FDS.Options(**options))


METHODS: list[Callable[[], Method]] = [RandomSearch, fds, Promoter]
every_method = pytest.mark.parametrize("make", METHODS, ids=["random_search", "fds", "promoter"])


# ----------------------------------------------------------------------------------- what every method does


@every_method
def test_each_evaluation_is_reported_with_the_training_that_it_is_of(make: Callable[[], Method]) -> None:
    heard = run(make(), digits(), steps=150)
    assert heard.ears.events == ["report", "checkpoint"] * len(heard.reports)
    assert len(heard.reports) >= 4
    for report in heard.reports:
        assert report.state is not None
        assert heard.task.trainer.evaluate(report.state) == report.evaluation
        assert report.fidelity == report.state.step / HORIZON
        # and it is the schedule's training: once more from scratch, to the last bit
        again = heard.task.trainer.start(report.state.trial)
        heard.task.trainer.train(again, report.schedule, until=report.state.step)
        assert bits(again.w) == bits(report.state.w)


@every_method
@pytest.mark.parametrize("steps", [1, 100, 120])
def test_the_budget_is_spent_and_outrun_by_one_training_at_most(
    make: Callable[[], Method], steps: int
) -> None:
    heard = run(make(), digits(), steps=steps)
    assert heard.stopped == "budget"
    assert steps <= heard.task.clock.cost.inner_steps < steps + HORIZON


@every_method
def test_equal_seeds_run_equally_and_others_do_not(make: Callable[[], Method]) -> None:
    one, same, other = (run(make(), digits(), steps=90, seed=seed) for seed in (1, 1, 2))
    assert_same(one.reports, same.reports)
    assert one.losses != other.losses


@every_method
@pytest.mark.parametrize("dies_after", [1, 2, 3, 4])
def test_a_run_that_died_goes_on_from_its_checkpoint_as_if_it_had_not(
    make: Callable[[], Method], dies_after: int
) -> None:
    whole = run(make(), digits(), steps=180)
    dead = run(make(), digits(), steps=180, dies_after=dies_after)
    assert dead.stopped is None
    later = run(make(), digits(), steps=180, after=dead)
    assert_same(dead.reports + later.reports, whole.reports)
    assert later.stopped == whole.stopped == "budget"
    cost, expected = later.task.clock.cost, whole.task.clock.cost
    assert (cost.inner_steps, cost.products) == (expected.inner_steps, expected.products)
    assert cost.gradient_equivalents == pytest.approx(expected.gradient_equivalents)


def test_a_run_may_die_more_than_once() -> None:
    whole = run(Promoter(), digits(), steps=180)
    first = run(Promoter(), digits(), steps=180, dies_after=2)
    second = run(Promoter(), digits(), steps=180, after=first, dies_after=3)
    last = run(Promoter(), digits(), steps=180, after=second)
    assert_same(first.reports + second.reports + last.reports, whole.reports)


def test_each_method_has_a_random_stream_of_its_own_on_shared_draws() -> None:
    trainer = Trainer(digits(), 0, Clock())
    one, same, other = (
        Task(trainer, Ears(trainer.clock), method_name=name) for name in ("one", "one", "other")
    )
    drawn = one.rng.random(4).tolist()
    assert drawn == same.rng.random(4).tolist()
    assert drawn != other.rng.random(4).tolist()
    # the trial's data and initial weights leave the method out
    search, outer = run(RandomSearch(), digits(), steps=1), run(fds(), digits(), steps=1)
    start = outer.task.trainer.start(0)
    assert torch.equal(outer.reports[0].state.w, start.w)  # type: ignore[union-attr]  # lr = 0 moves nothing
    assert torch.equal(search.task.trainer.start(0).w, start.w)


# --------------------------------------------------------------------------------------------- ask and tell


def test_random_search_trains_what_it_samples_each_as_a_trial_of_its_own() -> None:
    heard = run(RandomSearch(), digits(), steps=5 * HORIZON)
    rng = np.random.default_rng(heard.task.seed)
    assert [report.schedule for report in heard.reports] == [digits().space.sample(rng) for _ in range(5)]
    assert [report.state.trial for report in heard.reports] == [0, 1, 2, 3, 4]  # type: ignore[union-attr]
    assert all(report.fidelity == 1 for report in heard.reports)
    assert len(set(heard.losses)) == 5


def test_it_is_told_every_outcome_in_order_and_stops_when_it_has_nothing_left() -> None:
    schedules = [lr(0.1, 0.1, 0.1), lr(0.1, 1e30, 1e30), lr(0.0, 0.0, 0.0)]
    method = Cycle(*schedules)
    heard = run(method, digits())
    assert heard.stopped == "done"
    assert [proposal.schedule for proposal, _ in method.told] == schedules
    assert [outcome.trial for _, outcome in method.told] == [0, 1, 2]
    assert [outcome.evaluation.loss for _, outcome in method.told] == heard.losses


def test_a_trial_that_diverges_is_told_and_reported_as_such() -> None:
    method = Cycle(lr(0.1, 1e30, 1e30))
    heard = run(method, digits())
    (_, outcome), (report,) = method.told[0], heard.reports
    assert outcome.ending == "diverged"
    assert outcome.evaluation == report.evaluation == DIVERGED
    assert outcome.diverged_at == report.extra["diverged_at"]
    assert 10 < report.extra["diverged_at"] <= 14  # the window of 1e30 begins at step 10


def test_a_trial_cut_off_by_the_budget_is_not_told() -> None:
    method = Cycle(*[lr(0.1, 0.1, 0.1)] * 3)
    heard = run(method, digits(horizon=120), steps=150)
    assert heard.stopped == "budget"
    assert len(method.told) == len(heard.reports) == 1
    assert heard.task.clock.cost.inner_steps == 120 + 40  # looked at after another inner epoch


def test_a_proposal_s_own_words_go_into_the_record() -> None:
    heard = run(Promoter(), digits(), steps=60)
    assert [report.extra for report in heard.reports] == [{"rung": rung} for rung in (0, 0, 1, 0)]


def test_a_trial_that_goes_on_is_one_training() -> None:
    heard = run(Promoter(), digits(), steps=45)
    first, second, promoted = heard.reports[:3]
    better = min(first, second, key=lambda report: report.evaluation.loss)
    assert [report.fidelity for report in (first, second, promoted)] == [0.5, 0.5, 1.0]
    assert promoted.schedule == better.schedule
    assert promoted.state is not None
    assert promoted.state.trial == better.state.trial  # type: ignore[union-attr]
    assert heard.task.clock.cost.inner_steps == 45  # the first half is not trained again


def test_states_that_are_forgotten_or_used_are_not_kept_in_checkpoints() -> None:
    heard = run(Promoter(), digits(), steps=90)
    kept = [
        sorted(torch.load(io.BytesIO(stored), weights_only=True)["states"])
        for stored, _ in heard.ears.checkpoints
    ]
    # two halves; then the promoted trial, as trial 2, in place of both
    assert kept[:3] == [["0"], ["0", "1"], ["2"]]


def test_the_i_th_fresh_training_is_the_same_draw_for_every_method_whatever_goes_on_in_between() -> None:
    promoter, search = run(Promoter(), digits(), steps=120), run(RandomSearch(), digits(), steps=120)
    fresh = [report.state.trial for report in promoter.reports if report.extra["rung"] == 0]  # type: ignore[union-attr]
    assert fresh == [0, 1, 2, 3, 4, 5][: len(fresh)]
    assert len(fresh) >= 4
    assert [report.state.trial for report in search.reports] == [0, 1, 2, 3]  # type: ignore[union-attr]


def test_what_was_thought_before_an_interruption_is_not_paid_for_twice() -> None:
    class Thinker(RandomSearch):
        """Thinks for a second before each proposal; nothing else takes time."""

        name = "thinker"
        now = 0.0

        def ask(self, task: Task) -> Proposal:
            Thinker.now += 1
            return super().ask(task)

    dead = run(Thinker(), digits(), steps=180, dies_after=4, source=lambda: Thinker.now)
    assert dead.task.clock.seconds == 4
    later = run(Thinker(), digits(), steps=180, after=dead, source=lambda: Thinker.now)
    record = later.task.clock.sums()
    assert (record.records, record.method) == (4, len(later.reports)) == (4, 2)


def test_a_method_that_would_not_ask_the_same_again_cannot_be_resumed() -> None:
    dead = run(Cycle(lr(0.1, 0.1, 0.1), lr(0.2, 0.2, 0.2)), digits(), dies_after=1)
    with pytest.raises(RuntimeError, match=r"cycle: trial 0 .* another proposal"):
        run(Cycle(lr(0.3, 0.3, 0.3)), digits(), after=dead)
    with pytest.raises(RuntimeError, match="cycle: trial 0"):
        run(Cycle(), digits(), after=dead)


# ------------------------------------------------------------------------------------------- the outer loop


@pytest.mark.parametrize("seed", range(3))
def test_fds_learns_from_the_all_zero_schedule_within_a_few_outer_steps(seed: int) -> None:
    heard = run(fds(outer_steps=6), digits(), seed=seed)
    assert heard.stopped == "done"
    assert heard.reports[0].schedule == digits().space.from_vector([0.0] * 5)
    assert heard.losses[0] > 2.0  # of random weights: nothing was learned; log(10) is 2.3
    # twelve seeds came to 0.05 to 0.09 of it and to accuracies of 0.90 to 0.97
    assert min(heard.losses) < 0.25 * heard.losses[0]
    assert heard.reports[0].evaluation.metric < 0.3
    assert max(report.evaluation.metric for report in heard.reports) > 0.8


def test_each_outer_step_is_a_fresh_trial_and_moves_by_the_sign_of_its_hypergradient() -> None:
    heard = run(fds(outer_steps=5), digits())
    space = digits().space
    steps, before = np.array([0.1, 0.1, 0.1, 0.1, 3e-4]), np.zeros(5)
    for i, (report, following) in enumerate(zip(heard.reports, heard.reports[1:], strict=False)):
        assert report.extra["step_sizes"] == pytest.approx(steps)  # those that led here
        result = ForwardMode()(heard.task.trainer, report.schedule, i)
        assert result.gradient is not None
        assert report.hypergradient == result.gradient.tolist()
        assert report.evaluation == result.evaluation
        signs = np.sign(result.gradient)
        steps = np.where(signs * before < 0, steps / 2, steps)
        moved = np.clip(space.to_vector(report.schedule) - steps * signs, space.low, space.high)
        assert space.to_vector(following.schedule) == pytest.approx(moved)
        before = signs
    assert report.extra["hypergradient_bytes"] == result.peak_bytes > 0


def test_product_clip_reaches_forward_mode() -> None:
    free, clipped = (run(fds(outer_steps=2, product_clip=clip), digits()) for clip in (None, 1e-4))
    assert free.reports[1].schedule == clipped.reports[1].schedule
    assert free.reports[1].hypergradient != clipped.reports[1].hypergradient


def test_the_first_outer_steps_may_run_over_a_share_of_the_horizon() -> None:
    heard = run(fds(outer_steps=4, inner_fractions=(0.2, 0.5, 1.0)), digits())
    assert [report.state.step for report in heard.reports] == [6, 15, 30, 30]  # type: ignore[union-attr]
    assert [report.fidelity for report in heard.reports] == [0.2, 0.5, 1.0, 1.0]
    short = ForwardMode()(heard.task.trainer, heard.reports[0].schedule, 0, horizon=6)
    assert heard.reports[0].hypergradient == short.gradient.tolist()  # type: ignore[union-attr]


def test_a_search_stops_as_soon_as_it_has_converged() -> None:
    only_lr = HyperparameterSpace(low=-1.0, high=1.0, initial=0.2)
    heard = run(fds(outer=OuterOptions(step={"lr": 0.04}, converged=0.1)), digits(lr=only_lr), steps=3000)
    assert heard.stopped == "converged"
    steps = [report.extra["step_sizes"][0] for report in heard.reports]
    values = [report.schedule["lr"][0] for report in heard.reports]
    assert len(values) > 2
    assert all(step >= 0.1 * value for step, value in zip(steps[1:], values[1:], strict=True))
    left = json.loads(json.dumps(torch.load(io.BytesIO(heard.ears.checkpoints[-1][0]))))
    assert left["outer"]["steps"][0] < 0.1 * left["vector"][0]


def test_a_search_on_short_horizons_has_not_converged_before_it_trained_the_whole() -> None:
    """Signs that alternate shrink the steps below what counts as converged while horizons are short."""
    lr = HyperparameterSpace(low=-1.0, high=1.0, initial=0.5)
    outer = OuterOptions(step={"lr": 0.1}, converged=0.5)
    lines = [UP, DOWN] * 3
    heard = run(script(*lines, outer=outer, inner_fractions=(0.2, 0.2, 0.2, 1.0)), digits(lr=lr))
    assert heard.stopped == "converged"
    assert [report.fidelity for report in heard.reports] == [0.2, 0.2, 0.2, 1.0]


def test_an_outer_step_that_the_budget_cuts_off_is_not_reported() -> None:
    heard = run(fds(), digits(horizon=120), steps=150)
    assert heard.stopped == "budget"
    assert len(heard.reports) == len(heard.ears.checkpoints) == 1
    assert heard.task.clock.cost.inner_steps == 120 + 40


@dataclass
class Scripted:
    """What a hypergradient comes to: a value for each flat hyperparameter, or a divergence."""

    gradient: list[float] | None
    ending: str = "ok"


class Script(OuterLoop):
    """An outer loop whose hypergradients are written down beforehand; it trains nothing."""

    name = "script"
    lines: ClassVar[list[Scripted]] = []

    def hypergradient(self, task: Task, schedule: Schedule, trial: int, horizon: int) -> Hypergradient:
        state = task.trainer.start(trial)
        state.step = horizon
        line = self.lines[trial]
        ok = line.gradient is not None
        evaluation = Evaluation(1.0, 0.5) if ok else DIVERGED
        gradient = np.array(line.gradient) if ok else None
        step = 7 if line.ending == "diverged" else None
        return Hypergradient(line.ending, gradient, evaluation.loss, evaluation, state, step)  # type: ignore[arg-type]


def script(*lines: Scripted, **options: Any) -> Script:
    made = type("Script", (Script,), {"lines": list(lines)})
    return made(made.Options(outer_steps=len(lines), **options))  # type: ignore[no-any-return]


ONE_LR = HyperparameterSpace(low=-1.0, high=1.0, initial=0.0)
UP, DOWN, BAD = Scripted([-1.0]), Scripted([1.0]), Scripted(None, "diverged")


def path(*lines: Scripted) -> list[float]:
    """The learning rates that a script is asked about; first step 0.4, decay a half."""
    outer = OuterOptions(step={"lr": 0.4}, converged=0.0)
    heard = run(script(*lines, outer=outer), digits(lr=ONE_LR))
    return [report.schedule["lr"][0] for report in heard.reports]


def test_a_divergence_goes_half_way_back_to_the_last_good_schedule_with_smaller_steps() -> None:
    assert path(UP, BAD, UP, UP) == pytest.approx([0.0, 0.4, 0.2, 0.4])  # the step is 0.2 now
    # a second divergence in a row: nearer still to the same good one, and smaller steps
    assert path(UP, BAD, BAD, UP, UP) == pytest.approx([0.0, 0.4, 0.2, 0.1, 0.2])
    # good in between: it is the one to go back to
    assert path(UP, UP, BAD, DOWN) == pytest.approx([0.0, 0.4, 0.8, 0.6])


def test_a_divergence_is_reported_with_its_step_and_without_a_hypergradient() -> None:
    heard = run(script(UP, BAD, UP), digits(lr=ONE_LR))
    good, bad, _ = heard.reports
    assert (bad.evaluation, bad.hypergradient, bad.extra["diverged_at"]) == (DIVERGED, None, 7)
    assert good.hypergradient == [-1.0]
    assert "diverged_at" not in good.extra


class Overflowing(FDS):
    """FDS whose second outer step's tangents overflow."""

    name = "overflowing"

    def hypergradient(self, task: Task, schedule: Schedule, trial: int, horizon: int) -> Hypergradient:
        network = task.problem.network

        def spoilt(w: torch.Tensor, tape: Any, directions: Any, out: Any) -> None:
            type(network).products(network, w, tape, directions, out)
            out.flat.fill_(np.inf)

        with pytest.MonkeyPatch.context() as patch:
            if trial == 1:
                patch.setattr(network, "products", spoilt)
            return super().hypergradient(task, schedule, trial, horizon)


def test_an_overflow_is_reported_with_its_true_evaluation_and_goes_half_way_back_too() -> None:
    """The training ended well: a user who stopped now would be handed it."""
    outer = OuterOptions(step={"lr": 0.02}, converged=0.0)
    lr = HyperparameterSpace(windows=2, low=-1, high=1, initial=0.05)
    heard = run(Overflowing(Overflowing.Options(outer=outer, outer_steps=3)), digits(lr=lr))
    first, lost, third = heard.reports
    assert lost.hypergradient is None
    assert lost.evaluation != DIVERGED
    assert "diverged_at" not in lost.extra
    assert [one.extra["conditioning"]["soundness"] for one in heard.reports] == ["ok", "overflow", "ok"]
    half = (np.array(first.schedule["lr"]) + np.array(lost.schedule["lr"])) / 2
    assert np.array(third.schedule["lr"]) == pytest.approx(half)


def test_trust_is_found_out_by_a_second_training_a_rounding_away_on_the_method_s_account() -> None:
    plain = run(fds(outer_steps=2), digits())
    twice = run(fds(outer_steps=2, trust="perturbed"), digits())
    for one, other in zip(plain.reports, twice.reports, strict=True):
        assert one.schedule == other.schedule
        assert one.hypergradient == other.hypergradient  # it judges, and changes nothing
        assert "cosine" not in one.extra["conditioning"]
        assert 0.9 < other.extra["conditioning"]["cosine"] <= 1.0 + 1e-12
        assert 0.5 < other.extra["conditioning"]["signs"] <= 1.0
    assert twice.task.budget.clock.cost.inner_steps == 2 * plain.task.budget.clock.cost.inner_steps


def test_a_training_out_of_budget_moves_nothing() -> None:
    heard = run(script(UP, Scripted(None, "out of budget"), UP), digits(lr=ONE_LR))
    assert heard.stopped == "budget"
    assert len(heard.reports) == len(heard.ears.checkpoints) == 1


def test_a_run_that_died_amid_divergences_goes_on_as_if_it_had_not() -> None:
    lines = [UP, BAD, BAD, DOWN, UP, BAD, UP]
    whole = run(script(*lines), digits(lr=ONE_LR))
    for dies_after in range(1, len(lines)):
        dead = run(script(*lines), digits(lr=ONE_LR), dies_after=dies_after)
        later = run(script(*lines), digits(lr=ONE_LR), after=dead)
        assert_same(dead.reports + later.reports, whole.reports)


def test_diverging_trainings_back_off_and_the_outer_optimiser_never_sees_what_is_not_finite(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Real trainings: a step far into learning rates that float32 cannot bear, and the way back."""
    seen: list[np.ndarray] = []
    step = Outer.step

    def spy(outer: Outer, vector: np.ndarray, hypergradient: np.ndarray) -> np.ndarray:
        seen.append(hypergradient)
        return step(outer, vector, hypergradient)

    monkeypatch.setattr(Outer, "step", spy)
    wide = HyperparameterSpace(windows=2, low=-1e6, high=1e6, initial=0.05)
    outer = OuterOptions(step={"lr": 1e6}, converged=0.0)
    heard = run(fds(outer=outer, outer_steps=12), digits(lr=wide))
    diverged = [report.hypergradient is None for report in heard.reports]
    assert [report.evaluation == DIVERGED for report in heard.reports] == diverged
    assert diverged[:2] == [False, True]
    assert False in diverged[2:]  # it found its way back
    assert len(seen) == diverged.count(False)
    assert all(bool(np.isfinite(hypergradient).all()) for hypergradient in seen)
    values = [np.array(report.schedule["lr"]) for report in heard.reports]
    steps = [report.extra["step_sizes"] for report in heard.reports]
    for i in range(11):
        if diverged[i]:
            good = next(values[j] for j in range(i, -1, -1) if not diverged[j])
            assert values[i + 1] == pytest.approx((good + values[i]) / 2)
            assert steps[i + 1] == pytest.approx([step / 2 for step in steps[i]])
