"""Any result on any page: the terminal, Markdown, HTML."""
