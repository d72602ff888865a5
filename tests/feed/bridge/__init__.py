"""The source `bridge:NAME`, on real sockets."""
