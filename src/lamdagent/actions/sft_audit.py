"""What `sft` would train on and with, looked at before the first trial: rows as the models' templates and tokenizers have
them, and settings as TRL, transformers and peft build them."""

from __future__ import annotations

import json
import re
import tempfile
import warnings
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from lamdagent.actions._trl import examples_of, lora_config, trainer_arguments
from lamdagent.core.action_type import ActionType, why_refused
from lamdagent.core.audit import AuditContext, Finding, Row
from lamdagent.core.config import Config
from lamdagent.core.errors import DataError, nearest
from lamdagent.core.settings import setting_object
from lamdagent.core.text import some
from lamdagent.core.types import Object
from lamdagent.objects.artifacts import file_hash
from lamdagent.objects.datasets.conversations import REASONING
from lamdagent.objects.models.examination import Shapes, open_for_text, shapes_of
from lamdagent.objects.models.hub import text_files
from lamdagent.objects.models.rendering import Rendered, Renderer, TemplateFault, Texts

BATCH = 256
CROSSES = (
    "have a prompt that ends inside a token, as a space before a word is: their answers are trained on, and asked for, "
    "after the prompt's own tokens. Prompts that end without it have the usual ones"
)
UNKNOWN = "have characters that the tokenizer does not know"
NOT_TEXT = ("config.json", "generation_config.json")


def audited(action: ActionType, of: type[Config], ctx: AuditContext) -> Iterator[Finding]:
    """What is found in the models, datasets and settings of `action`.

    Args:
        of: the class of its settings.
    """
    settings = [o for o in ctx.of_kind("hyperparameters") if o.setting["action"] == action.name]
    bounds: list[tuple[Object, int | None]] = []
    for setting in settings:
        values: Any = of.model_validate(dict(setting.setting["values"]))
        bounds.append((setting, values.max_length))
        yield from _setting_faults(setting, values, ctx)
    plain = setting_object(action.name, "plain", of())
    seen: dict[str, Looked] = {}
    for model in ctx.of_kind("model"):
        folder = ctx.folder(model)
        shapes, writing = shapes_of(folder), _writing(folder)
        for dataset in ctx.of_kind("dataset"):
            inputs = {"model": [model], "dataset": [dataset]}
            if why_refused(action, {**inputs, "hyperparameters": [plain]}) is not None:
                continue
            key = f"{writing} {dataset.id}"
            if key not in seen:
                seen[key] = _looked_at(dataset, Renderer(tokenizer := open_for_text(folder)), tokenizer, ctx)
                yield from _rendering_faults(model, dataset, seen[key])
                yield from _cuts(dataset, seen[key], bounds)
            yield from _beyond(model, dataset, seen[key], shapes, bounds)


@dataclass(slots=True)
class Looked:
    """What was seen of a dataset under one tokenizer: of each example the tokens of its prompt and of both together."""

    prompts: array[int] = field(default_factory=lambda: array("l"))
    wholes: array[int] = field(default_factory=lambda: array("l"))
    places: list[str] = field(default_factory=list)
    refused: dict[str, list[str]] = field(default_factory=dict)
    doubtful: dict[str, list[str]] = field(default_factory=dict)
    highest: int = 0

    def add(self, where: str, made: Rendered, unknown: int | None) -> None:
        self.places.append(where)
        self.prompts.append(len(made.prompt))
        self.wholes.append(len(made.prompt) + len(made.completion))
        self.highest = max(self.highest, *made.prompt, *made.completion)
        if made.crosses:
            self.doubtful.setdefault(CROSSES, []).append(where)
        if unknown is not None and (unknown in made.prompt or unknown in made.completion):
            self.doubtful.setdefault(UNKNOWN, []).append(where)


def _looked_at(dataset: Object, renderer: Renderer, tokenizer: Any, ctx: AuditContext) -> Looked:
    looked, rows, done = Looked(), ctx.rows(dataset), 0
    while batch := list(islice(rows, BATCH)):
        found = list(_texts(batch, renderer, looked))
        for (where, _), made in zip(found, renderer.tokens([texts for _, texts in found]), strict=True):
            looked.add(where, made, tokenizer.unk_token_id)
        done += len(batch)
        ctx.tell(dataset.name, done, dataset.dataset["rows"])
    return looked


def _texts(batch: Sequence[Row], renderer: Renderer, looked: Looked) -> Iterator[tuple[str, Texts]]:
    for where, row in batch:
        for example in examples_of(row):
            try:
                texts = renderer.texts(example)
            except TemplateFault as error:
                raise DataError(f"{where}: {error}") from error
            except DataError as error:
                looked.refused.setdefault(str(error), []).append(where)
                continue
            for lost in _lost(example, texts):
                looked.refused.setdefault(lost, []).append(where)
            yield where, texts


def _lost(example: Mapping[str, Any], texts: Texts) -> Iterator[str]:
    """What of an example the chat template does not write."""
    if isinstance(example.get("prompt", ""), str):
        return
    (answer,) = example["completion"]
    if not _written(answer["content"], texts.answer):
        thinks = " (it drops what stands before </think>)" if "</think>" in answer["content"] else ""
        yield f"the chat template does not render the assistant's text whole{thinks}"
    for key in REASONING:
        if not _written(str(answer.get(key, "")), texts.answer):
            yield f"the chat template does not render {key!r}"
    if any(call["function"]["name"] not in texts.answer for call in answer.get("tool_calls", ())):
        yield "the chat template does not render 'tool_calls'"
    given = texts.prompt or ""
    if any(tool["function"].get("name", "") not in given for tool in example.get("tools", ())):
        yield "the chat template does not render 'tools'"
    for turn in example["prompt"]:
        if turn["role"] != "assistant" and not _written(turn["content"], given):
            yield f"the chat template does not render the {turn['role']}'s text whole"


def _written(text: str, where: str) -> bool:
    """Whether a template wrote a text: as it is, with other white space, or as JSON."""
    if text.strip() in where:
        return True
    bare = "".join(where.split())
    spellings = (text, json.dumps(text.strip())[1:-1], json.dumps(text.strip(), ensure_ascii=False)[1:-1])
    return any("".join(spelling.split()) in bare for spelling in spellings)


def _rendering_faults(model: Object, dataset: Object, looked: Looked) -> Iterator[Finding]:
    about, path = f"dataset {dataset.name}, model {model.name}", ("datasets", dataset.name)
    for what, places in looked.refused.items():
        yield Finding(weight="refused", text=f"{about}: {what}: {some(places)}", path=path)
    for what, places in looked.doubtful.items():
        count = f"{len(places)} of {len(looked.places)} examples"
        yield Finding(weight="warning", text=f"{about}: {count} {what}: {some(places)}", path=path)


def _cuts(dataset: Object, looked: Looked, bounds: Iterable[tuple[Object, int | None]]) -> Iterator[Finding]:
    """What each max_length cuts away of a dataset, packed or not."""
    told: dict[int, list[str]] = {}
    for setting, bound in bounds:
        if bound is not None:
            told.setdefault(bound, []).append(setting.name)
    for bound, names in told.items():
        total = len(looked.wholes)
        sizes = list(zip(looked.places, looked.prompts, looked.wholes, strict=True))
        without = [place for place, prompt, _ in sizes if prompt >= bound]
        shortened = [place for place, prompt, whole in sizes if prompt < bound < whole]
        dropped, cut = len(without), len(shortened)
        under = f"dataset {dataset.name}, setting {', '.join(names)}: max_length {bound}"
        longest = max(looked.wholes, default=0)
        if total and dropped == total:
            text = f"{under} leaves nothing to learn: all {total} prompts fill it. The longest example has {longest} tokens."
            yield Finding(weight="refused", text=text, path=("datasets", dataset.name))
        elif dropped or cut:
            text = (
                f"{under} leaves out {dropped} of {total} examples, whose prompts fill it, and cuts the answers of {cut}; "
                f"{total - dropped} are trained on. The longest has {longest} tokens: {some([*without, *shortened])}"
            )
            yield Finding(weight="warning", text=text, path=("datasets", dataset.name))


def _beyond(
    model: Object, dataset: Object, looked: Looked, shapes: Shapes, bounds: Iterable[tuple[Object, int | None]]
) -> Iterator[Finding]:
    """Ids and positions that a model has no weights for."""
    path = ("datasets", dataset.name)
    if shapes.ids is not None and looked.highest >= shapes.ids:
        text = (
            f"dataset {dataset.name}: the tokenizer of model {model.name} gives id {looked.highest}, and its embeddings "
            f"have {shapes.ids} rows"
        )
        yield Finding(weight="refused", text=text, path=path)
    longest = max(looked.wholes, default=0)
    for setting, bound in bounds:
        kept = longest if bound is None else min(longest, bound)
        if shapes.positions is not None and kept > shapes.positions:
            text = (
                f"dataset {dataset.name}, setting {setting.name}: examples of up to {kept} tokens (max_length "
                f"{'null' if bound is None else bound}), and model {model.name} has {shapes.positions} positions; give "
                f"max_length: {shapes.positions} or less"
            )
            yield Finding(weight="refused" if shapes.positions_end else "warning", text=text, path=path)


def _writing(folder: Path) -> str:
    """What of a model folder decides how texts are written as tokens."""
    return " ".join(file_hash(file) for file in text_files(folder) if file.name not in NOT_TEXT)


def _setting_faults(setting: Object, values: Any, ctx: AuditContext) -> Iterator[Finding]:
    """What TRL, transformers and peft say of a setting when they build it."""
    path = ("actions", setting.setting["action"], "hyperparameters", setting.name)

    def refused(key: str, text: str) -> Finding:
        return Finding(weight="refused", text=f"setting {setting.name}: {text}", path=(*path, key))

    if (fault := _name_fault(values)) is not None:
        yield refused(*fault)
        return
    try:
        _build_optimiser(values, ctx.device)
    except Exception as error:  # whatever a library raises for a setting
        named = (key for key in type(values).model_fields if key in str(error) and key != "optim")
        key = next(named, "lr_scheduler_type" if "schedule" in str(error) or "min_lr" in str(error) else "optim")
        yield refused(key, f"{key} {getattr(values, key)!r} cannot be built: {error}")
        return
    for model in ctx.of_kind("model") if values.peft else ():
        if (unmatched := _unmatched(ctx.folder(model), values.peft.target_modules)) is not None:
            yield refused("peft", f"target_modules: model {model.name} has no module {unmatched}")
            continue
        try:
            said = _build_adapter(ctx.folder(model), values.peft)
        except Exception as error:  # whatever peft raises
            yield refused("peft", f"peft cannot be put on model {model.name}: {error}")
            continue
        for line in said:
            text = f"setting {setting.name}, model {model.name}: peft: {line}"
            yield Finding(weight="warning", text=text, path=(*path, "peft"))


def _name_fault(values: Any) -> tuple[str, str] | None:
    from transformers.trainer_utils import SchedulerType
    from transformers.training_args import OptimizerNames

    for key, names in (("lr_scheduler_type", SchedulerType), ("optim", OptimizerNames)):
        known, given = [str(name.value) for name in names], getattr(values, key)
        if given not in known:
            return key, f"{key} {given!r} is none of transformers'. {nearest(given, known)}"
    return None


def _build_optimiser(values: Any, device: str) -> None:
    import torch
    from transformers import Trainer, get_scheduler

    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        args = trainer_arguments(values, Path(scratch), device=device, stored="float32")
        made, options = Trainer.get_optimizer_cls_and_kwargs(args, torch.nn.Linear(2, 2))
        optimiser = made([torch.nn.Parameter(torch.zeros(2, 2))], **options)
        get_scheduler(
            args.lr_scheduler_type,
            optimizer=optimiser,
            num_warmup_steps=args.get_warmup_steps(10),
            num_training_steps=10,
            scheduler_specific_kwargs=args.lr_scheduler_kwargs,
        )


def _build_adapter(folder: Path, peft: Config) -> list[str]:
    """What peft warns of when it puts an adapter on a model without weights."""
    from peft import get_peft_model

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        get_peft_model(_empty(folder), lora_config(peft))
    return list(
        dict.fromkeys(str(w.message) for w in caught if not issubclass(w.category, DeprecationWarning | FutureWarning))
    )


def _unmatched(folder: Path, wanted: str | list[str]) -> str | None:
    """The first of `target_modules` that no module has, with the nearest name: peft passes over it where another matches. A
    text is a pattern for whole names."""
    modules = [name for name, _ in _empty(folder).named_modules() if name]
    known = {name.rpartition(".")[2] for name in modules if not name.rpartition(".")[2].isdigit()}
    for one in wanted if isinstance(wanted, list) else ():
        if not any(name == one or name.endswith(f".{one}") for name in modules):
            return f"{one!r}. {nearest(one, known)}"
    if isinstance(wanted, str) and wanted != "all-linear" and not any(re.fullmatch(wanted, name) for name in modules):
        return (
            f"whose whole name is {wanted!r}, a pattern; a list names modules by their ends. {nearest(wanted, known)}"
        )
    return None


def _empty(folder: Path) -> Any:
    """A model of a folder's config on the meta device: its modules, and no weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False)
