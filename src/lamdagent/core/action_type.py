"""What an action type must do, and what a worker gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from lamdagent.core.training import Training
from lamdagent.core.types import Kind, Object, ObjectId, Slot

if TYPE_CHECKING:
    from lamdagent.core.protocols import Chat

AnyChat = TypeVar("AnyChat", bound="Chat")


@dataclass(slots=True)
class Loaded:
    """A model in memory, a torch module, with its tokenizer. `dtype` is what its weights are stored in on disk."""

    model: Any
    tokenizer: Any
    dtype: str


class ModelLoader(Protocol):
    """Opens, copies, keeps and writes weights, on one device."""

    @property
    def device(self) -> str:
        """What models are computed on, as torch calls it: `cpu`, `cuda`, `cuda:1`, `mps`."""

    @property
    def autocast(self) -> bool:
        """Whether models stored in bfloat16 are computed under autocast here."""

    def load(self, object_id: ObjectId, folder: Path) -> Loaded:
        """A model to read from, in evaluation mode. It is shared: never change it."""

    def fresh(self, object_id: ObjectId, folder: Path, *, train_dtype: str | None) -> Loaded:
        """A private copy of a model to change or train, its weights in `train_dtype` (None: as they are computed in)."""

    def keep(self, object_id: ObjectId, loaded: Loaded) -> None:
        """Let `load` answer with this model for as long as there is room."""

    def save(self, loaded: Loaded, folder: Path) -> None:
        """Write a plain Hugging Face folder in the model's stored dtype, and leave the model equal to what is on disk."""


class Context(Protocol):
    """What a worker gives to actions and tasks while a job runs."""

    @property
    def workdir(self) -> Path:
        """The only folder an action may write to; it becomes the made object's folder."""

    @property
    def models(self) -> ModelLoader:
        """The one place that opens weights."""

    def object(self, object_id: ObjectId) -> Object:
        """An input of the job, or what an input descends from."""

    def folder(self, obj: Object) -> Path:
        """An object's own folder: a dataset's `data.jsonl` and a model's `scores/` lie there."""

    def weights(self, obj: Object) -> Path:
        """A model's Hugging Face folder."""

    def keep(self, loaded: Loaded) -> None:
        """Hand over the model just made, so that it is scored without being read back."""

    def asking(self, chat: AnyChat) -> AnyChat:
        """A chat that asks for this job: its answers are kept before they are used, and count in the study's budget.

        Let `BudgetSpent` pass: the job ends, and its trial goes on when the budget is raised.
        """

    def trained(self, *, rows: int, tokens: int | None, parameters: int | None) -> None:
        """Tell what the action has trained on so far, from its begin: rows, each as often as it was seen, and tokens,
        those of prompts too. An action that trains calls it with 0 first, then at every step.

        Args:
            parameters: how many the model has, for the floating-point operations; None where that is not known.
        """

    def progress(self, phase: str, done: int, total: int | None = None, **facts: float) -> None:
        """Tell whoever watches how far the job is. Cheap; call it at every step."""


class ActionType(Protocol):
    """A way to make an object. What stands here as properties may be plain attributes of the class.

    One whose settings a policy may vary also has `freedom`, a `lamdagent.core.settings.Freedom`.
    One that can say before what it trains on has the method of `Foreseen`, too; one that trains nothing and draws, that of
    `Drawing`.
    """

    @property
    def name(self) -> str:
        """What a study file and the journal call it."""

    @property
    def version(self) -> int:
        """Goes up when the same inputs would give another result."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """What it takes."""

    @property
    def makes(self) -> Kind:
        """What it makes."""

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        """None if these objects go together, else the reason why not. Pure and cheap; called in the driver.

        Only of combinations: what an object by itself rules out is said by `Slot.accepts`, and never gets here.
        """

    def execute(self, inputs: Mapping[str, Sequence[Object]], seed: int, ctx: Context) -> Mapping[str, Any]:
        """Make the object's files in `ctx.workdir` and return its `meta`. Deterministic in `inputs` and `seed`.

        Raises:
            Diverged: training left the finite numbers.
        """


@runtime_checkable
class Foreseen(Protocol):
    """An action type that says before what it trains on. One without it cannot be held to a budget of rows or tokens."""

    def cost(self, inputs: Mapping[str, Sequence[Object]]) -> Training:
        """What the action will train on, if all goes well: 0 where it trains nothing, None what cannot be known before.

        Pure and cheap, as `validate` is; asked of objects that go together.
        """


@runtime_checkable
class Drawing(Protocol):
    """An action type that may train nothing, and give something else under another seed all the same."""

    def draws(self, inputs: Mapping[str, Sequence[Object]]) -> bool:
        """Whether the seed counts for these objects, though nothing is trained. Pure and cheap."""


def seed_counts(type: ActionType, inputs: Mapping[str, Sequence[Object]]) -> bool:
    """Whether another seed may give another object."""
    return cost_of(type, inputs).rows != 0 or (isinstance(type, Drawing) and type.draws(inputs))


def cost_of(type: ActionType, inputs: Mapping[str, Sequence[Object]]) -> Training:
    """What an action will train on, as far as its type says."""
    return type.cost(inputs) if isinstance(type, Foreseen) else Training()


def why_refused(type: ActionType, inputs: Mapping[str, Sequence[Object]]) -> str | None:
    """Why an action type does not take these objects, one by one or together; None if it does."""
    alone = (slot.why_refused(obj) for slot in type.slots for obj in inputs[slot.name])
    return next(filter(None, alone), None) or type.validate(inputs)
