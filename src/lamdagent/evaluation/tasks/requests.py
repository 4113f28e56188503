"""What lm-eval asks of one item, and its right answer: for looking at a model with the very requests of scoring."""

from __future__ import annotations

from typing import Any

from lamdagent.core.types import Example

LM_EVAL_TOKENS = 256  # lm-eval's own bound of an answer


def example_of(task: Any, index: int, lm: Any | None) -> Example:
    """An item of an lm-eval task as its requests have it.

    Args:
        index: its place among the task's documents.
        lm: lm-eval's model, whose chat template is asked through; None asks without one.
    """
    chat = {} if lm is None else {"apply_chat_template": True, "chat_template": lm.apply_chat_template}
    task.build_all_requests(samples=[index], fewshot_as_multiturn=lm is not None, **chat)
    document, requests = task.eval_docs[index], [request.args for request in task.instances]
    if task.OUTPUT_TYPE == "generate_until":
        prompt, how = requests[0][:2]
        until, answer = how.get("until") or (), right_answer(task, document)
        # Nothing is put between prompt and answer, and a model may have learnt to begin with the space of few-shot examples.
        spellings = dict.fromkeys([answer, f"{task.config.target_delimiter}{answer}"] if answer else [])
        return Example(
            prompt=prompt,
            targets=tuple(spellings),
            new_tokens=int(how.get("max_gen_toks", LM_EVAL_TOKENS)),
            until=(until,) if isinstance(until, str) else tuple(until),
        )
    if task.OUTPUT_TYPE == "loglikelihood_rolling":
        return Example(prompt=requests[0][0])
    prompt, target = requests[_right_choice(task, document)][:2]
    return Example(prompt=prompt, targets=(target,))


def right_answer(task: Any, document: Any) -> str:
    """The right answer of a document as text, the first where there are several; empty where there is none."""
    target = task.doc_to_target(document)
    if isinstance(target, list):
        target = target[0] if target else ""
    if isinstance(target, int) and task.config.doc_to_choice is not None:
        target = task.doc_to_choice(document)[target]
    return str(target)


def _right_choice(task: Any, document: Any) -> int:
    """Which of the requests of an item holds the right answer."""
    if task.OUTPUT_TYPE != "multiple_choice":
        return 0
    right = task.doc_to_text(document) if task.multiple_input else task.doc_to_target(document)
    right = right[0] if isinstance(right, list) else right
    return int(task.doc_to_choice(document).index(right) if isinstance(right, str) else right)
