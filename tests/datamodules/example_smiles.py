"""SMILES of all the kinds that RDKit reads in a way of its own, and some that it cannot read."""

from __future__ import annotations

from pathlib import Path

import polars

import datamodules

INN_STEMS: list[str] = polars.read_csv(Path(datamodules.__path__[0]) / "datasets" / "inn_stems" / "inn_stems.csv")[
    "smiles"
].to_list()
"""The 654 bundled drugs."""

EXAMPLES: dict[str, list[str]] = {
    name: texts.split()
    for name, texts in {
        "hydrogens": """
[H]O[H] [2H] [3H] [H][H] [2H][H] [2H]O[2H] [H+] [H-] [H] [H:1]C [H]C([H])([H])[H] [H]C#N [H][N+]([H])([H])[H] [H][Pt]
[H][Cl] [HH] [Cl-].[H+] C[H] [2H]C([2H])([2H])O [C:1]([H:2])([H:3])[H:4] [H]/C=C/[H] [H][C@](F)(Cl)Br [2H][#6]C C=[CH]
[OH]C C[OH] [CH4] [CH3][CH3] [CH2]=[CH2] [NH2]C C[NH]C [CH3]C [ClH] [SH2] [SH4] [SH6] [PH5] [PH3] [IH] [IH2]C [SiH2]
C[SH](=O)=O C[PH](C)=O O=[PH](O)O C[PH4] [NaH] [LiH] [MgH2] [CaH2] [FeH2] [UH6] [MgH]=[SbH] [2H][Mg]C C[2H] P[O+][2H]
[H]*C [*H]=C
""",
        "charges": """
[OH-] [OH3+] [NH4+] [NH2-] [N-3] [O-2] [O--] [Mg++] [Fe+2] [P+9] [U-7] [C-]#[O+] [C-]#N C[N+](C)(C)CC(=O)[O-]
C[N+](=O)[O-] CN(=O)=O [O-][n+]1ccccc1 O=n1ccccc1 [Cl+] [C+0] [C+] [C-] [CH3+] [CH3-] C[CH+]C C[CH-]C [N+] [O+] [S-2]
[F-] [B-] [Si+] [NH3+]CC([O-])=O [CH2-][N+]#N C[N+]#[C-] C#[N+][O-] CC(=[OH+])C C[O+](C)C C1C[O+]1C C[I+]C C[F+]C
[cH+]1cccccc1 [cH+]1cc1
""",
        "isotopes": """
[13CH4] [13C] [14cH]1ccccc1 [13c]1ccccc1 [238U] [999C] [0C] [1*]C [2Zn]C [Zn+]C [BH2][2Zn] [13Se]C [Se-]C [SnH][13Se]
""",
        "radicals": """
[CH3] [CH2] [CH] [C] [O] [O][O] [N]=O [NH] C[CH2] C[C]C CC(C)(C)[O] CN([O])C CC1(C)CCCC(C)(C)N1[O] [Si] [SiH3] [S] [Cl]
[c]1ccccc1 C=C[CH2] CC(=O)[CH]C(C)=O C[O] C=[CH] [CH]=[CH]
""",
        "stereo": r"""
C[C@H](N)C(=O)O C[C@@H](N)C(=O)O N[C@@](C)(F)Cl F/C=C/F F/C=C\F F/C=C F/C=C/C=C\F C/C=N/O C/C(=C\C)C C\C=C\C C[S@](=O)CC
C[S@@](=O)c1ccccc1 C[P@](=O)(O)CC C[P@@](CC)c1ccccc1 C[N@+](CC)(CCC)CCCC C[Si@](F)(Cl)Br OC(Cl)=[C@]=C(C)F
[C@H](F)(Cl)Br C[C@H]1CC[C@@H](C)CC1 C[C@@H]1CCCC[C@@H]1C [C@]12(CCCC1)CCCC2 C1[C@@H]2CC[C@H]1C2
C[C@H](O)[C@H](O)[C@@H](C)O [C@] N[Pt@SP1](N)(Cl)Cl N[Co@OH1](N)(N)(Cl)(Cl)Cl S[As@TB1](F)(Cl)(Br)N CC=[C@AL1]=CC
F[S@](Cl)(Br)I FS(Cl)(Br)I [C@TH1](F)(Cl)(Br)I F[C@SP1](Cl)(Br)I FC(Cl)(Br)I [H]/N=C/C
""",
        "metals": """
[Fe+2].[CH-]1C=CC=C1.[CH-]1C=CC=C1 c1cc[cH-]c1.[Fe+2].c1cc[cH-]c1 [Fe]123456789C%10C1C2C3C4%10.C5%11C6C7C8C9%11
[CH-]1C=CC=C1->[Fe+2]<-[CH-]1C=CC=C1 [Na+].[Cl-] [Na]Cl CC(=O)O[Na] N[Pt](N)(Cl)Cl N->[Pt](<-N)(Cl)Cl C[Mg]Br
c1ccccc1[Mg]Br [NH3]->[Pt](<-[NH3])(Cl)Cl [NH3][Pt]([NH3])(Cl)Cl [NH3+][Pt-2]([NH3+])(Cl)Cl [Li]C [Li]CCCC [Li]c1ccccc1
CCCC[Sn](CCCC)(CCCC)Cl C[Sn](C)(C)c1ccccc1 C[Hg]C CC[Pb](CC)(CC)CC C[Al](C)C [Al+3].[O-]S(=O)(=O)[O-] [Cu] [Cu+2] [Hg]
Cl[Ti](Cl)(Cl)Cl [Og] [Xe] [O+]#[C-][Fe]([C-]#[O+])([C-]#[O+])([C-]#[O+])[C-]#[O+] [Zn]1OC(=O)CN1
CCC1=[O+][Cu-3]2([O+]=C(CC)C1)[O+]=C(CC)CC(CC)=[O+]2 O=[Cr](=O)([O-])[O-] O=[Mn](=O)(=O)[O-] O=[Os](=O)(=O)=O O=[U+2]=O
Cl[Ir-2](Cl)(Cl)(Cl)(Cl)Cl C=C[Mg]Br C=C[Sn](C)(C)C C=C[Fe] C=C[Ti] C=C[Cu] C=C[Al](C)C C=C[Hg]C C=C[Li] C=C=C[Zn]C
CC(=O)[O-].[Pd+2].CC(=O)[O-] O=C=[Fe] F[Xe]F F[Xe](F)(F)F
""",
        "other bonds": """
[NH3]->[Cu] N->[Cu] [Cu]<-N N->B [NH3+][BH3-] [C-]#[O+]->[Fe] c1ccnc(c1)-c1cccc[n]1->[Ru+2]
c1cc[n]2->[Ru]<-n3ccccc3-c2c1 C$C [U]$[U] [Re]$[Re] C~C C~O [K]~C [Na]~[Cl] c1ccccc1~[Fe] C1CC~1 C~1CC~1 C:C C:CC [Cu]:N
CN:C=C C:c1ccccc1
""",
        "conjugation": """
C=CC=C C=CC=CC=CC=C CC=CC(=O)C=C C=CC#N C#CC#C C#CC=CC#C N#CC#N C=C=C C=C=C=C C=C=O O=C=O CC=C=CC N=C=N S=C=S CN=C=O
[N-]=[N+]=NC CN=[N+]=[N-] C[N-][N+]#N [N-]=[N+]=[N-] C=[N+]=[N-] C=CO C=CN C=CCl C=CF C=CS C=CP C=C[SiH3] C=C[CH2+]
C=C[CH2-] C=C[O-] C=CB C=C[BH3-] C=C[Se]C C=COC=C C=CSC=C C=CS(=O)C=C C=CS(=O)(=O)C=C C=CP(C)C=C C=CP(C)(=O)C=C
C=C[N+](C)(C)C C=CNC(=O)N NC(=O)N NC(=N)N NC(=[NH2+])N NC(=S)N CC(=O)OC(C)=O CC(=O)NN C=NN=C C=NO ON=O C=C[As](C)C C=CBr
C=CI C=CI(C)C C=C[I+]C C=C[Xe] C=C* O=C1C=CC(=O)C=C1 CC(=O)[CH-]C(C)=O CC(C)=[N+]=[N-] [C@H]=C=C[Zn]C
[C@H]=[N+]([O-])[O-] CC(=[C@@H])NN C=C[Sn](=C)C C=C[Pb]=O C=C[SnH]=C C=C[Ge](=O)C C=C[Cr](=O)=O C=C[Hg]=O C=C[TlH]=C
""",
        "aromatic": """
C1=CC=CC=C1 C1=CN=CC=C1 C1=COC=C1 C1=CC2=CC=CC=C2N1 C1=CC=C2C=CC=CC2=C1 C1=CC2=CC=CC2=C1 c1ccc2cccc2cc1 C1=CC=CC=CC=C1
C1=CC=C1 c1cc[cH-]c1 c1cc[nH]c1 c1ccc2[nH]ccc2c1 c1c[nH]cn1 c1cnc[nH]1 Cn1cccc1 O=c1cc[nH]cc1 O=c1[nH]cnc2nc[nH]c12
c1cc[n-]c1 c1cc[nH+]cc1 C[n+]1ccccc1 c1cc[o+]cc1 c1cc[s+]cc1 c1cocc1 c1cscc1 c1cc[se]c1 c1cc[te]c1 C1=[te]CC=C1
C1=[Te]CC=C1 b1ccccc1 c1cc[b-]cc1 c1ccpcc1 c1ccp#cc1 c1ccc#cc1 c1cc[pH]c1 c1cc[as]cc1 c1cc[siH]cc1 n1pnpnp1
[bH]1[nH][bH][nH][bH][nH]1 c1nsnc1 c1nonc1 CP1(C)=NP(C)(C)=NP(C)(C)=N1 c1nnn[nH]1 c1nn[n-]n1 O=s1cccc1 c1ccs(=O)(=O)c1
c1c[n+]2ccccc2[n-]1 c1ccc(-c2ccccc2)cc1 [nH]1cccc1 c1ccc(cc1)c1ccccc1 Cn1c(=O)c2c(ncn2C)n(C)c1=O *c1ccccc1
c1c2cccc1cccc2 C1CC2CCC1CC2 C12C3C4C1C5C2C3C45 OC1=CC=CC=N1
""",
        "hypervalent": """
CS(C)=O C[S+]([O-])C CS(C)(=O)=O NS(=O)(=O)c1ccccc1 CS(C)(C)C F[S](F)(F)(F)(F)F CS(F)(F)F CS(C)(=O)=N S=S C=S(C)C
OI(=O)=O O=I(=O)c1ccccc1 OI(O)c1ccccc1 CC(=O)OI(OC(C)=O)c1ccccc1 CC(=O)OI1(OC(C)=O)(OC(C)=O)OC(=O)c2ccccc12
O=Cl(=O)(=O)O FP(F)(F)(F)F F[P-](F)(F)(F)(F)F CP(C)(C)=O CP(C)(C)=CC OP(=O)(O)O CP(=S)(O)O C[As](=O)(O)O C[Se](=O)C
[Se]=C C[Te]C O=[N+]([O-])[O-] c1ccc([I+]c2ccccc2)cc1 [O-][Cl+3]([O-])([O-])[O-] O=[Xe](=O)=O C[Si](C)(C)[B-](F)(F)F
C1=IC=CC=C1
""",
        "small": """
C N O B P S F Cl Br I * *C *CC* [*+] [He] [U] [#6] [#26]C [CH3:1][OH:2] [CH3:7] CC C=O C#N N#N O=O C1CC1 C%10CC%10 CCO
C.C C.C.C c1ccccc1.c1ccccc1 C1CCC2(CC1)CCCCC2 C(C)(C)(C)C OO SS NN NO
""",
        "large": f"""
{"C" * 999}O {"C" * 1000}O {"C" * 1000} {"C" * 1001} {"C=C" * 501} {"OCC" * 400}
c1ccccc1{"NC(=O)C" * 300} C(C)({"C" * 600}){"N" * 700}
""",
    }.items()
}
EXAMPLES["with a name"] = [" CCO", "CCO ethanol", "C[CH](O)F\tproduct", "CCO |$_AV:a;b;c$|", "C[C@H](F)Cl |o1:1|"]

READABLE = list(dict.fromkeys(text for texts in EXAMPLES.values() for text in texts))

UNREADABLE = [
    *("", "C1CC", "not a molecule", "c1cccc1c", "C(C)(C)(C)(C)C", "[Xx]", "CC(", "C==C", "c1cc1", ".C", "C."),
    *("[CH6]", "[HH2]", "C=CCl(=O)=O", "n1cccc1", "[Fe+++]", "[00013CH4]", "CN(C)(C)->B(F)(F)F"),
    *("F[C@](F", "C/=C", "%"),
]
