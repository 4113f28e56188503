"""SFT through TRL on the tiny model."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import lamdagent
from lamdagent.actions.faithful import Followed
from lamdagent.actions.sft import Peft, SftHyperparameters, training_rows, why_diverged
from lamdagent.core.errors import ConfigError, Invalid
from lamdagent.core.search import job_of
from lamdagent.core.types import Choice, Failed, Made, Object, Trial
from lamdagent.runners.inline import Inline
from lamdagent.runners.job import work
from lamdagent.study.open import OpenStudy

pytestmark = pytest.mark.slow


def train(opened: OpenStudy, toolkit: Any, model: Object, dataset: str, setting: str = "firm") -> Any:
    """Ask for one SFT by names, `a+b` for a mixture, and do it; a trial of its own, outside the search's budget."""
    state = opened.search.state
    names = {o.name: o.id for o in state.pool.values()}
    space = opened.search.space
    chosen = space.setting("sft", setting)
    assert chosen is not None
    datasets = [names[name] for name in dataset.split("+")]
    inputs = {"model": [model.id], "dataset": datasets, "hyperparameters": [chosen.id]}
    action = space.action("sft", inputs)
    pool = {**state.pool, model.id: model, chosen.id: chosen}
    trial = Trial(number=0, choice=Choice(action=action, reason="test", by="test"))
    return work(job_of(trial, dataclasses.replace(state, pool=pool)), toolkit, lambda progress: None)


def opened_study(study: Path, *overrides: str) -> Any:
    return lamdagent.open_study(lamdagent.load_study(study, overrides), inline=True)


def base_of(opened: OpenStudy) -> Object:
    return opened.search.state.unscored[0]


def test_a_model_scores_the_same_from_memory_and_read_back_from_disk(study: Path) -> None:
    with opened_study(study) as opened:
        toolkit = opened.parts.toolkit
        first = train(opened, toolkit, base_of(opened), "reverse")
        second = train(opened, toolkit, first.object, "call")
        for made in (first, second):
            for scores in (toolkit.artifacts.open(made.object.id) / "scores").iterdir():
                scores.unlink()
            job = job_of_object(made.object, base_of(opened))
            again = work(job, opened.parts.toolkit, lambda progress: None)
            assert isinstance(again, Made)
            assert again.scores == made.scores


def job_of_object(model: Object, base: Object) -> Any:
    from lamdagent.core.jobs import Job

    return Job(key="again", action=None, objects=(model, base))


def test_training_lifts_the_skill_and_the_model_ends_its_answers(study: Path) -> None:
    with opened_study(study, "datasets.reverse.limit=1200") as opened:
        toolkit = opened.parts.toolkit
        base = work(job_of_object(base_of(opened), base_of(opened)), toolkit, lambda progress: None)
        made = train(opened, toolkit, base_of(opened), "reverse")
        assert isinstance(base, Made)
        assert made.scores[0].value > base.scores[0].value + 0.3
        record = json.loads(next((toolkit.artifacts.open(made.object.id) / "scores").iterdir()).read_text())
        assert {"item", "value", "answer", "target", "cluster"} == set(record["items"][0])
        loaded = toolkit.models.load(made.object.id, toolkit.artifacts.open(made.object.id) / "weights")
        ids = loaded.tokenizer("reverse tap:", return_tensors="pt")
        output = loaded.model.generate(**ids, max_new_tokens=12, do_sample=False)
        assert output[0, -1].item() == loaded.tokenizer.eos_token_id


def test_the_same_action_and_seed_give_the_same_weights(study: Path, tmp_path: Path) -> None:
    hashes = []
    for root in ("one", "two"):
        with opened_study(study, f"root={tmp_path / root}") as opened:
            toolkit = opened.parts.toolkit
            made = train(opened, toolkit, base_of(opened), "reverse")
            hashes.append(toolkit.artifacts.record(made.object.id)["files"]["weights/model.safetensors"])
    assert hashes[0] == hashes[1]


def test_a_mixture_trains_as_one_dataset_with_all_of_its_rows_does(study: Path) -> None:
    rows = [(study.parent / f"data/{name}.jsonl").read_text().splitlines()[:160] for name in ("reverse", "call")]
    (study.parent / "data/both.jsonl").write_text("\n".join(rows[0] + rows[1]) + "\n")
    free = "actions.sft.hyperparameters.free={num_train_epochs: [0.5, 4]}"
    more = ("actions.sft.datasets=[1, all]", free, "datasets.both={path: data/both.jsonl}")
    with opened_study(study, *more) as opened:
        toolkit = opened.parts.toolkit
        made = [train(opened, toolkit, base_of(opened), names, "firm×2") for names in ("reverse+call", "both")]
        assert [one.object.meta["steps"] for one in made] == [40, 40], "two passes of 320 rows, 16 a step"
        files = [toolkit.artifacts.record(one.object.id)["files"] for one in made]
        assert files[0]["weights/model.safetensors"] == files[1]["weights/model.safetensors"]


def test_lora_is_merged_back_into_a_plain_checkpoint_that_can_be_trained_again(study: Path) -> None:
    setting = "{learning_rate: 3e-3, per_device_train_batch_size: 16, peft: {r: 8}, gradient_checkpointing: true}"
    lora = f"actions.sft.hyperparameters.lora={setting}"
    with opened_study(study, lora) as opened:
        toolkit = opened.parts.toolkit
        made = train(opened, toolkit, base_of(opened), "reverse", "lora")
        weights = toolkit.artifacts.open(made.object.id) / "weights"
        assert not (weights / "adapter_config.json").exists()
        from lamdagent.objects.models.metadata import read_facts

        assert read_facts(weights)["shapes"] == base_of(opened).meta["shapes"]
        assert isinstance(train(opened, toolkit, made.object, "call"), Made)


def test_training_goes_on_the_same_from_memory_and_from_disk_also_after_an_adapter(study: Path) -> None:
    with opened_study(study) as opened:
        toolkit = opened.parts.toolkit
        first = train(opened, toolkit, base_of(opened), "reverse", "lora")
        kept = train(opened, toolkit, first.object, "call")
        shutil.rmtree(toolkit.artifacts.open(kept.object.id))
        read = train(opened, opened.parts.toolkit, first.object, "call")
        assert kept.object.meta == read.object.meta


def test_messages_go_through_the_models_own_chat_template(study: Path) -> None:
    with opened_study(study, "datasets.reverse.chat=true", "tasks.reverse.chat=true") as opened:
        toolkit = opened.parts.toolkit
        made = train(opened, toolkit, base_of(opened), "reverse")
        assert isinstance(made, Made)
        assert made.object.meta["last_loss"] < made.object.meta["first_loss"]


@pytest.mark.parametrize("wanted", [None, False, True])
def test_gradient_checkpointing_is_on_where_a_setting_asks_for_it_and_nowhere_else(
    study: Path, monkeypatch: pytest.MonkeyPatch, wanted: bool | None
) -> None:
    from trl import SFTTrainer

    seen, train_as_before = list[tuple[bool, bool]](), SFTTrainer.train

    def watched(trainer: Any, *args: Any, **kwargs: Any) -> Any:
        done = train_as_before(trainer, *args, **kwargs)
        seen.append((trainer.args.gradient_checkpointing, trainer.model.is_gradient_checkpointing))
        return done

    monkeypatch.setattr(SFTTrainer, "train", watched)
    key = "" if wanted is None else f", gradient_checkpointing: {str(wanted).lower()}"
    with opened_study(study, f"actions.sft.hyperparameters.one={{max_steps: 1{key}}}") as opened:
        assert isinstance(train(opened, opened.parts.toolkit, base_of(opened), "reverse", "one"), Made)
    assert seen == [(bool(wanted), bool(wanted))]


@pytest.mark.parametrize(("modules", "lost"), [(["embed_tokens"], True), (["lm_head"], True), ("all-linear", False)])
def test_an_adapter_that_is_lost_on_merging_is_noticed_whatever_it_is_on(
    world: Path, modules: str | list[str], lost: bool
) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(world / "models" / "base")
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=modules, init_lora_weights=False))
    followed = Followed(adapted, [[5, 6, 7], [8, 9, 10, 11]])
    merged = adapted.merge_and_unload()
    if not lost:
        followed.after("merging", merged, "float32")
        return
    with pytest.raises(Invalid, match="merging changed what was trained"):
        followed.after("merging", merged, "float32")


def test_an_adapter_on_tied_embeddings_is_refused_before_the_first_trial(study: Path) -> None:
    setting = "{learning_rate: 3e-3, peft: {r: 8, target_modules: [q_proj, embed_tokens]}}"
    loaded = lamdagent.load_study(study, [f"actions.sft.hyperparameters.lora={setting}"])
    with pytest.raises(ConfigError, match="'lora': an adapter on embed_tokens cannot be merged into model 'base'"):
        with lamdagent.open_study(loaded, inline=True):
            pass


def test_a_cause_of_divergence_is_named_only_where_it_was_seen(study: Path) -> None:
    half = "actions.sft.hyperparameters.half={dtype: float16, per_device_train_batch_size: 16}"
    with opened_study(study, half) as opened:
        outcome = train(opened, opened.parts.toolkit, base_of(opened), "reverse", "half")
    assert isinstance(outcome, Failed)
    assert "adam_epsilon 1e-08 is 0 in float16" in outcome.message and "lower" not in outcome.message
    plain = SftHyperparameters()
    assert why_diverged([2.0, 1.9], plain) == why_diverged([2.0], plain) == ""
    assert "rose from 2 to 9: try a lower learning_rate" in why_diverged([2.0, 9.0], plain)
    assert why_diverged([], SftHyperparameters(dtype="float16", adam_epsilon=1e-4)) == ""


def test_a_loss_that_is_not_finite_fails_the_trial_as_diverged(study: Path) -> None:
    mad = "actions.sft.hyperparameters.mad={learning_rate: 1e30, max_grad_norm: 0, per_device_train_batch_size: 16}"
    with opened_study(study, mad) as opened:
        toolkit = opened.parts.toolkit
        outcome = train(opened, toolkit, base_of(opened), "reverse", "mad")
        assert isinstance(outcome, Failed)
        assert outcome.cause == "diverged"
        assert "learning_rate" in outcome.message
        assert not list(toolkit.artifacts.root.glob(".partial-*"))


def test_a_conversation_becomes_one_example_for_each_assistant_turn(tmp_path: Path) -> None:
    turns = [
        {"role": r, "content": c} for r, c in (("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))
    ]
    (tmp_path / "data.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
    rows = training_rows(tmp_path / "data.jsonl")
    assert [row["completion"][0]["content"] for row in rows] == ["b", "d"]
    assert rows[1]["prompt"] == turns[:3]


def test_every_key_of_a_setting_is_one_of_trl_or_peft() -> None:
    from peft import LoraConfig
    from trl import SFTConfig

    ours = {"peft", "dtype", "mixture"}
    assert set(SftHyperparameters.model_fields) - ours <= {f.name for f in dataclasses.fields(SFTConfig)}
    assert set(Peft.model_fields) <= {f.name for f in dataclasses.fields(LoraConfig)}


def test_the_flat_example_runs(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import runpy

    example = Path(__file__).parents[2] / "examples" / "ask_tell.py"
    runpy.run_path(str(example))["main"](str(study), trials=1)
    assert "model-0" in capsys.readouterr().out


def test_a_setting_may_train_in_half_precision(study: Path) -> None:
    with opened_study(study, "actions.sft.hyperparameters.half={dtype: bfloat16, learning_rate: 1e-3}") as opened:
        made = train(opened, opened.parts.toolkit, base_of(opened), "reverse", "half")
    assert isinstance(made, Made), made


def test_jobs_can_run_inline(study: Path) -> None:
    state = lamdagent.run_study(study, ["budget.trials=1"], inline=True)
    assert isinstance(state.trials[0].outcome, Made)
    assert state.ranked()[0][1].stderr is not None
    assert Inline is not None
