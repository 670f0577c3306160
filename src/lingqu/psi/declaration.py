"""What the intersection protocols declare: threat, cost and disclosure.

Sizes. left, right: the sides' numbers of elements; recipients: 1 (the left side) or 2.  The left side is psi.rr22's
receiver.  Of psi.many: leader and others, each party's number of elements; parties; found, where all are told.
"""

from __future__ import annotations

from lingqu.kinds.disclosure import Audience, Fact, Reveals
from lingqu.kinds.mechanism import Adversary, Cost, Declaration, Operation, Sizes, Threat
from lingqu.psi import many, rr22
from lingqu.psi.agreement import MESSAGE, tag_bytes
from lingqu.psi.groups import GROUPS, NAME, P256, SM2

SIZES = Reveals(to=Audience.COMPUTE, fact=Fact.ROW_COUNT, about="how many different keys either side has")
ELEMENTS = Reveals(to=Audience.RECIPIENT, fact=Fact.INTERSECTION, about="which of its own keys the other side has too")
NUMBER = Reveals(to=Audience.RECIPIENT, fact=Fact.INTERSECTION_SIZE, about="how many keys both sides have")


def _diffie_hellman(name: str, group: str, title: str, hashing: str) -> Declaration:
    point = GROUPS[name].point

    def elements(sizes: Sizes) -> Cost:
        left, right, both = sizes["left"], sizes["right"], sizes.get("recipients", 1) == 2
        # Where both learn, who has fewer elements asks.
        asked, held = sorted((left, right)) if both else (left, right)
        marks = -(-held // 8) if both else 0
        return Cost(4 if both else 3, 2 * MESSAGE + point * (2 * asked + 1) + tag_bytes((left, right)) * held + marks)

    def size(sizes: Sizes) -> Cost:
        left, right = sizes["left"], sizes["right"]
        answered = left + (right if sizes.get("recipients", 1) == 2 else 0)
        return Cost(3, 2 * MESSAGE + point * (left + right) + tag_bytes((left, right)) * answered)

    return Declaration(
        name=name,
        title=f"Private set intersection by Diffie-Hellman, oblivious or commuting{title}",
        source=(
            "Jarecki, Liu (SCN 2010); Jarecki, Krawczyk, Xu (PKC 2021); De Cristofaro, Gasti, Tsudik (CANS 2012); "
            f"{hashing}"
        ),
        threat=Threat(
            Adversary.SEMI_HONEST, 2, 1, f"decisional Diffie-Hellman on {group}, hashing to the group a random oracle"
        ),
        operations={
            "intersect": Operation(
                "intersect",
                elements,
                "Jarecki, Liu (SCN 2010); Jarecki, Krawczyk, Xu (PKC 2021) for the blinding",
                (SIZES, ELEMENTS),
            ),
            "intersection_size": Operation(
                "intersection_size", size, "De Cristofaro, Gasti, Tsudik (CANS 2012), section 3", (SIZES, NUMBER)
            ),
        },
    )


DECLARATION = _diffie_hellman(NAME, "ristretto255", "", "RFC 9380, RFC 9496")
ECDH_P256 = _diffie_hellman(P256, "P-256", " on P-256", "RFC 9380, P256_XMD:SHA-256_SSWU_RO_")
ECDH_SM2 = _diffie_hellman(SM2, "SM2's curve", " on SM2's curve", "GB/T 32918.5; RFC 9380's construction with SM3")

_ASSUMED = (
    "LPN with regular noise, of expand-convolute and local codes, computational Diffie-Hellman on ristretto255, "
    "hashes random oracles, AES under a public key an ideal permutation"
)

RR22 = Declaration(
    name=rr22.NAME,
    title="Private set intersection by a key-value store and silent linear evaluation",
    source=(
        "Raghuraman, Rindal (CCS 2022); Bienstock et al. (USENIX Security 2023); "
        "Raghuraman, Rindal, Tanguy (CRYPTO 2023)"
    ),
    threat=Threat(
        Adversary.SEMI_HONEST,
        2,
        1,
        _ASSUMED,
    ),
    operations={
        "intersect": Operation(
            "intersect",
            lambda sizes: rr22.cost(sizes["left"], sizes["right"], sizes.get("recipients", 1)),
            "Raghuraman, Rindal (CCS 2022), section 4",
            (SIZES, ELEMENTS),
        ),
    },
)

RR22_MALICIOUS = Declaration(
    name=rr22.MALICIOUS,
    title="Private set intersection by a key-value store and checked linear evaluation",
    source=(
        "Rindal, Schoppmann (EUROCRYPT 2021); Raghuraman, Rindal (CCS 2022); Roy (CRYPTO 2022); "
        "Weng et al., Wolverine (S&P 2021)"
    ),
    threat=Threat(
        Adversary.MALICIOUS_ABORT,
        2,
        1,
        f"{_ASSUMED}; a malicious receiver's set has up to 1.07 times the agreed size and 256 elements",
    ),
    operations={
        "intersect": Operation(
            "intersect",
            lambda sizes: rr22.cost(sizes["left"], sizes["right"], sizes.get("recipients", 1), safe=True),
            "Raghuraman, Rindal (CCS 2022), section 4",
            (SIZES, ELEMENTS),
        ),
    },
)


def _many(sizes: Sizes) -> Cost:
    others = (sizes["others"],) * (sizes["parties"] - 1)
    return many.cost((sizes["leader"], *others), 0, sizes.get("found"))


MANY = Declaration(
    name=many.NAME,
    title="Intersection of the sets of three or more parties by zero sharing and programmed functions",
    source="Kolesnikov et al. (CCS 2017); Raghuraman, Rindal (CCS 2022); Bienstock et al. (USENIX Security 2023)",
    threat=Threat(
        Adversary.SEMI_HONEST,
        3,
        2,
        f"parties that collude may choose their sets; {_ASSUMED}; AES a pseudorandom function",
        most=many.MOST,
    ),
    operations={
        "intersect_many": Operation(
            "intersect_many",
            _many,
            "Kolesnikov, Matania, Pinkas, Rosulek, Trieu (CCS 2017), figure 8",
            (
                Reveals(to=Audience.COMPUTE, fact=Fact.ROW_COUNT, about="how many different keys each party has"),
                Reveals(
                    to=Audience.RECIPIENT, fact=Fact.INTERSECTION, about="which of its own keys all other parties have"
                ),
            ),
        ),
    },
)
