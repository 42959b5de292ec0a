"""The plan: which examples share a pack, in which order, in which step, on which rank.

Everything here is a pure function of (lengths, seed, sizes): no clock, no global generator, no torch. Step `n` is the
same whether the run got there in one go or was killed and resumed, so (plan digest, step) is all that a resume needs.
"""

from sftdata.plan.batching import budget_batches, cheapest_batches, micro_batches
from sftdata.plan.mixing import Mixture
from sftdata.plan.packing import Packs, fewest_packs, pack
from sftdata.plan.planning import FORMAT, Plan, make_plan
from sftdata.plan.ranks import share
from sftdata.plan.shuffling import Rows, shuffle

__all__ = [
    "FORMAT",
    "Mixture",
    "Packs",
    "Plan",
    "Rows",
    "budget_batches",
    "cheapest_batches",
    "fewest_packs",
    "make_plan",
    "micro_batches",
    "pack",
    "share",
    "shuffle",
]
