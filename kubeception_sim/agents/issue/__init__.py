"""The step of a machine's pod that has it certified, and writes what the guest is configured by.

openbao.py   OpenBao over TLS, asked until it answers
wanted.py    what this machine asks for: wanted.json
step.py      the step: token, certificates, config; it may be ended at any point and begun again
record.py    what is said of the certificates: issued.json
render.py    role template and values to an Ignition config
"""
