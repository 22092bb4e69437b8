"""The worker: a process that holds models and features for a host program. See ``Docs/worker.md``."""
