"""The diagnosis of a study that a user named."""

from __future__ import annotations

from pathlib import Path

from lamdagent.core.action_type import ActionType
from lamdagent.core.errors import ConfigError
from lamdagent.results.diagnosis.signature import Diagnosis
from lamdagent.study.journal import read_journal
from lamdagent.study.read import ReadStudy


def diagnosis_of(study: ReadStudy, typed: Path) -> Diagnosis:
    """The failure signatures of a study.

    Args:
        typed: how the user named the study, for the commands that are advised; most of them take its file only.
    """
    from lamdagent.results.diagnosis import diagnose

    file = typed if typed.is_file() else typed / "study.yaml"
    named = str(file) if file.is_file() else "STUDY.yaml"
    found = diagnose(read_journal(study.folder), _action_types(study), named, study.artifacts)
    return Diagnosis(study=study.name, signatures=found)


def _action_types(study: ReadStudy) -> dict[str, ActionType]:
    """The action types that a journal's own config names; none where this installation does not know them all."""
    from lamdagent.study.config.schema import study_of
    from lamdagent.study.config.yaml import Document
    from lamdagent.study.parts import StudyParts

    try:
        study_then = study_of(Document.of(study.folder / "study.yaml", dict(study.state.config)))
        return dict(StudyParts(study_then).action_types)
    except ConfigError:
        return {}
