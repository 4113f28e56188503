"""Keep artifacts in a folder of one's choosing, such as on a larger disk."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from lamdagent.core.config import Parts
from lamdagent.objects.artifacts import LocalArtifacts, LocalConfig


class ElsewhereConfig(LocalConfig):
    """Folders under any path, from the study file's folder."""

    path: str = Field(description="where models and rows are kept")

    def arguments(self, parts: Parts) -> dict[str, Any]:
        return {"root": parts.path(self.path)}


class Elsewhere(LocalArtifacts):
    """The store `local`, in another place."""

    Config = ElsewhereConfig
