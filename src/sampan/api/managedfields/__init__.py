"""Server-side apply: who owns which fields of an object (metadata.managedFields). Pure.

`sets` are fieldsV1 sets and their algebra, `types` what a structure does with values, `schema` makes structures of
schemas (`of_definition`, `of_object` for custom resources), `entries` keeps the owners.
"""
