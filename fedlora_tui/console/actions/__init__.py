"""What the operator can do: one registry, from which keys, footer, help and the table of the documents are made."""
