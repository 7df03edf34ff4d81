"""Programs that run inside pods of the outer cluster. They stand alone: nothing of the rest of the testbed is imported here.

api.py     what the API server has, mirrored: shared by all agents
health.py  HTTP: /healthz, /readyz, /metrics
dns/       cluster DNS
policy/    NetworkPolicy of the node, in nftables
"""
