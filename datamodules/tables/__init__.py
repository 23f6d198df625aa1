"""Tables as they are given: files, columns, and rows that cannot be used."""
