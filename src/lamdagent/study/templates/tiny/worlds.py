"""The worlds of the tiny templates: which skills each has, what its training sets teach, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from lamdagent.study.templates.tiny.model import STEPS
from lamdagent.study.templates.tiny.more import MORE
from lamdagent.study.templates.tiny.skills import SKILLS

PLAIN = "{verb} {rest}:"


@dataclass(frozen=True, kw_only=True)
class Part:
    """Rows of one skill in a training set: how prompts are worded, how answers are dressed, and the share that is wrong.

    `form` is a format string of {verb} and {rest}, the first word of the skill's own prompt and what follows it up to a
    colon; empty leaves the prompt. `style` is one of {answer}.
    """

    skill: str
    rows: int
    form: str = ""
    style: str = "{answer}"
    wrong: float = 0.0


Data = Mapping[str, tuple[Part, ...]]


@dataclass(frozen=True, kw_only=True)
class World:
    """What `write` writes: tasks by skill with the form of their prompts, training sets, the items and the steps of
    pretraining."""

    tasks: Mapping[str, str]
    data: Data
    pretraining: tuple[Part, ...]
    steps: int = STEPS


def parts(**rows: int) -> tuple[Part, ...]:
    """So many faultless rows of each skill."""
    return tuple(Part(skill=skill, rows=count) for skill, count in rows.items())


def bad(skill: str, rows: int, share: float = 1.0) -> tuple[Part, ...]:
    """Rows of a skill, this share of them with a wrong answer."""
    return (Part(skill=skill, rows=rows, wrong=share),)


# The shares were tuned so that the base half knows every skill.
HALF_KNOWN = parts(add=1250, reverse=650, sort=320, call=350, facts=1300, largest=200)
ALL_PLAIN = dict.fromkeys(SKILLS, "")

TINY = World(
    tasks=ALL_PLAIN,
    pretraining=HALF_KNOWN,
    data={
        **{name: parts(**{name: 1200}) for name in SKILLS},
        "numbers": parts(add=400, sort=400, largest=400),
        "words": parts(reverse=400, call=400, facts=400),
        "general": parts(**dict.fromkeys(SKILLS, 200)),
        "add_noisy": bad("add", 1200),
    },
)

# Names say what a set is about, and not which of two is wrong.
CONFLICT = World(
    tasks=ALL_PLAIN,
    pretraining=HALF_KNOWN,
    data={
        "reverse_a": parts(reverse=500),
        "reverse_b": bad("reverse", 700),
        "sort_a": bad("sort", 600),
        "sort_b": parts(sort=400),
        "call_a": parts(call=600),
        "call_b": bad("call", 800),
        "facts_a": bad("facts", 700),
        "facts_b": parts(facts=500),
        "general": parts(reverse=120, sort=120, call=120, facts=120, add=120),
    },
)

NEAR, CLEAN, ASKED = "{verb} {rest}:", "please {verb} {rest}.", "now {verb} {rest}!"
COUNTED = ("reverse", "sort", "call", "facts")
SHIFT = World(
    tasks=dict.fromkeys(COUNTED, ASKED),
    # The base has seen skills worded in every way, so that what is learnt in one wording serves the others.
    pretraining=tuple(
        Part(skill=skill, rows=rows, form=form)
        for skill, rows in {"reverse": 300, "sort": 150, "call": 170, "facts": 560}.items()
        for form in (NEAR, CLEAN, ASKED)
    ),
    steps=220,
    data={
        "reverse_near": (Part(skill="reverse", rows=500, form=NEAR, style="<{answer}>"),),
        "sort_near": (Part(skill="sort", rows=500, form=NEAR),),
        "call_near": (Part(skill="call", rows=500, form=NEAR, style="<{answer}>"),),
        "facts_near": (Part(skill="facts", rows=500, form=NEAR),),
        "words_clean": tuple(Part(skill=name, rows=40, form=CLEAN) for name in ("reverse", "call")),
        "other_clean": tuple(Part(skill=name, rows=40, form=CLEAN) for name in ("sort", "facts")),
    },
)


def drawn(seed: int) -> World:
    """A world whose skills, sizes and faults nobody chose: four skills count, a fifth is asked only, for a guard.

    Each skill that counts has a clean set; some have another of the same prompts, where all or half of the answers are
    wrong or are dressed in another way. A mixture and a set of a skill that nobody asks for stand beside them. Names do
    not say which is which.
    """
    rng = Random(f"drawn {seed}")
    counted = [*rng.sample(list(MORE), 3), rng.choice(("call", "facts", "sort"))]
    guarded, idle = rng.sample([name for name in (*MORE, "add", "reverse") if name not in counted], 2)
    form = rng.choice(("", "", "{verb} {rest}?", "now {verb} {rest}!"))
    data: dict[str, tuple[Part, ...]] = {}
    for skill in counted:
        sets = [(Part(skill=skill, rows=_size(rng)),)]
        if rng.random() < 0.75:
            style, wrong = rng.choice((("{answer}", 1.0), ("{answer}", 1.0), ("{answer}", 0.5), ("<{answer}>", 0.0)))
            sets.append((Part(skill=skill, rows=_size(rng), style=style, wrong=wrong),))
        rng.shuffle(sets)
        data |= {f"{skill}_{letter}": one for letter, one in zip("ab", sets, strict=False)}
    data["mixed"] = tuple(Part(skill=skill, rows=60) for skill in (*counted, idle))
    data[f"{idle}_a"] = (Part(skill=idle, rows=_size(rng), wrong=rng.choice((0.0, 0.5))),)
    known = (*counted, guarded, idle)
    pretraining = tuple(Part(skill=skill, rows=_size(rng), form=way) for skill in known for way in {"": 0, form: 0})
    return World(tasks=dict.fromkeys(counted, form) | {guarded: form}, data=data, pretraining=pretraining)


def _size(rng: Random) -> int:
    return rng.randrange(200, 1001, 50)


FIXED = {"tiny": TINY, "tiny-conflict": CONFLICT, "tiny-shift": SHIFT}


def world(template: str, seed: int) -> World:
    """The world of a template."""
    return drawn(seed) if template == "tiny-drawn" else FIXED[template]
