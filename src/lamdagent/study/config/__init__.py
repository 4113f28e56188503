"""The study file: read with positions, overridden, validated as a whole before anything starts."""

from __future__ import annotations

from lamdagent.study.config.schema import DatasetEntry, Execution, ModelEntry, Study, load_study
from lamdagent.study.config.yaml import Document

__all__ = ["DatasetEntry", "Document", "Execution", "ModelEntry", "Study", "load_study"]
