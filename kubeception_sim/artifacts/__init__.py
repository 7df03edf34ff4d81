"""What the machines of a rack boot: built once, kept under a name that says what it was built from.

The promise: `store` returns a complete, checked folder or raises; it knows nothing of operating systems. `testbed`
turns the recipe beside it into a kernel, an initrd and a root file system; it knows nothing of scenarios or machines.
Nothing here talks to the subject under test.
"""
