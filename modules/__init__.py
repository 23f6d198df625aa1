"""The model, its losses, and the functions that they are built on."""
