"""A model as an ONNX file, and the prediction with it that needs neither torch nor this project."""
