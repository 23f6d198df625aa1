"""From a table of SMILES and labels to batches of molecules."""
