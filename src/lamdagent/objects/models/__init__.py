"""Models: the one place that opens, copies, keeps and writes weights.

A worker holds one `Models`. It keeps what fits, so that the base model is read once and a model just made is scored
without being read back. torch and transformers are imported when the first model is opened.
"""

from __future__ import annotations

import copy
import gc
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

from lamdagent.core.action_type import Loaded
from lamdagent.core.errors import DataError
from lamdagent.core.types import ObjectId
from lamdagent.objects.models.examination import open_for_text, why_random

DTYPES = ("float32", "bfloat16", "float16")
KEPT_SHARE = 1 / 8  # of the memory that models are computed in


class Models:
    """Opens models on one device: the `ModelLoader` of every job.

    Args:
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        dtype: what weights are stored in: `auto` (as the model came) or one of DTYPES. On a CPU they are computed in
            float32, with bfloat16 autocast where they are stored in bfloat16, since plain bfloat16 is slower there.
    """

    def __init__(self, *, device: str = "auto", dtype: str = "auto") -> None:
        self.device = pick_device(device)
        self._dtype = dtype
        self._kept: OrderedDict[ObjectId, Loaded] = OrderedDict()

    @property
    def autocast(self) -> bool:
        """Whether models stored in bfloat16 are computed under autocast here."""
        return self.device == "cpu"

    def load(self, object_id: ObjectId, folder: Path) -> Loaded:
        """A model to read from, in evaluation mode. It is shared: never change it."""
        if object_id not in self._kept:
            self.keep(object_id, self._open(folder, scoring=True))
        self._kept.move_to_end(object_id)
        return self._kept[object_id]

    def fresh(self, object_id: ObjectId, folder: Path, *, train_dtype: str | None) -> Loaded:
        """A private copy of a model to change or train, its weights in `train_dtype` (None: as they are computed in)."""
        import torch

        if object_id in self._kept:
            kept = self._kept[object_id]
            loaded = Loaded(copy.deepcopy(kept.model), copy.deepcopy(kept.tokenizer), kept.dtype)
        else:
            loaded = self._open(folder, scoring=False)
        if train_dtype is not None:
            loaded.model.to(getattr(torch, train_dtype))
        loaded.model.requires_grad_(True)  # an adapter that was merged in leaves what lay under it frozen
        loaded.model.train()
        return loaded

    def keep(self, object_id: ObjectId, loaded: Loaded) -> None:
        """Let `load` answer with this model for as long as there is room."""
        _unpatch(loaded.model)
        self._release()
        loaded.model.eval()
        self._kept[object_id] = loaded
        room = KEPT_SHARE * memory_bytes(self.device)
        while len(self._kept) > 1 and sum(_bytes(k.model) for k in self._kept.values()) > room:
            self._kept.popitem(last=False)

    def _release(self) -> None:
        """Give back what the last job left behind: optimiser states and activations live in reference cycles."""
        gc.collect()
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()

    def save(self, loaded: Loaded, folder: Path) -> None:
        """Write a plain Hugging Face folder in the model's stored dtype, and leave the model equal to what is on disk.

        Rounding the weights in memory too is what makes a score before and after a restart the same.
        """
        import torch

        stored = getattr(torch, loaded.dtype)
        computed = torch.float32 if self.device == "cpu" else stored
        model = loaded.model.to(stored)
        model.config.dtype = stored
        model.config.use_cache = True  # the trainer turned it off, and generation would be slow wherever it is used
        model.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
        loaded.model = model.to(computed)

    def _open(self, folder: Path, *, scoring: bool) -> Loaded:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        # Left out, a model that brings code has transformers ask on standard input whether to run it, which in a worker
        # are the driver's requests.
        no_code = {"trust_remote_code": False}
        config = AutoConfig.from_pretrained(folder, **no_code)
        own = str(config.dtype or torch.float32).removeprefix("torch.")
        dtype = own if self._dtype == "auto" else self._dtype
        computed = torch.float32 if self.device == "cpu" else getattr(torch, dtype)
        model, report = AutoModelForCausalLM.from_pretrained(
            folder, dtype=computed, output_loading_info=True, **no_code
        )
        if lacking := why_random(folder, report["missing_keys"]):
            raise DataError(lacking)
        loaded = Loaded(model.to(self.device), open_for_text(folder), dtype)
        if scoring:
            loaded.model.eval()
        return loaded


def pick_device(wanted: str) -> str:
    """`wanted`, with `auto` resolved to the fastest device there is."""
    if wanted != "auto":
        return wanted
    import torch

    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def memory_bytes(device: str) -> int:
    """How much memory models on a device share."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _unpatch(model: Any) -> None:
    # Trainers replace `forward` on the instance by a function that is bound to that instance: a copy of the model
    # would go on computing with the weights of the original.
    for module in model.modules():
        for name in ("forward", "_original_forward"):
            module.__dict__.pop(name, None)


def _bytes(model: Any) -> int:
    return sum(p.numel() * p.element_size() for p in model.parameters())
