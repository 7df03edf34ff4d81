"""Cluster DNS: the Kubernetes DNS-Based Service Discovery specification, version 1.1.0.

zone.py      PURE: services, slices of endpoints and pods -> the records of the cluster's domain
message.py   PURE: a query in, the bytes of an answer out
upstream.py  names of others: asked at the pod's own name servers
server.py    sockets: UDP and TCP
follow.py    mirrors of the API -> the zone that is served
__main__.py  the program
"""
