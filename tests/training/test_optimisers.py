"""Inner optimisers: every rule of ``RULES`` is torch.optim's, and its products are those of its update.

The tests run over all rules: one that is added needs its torch twin in ``TWINS`` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import matrix
from torch import Tensor

from hpobench_fds.nn.tangents import Tangents
from hpobench_fds.training.optimisers import RULES, Step, StepRule, StepTangents

SHAPES = [(2, 3), (5,), (1, 2, 2)]
SIZE = 15

few = settings(max_examples=20, deadline=None)
all_rules = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)

# The same optimiser in torch, at any legal hyperparameters: they are set before each step.
TWINS: dict[str, Callable[[Tensor], torch.optim.Optimizer]] = {
    "sgd": lambda w: torch.optim.SGD([w], lr=0.1, momentum=0.5),
    "nesterov": lambda w: torch.optim.SGD([w], lr=0.1, momentum=0.5, nesterov=True),
    "adam": lambda w: torch.optim.Adam([w], lr=0.1),
    "adamw": lambda w: torch.optim.AdamW([w], lr=0.1),
}
# Where each hyperparameter is tried; the paper's ranges hold negative values and zero.
RANGES: dict[str, tuple[float, float]] = {
    "lr": (-0.5, 0.5),
    "momentum": (-1.5, 1.5),
    "weight_decay": (-0.3, 0.3),
    "beta1": (0.5, 0.95),
    "beta2": (0.5, 0.99),
    "eps": (1e-6, 1e-2),
}
# The square root of a second moment of zero has no derivative.
DIVIDES_BY_MOMENTS = {"adam", "adamw"}


def set_hyperparameters(optimiser: torch.optim.Optimizer, values: dict[str, float]) -> None:
    (group,) = optimiser.param_groups
    first, second = group.get("betas", (0.9, 0.999))
    for name, value in values.items():
        if name.startswith("beta"):
            first, second = (value, second) if name == "beta1" else (first, value)
        else:
            assert name in group, f"torch knows no {name}"
            group[name] = value
    if "betas" in group:
        group["betas"] = (first, second)


def draw_hyperparameters(rule: StepRule, generator: torch.Generator) -> dict[str, float]:
    unit = torch.rand(len(rule.defaults), generator=generator, dtype=torch.float64).tolist()
    ranges = [RANGES[name] for name in rule.defaults]
    return {
        name: low + u * (high - low) for name, u, (low, high) in zip(rule.defaults, unit, ranges, strict=True)
    }


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


# ---------------------------------------------------------------------------------- the same as torch.optim


def follow_torch(
    rule: StepRule, schedule: Sequence[dict[str, float]], seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Weights after each step [steps, P], ours in place and torch's, with the same random gradients."""
    generator = torch.Generator().manual_seed(seed)
    w = normal(generator, SIZE)
    slots = torch.zeros(rule.slots, SIZE, dtype=torch.float64)
    twin = w.clone().requires_grad_()
    optimiser = TWINS[rule.name](twin)
    ours, theirs = [], []
    for step, values in enumerate(schedule):
        gradient = normal(generator, SIZE)
        twin.grad = gradient.clone()
        set_hyperparameters(optimiser, values)
        optimiser.step()
        rule.update_(Step(w, slots, gradient, [values[name] for name in rule.defaults], step))
        ours.append(w.clone())
        theirs.append(twin.detach().clone())
    return torch.stack(ours), torch.stack(theirs)


def assert_follows(rule: StepRule, ours: Tensor, theirs: Tensor) -> None:
    if rule.name in DIVIDES_BY_MOMENTS:  # divisions may be arranged in another order
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
    else:
        assert torch.equal(ours, theirs)


@all_rules
def test_every_rule_has_a_twin_to_be_held_against(rule: StepRule) -> None:
    assert rule.name in TWINS
    assert RULES[rule.name] is rule
    assert set(rule.defaults) <= set(RANGES)


@all_rules
@pytest.mark.parametrize("seed", range(3))
def test_a_rule_is_torch_s_at_constant_hyperparameters(rule: StepRule, seed: int) -> None:
    values = draw_hyperparameters(rule, torch.Generator().manual_seed(100 + seed))
    assert_follows(rule, *follow_torch(rule, [values] * 20, seed))


@all_rules
@pytest.mark.parametrize("seed", range(3))
def test_a_rule_is_torch_s_when_hyperparameters_change_at_every_step(rule: StepRule, seed: int) -> None:
    generator = torch.Generator().manual_seed(200 + seed)
    schedule = [draw_hyperparameters(rule, generator) for _ in range(20)]
    assert_follows(rule, *follow_torch(rule, schedule, seed))


with_zeros = [
    pytest.param(rule, name, id=f"{rule.name}-{name}")
    for rule in RULES.values()
    for name in ("lr", "momentum", "weight_decay")
    if name in rule.defaults
]


@pytest.mark.parametrize(("rule", "zero"), with_zeros)
def test_a_rule_is_torch_s_where_a_hyperparameter_is_zero(rule: StepRule, zero: str) -> None:
    schedule = [draw_hyperparameters(rule, torch.Generator().manual_seed(1)) | {zero: 0.0}] * 10
    ours, theirs = follow_torch(rule, schedule)
    assert_follows(rule, ours, theirs)
    assert torch.equal(ours[0], ours[-1]) == (zero == "lr")


def test_sgd_remembers_the_last_step_when_momentum_was_zero() -> None:
    """v' = momentum v + ...: torch leaves its buffer alone while momentum is 0, the formula does not."""
    rule, w, slots = RULES["sgd"], torch.zeros(1), torch.full((1, 1), 5.0)
    rule.update_(Step(w, slots, torch.tensor([3.0]), (0.1, 0.0, 0.0), 0))
    assert slots.item() == 3.0


# -------------------------------------------------------------------------------------- update and products

numbers = st.floats(-3, 3).map(lambda value: 0.0 if abs(value) < 1e-3 else value)
vectors = st.lists(numbers, min_size=SIZE, max_size=SIZE).map(lambda v: torch.tensor(v, dtype=torch.float64))


class Case:
    """A rule at a state that it can reach, about to step."""

    def __init__(self, rule: StepRule, data: st.DataObject) -> None:
        self.rule = rule
        nonzero = rule.name in DIVIDES_BY_MOMENTS
        gradients = vectors.map(lambda v: torch.where(v == 0, 0.7, v)) if nonzero else vectors
        hypers = st.tuples(*(self._values(name) for name in rule.defaults))
        self.step = data.draw(st.integers(0, 3), "step")
        self.w = data.draw(vectors, "w")
        self.slots = torch.zeros(rule.slots, SIZE, dtype=torch.float64)
        for step in range(self.step):
            earlier = data.draw(gradients, "an earlier gradient")
            self.w, self.slots = rule.update(Step(self.w, self.slots, earlier, data.draw(hypers), step))
        self.gradient = data.draw(gradients, "gradient")
        self.hypers = data.draw(hypers, "hyperparameters")
        self.kept = [t.clone() for t in (self.w, self.slots, self.gradient)]

    @staticmethod
    def _values(name: str) -> st.SearchStrategy[float]:
        low, high = RANGES[name]
        zero = [0.0] if low < 0 else []
        return st.one_of(st.sampled_from([*zero, low, high]), st.floats(low, high))

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.w, self.slots, self.gradient, torch.tensor(self.hypers, dtype=torch.float64)

    def update(self, w: Tensor, slots: Tensor, gradient: Tensor, hypers: Tensor) -> tuple[Tensor, Tensor]:
        return self.rule.update(Step(w, slots, gradient, hypers, self.step))

    @property
    def taken(self) -> Step:
        return Step(self.w, self.slots, self.gradient, self.hypers, self.step)

    def assert_untouched(self) -> None:
        for now, before in zip((self.w, self.slots, self.gradient), self.kept, strict=True):
            assert torch.equal(now, before)


def close(value: Tensor, truth: Tensor) -> None:
    assert value.shape == truth.shape
    scale = max(1.0, float(truth.abs().max()))
    torch.testing.assert_close(value, truth, rtol=1e-11, atol=1e-12 * scale)


@all_rules
@few
@given(data=st.data())
def test_the_step_in_place_is_the_update(rule: StepRule, data: st.DataObject) -> None:
    case = Case(rule, data)
    w, slots = case.update(*case.inputs)
    case.assert_untouched()
    rule.update_(case.taken)
    close(case.w, w)
    close(case.slots, slots)


@all_rules
@few
@given(data=st.data())
def test_update_takes_hyperparameters_as_numbers_or_as_a_tensor(rule: StepRule, data: st.DataObject) -> None:
    case = Case(rule, data)
    by_tensor = case.update(*case.inputs)
    by_numbers = rule.update(case.taken)
    for one, other in zip(by_tensor, by_numbers, strict=True):
        close(one, other)


@all_rules
@few
@given(data=st.data(), k=st.integers(1, 4))
def test_push_is_the_derivative_of_the_update_along_each_tangent(
    rule: StepRule, data: st.DataObject, k: int
) -> None:
    case = Case(rule, data)
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000), "tangents"))
    groups = [Tangents(SHAPES, k, dtype=torch.float64, device=case.w.device) for _ in range(rule.slots + 2)]
    for tangents in groups:
        for j in range(k):
            tangents.set_row(j, normal(generator, SIZE))
    dw, dgradient, *dslots = groups
    rows = [*range(k), *[None] * len(rule.defaults)]
    active = data.draw(st.permutations(rows), "rows of the windows in force")[: len(rule.defaults)]
    before = [matrix(tangents) for tangents in groups]

    expected = []
    for j in range(k):
        own = torch.tensor([float(row == j) for row in active], dtype=torch.float64)
        tangent = (before[0][j], torch.stack([m[j] for m in before[2:]]), before[1][j], own)
        expected.append(torch.func.jvp(case.update, case.inputs, tangent)[1])
    step = case.taken
    if data.draw(st.booleans(), "hyperparameters on the device"):
        step = replace(step, hypers=torch.as_tensor(step.hypers, dtype=torch.float64))
    rule.push(step, StepTangents(dw, dslots, dgradient), active)

    close(matrix(dw), torch.stack([w for w, _ in expected]))
    for s in range(rule.slots):
        close(matrix(dslots[s]), torch.stack([slots[s] for _, slots in expected]))
    case.assert_untouched()  # the step itself comes after


@all_rules
@few
@given(data=st.data())
def test_pull_is_the_adjoint_of_the_update(rule: StepRule, data: st.DataObject) -> None:
    case = Case(rule, data)
    aw = data.draw(vectors, "adjoint of w")
    aslots = torch.stack([data.draw(vectors, "adjoint of a slot") for _ in range(rule.slots)])
    _, pull = torch.func.vjp(case.update, *case.inputs)
    truth_w, truth_slots, truth_gradient, truth_hypers = pull((aw, aslots))
    to_w, to_slots, to_gradient, to_hypers = rule.pull(case.taken, aw, aslots)
    close(to_w, truth_w)
    close(to_slots, truth_slots)
    close(to_gradient, truth_gradient)
    close(to_hypers, truth_hypers)
    case.assert_untouched()


@pytest.mark.parametrize("name", sorted(DIVIDES_BY_MOMENTS & set(RULES)))
def test_a_weight_that_never_had_a_gradient_stays_and_its_derivatives_are_finite(name: str) -> None:
    """A dead unit's weights: the square root of their second moment has no derivative."""
    rule, generator = RULES[name], torch.Generator().manual_seed(0)
    hypers = list((draw_hyperparameters(rule, generator) | {"weight_decay": 0.0}).values())
    w, slots = normal(generator, SIZE), torch.zeros(rule.slots, SIZE, dtype=torch.float64)
    gradient = normal(generator, SIZE)
    gradient[:5] = 0
    groups = [Tangents(SHAPES, 1, dtype=torch.float64, device=w.device) for _ in range(rule.slots + 2)]
    groups[0].set_row(0, normal(generator, SIZE))
    before = matrix(groups[0])
    step = Step(w, slots, gradient, hypers, 0)
    rule.push(step, StepTangents(groups[0], groups[2:], groups[1]), [None] * len(hypers))
    assert torch.equal(matrix(groups[0])[:, :5], before[:, :5])
    assert all(bool(tangents.flat.isfinite().all()) for tangents in groups)
    adjoints = rule.pull(step, torch.ones(SIZE).double(), torch.ones_like(slots))
    assert all(bool(adjoint.isfinite().all()) for adjoint in adjoints)
    after = w.clone()
    rule.update_(Step(after, slots, gradient, hypers, 0))
    assert torch.equal(after[:5], w[:5])
    assert not torch.equal(after[5:], w[5:])


@all_rules
def test_the_derivatives_that_are_compared_are_not_all_zero(rule: StepRule) -> None:
    """Each hyperparameter but those that a state of zeros hides has an effect, and torch.func sees it."""
    generator = torch.Generator().manual_seed(0)
    w, slots = normal(generator, SIZE), normal(generator, rule.slots, SIZE).abs()
    values = list(draw_hyperparameters(rule, generator).values())
    hypers, gradient = torch.tensor(values, dtype=torch.float64), normal(generator, SIZE)
    jacobian = torch.func.jacfwd(lambda h: rule.update(Step(w, slots, gradient, h, 2))[0])(hypers)
    assert bool((jacobian.norm(dim=0) > 0).all())


# ------------------------------------------------------------------------- tangents, parameter by parameter


def test_tangents_lie_parameter_by_parameter_and_read_as_a_matrix() -> None:
    tangents = Tangents(SHAPES, 2, dtype=torch.float64, device=torch.device("cpu"))
    first, second = torch.arange(15.0, dtype=torch.float64), -torch.arange(15.0, dtype=torch.float64)
    tangents.set_row(0, first)
    tangents.add_to_row(1, second, 2.0)
    assert torch.equal(matrix(tangents), torch.stack([first, 2 * second]))
    assert [tuple(block.shape) for block in tangents.blocks] == [(2, *shape) for shape in SHAPES]
    assert torch.equal(tangents.blocks[0][0], first[:6].view(2, 3))
    assert torch.equal(tangents.blocks[2][1], 2 * second[11:].view(1, 2, 2))
    assert tangents.flat.tolist() == [v for block in tangents.blocks for v in block.flatten().tolist()]


def test_tangents_grow_by_zero_ones_and_keep_what_they_hold() -> None:
    tangents = Tangents(SHAPES, 1, dtype=torch.float64, device=torch.device("cpu"))
    tangents.set_row(0, torch.arange(15.0, dtype=torch.float64))
    grown = tangents.grown(3)
    assert torch.equal(matrix(grown)[:1], matrix(tangents))
    assert not matrix(grown)[1:].any()
    assert matrix(grown.like()).shape == (3, 15)
    assert not grown.like().flat.any()


@given(k=st.integers(1, 4), seed=st.integers(0, 100))
def test_dot_is_the_matrix_vector_product(k: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    tangents = Tangents(SHAPES, k, dtype=torch.float64, device=torch.device("cpu"))
    tangents.flat.copy_(normal(generator, k * SIZE))
    vector = normal(generator, SIZE)
    torch.testing.assert_close(tangents.dot(vector), matrix(tangents) @ vector, rtol=1e-12, atol=1e-12)
