"""Where provided models come from: a local folder, a .gguf file, or the hub at a recorded commit."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from lamdagent.core.errors import DataError
from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.text import told
from lamdagent.core.types import ID_FORMULA, Object, content_id
from lamdagent.objects.artifacts import file_hash
from lamdagent.objects.models.metadata import TOKENIZER_FILES, weight_files
from lamdagent.objects.reach import only_what_is_here


def locate(home: Path, store: ArtifactStore, obj: Object) -> Path:
    """The Hugging Face folder of a model that the user provided."""
    if obj.uri.startswith(HUB):
        return HubModel.of(obj.uri).folder()
    if obj.uri.endswith(".gguf"):
        return store.open(obj.id) / "weights"
    return home / Path(obj.uri).expanduser()


HUB = "hf://"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]{0,95}(/[\w.\-]{1,96})?")


READ = ("*.json", "*.jinja", "additional_chat_templates/*.jinja", "*.model", "*.tiktoken", "vocab.txt", "merges.txt")
"""What transformers reads of a folder beside weights."""
WANTED = (*READ, "*.safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubModel:
    """A model of the hub at one commit."""

    repo: str
    commit: str

    @property
    def uri(self) -> str:
        return f"{HUB}{self.repo}@{self.commit}"

    @classmethod
    def of(cls, uri: str) -> HubModel:
        repo, _, commit = uri.removeprefix(HUB).rpartition("@")
        return cls(repo=repo, commit=commit)

    def folder(self) -> Path:
        """The snapshot in the local cache, fetched if it is not there.

        Raises:
            DataError: it is not in the cache and cannot be fetched.
        """
        from huggingface_hub import snapshot_download

        for local in (True, False):
            try:
                return Path(
                    snapshot_download(
                        self.repo, revision=self.commit, allow_patterns=list(WANTED), local_files_only=local
                    )
                )
            except Exception as error:  # its clients raise errors of many libraries
                if not local or only_what_is_here():
                    raise DataError(f"model {self.repo!r} cannot be fetched: {error}") from error
        raise AssertionError("unreachable")


def may_be_hub_id(path: str) -> bool:
    """Whether a path has the form of a hub id: `name` or `owner/name`."""
    return HUB_ID.fullmatch(path) is not None and ".." not in path and "--" not in path


def resolve(repo: str, revision: str | None, *, place: Path) -> HubModel:
    """A hub id and revision as a commit.

    Args:
        place: the folder that it would be on this machine, for the message.
    Raises:
        DataError: the hub cannot be reached, or has no such model or revision, and the cache has none either.
    """
    from huggingface_hub import HfApi, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    unreached, reason = only_what_is_here(), ""
    if not unreached:
        try:
            return HubModel(repo=repo, commit=str(HfApi().model_info(repo, revision=revision).sha))
        except Exception as error:  # its clients raise errors of many libraries
            reason = f"the hub gives no such model ({told(error)})"
    try:
        cached = next((r for r in scan_cache_dir().repos if r.repo_id == repo and r.repo_type == "model"), None)
    except (CacheNotFound, OSError):
        cached = None
    newest = sorted(
        cached.revisions if cached else (), key=lambda c: ("main" not in c.refs, -c.last_modified, c.commit_hash)
    )
    for commit in newest:
        if revision in (None, commit.commit_hash) or revision in commit.refs:
            return HubModel(repo=repo, commit=commit.commit_hash)
    raise DataError(f"{no_such_place(place)}; {reason or f'{unreached}, and the cache has no model {repo!r}'}.")


def no_such_place(place: Path) -> str:
    """`models/a: no such file or folder`, with what there is beside it."""
    try:
        beside = [one.name for one in place.parent.iterdir()] if place.parent.is_dir() else []
    except OSError:
        beside = []
    near = difflib.get_close_matches(place.name, beside, n=1, cutoff=0.5)
    hint = f" (did you mean {str(place.parent / near[0])!r}?)" if near else ""
    return f"{place}: no such file or folder{hint}"


def folder_id(folder: Path, root: str | None, *, dtype: str = "auto", formula: int = ID_FORMULA) -> str:
    """The id of a local model folder: the hash of every file that opening it reads, and of the base it names.

    Args:
        dtype: what it is read in, `execution.dtype`.
        formula: what the id covers; 1 left out chat template, EOS, special tokens, generation config and dtype.
    """
    if formula == 1:
        files = [*weight_files(folder), folder / "config.json", *(folder / name for name in TOKENIZER_FILES)]
        return content_id([[file_hash(f) for f in files if f.is_file()], root])
    read = {str(file.relative_to(folder)): file_hash(file) for file in files_read(folder)}
    return content_id(["folder", formula, read, root, dtype])


def files_read(folder: Path) -> list[Path]:
    """The files of a model folder that may change what the model or its tokenizer does, in the order of their names."""
    return sorted({*weight_files(folder), *text_files(folder)})


def text_files(folder: Path) -> list[Path]:
    """Those of them that hold no weights."""
    return sorted({file for pattern in READ for file in folder.glob(pattern) if file.is_file()})


def hub_id(model: HubModel, root: str | None, dtype: str) -> str:
    """The id of a model of the hub: its commit covers every file."""
    return content_id(["hub", ID_FORMULA, model.uri, root, dtype])


def gguf_id(file: Path, dtype: str) -> str:
    """The id of a .gguf file as imported in a dtype; its tokenizer and chat template are in the file.

    Raises:
        DataError: the file is missing or no GGUF.
    """
    if not file.is_file():
        raise DataError(f"{file}: no such file.")
    with file.open("rb") as handle:
        if handle.read(4) != b"GGUF":
            raise DataError(f"{file}: not a GGUF file. Copy or download it again.")
    return content_id(["gguf", ID_FORMULA, file_hash(file), dtype])
