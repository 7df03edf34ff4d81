"""The controller of inner clusters: what is wanted and what there is brought together, one cluster at a time.

settings.py    what it is told: who certifies, where the store of networks is, what guests boot
api.py         the outer API: lists, server-side apply, deletes;  inside.py  the API of an inner cluster
observed.py    what there is of a cluster now
claims.py      numbers that nobody else has;  tokens.py  one for each start of a machine
reconcile.py   one pass: observe, want, apply, prune, tell;  leaving.py  the last passes of a cluster that is deleted
passes.py      which cluster has its pass when: changes, resyncs, back-off;  handlers.py  kopf, which says that something changed

A pass goes by what it observes and by nothing that it remembers: ended at any call and begun again, it comes to the same.
"""
