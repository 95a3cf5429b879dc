"""The networks as symbols, for code written for MXNet's Module API."""
