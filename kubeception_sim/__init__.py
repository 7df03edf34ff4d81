"""The testbed: builds a rack of virtual machines around mayu, breaks things on purpose, reports what a customer saw.

It meets mayu only over the network or as a subprocess, so that a scenario sees what a machine would see. The layers are
in docs/architecture.md and are held by import-linter.
"""
