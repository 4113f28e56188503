"""The study file: read with positions, overridden, validated as a whole before anything starts."""

from __future__ import annotations

from lamdagent.config.document import Document
from lamdagent.config.study import DatasetEntry, Execution, ModelEntry, Study, TaskEntry, load_study

__all__ = ["DatasetEntry", "Document", "Execution", "ModelEntry", "Study", "TaskEntry", "load_study"]
