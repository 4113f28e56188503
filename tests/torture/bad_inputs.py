"""A table of inputs that are wrong, and what comes of opening one: it must be refused, in words, and soon."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from tests.torture.bad_values import (
    CONFIGS,
    INDICES,
    JSONS,
    LINES,
    OF_DATA,
    OF_ITEMS,
    OF_RECIPES,
    RECIPE,
    ROWS,
    SAID,
    SETS,
    STUDY,
    TABLES,
    TOKENIZERS,
    VALUES,
    WEIGHTS,
)

from lamdagent.core.errors import UserError
from lamdagent.core.templates import within

Spoil = Callable[[Path], None]
WITHIN_S = 20.0
LONGEST_MESSAGE = 5_000


def whole(folder: Path) -> Path:
    """A study that lacks nothing: its file, with rows, items and a model folder beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("rows", ROWS), ("items", ROWS), ("test", [{**r, "prompt": r["prompt"] + "?"} for r in ROWS])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    _model(folder / "models" / "base")
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(STUDY, sort_keys=False))
    return file


def _model(folder: Path) -> None:
    """A model folder as far as it is read without torch."""
    import numpy
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models

    folder.mkdir(parents=True)
    shapes = {"model.embed_tokens.weight": (12, 8), "model.norm.weight": (8,), "lm_head.weight": (12, 8)}
    save_file({n: numpy.zeros(s, dtype="float32") for n, s in shapes.items()}, folder / "model.safetensors")
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 12, "hidden_size": 8,
              "eos_token_id": 1, "dtype": "float32", "max_position_embeddings": 64}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    Tokenizer(models.BPE({"<s>": 0, "</s>": 1, "a": 2}, [])).save(str(folder / "tokenizer.json"))
    said = {"eos_token": "</s>", "bos_token": "<s>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))


def _untouched(folder: Path) -> None:
    """Leaves the study as it is."""


@dataclass(frozen=True)
class Bad:
    """One wrong input: what `spoil` does to the folder of a whole study, and which values are set beside."""

    kind: str
    name: str
    spoil: Spoil = _untouched
    overrides: tuple[str, ...] = ()
    opener: str = "study"


def opened(bad: Bad, folder: Path) -> None:
    """Open an input as far as `run --dry-run` and `replay` do without a worker."""
    from lamdagent.core.space import ActionSpace
    from lamdagent.core.state import State
    from lamdagent.results.export.pipeline_file import read_recipe, study_data
    from lamdagent.study.config import Document, load_study
    from lamdagent.study.config.schema import study_of
    from lamdagent.study.initial_pool import kept_bytes, load_pool, to_fetch
    from lamdagent.study.open import check_parts, check_tasks
    from lamdagent.study.parts import StudyParts
    from lamdagent.study.unused import refuse_unusable, unmerged

    file = folder / "study.yaml"
    if bad.opener == "recipe":
        study = study_of(Document.of(file, study_data(read_recipe(folder / "pipeline.yaml"), folder, bad.overrides)))
        StudyParts(study, start=False).plan("pipeline.yaml")
    else:
        study = load_study(file, bad.overrides)
    parts = StudyParts(study, start=False)
    check_tasks(parts)
    check_parts(parts)
    pool = load_pool(study, {}, offline=True)
    refuse_unusable(study, parts.action_types, pool.objects)
    list(unmerged(parts.action_types, pool.objects))
    to_fetch(study, parts.tasks)
    for entry in study.body.datasets.values():
        kept_bytes(study, entry)
    space = ActionSpace(State(seed=0, pool={o.id: o for o in pool.objects}), parts.action_types)
    for name in parts.action_types:
        for _ in space.of_type(name):
            break


def verdict(bad: Bad, folder: Path) -> str:
    """`refused`, or what went wrong: `accepted`, `unclear: …`, `hang`, or the exception that was no error of the user's."""
    whole(folder)
    try:
        bad.spoil(folder)
        with within(WITHIN_S):
            opened(bad, folder)
    except UserError as error:
        return "refused" if 10 < len(str(error)) < LONGEST_MESSAGE else f"unclear: {len(str(error))} characters"
    except TimeoutError as error:
        return f"hang: {error}"
    except Exception as error:  # this is what is looked for
        return f"{type(error).__name__}: {error}"[:300]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return "accepted"


def studies() -> Iterator[Bad]:
    for dotted, values in VALUES.items():
        for i, value in enumerate(values):
            yield Bad("study", f"{dotted} = {value!r:.60} ({i})", partial(_put, dotted=dotted, value=value))
    for override in SETS:
        yield Bad("--set", f"--set {override!r:.40}", overrides=(override,))


def _put(folder: Path, dotted: str, value: Any) -> None:
    data = json.loads(json.dumps(STUDY))
    holder: Any = data
    *way, last = dotted.split(".")
    for key in way:
        holder = holder[int(key)] if isinstance(holder, list) else holder.setdefault(key, {})
    holder[last] = value
    (folder / "study.yaml").write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))


def files() -> Iterator[Bad]:
    for name, data in {**LINES, **OF_DATA}.items():
        yield Bad("data", f"rows: {name}", partial(_rows, name="rows.jsonl", data=data))
    for name, data in {**LINES, **OF_ITEMS}.items():
        yield Bad("task", f"items: {name}", partial(write_file, name="items.jsonl", data=data))
        yield Bad("task", f"test items: {name}", partial(write_file, name="test.jsonl", data=data))
    for ending in ("json", "csv", "parquet"):
        for name, data in TABLES[ending].items():
            yield Bad("data", f"rows.{ending}: {name}", partial(_rows, name=f"x.{ending}", data=data))
    yield Bad("data", "a folder of that name", partial(_odd, link=False))
    yield Bad("data", "a link to itself", partial(_odd, link=True))
    yield Bad("data", "a parquet of other columns", partial(_parquet, columns={"a": [1], "b": [[1, 2]]}))
    yield Bad("data", "a parquet of bytes", partial(_parquet, columns={"prompt": [b"\xff"], "completion": [b"b"]}))
    yield Bad(
        "data", "a parquet of nulls", partial(_parquet, columns={"prompt": [None, "a"], "completion": ["b", None]})
    )
    yield Bad("data", "a parquet without rows", partial(_parquet, columns={"prompt": [], "completion": []}))
    yield Bad(
        "data", "half a parquet", partial(_parquet, columns={"prompt": ["a"] * 999, "completion": ["b"] * 999}, cut=2)
    )
    yield Bad(
        "data",
        "a parquet with other bytes in it",
        partial(_parquet, columns={"prompt": ["a"] * 999, "completion": ["b"] * 999}, flip=True),
    )


def write_file(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)


def _gone(folder: Path, name: str, instead: bytes | None = None) -> None:
    place = folder / name
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    if instead is not None:
        place.write_bytes(instead)


def _odd(folder: Path, *, link: bool) -> None:
    place = folder / "x.jsonl"
    place.symlink_to(place) if link else place.mkdir()
    _named(folder, "x.jsonl")


def _rows(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    _named(folder, name)


def _named(folder: Path, path: str) -> None:
    data = json.loads(json.dumps(STUDY))
    data["datasets"]["math"] = {"path": path}
    (folder / "study.yaml").write_text(yaml.safe_dump(data, sort_keys=False))


def _parquet(folder: Path, columns: dict[str, list[Any]], cut: int = 1, *, flip: bool = False) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "x.parquet")
    data = bytearray((folder / "x.parquet").read_bytes())
    if flip:
        data[4:60] = bytes(56)
    (folder / "x.parquet").write_bytes(bytes(data[: len(data) // cut]))
    _named(folder, "x.parquet")


def folders() -> Iterator[Bad]:
    def file(name: str, data: bytes) -> Spoil:
        return partial(write_file, name=f"models/base/{name}", data=data)

    for what, data in JSONS.items():
        for name in (
            "config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "model.safetensors.index.json",
            "generation_config.json",
        ):
            if not (name == "tokenizer_config.json" and what == "a deep value"):
                yield Bad("model", f"{name}: {what}", file(name, data))
    for what, keys in CONFIGS.items():
        yield Bad("model", f"config.json: {what}", partial(_changed, keys=keys))
    for what, keys in TOKENIZERS.items():
        yield Bad(
            "model",
            f"tokenizer.json: {what}",
            file("tokenizer.json", json.dumps(keys).encode()),
        )
    for what, keys in SAID.items():
        yield Bad("model", f"tokenizer_config.json: {what}", file("tokenizer_config.json", json.dumps(keys).encode()))
    for what, keys in INDICES.items():
        yield Bad("model", f"index: {what}", file("model.safetensors.index.json", json.dumps(keys).encode()))
    for what, data in WEIGHTS.items():
        yield Bad("model", f"weights: {what}", file("model.safetensors", data))
    for name in ("config.json", "model.safetensors"):
        yield Bad("model", f"without {name}", partial(_gone, name=f"models/base/{name}"))
    yield Bad(
        "model",
        "a file in its place",
        partial(_gone, name="models/base", instead=b"x"),
    )
    yield Bad("model", "a chat template that is no text", file("chat_template.jinja", b"\xff\xfe"))


def _changed(folder: Path, keys: dict[str, Any]) -> None:
    file = folder / "models" / "base" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **keys}))


def pipelines() -> Iterator[Bad]:
    for dotted, values in OF_RECIPES.items():
        for i, value in enumerate(values):
            yield Bad(
                "pipeline",
                f"{dotted} = {value!r:.50} ({i})",
                partial(write_recipe, dotted=dotted, value=value),
                opener="recipe",
            )
    for name, text in {"empty": "", "a list": "- 5", "a text": "x", "tabs": "\t: x", "depth": "[" * 3000}.items():
        yield Bad("pipeline", name, partial(write_file, name="pipeline.yaml", data=text.encode()), opener="recipe")
    for override in (
        "seed=3",
        "models.other.path=x",
        "models=5",
        "datasets.math=5",
        "models.base.path=5",
        "datasets.math.path=",
        "models.base=",
    ):
        yield Bad(
            "pipeline", f"--set {override}", partial(write_recipe, dotted="seed", value=7), (override,), opener="recipe"
        )


def write_recipe(folder: Path, dotted: str, value: Any) -> None:
    data = json.loads(json.dumps(RECIPE))
    holder: Any = data
    *way, last = dotted.split(".")
    for key in way:
        holder = holder[int(key)] if isinstance(holder, list) else holder[key]
    holder[last] = value
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(data, sort_keys=False))


def all_bad() -> list[Bad]:
    return [*studies(), *files(), *folders(), *pipelines()]
