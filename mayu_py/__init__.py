"""mayu: boots machines over the network into the operating system and the config that are theirs."""
