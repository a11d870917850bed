"""The HTTP service: one process that answers, one worker process that dubs, and jobs in SQLite between them."""
