from .base import Tokenizer as Tokenizer
from .byte_level import ByteLevelBPETokenizer as ByteLevelBPETokenizer
from .encoding import Encoding as Encoding
from .wordpiece import WordPieceTokenizer as WordPieceTokenizer
