"""Row 2: what `image:` means on this machine.

A name is looked up by a list of resolvers (`types.Resolver`): programs registered by hand, then aliases. Unpacked OCI
images will be one more resolver of that list.
"""
