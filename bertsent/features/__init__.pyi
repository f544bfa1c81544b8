from .encoder import (
    BertEncoder as BertEncoder,
    encode_source as encode_source,
)
from .parameters import ENCODING as ENCODING
