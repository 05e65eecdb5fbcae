"""The client API: Ninja routers, one file a protocol."""
