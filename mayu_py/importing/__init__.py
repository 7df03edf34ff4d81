"""`mayu import`: the config, the state, the history and the templates of Mayu, brought here with a report of what changed.

Everything is read first, from files that nobody vouches for; then a new folder is written, whole or not at all.
"""
