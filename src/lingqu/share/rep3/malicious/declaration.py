"""What share.rep3.malicious declares of itself; sizes are those of share.rep3.

A cost is that of the operation and of the proof that everything it sent is right, as if the result were opened next: a
run that does several operations before it opens anything proves them together and sends less.
"""

from __future__ import annotations

from lingqu.kinds.mechanism import Adversary, Declaration, Threat
from lingqu.share import composed
from lingqu.share.rep3.declaration import ABY3, ARAKI_2016, ARAKI_2021, COUNTED, SORTING
from lingqu.share.rep3.malicious.tally import Tally

PROOFS = "Boneh et al. (CRYPTO 2019); Boyle, Gilboa, Ishai, Nof (CCS 2019); Li et al. (USENIX Security 2023)"
UNPROVED = ("connect", "input", "input_bits", "input_outside", "input_bits_outside")
"""Operations that have nothing to prove."""
SOURCES = composed.Sources(f"{ABY3}, section 5.4", f"after {SORTING}")
OPERATIONS = (
    *(counted.operation(Tally, "" if counted.name in UNPROVED else "; proofs: " + PROOFS) for counted in COUNTED),
    *composed.operations(Tally, 3, SOURCES),
)

DECLARATION = Declaration(
    name="share.rep3.malicious",
    title="Replicated secret sharing among three parties, with proofs of every message",
    source=f"{ARAKI_2016}; {ABY3}; {ARAKI_2021}; {SORTING}; {PROOFS}",
    threat=Threat(
        Adversary.MALICIOUS_ABORT,
        3,
        1,
        "honest majority, private pairwise channels, AES-128 as a pseudorandom function, SHA-256 as a random oracle; "
        "a deviation passes with probability below 2^-40 a check",
    ),
    operations={operation.name: operation for operation in OPERATIONS},
)
