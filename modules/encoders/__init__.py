"""Encoders, which map batches of molecules, proteins or arrays to embeddings."""

from modules.encoders.array import ArrayMLP, ImageCNN
from modules.encoders.encoder import Encoder
from modules.encoders.fingerprint import FingerprintMLP
from modules.encoders.fusion import Fusion
from modules.encoders.gcn import GCN
from modules.encoders.gin import GIN
from modules.encoders.pretrained import PretrainedMLP
from modules.encoders.protein import ProteinCNN

__all__ = ["GCN", "GIN", "ArrayMLP", "Encoder", "FingerprintMLP", "Fusion", "ImageCNN", "PretrainedMLP", "ProteinCNN"]
