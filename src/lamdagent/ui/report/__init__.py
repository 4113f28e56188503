"""The report of a study: what the sealed test says of its best models, as data, Markdown and one HTML page."""
