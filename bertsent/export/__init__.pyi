from .outputs import Part as Part
from .writing import write_onnx as write_onnx
