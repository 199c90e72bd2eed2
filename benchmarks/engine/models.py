"""What each built-in model costs: a plain step, a product, a tangent, by its rules and by torch.func."""

from __future__ import annotations

from collections.abc import Callable

from hpobench_fds.benchmarks.engine.hypergradients import Row, trainer_with
from hpobench_fds.benchmarks.engine.timing import interleaved, median_ratio
from hpobench_fds.benchmarks.engine.trainer import module_of

from hpobench_fds.nn.module_network import ModuleNetwork
from hpobench_fds.nn.network import Network
from hpobench_fds.training.problem import Problem

SIDE_BY_SIDE = 7  # tangents that share a pass
BATCH = 128  # examples, but of what is large
SMALL = {"gpt-nano": 16, "wrn-10-1": 32, "wrn-16-1": 32, "wrn-40-2": 8}


def model_costs(model: str, rounds: int = 9) -> Row:
    """Milliseconds of a gradient, and in such gradients a lone product and each of seven tangents.

    Those of ``func`` are of the same model as an ordinary module: torch.func's, in the rules' gradients.
    """
    trainer = trainer_with(model, 4, 1)
    p, data = trainer.problem, trainer.data(0)
    x, y = (part[: SMALL.get(model, BATCH)] for part in data.batch(0))
    w = trainer.start(0).w
    sides: dict[str, Callable[[], object]] = {}
    for name, network in (("rules", p.network), ("func", _as_module(model, p))):
        tape = network.gradient(w, x, y)
        sides[f"{name}_plain"] = lambda network=network: network.gradient(w, x, y)
        for k in (1, SIDE_BY_SIDE):
            directions = network.tangents(w, k)
            directions.flat.normal_()
            out = directions.like()

            def products(network=network, tape=tape, directions=directions, out=out) -> None:  # type: ignore[no-untyped-def]
                network.products(w, tape, directions, out)

            sides[f"{name}_{k}"] = products
    times = interleaved(sides, rounds)
    plain = times["rules_plain"]

    def in_steps(side: str, k: int = 1) -> float:
        return median_ratio(times[side], [k * t for t in plain])[0]

    return {
        "model": model, "parameters": p.network.size, "batch": len(x), "plain_ms": min(plain) * 1e3,
        "product": in_steps("rules_1"), "tangent": in_steps(f"rules_{SIDE_BY_SIDE}", SIDE_BY_SIDE),
        "flop_limit": p.network.product_cost, "func_plain": in_steps("func_plain"),
        "func_product": in_steps("func_1"), "func_tangent": in_steps(f"func_{SIDE_BY_SIDE}", SIDE_BY_SIDE),
    }  # fmt: skip


def _as_module(model: str, problem: Problem) -> Network:
    network = ModuleNetwork(module_of(model))
    network.objective = problem.objective
    return network
