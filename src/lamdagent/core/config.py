"""The base of everything a study file may say: strict, frozen, and helpful where a key is unknown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from lamdagent.core.errors import nearest

if TYPE_CHECKING:
    from lamdagent.core.jobs import Progress, WorkerSpec
    from lamdagent.core.llm_call import LLMCall
    from lamdagent.core.plan import Plan
    from lamdagent.core.protocols import Policy

NAME = r"^[A-Za-z0-9][\w.\-]{0,79}$"
"""What a name in a study file looks like: names become file names, lines of prompts, and words of --set."""


def _can_be_a_path(text: str) -> str:
    """A text that this system may look up as a file, be it there or not.

    Raises:
        ValueError: no file can be called so.
    """
    if any(ord(c) < 32 for c in text):
        raise ValueError("a path has no control characters")
    if len(text.encode("utf-8", "replace")) > 4000 or any(len(part.encode()) > 255 for part in text.split("/")):
        raise ValueError("the name is too long for a file")
    try:
        Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"there is no user {text.split('/')[0][1:]!r}") from None
    return text


PathText = Annotated[str, AfterValidator(_can_be_a_path)]
"""A path, or what may be one: `~` is the user's home, and relative ones start from the study file's folder."""


class Parts(Protocol):
    """What a plug-in may ask of the study that it is made for. Each part is made when it is first asked for."""

    @property
    def batch_size(self) -> int | str:
        """Prompts scored at a time, or `auto`."""

    @property
    def include_path(self) -> Path | None:
        """The folder with the study's own lm-eval task files."""

    @property
    def root(self) -> Path:
        """The folder of runs and artifacts."""

    @property
    def toolkit(self) -> Any:
        """What jobs are done with in this process, a `lamdagent.runners.job.Toolkit`. Loads torch."""

    @property
    def worker_spec(self) -> WorkerSpec:
        """What a worker in another process is told of the study."""

    @property
    def logs(self) -> Path:
        """The folder for the logs of jobs."""

    @property
    def workers(self) -> int:
        """How many jobs the study file wants to run at once."""

    @property
    def timeout_s(self) -> float:
        """A job that takes longer is to be stopped."""

    @property
    def watch(self) -> Callable[[int | str, Progress], None]:
        """Is to hear of the progress of every job, by the job's key."""

    def answered(self, call: LLMCall) -> None:
        """Is to hear, in the thread of the search, of what language models are asked for jobs."""

    def path(self, given: str) -> Path:
        """A path of the study file, from the file's own folder."""

    def chat(self, who: str, config: Any = None) -> Any:
        """A language model, a `lamdagent.llm.chat.Chat`. In a job it asks through `Context.asking`.

        Args:
            who: asks, for the message where there is none, such as `memory: reflection`; with a config, its section of the
                study file, such as `tasks.chat.judge`.
            config: the `lamdagent.llm.config.ChatConfig` of another one than the policy's.
        Raises:
            ConfigError: the policy names no language model.
        """

    def plain_policy(self, kind: str) -> Policy:
        """A policy of another kind with all its defaults."""

    def plan(self, given: str) -> Plan:
        """The plan that a path stands for: a pipeline.yaml, a folder with one, or all that a study did.

        Raises:
            ConfigError: there is none.
        """


class Config(BaseModel):
    """A mapping in a study file. Its fields are the only copy of their defaults and descriptions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, dict) and cls.model_config.get("extra") != "allow":
            known = {info.alias or name for name, info in cls.model_fields.items()}
            for key in data:
                if key not in known:
                    raise PydanticCustomError(
                        "unknown_key",
                        "unknown key {shown}. {hint}",
                        {"key": str(key), "shown": repr(key), "hint": nearest(str(key), known)},
                    )
        return data

    def arguments(self, parts: Parts) -> dict[str, Any]:
        """What the plug-in's class is made from: its own fields, and what it asks of the study.

        Hyperparameter settings are left out: they join the pool.
        """
        return {name: getattr(self, name) for name in type(self).model_fields if name != "hyperparameters"}
