"""Ways to write a drug: orders of atoms, salts, charges, atom maps and isotopes."""

import random

from rdkit import Chem

DRUGS = [
    "CC(C)NCC(O)COc1cccc2ccccc12",
    "CN1CCC(CC1)=C1c2ccccc2CCc2ccccc12",
    "CC(=O)Oc1ccccc1C(=O)O",
    "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "CC(C)Cc1ccc(cc1)C(C)CC(=O)O",
    "NCCc1ccc(O)c(O)c1",
    "CNC(C)Cc1ccccc1",
    "OC(=O)CCCCCCCCC1CCCCC1",
    "CN1C2CCC1CC(C2)OC(=O)C(CO)c1ccccc1",
    "Nc1ccc(cc1)S(=O)(=O)Nc1ncccn1",
    "CCN(CC)CCNC(=O)c1ccc(N)cc1",
    "C1CCC2CCCCC2C1",
    "C1CCCC1C1CCCC1",
    "CCCCC1CCCCC1",
    "c1ccc2c(c1)cccc2CC1=NCCN1",
]
"""SMILES of different drugs, without charges, in order of nothing in particular."""

_COUNTERIONS = ["Cl", "[Cl-]", "[Na+]", "O", "OS(=O)(=O)O", "[Br-]", "O.O", "[K+]"]


def spelling(drug: str, seed: int) -> str:
    """Another SMILES of the same drug.

    Args:
        drug: A SMILES of `DRUGS`.
        seed: Decides how it is written.
    """
    draw = random.Random(seed)
    molecule = Chem.MolFromSmiles(drug)
    if draw.random() < 0.3:
        for atom in molecule.GetAtoms():
            atom.SetAtomMapNum(draw.randint(1, 99))
    if draw.random() < 0.2:
        molecule.GetAtomWithIdx(0).SetIsotope(13 if molecule.GetAtomWithIdx(0).GetAtomicNum() == 6 else 15)
    if draw.random() < 0.4:
        _charge(molecule, draw)
    order = list(range(molecule.GetNumAtoms()))
    draw.shuffle(order)
    text = Chem.MolToSmiles(Chem.RenumberAtoms(molecule, order), canonical=False)
    ions = draw.sample(_COUNTERIONS, draw.choice([0, 0, 0, 1, 2]))
    parts = [text, *ions]
    draw.shuffle(parts)
    return ".".join(parts)


def _charge(molecule: Chem.Mol, draw: random.Random) -> None:
    """Protonate an aliphatic amine or deprotonate an acid, if there is one."""
    amine = Chem.MolFromSmarts("[NX3;!$(N-[#6]=,:[*]);!$(N-S)]")
    acid = Chem.MolFromSmarts("[OX2H1]C=O")
    found = [(match[0], 1) for match in molecule.GetSubstructMatches(amine)]
    found += [(match[0], -1) for match in molecule.GetSubstructMatches(acid)]
    if not found:
        return
    place, charge = draw.choice(found)
    atom = molecule.GetAtomWithIdx(place)
    atom.SetNumExplicitHs(atom.GetTotalNumHs() + charge)
    atom.SetFormalCharge(charge)
    atom.SetNoImplicit(True)
    Chem.SanitizeMol(molecule)
