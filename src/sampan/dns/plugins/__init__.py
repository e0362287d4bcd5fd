"""The plugin chain. Its order is this table: each name is asked after the ones above it.

kubernetes   first, so that nothing outside can answer for the cluster's own names
forward      last: whatever is not ours goes to the machine's resolvers
"""

ORDER = ("kubernetes", "forward")
