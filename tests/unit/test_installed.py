"""What `lamdagent actions` says."""

from __future__ import annotations

import json

import pytest
import yaml
from typer.testing import CliRunner

from lamdagent.results.installed import installed_actions
from lamdagent.study import registry
from lamdagent.ui.cli.app import app


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN["actions"]))
def test_the_example_of_an_action_is_one_that_a_study_file_may_have(name: str) -> None:
    (action,) = installed_actions(name).actions
    assert action.example is not None
    found = registry.find("actions", name)
    found.Config.model_validate(yaml.safe_load(action.example)[name])
    assert list(action.slots) == [slot.name for slot in found().slots]


def test_every_key_of_a_setting_is_listed_under_the_name_that_a_study_file_gives_it() -> None:
    (merge,) = installed_actions("merge").actions
    (sft,) = installed_actions("sft").actions
    assert {"method", "lambda", "weight"} <= merge.keys.keys()
    assert {"learning_rate", "peft"} <= sft.keys.keys()
    assert all(merge.keys.values())


def test_the_list_has_every_action_and_one_of_them_has_its_keys() -> None:
    everything, one = (CliRunner().invoke(app, ["actions", *more]).output for more in ([], ["merge"]))
    assert all(name in everything for name in registry.BUILT_IN["actions"])
    assert "select_topk" in one
    assert "select_topk" not in everything
    listed = json.loads(CliRunner().invoke(app, ["actions", "--json"]).output)["actions"]
    assert [action["name"] for action in listed] == sorted(registry.names("actions"))


def test_an_action_that_is_not_installed_is_an_error_with_the_nearest() -> None:
    result = CliRunner().invoke(app, ["actions", "mergee"])
    assert "unknown action type 'mergee'. Did you mean 'merge'?" in result.output + str(result.exception)
