"""The conformance kit: built-in methods keep every rule, and each rule has an adapter that breaks it."""

from __future__ import annotations

import itertools
import random
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from hpobench_fds.data.dataset import Dataset
from hpobench_fds.method import AskTell, Method, Outcome, Proposal, Task
from hpobench_fds.method.conformance import RULES, Finding, assert_conforms, check_method, is_stochastic
from hpobench_fds.training.clock import Clock
from hpobench_fds.training.problem import load_problem
from hpobench_fds.training.state import Evaluation
from hpobench_fds.training.trainer import Trainer

# Module, class, and options under which the kit's short runs get past every warm-up.
BUILT_IN: list[tuple[str, str, dict[str, Any]]] = [
    ("random_search", "RandomSearch", {}),
    ("fds", "FDS", {}),
    ("tpe", "TPE", {"n_startup_jobs": 4}),
    ("optuna_tpe", "OptunaTPE", {"n_startup_trials": 4}),
    ("optuna", "Optuna", {"arguments": {"n_startup_trials": 4}}),
    ("smac", "SMAC", {"n_startup_trials": 4}),
    ("gp", "GP", {"n_startup_trials": 10}),
    ("cmaes", "CMAES", {}),
    ("es", "ES", {}),
    ("spsa", "SPSA", {}),
    ("random_signs", "RandomSigns", {}),
    ("finite_differences", "FiniteDifferences", {}),
    ("forward_gradient", "ForwardGradient", {}),
    ("hyperband", "Hyperband", {}),
    ("hyperband", "Hyperband", {"resume": False}),
    ("asha", "ASHA", {"eta": 2, "units": 4}),
    ("autolrs", "AutoLRS", {}),
    ("autolrs", "AutoLRS", {"losses": "validation", "candidates": 4}),
    ("bohb", "BOHB", {"min_points": 2}),
    ("dehb", "DEHB", {"units": 4, "eta": 2}),
    ("dehb", "DEHB", {"units": 9, "fidelity": "prefix"}),
    ("priorband", "PriorBand", {"units": 9}),
    ("pes", "PES", {"pairs": 1, "unrolls": 3}),
    ("es_single", "ESSingle", {"pairs": 1, "unrolls": 3, "objective": "mean"}),
    ("pb2", "PB2", {"population": 4}),
    ("pbt", "PBT", {"population": 5}),
    ("default", "Default", {}),
    ("cosine", "Cosine", {}),
    ("one_cycle", "OneCycle", {}),
    ("grid", "Grid", {}),
    ("implicit", "Implicit", {"terms": 3}),  # learns weight decay alone
    ("reverse_sharing", "ReverseSharing", {}),
    ("ladder", "Ladder", {}),
    ("reverse", "Reverse", {}),
    ("truncated_reverse", "TruncatedReverse", {"last": 10}),
    ("sliding_reverse", "SlidingReverse", {"steps": 7}),
    ("hd", "HD", {}),
    ("hdm", "HDM", {}),
    ("hdm", "HDM", {"feedback": "validation", "omega": 0.1, "tau": 1.0}),
    ("rtho", "RTHO", {}),
    ("marthe", "MARTHE", {}),
    ("marthe", "MARTHE", {"adaptive": True}),
    ("one_pass", "OnePass", {}),
]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(("module", "name", "options"), BUILT_IN, ids=lambda part: str(part))
def test_built_in_methods_conform(module: str, name: str, options: dict[str, Any]) -> None:
    if module == "smac":
        pytest.importorskip("smac", exc_type=ImportError)
    assert_conforms(getattr(import_module(f"hpobench_fds.methods.{module}"), name), options)


# ------------------------------------------------------------------- an adapter for each rule it breaks


class Good(AskTell):
    """Random search, which keeps every rule; those below break one."""

    name = "good"
    paper = "none"

    def ask(self, task: Task) -> Proposal:
        return Proposal(task.space.sample(task.rng))


class Nameless(Good):
    """Has no name that a suite could write."""

    name = "no name"


class Unpublished(Good):
    """Does not say where it comes from."""

    paper = ""


class NeedsAnOption(Good):
    """One of its options has no default."""

    class Options(Method.Options):
        width: float


class TakesAnything(Good):
    """Swallows unknown options, and so misspelled ones."""

    class Options(Method.Options):
        model_config: ClassVar[Any] = {"extra": "ignore"}


class Raises(Good):
    """Falls over at its third trial."""

    asked = 0

    def ask(self, task: Task) -> Proposal:
        self.asked += 1
        if self.asked == 3:
            raise ZeroDivisionError("third trial")
        return super().ask(task)


class Silent(Good):
    """Trains and keeps the results to itself."""

    def _report(self, task: Task, proposal: Proposal, outcome: Outcome) -> None:
        pass


class OutOfBounds(Good):
    """Steps over the upper bound."""

    def ask(self, task: Task) -> Proposal:
        vector = task.space.to_vector(task.space.sample(task.rng))
        vector[0] = 1.5 * task.space.high[0]
        return Proposal(task.space.from_vector(vector))


class MovesWhatIsFixed(Good):
    """Changes a hyperparameter that is not learned."""

    def ask(self, task: Task) -> Proposal:
        values: dict[str, Any] = task.space.sample(task.rng).as_dict()
        if "weight_decay" in values:
            values["weight_decay"] = [1e-3]
        return Proposal(type(task.space.initial).of(values))


class Flatters(Good):
    """Reports a better loss than its weights have."""

    def _report(self, task: Task, proposal: Proposal, outcome: Outcome) -> None:
        e = outcome.evaluation
        task.report(proposal.schedule, Evaluation(0.9 * e.loss, e.metric), state=outcome.state)


class AnotherSchedule(Good):
    """Reports a schedule that it did not train."""

    def _report(self, task: Task, proposal: Proposal, outcome: Outcome) -> None:
        task.report(task.space.initial, outcome.evaluation, state=outcome.state)


class HalfTrained(Good):
    """Claims to have trained to the end."""

    def ask(self, task: Task) -> Proposal:
        return Proposal(task.space.sample(task.rng), until=task.problem.horizon // 2)

    def _report(self, task: Task, proposal: Proposal, outcome: Outcome) -> None:
        task.report(proposal.schedule, outcome.evaluation, state=outcome.state, fidelity=1.0)


class Own(Method):
    """A loop of its own, for the rules that AskTell keeps by itself."""

    name = "own"
    paper = "none"

    def trial(self, task: Task, trial: int) -> None:
        schedule = task.space.sample(task.rng)
        outcome = task.train(schedule, trial=trial)
        if outcome.ending != "out of budget":
            task.report(schedule, outcome.evaluation, state=outcome.state)

    def run(self, task: Task) -> str:
        done = int(task.restored["done"]) if task.restored else 0
        for _ in range(done):
            task.space.sample(task.rng)
        while not self.over(task, done):
            self.trial(task, done)
            done += 1
            task.checkpoint({"done": done})
        return "budget"

    def over(self, task: Task, done: int) -> bool:
        return task.budget.exhausted


class OffTheClock(Own):
    """Books its thinking to the referee."""

    def trial(self, task: Task, trial: int) -> None:
        with task.clock.charge("referee"):
            sum(range(10))
        super().trial(task, trial)


class BooksToData(Own):
    """Books its thinking to the making of data."""

    def trial(self, task: Task, trial: int) -> None:
        with task.clock.charge("data"):
            sum(range(10))
        super().trial(task, trial)


class FreezesTheClock(Own):
    """Has time stand still."""

    def trial(self, task: Task, trial: int) -> None:
        now = task.clock.seconds
        task.clock._source = lambda: now
        super().trial(task, trial)


class StopsTheClock(Own):
    """Trains while nothing is booked."""

    def trial(self, task: Task, trial: int) -> None:
        task.clock.stop()
        super().trial(task, trial)
        task.clock.start()


class TakesBack(Own):
    """Takes the time back that it has been charged for."""

    def trial(self, task: Task, trial: int) -> None:
        super().trial(task, trial)
        task.clock._sums["method"] -= 5
        task.clock._elapsed -= 5


class OwnTrainer(Own):
    """Trains where nobody counts."""

    trained = 0

    def trial(self, task: Task, trial: int) -> None:
        trainer = Trainer(task.problem, task.trainer.seed, Clock())
        schedule, state = task.space.sample(task.rng), trainer.start(trial)
        trainer.train(state, schedule)
        task.report(schedule, trainer.evaluate(state), state=state)
        task.clock.count(steps=task.problem.horizon // 2)


class SetsTheClockBack(Own):
    """Takes back the steps it has been charged for."""

    def trial(self, task: Task, trial: int) -> None:
        super().trial(task, trial)
        task.clock.cost.inner_steps -= 3 if trial == 1 else 0


class NeverStops(Own):
    """Does not look at the budget."""

    def over(self, task: Task, done: int) -> bool:
        return False


class StopsLate(Own):
    """Does not look at the budget within a training."""

    def trial(self, task: Task, trial: int) -> None:
        budget = task.trainer.budget
        task.trainer.budget = type(budget)(task.clock)
        super().trial(task, trial)
        task.trainer.budget = budget


class CountsSteps(Own):
    """Knows of step budgets alone."""

    def over(self, task: Task, done: int) -> bool:
        return task.budget.steps is not None and task.budget.exhausted


class GlobalStream(Good):
    """Draws from the global random stream."""

    def ask(self, task: Task) -> Proposal:
        unit = [random.random() for _ in range(task.space.size)]
        return Proposal(task.space.from_unit(np.array(unit)))


class Stubborn(Good):
    """Has a seed of its own."""

    def setup(self, task: Task) -> None:
        task.rng = np.random.default_rng(3)


class FearsInfinity(Good):
    """Cannot take a loss that is not finite."""

    def tell(self, task: Task, proposal: Proposal, outcome: Outcome) -> None:
        round(outcome.evaluation.loss)


class HidesDivergence(Good):
    """Reports a diverged training as if it had come to something."""

    def _report(self, task: Task, proposal: Proposal, outcome: Outcome) -> None:
        loss = min(outcome.evaluation.loss, 10.0)
        evaluation = Evaluation(loss, outcome.evaluation.metric)
        task.report(proposal.schedule, evaluation, state=outcome.state)


class Forgetful(Own):
    """Keeps no checkpoint."""

    def run(self, task: Task) -> str:
        for trial in itertools.count():
            if task.budget.exhausted:
                return "budget"
            self.trial(task, trial)
        raise AssertionError


class StartsOver(Own):
    """Goes on from its checkpoint with a stream that starts anew."""

    def run(self, task: Task) -> str:
        task.rng = np.random.default_rng([task.seed, 0])
        if task.restored:
            task.restored["done"], self.skipped = 0, task.restored["done"]
        return super().run(task)


class Impure(Good):
    """Keeps what cannot be read again without running code."""

    def tell(self, task: Task, proposal: Proposal, outcome: Outcome) -> None:
        task.checkpoint({"proposal": proposal})


class Remembers(Good):
    """Its proposals depend on how often it was asked in this process, not on what it was told."""

    calls = 0

    def ask(self, task: Task) -> Proposal:
        type(self).calls += 1
        unit = np.full(task.space.size, (type(self).calls * 0.37) % 1)
        return Proposal(task.space.from_unit(unit))


class Peeks(Good):
    """Loads the data again, test split and all."""

    def setup(self, task: Task) -> None:
        _, self.test = load_problem(task.problem.config)


BAD = [
    (Nameless, "declares itself", "no name"),
    (Unpublished, "declares itself", "paper is empty"),
    (NeedsAnOption, "has options with defaults", "width: missing"),
    (TakesAnything, "has options with defaults", "unknown option is taken"),
    (Raises, "runs and reports", "ZeroDivisionError: third trial"),
    (Silent, "runs and reports", "no finite evaluation among 0 reports"),
    (OutOfBounds, "stays in bounds", "lr[0] = 0.75 is outside"),
    (MovesWhatIsFixed, "stays in bounds", "weight_decay is not learned"),
    (Flatters, "reports what it trained", "validation loss"),
    (AnotherSchedule, "reports what it trained", "other weights"),
    (HalfTrained, "reports what it trained", "10 inner steps"),
    (OffTheClock, "keeps the clock", "referee"),
    (BooksToData, "keeps the clock", "to the making of data"),
    (FreezesTheClock, "keeps the clock", "the clock was tampered with"),
    (StopsTheClock, "keeps the clock", "it stopped the clock"),
    (TakesBack, "keeps the clock", "the clock was tampered with"),
    (OwnTrainer, "keeps the clock", "20 steps trained, 0 counted"),
    (SetsTheClockBack, "keeps the clock", "and 137 left on the clock"),
    (NeverStops, "stops on a step budget", "still training"),
    (StopsLate, "stops on a step budget", "90 inner steps after the budget of 360"),
    (CountsSteps, "stops on a time budget", "still training"),
    (GlobalStream, "same seed, same search", "schedule was"),
    (Remembers, "same seed, same search", "differs at report 0"),
    (Stubborn, "another seed, another search", "the very same"),
    (FearsInfinity, "survives divergence", "OverflowError"),
    (HidesDivergence, "survives divergence", "report 1"),
    (Forgetful, "resumes from its saved state", "no checkpoint"),
    (StartsOver, "resumes from its saved state", "differs at report"),
    (Impure, "resumes from its saved state", "Proposal, not plain data"),
    (Peeks, "never touches test data", "loaded a dataset"),
]


def failures(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.rule: finding for finding in findings if not finding.passed}


@pytest.mark.parametrize("method", [Good, Own])
def test_the_good_ones_break_nothing(method: type[Method]) -> None:
    findings = check_method(method)
    assert [finding.rule for finding in findings] == [rule.name for rule in RULES]
    assert failures(findings) == {}


@pytest.mark.parametrize(("method", "rule", "seen"), BAD, ids=lambda part: getattr(part, "__name__", None))
def test_a_bad_one_fails_its_rule_and_is_told_what_to_do(method: type[Method], rule: str, seen: str) -> None:
    findings = check_method(method, trainings=6)
    failed = failures(findings)
    assert rule in failed
    assert seen in failed[rule].seen
    assert failed[rule].remedy == next(r.remedy for r in RULES if r.name == rule)
    # Some cannot break one rule alone: what never stops is cut off whatever is asked of it.
    if rule not in ("stops on a step budget", "same seed, same search", "keeps the clock"):
        extra = {AnotherSchedule: "another seed, another search", NeedsAnOption: "runs and reports"}
        assert set(failed) - {extra.get(method)} == {rule}


def test_every_rule_has_an_adapter_that_breaks_it() -> None:
    assert {rule for _, rule, _ in BAD} == {rule.name for rule in RULES}


def test_findings_say_what_and_what_to_do() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_conforms(OutOfBounds)
    text = str(caught.value)
    assert text.startswith(
        "OutOfBounds breaks 1 rule(s):\nFAILED  stays in bounds: report 0: lr[0] = 0.75 is"
    )
    assert "-> project with task.space.clip" in text
    assert str(Finding("stays in bounds", True)) == "ok      stays in bounds"


def test_what_cannot_run_has_no_findings_after_that() -> None:
    assert [finding.passed for finding in check_method(Raises)] == [True, True, False]


def test_what_is_not_declared_hides_no_other_rule() -> None:
    class Undeclared(StopsLate):
        paper = ""
        __doc__ = None

    failed = failures(check_method(Undeclared))
    assert {"declares itself", "stops on a step budget"} <= set(failed)


def test_a_method_that_skips_is_told_why() -> None:
    class Skips(Good):
        """Never runs."""

        def skip(self, problem: object) -> str:
            return "not today"

    assert failures(check_method(Skips))["runs and reports"].seen == "it skips the kit's problems: not today"


def test_a_method_may_declare_that_it_draws_nothing() -> None:
    class Centre(AskTell):
        """The same point for ever."""

        name, paper, stochastic = "centre", "none", False

        def ask(self, task: Task) -> Proposal:
            return Proposal(task.space.from_unit(np.full(task.space.size, 0.5)))

    assert not is_stochastic(Centre)
    assert failures(check_method(Centre)) == {}
    Centre.stochastic = True
    assert list(failures(check_method(Centre))) == ["another seed, another search"]


def test_options_are_taken_as_a_table_or_as_the_methods_own() -> None:
    class Wide(Good):
        """Has an option that must be given to run."""

        class Options(Method.Options):
            width: float = 0.0

        def setup(self, task: Task) -> None:
            assert self.options.width == 2.0

    assert "runs and reports" in failures(check_method(Wide))
    assert failures(check_method(Wide, {"width": 2.0})) == {}
    assert failures(check_method(Wide, Wide.Options(width=2.0))) == {}
    assert "width" in failures(check_method(Wide, {"wdith": 2.0}))["runs and reports"].seen


def test_the_kit_leaves_global_random_streams_and_datasets_as_they_were() -> None:
    def streams() -> tuple[object, ...]:
        numpy: Any = np.random.get_state()  # noqa: NPY002
        return random.getstate(), numpy[1].tolist(), numpy[2], torch.random.get_rng_state().tolist()

    before, made_by = streams(), Dataset.__init__
    check_method(GlobalStream, trainings=3)
    assert streams() == before
    assert Dataset.__init__ is made_by
