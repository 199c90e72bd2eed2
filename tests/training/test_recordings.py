"""Playing a recorded step is taking it: the same bits, counts and looks, for every loop that does so."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace

import emulated_recording
import numpy as np
import pytest
import torch
from oracles import LAYERED, some_schedule, tiny_trainer

from hpobench_fds.collection import uncollected
from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.online import OnlineMode, one_value_space
from hpobench_fds.hypergradient.outer import Outer, OuterOptions, build_outer
from hpobench_fds.hypergradient.reverse import ReverseMode
from hpobench_fds.training import inner_step, recorded
from hpobench_fds.training.inner_step import InnerStep
from hpobench_fds.training.optimisers import RULES, Step
from hpobench_fds.training.problem import AugmentationConfig
from hpobench_fds.training.trainer import Trainer

HORIZON = 40


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often each recording was played; recording is emulated."""
    counts: list[int] = []

    def record(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
        play, at = emulated_recording.emulated(work, device), len(counts)
        counts.append(0)

        def counted() -> None:
            counts[at] += 1
            play()

        return counted

    monkeypatch.setattr(inner_step, "record_kernels", record)
    monkeypatch.setattr(recorded, "record_kernels", record)
    return counts


def plain(trainer: Trainer) -> dict[str, object]:
    state = trainer.start(0)
    training = trainer.train(state, some_schedule(trainer))
    return {"w": state.w, "buffers": state.buffers, "loss": training.train_loss, "trained": state.trained}


def forward(trainer: Trainer) -> dict[str, object]:
    found = ForwardMode()(trainer, some_schedule(trainer), 0)
    return {"w": found.state.w, "gradient": found.gradient, "products": found.products}


def backward(trainer: Trainer, **options: object) -> dict[str, object]:
    found = ReverseMode(**options)(trainer, some_schedule(trainer), 0)  # type: ignore[arg-type]
    return {"w": found.state.w, "gradient": found.gradient, "products": found.products}


def greedy(trainer: Trainer, discount: float = 0.9, every: int = 1) -> dict[str, object]:
    p = trainer.problem
    outer = build_outer(OuterOptions.model_validate({"kind": "sign"}), one_value_space(p.space), p.device)
    outer._xp = torch
    found = OnlineMode(discount=discount, every=every)(trainer, outer, 0)
    return {"w": found.state.w, "values": found.values, "slopes": found.hypergradients}


REVERSE = {
    "reverse": ReverseMode(),
    "reverse, full": ReverseMode(full=True),
    "truncated": ReverseMode(last=25),
}
LOOPS: dict[str, Callable[[Trainer], dict[str, object]]] = {
    "plain": plain,
    "forward": forward,
    "reverse": backward,
    "reverse, full": lambda t: backward(t, full=True),
    "truncated": lambda t: backward(t, last=25),
}


def made(model: str = "mlp", shape: tuple[int, ...] = (1, 8, 8), **config: object) -> Trainer:
    settings: dict[str, object] = {"windows": (2, 1, 2), "horizon": HORIZON, "batch_size": 8} | config
    return tiny_trainer(model, shape, **settings)  # type: ignore[arg-type]


def assert_same(one: dict[str, object], other: dict[str, object]) -> None:
    for name, value in one.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, other[name]), name  # type: ignore[arg-type]
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, other[name], err_msg=name)
        else:
            assert value == other[name], name


def assert_played_alike(
    make: Callable[[], Trainer],
    loop: Callable[[Trainer], dict[str, object]],
    mode: ReverseMode | None = None,
) -> None:
    """``mode`` : where steps are played it computes gradients anew that are kept where they are not."""
    launched, recorded_ = make(), make()
    recorded_.problem.graphs = True
    one, other = loop(launched), loop(recorded_)
    assert_same(one, other)
    cost, again = launched.clock.cost, 0.0
    if mode is not None:
        p, q = launched.problem, recorded_.problem
        again = mode.cost(q, q.horizon) - mode.cost(p, p.horizon)
        assert again > 0
    found = recorded_.clock.cost
    assert found.gradient_equivalents == pytest.approx(cost.gradient_equivalents + again)
    assert replace(found, gradient_equivalents=cost.gradient_equivalents) == cost


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("optimiser", [name for name, rule in RULES.items() if rule.alike])
def test_every_loop_ends_in_the_same_bits(played: list[int], loop: str, optimiser: str) -> None:
    assert_played_alike(lambda: made(optimiser=optimiser), LOOPS[loop], REVERSE.get(loop))
    assert sum(played) >= HORIZON // 2


@pytest.mark.parametrize(("model", "shape", "batch"), LAYERED)
@pytest.mark.parametrize("loop", ["plain", "forward", "reverse"])
def test_every_layered_model_does(
    played: list[int], loop: str, model: str, shape: tuple[int, ...], batch: int
) -> None:
    def make() -> Trainer:
        return made(model, shape, horizon=14, windows=(1, 1, 1), batch_size=batch, examples=30)

    assert_played_alike(make, LOOPS[loop], REVERSE.get(loop))
    assert sum(played) >= 10


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("discount", [0.0, 0.9])
def test_greedy_loops_do_whose_hyperparameters_move(
    played: list[int], monkeypatch: pytest.MonkeyPatch, discount: float, every: int
) -> None:
    """On a GPU they are a tensor; the trajectory is told that it is on one."""
    from hpobench_fds.hypergradient import trajectory

    def prepared(self: trajectory.Trajectory, *given: object) -> None:
        before(self, *given)  # type: ignore[arg-type]
        self._host = False
        self._prepare_device()
        self.vector, self._values, self._slopes = map(
            torch.as_tensor, (self.vector, self._values, self._slopes)
        )

    before = trajectory.Trajectory.__init__
    monkeypatch.setattr(trajectory.Trajectory, "__init__", prepared)
    monkeypatch.setattr(Outer, "array", lambda outer, values: torch.as_tensor(values))
    assert_played_alike(made, lambda t: greedy(t, discount, every))
    assert sum(played) >= HORIZON


def test_clipping_and_augmentation_are_recorded_with_it(played: list[int]) -> None:
    def make() -> Trainer:
        augmented = AugmentationConfig(crop_padding=2, flip=True)
        return made("lenet", (1, 28, 28), gradient_clip=0.01, augmentation=augmented, examples=30)

    for loop in ("plain", "forward", "reverse"):
        assert_played_alike(make, LOOPS[loop], REVERSE.get(loop))
    assert sum(played) > 0


def test_a_loss_that_is_not_finite_is_seen_at_the_same_step(played: list[int]) -> None:
    def loop(trainer: Trainer) -> dict[str, object]:
        schedule = trainer.problem.space.from_vector([60.0, 60.0, 0.9, 0.0, 0.0])
        training = trainer.train(trainer.start(0), schedule)
        return {"ending": training.ending, "at": training.diverged_at}

    assert_played_alike(lambda: made(horizon=400), loop)
    assert sum(played) > 0


def test_a_rule_whose_steps_depend_on_their_index_is_never_recorded() -> None:
    assert not RULES["adam"].alike
    assert not RULES["adamw"].alike


def test_what_cannot_be_recorded_is_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inner_step, "record_kernels", lambda work, device: None)
    trainer = made()
    trainer.problem.graphs = True
    assert_same(plain(trainer), plain(made()))
    assert not trainer.problem.graphs  # and is not tried again


def test_no_garbage_is_collected_while_kernels_are_recorded() -> None:
    """A recording that is let go of then, as one in a cycle may be at any time, spoils the one being made."""
    with uncollected():
        assert not gc.isenabled()
        with uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(RuntimeError), uncollected():
        raise RuntimeError
    assert gc.isenabled()


def test_a_recording_that_broke_off_is_made_nowhere_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pool of memory stays half recorded, and would refuse every other problem's recordings."""
    made_at: list[object] = []

    class Studio:
        def __init__(self, device: torch.device) -> None:
            made_at.append(self)

        def record(self, work: Callable[[], object]) -> RuntimeError | Callable[[], None]:
            return RuntimeError("spoilt") if len(made_at) == 1 else lambda: None

    monkeypatch.setattr(recorded, "_Studio", Studio)
    recorded.forget_recordings()
    with pytest.warns(UserWarning, match="launched one by one: spoilt"):
        assert recorded.record_kernels(lambda: None, torch.device("cpu")) is None
    assert recorded.record_kernels(lambda: None, torch.device("cpu")) is not None
    assert len(made_at) == 2
    recorded.forget_recordings()


def test_a_read_from_the_device_cannot_be_recorded() -> None:
    with pytest.raises(RuntimeError, match="waits for the device"):
        emulated_recording.emulated(lambda: float(torch.ones(1)), torch.device("cpu"))


def test_only_the_last_recordings_are_kept(played: list[int]) -> None:
    """Each holds a step's activations; 10^4 windows would fill a GPU."""
    trainer = made(windows=(4, 1, 1))
    trainer.problem.graphs = True
    inner = trainer.inner(trainer.start(0), last=HORIZON)
    inner.run(some_schedule(trainer), HORIZON, HORIZON)
    assert len(played) == 4
    assert len(inner._alike) <= 2


def test_work_is_told_apart_by_what_it_is_and_by_its_hyperparameters(played: list[int]) -> None:
    trainer = made()
    trainer.problem.graphs = True
    inner: InnerStep = trainer.inner(trainer.start(0), ahead=HORIZON)
    seen: list[str] = []

    def one(step: Step) -> None:
        seen.append("one")

    def other(step: Step) -> None:
        seen.append("other")

    for index in range(5):
        inner.through(index, (0.1, 0.0, 0.0), one)
        inner.through(index, (0.1, 0.0, 0.0), other)
        inner.look()
    assert seen == ["one", "other"] * 3  # two launched, one recorded; then played
    inner.through(5, (0.2, 0.0, 0.0), one)
    assert seen[6:] == ["one"]
