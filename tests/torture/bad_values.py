# ruff: noqa: E501
"""The values of `bad_inputs`, as tables."""

from __future__ import annotations

import random
from typing import Any

# fmt: off
ROWS = [{"prompt": f"What is {i}?", "completion": f"It is {i}.", "answer": str(i)} for i in range(6)]
STUDY: dict[str, Any] = {
    "study": "mine", "seed": 0, "root": "runs",
    "models": {"base": {"path": "models/base"}},
    "datasets": {"math": {"path": "rows.jsonl", "split": "train", "columns": {"prompt": "prompt", "completion": "completion"}}},
    "actions": {
        "sft": {"hyperparameters": {"gentle": {"learning_rate": 1e-5, "peft": {"r": 8}}, "firm": {"learning_rate": 1e-3}}},
        "ties": {"models": [2, 3], "hyperparameters": {"half": {"density": 0.5, "weight": 0.5}}},
    },
    "tasks": [{"task": "own", "path": "items.jsonl", "test": "test.jsonl", "metric": "exact_match"}],
    "policy": {"kind": "random"}, "memory": {"kind": "table"}, "budget": {"trials": 20},
    "execution": {"device": "cpu"},
}
TEXT: list[Any] = [5, 1.5, True, [], {}, ["x"], {"a": 1}]
COUNT: list[Any] = ["x", 1.5, True, [], {}, -1]
NUMBER: list[Any] = ["x", True, [], {}, float("nan"), float("inf")]
MAPPING: list[Any] = ["x", 5, [1], True]
LIST: list[Any] = ["x", 5, {"a": 1}]
FLAG: list[Any] = ["x", 5, [], None]
VALUES: dict[str, list[Any]] = {
    "study": [*TEXT, "", " ", "a/b", "a b", "-a", None, "a\nb", "a\x1bb"], "seed": [*COUNT, 2**31, None], "root": [5, [], {}, "a\nb"],
    "models": [*MAPPING, {}, None, {"a b": {"path": "models/base"}}, {"model-3": {"path": "models/base"}}],
    "models.base": [*MAPPING, {}, None, {"pfad": "x"}],
    "models.base.path": [5, [], {}, None, "", "x.gguf", "a/b/c", "rows.jsonl", "/", "."],
    "models.base.base": [*TEXT[:5], "base", "other"],
    "datasets": [*MAPPING, {"base": {"path": "rows.jsonl"}}, {"dataset-1": {"path": "rows.jsonl"}}],
    "datasets.math": [*MAPPING, {}, None],
    "datasets.math.path": [5, [], {}, None, "row.jsonl", "rows.txt/x.json", "models", "models/base/config.json"],
    "datasets.math.split": [*TEXT, "train[", "train[5:2:1]", "train[-3:]", "[1:2]", "train[1000:]", "train[100%:]"],
    "datasets.math.columns": ["x", 5, [1], {"prompt": 5}, {"prompt": "nothing", "completion": "completion"}, {"prompt": "{{ x", "completion": "completion"},
                              {"prompt": "{{ nothing }}", "completion": "completion"}, {"prompt": "{{ 9**99999999 }}", "completion": "completion"}],
    "datasets.math.chat": FLAG, "datasets.math.limit": [*COUNT, 0], "datasets.math.leave_out": [*LIST, ["x"], [1.5], list(range(6))],
    "actions": [*MAPPING, {}, None, {"fly": {}}, {"sft": 5}, {"sft": {"fly": 1}}],
    "actions.sft": [5, "x", [1], True],
    "actions.sft.hyperparameters": [5, "x", [5], ["nothing"], {"a": 5}, {"a": [1]}, {"a": {}, "b": {}}, {"a b": {}}, {"free": {}}],
    "actions.sft.hyperparameters.firm": ["x", 5, [1], {"fly": 1}, {"learning_rate": 1e-5, "peft": {"r": 8}}],
    "actions.sft.hyperparameters.firm.learning_rate": [*NUMBER, -1.0, None],
    "actions.sft.hyperparameters.firm.num_train_epochs": [*NUMBER, -1, 0],
    "actions.sft.hyperparameters.firm.max_steps": ["x", 1.5, [], {}],
    "actions.sft.hyperparameters.firm.per_device_train_batch_size": [*COUNT, 0],
    "actions.sft.hyperparameters.firm.max_length": [*COUNT, 0],
    "actions.sft.hyperparameters.firm.peft": ["x", 5, [1], True, {"fly": 1}, {"r": 0}, {"r": "x"}, {"r": -1}],
    "actions.ties.models": [*LIST, [], [0], [1], [-1], ["x"], [2.5], [2, 99], [True], None],
    "actions.ties.hyperparameters": [5, "x", {"a": 5}, {"a": {"fly": 1}}],
    "actions.ties.hyperparameters.half.density": [*NUMBER, -0.1, 1.1],
    "actions.ties.hyperparameters.half.weight": [*NUMBER],
    "tasks": [*LIST, [], None, [5], ["x"], [[]], [{}], [{"path": "items.jsonl"}], [{"task": "own", "path": "items.jsonl"}] * 2],
    "tasks.0.task": [*TEXT, "", "a b", None], "tasks.0.path": [5, [], {}, None, "item.jsonl", "models"], "tasks.0.test": [5, [], {}, "nothing.jsonl", "items.jsonl"],
    "tasks.0.metric": [5, [], {}, "fly", "acc"], "tasks.0.weight": [*NUMBER, -1, 0], "tasks.0.max_score": [*NUMBER, 0, -1],
    "tasks.0.limit": [*COUNT, 0], "tasks.0.max_new_tokens": [*COUNT, 0], "tasks.0.until": ["x", 5, {}, [5]], "tasks.0.kind": [5, [], "fly", None],
    "tasks.0.cluster": [5, [], "nothing"], "tasks.0.columns": ["x", 5, {"prompt": "nothing"}, {"prompt": "{{ x"}], "tasks.0.chat": ["x", 5, []],
    "guards": [*LIST, [5], [{}], [{"task": "x"}], [{"task": "own", "max_drop": -1}], [{"task": "own"}, {"task": "own"}]],
    "evaluation": [*MAPPING], "evaluation.items": [*COUNT, 0, 1], "evaluation.max_items": [*COUNT, 5],
    "contamination": [5, "no", [], {}], "include_path": [5, [], {}, "a\nb"], "settings": [*MAPPING, {"a": 5}, {"a": {"fly": 1}}, {"unused": {}}],
    "policy": [5, [], {"kind": "fly"}, {"kind": 5}, {"kind": None}, {"kind": "random", "fly": 1}, {"kind": "agent"}, {"kind": "replay"},
               {"kind": "replay", "from": "nothing"}, {"kind": "replay", "from": "rows.jsonl"}, {"kind": "replay", "from": "models"}, {"kind": "tpe", "seed": "x"}],
    "memory": [5, [], {}, {"kind": "fly"}, {"kind": "table", "fly": 1}, {"kind": "reflection"}], "artifacts": [5, [], {}, {"kind": "fly"}],
    "observers": ["x", 5, ["fly"], [5], [{}], [{"kind": "jsonl"}], [{"kind": "jsonl", "path": 5}]],
    "budget": [*MAPPING, {"fly": 1}, {"tokens": 5}], "budget.trials": [*COUNT, 0], "budget.hours": [*NUMBER[:4], 0, -1, float("nan")],
    "budget.target": ["x", True, [], float("nan")], "budget.patience": [*COUNT, 0], "budget.usd": ["x", True, [], 0, -1, float("nan")], "budget.train_rows": [*COUNT, 0],
    "execution": MAPPING, "execution.device": [5, [], "gpu", "cuda:x", ""], "execution.dtype": [5, [], "int8"], "execution.workers": [*COUNT, 0],
    "execution.threads": [*COUNT, 0], "execution.timeout_min": [*NUMBER[:5], 0, -1], "execution.batch_size": ["x", 1.5, True, [], -1, 0],
    "execution.runner": [5, [], {}, "fly", {"kind": "process", "fly": 1}],
}
SETS = ["", "=", "seed", "=1", "a..b=1", ".=1", "tasks.99=1", "tasks.-1.weight=2", "tasks.x.weight=1", "seed.x=1", "seed=[1", "seed={", "seed=&a [*a]", "seed=!!python/object:x {}",
        "seed=" + "9" * 5000, "seed=" + "[" * 3000, "x" * 100_000 + "=1", ".".join("a" * 3000) + "=1", "models=[{}]", "tasks.0=5", "tasks.0.weight=.nan", "policy.kind=[1]",
        "policy.kind=../x", "-nothing", "-", "-tasks.0", "-models", "-actions", "-study", "models.base=", "budget.trials=\x00", "seed=\x1b", "budget.trials=1e400", "budget.trials=0x",
        "datasets.math.path=~nobody-is-called-so/x", "datasets.math.limit=2020-01-01", "seed=yes", "study=null", "study=''", "study=../x", "root=\"a\\0\"", "execution.device=😀"]
DEEP = "[" * 100_000 + "]" * 100_000
# Of a file of rows: each is wrong, be it trained on or asked.
LINES: dict[str, bytes] = {
    "empty": b"", "white space": b"\n\n  \n", "no JSON": b"prompt, completion\n", "a list": b"[1, 2]\n", "a text": b'"a"\n', "a number": b"5\n", "null": b"null\n",
    "no UTF-8": b'{"prompt": "\xff", "completion": "b", "answer": "b"}\n', "UTF-16": '{"prompt": "a"}'.encode("utf-16"), "zero bytes": b"\0" * 500,
    "half a line": b'{"prompt": "a", "completion": "b", "answer": "b"}\n{"prompt": "a", "compl', "depth": DEEP.encode() + b"\n",
    "deep value": b'{"prompt": "a", "completion": "b", "answer": ' + DEEP.encode() + b"}\n", "a huge number": b'{"prompt": "a", "completion": "b", "answer": ' + b"9" * 5000 + b"}\n",
    "no columns": b"{}\n", "other columns": b'{"question": "a", "reply": "b"}\n', "prompt null": b'{"prompt": null, "completion": "b", "answer": "b"}\n',
    "prompt empty": b'{"prompt": " ", "completion": "b", "answer": "b"}\n', "prompt a number": b'{"prompt": 5, "completion": "b", "answer": "b"}\n',
    "prompt a list": b'{"prompt": ["a"], "completion": "b", "answer": "b"}\n', "prompt NaN": b'{"prompt": NaN, "completion": "b", "answer": "b"}\n',
    "half a surrogate": b'{"prompt": "\\ud83d", "completion": "b", "answer": "b"}\n', "two on a line": b'{"prompt": "a"} {"prompt": "b"}\n', 
}
OF_DATA: dict[str, bytes] = {
    "a column with half a surrogate": b'{"prompt": "a", "completion": "b", "tools": "\\ud83d"}\n',
    "completion null": b'{"prompt": "a", "completion": null}\n', "completion a list": b'{"prompt": "a", "completion": ["b"]}\n', "messages a text": b'{"messages": "hello"}\n',
    "messages empty": b'{"messages": []}\n', "a turn without a role": b'{"messages": [{"content": "a"}]}\n', "a turn of nobody": b'{"messages": [{"role": "elf", "content": "a"}]}\n',
    "no answer in it": b'{"messages": [{"role": "user", "content": "a"}]}\n', "content a number": b'{"messages": [{"role": "user", "content": 5}, {"role": "assistant", "content": "b"}]}\n',
    "turns a mapping": b'{"messages": {"role": "user"}}\n', "two shapes": b'{"text": "a"}\n{"prompt": "a", "completion": "b"}\n', "context is lost": b'{"prompt": "a", "completion": "b", "context": "c"}\n',
    "weight 0": b'{"prompt": "a", "completion": "b", "weight": 0}\n', "history a text": b'{"prompt": "a", "completion": "b", "history": "c"}\n', "tools a number": b'{"prompt": "a", "completion": "b", "tools": 5}\n',
}
OF_ITEMS: dict[str, bytes] = {
    "answer null": b'{"prompt": "a", "answer": null}\n', "answer a mapping": b'{"prompt": "a", "answer": {"a": 1}}\n', "no accepted answer": b'{"prompt": "a", "answer": []}\n',
    "answer a list of lists": b'{"prompt": "a", "answer": [["b"]]}\n', "choices a text": b'{"prompt": "a", "choices": "abc", "answer": 0}\n', "one choice": b'{"prompt": "a", "choices": ["b"], "answer": 0}\n',
    "an index too high": b'{"prompt": "a", "choices": ["b", "c"], "answer": 9}\n', "an index below 0": b'{"prompt": "a", "choices": ["b", "c"], "answer": -1}\n', "choices alike": b'{"prompt": "a", "choices": ["b", "b"], "answer": 0}\n',
    "an index that is true": b'{"prompt": "a", "choices": ["b", "c"], "answer": true}\n', "some with choices": b'{"prompt": "a", "choices": ["b", "c"], "answer": 1}\n{"prompt": "a", "answer": "b"}\n',
}
TABLES: dict[str, dict[str, bytes]] = {
    "json": {"empty": b"", "an object": b'{"prompt": "a", "completion": "b"}', "a list of numbers": b"[1, 2]", "an empty list": b"[]", "depth": DEEP.encode(), "NaN": b'[{"prompt": NaN, "completion": "b"}]',
             "cut": b'[{"prompt": "a"', "lines": b'{"prompt": "a", "completion": "b"}\n{"prompt": "c", "completion": "d"}\n', "no UTF-8": b'[{"prompt": "\xff"}]'},
    "csv": {"empty": b"", "a header alone": b"prompt,completion\n", "too few cells": b"prompt,completion\na\n", "too many cells": b"prompt,completion\na,b,c\n", "an open quote": b'prompt,completion\n"a,b\n',
            "a huge cell": b"prompt,completion\na," + b"b" * 200_000 + b"\n", "no UTF-8": b"prompt,completion\n\xff,b\n", "empty cells": b"prompt,completion\n,\n",
            "semicolons": b"prompt;completion\na;b\n", "a column twice": b"prompt,prompt\na,b\n"},
    "parquet": {"empty": b"", "text": b"prompt,completion\n", "the marks alone": b"PAR1PAR1", "marks and zeros": b"PAR1" + b"\0" * 100 + b"PAR1", "noise": b"PAR1" + random.Random(0).randbytes(500) + b"PAR1"},
}
# Of JSON files that must hold an object of certain keys.
JSONS: dict[str, bytes] = {"empty": b"", "no JSON": b"{", "a list": b"[]", "a text": b'"a"', "null": b"null", "a number": b"5", "depth": DEEP.encode(), "no UTF-8": b"\xff", "zeros": b"\0" * 99,
                           "a deep value": b'{"architectures": ' + DEEP.encode() + b"}"}
CONFIGS: dict[str, Any] = {
    "architectures a text": {"architectures": "x"}, "architectures empty": {"architectures": []}, "architectures of numbers": {"architectures": [5]}, "architectures null": {"architectures": None},
    "dtype a list": {"dtype": ["x"]}, "dtype unknown": {"dtype": "float7"}, "rope a text": {"rope_parameters": "x"}, "rope a list": {"rope_scaling": [1]}, "EOS a text": {"eos_token_id": "x"},
    "EOS a mapping": {"eos_token_id": {}}, "EOS of both": {"eos_token_id": [1, "x"]},
}
TOKENIZERS: dict[str, Any] = {
    "model a list": {"model": []}, "vocab a number": {"model": {"vocab": 5}}, "no model": {"version": "1.0"}, "added tokens a text": {"added_tokens": "x"}, "added tokens of numbers": {"added_tokens": [5]},
    "added tokens without content": {"added_tokens": [{}]},
}
SAID: dict[str, Any] = {
    "EOS a number": {"eos_token": 5}, "EOS a list": {"eos_token": ["x"]}, "EOS an empty mapping": {"eos_token": {}}, "EOS null": {"eos_token": None}, "no EOS": {},
    "a chat template of numbers": {"eos_token": "</s>", "chat_template": 5}, "chat templates without names": {"eos_token": "</s>", "chat_template": [{}]}, "chat templates of numbers": {"eos_token": "</s>", "chat_template": [5]},
}
INDICES: dict[str, Any] = {
    "no map": {}, "a map that is a list": {"weight_map": []}, "a map of numbers": {"weight_map": {"a": 5}}, "an empty map": {"weight_map": {}}, "a missing file": {"weight_map": {"a": "x.safetensors"}},
    "a file elsewhere": {"weight_map": {"a": "../../rows.jsonl"}}, "a map that is null": {"weight_map": None}, "a file that is a list": {"weight_map": {"a": ["x"]}},
}
WEIGHTS: dict[str, bytes] = {
    "empty": b"", "seven bytes": b"\0" * 7, "a huge header": b"\xff" * 8 + b"{}", "a header that is a list": (2).to_bytes(8, "little") + b"[]", "a header that is no JSON": (2).to_bytes(8, "little") + b"{{",
    "a tensor that is a number": (8).to_bytes(8, "little") + b'{"a": 5}', "depth": (200_000).to_bytes(8, "little") + DEEP.encode(), "cut": (60).to_bytes(8, "little") + b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}',
}
STEP: dict[str, Any] = {"make": "model-3", "id": "x", "action": "sft", "seed": 7, "weights": "digest",
                        "inputs": {"model": ["base"], "dataset": ["math"], "hyperparameters": ["gentle"]}}
RECIPE: dict[str, Any] = {
    "format": 2, "result": "model-3", "seed": 7, "dtype": "float32", "actions": {"sft": {}}, "versions": {"torch": "2.0"}, "machine": {"threads": 2, "device": "cpu"}, "steps": [STEP],
    "objects": {"base": {"kind": "model", "id": "b", "entry": {"path": "models/base"}}, "math": {"kind": "dataset", "id": "m", "rows": 2, "entry": {"path": "rows.jsonl"}},
                "gentle": {"kind": "hyperparameters", "id": "g", "action": "sft", "values": {"learning_rate": 1e-5}}},
}
OF_RECIPES: dict[str, list[Any]] = {
    "format": [1, "2", None, [], 3], "result": [5, None, [], {}, "nothing"], "seed": ["x", None, [], -1, 1.5], "dtype": [5, None, [], "int8"], "actions": [5, None, [], "x", {"fly": {}}, {"sft": 5}, {}],
    "machine": [5, None, [], {"threads": "x"}, {"threads": -1}], "steps": [5, None, {}, "x", [5], [{}], [None], [[]]], "steps.0.make": [[], {}, None], "steps.0.action": [[], {}, "fly"],
    "steps.0.inputs": [5, None, [], "x", {"model": 5}, {"model": None}, {"model": "base"}, {"model": [5]}, {"model": ["nothing"]}, {}], "objects": [5, None, [], "x", {"base": 5}, {"base": None}],
    "objects.base.kind": [5, None, [], "fly"], "objects.base.entry": [5, None, [], "x", {}, {"path": 5}, {"path": "nothing/x/y"}, {"pfad": "x"}], "objects.gentle.action": [5, None, [], "fly"],
    "objects.gentle.values": [5, None, "x", [1], {"fly": 1}], "objects.base.name": [[], {}], "objects.math.entry": [5, {}, {"path": "nothing.jsonl"}], "steps.0.leave_out": [5, "x", ["x"], [1.5]],
}
