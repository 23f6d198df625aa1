"""Tables as they are given: files, columns, cells, and the rows that cannot be used. Imports no torch."""
