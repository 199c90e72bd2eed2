"""Which states to keep on the way forward so that all steps can be replayed backward.

Binomial checkpointing (Griewank & Walther, Revolve, ACM TOMS 2000): with S stored states and every
step run at most r times, beta(S, r) = C(S + r, S) steps can be reversed, which is the most possible.
"""

from __future__ import annotations

from math import comb


def reach(states: int, sweeps: int) -> int:
    """Most steps that ``states`` stored states reverse when each step runs at most ``sweeps`` times."""
    return comb(states + sweeps, states) if sweeps >= 0 else 0


def sweeps_needed(steps: int, states: int) -> int:
    """Least r with beta(states, r) >= steps. Raises ValueError without a stored state."""
    if states < 1:
        raise ValueError("at least the first state must be stored")
    sweeps = 0
    while reach(states, sweeps) < steps:
        sweeps += 1
    return sweeps


def states_needed(steps: int, sweeps: int) -> int:
    """Least number of stored states that reverse ``steps`` within ``sweeps`` runs of each step."""
    low, high = 1, max(1, steps)
    while low < high:
        middle = (low + high) // 2
        if reach(middle, sweeps) >= steps:
            high = middle
        else:
            low = middle + 1
    return low


def next_state(steps: int, states: int) -> int:
    """How far to run from a stored state before storing the next one.

    ``steps`` (>= 2) from the stored state on are to be reversed with ``states`` (>= 2) stored states,
    it included. The split keeps the total number of steps run minimal.
    """
    sweeps = sweeps_needed(steps, states)
    return max(1, reach(states, sweeps - 2), steps - reach(states - 1, sweeps))


def steps_run(steps: int, states: int) -> int:
    """Steps run forward in all to reverse ``steps``, the way on to the end included."""
    stored = [0]

    def store(target: int) -> None:
        at = stored[-1]
        stored.append(at + next_state(target - at, 1 + states - len(stored)))

    while len(stored) < states and steps - stored[-1] >= 2:
        store(steps)
    run = steps
    at = steps  # where the replayed state is
    for step in range(steps - 1, -1, -1):
        if at != step:
            at = stored[-1]
        while stored[-1] < step and len(stored) < states:
            store(step + 1)
            run, at = run + stored[-1] - at, stored[-1]
        run, at = run + step - at, step
        if stored[-1] == step:
            stored.pop()
    return run
