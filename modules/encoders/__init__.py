"""Encoders: from a batch of molecules to embeddings."""

from modules.encoders.encoder import Encoder
from modules.encoders.fingerprint import FingerprintMLP
from modules.encoders.fusion import Fusion
from modules.encoders.gcn import GCN
from modules.encoders.gin import GIN
from modules.encoders.protein import ProteinCNN

__all__ = ["GCN", "GIN", "Encoder", "FingerprintMLP", "Fusion", "ProteinCNN"]
