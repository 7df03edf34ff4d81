"""Giantnetes, the outer cluster: what its machines are told, how it comes up, how it is looked at.

cluster.py     PURE: the cluster that a scenario describes: hosts, pod subnets, numbers for BGP
values.py      PURE: what mayu's role templates want of a host
kubectl.py     the outer API as a person asks it
nodes.py       PURE: what the API says of nodes and add-ons, judged
bringup.py     certificates, values, add-ons; waits until it serves
"""
