"""The networks of `a2net_gluon.symbols` where MXNet's scripts look for networks."""
