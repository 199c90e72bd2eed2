"""What a cell's process may take before it is stopped, and what it does take."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field

from hpobench_fds.errors import InputError

GB = 1e9


class Limits(BaseModel):
    """Limits of each cell's process; None: no limit.

    seconds : wall-clock of one attempt, from the start of the process: set-up, method, referee and
        records. Unlike a budget it is no part of the comparison, but a guard against a hang.
    memory_gb : the process's own memory in gigabytes (10^9 bytes), as ``run.machine.own_memory`` counts it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    seconds: float | None = Field(default=None, gt=0)
    memory_gb: float | None = Field(default=None, gt=0)

    def replaced(self, seconds: float | None, memory_gb: float | None) -> Limits:
        """These with others in place of them where others are given. Raises InputError."""
        given = {"seconds": seconds, "memory_gb": memory_gb}
        names = {"seconds": "cell_seconds", "memory_gb": "cell_memory"}
        for key, value in given.items():
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"got {value:g}", key=names[key], allowed="above 0")
        return self.model_copy(update={key: value for key, value in given.items() if value is not None})

    def __bool__(self) -> bool:
        return self.seconds is not None or self.memory_gb is not None


NO_LIMITS = Limits()
