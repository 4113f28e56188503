"""What outlives a process: the journal of a study, and the artifacts that all studies under one root share."""
