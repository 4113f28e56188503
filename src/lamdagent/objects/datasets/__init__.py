"""The user's rows: read from local files or the hub, put into one of four shapes, written as `data.jsonl`."""
