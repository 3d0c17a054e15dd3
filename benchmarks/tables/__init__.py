"""Many models on many real tables, each beside the tool that the field uses for it."""
