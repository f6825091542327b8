"""Executes operations of the Python package hpack for reference.rs: one per line of the input, with one line of output."""

import sys

from hpack import Decoder, Encoder, HPACKError, NeverIndexedHeaderTuple


def decode(decoder, block):
    try:
        fields = decoder.decode(block, raw=True)
    except HPACKError as error:
        return "error " + type(error).__name__
    sensitive = lambda field: int(isinstance(field, NeverIndexedHeaderTuple))
    return " ".join(f"{field[0].hex()}.{field[1].hex()}.{sensitive(field)}" for field in fields)


def encode(encoder, fields):
    parts = (field.split(".") for field in fields)
    return encoder.encode([(bytes.fromhex(n), bytes.fromhex(v), s == "1") for n, v, s in parts]).hex()


for line in sys.stdin:
    operation, *arguments = line.split(" ")
    arguments = [argument.strip() for argument in arguments]
    if operation == "connection":
        encoder, decoder = Encoder(), Decoder(max_header_list_size=1 << 30)
        decoder.max_allowed_table_size = int(arguments[0])
    elif operation == "resize":
        encoder.header_table_size = int(arguments[0])
    elif operation == "encode":
        print(encode(encoder, arguments))
    elif operation == "decode":
        print(decode(decoder, bytes.fromhex(arguments[0])))
