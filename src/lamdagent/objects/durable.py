"""What a power cut cannot take: files on the disk before the name that announces them."""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Return when a file, or a folder with all that is in it, is on the disk."""
    if path.is_dir():
        for inner in sorted(path.iterdir()):
            sync(inner)
    _sync_entry(path)


def make_folder(folder: Path) -> None:
    """Make a folder, and those around it that are missing, so that none of their names is lost in a power cut."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_entry(folder.parent)


def rename(partial: Path, whole: Path) -> None:
    """Give what is written its name, so that after a power cut the name stands for all of it or is not there."""
    sync(partial)
    partial.rename(whole)
    _sync_entry(whole.parent)  # the name is an entry of the folder around it


def _sync_entry(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
