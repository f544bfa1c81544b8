from .encoding import Encoding as Encoding
from .wordpiece import WordPieceTokenizer as WordPieceTokenizer
