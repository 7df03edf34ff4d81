"""Thin IO adapters: parse -> ask `core.boot.decide` -> build -> send. They decide nothing and know nothing of each other."""
