"""Which promises did a run keep? One file for those that are checked alike; each check yields what it finds wrong."""
