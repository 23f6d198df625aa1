"""From a table of SMILES and labels to batches. Importing the package alone imports no torch."""
