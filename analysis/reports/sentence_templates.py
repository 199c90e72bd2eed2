"""The sentences of the verdict, to be filled in with names and numbers.

A template is called by what it says; the numbers that it takes are in percent or points of accuracy, or
are times longer.
"""

TEMPLATES = {
    # ---- the page's first sentence
    "lead": "On {problem}, {goal} test {metric}{share} took {parts}.",
    "lead first": "{name} {count} gradients in the median run, the fewest of the methods that search",
    "lead nobody": "longer than its budget in the median run of every method that searches",
    "lead reference": "{name} {count}",
    "lead reference never": "{name}'s median run did not get there",
    "lead floor": "{name}, without any search, {count}",
    "lead many": (
        "Over {problems} problems, the first at the headline target in the median run was {firsts}."
    ),
    "lead times": "{name} on {count}",
    "lead rest": "others or nobody on {count}",
    "lead few": "{seeds} nothing: these are descriptions.",
    "lead sure": (
        "Of {count} comparisons with {whose}, tests tell {speed} apart in speed and {level} in accuracy."
    ),
    # ---- what the results can carry
    "exploratory": "Exploratory, no confirmation: {reasons}.",
    "seeds": "{count} seed{s}, from which nothing is claimed ({least} are needed)",
    "dirty": "{count} run{s} from sources with uncommitted changes",
    "commits": "{count} different commits",
    "machines": "{count} different machines or numbers of threads",
    "software": "{count} different sets of library versions",
    "jobs": "up to {count} runs side by side",
    "budgets": "{count} run{s} with another budget than the others of the problem",
    "mixed": "{count} run{s} whose seconds add up unlike parts",
    "crowded": "{count} run{s} that did not have the machine to themselves all the time",
    # ---- nothing, or nobody to compare with
    "nothing finished": "No run has come to an end yet, so nothing can be said.",
    "nothing reached": "No finished run has a test accuracy, so nothing can be said of any method.",
    "only one": "Only {name} was run: there is nothing to compare it with.",
    "alone": "On {problem} it ended at {middle} {measure}.",
    "no reference": (
        "{name} has no finished run here, so there is no speedup to speak of; another method can be the "
        "reference."
    ),
    "failed": "Failed, and so without a time or an accuracy: {methods}{where}.",
    "failed in": "{name} in {failed} of {runs} runs",
    "ill conditioned": (
        "Of {name}'s hypergradients on {problem}, {bad} of {count} are ill conditioned or overflowed, and "
        "may be those of rounding: a difference grew by a factor of {growth} on the way, in the median."
    ),
    # ---- a middle and its spread
    "middle": "{value} (median; {spread})",
    "interval": "95 % interval {low} to {high}, {seeds} seeds",
    "range": "{seeds} seeds from {low} to {high}",
    "single": "a single seed",
    # ---- speed
    "goal": "{target} test accuracy ({share:.0f} % of the way from {start} to {top})",
    "named goal": "{target} test accuracy",
    "soonest": "To {goal} the soonest in the median were {soonest}{reference}.",
    "soonest one": "To {goal} the soonest in the median was {soonest}{reference}.",
    "nobody": "No method's median run reached {goal}.",
    "after": "{name} ({seconds})",
    "reference needed": "; {name} needed {seconds}",
    "reference never": "; {name}'s median run never got there",
    "speed few": " Nothing is claimed of speed from {seeds}.",
    "speed behind": " Sooner there than {name}: {methods}.",
    "speed ahead": " Later there than {name}: {methods}.",
    "speed undecided": " No difference in time from {name} can be told for {methods}.",
    "neither": " Where neither got there, nothing can be told: {methods}.",
    "one time": "{name} ({times} times{span})",
    "one time less": "{name} (less than {times} of the time{span})",
    "span": ", interval {low} to {high}",
    "open span": ", interval {low} or more",
    "test of speed": (
        " (Seed by seed, {seeds}; sign tests with Holm's correction over {compared} comparison{s}; 95 % "
        "intervals that hold together.)"
    ),
    # ---- accuracy
    "highest": "{Highest} {measure}: {best} {its}; {name} {mine}.",
    "highest itself": "{Highest} {measure}: {name} {mine}; next {best} {its}.",
    "highest alike": "{Highest} {measure}, alike: {name} {mine} and {best} {its}.",
    "no accuracy": "{name} has no {measure}; the {highest} of the others: {best} {its}.",
    "accuracy few": " Nothing is claimed of accuracy from {seeds}.",
    "accuracy behind": " {Above} {name}: {methods}.",
    "accuracy ahead": " {Below} {name}: {methods}.",
    "accuracy undecided": " No difference in accuracy from {name} can be told for {methods}.",
    "one gap": "{name} (by {value} {step}{span})",
    "test of accuracy": (
        " (Seed by seed, {seeds}; signed-rank tests with Holm's correction over {compared} comparison{s}; "
        "95 % intervals that hold together.)"
    ),
    "too few": " With {compared} comparisons at least {needed} seeds are needed to tell any.",
    # ---- greedy methods, methods that search nothing
    "group of few": "{who} ({members}) against {name}: nothing is claimed from {seeds}{tail}.",
    "group tail": "; seed by seed their mean was {gap} it",
    "group undecided": (
        "{who} ({members}) cannot be told from {name} by their mean {measure} ({value} {step} {above} it, "
        "95 % interval {low} to {high}, {seeds})."
    ),
    "group told": (
        "{who} ({members}) ended {value} {step} {way} {name} in mean {measure} (95 % interval {low} to "
        "{high}, {seeds})."
    ),
    # ---- the floor
    "floor": "The floor, the best of {floors}, is {name}: {middle} test accuracy in hand, after {seconds}.",
    "floor beaten": " Its median is beaten in the median run of {methods}.",
    "floor unbeaten": " Within the budget it is not in the median run of {methods}.",
    "one beaten": "{name} (after {seconds}{span}; {above} of {seeds})",
    "one unbeaten": "{name} ({above} of {seeds})",
    "floor told": " Better at the end, by a test: {methods}.",
    "floor untold": " Of none can it be told that it is better at the end.",
    "floor few": " Whether it is better at the end is not judged from {seeds}.",
    "test of floor": (
        " (Last values seed by seed, {seeds}; signed-rank tests with Holm's correction over {compared} "
        "comparison{s}; 95 % intervals of times that hold together.)"
    ),
    "many: floor": (
        "Against the floor, the best method of each problem that searches nothing, over {problems} problems "
        "and {pairs} comparisons: its median is beaten in the median run {beaten}; better at the end, by a "
        "test, {told}."
    ),
    # ---- the score
    "score": (
        "Area under the performance profile over all targets, median over seeds (1: always the soonest): "
        "{methods}."
    ),
    "one score": "{name} {value:.2f}{spread}",
    # ---- over several problems
    "many: speed": (
        "Time to the headline target, over {problems} problems and {pairs} comparisons with {name}: sooner "
        "than {name} {behind}, later {ahead}, not told apart {rest}."
    ),
    "many: accuracy": (
        "Accuracy at the end, over {problems} problems and {pairs} comparisons with {name}: above {name} "
        "{behind}, below {ahead}, not told apart {rest}."
    ),
    "many: accuracy without a reference": (
        "Accuracy at the end, over {problems} problems and {pairs} comparisons with the highest method of "
        "each: above it {behind}, below {ahead}, not told apart {rest}."
    ),
    "many: greedy": (
        "Greedy methods against {name}, over {problems} problems: above it {behind}, below {ahead}, not told "
        "apart {rest}."
    ),
    "many: by hand": (
        "Methods that search nothing against {name}, over {problems} problems: above it {behind}, below "
        "{ahead}, not told apart {rest}."
    ),
    "times named": "{count} times ({methods})",
    "times alone": "{count} times",
}
