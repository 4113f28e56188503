"""Do prompts and answers fit a model's context? lm-eval cuts what does not at its beginning, and says so in a log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lamdagent.core.audit import Finding
from lamdagent.core.types import Object
from lamdagent.evaluation.tasks.item_templates import errors_of
from lamdagent.evaluation.tasks.requests import LM_EVAL_TOKENS
from lamdagent.evaluation.tasks.source import Drawn
from lamdagent.objects.models.examination import open_for_text
from lamdagent.objects.models.rendering import Renderer, through_template

WHOLE = ("exact_match", "contains")
"""Metrics under which an answer is right only with all tokens of an accepted string."""


@dataclass(slots=True)
class _Seen:
    """What was seen of a task under one tokenizer. `longest`: tokens of a prompt; `answer`: the most that are asked for."""

    items: int = 0
    cut: set[tuple[str, int]] = field(default_factory=set)
    unsayable: set[tuple[str, int]] = field(default_factory=set)
    longest: int = 0
    answer: int = 0


def without_room(
    name: str, metric: str, drawn: Drawn, models: Sequence[tuple[Object, Path]], *, chat: bool
) -> Iterator[Finding]:
    """What of a task's items does not fit the context of models, or into the answers that are asked for.

    Args:
        drawn: the items that will be asked.
        models: each with its folder. Of those with one tokenizer and context the first is told of.
        chat: they are asked through the chat template.
    """
    seen = set()
    for model, folder in models:
        tokenizer = open_for_text(folder)
        room = _context(folder, tokenizer)
        key = (model.meta.get("tokenizer"), str(tokenizer.chat_template) if chat else "", room)
        if key not in seen:
            seen.add(key)
            yield from _told(name, model, room, _seen(tokenizer, room, metric, drawn, chat))


def _told(name: str, model: Object, room: int, seen: _Seen) -> Iterator[Finding]:
    if seen.answer >= room:
        at_most = f"give at most {room - seen.longest}" if seen.longest < room else "give less"
        text = (
            f"task {name}: an answer of {seen.answer} tokens (max_new_tokens; of lm-eval, max_gen_toks) leaves no room for "
            f"a prompt in the {room} of model {model.name}, and the longest prompt has {seen.longest}: {at_most}"
        )
        yield Finding(weight="refused", text=text)
        return
    if seen.cut:
        left = f"{room} tokens of model {model.name}" + (f" beside an answer of {seen.answer}" if seen.answer else "")
        text = (
            f"task {name}: {len(seen.cut)} of {seen.items} prompts do not fit the {left}, and are asked without their "
            f"beginning; the longest has {seen.longest}"
        )
        yield Finding(weight="warning", text=text)
    if seen.unsayable:
        text = (
            f"task {name}: no accepted answer of {len(seen.unsayable)} of {seen.items} items fits the {seen.answer} tokens "
            f"that model {model.name} may answer with: they are wrong whatever it says. Raise max_new_tokens"
        )
        yield Finding(weight="warning", text=text)


def _seen(tokenizer: Any, room: int, metric: str, drawn: Drawn, chat: bool) -> _Seen:
    renderer, seen = Renderer(tokenizer), _Seen(items=len(drawn))
    for task in {id(task): task for task, _ in drawn}.values():
        places = sorted(index for one, index in drawn if one is task)
        asked = {"apply_chat_template": True, "chat_template": _template(tokenizer)} if chat else {}
        with errors_of(str(task.config.task)):
            task.build_all_requests(samples=places, fewshot_as_multiturn=chat, **asked)
        for request in task.instances:
            item = (str(task.config.task), request.doc_id)
            if task.OUTPUT_TYPE == "generate_until":
                ids, answer = (
                    renderer.prompt_ids(request.args[0]),
                    int(request.args[1].get("max_gen_toks", LM_EVAL_TOKENS)),
                )
                seen.answer = max(seen.answer, answer)
                fits = len(ids) <= room - answer
                accepted = request.doc.get("answer")  # of own rows a list
                wanted = accepted if metric in WHOLE and isinstance(accepted, list) else []
                if wanted and all(len(renderer.plain_ids(one.strip())) > answer for one in wanted):
                    seen.unsayable.add(item)
            elif task.OUTPUT_TYPE == "loglikelihood_rolling":
                continue  # goes through the text window by window
            else:
                ids, choice = renderer.divided(*request.args[:2])
                fits = len(ids) + len(choice) <= room + 1  # the last token is only told the likelihood of
            seen.longest = max(seen.longest, len(ids))
            if not fits:
                seen.cut.add(item)
    return seen


def _template(tokenizer: Any) -> Any:
    def rendered(turns: Sequence[dict[str, Any]], add_generation_prompt: bool = True) -> str:
        return through_template(
            tokenizer,
            turns,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )

    return rendered


def _context(folder: Path, tokenizer: Any) -> int:
    """How many tokens lm-eval takes a model to hold."""
    from lm_eval.models.huggingface import resolve_max_length
    from transformers import AutoConfig

    return int(resolve_max_length(AutoConfig.from_pretrained(folder, trust_remote_code=False), tokenizer))
