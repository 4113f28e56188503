"""Where provided models come from: a local folder, a .gguf file, or the hub at a recorded commit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lamdagent.core.errors import DataError
from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.types import Object, content_id
from lamdagent.objects.artifacts import file_hash
from lamdagent.objects.models.metadata import TOKENIZER_FILES, weight_files


def locate(home: Path, store: ArtifactStore, obj: Object) -> Path:
    """The Hugging Face folder of a model that the user provided."""
    if obj.uri.startswith(HUB):
        return HubModel.of(obj.uri).folder()
    if obj.uri.endswith(".gguf"):
        return store.open(obj.id) / "weights"
    return home / Path(obj.uri).expanduser()


HUB = "hf://"


WANTED = ("*.json", "*.safetensors", "*.jinja", "tokenizer.model", "vocab.txt", "merges.txt")


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
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        for local in (True, False):
            try:
                return Path(
                    snapshot_download(
                        self.repo, revision=self.commit, allow_patterns=list(WANTED), local_files_only=local
                    )
                )
            except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
                if not local:
                    raise DataError(f"model {self.repo!r} cannot be fetched: {error}") from error
        raise AssertionError("unreachable")


def resolve(repo: str, revision: str | None) -> HubModel:
    """A hub id and revision as a commit.

    Raises:
        DataError: the hub cannot be reached, or has no such model or revision, and the cache has none either.
    """
    from huggingface_hub import HfApi, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound, HfHubHTTPError, HFValidationError

    try:
        return HubModel(repo=repo, commit=str(HfApi().model_info(repo, revision=revision).sha))
    except HFValidationError as error:
        raise DataError(f"{repo!r} is neither a local folder nor a hub id: {error}") from error
    except (HfHubHTTPError, OSError) as error:
        try:
            cached = next((r for r in scan_cache_dir().repos if r.repo_id == repo), None)
        except CacheNotFound:
            cached = None
        for commit in cached.revisions if cached else ():
            if revision in (None, commit.commit_hash) or revision in commit.refs:
                return HubModel(repo=repo, commit=commit.commit_hash)
        raise DataError(
            f"{repo!r} is no local folder, and the hub gives no such model: {error}. "
            "Offline, give the path of a local Hugging Face folder or .gguf file."
        ) from error


def folder_id(folder: Path, root: str | None) -> str:
    """The id of a local model folder: the hash of its weights, config and tokenizer, and of the base it names."""
    files = [*weight_files(folder), folder / "config.json", *(folder / name for name in TOKENIZER_FILES)]
    return content_id([[file_hash(f) for f in files if f.is_file()], root])


def gguf_id(file: Path, dtype: str) -> str:
    """The id of a .gguf file as imported in a dtype.

    Raises:
        DataError: the file is missing or no GGUF.
    """
    if not file.is_file():
        raise DataError(f"{file}: no such file.")
    with file.open("rb") as handle:
        if handle.read(4) != b"GGUF":
            raise DataError(f"{file}: not a GGUF file. Copy or download it again.")
    return content_id(["gguf", file_hash(file), dtype])
