"""What an agent may answer: type and objects at once, several datasets, other amounts, a plan, a repeat."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Literal

import pytest

from lamdagent.core.budget import Budget
from lamdagent.core.effects import changes_of, effects_table
from lamdagent.core.events import StudyOpened
from lamdagent.core.evidence import labels, told_notes
from lamdagent.core.format import compared_settings, described, recipe
from lamdagent.core.search import Search, run
from lamdagent.core.settings import Free, setting_object
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import TaskWeight
from lamdagent.evaluation.evaluator import Evaluation
from lamdagent.memories.table import Table
from lamdagent.policies.agent.menu import Menu, shortlist
from lamdagent.policies.agent.policy import Agent
from lamdagent.policies.agent.schemas import PLAN_CHARS, one_of
from lamdagent.policies.agent.situation import CUT, MEMORY_CHARS, ends_of
from lamdagent.policies.random import Random
from lamdagent.policies.surrogate.policy import Surrogate
from lamdagent.runners.inline import Inline
from lamdagent.study.journal import MemoryJournal
from lamdagent.testing import mixtures, toy
from lamdagent.testing.fake_chat import FakeClient, Line, fake_chat, obliging
from tests.many_models import many_models, mixture


def mixed(script: list[Line], trials: int, free: Free = mixtures.FREE, **options: Any) -> tuple[State, FakeClient]:
    """A study of mixtures whose agent is given these answers."""
    client = FakeClient(script)
    agent = Agent(chat=fake_chat(client), fallback=Random(), **options)
    return mixtures.search(agent, budget=Budget(trials=trials), free=free), client


def mix(**fields: Any) -> str:
    named = {"model": "M0", "dataset": ["facts", "sort"], "hyperparameters": "firm"}
    return json.dumps({"reason": "r", "plan": "then merge", **named, **fields})


def one(**fields: Any) -> str:
    named = {"type": "mix", "model": "M0", "dataset": ["facts", "sort"], "hyperparameters": "firm"}
    return json.dumps({"reason": "r", "plan": "", "action": {**named, **fields}})


def test_an_answer_may_take_several_datasets_and_other_amounts_inside_the_bounds() -> None:
    state, client = mixed([mix(num_train_epochs=3, learning_rate=4e-4)], 1)
    assert described(state, state.trials[0].choice.action, labels(state)) == (
        "mix(model=M0, dataset=sort+facts, hyperparameters=firm×3@4e-4)"
    )
    epochs = client.schemas[0]["properties"]["num_train_epochs"]["anyOf"]
    assert [part.get("minimum") for part in epochs] == [0.05, None]
    assert (
        "num_train_epochs: passes over the datasets, 0.05 to 8, or null for what the setting says" in client.asked[0][1]
    )


def test_an_amount_beyond_its_bounds_is_asked_for_again_with_the_bound() -> None:
    state, client = mixed([mix(num_train_epochs=30), mix()], 1)
    assert "num_train_epochs: Input should be less than or equal to 8" in client.asked[1][1]
    assert state.trials[0].choice.by == "agent"


def test_amounts_that_are_not_free_are_not_in_the_schema() -> None:
    _, client = mixed([], 1, free=Free(num_train_epochs=[1, 2]))
    assert "num_train_epochs" in client.schemas[0]["properties"]
    assert "learning_rate" not in client.schemas[0]["properties"]


def test_one_question_asks_for_type_and_objects_in_a_tagged_union() -> None:
    state, client = mixed([obliging, one(num_train_epochs=2)], 2, questions=1)
    schema = client.schemas[1]
    branches = [schema["$defs"][part["$ref"].rpartition("/")[2]] for part in schema["properties"]["action"]["anyOf"]]
    assert [branch["properties"]["type"]["const"] for branch in branches] == ["mix", "mean"]
    assert all(branch["required"] == list(branch["properties"]) for branch in branches)
    assert state.trials[1].choice.by == "agent"
    assert "firm×2" in [obj.name for obj in state.of_kind("hyperparameters")]


def test_a_branch_of_the_union_that_lacks_a_field_is_told_which() -> None:
    wrong = json.dumps({"reason": "r", "plan": "", "action": {"type": "mean"}})
    _, client = mixed([obliging, wrong], 2, questions=1)
    assert "action.mean.models: Field required" in client.asked[2][1]


def test_a_union_of_one_type_is_no_union() -> None:
    schema = one_of("ActionChoice", {"mix": {}}).model_json_schema()
    assert "anyOf" not in schema["properties"]["action"]


def test_a_plan_is_cut_kept_in_the_notes_and_shown_at_the_next_trial() -> None:
    state, client = mixed([mix(plan="first facts, then a merge " + "x" * 1000)], 2)
    assert len(state.trials[0].choice.plan) == PLAN_CHARS
    assert "Planned at trial 1: first facts, then a merge" in told_notes(state.memories[0])
    assert "Planned at trial 1: first facts, then a merge" in client.asked[1][1]


def test_an_answer_without_a_plan_is_of_use() -> None:
    state, _ = mixed([json.dumps({k: v for k, v in json.loads(mix()).items() if k != "plan"})], 1)
    assert state.trials[0].choice.plan == ""
    assert state.trials[0].choice.by == "agent"


def test_a_repeat_takes_the_next_seed_and_reads_as_one() -> None:
    state, client = mixed([mix(), *[one(repeat=True)] * 2], 3, questions=1, repeats=True)
    actions = [trial.choice.action for trial in state.trials]
    assert [action.seed for action in actions] == [0, 1, 2]
    assert len({action.id for action in actions}) == 3
    assert len({str(state.pool[action.id].meta["levels"]) for action in actions}) == 3
    assert recipe(state, actions[1].id, labels(state)) == "M0 > mix sort+facts/firm (seed 1)"
    assert "(n=2)" in client.asked[2][1]


def test_what_was_done_is_refused_without_the_word_repeat_and_where_repeats_are_not_allowed() -> None:
    state, client = mixed([mix(), one(), one(type="mix", dataset=["call"])], 2, questions=1, repeats=True)
    assert "already tried: it was done as trial 0" in client.asked[2][1]
    assert len(client.asked) == 3
    assert state.trials[1].choice.by == "agent"
    _, client = mixed([obliging, one(repeat=True)], 2, questions=1)
    assert "action.mix.repeat: Extra inputs are not permitted" in client.asked[2][1]


def test_a_merge_is_not_repeated_since_no_seed_changes_it() -> None:
    state = mixtures.search(Random(), budget=Budget(trials=8))
    space = ActionSpace(state, mixtures.ACTION_TYPES)
    merge = next(t.choice.action for t in state.trials if t.choice.action.type == "mean")
    train = next(t.choice.action for t in state.trials if t.choice.action.type == "mix")
    assert "another seed gives the same again" in (space.why_invalid(space.repeat(merge)) or "")
    assert space.why_invalid(space.repeat(train)) is None


@pytest.mark.parametrize("questions", [1, 2])
def test_advice_stands_beside_all_that_can_be_chosen_and_its_candidates_are_among_the_offers(
    questions: Literal[1, 2],
) -> None:
    whole = {"reason": "r", "plan": "p", "action": {"type": "C2"}}
    taken = json.dumps(whole if questions == 1 else {"reason": "r", "plan": "p", "type": "C2"})
    then = [json.dumps({"reason": "r", "plan": "", "type": "mix"}), mix()] if questions == 2 else [one()]
    state, client = mixed([taken, *then], 2, questions=questions, advice=Surrogate())
    first, second = (trial.choice for trial in state.trials)
    assert first.by == "agent" and first.reason.startswith("r | predicted ") and first.plan == "p"
    assert second.by == "agent" and second.reason.startswith("r")
    asked = "\n".join(prompt for _, prompt in client.asked)
    assert "# Candidates of a statistical model of this search\n" in asked
    lines = [line for line in asked.splitlines() if "; predicted with it: up to 0." in line]
    assert {line.split(":")[0] for line in lines} >= {"- M0", "- facts", "- firm"}


def test_a_shortlist_may_hold_settings_that_were_varied() -> None:
    state, client = mixed([], 2, shortlist=Surrogate())
    assert [trial.choice.by for trial in state.trials] == ["agent", "agent"]
    assert any("×" in line for _, prompt in client.asked for line in prompt.splitlines() if line.startswith("- C"))


def test_advice_is_never_the_only_offer() -> None:
    state, client = mixed([one()], 1, questions=1, advice=Surrogate())
    assert described(state, state.trials[0].choice.action, labels(state)).startswith("mix(model=M0, dataset=sort+facts")
    union = client.schemas[0]["properties"]["action"]["anyOf"]
    assert len(union) == 2


def test_what_is_predicted_with_an_object_is_the_best_of_what_holds_it() -> None:
    state = mixtures.search(Random(), budget=Budget(trials=6))
    advice = Surrogate().advice(state, ActionSpace(state, mixtures.ACTION_TYPES), 6)
    best = max(mean for mean, _ in advice.best_with.values())
    holding = [i for i, (mean, _) in advice.best_with.items() if mean == best]
    assert len(holding) >= 2
    assert any(state.pool[i].kind == "model" for i in holding if i in state.pool)
    assert 0 < len(advice.candidates) <= 6


def test_the_same_dataset_named_twice_is_taken_once() -> None:
    state, _ = mixed([mix(dataset=["facts", "facts"])], 1)
    assert len(state.trials[0].choice.action.inputs["dataset"]) == 1


def test_the_reason_for_the_type_goes_on_to_the_second_question_and_the_notes_do_not() -> None:
    type = json.dumps({"reason": "a merge keeps both", "plan": "merge, then facts", "type": "mean"})
    _, client = mixed([mix(), type], 2)
    second = client.asked[-1][1]
    assert "Action type mean: a merge keeps both\nYour plan: merge, then facts" in second
    assert "# Notes from earlier trials" not in second
    assert "# What is known from all trials" in second


def test_changes_tell_what_a_step_gave_and_what_it_cost_where_the_objective_hides_both() -> None:
    state, _ = mixed([mix(dataset=["facts"], num_train_epochs=8)], 1)
    moved = {change.task: change.value for change in changes_of(state, state.trials[0])}
    assert moved["facts"] > 0.5
    assert moved["reverse"] < -0.1
    (line,) = effects_table(state)[1:]
    assert line.startswith("- mix facts/firm (n=1): ")
    assert "facts +0." in line and "reverse -0." in line


def test_a_model_at_the_top_counts_only_where_it_lost() -> None:
    again = one(model="M1", dataset=["facts"])
    state, _ = mixed([mix(dataset=["facts"], num_train_epochs=8), again], 2, questions=1)
    (line,) = effects_table(state)[1:]
    assert "(n=2)" in line
    assert "(n=1)" in line.partition("facts +")[2].partition(",")[0]


def test_the_evidence_of_many_groups_is_bounded_and_says_what_is_left_out() -> None:
    state = mixtures.search(Random(), budget=Budget(trials=40))
    assert len(effects_table(state, most=5)) == 6
    assert "more were done less often" in effects_table(state, most=5)[0]


def test_a_long_recipe_keeps_its_root_and_its_last_steps() -> None:
    state = many_models(200)
    line = recipe(state, state.trials[-1].choice.action.id, labels(state))
    assert line.startswith("M0 > step ")
    assert " steps … > step " in line


def test_lists_hold_the_given_models_the_best_and_the_best_on_each_task() -> None:
    state = many_models(200)
    listed = {obj.id for obj in shortlist(state, state.of_kind("model"), 12)}
    assert len(listed) == 12
    assert {obj.id for obj in state.of_kind("model") if obj.made_by is None} <= listed
    assert state.ranked()[0][0].id in listed
    for goal in state.goals:
        by_task = {i: s.value for i, of in state.scores.items() for s in of if s.task == goal.task}
        assert max(by_task, key=lambda i: by_task[i]) in listed


def test_only_what_can_be_done_now_is_named_as_untried() -> None:
    state = toy.grown(12)
    space = ActionSpace(state, toy.ACTION_TYPES, Budget(train_rows=12))
    menu = Menu(state=state, space=space, types=["step"], names=labels(state))
    assert 0 < len(menu.untried()) <= 8
    spent = ActionSpace(state, toy.ACTION_TYPES, Budget(train_rows=1))
    assert Menu(state=state, space=spent, types=["step"], names=labels(state)).untried() == []


def test_settings_show_real_values_and_in_each_line_only_what_differs() -> None:
    from lamdagent.actions.sft import SftHyperparameters

    given = {"firm": {"learning_rate": 1e-3}, "lora": {"learning_rate": 2e-4, "peft": {"r": 8}}}
    settings = [setting_object("sft", name, SftHyperparameters.model_validate(v)) for name, v in given.items()]
    shared, differ = compared_settings(settings)
    assert shared.startswith("num_train_epochs=1, max_steps=-1")
    assert list(differ.values()) == [
        "learning_rate=0.001",
        "learning_rate=0.0002, peft.r=8, peft.lora_alpha=32, peft.lora_dropout=0, peft.target_modules=all-linear, "
        "peft.use_rslora=False, peft.use_dora=False",
    ]


def test_examples_can_be_kept_from_the_provider() -> None:
    state, client = mixture(), FakeClient()
    agent = Agent(chat=fake_chat(client), fallback=Random(), questions=1, examples=0)
    agent.select(state, ActionSpace(state, mixtures.ACTION_TYPES), 1)
    system, prompt = client.asked[0]
    assert "Capital of France?" not in system and "→ yes" not in prompt
    assert "Capitals of the world." in prompt and "Which city is the capital?" in system


@pytest.mark.parametrize("left", [1, 2, 20])
def test_the_last_trials_are_named_as_such(left: int) -> None:
    state, client = toy.grown(12), FakeClient()
    agent = Agent(chat=fake_chat(client), fallback=Random())
    agent.select(state, ActionSpace(state, toy.ACTION_TYPES, Budget(trials=12 + left)), 1)
    assert f"trial 13 of {12 + left} is to be chosen" in client.asked[0][1]
    assert ("These are the last trials" in client.asked[0][1]) == (left <= 2)


def test_a_search_goes_on_with_repeats_after_a_restart() -> None:
    journal, script = MemoryJournal(), [mix(), one(repeat=True)]
    journal.append(*mixtures.first_events())
    for trials in (2, 3):
        chat = fake_chat(FakeClient(list[Line](script if trials == 2 else [one(repeat=True)])))
        agent = Agent(chat=chat, fallback=Random(), questions=1, repeats=True)
        search = Search(
            journal=journal, action_types=mixtures.ACTION_TYPES, policy=agent, memory=Table(),
            budget=Budget(trials=trials), chat=chat,
        )  # fmt: skip
        state = run(search, mixtures_runner())
    assert [trial.choice.action.seed for trial in state.trials] == [0, 1, 2]


def mixtures_runner() -> Any:
    from lamdagent.runners.inline import Inline

    return Inline(mixtures.toolkit())


def test_with_many_tasks_a_prompt_still_has_the_best_models_the_latest_trial_and_the_plan() -> None:
    tasks = [toy.ToyTask(f"a-skill-with-a-name-{i}", (i / 4, 1 - i / 4)) for i in range(8)]
    goals = tuple(TaskWeight(task=task.name) for task in tasks)
    opened_by, *objects = toy.first_events()
    assert isinstance(opened_by, StudyOpened)
    client = FakeClient()
    search = Search(
        journal=MemoryJournal(replace(opened_by, goals=goals), *objects), action_types=toy.ACTION_TYPES,
        policy=Agent(chat=fake_chat(client), fallback=Random()), memory=Table(), budget=Budget(trials=24),
    )  # fmt: skip
    state = run(search, Inline(replace(toy.toolkit(), evaluation=Evaluation(tasks=tasks, goals=goals))))
    notes = told_notes(state.memories[22])
    assert len(notes) > MEMORY_CHARS
    (prompt,) = [prompt for _, prompt in client.asked if "Planned at trial 23" in prompt]
    latest = next(line for line in notes.splitlines() if line.startswith("  trial 22: "))
    best = notes.partition("Best models:\n")[2].partition("\n")[0]
    assert latest in prompt
    assert best in prompt
    assert f"\n{CUT}\n" in prompt


def test_notes_are_cut_between_lines_and_in_a_line_only_where_it_is_most_of_them() -> None:
    lines = [f"line {i}" for i in range(100)]
    kept = ends_of("\n".join(lines), 100).splitlines()
    assert kept[: kept.index(CUT)] == lines[: kept.index(CUT)]
    assert kept[kept.index(CUT) + 1 :] == lines[-(len(kept) - kept.index(CUT) - 1) :]
    assert len("\n".join(kept)) <= 100
    assert ends_of("a" * 50 + "\n" + "b" * 500 + "\nend", 100).endswith("b" * 40 + "\nend")
    assert ends_of("short", 100) == "short"
