"""The division of a table into training, validation and test."""
