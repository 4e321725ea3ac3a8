"""One module per revision of the schema, each frozen once released."""
