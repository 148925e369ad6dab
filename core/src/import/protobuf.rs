//! A small checked protobuf reader: fields of a message, one after the other, borrowed from the bytes.
