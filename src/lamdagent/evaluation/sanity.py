"""Is a model that was just made worth scoring? Checks of seconds, against hundreds of items scored for nothing.

They find what is broken, not what is bad: a specialist that gets every item wrong but its own skill has no fault, since
a later merge may need it. Whatever is asked here, the model and the random state stay as they were.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamdagent.core.action_type import Context, Loaded, ModelLoader
from lamdagent.core.errors import DataError, Invalid
from lamdagent.core.protocols import Task
from lamdagent.core.types import Example, Object, ObjectId
from lamdagent.objects.models.metadata import tensor_shapes, weight_files
from lamdagent.objects.models.rendering import Renderer

MARGIN_NATS = 2.0  # above a uniform guess; a healthy model thrown away costs more than a broken one scored
PROMPT_TOKENS = 512  # a prompt is cut to its last ones,
ANSWER_TOKENS = 256  # and a right answer to its first
BASE_ENDS = 0.5
EXAMINED = 8  # items, over all tasks


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckResult:
    """What a model was found to be: faults in words, and figures.

    `facts` are finite; one that could not be measured is left out. `end_rate`: the share of answers that ended, in
    [0, 1]. `held_out_loss`, `least_loss`: nats a token of the right answers, the mean over examples and the least of
    any.
    """

    faults: tuple[str, ...]
    facts: Mapping[str, float]


def examine(
    loaded: Loaded, examples: Sequence[Example], *, base_rate: Callable[[], float | None] = lambda: None
) -> CheckResult:
    """Check a made model's weights, its vocabulary, that its answers end, and that its loss is not absurd.

    Args:
        examples: a few (8 will do), none trained on.
        base_rate: gives the `end_rate` of the model's base on the same examples; asked only where no answer ended.
    """
    if broken := (*_weight_faults(loaded.model), *_vocabulary_faults(loaded)):
        return CheckResult(faults=tuple(broken), facts={})  # computing with it would tell nothing, or crash
    losses = answer_losses(loaded, examples)
    facts: dict[str, float] = {}
    if losses and all(map(math.isfinite, losses)):
        facts |= {"held_out_loss": math.fsum(losses) / len(losses), "least_loss": min(losses)}
    if (rate := end_rate(loaded, examples)) is not None:
        facts["end_rate"] = rate
    faults = [*_loss_faults(losses, _rows(loaded.model.get_input_embeddings()))]
    if rate == 0.0 and (base := base_rate()) is not None and base >= BASE_ENDS:
        faults.append(f"none of its answers ends within its task's bound, and {base:.0%} of its base model's do")
    return CheckResult(faults=tuple(faults), facts=facts)


@dataclass(frozen=True, kw_only=True, slots=True)
class Examiner:
    """Examines a made model with the first items of the tasks, before any of them is scored."""

    models: ModelLoader
    tasks: Sequence[Task]

    def __call__(self, object_id: ObjectId, root: Object, context: Context) -> Mapping[str, float]:
        """Figures of the model in the context's `workdir`.

        Raises:
            Invalid: it is broken.
        """
        try:
            made = self.models.load(object_id, context.workdir / "weights")
        except DataError as error:  # of a model that an action made: its fault, and not the user's
            raise Invalid(str(error)) from error
        each = max(1, EXAMINED // max(1, len(self.tasks)))  # a replay has no tasks
        examples = [e for task in self.tasks for e in task.examples(each, made)]
        result = examine(
            made, examples, base_rate=lambda: end_rate(self.models.load(root.id, context.weights(root)), examples)
        )
        if result.faults:
            raise Invalid("; ".join(result.faults))
        moved = distance(context.workdir / "weights", context.weights(root))
        if moved == 0.0:
            raise Invalid(f"its weights are those of its base model {root.name!r}: nothing was changed")
        return result.facts if moved is None else {**result.facts, "distance": moved}


def end_rate(loaded: Loaded, examples: Sequence[Example]) -> float | None:
    """The share, in [0, 1], of greedy answers that end within their bound; None where no example asks for an answer."""
    import torch

    asked = [example for example in examples if example.new_tokens > 0]
    if not asked:
        return None
    model, tokenizer, ends = loaded.model, loaded.tokenizer, _end_ids(loaded)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(ends, default=0)
    prompts = [
        _fitting(loaded, Renderer(tokenizer).prompt_ids(example.prompt), example.new_tokens) for example in asked
    ]
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
    with _at_rest(model):
        answers = model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=False,
            num_beams=1,
            use_cache=True,
            max_new_tokens=max(example.new_tokens for example in asked),
            eos_token_id=sorted(ends) or None,
            pad_token_id=pad,
        )[:, width:].tolist()
    ended = 0
    for example, answer in zip(asked, answers, strict=True):
        answer = answer[: example.new_tokens]
        text = tokenizer.decode(answer) if example.until else ""
        ended += not ends.isdisjoint(answer) or any(stop in text for stop in example.until)
    return ended / len(asked)


def distance(folder: Path, base: Path) -> float | None:
    """How far a model's weights lie from its base's, against the size of the base's: the norm of the difference over the
    norm, both of all tensors that the two have in one shape; None where there are none.

    Read tensor by tensor from the files, so that it takes no room beside a model in memory.
    """
    import torch
    from safetensors import safe_open

    where = {name: file for file in weight_files(base) for name in tensor_shapes(file)}
    moved, size = 0.0, 0.0
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as made:
            for name in sorted(where.keys() & made.keys()):  # the order of a set is another one in every process
                with safe_open(where[name], framework="pt") as start:
                    now, before = made.get_tensor(name), start.get_tensor(name).to(torch.float32)
                if now.shape == before.shape:
                    moved += float((now.to(torch.float32) - before).square().sum())
                    size += float(before.square().sum())
    return math.sqrt(moved / size) if size > 0 else None


def answer_losses(loaded: Loaded, examples: Sequence[Example]) -> list[float]:
    """Mean loss in nats of a right answer's tokens, given the prompt, for each example that has one; the least of its
    spellings.

    Prompts count for nothing: training on completions leaves what a model says of them to chance.
    """
    with _at_rest(loaded.model):
        found = [[loss for t in e.targets if (loss := _loss(loaded, e.prompt, t)) is not None] for e in examples]
    # A loss that is not a number must not hide behind a spelling with a finite one.
    return [min(losses, key=lambda loss: (math.isfinite(loss), loss)) for losses in found if losses]


def _loss(loaded: Loaded, prompt: str, target: str) -> float | None:
    """None for an answer without tokens. It stands after the tokens of the prompt, as in training and scoring."""
    import torch

    head, answer = Renderer(loaded.tokenizer).divided(prompt, target) if target else ([], [])
    answer = answer[:ANSWER_TOKENS]
    if not answer:
        return None
    start = _fitting(loaded, head, len(answer))
    ids = torch.tensor([start + answer], device=loaded.model.device)
    logits = loaded.model(input_ids=ids, use_cache=False).logits[0, len(start) - 1 : -1].float()
    return float(torch.nn.functional.cross_entropy(logits, ids[0, len(start) :]))


def _weight_faults(model: Any) -> Iterator[str]:
    bad = [name for name, weight in model.named_parameters() if not bool(weight.isfinite().all())]
    if bad:
        yield f"{len(bad)} weights are not finite, {bad[0]} the first of them"


def _vocabulary_faults(loaded: Loaded) -> Iterator[str]:
    model, tokenizer = loaded.model, loaded.tokenizer
    highest = max(tokenizer.get_vocab().values())
    for name, layer in (("input", model.get_input_embeddings()), ("output", model.get_output_embeddings())):
        if layer is not None and highest >= _rows(layer):
            yield f"the tokenizer's ids go up to {highest}, and the {name} embedding has {_rows(layer)} rows"
    rows = _rows(model.get_input_embeddings())
    outside = sorted(i for i in _end_ids(loaded) | {tokenizer.pad_token_id} - {None} if not 0 <= i < rows)
    if outside:
        yield f"EOS or padding has id {', '.join(map(str, outside))}, and the input embedding has {rows} rows"


def _loss_faults(losses: Sequence[float], vocabulary: int) -> Iterator[str]:
    # The least counts, not the mean: a specialist is so sure of its wrong answers that a uniform guess beats it. Among
    # 121 made models of the tiny world, where a guess has 4.6 nats, means went up to 12.4 and leasts to 5.8.
    if unknown := sum(not math.isfinite(loss) for loss in losses):
        yield f"its loss is not finite on {unknown} of {len(losses)} held-out answers"
    elif losses and min(losses) > math.log(vocabulary) + MARGIN_NATS:
        yield (
            f"its loss is at least {min(losses):.1f} nats a token on each of {len(losses)} held-out answers; "
            f"a uniform guess has {math.log(vocabulary):.1f}"
        )


def _rows(layer: Any) -> int:
    return int(layer.weight.shape[0])


def _end_ids(loaded: Loaded) -> set[int]:
    return Renderer(loaded.tokenizer).stop_ids(loaded.model.generation_config)


def _fitting(loaded: Loaded, prompt: list[int], answer_tokens: int) -> list[int]:
    """The last tokens of a prompt that leave room for an answer."""
    positions = getattr(loaded.model.config, "max_position_embeddings", None) or math.inf
    room = int(max(1, min(PROMPT_TOKENS, positions - answer_tokens)))
    return prompt[-room:] or [min(_end_ids(loaded), default=0)]  # something must stand before the first token


@contextmanager
def _at_rest(model: Any) -> Iterator[None]:
    import torch

    modes = [(module, module.training) for module in model.modules()]
    on_gpu = [model.device] if model.device.type == "cuda" else []
    model.eval()
    try:
        # Not inference_mode: what a module keeps of a pass under it could not be trained on afterwards.
        with torch.no_grad(), torch.random.fork_rng(devices=on_gpu):
            yield
    finally:
        for module, training in modes:
            module.training = training
