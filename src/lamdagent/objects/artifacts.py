"""Artifacts: one folder per object, named by its id, written once, by rename.

    <root>/artifacts/<object id>/object.json     the object, the action that made it, versions, hashes of its files
                                 weights/         a plain Hugging Face folder
                                 data.jsonl       a dataset's rows
                                 scores/          one file per task and side, with what each item gave

A folder under its id is complete. What a killed process was writing lies in `.partial-…` folders, which nothing reads.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lamdagent.core.config import Config, Parts
from lamdagent.core.errors import UserError
from lamdagent.core.items import Draw, ItemValues
from lamdagent.core.types import ObjectId, Score
from lamdagent.objects.durable import make_folder, rename

CHUNK_BYTES = 1 << 22


class LocalConfig(Config):
    """Folders beside the runs, on a disk that every worker sees."""

    def arguments(self, parts: Parts) -> dict[str, Any]:
        return {"root": parts.root / "artifacts"}


class LocalArtifacts:
    """The artifact folders under one root."""

    Config: type[LocalConfig] = LocalConfig

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, object_id: ObjectId) -> Path:
        return self.root / object_id

    def record(self, object_id: ObjectId) -> dict[str, Any] | None:
        """What `object.json` says, or None where there is no such artifact or its record is damaged."""
        try:
            record = json.loads((self.open(object_id) / "object.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return record if isinstance(record, dict) and isinstance(record.get("files"), dict) else None

    @contextlib.contextmanager
    def write(self, object_id: ObjectId, record: dict[str, Any]) -> Iterator[Path]:
        """A folder to write to, which becomes the object's folder when the block ends without an error.

        `record` is written last, with the hash of every file added; the block may still fill it in.

        Raises:
            UserError: the disk is full.
        """
        make_folder(self.root)
        partial = Path(
            tempfile.mkdtemp(prefix=f".partial-{_host()}-{os.getpid()}-{_start_of(os.getpid())}-", dir=self.root)
        )
        try:
            with disk_full_as_user_error(self.root):
                yield partial
                record["files"] = {
                    str(f.relative_to(partial)): file_hash(f) for f in sorted(partial.rglob("*")) if f.is_file()
                }
                (partial / "object.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
                partial.chmod(0o755)  # mkdtemp lets nobody else read it, and others may share the root
            if (
                self.record(object_id) is None
            ):  # else another process was faster, and its folder may hold scores already
                if (scores := self.open(object_id) / "scores").is_dir():  # what is made again keeps what its items gave
                    scores.rename(partial / "scores")
                shutil.rmtree(self.open(object_id), ignore_errors=True)
                rename(partial, self.open(object_id))
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def values(self, object_id: ObjectId, score: Score) -> list[float] | None:
        """What each item gave that a score is the mean of; None where the items are not kept (any more)."""
        file = self.open(object_id) / "scores" / f"{score.task_id}.{score.split}.json"
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
            return kept_values(kept, score.n) if len(kept["items"]) >= score.n else None
        except (FileNotFoundError, ValueError, KeyError):
            return None

    def remove(self, object_id: ObjectId, *, scores: bool = True) -> None:
        folder = self.open(object_id)
        # Its record goes first: what a kill leaves of the rest is then no artifact.
        for entry in sorted(folder.glob("*"), key=lambda entry: entry.name != "object.json"):
            if scores or entry.name != "scores":
                entry.unlink() if entry.is_file() else shutil.rmtree(entry, ignore_errors=True)
        if scores:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what killed processes of this host left half written.

        On a shared disk the process ids of another host say nothing here, so its folders are left to it.
        """
        for partial in self.root.glob(f".partial-{_host()}-*-*-*"):
            pid, start = partial.name.split("-")[2:4]
            # The id alone may be another process's by now.
            if pid.isdigit() and _start_of(int(pid)) != start:
                shutil.rmtree(partial, ignore_errors=True)

    def damaged(self, object_id: ObjectId) -> list[str]:
        """The files of an artifact that are missing or not what was written."""
        record, folder = self.record(object_id), self.open(object_id)
        if record is None:
            return [f"{folder / 'object.json'}: damaged" if (folder / "object.json").exists() else f"{folder}: missing"]
        files: Mapping[str, str] = record["files"]
        return [
            f"{folder / name}: {'changed' if (folder / name).exists() else 'missing'}"
            for name, expected in files.items()
            if not (folder / name).exists() or file_hash(folder / name) != expected
        ]


def kept_values(kept: Mapping[str, Any], n: int) -> ItemValues:
    """The first `n` values of a file in `scores/`, with how the items were drawn as far as it says so."""
    items = kept["items"][:n]
    values = [float(item["value"]) for item in items]
    if "shares" not in kept and not any("cluster" in item for item in items):
        return ItemValues(values)
    keys = tuple(item.get("cluster", f"{kept['task_id']}/{place}") for place, item in enumerate(items))
    # An item's name begins with that of the subtask it is of.
    strata = tuple(item["item"].rpartition("/")[0] for item in items) if "shares" in kept else ()
    return ItemValues(values, Draw(clusters=keys, strata=strata, shares=kept.get("shares", {})))


def _host() -> str:
    """This host's name as a part of a folder's name, without a hyphen."""
    return re.sub(r"[^A-Za-z0-9.]", "_", platform.node()) or "host"


def _start_of(pid: int) -> str | None:
    """When a process began, as its system counts, or "0" where it does not say; None where there is no such process."""
    try:
        # Fields after the process's name, which may hold anything but ends with the last parenthesis.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:  # it is another user's
        pass
    return "0"


@contextlib.contextmanager
def disk_full_as_user_error(folder: Path) -> Iterator[None]:
    """Turn 'no space left' into an error that says what to do.

    Raises:
        UserError: the disk or the user's quota is full.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or not _is_full_disk(error):
            raise
        where = getattr(error, "filename", None) or folder
        raise UserError(
            f"{where}: the disk is full ({error}). Free some space (`lamdagent show` names the models that are not among "
            "the best), then run the same command again: nothing is lost."
        ) from error


def _is_full_disk(error: Exception) -> bool:
    # safetensors reports a full disk as an error of its own, with the system's words.
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or "no space left" in str(error).lower()


def file_hash(file: Path) -> str:
    """BLAKE2b of a file's bytes, 40 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=20)
    with file.open("rb") as handle:
        while chunk := handle.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
