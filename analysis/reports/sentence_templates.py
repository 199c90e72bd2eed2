"""The sentences of the verdict, to be filled in with names and numbers.

A template is called by what it says; the numbers that it takes are in percent or points of accuracy, or
are times longer.
"""

TEMPLATES = {
    # ---- nothing, or nobody to compare with
    "nothing finished": "No run has come to an end yet, so nothing can be said.",
    "nothing reached": "No finished run has a test accuracy, so nothing can be said of any method.",
    "only one": "Only {name} was run: there is nothing to compare it with.",
    "alone": "On {problem} it ended at {mean:.1f} % test accuracy ({sure}).",
    "no reference": (
        "{name} has no finished run here, so there is no speedup to speak of; another method can be the "
        "reference."
    ),
    # ---- speed
    "speed unknown": "{name} has no test accuracy to be reached, so no speedup.",
    "speed ahead of none": (
        "{name} reached its {target} more than {times} times sooner than {who} there in its median run "
        "within the budget (95 % interval: at least {low} times, {few})."
    ),
    "speed ahead": (
        "{name} reached its {target} {times} times sooner than {which} (95 % interval {span}, {few})."
    ),
    "speed behind": (
        "{who} reached {name}'s {target} {times} times sooner than {name} "
        "(95 % interval {span}{picked}, {few})."
    ),
    "speed of few": "Nothing can be told of speed from {seeds}: to {name}'s {target}, {sooner} than {whom}.",
    "speed undecided": (
        "No difference in the time to {name}'s {target} between {name} and {which} can be told from {few}: "
        "{sooner}, but the 95 % interval runs from {low} times to {upper}."
    ),
    "sooner": " Sooner there than {name}: {methods}.",
    "one sooner": "{name} ({times} times, 95 % interval {low} to {high})",
    # ---- accuracy
    "accuracy ahead": (
        "{name} ended at {mine} {which}, {value:.1f} points above {best} "
        "(95 % interval {low:.1f} to {high:.1f}{adjusted}, {seeds} seeds)."
    ),
    "accuracy behind": (
        "{best}{comma} ended at {its} {which}, {value:.1f} points above {name} "
        "(95 % interval {low:.1f} to {high:.1f}{adjusted}, {seeds} seeds)."
    ),
    "accuracy of few": "Nothing can be told of {which} from {few}: {name} {mine}, {rival} {its}{other}.",
    "accuracy undecided": (
        "No difference in {which} between {name} and {best}{comma} can be told from {seeds} seeds: "
        "{name} {mine}, {rival} {its}, difference {value} points (95 % interval {low} to {high}{adjusted})."
    ),
    # ---- greedy methods, schedules set by hand
    "group of few": "{who} ({members}) against {name}: nothing can be told from {few}{tail}.",
    "group undecided": (
        "{who} ({members}) ended {seen} than {name} on average, which {seeds} seeds cannot tell from no "
        "difference (95 % interval of {name} less these: {low} to {high} points)."
    ),
    "group told": (
        "{who} ({members}) ended {seen} than {name} (95 % interval {low:.1f} to {high:.1f}, {seeds} seeds)."
    ),
    # ---- over several problems
    "many: speed": "{name} reached its own final test accuracy sooner than the fastest black-box method",
    "many: accuracy": "{name} ended above the best of all others in test accuracy",
    "many: accuracy without a reference": "one method ended above all others in test accuracy",
    "many: greedy": "greedy methods ended below {name}",
    "many: by hand": "schedules set by hand ended below {name}",
}
