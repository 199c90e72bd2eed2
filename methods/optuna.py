"""Any sampler of optuna, OptunaHub or one's own, by its import path (Akiba et al., KDD 2019)."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from pydantic import Field, model_validator

from hpobench_fds.method import PriorOptions, Task
from hpobench_fds.wording import in_a_line

from ._optuna import OptunaMethod, distributions, quiet


class Optuna(OptunaMethod):
    """The sampler is asked and told one trial at a time, and seeded by the suite. ::

        [methods.nsga]
        adapter = "optuna"
        sampler = "optuna.samplers.NSGAIISampler"
        arguments = { population_size = 10 }

    A sampler of OptunaHub goes by the path of its class in a copy of the registry that Python finds:
    "package.samplers.auto_sampler.AutoSampler".

    sampler : import path of a subclass of optuna.samplers.BaseSampler that takes a ``seed``.
    arguments : its keyword arguments.
    """

    name = "optuna"
    paper = "Akiba et al., Optuna: A Next-generation Hyperparameter Optimization Framework, KDD 2019"

    class Options(PriorOptions):
        sampler: str = "optuna.samplers.TPESampler"
        arguments: dict[str, Any] = Field(default_factory=dict)

        @model_validator(mode="after")
        def _builds(self) -> Optuna.Options:
            build(self.sampler, self.arguments, 0)
            return self

    def startup(self) -> int:
        known = inspect.signature(find(self.options.sampler)).parameters.get("n_startup_trials")
        default = known.default if known is not None else None
        startup = self.options.arguments.get("n_startup_trials", default)
        return startup if isinstance(startup, int) else 10  # what most samplers have

    def warm_up(self, task: Task) -> None:
        """Also what a sampler imports at its first model, by a study of its own."""
        super().warm_up(task)
        with quiet():
            study = optuna.create_study(sampler=self.sampler(task, 0))
            for loss in range(self.startup() + 1):
                study.tell(study.ask(distributions(task.space)), float(loss))

    def sampler(self, task: Task, seed: int) -> BaseSampler:
        return build(self.options.sampler, self.options.arguments, seed)


def find(path: str) -> type[BaseSampler]:
    """The class of an import path. Raises ValueError, in a line."""
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:  # whatever a module of others raises
        raise ValueError(f"sampler = {path!r} cannot be imported: {in_a_line(error)}") from error
    if not (isinstance(found, type) and issubclass(found, BaseSampler)):
        raise ValueError(f"sampler = {path!r} is no subclass of optuna.samplers.BaseSampler")
    return found


def build(path: str, arguments: dict[str, Any], seed: int) -> BaseSampler:
    """The sampler. Raises ValueError, in a line, of arguments that it does not take."""
    sampler: Any = find(path)
    if "seed" in arguments:
        raise ValueError("arguments.seed: the suite's seeds are those of its samplers too")
    if "seed" not in inspect.signature(sampler).parameters:
        raise ValueError(f"sampler = {path!r} takes no seed, so that no run of it could be repeated")
    try:
        with quiet():
            built: BaseSampler = sampler(**arguments, seed=seed)
            return built
    except Exception as error:
        raise ValueError(f"{sampler.__name__} refuses arguments = {arguments}: {in_a_line(error)}") from error
