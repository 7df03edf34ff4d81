"""A machine of an inner cluster: QEMU as the program of a pod.

image.py      the step before: what a machine boots, fetched once for each node and checked
machine.py    what the machine is, read from the environment
addresses.py  its address, gateway and MAC, from its place in the cluster's network
command.py    QEMU's command line
stages.py     what a guest has said of itself, and when
console.py    what a guest writes to its serial port, made fit for a log
disk.py       the disk that outlives it
qmp.py        QEMU's machine protocol
guest.py      a running QEMU: its lines, its state, its ordered end
"""
