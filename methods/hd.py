"""HD: hypergradient descent (Baydin et al., ICLR 2018), on the validation loss."""

from __future__ import annotations

from hpobench_fds.method import OnlineLoop


class HD(OnlineLoop):
    """Greedy: sees the effect of a hyperparameter on the very next step alone. No Hessian is needed."""

    name = "hd"
    paper = "Baydin et al., Online Learning Rate Adaptation with Hypergradient Descent, ICLR 2018"
