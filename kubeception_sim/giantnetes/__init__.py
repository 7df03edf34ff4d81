"""Giantnetes, the outer cluster: what its machines are told, how it comes up, how it is looked at.

cluster.py     PURE: the cluster that a scenario describes: hosts, pod subnets, numbers for BGP
values.py      PURE: what mayu's role templates want of a host
kubectl.py     the outer API as a person asks it
nodes.py       PURE: what the API says of nodes and add-ons, judged
bringup.py     certificates, values, add-ons; waits until it serves
rotation.py    PURE: who reads which certificate, and in which order all of that becomes new
turning.py     new certificates while it serves, a host after the other
hosts.py       a running host from within: files, containers, health
"""
