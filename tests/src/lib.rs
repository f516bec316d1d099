//! Tests of Causeway as a whole, over real sockets; this library itself is empty, see `tests/`.
