"""The one inner loop: torch.optim's steps on batches that are a function of (seed, trial)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from oracles import some_schedule, tiny_dataset, tiny_trainer
from torch import Tensor, nn

from hpobench_fds.data.augment import Augmenter
from hpobench_fds.data.splits import BatchOrder
from hpobench_fds.nn.network import Tape
from hpobench_fds.schedule import Schedule, window_index
from hpobench_fds.training import trainer as trainer_module
from hpobench_fds.training.clock import Budget, Clock
from hpobench_fds.training.inner_step import constant_segments
from hpobench_fds.training.optimisers import RULES, Step
from hpobench_fds.training.problem import AugmentationConfig, Problem, ProblemConfig
from hpobench_fds.training.state import DIVERGED, Evaluation, TrainState
from hpobench_fds.training.trainer import EVALUATION_BATCH, Trainer, evaluate_on

LAYERS = """
from hpobench_fds.nn.layers import BatchNorm2d, Conv2d, GlobalAvgPool, Linear, ReLU, Sequential

def build(shape, classes):
    return Sequential(Conv2d(shape[0], 6, 3), BatchNorm2d(6), ReLU(), GlobalAvgPool(), Linear(6, classes))
"""


@pytest.fixture
def normed(tmp_path: Path) -> str:
    """A small network with batch norm, as a model's name."""
    path = tmp_path / "normed.py"
    path.write_text(LAYERS)
    return f"{path}:build"


def module_of(trainer: Trainer, state: TrainState) -> nn.Module:
    """The trainer's network as anyone would write it, at the state's weights."""
    p = trainer.problem
    if p.config.model == "mlp":
        layers = [nn.Flatten(), nn.Linear(p.x[0].numel(), 64), nn.ReLU(), nn.Linear(64, p.classes)]
    else:
        layers = [nn.Conv2d(p.x.shape[1], 6, 3), nn.BatchNorm2d(6), nn.ReLU()]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, p.classes)]
    module = nn.Sequential(*layers).double().train()
    nn.utils.vector_to_parameters(state.w.clone(), module.parameters())
    return module


def train_by_hand(
    trainer: Trainer, schedule: Schedule, horizon: int, clip: float | None = None, until: int | None = None
) -> tuple[nn.Module, list[float]]:
    """torch.optim.SGD on the trial's batches, hyperparameters set before each step; losses beside."""
    module = module_of(trainer, trainer.start(0))
    optimiser = torch.optim.SGD(module.parameters(), lr=0.0, momentum=0.1)
    losses = []
    for t in range(horizon if until is None else until):
        for name, values in schedule.values:
            optimiser.param_groups[0][name] = values[math.floor(len(values) * t / horizon)]
        x, y = trainer.data(0).batch(t)
        loss = F.cross_entropy(module(x), y)
        optimiser.zero_grad()
        loss.backward()
        for parameter in module.parameters():
            if clip is not None and parameter.grad is not None:
                parameter.grad.clamp_(-clip, clip)
        optimiser.step()
        losses.append(loss.item())
    return module, losses


def vector(module: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(module.parameters()).detach()


def close(value: Tensor, truth: Tensor) -> None:
    torch.testing.assert_close(value, truth, rtol=1e-11, atol=1e-12)


def same(one: TrainState, other: TrainState) -> bool:
    """Equal to the last bit."""
    pairs = ((one.w, other.w), (one.slots, other.slots), (one.buffers, other.buffers))
    return one.step == other.step and all(torch.equal(a, b) for a, b in pairs)


def trained(trainer: Trainer, schedule: Schedule, trial: int = 0) -> TrainState:
    state = trainer.start(trial)
    assert trainer.train(state, schedule).ending == "ok"
    return state


# ---------------------------------------------------------------------------------- torch.optim.SGD's steps


def test_training_is_torch_s_sgd_over_the_same_batches() -> None:
    trainer = tiny_trainer(windows=(3, 2, 1), horizon=70)  # more than one look at the loss, several epochs
    schedule = some_schedule(trainer)
    state = trainer.start(0)
    training = trainer.train(state, schedule)
    module, losses = train_by_hand(trainer, schedule, 70)
    close(state.w, vector(module))
    assert training.ending == "ok"
    assert training.diverged_at is None
    assert training.state is state
    assert state.step == 70
    assert training.train_loss == pytest.approx(losses[-1], rel=1e-10)
    assert not torch.allclose(state.w, trainer.start(0).w, atol=0.05)


def test_training_with_batch_norm_is_torch_s_too(normed: str) -> None:
    trainer = tiny_trainer(normed, windows=(3, 2, 1), horizon=20)
    schedule = some_schedule(trainer)
    state = trained(trainer, schedule)
    module, _ = train_by_hand(trainer, schedule, 20)
    close(state.w, vector(module))
    norm = module[1]  # type: ignore[index]
    close(state.buffers, torch.cat([norm.running_mean, norm.running_var]))


@pytest.mark.parametrize("optimiser", RULES)
def test_every_inner_optimiser_is_told_its_step_and_its_hyperparameters_in_order(optimiser: str) -> None:
    """Its update in plain operations, on autograd's gradients; test_step.py holds it against torch's."""
    windows = (3, 2, 1, 2, 1)[: len(RULES[optimiser].defaults)]
    trainer = tiny_trainer(windows=windows, horizon=8, optimiser=optimiser)
    schedule, p = some_schedule(trainer), trainer.problem
    start = trainer.start(0)
    w, slots = start.w, start.slots
    for t in range(8):
        leaf = w.clone().requires_grad_()
        gradient = torch.autograd.grad(p.network.loss(leaf, *trainer.data(0).batch(t)), leaf)[0]
        hypers = [schedule[name][len(schedule[name]) * t // 8] for name in p.rule.defaults]
        w, slots = p.rule.update(Step(w, slots, gradient, hypers, t))
    state = trained(trainer, schedule)
    close(state.w, w)
    close(state.slots, slots)


def test_gradients_are_clipped_elementwise_before_the_step_if_the_problem_says_so() -> None:
    trainer, free = tiny_trainer(horizon=12, gradient_clip=0.01), tiny_trainer(horizon=12)
    schedule = some_schedule(trainer)
    state = trained(trainer, schedule)
    close(state.w, vector(train_by_hand(trainer, schedule, 12, clip=0.01)[0]))
    assert not torch.allclose(state.w, trained(free, schedule).w, atol=1e-3)


@pytest.mark.parametrize("horizon", [4, 9, 23])
def test_a_schedule_can_be_stretched_over_another_horizon(horizon: int) -> None:
    trainer = tiny_trainer(windows=(4, 2, 1), horizon=9)
    schedule = some_schedule(trainer)
    state = trainer.start(0)
    trainer.train(state, schedule, horizon=horizon)
    assert state.step == horizon
    close(state.w, vector(train_by_hand(trainer, schedule, horizon)[0]))


def test_training_stops_where_it_is_told_and_nothing_is_stretched_by_that() -> None:
    trainer = tiny_trainer(windows=(3, 1, 1), horizon=20)
    schedule = some_schedule(trainer)
    state = trainer.start(0)
    trainer.train(state, schedule, until=13)
    assert state.step == 13
    close(state.w, vector(train_by_hand(trainer, schedule, 20, until=13)[0]))
    assert trainer.train(state, schedule, until=13).ending == "ok"  # nothing to do
    assert state.step == 13


@pytest.mark.parametrize(("until", "horizon"), [(4, None), (10, None), (7, 6), (None, 3)])
def test_a_training_goes_neither_back_nor_beyond_its_horizon(until: int | None, horizon: int | None) -> None:
    trainer = tiny_trainer(horizon=9)
    schedule = some_schedule(trainer)
    state = trainer.start(0)
    trainer.train(state, schedule, until=5)
    with pytest.raises(ValueError, match="cannot train from step 5"):
        trainer.train(state, schedule, until=until, horizon=horizon)


lengths = st.lists(st.integers(1, 8), min_size=1, max_size=3)


@given(windows=lengths, horizon=st.integers(1, 60), data=st.data())
def test_segments_are_the_longest_stretches_of_constant_hyperparameters(
    windows: list[int], horizon: int, data: st.DataObject
) -> None:
    begin = data.draw(st.integers(0, horizon))
    end = data.draw(st.integers(begin, horizon))
    schedule = Schedule.of({f"h{i}": range(n) for i, n in enumerate(windows)})

    def window(step: int) -> list[int]:
        return [window_index(n, step, horizon) for n in windows]

    segments = list(constant_segments(schedule, horizon, begin, end))
    assert [t for a, b in segments for t in range(a, b)] == list(range(begin, end))
    assert all(window(t) == window(a) for a, b in segments for t in range(a, b))
    assert all(window(a - 1) != window(a) for a, _ in segments[1:])


# ------------------------------------------------------------------------------------ going on from a state


@pytest.mark.parametrize("at", [0, 1, 7, 50, 63, 119, 120])
def test_going_on_from_a_copy_is_bitwise_an_uninterrupted_run(normed: str, at: int) -> None:
    trainer = tiny_trainer(
        normed, windows=(3, 2, 1), horizon=120, augmentation=AugmentationConfig(crop_padding=1, flip=True)
    )
    schedule = some_schedule(trainer)
    whole = trained(trainer, schedule)
    state = trainer.start(0)
    trainer.train(state, schedule, until=at)
    copy = state.clone()
    trainer.train(state, schedule)  # what happens to the original is nothing to the copy
    later = Trainer(trainer.problem, trainer.seed, Clock())
    later.train(copy, schedule)
    assert same(copy, whole)
    assert same(state, whole)


def test_a_clone_shares_nothing_with_its_original(normed: str) -> None:
    trainer = tiny_trainer(normed)
    state = trainer.start(3)
    copy = state.clone()
    assert same(copy, state)
    assert copy.trial == 3
    trainer.train(state, some_schedule(trainer))
    fresh = trainer.start(3)
    assert same(copy, fresh)
    assert not same(copy, state)


# ------------------------------------------------------------------------------------- draws: (seed, trial)


def test_a_training_is_a_function_of_seed_and_trial() -> None:
    schedule = some_schedule(tiny_trainer())
    draws = [(0, 0), (0, 1), (1, 0), (1, 1)]
    states = [trained(tiny_trainer(seed=seed), schedule, trial) for seed, trial in draws]
    assert same(trained(tiny_trainer(seed=1), schedule, 1), states[3])
    assert not any(same(a, b) for i, a in enumerate(states) for b in states[:i])


def test_what_was_trained_before_does_not_matter() -> None:
    trainer, fresh = tiny_trainer(), tiny_trainer()
    schedule = some_schedule(trainer)
    trained(trainer, schedule, 5)
    trainer.evaluate(trainer.start(2))
    assert same(trained(trainer, schedule, 1), trained(fresh, schedule, 1))


def draws(trainer: Trainer, trial: int) -> tuple[Tensor, Tensor, Tensor]:
    """Initial weights, first batch, validation images of a trial."""
    data = trainer.data(trial)
    return trainer.start(trial).w, data.batch(0)[0], data.x_validation


@pytest.mark.parametrize(("fresh", "equal"), [(True, False), (False, True)])
def test_trials_are_fresh_draws_of_everything_unless_the_problem_fixes_them(fresh: bool, equal: bool) -> None:
    trainer = tiny_trainer(fresh=fresh)
    for one, other in zip(draws(trainer, 0), draws(trainer, 1), strict=True):
        assert torch.equal(one, other) == equal
    other_seed = draws(tiny_trainer(fresh=fresh, seed=1), 0)
    for one, other in zip(draws(trainer, 0), other_seed, strict=True):
        assert not torch.equal(one, other)


def rows(x: Tensor) -> set[bytes]:
    return {row.numpy().tobytes() for row in x}


def test_validation_data_is_disjoint_from_training_batches_and_both_make_up_the_data() -> None:
    trainer = tiny_trainer(batch_size=8, examples=60)  # 12 for validation, 48 in 6 batches an epoch
    everything = rows(trainer.problem.x)
    for trial in range(3):
        data = trainer.data(trial)
        batches = [data.batch(t)[0] for t in range(12)]
        seen = rows(torch.cat(batches))
        assert len(data.x_validation) == 12
        assert not seen & rows(data.x_validation)
        assert seen | rows(data.x_validation) == everything
        assert rows(torch.cat(batches[:6])) == rows(torch.cat(batches[6:])) == seen  # an epoch has each once
        assert not torch.equal(torch.cat(batches[:6]), torch.cat(batches[6:]))  # in an order of its own


def test_images_keep_their_labels() -> None:
    trainer = tiny_trainer()
    label = {x.numpy().tobytes(): int(y) for x, y in zip(trainer.problem.x, trainer.problem.y, strict=True)}
    data = trainer.data(1)
    pairs = [data.batch(t) for t in range(6)] + [(data.x_validation, data.y_validation)]
    for xs, ys in pairs:
        assert [label[x.numpy().tobytes()] for x in xs] == ys.tolist()


def test_only_training_batches_are_augmented() -> None:
    changes = AugmentationConfig(crop_padding=2, flip=True, cutout=3)
    plain, augmented = tiny_trainer(), tiny_trainer(augmentation=changes)
    before, after = plain.data(0), augmented.data(0)
    assert torch.equal(before.x_validation, after.x_validation)
    assert rows(after.x_validation) <= rows(augmented.problem.x)
    for t in range(6):
        (x, y), (x_augmented, y_augmented) = before.batch(t), after.batch(t)
        assert torch.equal(y, y_augmented)
        assert not rows(x) & rows(x_augmented)
    assert torch.equal(after.batch(5)[0], x_augmented)  # the same at each look


def test_augmentation_is_drawn_afresh_for_each_step_and_each_trial() -> None:
    plain, augmented = tiny_trainer(), tiny_trainer(augmentation=AugmentationConfig(flip=True))

    def flips(trial: int) -> list[tuple[bool, ...]]:
        """Which images of each batch are mirrored."""
        before, after = plain.data(trial), augmented.data(trial)
        pairs = [(before.batch(t)[0], after.batch(t)[0]) for t in range(6)]
        return [tuple(not torch.equal(a, b) for a, b in zip(*pair, strict=True)) for pair in pairs]

    one, other = flips(0), flips(1)
    assert one != other
    assert len(set(one)) > 3
    assert flips(0) == one


# ----------------------------------------------------------------------------------------------- divergence


def exploding(trainer: Trainer, window: int) -> Schedule:
    """A learning rate of 1e200 in one window: the loss is not finite one step later."""
    values = [0.05] * trainer.problem.space.spaces["lr"].windows
    values[window] = 1e200
    return Schedule.of({"lr": values, "momentum": [0.0], "weight_decay": [0.0]})


@pytest.mark.parametrize(
    ("horizon", "window", "step"),
    [(10, 0, 1), (10, 1, 6), (120, 0, 1), (120, 1, 61), (200, 1, 101)],
)
def test_a_loss_that_is_not_finite_ends_training_as_diverged_at_its_step(
    horizon: int, window: int, step: int
) -> None:
    trainer = tiny_trainer(windows=(2, 1, 1), horizon=horizon)
    schedule = exploding(trainer, window)
    losses = train_by_hand(trainer, schedule, horizon)[1]
    assert next(t for t, loss in enumerate(losses) if not math.isfinite(loss)) == step
    training = trainer.train(trainer.start(0), schedule)
    assert training.ending == "diverged"
    assert training.diverged_at == step
    assert training.state.step <= step + trainer.problem.look_every  # it stops soon after
    assert trainer.evaluate(training.state) == DIVERGED == Evaluation(math.inf, 0.0)


def test_a_divergence_is_told_even_if_the_budget_ends_with_it() -> None:
    trainer = tiny_trainer(windows=(2, 1, 1), horizon=120)
    trainer.budget = Budget(trainer.clock, steps=10)
    training = trainer.train(trainer.start(0), exploding(trainer, 0))
    assert (training.ending, training.diverged_at) == ("diverged", 1)


def test_weights_lost_in_the_last_step_of_all_show_in_the_evaluation() -> None:
    trainer = tiny_trainer(windows=(2, 1, 1), horizon=2)
    training = trainer.train(trainer.start(0), exploding(trainer, 1))
    assert math.isfinite(training.train_loss)
    assert trainer.evaluate(training.state) == DIVERGED


# ------------------------------------------------------------------------------------------ budget and cost


def ticking() -> Callable[[], float]:
    """Time that goes on by a second at each look."""
    seconds: Iterator[int] = iter(range(10**6))
    return lambda: float(next(seconds))


def test_training_stops_in_mid_run_when_its_time_is_up_and_can_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = tiny_trainer(horizon=400)
    schedule, network, now = some_schedule(trainer), trainer.problem.network, [0.0]
    gradient = network.gradient

    def slow(*arguments: Tensor, draw: int | None) -> Tape:
        now[0] += 1 / trainer.problem.look_every
        return gradient(*arguments, draw=draw)

    clock = Clock(lambda: now[0])
    monkeypatch.setattr(network, "gradient", slow)
    hurried = Trainer(trainer.problem, trainer.seed, clock, Budget(clock, seconds=2.5))
    clock.start()
    state = hurried.start(0)
    training = hurried.train(state, schedule)
    assert training.ending == "out of budget"
    assert state.step == 3 * trainer.problem.look_every  # a look, and so a second, each
    assert clock.cost.inner_steps == state.step
    trainer.train(state, schedule)
    assert same(state, trained(trainer, schedule))


class SlowData:
    """Time that stands still but for splits, orders and augmentations, each of which takes a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.made = 0
        for owner, name in ((trainer_module, "make_split"), (BatchOrder, "_draw"), (Augmenter, "_draw")):
            monkeypatch.setattr(owner, name, self._slow(getattr(owner, name)))

    def _slow(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*arguments: Any) -> Any:
            self.now, self.made = self.now + 1, self.made + 1
            return make(*arguments)

        return made


def test_making_a_trials_data_is_on_nobodys_time(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, padded = SlowData(monkeypatch), AugmentationConfig(crop_padding=1)
    problem = tiny_trainer(horizon=15, augmentation=padded).problem
    slow.made = 0
    clock = Clock(lambda: float(slow.now))
    trainer = Trainer(problem, 0, clock)
    clock.start()
    for trial in (0, 1):
        trainer.train(trainer.start(trial), some_schedule(trainer))
    assert clock.seconds == 0
    assert clock.sums().data == slow.made == 2 * (1 + 2 * 3)  # a split, and orders and crops of three epochs


@pytest.mark.parametrize(("fresh", "splits"), [(True, 3), (False, 1)])
def test_data_is_made_once_a_draw(monkeypatch: pytest.MonkeyPatch, fresh: bool, splits: int) -> None:
    slow = SlowData(monkeypatch)
    trainer = tiny_trainer(horizon=3, fresh=fresh)
    before = slow.made
    for trial in (0, 1, 2, 0, 1):
        trainer.data(trial)
    assert slow.made - before == splits


@pytest.mark.parametrize(
    ("steps", "ending", "stops_at"),
    [(1, "out of budget", 50), (51, "out of budget", 100), (101, "ok", 120), (120, "ok", 120)],
)
def test_a_budget_is_looked_at_now_and_then_and_one_that_ends_with_the_training_does_not_cut_it_off(
    steps: int, ending: str, stops_at: int
) -> None:
    trainer = tiny_trainer(horizon=120)
    trainer.problem.look_every = 50
    trainer.budget = Budget(trainer.clock, steps=steps)
    training = trainer.train(trainer.start(0), some_schedule(trainer))
    assert (training.ending, training.state.step) == (ending, stops_at)


@pytest.mark.parametrize(("examples", "every"), [(40, 8), (2000, 50)])
def test_looks_are_at_most_an_inner_epoch_apart(examples: int, every: int) -> None:
    assert tiny_trainer(examples=examples, batch_size=4).problem.look_every == every


def test_every_step_and_every_evaluation_is_counted() -> None:
    trainer = tiny_trainer(horizon=120, batch_size=8, examples=60)
    schedule = some_schedule(trainer)
    state = trainer.start(0)
    trainer.train(state, schedule, until=7)
    trainer.train(state, schedule, until=77)
    assert trainer.clock.cost.inner_steps == 77
    assert trainer.clock.cost.gradient_equivalents == 77
    trainer.evaluate(state)
    # 12 examples in batches of 8, forward only: a third of a gradient
    assert trainer.clock.cost.gradient_equivalents == pytest.approx(77 + 12 / 8 / 3)
    assert trainer.clock.cost.products == 0


# ----------------------------------------------------------------------------------------------- evaluation


@pytest.mark.parametrize("model", ["mlp", "normed"])
def test_an_evaluation_is_mean_loss_and_accuracy_over_the_trial_s_validation_data(
    model: str, normed: str
) -> None:
    trainer = tiny_trainer(normed if model == "normed" else model, horizon=20)
    schedule = some_schedule(trainer)
    state = trained(trainer, schedule)
    module = train_by_hand(trainer, schedule, 20)[0].eval()
    data = trainer.data(0)
    logits = module(data.x_validation).detach()
    evaluation = trainer.evaluate(state)
    assert evaluation.loss == pytest.approx(F.cross_entropy(logits, data.y_validation).item(), rel=1e-9)
    assert evaluation.metric == (logits.argmax(1) == data.y_validation).double().mean().item()
    assert evaluation.metric > 0


def test_an_evaluation_changes_no_state(normed: str) -> None:
    trainer = tiny_trainer(normed)
    state = trained(trainer, some_schedule(trainer))
    kept = state.clone()
    assert trainer.evaluate(state) == trainer.evaluate(state)
    assert same(state, kept)


def test_many_examples_are_evaluated_in_batches_and_each_counts_once() -> None:
    count = 2 * EVALUATION_BATCH + 7
    dataset = tiny_dataset((1, 2, 2), examples=count)
    problem = Problem(ProblemConfig(dataset="tiny", horizon=1, dtype="float64"), dataset)
    trainer = Trainer(problem, 0, Clock())
    state = trainer.start(0)
    logits = problem.network.logits(state.w, problem.x)
    evaluation = evaluate_on(problem, state, problem.x, problem.y)
    assert evaluation.loss == pytest.approx(F.cross_entropy(logits, problem.y).item(), rel=1e-12)
    assert evaluation.metric * count == pytest.approx(int((logits.argmax(1) == problem.y).sum()), abs=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e308])
def test_weights_that_are_not_finite_have_an_infinite_loss_and_no_accuracy(bad: float) -> None:
    trainer = tiny_trainer()
    state = trainer.start(0)
    state.w[5] = bad
    state.w[-1] = bad
    assert trainer.evaluate(state) == Evaluation(math.inf, 0.0)
